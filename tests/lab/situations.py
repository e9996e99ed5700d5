# SPDX-License-Identifier: Apache-2.0
"""The situations that defused must tell apart, each made of actors on a stage, and what is true of each by construction.

A situation is a function of the stage that returns a `Truth`; its docstring is its line in docs/DETECTION.md."""
import os
import signal
import unittest
from dataclasses import dataclass, field

from daemon import read_text, wait_until
from stage import FREEZER

FLUSH = ("request_wait_answer", "fuse_flush")
ZAP = "zap_pid_ns_processes"


class NotThisTime(Exception):
    """The kernel's threads took another order than the one that is wanted: to be made again."""


@dataclass
class Truth:
    """Of the one namespace or stuck exit that is to be found. `connections` are the wedged ones."""
    state: str = ""  # "": nothing is dying
    verdict: str = ""
    wait_class: str = ""
    init: object = None
    blocked: list = field(default_factory=list)  # actors that must be named among the blocked threads
    connections: list = field(default_factory=list)
    server: str = "none"
    users: int = 0
    viewers: int = 0
    outer: object = None  # the init of a namespace that waits for this one
    stuck_exit: object = None  # an actor outside of every dying namespace
    live: list = field(default_factory=list)  # connections that have a live server
    stalled: list = field(default_factory=list)  # connections without a deadlock whose oldest request does not move
    alone: str = ""  # the verdict by /proc alone, where it has to be a weaker one
    orphaned: bool = False  # the wedged connections are mounted nowhere and held by nobody
    classes: set = None  # the wait classes of the blocked threads, where not all have that of the namespace
    stands: str = ""  # what the blocked ones are in, to be seen after the look as well
    release: object = None  # lets it end by itself


def spring(init, *blocked, symbols=FLUSH):
    """Kills the namespace and waits until it stands."""
    init.kill()
    init.wait_in(ZAP)
    for actor in blocked:
        actor.wait_in(*symbols)


def busy_server(stage):
    """A connection of a live server outside that takes its time with somebody else's read."""
    live = stage.spawn().fuse("live")
    reader = stage.spawn()
    file = reader.open(live.file(), "direct")
    live.mute("read")
    reader.do("later", "read", file)
    reader.wait_in("fuse_")
    return live


def fsync_in_flight(actor):
    """A connection of the actor's own, with an fsync by an io_uring worker that nobody answers."""
    connection = actor.fuse("a")
    file = actor.open(connection.file())
    connection.mute("fsync")
    actor.do("uring_fsync", file)
    actor.wait_in("io_wq_worker", "fuse")
    return connection


def deadlock(init, blocked, connections, **more):
    return Truth("reaping", "deadlocked", more.pop("wait_class", "fuse_flush"), init, blocked, connections, **more)


def self_held(stage):
    """A server holds a file of its own mount"""
    init, server = stage.container()
    connection = server.fuse("a")
    server.open(connection.file())
    spring(init, server)
    return deadlock(init, [server], [connection])


def server_as_init(stage):
    """The server is PID 1 and holds a file of its own; another member lives on"""
    init = stage.spawn("pid", "mnt")
    init.spawn()
    connection = init.fuse("a")
    init.open(connection.file())
    init.kill()
    init.wait_in(*FLUSH)
    if ZAP in init.stacks():  # its leader came last: then the other threads of init count as members, and it waits for them
        raise NotThisTime
    return Truth("init_blocked", "deadlocked", "fuse_flush", init, [init], [connection])


def init_with_threads(stage):
    """Init has threads, and the one in `zap_pid_ns_processes` is not its leader"""
    init, server = stage.container()
    connection = server.fuse("a")
    server.open(connection.file())
    init.do("leave_leader")
    spring(init, server)
    return deadlock(init, [server], [connection])


def dirty_mapping(stage):
    """A dirty shared mapping of a file of its own, still open"""
    init, server = stage.container()
    connection = server.fuse("a")
    server.do("dirty", server.open(connection.file()))
    spring(init, server, symbols=("fuse",))
    on_close = "fuse_vma_close" not in server.stacks()  # up to 6.15 it waits only when the file is closed
    return deadlock(init, [server], [connection], wait_class="fuse_flush" if on_close else "fuse_writeback",
                    server="none" if on_close else "dying")


def dirty_mapping_closed(stage):
    """A dirty shared mapping whose file was closed before, with the page cache writing back"""
    init, server = stage.container()
    connection = server.fuse("a", "writeback")
    server.do("dirty", server.open(connection.file()), "closed")
    init.kill()
    init.wait_in(ZAP)
    server.wait_in("fuse_vma_close")
    return deadlock(init, [server], [connection], wait_class="fuse_writeback", server="dying")


def nested(stage):
    """A namespace in a namespace; the outer one is killed and waits for the inner one"""
    outer, middle = stage.container()
    init = middle.spawn("pid")
    init.do("reap")
    server = init.spawn()
    connection = server.fuse("a")
    server.open(connection.file())
    spring(outer, server)
    init.wait_in(ZAP)
    return deadlock(init, [server], [connection], outer=outer)


def one_of_two(stage):
    """Two connections of a dead server, of which only one is waited for"""
    init, server = stage.container()
    guilty = server.fuse("a")
    server.fuse("b")
    server.open(guilty.file())
    spring(init, server)
    return deadlock(init, [server], [guilty])


def two_wedged(stage):
    """Two servers in one namespace, each waits for itself"""
    init, first = stage.container()
    second = init.spawn()
    connections = [first.fuse("a"), second.fuse("b")]
    first.open(connections[0].file())
    second.open(connections[1].file())
    spring(init, first, second)
    return deadlock(init, [first, second], connections)


def beside_a_busy_one(stage):
    """Beside the wedged connection one with a live server that takes its time with somebody else's read"""
    live = busy_server(stage)
    init, server = stage.container()
    connection = server.fuse("a")
    server.open(connection.file())
    spring(init, server)
    return deadlock(init, [server], [connection], live=[live], stalled=[live], alone="undetermined")


def slow_server(stage):
    """A live server outside that has not answered yet"""
    connection = stage.spawn().fuse("a")
    connection.mute("flush")
    init, client = stage.container()
    client.open(connection.file())
    spring(init, client)
    return Truth("reaping", "waiting_on_live_server", "fuse_flush", init, [client], [connection], server="alive", viewers=1,
                 live=[connection], release=connection.unmute)


def stopped_server(stage):
    """A server outside that was stopped (SIGSTOP)"""
    connection = stage.spawn().fuse("a")
    init, client = stage.container()
    client.open(connection.file())
    connection.server.kill(signal.SIGSTOP)
    # One thread takes the signal and stops the others: until then they may still answer.
    wait_until(lambda: connection.server.stacks().replace("State:\tT", "").count("State:") == 0, 10, "a stopped server")
    spring(init, client)
    return Truth("reaping", "waiting_on_live_server", "fuse_flush", init, [client], [connection], server="alive", viewers=1,
                 live=[connection], release=lambda: connection.server.kill(signal.SIGCONT))


def server_by_setns(stage):
    """A live server outside whose mount exists only in the victim's mount namespace"""
    init, client = stage.container()
    connection = stage.spawn().fuse("a", inside=init)
    connection.mute("flush")
    client.open(connection.file())
    spring(init, client)
    return Truth("reaping", "waiting_on_live_server", "fuse_flush", init, [client], [connection], server="alive",
                 live=[connection], release=connection.unmute)


def shared_with_a_user(stage):
    """A deadlock on a connection that a living process outside has open"""
    init = stage.spawn("pid")
    init.do("reap")
    server = init.spawn()
    connection = server.fuse("a")
    server.open(connection.file())
    stage.spawn().open(connection.file(1), "r")
    spring(init, server)
    return deadlock(init, [server], [connection], users=1, viewers=1)


def on_the_host(stage):
    """The same self-held file in a process of the host, in no PID namespace of its own"""
    server = stage.spawn("mnt")
    connection = server.fuse("a")
    server.open(connection.file())
    server.kill()
    server.wait_in(*FLUSH)
    return Truth("", "deadlocked", "fuse_flush", None, [server], [connection], stuck_exit=server)


def unreaped_child(stage):
    """A process put into the namespace by a parent outside (setns) that never waits for it"""
    init, _ = stage.container()
    parent = stage.spawn()
    parent.do("enter", init.pid, "pid")
    child = parent.spawn()
    child.tell("exit_group")
    init.kill()
    init.wait_in(ZAP)
    return Truth("draining", "not_fuse", "unreaped_child", init, [child])


def traced_zombie(stage):
    """A child that is dead, and whose tracer outside does not look"""
    init, child = stage.container()
    stage.spawn().do("trace", child.pid)
    init.kill()
    init.wait_in(ZAP)
    return Truth("reaping", "not_fuse", "ptrace", init, [child])


def traced_exit(stage):
    """A child that is stopped on its way out for a tracer that does not look"""
    init, child = stage.container()
    stage.spawn().do("trace", child.pid, "exit")
    spring(init, child, symbols=("ptrace_stop",))
    return Truth("reaping", "not_fuse", "ptrace", init, [child])


def frozen(stage):
    """A child in a frozen cgroup (v1), with a FUSE mount beside it"""
    if not os.path.isdir(FREEZER):
        raise unittest.SkipTest("no cgroup v1 freezer here")
    init, child = stage.container()
    live = stage.spawn().fuse("live")
    stage.freeze(child)
    spring(init, child, symbols=("__refrigerator",))
    return Truth("reaping", "not_fuse", "freezer", init, [child], live=[live])


def crowd(stage):
    """500 processes that die as they should"""
    init, _ = stage.container()
    init.do("crowd", 500)
    init.kill()
    return Truth()


def healthy(stage):
    """A healthy server and its client"""
    init, server = stage.container()
    connection = server.fuse("a")
    client = init.spawn()
    client.open(connection.file())
    return Truth(live=[connection])


def detached(stage):
    """The wedged mount is lazily detached; beside it an innocent one whose live server takes its time"""
    live = busy_server(stage)
    init, server = stage.container()
    connection = server.fuse("a")
    server.open(connection.file())
    server.do("detach", connection.path)
    spring(init, server)
    return deadlock(init, [server], [connection], live=[live], stalled=[live], users=None, orphaned=True,
                    alone="undetermined")


def overlay(stage):
    """An overlay whose lower layer is the wedged mount, in no mount table any more"""
    init, server = stage.container()
    connection = server.fuse("a")
    upper = stage.path("upper")
    server.do("tmpfs", upper)
    server.do("mkdir", upper + "/up")
    server.do("mkdir", upper + "/work")
    server.do("overlay", connection.path, upper + "/up", upper + "/work", stage.path("merged"))
    server.do("detach", connection.path)
    server.open(stage.path("merged") + "/f0", "r")
    spring(init, server)
    return deadlock(init, [server], [connection], users=None, orphaned=True)


def aio(stage):
    """An asynchronous write (AIO) in flight"""
    init, server = stage.container()
    connection = server.fuse("a")
    file = server.open(connection.file(), "direct")
    connection.mute("write")
    server.do("aio", file)
    spring(init, server, symbols=("exit_aio",))
    # Every exit waits there for a moment; once, on a busy machine, it went on into a flush of the same file.
    return deadlock(init, [server], [connection], wait_class="aio", server="dying", stands="exit_aio")


def io_uring(stage):
    """An fsync by an io_uring worker in flight"""
    init, server = stage.container()
    connection = fsync_in_flight(server)
    spring(init, server, symbols=("io_wq_put_and_exit",))
    return deadlock(init, [server], [connection], wait_class="io_uring", server="dying")


def core_dump(stage):
    """A core dump onto FUSE, by a process that got /dev/fuse from its server"""
    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as file:
        if file.read(1) in "|/@":
            raise unittest.SkipTest("kernel.core_pattern does not write to the working directory")
    init, server = stage.container()
    connection = server.fuse("a")
    connection.mute("write")
    dumper = server.spawn("keep")
    dumper.tell("dump", connection.path)
    dumper.wait_in("coredump", "request_wait_answer")
    spring(init, dumper, symbols=("coredump",))
    return deadlock(init, [dumper], [connection], wait_class="coredump", server="dying")


def inherited_device(stage):
    """The server is dead, but the blocked process got its /dev/fuse from it"""
    init, server = stage.container()
    connection = server.fuse("a")
    client = server.spawn("keep")
    client.open(connection.file())
    connection.mute("flush")
    spring(init, client)
    return deadlock(init, [client], [connection])


def asleep(stage):
    """An exiting thread in state S: another thread called exit_group, no signal is pending"""
    init, server = stage.container()
    connection = server.fuse("a")
    server.open(connection.file())
    server.tell("exit_group")
    server.wait_in(*FLUSH)
    assert "State:\tS" in server.stacks()
    spring(init, server)
    assert "State:\tS" in server.stacks()
    return deadlock(init, [server], [connection])


def asleep_in_uring(stage):
    """An io_uring fsync in flight, in a process that left by exit_group: its leader shows neither PF_EXITING nor SIGKILL"""
    init, server = stage.container()
    connection = fsync_in_flight(server)
    server.tell("exit_group")
    server.wait_in("io_wq_put_and_exit")
    spring(init, server, symbols=("io_wq_put_and_exit",))
    status = read_text(f"/proc/{server.pid}/status")
    assert "ShdPnd:\t0000000000000000" in status and "VmSize" in status, status
    return deadlock(init, [server], [connection], wait_class="io_uring", server="dying")


def host_in_uring(stage):
    """The same in a process of the host: only the kernel itself says that it was told to die"""
    server = stage.spawn("mnt")
    connection = fsync_in_flight(server)
    server.tell("exit_group")
    server.wait_in("io_wq_put_and_exit")
    return Truth("", "deadlocked", "io_uring", None, [server], [connection], server="dying", stuck_exit=server,
                 alone="nothing")


def init_in_uring(stage):
    """The same in init: its namespace is dying, though nobody has told the other members"""
    init = stage.spawn("pid", "mnt")
    init.spawn()
    connection = fsync_in_flight(init)
    init.tell("exit_group")
    init.wait_in("io_wq_put_and_exit")
    return Truth("init_blocked", "deadlocked", "io_uring", init, [init], [connection], server="dying", alone="nothing")


def killed_reader(stage):
    """A read of its own file, killed before it came to exit; it still has its memory"""
    init, server = stage.container()
    connection = server.fuse("a")
    file = server.open(connection.file(), "direct")
    connection.mute("read")
    server.tell("read", file)
    server.wait_in("fuse_direct_IO")
    spring(init, server, symbols=("fuse_direct_IO",))
    assert "VmSize" in read_text(f"/proc/{server.pid}/status")
    return deadlock(init, [server], [connection], wait_class="fuse_request", server="dying")


def killed_init(stage):
    """Init reads a file of its own and was killed before it came to exit; its members were not told to die"""
    init = stage.spawn("pid", "mnt")
    init.spawn()
    connection = init.fuse("a")
    file = init.open(connection.file(), "direct")
    connection.mute("read")
    init.tell("read", file)
    init.wait_in("fuse_direct_IO")
    init.kill()
    wait_until(lambda: "Threads:\t1\n" in read_text(f"/proc/{init.pid}/status"), 10, "its other threads to be gone")
    return Truth("init_blocked", "deadlocked", "fuse_request", init, [init], [connection], server="dying")


def behind_a_lock(stage):
    """Two writes to one file: one waits for the server, the other for the lock that the first one holds"""
    init, server = stage.container()
    connection = server.fuse("a")
    first, second = server.open(connection.file()), server.open(connection.file())
    connection.mute("write")
    server.do("later", "write", first)
    server.wait_in("fuse_", "request_wait_answer")
    server.do("later", "write", second)
    own_lock = "disk sleep)\n[<0>] fuse_file_write_iter"  # the lock itself is left out of stacks (in_sched_functions)
    server.wait_in(own_lock)
    spring(init, server, symbols=(own_lock,))
    return deadlock(init, [server], [connection], wait_class="fuse_request", server="dying",
                    classes={"fuse_request", "fuse_lock"})


def block_device(stage):
    """The same self-held file on a fuseblk mount: the connection has the number of the block device"""
    if not os.path.exists("/dev/loop-control"):
        raise unittest.SkipTest("no loop devices here")
    init, server = stage.container()
    connection = server.fuse("a", "block")
    assert connection.id >> 20 == 7, connection.id
    server.open(connection.file())
    spring(init, server)
    return deadlock(init, [server], [connection])


def device_in_a_thread(stage):
    """A live server outside whose /dev/fuse is only in the descriptor table of one of its threads"""
    connection = stage.spawn().fuse("a")
    init, client = stage.container()
    client.open(connection.file())
    connection.server.do("own_table", connection.index)
    spring(init, client)
    return Truth("reaping", "waiting_on_live_server", "fuse_flush", init, [client], [connection], server="alive", viewers=1,
                 live=[connection])


def leaderless_server(stage):
    """A live server outside whose first thread has ended: a zombie by its status, and not told to die"""
    connection = stage.spawn().fuse("a")
    connection.mute("flush")
    connection.server.do("leave_leader")
    init, client = stage.container()
    client.open(connection.file())
    spring(init, client)
    assert "State:\tZ" in read_text(f"/proc/{connection.server.pid}/status")
    return Truth("reaping", "waiting_on_live_server", "fuse_flush", init, [client], [connection], server="alive", viewers=1,
                 live=[connection], release=connection.unmute)


def stalled_server(stage):
    """No namespace dies, but a reader waits for a server that does not answer"""
    live = busy_server(stage)
    stage.container()
    return Truth(live=[live], stalled=[live])


SITUATIONS = [self_held, server_as_init, init_with_threads, dirty_mapping, dirty_mapping_closed, nested, one_of_two,
              two_wedged, beside_a_busy_one, slow_server, stopped_server, server_by_setns, shared_with_a_user, on_the_host,
              unreaped_child, traced_zombie, traced_exit, frozen, crowd, healthy, detached, overlay, aio, io_uring,
              core_dump, inherited_device, asleep, asleep_in_uring, host_in_uring, init_in_uring, killed_reader, killed_init, behind_a_lock,
              block_device, device_in_a_thread, leaderless_server, stalled_server]
