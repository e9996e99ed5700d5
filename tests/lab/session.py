#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Records the session of docs/SESSION.md: a real deadlock in the lab, and what a person types and sees in a terminal until it
is gone. `record()` gives the steps as text, with the numbers of one example put in for those of this run; run as a program
it prints them. Every wait has a deadline, and the lab ends the deadlock where the session did not."""
import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time

from daemon import DEFUSED, SLOW, mount_fusectl, wait_until
from explained import masked
from lab import Lab

COLUMNS, ROWS = 100, 50
REASON = "its s3fs is gone for good"


def in_terminal(arguments, answers=(), seconds=40):
    """(exit code, what stands on the terminal) of a command. `answers` are (text to wait for, what is typed then)."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    environment = {**os.environ, "NO_COLOR": "1", "LC_ALL": "C.UTF-8", "TERM": "xterm"}
    with subprocess.Popen(arguments, stdin=slave, stdout=slave, stderr=slave, env=environment, start_new_session=True) as process:
        os.close(slave)
        try:
            text = converse(master, list(answers), time.monotonic() + seconds * SLOW)
            code = process.wait(10)
        finally:
            process.kill()
            os.close(master)
    return code, text.replace("\r\n", "\n")


def converse(master, answers, deadline):
    """Everything until the other side closes."""
    text = ""
    while True:
        if not select.select([master], [], [], max(0, deadline - time.monotonic()))[0]:
            raise AssertionError(f"the terminal is silent after: {text}")
        try:
            chunk = os.read(master, 65536)
        except OSError:  # EIO: nobody has it open any more
            chunk = b""
        if not chunk:
            if answers:
                raise AssertionError(f"it did not ask {answers[0][0]!r}: {text}")
            return text
        text += chunk.decode(errors="replace")
        if answers and answers[0][0] in text:
            os.write(master, (answers.pop(0)[1] + "\n").encode())


class Session:
    """The steps: `type()` runs a command and notes it as a person sees it."""

    def __init__(self, directory):
        self.config = os.path.join(directory, "defused.json")
        with open(self.config, "w", encoding="utf-8") as file:
            json.dump({"state_directory": f"{directory}/state", "runtime_directory": f"{directory}/run"}, file)
        self.steps = {}

    def type(self, step, line, expected, answers=()):
        """`line` as it is typed. What it prints has to end with exit code `expected`."""
        words = line.split(" ", 3) if "--override" in line else line.split()
        if words[0] == "defused":
            words = [DEFUSED, *words[1:2], "--config", self.config, *words[2:]]
        if "--override" in line:
            words = [*words[:-1], "--override", REASON]
        code, text = in_terminal(words, answers)
        if code != expected:
            raise AssertionError(f"{line}: exit code {code}, not {expected}: {text}")
        self.steps[step] = self.steps.get(step, "") + f"# {line}\n{text}"
        return text


def record():
    """{name of a step: what stood on the terminal}, in the order of the document."""
    mount_fusectl()
    with tempfile.TemporaryDirectory(prefix="defused-session-") as directory:
        session = Session(directory)
        with Lab("flush_thread", fstype="defusedlab", source="s3://team-data", mount_name="data", comm="s3fs") as lab:
            init, number = lab.truth["init"]["pid"], str(lab.truth["connection"])
            session.type("made", f"kill -9 {init}", 0)
            session.type("made", f"grep State /proc/{init}/status", 0)
            session.type("scan", "defused scan", 0)
            session.type("explain", f"defused explain pid:{init}", 0)
            session.type("held", f"defused abort {number}", 7)
            session.type("abort", f"defused abort {number} --override '{REASON}'", 0, [("to go on: ", number)])
            wait_until(lambda: not os.path.exists(f"/sys/fs/fuse/connections/{number}"), 10, "the connection to go")
            session.type("after", "defused scan", 0)
        return mask(session.steps, lab.truth, directory)


def mask(steps, truth, directory):
    """The same thing is the same number in all steps."""
    mark = "\n\0\n"
    text = mark.join(steps.values()).replace(f"{directory}/state", "/var/lib/defused")
    text = text.replace(os.uname().nodename, "node-7").replace(os.uname().release, "6.1.0-44-amd64")
    return dict(zip(steps, masked_numbers(text, truth).split(mark)))


def masked_numbers(text, truth):
    """Those of the lab first, by words that `masked` leaves alone."""
    before = r"[Cc]onnections?(?:[/:]|\s+)|defused abort |to\s+go\s+on: |Type\s+its\s+number,\s+|\b0:"
    number = truth["connection"]
    text = re.sub(rf"({before}){number}(?![\w:])|^{number}(?= fuse)", r"\g<1>@connection", text, flags=re.M)
    named = {"@init": (truth["init"]["pid"], "4711"), "@pid": (truth["blocked"]["pid"], "4713"),
             "@tid": (truth["blocked"]["tid"], "4714")}
    for word, (number, _) in named.items():
        text = re.sub(rf"(?<![\w.]){number}(?!\w|\.\d)", word, text)
    text = re.sub(r"/tmp/defused-lab-\w+", "/srv", text)
    text = re.sub(r"\nCould not be read: (?:[^\n\0]+\n)+", "", text)
    text = re.sub(r"\b\d+(\s+PID\s+namespace)s?\b", r"12\1s", text)
    text = re.sub(r"\b\d+(\s+FUSE\s+connection)s?\b", r"3\1s", text)
    text = masked(re.sub(r"\b\d+\.\d(\s+s)\b", r"6.1\1", text))
    for word, (_, shown) in named.items():
        text = text.replace(word, shown)
    return text.replace("@connection", "40")


def put_into(page, steps):
    """The document with what was recorded in its places; AssertionError where one of them is missing."""
    for name, shown in steps.items():
        begin, end = f"<!-- {name}: written by tests/lab/test_session.py -->\n", f"<!-- end of {name} -->\n"
        head, found, rest = page.partition(begin)
        _, found_end, tail = rest.partition(end)
        if not (found and found_end):
            raise AssertionError(f"no place for {name}")
        page = f"{head}{begin}```text\n{shown.strip()}\n```\n{end}{tail}"
    return page


if __name__ == "__main__":
    for title, shown in record().items():
        sys.stdout.write(f"--- {title}\n{shown}")
