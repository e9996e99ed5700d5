# SPDX-License-Identifier: Apache-2.0
"""`Lab(form)`: a situation of defused-lab as a context. Every wait has a deadline; the lab's guardian cleans up even when
the test is killed."""
import json
import os
import select
import signal
import subprocess
import time
import unittest

from daemon import BUILD, SLOW


class Lab:
    """Stands when the context is entered; `truth` says what is true by construction; ended when it is left."""

    def __init__(self, form, **options):
        self.form = form
        self.program = os.path.join(BUILD, "defused-lab")
        self.inject_program = os.path.join(BUILD, "defused-inject")
        self.arguments = [f"--{key.replace('_', '-')}={value}".split("=", 1) for key, value in options.items()]
        self.process = None
        self.truth = None
        self._buffer = b""

    def __enter__(self):
        arguments = [part for pair in self.arguments for part in pair]
        self.process = subprocess.Popen([self.program, "make", self.form, *arguments], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            self.truth = self._read_line(60)
        except AssertionError:
            self.process.kill()
            _, errors = self.process.communicate(timeout=20)
            reason = errors.decode(errors="replace").strip()
            if self.process.returncode == 77:
                raise unittest.SkipTest(reason) from None
            raise AssertionError(f"the lab could not make {self.form}: {reason}") from None
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20 * SLOW)
        finally:
            for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
                pipe.close()

    def _read_line(self, seconds):
        deadline = time.monotonic() + seconds * SLOW
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            chunk = os.read(self.process.stdout.fileno(), 65536) if ready else b""
            if not chunk:
                # It ended, or time is up: its exit code tells which.
                try:
                    self.process.wait(1)
                except subprocess.TimeoutExpired:
                    pass
                raise AssertionError("no answer")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)

    def read(self):
        """healthy: makes the client inside read its file again; {"read": "ok"} where the server answered."""
        self.process.stdin.write(b"read\n")
        self.process.stdin.flush()
        return self._read_line(10)

    def inject(self, pid, path, wait=False):
        """Lets process `pid` open `path`; the result of openat, or None without `wait`."""
        done = subprocess.run([self.inject_program, str(pid), path, *([] if wait else ["--no-wait"])], capture_output=True,
                              text=True, timeout=20, check=False)
        if done.returncode == 77:
            raise unittest.SkipTest(done.stderr.strip())
        if done.returncode != 0:
            raise AssertionError(done.stderr.strip())
        return json.loads(done.stdout)["result"] if wait else None
