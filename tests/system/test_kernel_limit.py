# SPDX-License-Identifier: Apache-2.0
"""The kernel's own time limit for FUSE requests (Linux 6.15): what OPERATING says of it, and what the daemon tells of it."""
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from daemon import Daemon, mount_fusectl, read_text, wait_until  # noqa: E402
from lab import Lab  # noqa: E402
from remedy_lab import stands  # noqa: E402

LIMIT = "/proc/sys/fs/fuse/max_request_timeout"
SHORTEST = 15  # the kernel looks every 15 s, and takes no shorter limit
TIMEOUT = "defused_kernel_fuse_request_timeout_seconds"


def set_limit(seconds):
    with open(LIMIT, "w", encoding="ascii") as file:
        file.write(str(seconds))


@unittest.skipUnless(os.path.exists(LIMIT), "this kernel has no time limit for FUSE requests (before Linux 6.15)")
class KernelLimit(unittest.TestCase):
    def test_it_frees_what_was_mounted_afterwards_and_the_daemon_tells_of_it(self):
        mount_fusectl()
        before = read_text(LIMIT).strip()
        self.assertEqual(before, "0", f"{LIMIT} is set on this machine")
        self.addCleanup(set_limit, before)
        with Daemon(mode="dry_run", detect={"stuck_after": "2s"}) as daemon:
            self.assertEqual(daemon.metric(TIMEOUT), 0)
            with Lab("flush_thread") as earlier:
                set_limit(SHORTEST)
                with Lab("flush_thread") as later:
                    self.watch(daemon, earlier.truth, later.truth)

    def watch(self, daemon, earlier, later):
        stuck = 'defused_stuck_pid_namespaces{wait_class="fuse_flush",verdict="deadlocked"}'
        wait_until(lambda: daemon.metric(stuck) == 2, 10, daemon.log())
        self.assertEqual(daemon.metric(TIMEOUT), SHORTEST)
        self.assertTrue(stands(later))
        # The limit, and up to two of the kernel's looks.
        wait_until(lambda: daemon.metric(stuck) == 1, 3 * SHORTEST + 10, daemon.log())
        self.assertFalse(stands(later))
        self.assertTrue(stands(earlier), "a connection from before the limit was aborted")
        wait_until(lambda: f"PID namespace {later['pid_namespace']}" in self.told(daemon, "is released"), 10, daemon.log())
        self.assertNotIn(str(earlier["pid_namespace"]), self.told(daemon, "is released"))
        self.assertEqual({value for key, value in daemon.metrics().items() if key.startswith("defused_aborts_total")}, {0})

    def told(self, daemon, words):
        return "\n".join(line for line in daemon.log().splitlines() if words in line)


if __name__ == "__main__":
    unittest.main()
