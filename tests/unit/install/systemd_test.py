# SPDX-License-Identifier: Apache-2.0
"""systemd/: the unit is one that systemd takes, README.md explains each of its lines and nothing else, and it is no more
exposed than that says."""
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

REPO = pathlib.Path(__file__).resolve().parents[3]
SYSTEMD = REPO / "systemd"
DEFUSED = pathlib.Path(os.environ["DEFUSED_BUILD"]) / "defused"
ROW = re.compile(r"^\| `([^`]+)` \| (.+) \|$", re.M)
LEFT_OUT = "What is left out"


def directives(text):
    """Every `Name=value` of a unit file."""
    return [line for line in text.splitlines() if re.match(r"[A-Za-z]+=", line)]


def sections(text):
    """{heading: its rows as (line, reason)} of a document."""
    parts = re.split(r"^## (.*)$", text, flags=re.M)
    return {heading: ROW.findall(body) for heading, body in zip(parts[1::2], parts[2::2])}


def differences(readme, unit, dropin):
    """What README.md does not explain, or explains and is not there; empty where all is well."""
    rows = sections(readme)
    left_out = [line for line, _ in rows.get(LEFT_OUT, [])]
    added = [line for line, _ in rows.get("What enforce.conf adds", [])]
    lines = [line for heading, entries in rows.items() if heading not in (LEFT_OUT, "What enforce.conf adds")
             for line, _ in entries if "=" in line]
    explained = [line for heading, entries in rows.items() if heading != LEFT_OUT for line, _ in entries if line.startswith("CAP_")]
    granted = re.findall(r"CAP_\w+", "\n".join(line for line in directives(unit) if line.startswith("CapabilityBoundingSet=")))
    found = [f"not explained: {line}" for line in directives(unit) if line not in lines]
    found += [f"not in the unit: {line}" for line in lines if line not in directives(unit)]
    found += [f"not explained: {line}" for line in directives(dropin) if line not in added]
    found += [f"not in enforce.conf: {line}" for line in added if line not in directives(dropin)]
    found += [f"left out, and there: {line}" for line in left_out if line in directives(unit) + directives(dropin)]
    found += [f"explained twice: {line}" for line in set(lines) if lines.count(line) > 1]
    found += [f"capability not explained: {name}" for name in granted if name not in explained]
    found += [f"capability not granted: {name}" for name in explained if name not in granted]
    return found


def read(name):
    return (SYSTEMD / name).read_text(encoding="utf-8")


class Explained(unittest.TestCase):
    def test_both_ways(self):
        self.assertEqual(differences(read("README.md"), read("defused.service"), read("enforce.conf")), [])
        self.assertGreater(len(directives(read("defused.service"))), 40)

    def test_a_difference_is_noticed(self):
        readme, unit, dropin = read("README.md"), read("defused.service"), read("enforce.conf")
        for bad in ((readme, unit + "PrivateIPC=yes\n", dropin), (readme, unit.replace("UMask=0077\n", ""), dropin),
                    (readme, unit.replace("UMask=0077", "UMask=0022"), dropin), (readme, unit + "PrivateNetwork=yes\n", dropin),
                    (readme, unit, dropin + "ProtectSystem=no\n"), (readme, unit, ""),
                    (readme, unit + "CapabilityBoundingSet=CAP_SYS_MODULE\n", dropin),
                    (readme.replace("| `CAP_KILL` |", "| `CAP_CHOWN` |"), unit, dropin)):
            self.assertNotEqual(differences(*bad), [])


@unittest.skipUnless(shutil.which("systemd-analyze"), "no systemd-analyze")
class Judged(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="defused-unit-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.unit = self.directory / "defused.service"
        # The program where it was built, since verify looks for it.
        self.unit.write_text(read("defused.service").replace("/usr/sbin/defused", str(DEFUSED)), encoding="utf-8")

    def add_dropin(self):
        dropins = self.directory / "defused.service.d"
        dropins.mkdir()
        shutil.copy(SYSTEMD / "enforce.conf", dropins)

    def analyze(self, *arguments):
        done = subprocess.run(["systemd-analyze", *arguments, str(self.unit)], capture_output=True, text=True, timeout=50,
                              check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout, done.stderr

    def verify(self):
        # Of our unit only: others that it draws in may be of another systemd, or not there.
        _, said = self.analyze("verify", "--man=no", "--recursive-errors=no")
        self.assertNotRegex(said, r"defused\.service|enforce\.conf")

    def exposure(self):
        shown, _ = self.analyze("security", "--offline=true")
        return float(re.search(r"Overall exposure level for defused\.service: ([0-9.]+)", shown).group(1))

    def stated(self, mode):
        return float(re.search(rf"^\| `{mode}` \| ([0-9.]+) \|$", read("README.md"), re.M).group(1))

    def test_systemd_takes_it(self):
        self.verify()
        self.add_dropin()
        self.verify()

    def test_verify_would_say_what_is_wrong(self):
        self.unit.write_text(self.unit.read_text(encoding="utf-8").replace("ProtectSystem=strict", "ProtectSystem=stirct"),
                             encoding="utf-8")
        with self.assertRaises(AssertionError):
            self.verify()

    def test_no_more_exposed_than_stated(self):
        self.assertLessEqual(self.exposure(), self.stated("observe"))
        self.add_dropin()
        self.assertLessEqual(self.exposure(), self.stated("enforce"))
        self.unit.write_text(self.unit.read_text(encoding="utf-8").replace("NoNewPrivileges=yes\n", ""), encoding="utf-8")
        self.assertGreater(self.exposure(), self.stated("enforce"))

    def test_each_weakness_is_explained(self):
        """What systemd counts against the unit is granted, or left out with a reason."""
        shown, _ = self.analyze("security", "--offline=true", "--json=short")
        readme = read("README.md")
        rows = [line for entries in sections(readme).values() for line, _ in entries]
        weak = [check["name"] for check in json.loads(shown) if check["set"] is False]
        self.assertGreater(len(weak), 10)
        for name in weak:
            keys = re.findall(r"([A-Za-z]+)=", name)
            wanted = re.findall(r"CAP_\w+", name)
            explained = [line for line in rows if any(line.startswith(key + "=") for key in keys)]
            self.assertTrue(explained, name)
            if wanted and "(" not in name:
                self.assertIn(wanted[0], rows, name)


if __name__ == "__main__":
    unittest.main()
