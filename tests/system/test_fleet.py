# SPDX-License-Identifier: Apache-2.0
"""docs/FLEET.md: what a host sends with 0, 1 and 100 really stuck containers, what Prometheus keeps of it, and what the recording
rules leave. With DEFUSED_WRITE_DOCS=1 the tables of that page are written anew, else they are compared.

The containers have control groups named as the kubelet names them, since container ids and UIDs of pods are half of a series."""
import contextlib
import glob
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from daemon import REPO, Daemon, mount_fusectl, wait_until  # noqa: E402
from fleet_scene import PodCgroup  # noqa: E402
from grafana_dashboard import Dashboard  # noqa: E402
from real_prometheus import RealPrometheus  # noqa: E402
from stage import Stage  # noqa: E402

PAGE = os.path.join(REPO, "docs", "FLEET.md")
CONFIG = os.path.join(REPO, "config", "prometheus")
RULES = [os.path.join(CONFIG, name) for name in ("defused.fleet.rules.yml", "defused.rules.yml")]
HOSTS, DAYS = 10_000, 15
SCRAPES = 130  # a chunk of Prometheus has 120 samples
TOLERANCE = {"series": 0.04, "bytes": 0.08, "gzip": 0.15, "stored": 0.35}  # gaps come and go; values differ
OWN_OF_PROMETHEUS = 5  # up, and four scrape_* for each target


def make_stuck(stage, stack, count):
    """`count` containers whose server holds a file of its own mount."""
    inits = []
    for number in range(count):
        pod = stack.enter_context(PodCgroup())
        init, server = stage.container()
        connection = server.fuse(f"a{number}")
        for actor in (init, server):
            with open(f"{pod.paths[1]}/cgroup.procs", "w", encoding="ascii") as members:
                members.write(str(actor.pid))
        server.open(connection.file())
        inits.append(init)
    for init in inits:
        init.kill()
    for init in inits:
        init.wait_in("zap_pid_ns_processes")


def fetch(daemon, encoding):
    request = urllib.request.Request(daemon.address + "/metrics", headers={"Accept-Encoding": encoding})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return answer.read()


def names_of_series(daemon):
    return re.findall(r"^(defused_\w+)", fetch(daemon, "identity").decode(), re.M)


def measure(count, keep=None):
    """{series, bytes, gzip} of a scrape; `keep(daemon)` may look at the daemon beside."""
    with contextlib.ExitStack() as cgroups, Stage(280) as stage:
        make_stuck(stage, cgroups, count)
        with Daemon(interval="100ms" if keep else "1s", detect={"stuck_after": "1s"}) as daemon:
            def told():
                return [line for line in fetch(daemon, "identity").decode().splitlines() if not line.startswith("#")]
            # The connection's own clock starts with the first pass, so its series are the last to come.
            for family in ("defused_stuck_pid_namespace_info{", "defused_fuse_connection_stalled_since_timestamp_seconds{"):
                wait_until(lambda: sum(line.startswith(family) for line in told()) == count, 60, daemon.log())  # pylint: disable=W0640
            kept = keep(daemon) if keep else None
            text, packed = fetch(daemon, "identity"), fetch(daemon, "gzip")
            assert gzip.decompress(packed).startswith(b"# HELP defused_")
            sizes = {"series": len(told()), "bytes": len(text), "gzip": len(packed)}
    return sizes, kept


def bytes_per_sample(daemon):
    """What Prometheus' own storage makes of a row of real scrapes, taken 0.1 s apart and stored as if 15 s apart: (bytes of
    chunks for each sample, bytes of the index for each series)."""
    lines = []
    begin = 1_700_000_000
    for number in range(SCRAPES):
        for line in fetch(daemon, "identity").decode().splitlines():
            if not line.startswith("#"):
                lines.append((line.partition("{")[0].partition(" ")[0], f"{line} {begin + 15 * number}"))
        time.sleep(0.1)
    lines.sort(key=lambda one: one[0])
    with tempfile.TemporaryDirectory() as directory:
        source = os.path.join(directory, "scrapes")
        with open(source, "w", encoding="utf-8") as file:
            file.write("\n".join(line for _, line in lines) + "\n# EOF\n")
        done = subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", source, f"{directory}/data"],
                              capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        chunks = sum(os.path.getsize(path) for path in glob.glob(f"{directory}/data/*/chunks/*"))
        index = sum(os.path.getsize(path) for path in glob.glob(f"{directory}/data/*/index"))
        stats = [json.load(open(path, encoding="utf-8"))["stats"] for path in glob.glob(f"{directory}/data/*/meta.json")]
    samples, series = sum(one["numSamples"] for one in stats), max(one["numSeries"] for one in stats)
    return {"stored": chunks / samples, "index": index / len(stats) / series}


def page():
    with open(PAGE, encoding="utf-8") as file:
        return file.read()


def federate(server, expected):
    """The example of the page, for real: what a second Prometheus fetches of the first."""
    match = re.findall(r"^ +- '(.+)'$", page(), re.M)
    assert len(match) == 3, match
    with RealPrometheus([{"job_name": "centre", "honor_labels": True, "metrics_path": "/federate", "params": {"match[]": match},
                          "static_configs": [{"targets": [server.address.partition("//")[2]]}]}]) as centre:
        wait_until(lambda: centre.value('count({__name__=~"job.*:defused_.+",job="defused"})') == expected, 30, "the records to come over")
        wait_until(lambda: centre.value("count(pod:defused_stuck_pid_namespace_info:join)") == 2, 10, "what is stuck to come over")
        assert centre.query('{__name__=~"defused_.+"}') == [], "series of hosts"


def recorded():
    """How many series the fleet rules leave of real daemons beside something stuck; a second Prometheus fetches just these."""
    with contextlib.ExitStack() as stack, Stage(120) as stage:
        make_stuck(stage, stack, 1)
        daemons = [stack.enter_context(Daemon(mode=mode, detect={"stuck_after": "1s"})) for mode in ("observe", "dry_run")]
        targets = [daemon.address.partition("//")[2] for daemon in daemons]
        with RealPrometheus([{"job_name": "defused", "static_configs": [{"targets": targets}]}], RULES) as server:
            def counted():
                return server.value('count({__name__=~"job.*:defused_.*"})') or 0
            wait_until(lambda: (server.value("job:defused_stuck_pid_namespaces:sum") or 0) == 2, 30, "what is stuck to be recorded")
            wait_until(lambda: server.value("count(job_outcome:defused_aborts:rate5m)"), 30, "a rate")
            seen = [counted()]
            wait_until(lambda: seen.append(counted()) or len(seen) > 60 and len(set(seen[-60:])) == 1, 20, "the same for a while")
            own = server.value(f'count({{instance="{targets[0]}",__name__!~".*defused_.*"}})')
            assert own == OWN_OF_PROMETHEUS, own
            federate(server, seen[-1])
            return int(seen[-1])


def table_of_hosts(sizes):
    lines = ["| on the host | series | bytes, plain | bytes, gzip |", "|---|---|---|---|"]
    for count, what in ((0, "nothing is stuck"), (1, "1 container is stuck"), (100, "100 containers are stuck")):
        one = sizes[count]
        lines.append(f"| {what} | {one['series']} | {one['bytes']:,} | {one['gzip']:,} |")
    return "\n".join(lines)


def table_of_fleet(sizes, stored):
    series = HOSTS * (sizes[0]["series"] + OWN_OF_PROMETHEUS)
    lines = [f"| scraped every | samples a second | on the wire, gzip | {DAYS} days on disk, measured | at 2 bytes a sample |",
             "|---|---|---|---|---|"]
    for interval in (15, 30, 60):
        rate = series / interval
        disk = [rate * 86400 * DAYS * size / 2**30 for size in (stored, 2)]
        lines.append(f"| {interval} s | {rate:,.0f} | {HOSTS * sizes[0]['gzip'] / interval / 2**20:.1f} MiB/s | {disk[0]:.0f} GiB | {disk[1]:.0f} GiB |")
    return "\n".join(lines)


def block(name, text=None):
    """The part of the page between its marks; with `text`, what it is replaced by."""
    text_of_page = page()
    pattern = re.compile(rf"(<!-- {name}: written by system-fleet -->\n).*?(<!-- end of {name} -->)", re.S)
    found = pattern.search(text_of_page)
    assert found, name
    if text is not None:
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(text_of_page[:found.end(1)] + text + "\n" + text_of_page[found.start(2):])
    return found.group()


class Fleet(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        mount_fusectl()
        cls.sizes = {}
        cls.sizes[0], (cls.storage, cls.names) = measure(0, lambda daemon: (bytes_per_sample(daemon), names_of_series(daemon)))
        for count in (1, 100):
            cls.sizes[count], _ = measure(count)
        cls.records = recorded()
        print(f"measured: {cls.sizes}, {cls.storage}, {cls.records} records")
        if os.environ.get("DEFUSED_WRITE_DOCS"):
            block("sizes", table_of_hosts(cls.sizes))
            block("rates", table_of_fleet(cls.sizes, cls.storage["stored"]))
            block("records", f"{cls.records} series for each job, from {HOSTS * cls.sizes[0]['series']:,} of its 10,000 hosts. "
                             f"A sample took {cls.storage['stored']:.2f} bytes in chunks, a series {cls.storage['index']:.0f} bytes in the index of a block.")

    def said(self):
        """{count: {series, bytes, gzip}} of the page."""
        rows = re.findall(r"^\| (\w+) containers? (?:is|are) stuck \| (\d+) \| ([\d,]+) \| ([\d,]+) \|$|"
                          r"^\| (nothing) is stuck \| (\d+) \| ([\d,]+) \| ([\d,]+) \|$", block("sizes"), re.M)
        said = {}
        for row in rows:
            count, *numbers = [cell for cell in row if cell]
            said[0 if count == "nothing" else int(count)] = dict(zip(
                ("series", "bytes", "gzip"), (int(number.replace(",", "")) for number in numbers)))
        return said

    def test_the_page_tells_the_size_of_a_scrape(self):
        said = self.said()
        self.assertEqual(set(said), {0, 1, 100})
        for count, sizes in self.sizes.items():
            for what, value in sizes.items():
                self.assertAlmostEqual(said[count][what], value, delta=TOLERANCE[what] * value, msg=f"{count} stuck: {what}")

    def test_a_stuck_container_costs_a_handful(self):
        """Five of the container and its connection, and those of classes and gates that are there once."""
        each = (self.sizes[100]["series"] - self.sizes[1]["series"]) / 99
        self.assertEqual(round(each, 1), 5)
        self.assertIn(f"{round(each)} series", page())

    def test_the_page_tells_what_a_fleet_sends(self):
        """Its table follows from the one of the hosts, and from what a sample takes in storage."""
        said = self.said()
        stored = float(re.search(r"A sample took ([\d.]+) bytes", block("records")).group(1))
        self.assertAlmostEqual(stored, self.storage["stored"], delta=TOLERANCE["stored"] * stored)
        self.assertEqual([float(number.replace(",", "")) for number in re.findall(r"^\| \d+ s \| ([\d,]+) \|", block("rates"), re.M)],
                         [round(HOSTS * (said[0]["series"] + OWN_OF_PROMETHEUS) / interval) for interval in (15, 30, 60)])

    def test_the_page_tells_what_the_rules_leave(self):
        said = int(re.search(r"^(\d+) series for each job", block("records"), re.M).group(1))
        self.assertAlmostEqual(said, self.records, delta=4)


    def test_what_may_be_dropped(self):
        """No alert and no table is without it, and the page says what is left."""
        pattern = re.compile(re.sub(r"\\\n +", "", re.search(r'regex: "(defused_[^"]+)"', page()).group(1)))
        left = [name for name in self.names if not pattern.fullmatch(name)]
        said = re.search(r"a host has (\d+) series instead of (\d+)", page()).groups()
        self.assertEqual([int(number) for number in said], [len(left), len(self.names)])
        with open(os.path.join(CONFIG, "defused.alerts.yml"), encoding="utf-8") as file:
            used = re.findall(r"defused_\w+", re.sub(r"#.*", "", file.read()))
        for panel in Dashboard("defused-fleet").panels + Dashboard("defused-host").panels:
            if panel["type"] in ("table", "stat") and not panel["title"].startswith("Recovery"):
                used += [name for target in panel["targets"] for name in re.findall(r"defused_\w+", target["expr"])]
        self.assertEqual([name for name in used if pattern.fullmatch(name)], [])


class Examples(unittest.TestCase):
    """The indented YAML of the page."""

    @staticmethod
    def promtool(directory, *words):
        done = subprocess.run(["promtool", *words], cwd=directory, capture_output=True, text=True, timeout=30, check=False)
        return done.returncode, done.stdout + done.stderr

    def test_configurations_are_taken(self):
        blocks = re.findall(r"(?:^    .*\n)+", page(), re.M)
        tried = 0
        for example in blocks:
            text = re.sub(r"^    ", "", example, flags=re.M).strip("\n") + "\n"
            if not re.match(r"(#.*\n)*(scrape_configs|rule_files|global|remote_write):", text):
                continue
            with tempfile.TemporaryDirectory() as directory:
                with open(os.path.join(directory, "prometheus.yml"), "w", encoding="utf-8") as file:
                    file.write(text)
                code, told = self.promtool(directory, "check", "config", "--syntax-only", "prometheus.yml")
                self.assertEqual(code, 0, text + told)
                tried += 1
        self.assertEqual(tried, 4)

    def test_what_is_sent(self):
        """By the example of remote_write: all records and joins, and no alert but those of defused."""
        labels, pattern = re.search(r"write_relabel_configs:\n +- source_labels: \[(.+)\]\n +regex: (.+)\n +action: keep", page()).groups()
        self.assertEqual(labels, "__name__, alertname")
        records = []
        for path in RULES:
            with open(path, encoding="utf-8") as file:
                records += [(name, "") for name in re.findall(r"record: (\S+)", file.read()) if not name.startswith("instance:")]
        self.assertGreater(len(records), 25)
        others = [("ALERTS", "Watchdog"), ("ALERTS", ""), ("ALERTS_FOR_STATE", "DefusedBlind"), ("up", ""), ("defused_build_info", ""),
                  ("job:requests:rate5m", "")]
        wanted = [*records, ("ALERTS", "DefusedBlind")]
        self.assertEqual([one for one in wanted + others if re.fullmatch(pattern, ";".join(one))], wanted)


if __name__ == "__main__":
    unittest.main()
