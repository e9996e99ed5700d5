# SPDX-License-Identifier: Apache-2.0
"""The session of docs/SESSION.md is played again on a real deadlock and has to say what the document says; with
DEFUSED_WRITE_DOCS=1 it writes the document. Twice, on connections of other numbers, it says the same."""
import os
import unittest

import session
from daemon import REPO, read_text
from explained import comparable
from lab import Lab, connections

PAGE = os.path.join(REPO, "docs", "SESSION.md")


class Session(unittest.TestCase):
    def test_page(self):
        before = connections()
        first = session.record()
        with Lab("healthy"):  # takes the number that was free
            second = session.record()
        self.assertEqual({name: comparable(text) for name, text in first.items()},
                         {name: comparable(text) for name, text in second.items()})
        self.assertEqual(connections() - before, set())
        old = read_text(PAGE)
        page = session.put_into(old, first)
        if os.environ.get("DEFUSED_WRITE_DOCS") == "1":
            with open(PAGE, "w", encoding="utf-8") as file:
                file.write(page)
        else:
            self.assertEqual(comparable(page), comparable(old))

    def test_numbers_of_this_run_are_replaced(self):
        truth = {"init": {"pid": 181}, "blocked": {"pid": 182, "tid": 4026}, "connection": 182}
        text = "# defused abort 182\n182 fuse.x at /tmp/defused-lab-1a2b/data; 0:182\n4026 of process 182, init 181: 1182 0.1s\n"
        self.assertEqual(session.masked_numbers(text, truth),
                         "# defused abort 40\n40 fuse.x at /srv/data; 0:40\n4714 of process 4713, init 4711: 4700 0.7s\n")

    def test_a_missing_place_is_no_silence(self):
        with self.assertRaises(AssertionError):
            session.put_into("# nothing\n", {"scan": "text"})

    def test_a_silent_terminal_is_given_up(self):
        with self.assertRaisesRegex(AssertionError, "silent"):
            session.in_terminal(["sleep", "60"], seconds=0.2)
        with self.assertRaisesRegex(AssertionError, "did not ask"):
            session.in_terminal(["echo", "done"], [("sure?", "yes")])


if __name__ == "__main__":
    unittest.main()
