# SPDX-License-Identifier: Apache-2.0
"""`./dev packages` installs what is missing, and "PACKAGE unless PROGRAM" only where no such program is."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

DEV = pathlib.Path(__file__).resolve().parents[2] / "dev"
LIST = """# a heading
here          # installed
missing       # not installed

npm unless npm  # by whatever source
other unless no-such-program-anywhere
"""


def program(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="ascii")
    path.chmod(0o755)


class Packages(unittest.TestCase):
    def asked_for(self, *programs):
        """What apt-get is told to install, on a machine that has `here` and these programs."""
        with tempfile.TemporaryDirectory() as name:
            root = pathlib.Path(name)
            (root / "cmake").mkdir()
            (root / "bin").mkdir()
            shutil.copy(DEV, root / "dev")
            (root / "cmake" / "packages.txt").write_text(LIST, encoding="ascii")
            for tool in ("bash", "env", "sed", "sort", "comm", "tr", "dirname", "nproc", "true"):
                os.symlink(shutil.which(tool), root / "bin" / tool)
            program(root / "bin" / "id", "echo 0")
            program(root / "bin" / "dpkg-query", "echo installed here; echo 'not-installed missing'")
            program(root / "bin" / "apt-get", f'echo "$@" >> {root}/asked')
            for one in programs:
                program(root / "bin" / one, "")
            done = subprocess.run(["bash", str(root / "dev"), "packages"], env={"PATH": str(root / "bin")}, capture_output=True,
                                  text=True, timeout=30, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            words = (root / "asked").read_text(encoding="ascii").split()
            return words[words.index("DPkg::Lock::Timeout=300") + 1:]

    def test_program_missing(self):
        self.assertEqual(self.asked_for(), ["missing", "npm", "other"])

    def test_program_there(self):
        self.assertEqual(self.asked_for("npm"), ["missing", "other"])


if __name__ == "__main__":
    unittest.main()
