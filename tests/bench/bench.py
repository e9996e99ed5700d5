#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`./dev bench`: runs defused-bench with 10,000 processes in 200 PID namespaces (arguments go to it)."""
import os
import subprocess
import sys

BUILD = os.environ.get("DEFUSED_BUILD", os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "build"))

if __name__ == "__main__":
    if os.geteuid() != 0:
        sys.exit("bench: needs root, to make PID namespaces")
    sys.exit(subprocess.run([os.path.join(BUILD, "defused-bench"), *sys.argv[1:]], timeout=600, check=False).returncode)
