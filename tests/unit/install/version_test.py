# SPDX-License-Identifier: Apache-2.0
"""cmake/Version.cmake: the Debian version of a tree, which must sort as its commits do."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest

REPO = pathlib.Path(__file__).resolve().parents[3]
PROJECT = """cmake_minimum_required(VERSION 3.25)
project(defused VERSION 0.1.0 LANGUAGES NONE)
include(cmake/Version.cmake)
file(WRITE ${CMAKE_BINARY_DIR}/said "${DEFUSED_DEBIAN_VERSION} ${DEFUSED_REVISION}")
"""


class Version(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="defused-version-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.tree = self.directory / "tree"
        (self.tree / "cmake").mkdir(parents=True)
        for name in ("Version.cmake", "version.h.in"):
            shutil.copy(REPO / "cmake" / name, self.tree / "cmake")
        (self.tree / "CMakeLists.txt").write_text(PROJECT, encoding="utf-8")

    def run_in_tree(self, *command, **environment):
        # Nothing of who runs the test: no configuration, no repository around the temporary directory, another time zone.
        subprocess.run(command, cwd=self.tree, check=True, timeout=30, capture_output=True, env={
            "PATH": os.environ["PATH"], "HOME": str(self.directory), "GIT_CEILING_DIRECTORIES": str(self.directory),
            "TZ": "Pacific/Auckland", **environment})

    def commit(self, moment):
        self.run_in_tree("git", "add", "-A")
        self.run_in_tree("git", "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "--allow-empty", "-m", moment,
                         GIT_COMMITTER_DATE=moment, GIT_AUTHOR_DATE=moment)

    def version(self):
        build = self.directory / "build"
        self.run_in_tree("cmake", "-S", ".", "-B", str(build))
        version, _, revision = (build / "said").read_text(encoding="utf-8").partition(" ")
        shutil.rmtree(build)
        return version, revision

    def test_without_git(self):
        self.assertEqual(self.version(), ("0.1.0", "unknown"))

    def test_in_order(self):
        self.run_in_tree("git", "init", "-q")
        self.commit("2026-01-31T23:30:00+00:00")
        versions = [self.version()[0]]
        self.assertRegex(versions[0], r"^0\.1\.0~20260131233000\.g[0-9a-f]{12}$")
        (self.tree / "CMakeLists.txt").write_text(PROJECT + "# changed\n", encoding="utf-8")
        versions.append(self.version()[0])
        self.assertEqual(versions[1], versions[0] + ".dirty")
        self.commit("2026-02-01T02:00:00+02:00")  # half an hour later
        versions.append(self.version()[0])
        self.run_in_tree("git", "tag", "v0.1.0")
        versions.append(self.version()[0])
        self.assertEqual(versions[3], "0.1.0")
        self.commit("2026-02-02T00:00:00+00:00")
        versions.append(self.version()[0])
        self.assertRegex(versions[4], r"^0\.1\.0\+20260202000000\.g[0-9a-f]{12}$")
        for earlier, later in zip(versions, versions[1:]):
            done = subprocess.run(["dpkg", "--compare-versions", earlier, "lt", later], stderr=subprocess.PIPE, text=True,
                                  timeout=30, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""), f"{earlier} < {later}")


if __name__ == "__main__":
    unittest.main()
