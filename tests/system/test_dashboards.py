# SPDX-License-Identifier: Apache-2.0
"""The dashboards of config/grafana: each query is asked of a real Prometheus that scrapes real daemons, at rest and beside real
deadlocks (fleet_scene.py), and returns data; and what a dashboard is made of holds together.

Grafana itself is not here: it is not in Debian 12. What it would replace in a query, grafana_dashboard.py replaces."""
import contextlib
import copy
import glob
import json
import os
import re
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from daemon import REPO, wait_until  # noqa: E402
from fleet_scene import FleetScene, quick_rules, silent_port  # noqa: E402
from grafana_dashboard import ANNOTATION_POINTS, DIRECTORY, GLOBALS, Dashboard, Viewer, column_links  # noqa: E402
from real_prometheus import RealPrometheus  # noqa: E402

NAMES = ("defused-fleet", "defused-host")
CORE_PANELS = {"row", "stat", "timeseries", "table", "bargauge"}
HOSTS = ("observes", "enforces", "decides", "blind", "written")  # whose page is looked at
DAY = 86400
STALE = 4  # instead of the 120 seconds of the dashboards: 30 times faster
LEGEND = re.compile(r"\{\{(\w+)\}\}")
# Lists of what is wrong: at rest they have no line, and say so by their `noValue`.
EMPTY_AT_REST = {"Stuck containers", "Stuck, stalled and orphaned connections", "Stuck exits by wait class", "Recovery, half within",
                 "Recovery, 90 % within", "Recovery, mean", "Alerts"}
QUIET_AT_REST = {"Aborts", "Restarts", "Alerts"}  # annotations


def split_at_or(expression):
    """The parts between the outermost `or`: each has to have data of its own, or a wrong one would hide behind the others."""
    parts, depth, begin = [], 0, 0
    for found in re.finditer(r'[()]|"[^"]*"| or (?:on \([^)]*\) )?', expression):
        depth += {"(": 1, ")": -1}.get(found.group(), 0)
        if depth == 0 and found.group().startswith(" or "):
            parts.append(expression[begin:found.start()])
            begin = found.end()
    return [*parts, expression[begin:]]


def find_overlaps(panels):
    cells, found = {}, []
    for panel in panels:
        place = panel["gridPos"]
        if place["x"] + place["w"] > 24 or min(place.values()) < 0 or not place["w"] * place["h"]:
            found.append(f"{panel['title']} is off the grid")
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                if (x, y) in cells:
                    found.append(f"{panel['title']} overlaps {cells[x, y]}")
                cells[x, y] = panel["title"]
    return found


def find_gaps(panels):
    """Places that Grafana would fill by moving panels up, so that the layout is not the one of the file."""
    cells = {(x, y) for panel in panels for place in [panel["gridPos"]]
             for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
    return [cell for y in range(max(y for _, y in cells) + 1) for x in range(24) for cell in [(x, y)] if cell not in cells]


class Model(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dashboards = {name: Dashboard(name) for name in NAMES}
        with open(os.path.join(REPO, "docs", "METRICS.md"), encoding="utf-8") as file:
            families = dict(re.findall(r"^## (defused_\w+)\n\n(\w+),", file.read(), re.M))
        ends = {"histogram": ("_bucket", "_sum", "_count")}
        cls.metrics = {family + end for family, kind in families.items() for end in ends.get(kind, ("",))} | {"up", "ALERTS"}
        rules = "".join(open(path, encoding="utf-8").read() for path in glob.glob(f"{REPO}/config/prometheus/*.yml"))
        cls.metrics |= set(re.findall(r"record: (\S+)", rules))
        cls.alerts = set(re.findall(r"alert: (\w+)", rules))

    def test_all_files_are_looked_at(self):
        self.assertEqual({name + ".json" for name in NAMES}, {os.path.basename(path) for path in glob.glob(f"{DIRECTORY}/*.json")})

    def test_form(self):
        """Two spaces and a stable order: as json.dump writes it, so that a change is a readable difference."""
        for name, dashboard in self.dashboards.items():
            self.assertEqual(dashboard.text, json.dumps(dashboard.model, indent=2, ensure_ascii=False) + "\n")
            self.assertEqual((dashboard.uid, dashboard.model["id"]), (name, None))
            self.assertIn("defused", dashboard.model["tags"])
            self.assertEqual(dashboard.model["schemaVersion"], 38)  # Grafana 10.0; later ones migrate it
            self.assertEqual(dashboard.model["__inputs"], [])

    def test_panels(self):
        for dashboard in self.dashboards.values():
            panels = dashboard.model["panels"]
            ids = [panel["id"] for panel in panels]
            self.assertEqual(len(ids), len(set(ids)))
            self.assertEqual({panel["type"] for panel in panels} - CORE_PANELS, set())
            self.assertEqual(find_overlaps(panels), [])
            self.assertEqual(find_gaps(panels), [])
            for panel in dashboard.panels:
                self.assertTrue(panel["title"] and len(panel["description"]) > 15, panel["title"])
                self.assertTrue(panel["fieldConfig"]["defaults"]["unit"], panel["title"])
                self.assertEqual(len({target["refId"] for target in panel["targets"]}), len(panel["targets"]))
            titles = [panel["title"] for panel in dashboard.panels]
            self.assertEqual(len(titles), len(set(titles)))

    def test_overlaps_and_gaps_are_found(self):
        panels = copy.deepcopy(self.dashboards["defused-fleet"].model["panels"])
        panels[2]["gridPos"]["x"] -= 1
        self.assertEqual(len(find_overlaps(panels)), panels[2]["gridPos"]["h"])
        self.assertEqual(len(find_gaps(panels)), panels[2]["gridPos"]["h"])
        panels[-1]["gridPos"]["x"] += 1
        self.assertIn("Cost of defused is off the grid", find_overlaps(panels))

    def test_every_data_source_is_the_variable(self):
        for dashboard in self.dashboards.values():
            asked = [one["datasource"] for panel in dashboard.panels for one in [panel, *panel["targets"]]]
            asked += [one["datasource"] for one in dashboard.annotations]
            asked += [one["datasource"] for one in dashboard.variables.values() if one["type"] == "query"]
            self.assertTrue(asked)
            self.assertEqual({(one["type"], one["uid"]) for one in asked}, {("prometheus", "${datasource}")})
            self.assertEqual(next(iter(dashboard.variables)), "datasource")
            self.assertEqual([one["name"] for one in dashboard.variables.values() if one["type"] == "query"
                              and one["definition"] != one["query"]["query"]], [])

    def test_metrics_exist(self):
        for dashboard in self.dashboards.values():
            queries = dashboard.expressions() + [(name, one["query"]["query"]) for name, one in dashboard.variables.items()
                                                 if one["type"] == "query"]
            for where, expression in queries:
                bare = re.sub(r'"[^"]*"', '""', expression)
                used = set(re.findall(r"(?<![\w:$])(\w+:[\w:]+|(?:defused|kube|container)_\w+(?!\w)(?= *[{\[),]| *$)|up|ALERTS)\b", bare))
                self.assertTrue(used, where)
                self.assertEqual(used - self.metrics - {"container_id"}, set(), where)

    def test_links(self):
        """Each leads to a dashboard with variables that it has, or to the runbook of an alert."""
        runbooks = set()
        for dashboard in self.dashboards.values():
            for where, url in dashboard.urls():
                if url.startswith("/d/"):
                    path, _, query = url.partition("?")
                    self.assertIn(path.split("/")[2], self.dashboards, where)
                    other = self.dashboards[path.split("/")[2]]
                    self.assertEqual(set(re.findall(r"var-(\w+)=", query)) - set(other.variables), set(), where)
                else:
                    runbooks |= set(re.findall(r"^\$\{runbooks\}(\S+)\.md$", url))
                    self.assertRegex(url, r"^\$\{runbooks\}")
                for name in re.findall(r"\$\{(\w+)", url):
                    self.assertIn(name, {*dashboard.variables, "__data", "__value", "__url_time_range"}, where)
        self.assertEqual(runbooks - {"README", "${__value.raw}"} - self.alerts, set())
        pages = {os.path.basename(path)[:-3] for path in glob.glob(f"{REPO}/docs/runbooks/*.md")}
        self.assertEqual((runbooks | self.alerts) - {"${__value.raw}"} - pages, set())
        self.assertEqual(self.alerts - runbooks - {"DefusedAbsent"}, set())  # that one is in the table of alerts only

    def test_annotations_reach_from_step_to_step(self):
        """Grafana takes a step of 15 minutes where a day is shown: what looks back less far loses what lies between."""
        for dashboard in self.dashboards.values():
            for one in dashboard.annotations:
                windows = re.findall(r"\[([^\]]*)\]", one["expr"]) + re.findall(r"\boffset (\S+?)(?=[ )]|$)", one["expr"])
                self.assertTrue(windows, one["name"])
                self.assertEqual([window for window in windows if not re.fullmatch(r"\$__(rate_)?interval:?", window)], [], one["name"])
                self.assertEqual(one["step"], "1m")  # the longest interval of scrapes that docs/FLEET.md has

    def test_tables(self):
        """Columns that are sorted by, coloured or linked are those that are shown."""
        for dashboard in self.dashboards.values():
            for panel in dashboard.panels:
                if panel["type"] != "table":
                    continue
                organize, = [one["options"] for one in panel["transformations"] if one["id"] == "organize"]
                shown = {organize["renameByName"].get(name, name) for name in organize["indexByName"]}
                named = {one["matcher"]["options"] for one in panel["fieldConfig"]["overrides"] if one["matcher"]["id"] == "byName"}
                named |= {one["displayName"] for one in panel["options"]["sortBy"]}
                for _, link in column_links(panel):
                    named |= set(re.findall(r"\$\{__data\.fields\.(\w+)", link["url"]))
                self.assertEqual(named - shown, set(), panel["title"])
                self.assertEqual(set(organize["renameByName"]) - set(organize["indexByName"]), set(), panel["title"])
                self.assertTrue(panel["fieldConfig"]["defaults"]["noValue"], panel["title"])


class Real(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.dashboards = {name: Dashboard(name) for name in NAMES}
        cls.scene = cls.enterClassContext(FleetScene())
        cls.idle = cls.look()
        cls.idle_annotations = [(annotation["name"], viewer.ask_annotation(annotation)) for who, viewer in cls.idle.items()
                                for annotation in viewer.dashboard.annotations if who != "blind"]
        cls.scene.make_trouble()
        cls.full = cls.look()

    @classmethod
    def look(cls):
        """Those who look now: at the fleet, and at some hosts, each by the link of a table that leads there. Annotations are
        asked for at the moment when all began and in whole steps from there: of a day, all that they mark lies just after a step."""
        now = int(time.time())

        class Quick(Viewer):
            def ask_all(self, expression, step=None, least=0):
                return super().ask_all(re.sub(r"(<=|>) 120\b", rf"\1 {STALE}", expression), step, least)

            def ask_annotation(self, annotation):
                kept = self.end, self.phase
                step = self.step(ANNOTATION_POINTS, self.annotation_least(annotation))
                self.phase = int(cls.scene.begin)
                self.end += (self.phase - self.end) % step
                try:
                    return super().ask_annotation(annotation)
                finally:
                    self.end, self.phase = kept

            def of_a_day(self):
                return Quick(self.prometheus, self.dashboard, self.end, DAY, choices=self.choices)

        def viewer(name, **choices):
            return Quick(cls.scene.prometheus, cls.dashboards[name], now, seconds=150, choices=choices)

        link, = {link["url"] for panel in cls.dashboards["defused-fleet"].panels if panel["type"] == "table"
                 for column, link in column_links(panel) if column == "Host"}

        def follow(host):
            fleet = viewer("defused-fleet", cluster=["east" if host == "observes" else "west"])
            instance, job = ("observes", "node") if host == "written" else (host, "defused")
            name, choices = fleet.follow(link, instance, {"Job": job})
            return viewer(name, **choices)
        return {"fleet": viewer("defused-fleet"), **{host: follow(host) for host in HOSTS}}

    def viewers(self, looked):
        """(dashboard, those who look at it)."""
        return [(self.dashboards["defused-fleet"], [looked["fleet"]]),
                (self.dashboards["defused-host"], [looked[host] for host in HOSTS])]

    def value(self, viewer, title):
        """The only value of a panel."""
        (_, value), = viewer.ask_panel(viewer.dashboard.panel(title))["A"]
        return value

    def test_variables(self):
        for viewer in (self.full["fleet"], self.full["observes"]):
            self.assertEqual(viewer.options["cluster"], ["east", "west"])
        fleet = self.full["fleet"]
        self.assertEqual(fleet.options["job"], ["defused", "node"])
        self.assertEqual(set(fleet.options["instance"]), {"observes", "enforces", "decides", "blind", "stale"})
        east = Viewer(self.scene.prometheus, self.dashboards["defused-fleet"], self.full["fleet"].end,
                      choices={"cluster": ["east"]})
        self.assertEqual(east.options["instance"], ["observes"])
        (labels, value), = east.ask(self.dashboards["defused-fleet"].panel("Versions")["targets"][0]["expr"])
        self.assertEqual((set(labels), value), ({"version"}, 1))

    def test_a_link_leads_to_one_host(self):
        """`observes` is a name in both clusters; behind one of them is a textfile."""
        for host, cluster, job, pid in (("observes", "east", "defused", self.scene.daemons["observes"]),
                                        ("written", "west", "node", self.scene.daemons["written"])):
            viewer = self.full[host]
            self.assertEqual({name: viewer.choices[name] for name in ("cluster", "job", "instance")},
                             {"cluster": [cluster], "job": [job], "instance": ["observes"]})
            self.assertEqual(viewer.options["instance"], ["observes"])
            started = {labels["process"]: value / 1000 for labels, value in viewer.ask_panel(viewer.dashboard.panel("Processes"))["A"]}
            self.assertEqual(started["supervisor"], pid.metric('defused_process_start_time_seconds{process="supervisor"}'))
        name, choices = self.full["observes"].follow(self.dashboards["defused-host"].model["links"][0]["url"])
        self.assertEqual((name, choices["cluster"]), ("defused-fleet", ["east"]))
        self.assertNotIn("cluster", self.full["fleet"].follow(self.dashboards["defused-fleet"].model["links"][0]["url"])[1])

    def test_at_rest_nothing_is_empty(self):
        """0 is shown where nothing is wrong, by who has looked; lists have a word for it."""
        for dashboard, viewers in self.viewers(self.idle):
            for panel in dashboard.panels:
                for viewer in viewers:
                    told = viewer.ask_panel(panel)
                    for ref, found in told.items():
                        if panel["title"] in EMPTY_AT_REST:
                            self.assertTrue(panel["fieldConfig"]["defaults"]["noValue"], panel["title"])
                        else:
                            self.assertTrue(found, f"{panel['title']} {ref} is empty at rest for {viewer.choices}")

    def test_at_rest_nothing_is_wrong(self):
        self.assertEqual({one: self.value(self.idle["fleet"], one) for one in
                          ("Deadlocked", "Stuck otherwise", "Longest stuck", "Breakers", "Paused", "Stale", "Down", "Blind")},
                         {"Deadlocked": 0, "Stuck otherwise": 0, "Longest stuck": 0, "Breakers": 0, "Paused": 0, "Stale": 0,
                          "Down": 1, "Blind": 1})
        self.assertEqual([one for one in self.idle_annotations if one[0] in QUIET_AT_REST and one[1]], [])
        self.assertTrue(self.idle_annotations)

    def test_every_part_of_every_query_returns_data(self):
        """In the full scene, on one of the hosts at least. No query is left out."""
        asked, missing = 0, []
        for dashboard, viewers in self.viewers(self.full):
            for panel in dashboard.panels:
                for target in panel["targets"]:
                    step = None if target["instant"] else viewers[0].step(panel.get("maxDataPoints", 1000))
                    for part in split_at_or(target["expr"]):
                        if not any(viewer.ask(part, step) for viewer in viewers):
                            missing.append(f"{panel['title']} {target['refId']}: {part}")
                        asked += 1
                    self.check_legend(viewers, target, step, panel["title"])
        self.assertEqual(missing, [])
        self.assertGreater(asked, 110)

    def check_legend(self, viewers, target, step, title):
        """By the first part: the others are what is shown at rest."""
        part = split_at_or(target["expr"])[0]
        labels = {label for viewer in viewers for one, _ in viewer.ask(part, step) for label in one}
        self.assertEqual(set(LEGEND.findall(target["legendFormat"])) - labels, set(), title)

    def test_annotations(self):
        for day in (False, True):
            for dashboard, viewers in self.viewers(self.full):
                for annotation in dashboard.annotations:
                    found = [labels for viewer in viewers for labels, _ in
                             (viewer.of_a_day() if day else viewer).ask_annotation(annotation)]
                    self.assertTrue(found, f"{dashboard.uid}: {annotation['name']}, a day: {day}")
                    labels = {label for one in found for label in one}
                    said = LEGEND.findall(annotation["titleFormat"] + annotation["textFormat"]) + annotation["tagKeys"].split(",")
                    self.assertEqual(set(said) - labels, set(), annotation["name"])

    def marks(self, host, title, label):
        """Of a short time and of a day, which must be the same."""
        viewer = self.full[host]
        annotation, = [one for one in viewer.dashboard.annotations if one["name"] == title]
        told = [sorted((labels["instance"], labels[label]) for labels, _ in one.ask_annotation(annotation))
                for one in (viewer, viewer.of_a_day())]
        self.assertEqual(told[0], told[1])
        return told[0]

    def test_a_replaced_pod(self):
        """Of the next pod of `enforces`: what it counted before its first scrape, and that it was started."""
        for host in ("fleet", "enforces"):
            self.assertEqual(self.marks(host, "Aborts", "outcome"), [("enforces", "interrupted"), ("enforces", "released")])
            viewer = self.full[host]
            told = {labels["outcome"]: value for labels, value in viewer.ask_panel(viewer.dashboard.panel("Aborts by outcome"))["A"]}
            self.assertEqual(told.pop("interrupted"), 1)
            self.assertEqual({outcome for outcome, value in told.items() if value}, {"released"})
        self.assertEqual(self.marks("enforces", "Restarts", "process"), [("enforces", one) for one in ("front", "prober", "supervisor")])
        self.assertEqual(self.marks("observes", "Restarts", "process"), [("observes", "prober")])
        again, = [value for labels, value in self.full["enforces"].ask_panel(self.dashboards["defused-host"].panel("Processes"))["B"]
                  if labels["process"] == "supervisor"]
        self.assertEqual(again, 1)
        expression = self.dashboards["defused-fleet"].panel("Actions over time")["targets"][0]["expr"]
        most = {labels["outcome"]: max(values) for labels, values in self.full["fleet"].ask_all(expression, 1)}
        self.assertEqual(most["interrupted"], 1)
        self.assertGreater(most["released"], 0.5)

    def test_columns_exist(self):
        """What a table hides, names and orders is there, on one of the hosts at least."""
        for dashboard, viewers in self.viewers(self.full):
            for panel in dashboard.panels:
                if panel["type"] == "table":
                    organize, = [one["options"] for one in panel["transformations"] if one["id"] == "organize"]
                    fields = set().union(*(viewer.fields(panel) for viewer in viewers))
                    # Grafana says Value, not Value #A, where only one of several queries has lines: said beforehand, not seen here.
                    alone = {"Value"} if len(panel["targets"]) > 1 else set()
                    named = {*organize["indexByName"], *organize["excludeByName"]}
                    self.assertEqual((fields ^ named) - alone, set(), panel["title"])

    def test_top_row_tells_the_truth(self):
        fleet = self.full["fleet"]
        told = {title: self.value(fleet, title) for title in ("Blind", "Stale", "Down", "Enforce", "Breakers", "Paused", "Budget used up")}
        self.assertEqual(told, {**{title: 1 for title in told}, "Enforce": 2})
        hosts = fleet.ask_panel(fleet.dashboard.panel("Hosts watched"))
        self.assertEqual([hosts[ref][0][1] for ref in "AB"], [4, 6])
        for title, verdict, here in (("Deadlocked", '="deadlocked"', 4), ("Stuck otherwise", '!="deadlocked"', 2)):
            counted = self.scene.prometheus.query("sum by (job, instance, pod) (defused_stuck_pid_namespaces{"
                                                  f'verdict{verdict},pod!="defused-new"}})', time=fleet.end)
            counted = {"written" if labels["job"] == "node" else labels["instance"]: value for labels, value in counted}
            self.assertEqual(self.value(fleet, title), sum(counted.values()))
            for host in ("observes", "enforces", "decides", "written"):  # each sees the same kernel
                self.assertEqual((self.value(self.full[host], title), counted[host]), (here, here), f"{title}: {host}")
                self.assertEqual(self.value(self.full[host], "Stuck exits"), 1)
        self.assertGreater(self.value(fleet, "Longest stuck"), 5)
        self.assertGreaterEqual(round(self.value(fleet, "Would have aborted")), 1)
        problems = {(line["Host"], line["Problem"]) for line in fleet.rows(fleet.dashboard.panel("Hosts that cannot be relied on"))}
        self.assertEqual(problems, {("blind", "blind: fusectl"), ("stale", "stale"), ("down", "down")})
        for host, mode in (("observes", "observe"), ("enforces", "enforce"), ("decides", "dry_run")):
            (labels, _), = self.full[host].ask_panel(self.full[host].dashboard.panel("Mode"))["A"]
            self.assertEqual(labels["mode"], mode)

    @staticmethod
    def is_of_observes(line):
        return (line.get("Host", "observes"), line.get("Job", "defused")) == ("observes", "defused")

    def test_table_names_what_is_stuck(self):
        truth = self.scene.truth
        for viewer in (self.full["fleet"], self.full["observes"]):
            line, = [line for line in viewer.rows(viewer.dashboard.panel("Stuck containers"))
                     if line["PID namespace"] == str(self.scene.unseen["pid_namespace"]) and self.is_of_observes(line)]
            self.assertEqual((line["Namespace"], line["Pod"], line.get("Container")), ("shop", "till-7", None))
            line, = [line for line in viewer.rows(viewer.dashboard.panel("Stuck containers"))
                     if line["PID namespace"] == str(truth["pid_namespace"]) and self.is_of_observes(line)]
            self.assertEqual((line["Namespace"], line["Pod"], line["Container"]), ("shop", "cart-0", "app"))
            self.assertEqual((line["Verdict"], line["Waits in"]), ("deadlocked", "fuse_flush"))
            self.assertEqual((line["Connection"], line["Runtime"]), (str(truth["connection"]), "containerd"))
            self.assertEqual(line["Container id"], self.scene.pod.container_id)
            self.assertAlmostEqual(line["Since"] / 1000 + line["Stuck for"], viewer.end, delta=0.1)
        verdicts = {line["Verdict"] for line in self.full["fleet"].rows(self.dashboards["defused-fleet"].panel("Stuck containers"))}
        self.assertLessEqual({"deadlocked", "waiting_on_live_server", "not_fuse"}, verdicts)

    def test_it_works_without_the_rules(self):
        """Without the records of the join rules there is a line for each all the same, without names."""
        panel = copy.deepcopy(self.dashboards["defused-fleet"].panel("Stuck containers"))
        whole = self.full["fleet"].rows(panel)
        for target in panel["targets"]:
            target["expr"] = target["expr"].replace(":join", ":nobody_made_this")
        bare = self.full["fleet"].rows(panel)
        self.assertEqual(sorted((line["Host"], line["PID namespace"]) for line in bare),
                         sorted((line["Host"], line["PID namespace"]) for line in whole))
        self.assertEqual([line for line in bare if "Pod" in line], [])
        for dashboard in self.dashboards.values():
            records = {name for _, expression in dashboard.expressions() for name in re.findall(r"\w+:\w+:\w+", expression)}
            self.assertEqual({name for name in records if not name.endswith(":join")}, set())

    def test_a_broken_query_is_noticed(self):
        """None returns data of nothing, and none hides a mistake."""
        viewer = self.full["fleet"]
        for dashboard, viewers in self.viewers(self.full):
            for where, expression in dashboard.expressions():
                self.assertEqual(viewers[0].ask(re.sub(r"defused_|up\{|ALERTS", r"un\g<0>", expression)), [], where)
        expression = self.dashboards["defused-fleet"].panel("Deadlocked")["targets"][0]["expr"]
        self.assertTrue(all(viewer.ask(part) for part in split_at_or(expression)))
        for good, bad in (("deadlocked", "dead"), ("wait_class", "wait)"), ("$job", "$jobs"), ("$instance", "${instance:csv}")):
            self.assertIn(good, expression)
            try:
                worse = all(viewer.ask(part) for part in split_at_or(expression.replace(good, bad)))
            except AssertionError:
                worse = False
            self.assertFalse(worse, bad)

    def test_every_metric_counts(self):
        """Each name of a metric in a query, taken away, changes what the query returns: none is there in vain, and so a wrong
        one would be seen."""
        asked, vain = 0, []
        for dashboard, viewers in self.viewers(self.full):
            for panel in dashboard.panels:
                for target in panel["targets"]:
                    step = None if target["instant"] else viewers[0].step(panel.get("maxDataPoints", 1000))
                    for part in split_at_or(target["expr"]):
                        for found in re.finditer(r"\b(?:\w+:)?(?:defused_\w+(?::\w+)?|up|ALERTS)(?={)", part):
                            worse = f"{part[:found.start()]}un{part[found.start():]}"
                            asked += 1
                            if all(viewer.ask_all(part, step) == viewer.ask_all(worse, step) for viewer in viewers):
                                vain.append(f"{panel['title']} {target['refId']}: {found.group()}")
        self.assertEqual(vain, [])
        self.assertGreater(asked, 130)

    def test_macros_are_known(self):
        used = {name for dashboard in self.dashboards.values() for _, expression in dashboard.expressions()
                for name in re.findall(r"\$\{?(__\w+)", expression)}
        self.assertEqual(used - set(GLOBALS), set())
        self.assertIn("__rate_interval", used)


class Absent(unittest.TestCase):
    """A Prometheus whose only target never answered: no variable has a value."""

    def test_it_is_said(self):
        with contextlib.ExitStack() as stack:
            server = stack.enter_context(RealPrometheus([
                {"job_name": "defused", "static_configs": [{"targets": [f"127.0.0.1:{silent_port()}"]}]}], quick_rules(stack)))
            wait_until(lambda: len(server.query('ALERTS{alertstate="firing"}')) == 2, 20, "the alerts")
            viewer = Viewer(server, Dashboard("defused-fleet"), int(time.time()) + 1)
            self.assertEqual([viewer.options[name] for name in ("cluster", "job", "instance")], [[], [], []])
            down, problems, alerts = (viewer.dashboard.panel(title) for title in ("Down", "Hosts that cannot be relied on", "Alerts"))
            self.assertEqual(viewer.ask_panel(down)["A"], [({}, 1)])
            self.assertEqual([line["Problem"] for line in viewer.rows(problems)], ["down"])
            self.assertEqual({line["Alert"] for line in viewer.rows(alerts)}, {"DefusedAbsent", "DefusedExporterDown"})


if __name__ == "__main__":
    unittest.main()
