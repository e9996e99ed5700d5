#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""run.py DIRECTORY [NAME ...]: runs the unittest modules (or single tests) of a directory for CTest.

Exit: 0 passed, 1 failed, 77 when every test was skipped; each skip prints its reason.
"""
import os
import sys
import unittest


def main():
    directory = os.path.realpath(sys.argv[1])
    sys.path.insert(0, directory)
    sys.dont_write_bytecode = True
    loader = unittest.TestLoader()
    suite = loader.loadTestsFromNames(sys.argv[2:]) if len(sys.argv) > 2 else loader.discover(directory)
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    for test, reason in result.skipped:
        print(f"skipped: {test}: {reason}")
    if not result.wasSuccessful() or result.testsRun == 0:
        return 1
    return 77 if len(result.skipped) == result.testsRun else 0


if __name__ == "__main__":
    sys.exit(main())
