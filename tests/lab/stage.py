# SPDX-License-Identifier: Apache-2.0
"""`Stage`: processes that do what they are told, on a mount namespace of their own, and a guardian that ends it all.

A situation is made by telling actors (`defused-actor`) what to do, so what is true is known from what was told. Every
wait has a deadline; the guardian kills the actors and aborts their connections when the stage is left, when this program
is killed, or after `seconds`."""
import os
import select
import signal
import socket
import struct
import subprocess
import tempfile
import time

from daemon import BUILD, SLOW, mount_fusectl, read_text, wait_until
from lab import FUSECTL, kernel_stacks

PROGRAM = os.path.join(BUILD, "defused-actor")
FREEZER = "/sys/fs/cgroup/freezer"


def has_ended(pidfd):
    return bool(select.select([pidfd], [], [], 0)[0])


class Connection:
    """A FUSE connection of an actor: `id` as below fusectl, `path` of its mount point, `waiting()` as the kernel counts."""

    def __init__(self, number, path, server, index):
        self.id = number
        self.path = path
        self.server = server
        self.index = index

    def file(self, number=0):
        return f"{self.path}/f{number}"

    def mute(self, *kinds):
        self.server.do("mute", self.index, *kinds)

    def unmute(self):
        self.server.do("unmute", self.index)

    def waiting(self):
        return int(read_text(f"{FUSECTL}/{self.id}/waiting") or 0)


class Actor:
    """One process. `pid` is that of the host, whatever namespace it lives in."""

    def __init__(self, stage, channel):
        self.stage = stage
        self.socket = channel
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.pid = None
        self.pidfd = None
        self.pid_namespace = None
        self.hangs_readers = False  # its stack cannot be taken either

    def greet(self):
        """Waits for its first word, which the kernel signs with its PID."""
        self.socket.settimeout(10 * SLOW)
        text, control, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(12))
        assert text == b"ready", text
        self.pid = struct.unpack("iii", control[0][2])[0]
        self.pidfd = os.pidfd_open(self.pid)
        self.pid_namespace = os.stat(f"/proc/{self.pid}/ns/pid").st_ino
        self.stage.guard(b"p", self.pidfd)
        self.stage.actors.append(self)
        return self

    def tell(self, *words, descriptors=()):
        text = " ".join(str(word) for word in words).encode()
        socket.send_fds(self.socket, [text], list(descriptors))

    def do(self, *words, descriptors=()):
        """Has it done and returns the number in its answer; AssertionError with its sentence."""
        self.tell(*words, descriptors=descriptors)
        return self.hear(*words)

    def hear(self, *words):
        """The answer to what it was told."""
        kind, _, rest = self.socket.recv(4096).decode().partition(" ")
        assert kind == "ok", f"{words}: {kind} {rest}"
        return int(rest)

    def spawn(self, *words):
        """A child: words are pid, mnt (namespaces of its own) and keep (all open files)."""
        ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        child = Actor(self.stage, ours)
        self.do("spawn", *words, descriptors=[its.fileno()])
        its.close()
        return child.greet()

    def fuse(self, name, *words, inside=None, subtype=None):
        """Mounts a server of its own at `name`, in its mount namespace or in that of `inside`."""
        path = self.stage.path(name)
        index = self.do("fuse", path, subtype or self.stage.subtype, name, *words, *([f"in={inside.pid}"] if inside else []))
        seen_by = inside or self
        number = self.stage.connection_at(seen_by.pid, path)
        abort = os.open(f"{FUSECTL}/{number}/abort", os.O_WRONLY | os.O_CLOEXEC)
        # Numbers are used again at once: only a mount that is still there says whose file this is.
        assert self.stage.connection_at(seen_by.pid, path) == number
        self.stage.guard(b"a", abort)
        os.close(abort)
        connection = Connection(number, path, self, index)
        self.stage.note(connection)
        # A server that is killed before it has answered INIT leaves that waiting.
        wait_until(lambda: connection.waiting() == 0, 10, f"an answer to INIT of connection {number}")
        return connection

    def open(self, path, mode="rw"):
        return self.do("open", path, mode)

    def kill(self, number=signal.SIGKILL):
        self.stage.about_to_signal(self, number)
        signal.pidfd_send_signal(self.pidfd, number)

    def ended(self):
        return has_ended(self.pidfd)

    def stacks(self):
        return kernel_stacks([self.pid])

    def wait_in(self, *symbols):
        """Until one of its threads sleeps in all of these."""
        def sleeps():
            return any(all(symbol in part for symbol in symbols) for part in self.stacks().split("/proc/"))
        wait_until(sleeps, 10, f"{self.pid} in {symbols}")


class Stage:
    subtype = "defusedlab"  # of its connections: fuse.SUBTYPE

    def __init__(self, seconds=120):
        self.seconds = seconds
        self.actors = []
        self.connections = []
        self.frozen = []
        self.directory = None

    def __enter__(self):
        mount_fusectl()
        self.directory = tempfile.mkdtemp(prefix="defused-stage-")
        self.guardian_socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.guardian = subprocess.Popen([PROGRAM, "guard", str(theirs.fileno()), self.directory, str(self.seconds)],
                                         pass_fds=[theirs.fileno()], start_new_session=True)
        theirs.close()
        try:
            ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            first = Actor(self, ours)
            self.root = subprocess.Popen([PROGRAM, str(its.fileno())], pass_fds=[its.fileno()])
            its.close()
            self.stage = first.greet().spawn("mnt")
            self.stage.do("tmpfs", self.directory)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        stacks = kernel_stacks([actor.pid for actor in self.actors if not actor.ended() and not actor.hangs_readers])
        for actor in self.actors:
            actor.socket.close()
        self.guardian_socket.close()  # it acts now
        self.guardian.wait(30 * SLOW)
        self.root.wait(10)
        deadline = time.monotonic() + 10 * SLOW
        while not all(actor.ended() for actor in self.actors) and time.monotonic() < deadline:
            time.sleep(0.02)
        left = [actor.pid for actor in self.actors if not actor.ended()]
        for directory in self.frozen:
            wait_until(lambda: self._remove(directory), 10, f"{directory} to be empty")  # pylint: disable=W0640
        for actor in self.actors:
            os.close(actor.pidfd)
        if left:
            raise AssertionError(f"left behind: {left}\n{kernel_stacks(left)}before:\n{stacks}")

    @staticmethod
    def _remove(directory):
        try:
            os.rmdir(directory)
        except OSError:
            return False
        return True

    def note(self, connection):
        """Each connection, as soon as it is there."""
        self.connections.append(connection)

    def about_to_signal(self, actor, number):
        """Before each signal to an actor: the place to add something to a situation."""

    def guard(self, kind, descriptor):
        socket.send_fds(self.guardian_socket, [kind], [descriptor])

    def spawn(self, *words):
        """A child of the stage: outside of every container, in the stage's mount namespace unless told otherwise."""
        return self.stage.spawn(*words)

    def container(self, *words):
        """The init of a new PID and mount namespace, and one child in it."""
        init = self.stage.spawn("pid", "mnt", *words)
        init.do("reap")
        return init, init.spawn()

    def path(self, name):
        """A directory on the stage's own file system; made where it is missing."""
        path = f"{self.directory}/{name}"
        if not hasattr(self, "made"):
            self.made = set()
        if name not in self.made:
            self.stage.do("mkdir", path)
            self.made.add(name)
        return path

    @staticmethod
    def connection_at(pid, path):
        for line in reversed(read_text(f"/proc/{pid}/mountinfo").splitlines()):
            fields = line.split()
            if fields[4] == path and " - fuse" in line:
                major, minor = fields[2].split(":")
                return int(major) << 20 | int(minor)
        raise AssertionError(f"nothing is mounted at {path}")

    def freeze(self, actor):
        """By the cgroup v1 freezer, which does not let a killed task die."""
        directory = f"{FREEZER}/{os.path.basename(self.directory)}"
        os.mkdir(directory)
        self.frozen.append(directory)
        with open(f"{directory}/freezer.state", "wb", buffering=0) as state:
            self.guard(b"t", state.fileno())
            with open(f"{directory}/cgroup.procs", "w", encoding="ascii") as members:
                members.write(str(actor.pid))
            state.write(b"FROZEN")
