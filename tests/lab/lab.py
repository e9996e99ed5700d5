# SPDX-License-Identifier: Apache-2.0
"""`Lab(form)`: a situation of defused-lab as a context, and what tests ask of the machine beside it.

Every wait has a deadline; the lab's guardian cleans up even when the test is killed."""
import glob
import json
import os
import select
import signal
import subprocess
import time
import unittest

from daemon import BUILD, SLOW, read_text

FUSECTL = "/sys/fs/fuse/connections"


def connections():
    """Numbers of this kernel's FUSE connections: of fusectl, or of all mount namespaces where it is not mounted."""
    if os.path.ismount(FUSECTL):
        return {int(name) for name in os.listdir(FUSECTL)}
    found = set()
    for path in glob.glob("/proc/[0-9]*/task/*/mountinfo"):
        for line in read_text(path).splitlines():
            if " - fuse." in line:
                major, minor = line.split()[2].split(":")
                found.add(int(major) << 20 | int(minor))
    return found


def kernel_stacks(pids, most=64):
    """State and kernel stack of each thread of `pids`, of each process the first ones only, as text: evidence, to be
    taken before anything is cleaned up. By a process of its own for each stack, since reading one can block."""
    parts = []
    for path in (path for pid in pids for path in sorted(glob.glob(f"/proc/{pid}/task/*"))[:most]):
        state = [line for line in read_text(f"{path}/status").splitlines() if line.startswith("State:")]
        try:
            done = subprocess.run(["cat", f"{path}/stack"], capture_output=True, text=True, timeout=2, check=False)
            stack = done.stdout or done.stderr
        except subprocess.TimeoutExpired:
            stack = "(reading it hangs)\n"
        parts.append(f"{path} {' '.join(state)}\n{stack}")
    return "".join(parts)


class Lab:
    """Stands when the context is entered; `truth` says what is true by construction; ended when it is left. Options are
    those of the program (fstype, source, mount_name, comm, work_dir, seconds); `wrapper` is a command to run it by."""

    def __init__(self, form, wrapper=(), **options):
        self.form = form
        self.program = [*wrapper, os.path.join(BUILD, "defused-lab")]
        self.inject_program = os.path.join(BUILD, "defused-inject")
        self.arguments = [part for key, value in options.items() for part in (f"--{key.replace('_', '-')}", str(value))]
        self.process = None
        self.truth = None
        self._buffer = b""

    def __enter__(self):
        self.process = subprocess.Popen([*self.program, "make", self.form, *self.arguments], stdin=subprocess.PIPE,
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
        self.close()

    def close(self):
        """Ends the situation; AssertionError with the kernel stacks where something is left. Again: nothing."""
        if self.process.stdout.closed:
            return
        self.process.send_signal(signal.SIGTERM)
        if self.process.stdin.closed:
            self.process.stdin = None  # else communicate() trips over it
        try:
            _, errors = self.process.communicate(timeout=20 * SLOW)
        except subprocess.TimeoutExpired:
            stacks = kernel_stacks([self.truth["init"]["pid"], self.truth["blocked"]["pid"], self.process.pid])
            self.process.kill()
            self.process.communicate(timeout=20)
            raise AssertionError(f"the lab did not end {self.form}:\n{stacks}") from None
        if self.process.returncode > 0:  # not where a test has killed it
            raise AssertionError(f"the lab ended with {self.process.returncode}: {errors.decode(errors='replace')}")

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
        for _ in range(20):
            done = subprocess.run([self.inject_program, str(pid), path, *([] if wait else ["--no-wait"])], capture_output=True,
                                  text=True, timeout=20, check=False)
            if "not inside a system call; try again" not in done.stderr:
                break
        if done.returncode == 77:
            raise unittest.SkipTest(done.stderr.strip())
        if done.returncode != 0:
            raise AssertionError(done.stderr.strip())
        return json.loads(done.stdout)["result"] if wait else None
