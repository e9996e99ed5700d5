# SPDX-License-Identifier: Apache-2.0
"""Runs the real binary for the table: what it said, how it ended, and what it cost; on pipes or on a terminal of its own."""
import fcntl
import os
import pty
import resource
import select
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from daemon import DEFUSED, SLOW  # noqa: E402

NOBODY = 65534
MAX_DESCRIPTORS = 64


class Done:
    """One command that ended: `code`, `out` and `err` as bytes, `seconds`, `memory` in KiB (the command and its prober)."""

    def __init__(self, code, out, err, seconds, memory):
        self.code = code
        self.out = out
        self.err = err
        self.seconds = seconds
        self.memory = memory

    def __str__(self):
        return f"exit {self.code} after {self.seconds:.2f} s, {self.memory} KiB\nout: {self.out[:2000]!r}\nerr: {self.err[:2000]!r}"


def run(words, cwd, place, user=None, seconds=20, stdin=subprocess.DEVNULL):  # pylint: disable=too-many-arguments
    """`defused WORDS`, with at most 64 descriptors and TMPDIR `place`. Killed, and AssertionError, after `seconds`."""

    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_DESCRIPTORS, MAX_DESCRIPTORS))

    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begin = time.monotonic()
        # pylint: disable-next=consider-using-with,subprocess-popen-preexec-fn
        process = subprocess.Popen([DEFUSED, *words], cwd=cwd, stdin=stdin, stdout=out, stderr=err, user=user, group=user,
                                   extra_groups=[] if user else None, preexec_fn=limit,
                                   env={**os.environ, "TMPDIR": place})
        usage = _wait(process, seconds * SLOW)
        took = time.monotonic() - begin
        out.seek(0)
        err.seek(0)
        return Done(process.returncode, out.read(), err.read(), took, usage.ru_maxrss)


def _wait(process, seconds):
    """Its rusage, as wait4 gives it."""
    deadline = time.monotonic() + seconds
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return usage
        if time.monotonic() > deadline:
            process.send_signal(signal.SIGKILL)
            process.wait(5)
            raise AssertionError(f"not done within {seconds} s: {process.args!r:.500}")
        time.sleep(0.005)


def run_on_terminal(words, cwd, columns=80, environment=None, seconds=20, out=None):
    """(exit code, bytes that its terminal got). `environment`: beside PATH and TERM=xterm; `out`: standard output instead of
    the terminal."""
    master, slave = pty.openpty()
    try:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        variables = {"PATH": os.environ["PATH"], "TERM": "xterm", **(environment or {})}
        with subprocess.Popen([DEFUSED, *words], cwd=cwd, stdin=slave, stdout=slave if out is None else out, stderr=slave,
                              env={name: value for name, value in variables.items() if value is not None}) as process:
            os.close(slave)
            slave = -1
            try:
                text = _read_all(master, time.monotonic() + seconds * SLOW)
                return process.wait(5 * SLOW), text
            finally:
                process.kill()
    finally:
        os.close(master)
        if slave >= 0:
            os.close(slave)


def _read_all(master, deadline):
    text = b""
    while True:
        ready, _, _ = select.select([master], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            raise AssertionError(f"the terminal was not let go of in time; it got {text[-500:]!r}")
        try:
            piece = os.read(master, 65536)
        except OSError:  # EIO: nobody has the other side any more
            return text
        if not piece:
            return text
        text += piece
