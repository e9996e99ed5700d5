# SPDX-License-Identifier: Apache-2.0
"""What chaos.py draws from: the situations of situations.py and some that only matter while a daemon acts, each with
what the rules (DESIGN, section 6) say of it and what may be done to it while it stands."""
import socket
import time
from dataclasses import dataclass

import situations
from daemon import wait_until
from lab import kernel_stacks
from situations import Truth, deadlock, spring

FREE, HOLD = "free", "hold"


def parked_device(stage):
    """The server outside has put its /dev/fuse on its way to nobody, and ended"""
    init, client = stage.container()
    connection = stage.spawn().fuse("a", inside=init)
    client.open(connection.file())
    stage.parked.append(put_on_its_way(connection))
    spring(init, client)
    return deadlock(init, [client], [connection])


def put_on_its_way(connection):
    """Ends the server, while its /dev/fuse is in a socket; returns the end at which it can be taken."""
    server = connection.server
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server.do("send", server.do("device", connection.index), descriptors=[its.fileno()])
    its.close()
    server.kill()
    wait_until(server.ended, 10, "the server to end")
    return ours


def one_after_the_other(stage):
    """A server with a file open on each of two mounts of its own: its exit waits for one, then for the other"""
    init, server = stage.container()
    connections = [server.fuse("a"), server.fuse("b")]
    for connection in connections:
        server.open(connection.file())
    spring(init, server)
    return deadlock(init, [server], connections)


def beside_a_zombie(stage):
    """A self-held file, and a dead member whose tracer outside does not look: an abort frees only a part"""
    init, server = stage.container()
    traced = init.spawn()
    tracer = stage.spawn()
    tracer.do("trace", traced.pid)
    connection = server.fuse("a")
    server.open(connection.file())
    spring(init, server)
    return deadlock(init, [server], [connection], release=tracer.kill)


def two_namespaces(stage):
    """Two dying namespaces wait for one connection, whose server died with the first"""
    init, server = stage.container()
    connection = server.fuse("a")
    server.open(connection.file())
    parent = stage.spawn()
    home, there = parent.do("hold_ns", parent.pid, "mnt"), parent.do("hold_ns", init.pid, "mnt")
    parent.do("join", there)
    other = parent.spawn("pid")
    other.do("reap")
    parent.do("join", home)
    parent.do("close", there)
    guest = other.spawn()
    guest.open(connection.file(1))
    connection.mute("flush")
    spring(other, guest)
    spring(init, server)
    return deadlock(init, [server, guest], [connection], outer=other)


def member_serves(stage):
    """As killed_init, and a member that nobody has told to die holds the device"""
    init = stage.spawn("pid", "mnt")
    connection = init.fuse("a")
    file = init.open(connection.file(), "direct")
    connection.keeper = init.spawn("keep")
    connection.mute("read")
    init.tell("read", file)
    init.wait_in("fuse_direct_IO")
    init.kill()
    return Truth("init_blocked", "waiting_on_live_server", "fuse_request", init, [init], [connection], live=[connection])


def another_type(stage):
    """A self-held file on a file system whose type is one letter longer than what may be touched"""
    init, server = stage.container()
    connection = server.fuse("a", subtype=stage.subtype + "x")
    server.open(connection.file())
    spring(init, server)
    return deadlock(init, [server], [connection])


@dataclass
class Kind:
    make: object
    fate: str
    why: str = ""  # of a hold: what forbids the abort
    door: bool = False  # its mount is in a mount namespace that others can be let into before it dies
    files: bool = False  # and its server still answers then
    single: bool = False  # one connection holds it, and nothing else
    endings: tuple = ()  # how it may end by itself
    weight: int = 1  # how often it is drawn

    @property
    def name(self):
        return self.make.__name__


SERVER = "a live server"
USER = "an outside user"
UNSEEN = "mounted nowhere: its users cannot be known"
NO_NAMESPACE = "no PID namespace is dying"
NOT_ALLOWED = "its type is not allowed"


def aio_that_stays(stage):
    """An asynchronous write (AIO) in flight"""
    try:
        truth = situations.aio(stage)
    except AssertionError as error:  # it was never seen there
        raise situations.NotThisTime(str(error)) from None
    time.sleep(0.3)
    # On a busy machine it may have gone on into a flush of the same file, which is a deadlock like any other.
    if "exit_aio" not in kernel_stacks([actor.pid for actor in truth.blocked]):
        raise situations.NotThisTime("it went on into a flush")
    return truth


def free(make, *traits):
    return Kind(make, FREE, **{trait: True for trait in traits})


def held(make, why, *endings, weight=1):
    return Kind(make, HOLD, why, endings=endings, weight=weight)


ENDINGS = ("answers", "dies", "pauses", "hands_over", "hands_over", "hands_over")
PLAIN = free(situations.self_held, "door", "files", "single")
KINDS = [
    PLAIN,
    free(situations.server_as_init, "door", "files", "single"),
    free(situations.init_with_threads, "door", "files", "single"),
    free(situations.dirty_mapping, "door", "files", "single"),
    free(situations.dirty_mapping_closed, "door", "files", "single"),
    free(situations.nested, "door", "files", "single"),
    free(situations.one_of_two, "door", "files"),
    free(situations.two_wedged, "door", "files"),
    free(situations.beside_a_busy_one, "door", "files", "single"),
    free(situations.io_uring, "door", "files", "single"),
    free(situations.core_dump, "door", "single"),
    free(situations.inherited_device, "door", "single"),
    free(situations.asleep, "single"),
    free(situations.asleep_in_uring, "single"),
    free(situations.init_in_uring, "single"),
    free(situations.killed_reader, "door", "single"),
    free(situations.killed_init, "door", "single"),
    free(situations.behind_a_lock, "door", "single"),
    free(parked_device, "single"),
    free(one_after_the_other, "door", "files"),
    free(beside_a_zombie, "door"),
    free(two_namespaces, "door", "single"),
    held(situations.slow_server, SERVER, *ENDINGS, weight=3),
    held(situations.stopped_server, SERVER, "answers", "dies"),
    # Nothing but the server protects it: nobody outside sees the mount.
    held(situations.server_by_setns, SERVER, *ENDINGS, weight=4),
    held(situations.device_in_a_thread, SERVER, "dies"),
    held(situations.leaderless_server, SERVER, "answers", "dies"),
    held(member_serves, SERVER, "keeper_dies"),
    held(aio_that_stays, "not certain which connection it is"),
    held(situations.shared_with_a_user, USER),
    held(situations.on_the_host, NO_NAMESPACE),
    held(situations.host_in_uring, NO_NAMESPACE),
    held(situations.detached, UNSEEN),
    held(situations.overlay, UNSEEN),
    held(situations.block_device, NOT_ALLOWED),
    held(another_type, NOT_ALLOWED),
    held(situations.unreaped_child, "nobody waits for FUSE"),
    held(situations.traced_zombie, "nobody waits for FUSE"),
    held(situations.traced_exit, "nobody waits for FUSE"),
    held(situations.frozen, "nobody waits for FUSE"),
    held(situations.crowd, "nothing is stuck"),
    held(situations.healthy, SERVER),
    held(situations.stalled_server, SERVER),
]
