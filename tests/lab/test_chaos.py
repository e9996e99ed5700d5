# SPDX-License-Identifier: Apache-2.0
"""A short run of chaos.py. It prints its seed; `DEFUSED_CHAOS_SEED=N` makes the same trials again."""
import os
import time
import unittest

from chaos import World
from daemon import SLOW, wait_until
from lab import connections

TRIALS, TOGETHER = (40, 6) if SLOW == 1 else (9, 3)


class Chaos(unittest.TestCase):
    def test_right_whatever_happens(self):
        seed = int(os.environ.get("DEFUSED_CHAOS_SEED", time.time_ns() % 1_000_000))
        before = connections()
        world = World(seed, TRIALS, together=TOGETHER)
        print(f"seed {seed}", flush=True)
        world.play()
        print(world.figures())
        self.assertEqual(sorted(world.bad), [], "trials that went wrong; see above, with the seed")
        # It did act, and somebody was read from meanwhile.
        self.assertGreaterEqual(sum(action.outcome == "released" for action in world.actions), TRIALS // 8)
        self.assertGreaterEqual(world.reads, TRIALS // 2)
        wait_until(lambda: connections() <= before, 10, "its connections to be gone")


if __name__ == "__main__":
    unittest.main()
