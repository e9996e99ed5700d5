# SPDX-License-Identifier: Apache-2.0
"""Processes whose files in /proc hang their reader (KERNEL.md 4b): in execve, and with their mmap lock held.

While one stands, `ps aux` does not return. `defused scan` does, in under two seconds, and names what it could not read;
`defused run` goes on making passes on time."""
import contextlib
import os
import shutil
import subprocess
import time
import unittest

from daemon import Daemon, SLOW, scan, wait_until
from stage import Stage

BAR = 2.0 * SLOW  # of a scan with three samples, 250 ms apart
MANY = 20
ASKED = {"ns/pid", "stat", "stack", "wchan"}  # files that take exec_update_lock and that defused asks for


def stuck_in_execve(home, connection, count=1):
    """Processes that close a file of `connection`, which does not answer FLUSH, in execve."""
    connection.mute("flush")
    actors = [home.spawn() for _ in range(count)]
    for actor in actors:
        actor.open(connection.file())
    before = connection.waiting()  # INIT, which waits at first, was answered: they could open files
    for actor in actors:
        actor.hangs_readers = True
        actor.tell("exec")
    wait_until(lambda: connection.waiting() >= before + count, 10, "all to be in execve")
    return actors


def holds_mmap_lock(home, connection, how, writer):
    """A thread holds the lock until `connection` answers, another one waits for it as a writer."""
    connection.mute("read" if how == "mem" else "write")
    actor = home.spawn()
    file = actor.open(connection.file())
    actor.do("later", how, file)
    try:
        actor.wait_in("__access_remote_vm" if how == "mem" else "fuse_vma_close")
    except AssertionError:
        if how == "mem":
            raise
        raise unittest.SkipTest("this kernel (before 6.16) does not wait for FUSE in munmap") from None
    actor.tell(writer)
    actor.wait_in("userfaultfd_release" if writer == "uffd" else "vm_mmap_pgoff")
    return actor


@contextlib.contextmanager
def connection_of_a_live_server():
    with Stage() as stage:
        yield stage, stage.spawn().fuse("a")


def does_not_return(*command, seconds=1):
    """No processor time is needed for that, so the bar is not that of a slow build."""
    try:
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return True
    return False


class Readers(unittest.TestCase):
    def check_hangs(self, path):
        self.assertTrue(does_not_return("cat", path), f"{path} can be read")

    def check_ps_hangs(self):
        if shutil.which("ps"):
            self.assertTrue(does_not_return("ps", "aux", seconds=5), "ps returns")

    def scan_in_time(self, what):
        begin = time.monotonic()
        code, report, errors = scan()
        took = time.monotonic() - begin
        print(f"{what}: scan took {took:.2f} s")
        self.assertEqual(code, 0, errors)
        self.assertEqual(errors, "")
        self.assertLess(took, BAR)
        return report

    def check_named(self, report, actors):
        """What hangs is a gap with its file, and with its process where gaps have one."""
        timeouts = [gap for gap in report["gaps"] if gap["kind"] == "timeout"]
        self.assertTrue(ASKED & {gap["file"] for gap in timeouts}, report["gaps"])
        named = [gap["processes"] for gap in timeouts if "processes" in gap]
        if named:
            pids = {process["pid"] if isinstance(process, dict) else process for some in named for process in some}
            self.assertTrue(pids & {actor.pid for actor in actors}, report["gaps"])

    def check_never_wrong(self, told, verdicts):
        for one in told:
            self.assertIn(one["verdict"], (*verdicts, "undetermined"), one)

    def exits_of(self, report, actors):
        pids = {actor.pid for actor in actors}
        exits = [exit for exit in report["stuck_exits"] if exit["pid"] in pids]
        self.assertEqual({exit["pid"] for exit in exits}, pids)
        return exits

    def test_execve_of_the_living(self):
        """Nothing is asked of them that could hang."""
        with connection_of_a_live_server() as (stage, connection):
            actors = stuck_in_execve(stage, connection, MANY)
            self.check_hangs(f"/proc/{actors[0].pid}/stat")
            self.check_ps_hangs()
            report = self.scan_in_time(f"execve, {MANY} living")
            self.assertNotIn("timeout", {gap["kind"] for gap in report["gaps"]})
            self.assertEqual([exit for exit in report["stuck_exits"] if exit["pid"] in {a.pid for a in actors}], [])

    def check_execve_of_the_killed(self, count):
        with connection_of_a_live_server() as (stage, connection):
            actors = stuck_in_execve(stage, connection, count)
            for actor in actors:
                actor.kill()
            self.check_hangs(f"/proc/{actors[0].pid}/stat")
            report = self.scan_in_time(f"execve, {count} killed")
            self.check_named(report, actors)
            self.check_never_wrong(self.exits_of(report, actors), ["waiting_on_live_server"])

    def test_execve_of_a_killed_one(self):
        self.check_execve_of_the_killed(1)

    def test_execve_of_many_killed_ones(self):
        self.check_execve_of_the_killed(MANY)

    def check_execve_in_a_dying_namespace(self, count):
        with connection_of_a_live_server() as (stage, connection):
            init = stage.spawn("pid")
            init.do("reap")
            actors = stuck_in_execve(init, connection, count)
            init.kill()
            init.wait_in("zap_pid_ns_processes")
            self.check_hangs(f"/proc/{actors[0].pid}/stat")
            report = self.scan_in_time(f"execve, {count} in a dying namespace")
            self.check_named(report, actors)
            found = [ns for ns in report["pid_namespaces"] if ns["pid_namespace"] == init.pid_namespace]
            self.assertEqual([ns["state"] for ns in found], ["reaping"])
            self.check_never_wrong(found, ["waiting_on_live_server"])
            self.assertEqual({thread["pid"] for thread in found[0]["blocked_threads"]}, {actor.pid for actor in actors})

    def test_execve_of_one_in_a_dying_namespace(self):
        self.check_execve_in_a_dying_namespace(1)

    def test_execve_of_many_in_a_dying_namespace(self):
        self.check_execve_in_a_dying_namespace(MANY)

    def test_execve_of_who_holds_the_device(self):
        """The server is dead, and who could end the connection by closing /dev/fuse waits for it in execve."""
        with Stage() as stage:
            init, server = stage.container()
            connection = server.fuse("a")
            connection.mute("flush")
            victim = server.spawn("keep")
            victim.open(connection.file())
            victim.hangs_readers = True
            victim.tell("exec")
            wait_until(lambda: connection.waiting() == 1, 10, "it to be in execve")
            init.kill()
            init.wait_in("zap_pid_ns_processes")
            wait_until(server.ended, 10, "the server to be dead")
            self.check_hangs(f"/proc/{victim.pid}/stat")
            report = self.scan_in_time("execve, deadlocked")
            self.check_named(report, [victim])
            found = [ns for ns in report["pid_namespaces"] if ns["pid_namespace"] == init.pid_namespace]
            self.assertEqual([ns["state"] for ns in found], ["reaping"])
            self.check_never_wrong(found, ["deadlocked"])

    def test_execve_of_users_of_a_deadlock(self):
        """Who would be hurt is asked for as well, and so is since when they live."""
        with connection_of_a_live_server() as (stage, silent):
            init = stage.spawn("pid")  # in the mount namespace of the stage: they see the same mounts
            init.do("reap")
            server = init.spawn()
            wedged = server.fuse("wedged")
            users = [stage.spawn() for _ in range(MANY)]
            silent.mute("flush")
            for user in users:
                user.open(wedged.file(), "inherited")
                user.open(silent.file())
                user.hangs_readers = True
                user.tell("exec")
            wait_until(lambda: silent.waiting() >= MANY, 10, "all to be in execve")
            server.open(wedged.file())
            init.kill()
            init.wait_in("zap_pid_ns_processes")
            server.wait_in("fuse_flush")
            report = self.scan_in_time(f"execve, {MANY} users of a deadlock")
            found = [ns for ns in report["pid_namespaces"] if ns["pid_namespace"] == init.pid_namespace]
            self.assertEqual([(ns["verdict"], ns["connections"]) for ns in found], [("deadlocked", [wedged.id])])
            told = {connection["id"]: connection for connection in report["connections"]}
            self.assertEqual(told[wedged.id]["outside_users"], MANY)

    def check_mmap_lock(self, how, writer):
        with connection_of_a_live_server() as (stage, connection):
            actor = holds_mmap_lock(stage, connection, how, writer)
            self.check_hangs(f"/proc/{actor.pid}/cmdline")
            if how == "mem":
                self.check_ps_hangs()
            report = self.scan_in_time(f"mmap lock held by {how}, {writer} waits")
            self.assertEqual([exit for exit in report["stuck_exits"] if exit["pid"] == actor.pid], [])
            actor.kill()
            if writer == "uffd":  # the other one dies, and then nobody waits as a writer
                self.check_hangs(f"/proc/{actor.pid}/cmdline")
            report = self.scan_in_time(f"mmap lock held by {how}, {writer} waits, killed")
            exits = self.exits_of(report, [actor])
            self.assertEqual(len(exits), 2 if writer == "uffd" else 1)
            self.check_never_wrong(exits, ["waiting_on_live_server"])

    def test_mmap_lock_of_a_reader_of_its_own_memory(self):
        self.check_mmap_lock("mem", "map")

    def test_mmap_lock_with_a_writer_that_cannot_die(self):
        self.check_mmap_lock("mem", "uffd")

    def test_mmap_lock_of_who_unmaps(self):
        self.check_mmap_lock("unmap", "uffd")

    def test_mmap_lock_in_a_dying_namespace(self):
        with connection_of_a_live_server() as (stage, connection):
            init = stage.spawn("pid")
            init.do("reap")
            actor = holds_mmap_lock(init, connection, "mem", "uffd")
            init.kill()
            init.wait_in("zap_pid_ns_processes")
            self.check_hangs(f"/proc/{actor.pid}/cmdline")
            report = self.scan_in_time("mmap lock, in a dying namespace")
            found = [ns for ns in report["pid_namespaces"] if ns["pid_namespace"] == init.pid_namespace]
            self.assertEqual([ns["state"] for ns in found], ["reaping"])
            self.check_never_wrong(found, ["waiting_on_live_server"])
            self.assertEqual(len(found[0]["blocked_threads"]), 2)


class Service(unittest.TestCase):
    def test_passes_stay_on_time(self):
        """All kinds at once, also such as defused wants to read more of."""
        with connection_of_a_live_server() as (stage, connection):
            init = stage.spawn("pid")
            init.do("reap")
            holds_mmap_lock(stage, stage.spawn().fuse("b"), "mem", "uffd").kill()
            holds_mmap_lock(init, stage.spawn().fuse("c"), "mem", "uffd")
            stuck_in_execve(stage, connection)
            killed = stuck_in_execve(stage, connection, MANY)
            stuck_in_execve(init, connection)
            for actor in killed:
                actor.kill()
            init.kill()
            init.wait_in("zap_pid_ns_processes")
            with Daemon() as daemon:
                self.watch(daemon)
                begin = time.monotonic()
                os.kill(daemon.supervisor(), 15)
                self.assertEqual(daemon.process.wait(10), 0, daemon.log())
                self.assertLess(time.monotonic() - begin, 5)

    def watch(self, daemon):
        begin = daemon.metric("defused_scans_total")
        end = time.monotonic() + 10.5
        slowest = 0.0
        while time.monotonic() < end:
            asked = time.monotonic()
            self.assertEqual(daemon.get("/-/ready")[0], 200)
            slowest = max(slowest, time.monotonic() - asked)
            time.sleep(0.1)
        done = daemon.metric("defused_scans_total") - begin
        print(f"{done:.0f} passes in 10.5 s, slowest answer of the front {slowest * 1000:.0f} ms")
        self.assertGreaterEqual(done, 9 / SLOW)
        self.assertEqual(daemon.metric("defused_probers_lost_total"), 0)
        gaps = {key for key, value in daemon.metrics().items()
                if key.startswith("defused_read_gaps_total") and 'kind="timeout"' in key and value > 0}
        self.assertTrue(gaps, "what could not be read is counted")


if __name__ == "__main__":
    unittest.main()
