# SPDX-License-Identifier: Apache-2.0
"""`defused` in a container: the image of config/docker is built and run by the commands of docs/CONTAINERS.md, beside real
deadlocks of other containers."""
import json
import os
import re
import shlex
import sys
import tempfile
import unittest
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from ambush import Ambush, is_unkillable  # noqa: E402
from daemon import REPO, SLOW, children_of, parse_metrics, read_text, wait_until  # noqa: E402
from debian_package import make_package  # noqa: E402
from debian_root import cached_tar  # noqa: E402
from docker_engine import Engine  # noqa: E402
from lab import Lab  # noqa: E402
from report_schema import check_report  # noqa: E402

PAGE = os.path.join(REPO, "docs", "CONTAINERS.md")
FSTYPE = "defusedlab"


def commands(section):
    """The commands of a section of the page, as lists of words."""
    with open(PAGE, encoding="utf-8") as file:
        text = re.search(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", file.read(), re.M | re.S).group(1)
    block = "\n".join(line[4:] for line in text.splitlines() if line.startswith("    "))
    return [shlex.split(line) for line in block.replace("\\\n", " ").splitlines() if line.startswith("docker ")]


def make_image(engine):
    """Builds the image `defused` by the command of the page, of the package of this build."""
    with open(cached_tar(), "rb") as base:
        engine.docker("import", "-", "debian:12-slim", stdin=base.read(), timeout=120)
    package = make_package(os.path.join(engine.directory, "package"))
    build, = commands("The image")
    words = {"config/docker/Dockerfile": os.path.join(REPO, "config/docker/Dockerfile"), "build/package": str(package.parent),
             "PACKAGE=defused_0.1.0-1_amd64.deb": f"PACKAGE={package.name}"}
    assert set(words) < set(build), build
    engine.docker(*(words.get(word, word) for word in build[1:]), timeout=200)


class InContainer:
    """`defused` in a container, by a command of the page. Changed are only its paths on the host and its port."""

    def __init__(self, engine, section, *more):
        self.engine = engine
        self.directory = tempfile.mkdtemp(prefix="host-", dir=engine.directory)
        words = next(words for words in commands(section) if words[1] == "run")
        changed = {"/var/lib/defused:": "state:", "/run/defused:": "run:", "/etc/defused:": "etc:"}
        for mine, other in changed.items():
            words = [f"{self.directory}/{other}{word[len(mine):]}" if word.startswith(mine) else word for word in words]
        at = words.index("defused", words.index("--name") + 2)  # the image
        words[at:at] = more
        words[-1] = words[-1].replace(":10073", ":0")
        self.words = words
        self.address = None

    def __enter__(self):
        for name in ("state", "run", "etc"):
            os.makedirs(os.path.join(self.directory, name), exist_ok=True)
        self.engine.docker(*self.words[1:])
        self.address = self.find_address()
        wait_until(lambda: self.get("/-/ready"), 30, self.log())
        return self

    def __exit__(self, *_):
        self.engine.docker("rm", "--force", "defused")

    def find_address(self):
        """The one that the newest start of it listens on."""
        return wait_until(lambda: re.findall(r"listening on (http://\S+?)/?$", self.log(), re.M), 30, self.log())[-1]

    def log(self):
        done = self.engine.try_docker("logs", "defused")
        return (done.stdout + done.stderr).decode()

    def get(self, path):
        try:
            with urllib.request.urlopen(self.address + path, timeout=5) as answer:
                return answer.read().decode()
        except (urllib.error.URLError, OSError):
            return ""

    def namespaces(self):
        text = self.get("/api/v1/report")
        return {one["pid_namespace"]: one for one in check_report(text)["pid_namespaces"]} if text else {}

    def supervisor(self):
        return int(self.engine.docker("inspect", "--format", "{{.State.Pid}}", "defused"))

    def child(self, comm):
        return next((pid for pid in children_of(self.supervisor()) if read_text(f"/proc/{pid}/comm").strip() == comm), None)


class Image(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.engine = cls.enterClassContext(Engine())
        make_image(cls.engine)

    def setUp(self):
        self.name = self.id().rpartition(".test_")[2].split("_")[0]
        self.fstype = f"{FSTYPE}.{self.name}"

    def run_tenant(self, name, what, *options):
        """By the name of the test, whatever an earlier one has left."""
        name = f"{self.name}-{name}"
        self.addCleanup(self.engine.try_docker, "rm", "--force", name)
        return self.engine.run_tenant(name, what, self.fstype, *options)

    def make_stuck(self):
        """A container with an init and one without, both killed in vain."""
        stuck = [self.run_tenant("hurt", "hold", "--init"), self.run_tenant("alone", "hold")]
        for one in stuck:
            kill = self.engine.begin("kill", one.name)
            self.addCleanup(kill.communicate, timeout=30 * SLOW)
        for one in stuck:
            wait_until(lambda one=one: one.waiting() > 0, 10, one.stacks())
        return stuck

    def check_told(self, inside, stuck):
        def both_told():
            told = inside.namespaces()
            return all(one.pid_namespace in told and told[one.pid_namespace]["verdict"] == "deadlocked" for one in stuck)

        wait_until(both_told, 30, inside.log())
        told = inside.namespaces()
        for one, state in zip(stuck, ("reaping", "init_blocked")):
            found = told[one.pid_namespace]
            self.assertEqual(found["container"], {"id": one.id, "runtime": "docker", "pod_uid": ""})
            self.assertEqual((found["state"], found["evidence"], found["connections"]), (state, "proven", [one.connection]))
            self.assertEqual({thread["attribution"] for thread in found["blocked_threads"]}, {"exact"})

    def told_by_metrics(self, inside, stuck):
        """All metrics, once they name both containers: what is found is not stuck before detect.stuck_after."""
        metrics = parse_metrics(inside.get("/metrics"))
        told = [key for key in metrics for one in stuck if f'container_id="{one.id}",runtime="docker"' in key]
        return metrics if len(told) == len(stuck) else None

    def free(self, one):
        """As an operator does it without defused."""
        with open(f"/sys/fs/fuse/connections/{one.connection}/abort", "w", encoding="ascii") as file:
            file.write("1")

    def test_looking(self):
        stuck = self.make_stuck()
        with InContainer(self.engine, "Looking") as inside:
            self.check_told(inside, stuck)
            metrics = wait_until(lambda: self.told_by_metrics(inside, stuck), 30, "the series of both containers")
            self.assertEqual([key for key, value in metrics.items() if key.startswith("defused_blind{") and value], [])
            for words in commands("Looking")[1:]:
                done = self.engine.try_docker(*words[1:], timeout=40)
                self.assertEqual(done.returncode, 0, done.stderr)
                for one in stuck:
                    self.assertIn(one.id.encode(), b"".join(done.stdout.split()))
            self.check_capabilities()
            # Not what the mode says alone keeps it from acting.
            abort = f"/sys/fs/fuse/connections/{stuck[0].connection}/abort"
            tried = self.engine.try_docker("exec", "defused", "sh", "-c", f"echo 1 > {abort}")
            self.assertIn(b"Read-only file system", tried.stderr)
            for one in stuck:
                self.assertGreater(one.waiting(), 0)
                self.assertRegex(one.status(), "^Up ")
        for one in stuck:
            self.free(one)

    def test_acting(self):
        stuck = self.make_stuck()
        well = self.run_tenant("well", "serve", "--init")
        inside = InContainer(self.engine, "Acting")
        os.makedirs(os.path.join(inside.directory, "etc"), exist_ok=True)
        with open(os.path.join(inside.directory, "etc", "defused.json"), "w", encoding="utf-8") as file:
            json.dump({"mode": "enforce", "interval": "1s", "detect": {"stuck_after": "2s"},
                       "remedy": {"min_stuck": "4s", "allow": {"fstypes": [f"fuse.{self.fstype}"]}}}, file)
        with inside:
            wait_until(lambda: all(one.status().startswith("Exited (137)") for one in stuck), 40, inside.log())
            wait_until(lambda: parse_metrics(inside.get("/metrics")).get('defused_aborts_total{outcome="released"}') == 2, 15,
                       inside.log())
            # By hand, on what must not be touched: the gates hold there too.
            held = self.engine.try_docker("exec", "defused", "defused", "abort", str(well.connection), timeout=60)
            self.assertEqual(held.returncode, 7, held.stdout + held.stderr)
            self.assertTrue(well.reads())
            self.assertRegex(well.status(), "^Up ")
            self.engine.docker("kill", "--signal", "HUP", "defused")
            wait_until(lambda: "the configuration was read again" in inside.log(), 10, "HUP")
        with open(os.path.join(inside.directory, "state", "audit.jsonl"), encoding="utf-8") as file:
            records = [json.loads(line) for line in file]
        self.assertEqual({one["connection"] for one in records if one["record"] == "outcome" and one["outcome"] == "released"},
                         {one.connection for one in stuck})

    def test_stop_with_a_lost_prober(self):
        """What nothing can kill is left behind; the container ends, and the next one counts it."""
        pit = os.path.join(self.engine.directory, "pit")
        os.makedirs(pit)
        with Lab("tar_pit", work_dir=pit) as lab, \
                InContainer(self.engine, "Looking", "--volume", f"{pit}:{pit}") as inside:
            caught = Ambush(inside.child("defused-prober"), lab.truth["swallow"], "processes").caught()
            wait_until(lambda: "is left behind" in inside.log(), 30, inside.log())
            self.assertTrue(is_unkillable(caught))
            self.engine.docker("stop", "defused", timeout=20)
            self.assertEqual(self.engine.docker("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "defused"),
                             "exited 0")
            self.assertIn(f"left behind: unkillable prober {caught}", inside.log())
            self.assertTrue(is_unkillable(caught), "it was gone: this shows nothing")
            self.engine.docker("rm", "defused")
            self.engine.docker(*inside.words[1:])
            inside.address = inside.find_address()
            wait_until(lambda: inside.get("/-/ready"), 30, inside.log())
            self.assertIn("1 processes that an earlier service left are there", inside.log())
            done = self.engine.try_docker("exec", "defused", "defused", "check", timeout=40)
            self.assertIn(b"1 lost prober", done.stdout)

    def check_capabilities(self):
        """In the container there are no more than the page says."""
        names = {19: "SYS_PTRACE", 21: "SYS_ADMIN", 2: "DAC_READ_SEARCH", 5: "KILL", 7: "SETUID", 6: "SETGID", 8: "SETPCAP"}
        status = self.engine.docker("exec", "defused", "cat", "/proc/self/status")
        has = int(re.search(r"^CapBnd:\t(\w+)$", status, re.M).group(1), 16)
        self.assertEqual(has, sum(1 << number for number in names))
        with open(PAGE, encoding="utf-8") as file:
            page = file.read()
        for name in names.values():
            self.assertRegex(page, rf"(?m)^\| .*`{name}`")


if __name__ == "__main__":
    unittest.main()
