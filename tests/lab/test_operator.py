# SPDX-License-Identifier: Apache-2.0
"""What an operator does and sees: abort by hand, pause and resume, hooks, the circuit breaker, a lost ledger, a full disk,
evidence that is kept; each on a real deadlock."""
import json
import os
import pty
import re
import shutil
import stat
import subprocess
import tarfile
import tempfile
import time
import unittest

from daemon import BUILD, DEFUSED, SLOW, Daemon, mount_fusectl, read_text, wait_until
from lab import FUSECTL, Lab
from remedy_lab import (ALLOWED, QUICK, REMEDY, audit, defused, enforcing, is_gone, ledger, stands, state_of)

RELEASED, NOT_FREED, HELD, NOTHING_THERE, NOT_CONFIRMED, USAGE = 0, 9, 7, 6, 8, 2


def holds(daemon, gate):
    return daemon.metric(f'defused_holds{{reason="{gate}"}}') == 1


def aborts(daemon, outcome):
    return daemon.metric(f'defused_aborts_total{{outcome="{outcome}"}}')


def passes(daemon, count):
    """So many passes more."""
    scans = daemon.metric("defused_scans_total")
    wait_until(lambda: daemon.metric("defused_scans_total") >= scans + count, 15, daemon.log())


class Operator(unittest.TestCase):
    def setUp(self):
        mount_fusectl()
        self.directory = tempfile.mkdtemp(prefix="defused-test-")
        self.addCleanup(shutil.rmtree, self.directory)

    def observing(self, **remedy):
        return Daemon(mode="observe", directory=self.directory, remedy={**REMEDY, **remedy}, **QUICK)

    def check_freed(self, daemon, truth):
        """Gone, and recorded."""
        wait_until(lambda: aborts(daemon, "released") == 1, 20, daemon.log())
        self.assertTrue(is_gone(truth))

    def write_hook(self, name, text):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write("#!/bin/sh\n" + text)
        os.chmod(path, stat.S_IRWXU)
        return path


class ByHand(Operator):
    def test_frees_what_no_gate_holds(self):
        with Lab("flush_thread", fstype="defusedlab") as lab, self.observing() as daemon:
            number = str(lab.truth["connection"])
            time.sleep(1.5)  # min_stuck
            code, text, errors = defused(daemon, "abort", number, "--yes")
            self.assertEqual(code, RELEASED, text + errors)
            self.assertIn(f"abort of connection {number}", text)
            self.assertIn("released", text)
            self.assertTrue(is_gone(lab.truth))
            intent, outcome = audit(daemon)
            self.assertEqual((intent["record"], outcome["record"], outcome["outcome"]), ("intent", "outcome", "released"))
            self.assertEqual(intent["by_hand"]["override_reason"], "")
            # The daemon shares the ledger: it shows the action and counts it in its budget.
            wait_until(lambda: daemon.metric("defused_abort_budget_remaining") == 2, 10, daemon.log())
            shown = lambda: json.loads(daemon.get("/api/v1/report")[1])["actions"]  # noqa: E731
            wait_until(lambda: [(a["outcome"], a["by_hand"]) for a in shown()] == [("released", True)], 10, daemon.log())
            self.assertEqual(defused(daemon, "abort", number, "--yes")[0], NOTHING_THERE)

    def test_says_it_as_json(self):
        with Lab("flush_thread", fstype="defusedlab") as lab, self.observing(min_stuck="1h") as daemon:
            number = str(lab.truth["connection"])
            code, text, errors = defused(daemon, "abort", number, "--json", "--yes")
            held = json.loads(text)
            self.assertEqual((code, held["exit_code"], errors), (HELD, HELD, ""))
            self.assertEqual((held["schema"], held["connection"], held["outcome"]), ("defused.abort/v1", int(number), None))
            self.assertEqual([gate["gate"] for gate in held["gates"]], ["too_young"])
            self.assertEqual([gate["pid_namespace"] for gate in held["gates"]], held["pid_namespaces"])
            code, text, errors = defused(daemon, "abort", number, "--json", "--override", "a test")
            self.assertEqual((code, json.loads(text)["gates"]), (NOT_CONFIRMED, []))
            self.assertIn("say --yes", errors)
            self.assertFalse(is_gone(lab.truth))
            code, text, errors = defused(daemon, "abort", number, "--json", "--yes", "--override", "a test")
            self.assertEqual((code, json.loads(text)["outcome"]["outcome"], errors), (RELEASED, "released", ""))
            self.assertTrue(is_gone(lab.truth))

    def test_asks_on_a_terminal(self):
        with Lab("flush_thread", fstype="defusedlab") as lab, self.observing() as daemon:
            number = str(lab.truth["connection"])
            time.sleep(1.5)
            self.assertEqual(defused(daemon, "abort", number)[0], NOT_CONFIRMED)  # nobody can be asked
            for answer, code in (("y", NOT_CONFIRMED), (number, RELEASED)):
                self.assertTrue(stands(lab.truth))
                master, slave = pty.openpty()
                try:
                    os.write(master, (answer + "\n").encode())
                    self.assertEqual(defused(daemon, "abort", number, stdin=slave)[0], code, answer)
                finally:
                    os.close(master)
                    os.close(slave)
            self.assertTrue(is_gone(lab.truth))

    def test_override_goes_past_the_age_alone(self):
        with Lab("flush_thread", fstype="defusedlab") as lab, self.observing(min_stuck="10m") as daemon:
            number = str(lab.truth["connection"])
            code, text, _ = defused(daemon, "abort", number, "--yes")
            self.assertEqual(code, HELD, text)
            self.assertIn("held by too_young", text)
            self.assertNotIn("held by mode", text)  # who types it is the mode
            self.assertIn("--override", text)
            self.assertEqual(defused(daemon, "abort", number, "--yes", "--override", "")[0], USAGE)
            denied = {**daemon.settings["remedy"], "deny": {"fstypes": ["fuse.defusedlab"]}}
            daemon.write_config({**daemon.settings, "remedy": denied})
            code, text, _ = defused(daemon, "abort", number, "--yes", "--override", "ticket 4711")
            self.assertEqual(code, HELD, text)
            self.assertIn("held by denied", text)
            self.assertTrue(stands(lab.truth))
            self.assertEqual(audit(daemon), [])
            daemon.write_config(daemon.settings)
            code, text, errors = defused(daemon, "abort", number, "--yes", "--override", "ticket 4711")
            self.assertEqual(code, RELEASED, text + errors)
            self.assertEqual(audit(daemon, "intent")[0]["by_hand"]["override_reason"], "ticket 4711")

    def test_holds_for_a_live_server_and_says_so(self):
        with Lab("healthy") as lab, self.observing() as daemon:
            code, text, _ = defused(daemon, "abort", str(lab.truth["connection"]), "--yes", "--override", "because")
            self.assertEqual(code, HELD, text)
            self.assertIn("no dying PID namespace is held by it", text)
            self.assertEqual(lab.read()["read"], "ok")
            for word in ("0", "x", "-1", "99999999999999"):
                self.assertEqual(defused(daemon, "abort", "--yes", "--", word)[0], USAGE, word)
            code, _, errors = defused(daemon, "abort", "4294967295", "--yes")
            self.assertEqual(code, NOTHING_THERE, errors)

    def test_where_fusectl_is_read_only_it_does_not_begin(self):
        """The pod of a daemon that may only look: no failed action, which would count for the circuit breaker."""
        with Lab("flush_thread") as lab, self.observing() as daemon:
            read_only = f'mount -o remount,bind,ro {FUSECTL} && exec "$@"'
            done = subprocess.run(
                ["unshare", "--mount", "--propagation", "private", "sh", "-c", read_only, "sh", DEFUSED, "abort", "--config",
                 daemon.config, str(lab.truth["connection"]), "--yes"],
                capture_output=True, text=True, timeout=20 * SLOW, check=False)
            self.assertEqual((done.returncode, done.stdout), (3, ""), done.stderr)
            self.assertIn("is mounted read-only", done.stderr)
            self.assertEqual(audit(daemon), [])
            self.assertTrue(stands(lab.truth))

    def test_explain_knows_that_it_would_be_recorded(self):
        """Its own sandbox has the state directory read-only; what it says is about the host."""
        with Lab("flush_thread", fstype="defusedlab") as lab, self.observing() as daemon:
            state = state_of(daemon)
            os.makedirs(state, exist_ok=True)
            connection = lab.truth["connection"]
            explain = [DEFUSED, "explain", "--config", daemon.config, f"connection:{connection}"]
            done = subprocess.run(explain, capture_output=True, text=True, timeout=20 * SLOW, check=False)
            self.assertIn(f"defused abort {connection}", done.stdout)
            self.assertNotIn(f"connections/{connection}/abort", done.stdout)
            read_only = f'mount --bind {state} {state} && mount -o remount,bind,ro {state} && exec "$@"'
            done = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", read_only, "sh", *explain],
                                  capture_output=True, text=True, timeout=20 * SLOW, check=False)
            self.assertIn("record_unwritable", done.stdout, done.stderr)
            self.assertNotIn(f"defused abort {connection}", done.stdout)

    def test_one_actor_at_a_time(self):
        """A second `defused abort` beside one that is in its hook does nothing; the daemon holds meanwhile."""
        hook = self.write_hook("before", "sleep 20\n")
        with Lab("flush_thread", fstype="defusedlab") as lab, enforcing(
                self.directory, before_hook=[hook], hook_timeout="60s", deny={"fstypes": ["*"]}) as daemon:
            allowed = os.path.join(self.directory, "by-hand.json")
            with open(allowed, "w", encoding="utf-8") as file:
                json.dump({**daemon.settings, "remedy": {**daemon.settings["remedy"], "deny": {"fstypes": []}}}, file)
            time.sleep(1.5)
            number = str(lab.truth["connection"])
            with subprocess.Popen([DEFUSED, "abort", number, "--yes", "--config", allowed],
                                  stdout=subprocess.DEVNULL) as first:
                wait_until(lambda: audit(daemon, "intent"), 20, "the first one")
                wait_until(lambda: holds(daemon, "inhibited"), 10, daemon.log())
                done = subprocess.run([DEFUSED, "abort", number, "--yes", "--config", allowed], capture_output=True,
                                      text=True, timeout=40 * SLOW, check=False)
                self.assertIn(done.returncode, (5, HELD), done.stdout + done.stderr)
                self.assertEqual(first.wait(40 * SLOW), RELEASED)
            self.assertEqual([r["record"] for r in audit(daemon)], ["intent", "outcome"])
            self.assertEqual([entry["outcome"] for entry in ledger(daemon)["entries"]], ["released"])


class Restraint(Operator):
    def test_pause_and_resume(self):
        with enforcing(self.directory) as daemon:
            self.assertEqual(defused(daemon, "pause", "")[0], USAGE)
            self.assertEqual(defused(daemon, "pause", "kernel <upgrade>")[0], 0)
            wait_until(lambda: daemon.metric("defused_inhibited") == 1, 10, daemon.log())
            with Lab("flush_thread", fstype="defusedlab") as lab:
                wait_until(lambda: holds(daemon, "inhibited"), 10, daemon.log())
                passes(daemon, 6)
                self.assertTrue(stands(lab.truth))
                self.assertIn("kernel &lt;upgrade&gt;", daemon.get("/")[1])
                report = json.loads(daemon.get("/api/v1/report")[1])
                self.assertEqual(report["remedy"]["inhibited"]["reason"], "kernel <upgrade>")
                self.assertIn("inhibited", defused(daemon, "explain")[1])
                self.assertEqual(defused(daemon, "abort", str(lab.truth["connection"]), "--yes")[0], HELD)
                code, text, _ = defused(daemon, "resume")
                self.assertEqual((code, "it was paused: kernel <upgrade>" in text), (0, True), text)
                self.check_freed(daemon, lab.truth)
            records = audit(daemon)
            self.assertEqual([r["record"] for r in records], ["inhibit", "inhibit", "intent", "outcome"])
            self.assertIn("it was not paused", defused(daemon, "resume")[1])

    def test_hook_vetoes_then_agrees(self):
        said, told = os.path.join(self.directory, "said"), os.path.join(self.directory, "told")
        before = self.write_hook("before", f"cat >{said}; test -e {said}.yes || {{ echo not now; exit 3; }}\n")
        after = self.write_hook("after", f"cat >{told}\n")
        with Lab("flush_thread", fstype="defusedlab") as lab, enforcing(
                self.directory, before_hook=[before], after_hook=[after], min_stuck="3s") as daemon:
            wait_until(lambda: aborts(daemon, "vetoed") == 1, 15, daemon.log())
            wait_until(lambda: holds(daemon, "vetoed"), 10, daemon.log())
            self.assertTrue(stands(lab.truth))
            record = json.loads(read_text(said))
            self.assertEqual((record["record"], record["connection"]), ("intent", lab.truth["connection"]))
            outcome = audit(daemon, "outcome")[0]
            self.assertEqual(outcome["outcome"], "vetoed")
            self.assertIn("not now", outcome["detail"])
            with open(f"{said}.yes", "w", encoding="utf-8"):
                pass
            self.check_freed(daemon, lab.truth)
            wait_until(lambda: '"released"' in read_text(told), 10, daemon.log())
            self.assertEqual(json.loads(read_text(told))["record"], "outcome")

    def test_breaker_opens_and_an_operator_closes_it(self):
        """An abort file that cannot be written: twice, then nothing more until it is reset."""
        own_mounts = ["unshare", "--mount", "--propagation", "private"]
        os.mkdir(os.path.join(self.directory, "state"), 0o700)
        with open(os.path.join(self.directory, "state", "inhibit"), "w", encoding="utf-8") as file:
            file.write("until nothing can be written\n")
        with Lab("flush_thread", fstype="defusedlab") as lab:
            with enforcing(self.directory, wrapper=own_mounts, cooldown="0s") as daemon:
                # At its start the daemon would refuse it.
                before = daemon.child("defused-prober")
                subprocess.run(["nsenter", "-t", str(daemon.supervisor()), "-m", "mount", "-o", "remount,bind,ro",
                                "/sys/fs/fuse/connections"], check=True, timeout=10)
                wait_until(lambda: daemon.child("defused-prober", besides=before), 10, daemon.log())
                self.assertEqual(defused(daemon, "resume")[0], 0)
                wait_until(lambda: aborts(daemon, "write_failed") == 2, 15, daemon.log())
                wait_until(lambda: holds(daemon, "breaker_open"), 10, daemon.log())
                passes(daemon, 4)
                self.assertEqual(aborts(daemon, "write_failed"), 2)
                self.assertEqual(daemon.metric('defused_breaker_open{cause="failed_outcomes"}'), 1)
                self.assertIn("Read-only file system (EROFS)", audit(daemon, "outcome")[0]["detail"])
                self.assertEqual([r["state"] for r in audit(daemon, "breaker")], ["open"])
                self.assertIn("breaker", defused(daemon, "resume")[1])
                self.assertTrue(holds(daemon, "breaker_open"))
            with enforcing(self.directory, cooldown="0s") as daemon:  # it survives a restart
                wait_until(lambda: holds(daemon, "breaker_open"), 10, daemon.log())
                self.assertTrue(stands(lab.truth))
                code, text, errors = defused(daemon, "resume", "--reset-breaker")
                self.assertEqual(code, 0, text + errors)
                self.check_freed(daemon, lab.truth)
                self.assertEqual([r["state"] for r in audit(daemon, "breaker")], ["open", "closed"])

    def test_ledger_that_cannot_be_read(self):
        with enforcing(self.directory) as daemon:
            with open(state_of(daemon, "ledger.json"), "w", encoding="utf-8") as file:
                file.write('{"schema": "defused.ledger/v1", "entries": []}\ncrc32 00000000\n')
            wait_until(lambda: daemon.metric('defused_breaker_open{cause="ledger_lost"}') == 1, 10, daemon.log())
            with Lab("flush_thread", fstype="defusedlab") as lab:
                wait_until(lambda: holds(daemon, "breaker_open"), 10, daemon.log())
                passes(daemon, 6)
                self.assertTrue(stands(lab.truth))
                aside = [name for name in os.listdir(state_of(daemon)) if "corrupt" in name]
                self.assertEqual(len(aside), 1)
                self.assertEqual([r["file"] for r in audit(daemon, "ledger_lost")], aside)
                self.assertEqual(defused(daemon, "resume", "--reset-breaker")[0], 0)
                self.check_freed(daemon, lab.truth)
            self.assertEqual([entry["outcome"] for entry in ledger(daemon)["entries"]], ["released"])

    def test_full_disk(self):
        """Held by record_unwritable while there is no room, and freed once there is."""
        state = os.path.join(self.directory, "state")
        os.mkdir(state, 0o700)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", state], check=True, timeout=10)
        self.addCleanup(subprocess.run, ["umount", state], check=True, timeout=10)
        with enforcing(self.directory) as daemon:
            with open(os.path.join(state, "filler"), "wb") as filler, self.assertRaises(OSError):
                while True:
                    filler.write(b"x" * 65536)
                    filler.flush()
            with Lab("flush_thread", fstype="defusedlab") as lab:
                wait_until(lambda: holds(daemon, "record_unwritable"), 15, daemon.log())
                passes(daemon, 6)
                self.assertTrue(stands(lab.truth))
                report = json.loads(daemon.get("/api/v1/report")[1])
                self.assertIn("No space left on device", report["remedy"]["record_trouble"])
                self.assertIn("`record_unwritable`", defused(daemon, "explain")[1])
                os.unlink(os.path.join(state, "filler"))
                self.check_freed(daemon, lab.truth)
            self.assertEqual([r["record"] for r in audit(daemon)], ["intent", "outcome"])


class Evidence(Operator):
    def test_bundle_is_kept_and_can_be_replayed(self):
        with Lab("flush_thread", fstype="defusedlab") as lab, enforcing(self.directory) as daemon:
            wait_until(lambda: aborts(daemon, "released") == 1, 15, daemon.log())
            # Kept after the outcome, under a name of its own until it is whole.
            kept = state_of(daemon, "evidence")
            bundles = wait_until(lambda: os.path.isdir(kept) and [name for name in os.listdir(kept) if name.endswith(".tar.gz")], 20,
                                 daemon.log())
            self.assertEqual(bundles, os.listdir(kept))
            self.assertEqual(len(bundles), 1)
            self.assertRegex(bundles[0], rf"-{lab.truth['connection']}\.tar\.gz$")
            tree = os.path.join(self.directory, "tree")
            with tarfile.open(state_of(daemon, "evidence", bundles[0])) as bundle:
                for member in bundle.getmembers():
                    self.assertFalse(member.name.startswith("/") or ".." in member.name.split("/"), member.name)
                bundle.extractall(tree)
            with open(os.path.join(tree, "intent.json"), encoding="utf-8") as file:
                intent = json.load(file)
            self.assertEqual(intent, audit(daemon, "intent")[0])
            with open(os.path.join(tree, "report.json"), encoding="utf-8") as file:
                report = json.load(file)
            self.assertIn(lab.truth["pid_namespace"], [n["pid_namespace"] for n in report["pid_namespaces"]])
            done = subprocess.run([os.path.join(BUILD, "defused-replay-tree"), tree], capture_output=True, text=True,
                                  timeout=60 * SLOW, check=True)
            found = {n["pid_namespace"]: n for n in json.loads(done.stdout)["pid_namespaces"]}[lab.truth["pid_namespace"]]
            self.assertEqual(found["init"]["pid"], lab.truth["init"]["pid"])
            self.assertIn(lab.truth["blocked"]["tid"], [thread["tid"] for thread in found["blocked_threads"]])
            self.assertEqual(json.loads(done.stdout)["kernel"]["release"], os.uname().release)
            self.assertTrue(re.search("fuse_flush", " ".join(found["blocked_threads"][0]["stack"])))


if __name__ == "__main__":
    unittest.main()
