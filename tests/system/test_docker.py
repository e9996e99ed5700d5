# SPDX-License-Identifier: Apache-2.0
"""The incident itself with a real Docker: containers that `docker kill` cannot end, told by name and freed."""
import json
import os
import subprocess
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from daemon import DEFUSED, SLOW, Daemon, read_text, scan, wait_until  # noqa: E402
from docker_engine import Engine  # noqa: E402
from remedy_lab import audit  # noqa: E402

FSTYPE = "defusedlab"
RELEASED = 'defused_aborts_total{outcome="released"}'


class Events:
    """What `docker events` says, from when it is made."""

    def __init__(self, engine):
        self.all = []
        self.process = engine.begin("events", "--since", "0", "--format", "{{json .}}")
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.all.append(json.loads(line))

    def of(self, container, kind):
        return [one for one in self.all if one.get("id") == container.id and one["status"] == kind]

    def close(self):
        self.process.kill()
        self.process.wait(10)
        self.thread.join(10)
        self.process.stdout.close()


class Incident(unittest.TestCase):
    """Three containers: `hurt` has an init and a FUSE server that holds a file of its own, in `alone` that server is
    PID 1, `well` has one that serves others. Two are killed; what each tool then says is kept, and tests look at it."""

    @classmethod
    def setUpClass(cls):
        cls.engine = cls.enterClassContext(Engine())
        cls.hurt = cls.engine.run_tenant("hurt", "hold", f"{FSTYPE}.hurt", "--init")
        cls.alone = cls.engine.run_tenant("alone", "hold", f"{FSTYPE}.alone")
        cls.well = cls.engine.run_tenant("well", "serve", f"{FSTYPE}.well", "--init")
        cls.stuck = (cls.hurt, cls.alone)
        cls.events = Events(cls.engine)
        cls.addClassCleanup(cls.events.close)
        cls.well_reads = [cls.well.reads()]
        cls.daemon = cls.enterClassContext(Daemon(
            pass_deadline="20s", detect={"stuck_after": "2s"},
            remedy={"min_stuck": "3s", "allow": {"fstypes": [f"fuse.{FSTYPE}.*"]}}))
        cls.kill()
        cls.look()
        cls.free()

    @classmethod
    def kill(cls):
        """`docker kill`, and what Docker can still do: it waits for ten seconds before it gives up."""
        kills = {one: cls.engine.begin("kill", one.name) for one in cls.stuck}
        wait_until(lambda: all(cls.events.of(one, "kill") for one in cls.stuck), 10, "the kill events")
        cls.before_it_gave_up = {one: kills[one].poll() for one in cls.stuck}
        cls.entered = {one: cls.engine.try_docker("exec", one.name, "/bin/busybox", "true", timeout=20) for one in cls.stuck}
        # Which thread of a server closes the files last, and is blocked, is up to the scheduler.
        cls.alone_is_zombie = "State:\tZ" in read_text(f"/proc/{cls.alone.init}/status")
        cls.reading_hangs = not cls.alone_is_zombie and cls.engine.hangs("exec", "alone", "/bin/busybox", "cat", "/mnt/held",
                                                                         seconds=3)
        cls.kill_answers = {one: kills[one].communicate(timeout=30 * SLOW)[0] for one in cls.stuck}
        cls.kill_codes = {one: kills[one].returncode for one in cls.stuck}
        cls.well_reads.append(cls.well.reads())

    @classmethod
    def look(cls):
        """The commands and the daemon, which may only look yet."""
        code, cls.report, errors = scan("--config", cls.daemon.config, timeout=60)
        assert code == 0, errors
        cls.explained = {one: subprocess.run([DEFUSED, "explain", "--config", cls.daemon.config, one.id[:12]],
                                             capture_output=True, text=True, timeout=60 * SLOW, check=False) for one in cls.stuck}
        cls.connections = subprocess.run([DEFUSED, "connections", "--config", cls.daemon.config], capture_output=True,
                                         text=True, timeout=60 * SLOW, check=True).stdout
        cls.checked = subprocess.run([DEFUSED, "check", "--config", cls.daemon.config], capture_output=True, text=True,
                                     timeout=40 * SLOW, check=False)
        cls.info = wait_until(cls.told_by_metrics, 15, cls.daemon.log())
        cls.page = cls.daemon.get("/")[1]
        cls.status_of_stuck = {one: one.status() for one in cls.stuck}
        cls.died_before = {one: cls.events.of(one, "die") for one in cls.stuck}
        cls.waiting_before = {one: one.waiting() for one in cls.stuck}

    @classmethod
    def told_by_metrics(cls):
        """The series of both containers once they are there."""
        found = [key for key in cls.daemon.metrics() if key.startswith("defused_stuck_pid_namespace_info{")]
        found = {one: [key for key in found if f'container_id="{one.id}"' in key] for one in cls.stuck}
        return found if all(len(keys) == 1 and 'verdict="deadlocked"' in keys[0] for keys in found.values()) else None

    @classmethod
    def free(cls):
        """The operator switches the daemon to enforce."""
        cls.daemon.write_config({**cls.daemon.settings, "mode": "enforce"})
        os.kill(cls.daemon.supervisor(), 1)  # HUP
        try:
            wait_until(lambda: all(one.status().startswith("Exited") for one in cls.stuck), 30, "the containers to end")
        except AssertionError:
            raise AssertionError(cls.daemon.log() + "".join(one.stacks() for one in cls.stuck)) from None
        wait_until(lambda: cls.daemon.metric(RELEASED) == 2, 10, cls.daemon.log())
        wait_until(lambda: all(cls.events.of(one, "die") for one in cls.stuck), 10, "the die events")
        cls.well_reads.append(cls.well.reads())

    def namespace(self, container):
        found, = [one for one in self.report["pid_namespaces"] if one["pid_namespace"] == container.pid_namespace]
        return found

    def test_docker_kill_gives_up(self):
        for one in self.stuck:
            self.assertIsNone(self.before_it_gave_up[one], "docker kill was back at once")
            self.assertNotEqual(self.kill_codes[one], 0)
            zombie = one is self.alone and self.alone_is_zombie
            answer = "is zombie and can not be killed" if zombie else "did not receive an exit event"
            self.assertIn(answer, self.kill_answers[one])
            self.assertEqual(self.died_before[one], [], "it died")
            self.assertRegex(self.status_of_stuck[one], "^Up ")
            self.assertGreater(self.waiting_before[one], 0)

    def test_docker_exec(self):
        """Nobody gets into a namespace whose init reaps, or is a zombie. Where the leader of init is the thread that is
        blocked, one does, and hangs as soon as he touches the mount."""
        for one in self.stuck:
            entered = self.entered[one]
            if one is self.alone and not self.alone_is_zombie:
                self.assertEqual(entered.returncode, 0, entered.stderr)
                self.assertTrue(self.reading_hangs)
            else:
                self.assertEqual(entered.returncode, 126)
                refusal = b"setns process" if one is self.hurt else b"cannot exec in a stopped container"
                self.assertIn(refusal, entered.stdout + entered.stderr)

    def test_scan_names_the_containers(self):
        for one, state in ((self.hurt, "reaping"), (self.alone, "init_blocked")):
            found = self.namespace(one)
            self.assertEqual(found["container"], {"id": one.id, "runtime": "docker", "pod_uid": ""})
            self.assertEqual(found["init"]["pid"], one.init)
            self.assertEqual((found["state"], found["verdict"], found["evidence"]), (state, "deadlocked", "proven"))
            self.assertEqual((found["wait_class"], found["connections"]), ("fuse_flush", [one.connection]))
            for thread in found["blocked_threads"]:
                self.assertEqual((thread["connection"], thread["attribution"]), (one.connection, "exact"))
                self.assertIn("fuse_flush", thread["stack"])
            self.assertEqual((found["decision"]["action"], found["decision"]["reasons"]), ("hold", ["mode"]))
            connection, = [other for other in self.report["connections"] if other["id"] == one.connection]
            self.assertEqual((connection["server_state"], connection["fstype"]), ("none", f"fuse.{FSTYPE}.{one.name}"))
            self.assertEqual((connection["outside_users"], connection["outside_viewers"]), (0, 0))

    def test_a_healthy_container_is_no_finding(self):
        self.assertEqual(self.well_reads, [True] * 3)
        told = [one["pid_namespace"] for one in self.report["pid_namespaces"]]
        self.assertNotIn(self.well.pid_namespace, told)
        connection, = [one for one in self.report["connections"] if one["id"] == self.well.connection]
        self.assertEqual(connection["server_state"], "alive")
        self.assertEqual(len(connection["servers"]), 1)
        self.assertRegex(self.well.status(), "^Up ")
        self.assertEqual([one["status"] for one in self.events.all if one.get("id") == self.well.id and
                          one["status"] in ("die", "kill", "stop")], [])

    def test_explain_by_a_short_id(self):
        for one in self.stuck:
            done = self.explained[one]
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(f"docker {one.id}", " ".join(done.stdout.split()))
            self.assertIn("deadlocked", done.stdout)
            self.assertIn(f"/sys/fs/fuse/connections/{one.connection}/waiting", done.stdout)

    def test_connections_and_check_say_whose_it_is(self):
        for one in self.stuck:
            row = next(line for line in self.connections.splitlines() if line.startswith(f"{one.connection} "))
            self.assertIn(one.id[:12], row)
            self.assertIn(one.id[:12], self.checked.stdout)
        self.assertEqual(self.checked.returncode, 2, self.checked.stdout)

    def test_metrics_and_page(self):
        for one in self.stuck:
            labels, = self.info[one]
            for text in (f'container_id="{one.id}"', 'runtime="docker"', f'connection="{one.connection}"',
                         f'init_pid="{one.init}"', f'pid_namespace="{one.pid_namespace}"', 'pod_uid=""'):
                self.assertIn(text, labels)
            self.assertIn(one.id[:12], self.page)

    def test_docker_says_exited(self):
        for one in self.stuck:
            self.assertRegex(one.status(), r"^Exited \(137\) ")
            died, = self.events.of(one, "die")
            self.assertEqual(died["Actor"]["Attributes"]["exitCode"], "137")
            self.assertEqual(self.engine.try_docker("exec", one.name, "/bin/busybox", "true").returncode, 1)

    def test_two_aborts_were_enough(self):
        outcomes = audit(self.daemon, "outcome")
        self.assertEqual(sorted(one["connection"] for one in outcomes), sorted(one.connection for one in self.stuck))
        self.assertEqual({one["outcome"] for one in outcomes}, {"released"})
        told = {one["connection"]: one for one in audit(self.daemon, "intent")}
        for one in self.stuck:
            self.assertIn(one.id, json.dumps(told[one.connection]))


if __name__ == "__main__":
    unittest.main()
