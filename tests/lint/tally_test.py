# SPDX-License-Identifier: Apache-2.0
"""Counting of `./dev test`: what ctest writes and what must come of it."""
import contextlib
import io
import pathlib
import tempfile
import unittest

import tally

CASES = """<?xml version="1.0" encoding="UTF-8"?>
<testsuite tests="4" failures="1" skipped="2">
  <testcase name="ok" status="run"><system-out></system-out></testcase>
  <testcase name="bad" status="fail"><failure message=""/><system-out>oh &lt;no&gt;</system-out></testcase>
  <testcase name="skip" status="notrun"><skipped message="SKIP_RETURN_CODE=77"/><system-out>not root
</system-out></testcase>
  <testcase name="gone" status="notrun"><skipped message="Unable to find executable"/><system-out/></testcase>
</testsuite>
"""
ONE_PASSED = '<testsuite><testcase name="ok" status="run"/></testsuite>'


class Tally(unittest.TestCase):
    def setUp(self):
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.directory = pathlib.Path(holder.name)

    def note(self, name, status, xml=None):
        if xml:
            (self.directory / f"{name}.xml").write_text(xml)
        with contextlib.redirect_stdout(io.StringIO()) as out:
            tally.note_stage(name.split("-1")[0], status, self.directory)
        return out.getvalue()

    def total(self):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            status = tally.total(self.directory)
        return out.getvalue().splitlines(), status

    def test_each_kind_of_result(self):
        self.assertIn("skipped skip: not root", self.note("unit", 8, CASES))
        lines, status = self.total()
        self.assertEqual(lines, ["FAILED unit: bad", "FAILED unit: gone", "1 passed, 2 failed, 1 skipped"])
        self.assertEqual(status, 1)

    def test_stage_without_ctest_is_one_check(self):
        self.note("format", 0)
        self.note("clang", 1)
        self.assertEqual(self.total()[0], ["FAILED stage clang (status 1)", "1 passed, 1 failed"])

    def test_all_passed(self):
        self.note("asan-1", 0, ONE_PASSED)
        self.assertEqual(self.total(), (["1 passed, 0 failed"], 0))

    def test_ctest_that_was_killed(self):
        self.note("lab", 124)
        self.assertEqual(self.total(), (["FAILED stage lab (status 124)", "0 passed, 1 failed"], 1))

    def test_ctest_that_failed_without_a_failed_test(self):
        self.note("lab", 1, ONE_PASSED)
        self.assertEqual(self.total()[0][-1], "1 passed, 1 failed")

    def test_label_without_tests_is_seen(self):
        self.assertIn("no test has its label", self.note("system", 0, "<testsuite/>"))
        self.note("format", 0)
        self.assertEqual(self.total(), (["1 passed, 0 failed, 1 skipped"], 0))

    def test_nothing_at_all_is_a_failure(self):
        self.assertEqual(self.total(), (["0 passed, 0 failed"], 1))


if __name__ == "__main__":
    unittest.main()
