# SPDX-License-Identifier: Apache-2.0
"""config/kubernetes: what kustomize builds of it is valid, is what docs/KUBERNETES.md and docs/CONTAINERS.md say, and its pods
do their work beside real deadlocks, in a real Docker (pod_in_docker.py)."""
import copy
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import unittest

import yaml

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
import prometheus_rule  # noqa: E402
import test_docker_image  # noqa: E402
from daemon import DEFUSED, children_of, parse_metrics, read_text, wait_until  # noqa: E402
from docker_engine import Engine  # noqa: E402
from kubernetes_manifests import KUBERNETES, REPO, build, built_text, only, schema_faults  # noqa: E402
from pod_in_docker import Pod  # noqa: E402
from real_prometheus import RealPrometheus  # noqa: E402

PAGE = (REPO / "docs" / "KUBERNETES.md").read_text(encoding="utf-8")
OVERLAYS = ("overlays/observe", "overlays/enforce")
IMAGE = "registry.invalid/defused"
LOADER = "/opt/defused/ld-linux-x86-64.so.2"
CAPABILITY_NUMBERS = {"DAC_OVERRIDE": 1, "DAC_READ_SEARCH": 2, "KILL": 5, "SETGID": 6, "SETUID": 7, "SETPCAP": 8, "SYS_PTRACE": 19,
                      "SYS_ADMIN": 21}
# A mount namespace whose mounts are shared, with nobody outside: private first, so that they are no longer the peers of the host's.
OWN_SHARED_MOUNTS = ("unshare", "--mount", "--propagation", "private", "sh", "-c", 'mount --make-rshared / && exec "$@"', "sh")
QUICK = {"interval": "1s", "detect": {"stuck_after": "2s"}, "remedy": {"min_stuck": "4s"}}


def pod_of(objects):
    return only(objects, "DaemonSet")["spec"]["template"]["spec"]


def security(objects):
    return pod_of(objects)["containers"][0]["securityContext"]


def leaves(value, path=""):
    """(path, value) of all that is in it, without the indices of lists."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, f"{path}.{name}" if path else name)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for inner in value:
            yield from leaves(inner, path)
    else:
        yield path, value


def configuration(objects):
    """The text of defused.json, and its value: comments are whole lines."""
    text = only(objects, "ConfigMap")["data"]["defused.json"]
    return text, json.loads(re.sub(r"^\s*//.*$", "", text, flags=re.M))


def examples():
    """The YAML of the page, in its order."""
    return [yaml.safe_load(block) for block in re.findall(r"^ *```yaml\n(.*?)^ *```$", PAGE, re.M | re.S)]


class Page(unittest.TestCase):
    """The kustomizations of the page, beside a copy of config/kubernetes as it says."""

    @classmethod
    def setUpClass(cls):
        cls.home = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        shutil.copytree(KUBERNETES, cls.home / "kubernetes")
        cls.first, cls.components, cls.generator, cls.few, cls.others, cls.scrape = examples()

    def build(self, name, kustomization, **files):
        (self.home / name).mkdir()
        moved = {**kustomization}
        for key in ("resources", "components"):
            if key in moved:
                moved[key] = [path if path.startswith("../") else f"../{path}" for path in moved[key]]
        for file, text in {"kustomization.yaml": json.dumps(moved), **files}.items():
            (self.home / name / file).write_text(text, encoding="utf-8")
        return build(self.home / name)

    def test_image(self):
        objects = self.build("first", self.first)
        self.assertEqual(pod_of(objects)["containers"][0]["image"], "registry.example.org/defused:0.1.0-1")
        for directory in (*OVERLAYS, "node-problem-detector"):
            pod = pod_of(build(directory))
            images = [one["image"] for one in [*pod["containers"], *pod.get("initContainers", ())]]
            self.assertRegex(" ".join(images), rf"^({IMAGE}|registry\.k8s\.io/node-problem-detector/[\w/-]+):")
        npd = self.build("npd", {**self.first, "resources": ["kubernetes/node-problem-detector"]})
        self.assertNotIn(IMAGE, json.dumps(npd))

    def test_before_1_30(self):
        objects = self.build("old", {**self.first, **self.components})
        self.assertNotIn("appArmorProfile", json.dumps(objects))
        template = only(objects, "DaemonSet")["spec"]["template"]
        name = template["spec"]["containers"][0]["name"]
        self.assertEqual(template["metadata"]["annotations"], {f"container.apparmor.security.beta.kubernetes.io/{name}": "unconfined"})
        self.assertEqual(schema_faults(objects), [[]] * len(objects))

    def test_another_configuration_is_a_rollout(self):
        text, value = configuration(build("overlays/observe"))
        value["mode"] = "dry_run"
        same, other = (only(self.build(name, {**self.first, **self.generator}, **{"defused.json": content}), "DaemonSet")
                       for name, content in (("same", text), ("other", json.dumps(value))))
        again = only(build("overlays/observe"), "DaemonSet")
        self.assertEqual(same["spec"]["template"]["spec"]["volumes"], again["spec"]["template"]["spec"]["volumes"])
        self.assertNotEqual(other["spec"]["template"]["spec"]["volumes"], again["spec"]["template"]["spec"]["volumes"])

    def test_some_nodes(self):
        """A node is one of either DaemonSet, never of both."""
        own = {**configuration(build("overlays/enforce"))[1], "remedy": {"deny": {"sources": ["s3://precious*"]}}}
        few = self.build("few", self.few, **{"defused.json": json.dumps(own)})
        others = self.build("others", {**self.first, **self.others})
        self.assertEqual({one["metadata"].get("namespace", one["metadata"]["name"]) for one in few}, {"defused-enforce"})
        self.assertEqual(configuration(few)[1], own)
        self.assertEqual(pod_of(few)["nodeSelector"]["defused/mode"], "enforce")
        affinity = pod_of(others)["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
        term, = affinity["nodeSelectorTerms"]
        self.assertIn({"key": "defused/mode", "operator": "NotIn", "values": ["enforce"]}, term["matchExpressions"])
        self.assertEqual(len(term["matchExpressions"]), 3)

    def test_scrape_configuration(self):
        """Debian's Prometheus has no discovery in Kubernetes: its labels are given here, and the rest is done by it."""
        monitor = only(build("prometheus-operator"), "PodMonitor")["spec"]["podMetricsEndpoints"][0]["relabelings"]
        config, = self.scrape["scrape_configs"]
        self.assertEqual(config.pop("kubernetes_sd_configs"), [{"role": "pod", "namespaces": {"names": ["defused"]}}])
        name = "__meta_kubernetes_pod_label_app_kubernetes_io_name"
        found = {name: "defused", "__meta_kubernetes_pod_container_port_name": "metrics", "__meta_kubernetes_pod_node_name": "node-1",
                 "__meta_kubernetes_namespace": "defused", "__meta_kubernetes_pod_name": "defused-x7k2p"}
        config["static_configs"] = [{"targets": ["127.0.0.1:1"], "labels": one} for one in (found, {**found, name: "another"})]
        by_monitor = {"job_name": "monitor", "static_configs": config["static_configs"][:1], "relabel_configs": [
            {"source_labels": one["sourceLabels"], "target_label": one["targetLabel"]} for one in monitor]}
        with RealPrometheus([config, by_monitor]) as prometheus:
            targets = wait_until(lambda: prometheus.api("targets", state="active")["activeTargets"], 20, "targets")
        labels = {one["labels"]["job"]: one["labels"] for one in targets}
        self.assertEqual(len(targets), 2)
        self.assertEqual(labels["defused"], {"job": "defused", "instance": "node-1", "node": "node-1", "namespace": "defused",
                                             "pod": "defused-x7k2p"})
        self.assertEqual(labels["monitor"], {"job": "monitor", "instance": "node-1", "node": "node-1"})

    def test_every_line(self):
        """Each field of the pod stands in one row of the page."""
        section = re.search(r"^## What every line gives\n(.*?)^## ", PAGE, re.M | re.S).group(1)
        told = re.findall(r"`([\w.]+)(?::[^`]*)?`", "\n".join(re.findall(r"^\| (`[^|]*) \|", section.split("| volume |")[0], re.M)))
        fields = {path for overlay in OVERLAYS for path, _ in leaves(pod_of(build(overlay)))}
        covers = {name: [path for path in fields if path == name or path.startswith(f"{name}.")] for name in told}
        self.assertEqual([name for name, paths in covers.items() if not paths], [], "rows of nothing")
        self.assertEqual(sorted(fields), sorted(path for paths in covers.values() for path in paths))
        volumes = re.findall(r"^\| `(\w+)` \|", section.split("| volume |")[1].split("\n\n")[0], re.M)
        self.assertEqual(volumes, [one["name"] for one in pod_of(build(OVERLAYS[0]))["volumes"]])


class Manifests(unittest.TestCase):
    def all_objects(self):
        return [one for directory in (*OVERLAYS, "prometheus-operator", "node-problem-detector") for one in build(directory)]

    def test_schemas(self):
        objects = self.all_objects()
        self.assertEqual({f"{one['kind']}/{one['metadata']['name']}": found for one, found in zip(objects, schema_faults(objects))
                          if found}, {})

    def test_schemas_notice(self):
        pod = only(build(OVERLAYS[0]), "DaemonSet")
        monitor = only(build("prometheus-operator"), "PodMonitor")
        rule = only(build("prometheus-operator"), "PrometheusRule")

        def broken(original, change):
            one = copy.deepcopy(original)
            change(one["spec"])
            return one

        samples = {
            "readOnlyRootFileSystem": broken(pod, lambda s: s["template"]["spec"]["containers"][0]["securityContext"].update(
                readOnlyRootFileSystem=True)),
            "hostPID": broken(pod, lambda s: s["template"]["spec"].update(hostPID="yes")),
            "selector": broken(pod, lambda s: s.pop("selector")),
            "mountPropogation": broken(pod, lambda s: s["template"]["spec"]["containers"][0]["volumeMounts"][0].update(
                mountPropogation="None")),
            "intervall": broken(monitor, lambda s: s["podMetricsEndpoints"][0].update(intervall="30s")),
            "interval": broken(monitor, lambda s: s["podMetricsEndpoints"][0].update(interval="30 s")),
            "expr": broken(rule, lambda s: s["groups"][0]["rules"][0].pop("expr")),
            "recrod": broken(rule, lambda s: s["groups"][0]["rules"][0].update(recrod="x")),
        }
        for name, found in zip(samples, schema_faults(list(samples.values()))):
            self.assertIn(name, " ".join(found))

    def test_labels(self):
        for one in self.all_objects():
            if one["kind"] == "Namespace":
                continue
            labels = one["metadata"]["labels"]
            self.assertIn("app.kubernetes.io/name", labels, one["metadata"]["name"])
            self.assertEqual(labels["app.kubernetes.io/part-of"], "defused")
            self.assertEqual(one["metadata"].get("namespace", "defused"), "defused")
        for directory in (*OVERLAYS, "node-problem-detector"):
            one = only(build(directory), "DaemonSet")
            self.assertLessEqual(one["spec"]["selector"]["matchLabels"].items(), one["spec"]["template"]["metadata"]["labels"].items())

    def test_who_finds_it(self):
        """NetworkPolicy, PodMonitor and probes mean the same pod and the same port, and the daemon listens there."""
        objects = build(OVERLAYS[0])
        labels = only(objects, "DaemonSet")["spec"]["template"]["metadata"]["labels"].items()
        policy = only(objects, "NetworkPolicy")["spec"]
        monitor = only(build("prometheus-operator"), "PodMonitor")["spec"]
        self.assertLessEqual(policy["podSelector"]["matchLabels"].items(), labels)
        self.assertLessEqual(monitor["selector"]["matchLabels"].items(), labels)
        self.assertIn(monitor["jobLabel"], dict(labels))
        container, = pod_of(objects)["containers"]
        port, = container["ports"]
        named = [policy["ingress"][0]["ports"][0]["port"], monitor["podMetricsEndpoints"][0]["port"]]
        named += [container[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
        self.assertEqual(set(named), {port["name"]})
        self.assertEqual((policy["policyTypes"], policy["egress"]), (["Ingress", "Egress"], []))
        for overlay in OVERLAYS:
            self.assertEqual(configuration(build(overlay))[1]["web"]["listen_addresses"], [f":{port['containerPort']}"])

    def test_no_rights(self):
        for overlay in OVERLAYS:
            objects = build(overlay)
            self.assertEqual([one["kind"] for one in objects if "Role" in one["kind"]], [])
            self.assertIs(only(objects, "ServiceAccount")["automountServiceAccountToken"], False)
            self.assertIs(pod_of(objects)["automountServiceAccountToken"], False)
            self.assertEqual({key for one in pod_of(objects)["volumes"] for key in one} - {"name"}, {"hostPath", "configMap"})
        npd = build("node-problem-detector")
        self.assertEqual(only(npd, "ClusterRoleBinding")["roleRef"]["name"], "system:node-problem-detector")
        for one in [*pod_of(npd)["containers"], *pod_of(npd)["initContainers"]]:
            self.assertEqual(one["securityContext"], {"readOnlyRootFilesystem": True, "allowPrivilegeEscalation": False,
                                                      "capabilities": {"drop": ["ALL"]}})
        self.assertFalse({"hostPID", "hostNetwork", "hostIPC"} & set(pod_of(npd)))

    def test_confinement(self):
        for overlay in OVERLAYS:
            pod = pod_of(build(overlay))
            self.assertFalse({"hostNetwork", "hostIPC", "initContainers"} & set(pod))
            self.assertEqual(pod["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
            self.assertIs(security(build(overlay))["readOnlyRootFilesystem"], True)
            self.assertNotIn("privileged", security(build(overlay)))
            self.assertEqual({one["hostPath"]["path"] for one in pod["volumes"] if "hostPath" in one},
                             {"/sys/fs/fuse/connections", "/var/lib/defused", "/run/defused"})
            self.assertNotIn("cpu", pod["containers"][0]["resources"]["limits"])

    def test_capabilities(self):
        """They are those of CONTAINERS.md: of its table, and of its two commands."""
        page = (REPO / "docs" / "CONTAINERS.md").read_text(encoding="utf-8")
        rows = re.search(r"^\| capability \| without it \|\n\|---\|---\|\n(.*?)\n\n", page, re.M | re.S).group(1)
        told = {name: "enforce only" in row for row in rows.splitlines() for name in re.findall(r"`([A-Z_]+)`", row.split("|")[1])}
        self.assertEqual(set(told), set(CAPABILITY_NUMBERS))
        for overlay, section in zip(OVERLAYS, ("Looking", "Acting")):
            wanted = {name for name, acting in told.items() if section == "Acting" or not acting}
            command = test_docker_image.commands(section)[0]
            self.assertEqual({command[at + 1] for at, word in enumerate(command) if word == "--cap-add"}, wanted)
            capabilities = security(build(overlay))["capabilities"]
            self.assertEqual((capabilities["drop"], set(capabilities["add"])), (["ALL"], wanted))

    def test_enforce_differs_in_what_it_must(self):
        """Else it is the same, and the same names: one overlay is applied over the other."""
        observe, enforce = (yaml.safe_load_all(re.sub(r"name: defused-[0-9a-z]{10}$", "name: defused-HASH", built_text(
            KUBERNETES / overlay), flags=re.M)) for overlay in OVERLAYS)
        differ = [(path, value, other) for one, two in zip(observe, enforce) for (path, value), (_, other) in
                  zip(leaves(one), leaves(two), strict=True) if value != other]
        container = "spec.template.spec.containers"
        (data, looks, acts), (added, few, more), (mount, closed, is_open) = differ
        self.assertEqual((data, added, mount), ("data.defused.json", f"{container}.securityContext.capabilities.add",
                                                f"{container}.volumeMounts.readOnly"))
        self.assertEqual(looks.replace('"observe"', '"enforce"'), acts)
        self.assertEqual(set(more) - set(few), {"DAC_OVERRIDE"})
        self.assertEqual((closed, is_open), (True, False))

    def test_configurations(self):
        for overlay, mode in zip(OVERLAYS, ("observe", "enforce")):
            config_map = only(build(overlay), "ConfigMap")
            self.assertIs(config_map["immutable"], True)
            text, value = configuration(build(overlay))
            self.assertEqual(value["mode"], mode)
            with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                done = subprocess.run([DEFUSED, "config", "check", file.name], capture_output=True, text=True, timeout=20, check=False)
                self.assertEqual(done.returncode, 0, done.stderr)

    def test_rules(self):
        """The PrometheusRule is config/prometheus, whatever files are there. DEFUSED_WRITE_DOCS=1 makes it anew."""
        if os.environ.get("DEFUSED_WRITE_DOCS") == "1":
            prometheus_rule.write()
            built_text.cache_clear()
        self.assertEqual(prometheus_rule.TARGET.read_text(encoding="utf-8"), prometheus_rule.text(),
                         "make it anew: python3 tests/system/prometheus_rule.py")
        spec = yaml.safe_load(prometheus_rule.TARGET.read_text(encoding="utf-8"))["spec"]
        self.assertEqual(spec["groups"], prometheus_rule.groups())
        with tempfile.NamedTemporaryFile("w", suffix=".yml", encoding="utf-8") as file:
            json.dump(spec, file)
            file.flush()
            done = subprocess.run(["promtool", "check", "rules", file.name], capture_output=True, text=True, timeout=30, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn(f"SUCCESS: {sum(len(group['rules']) for group in spec['groups'])} rules found", done.stdout)

    def test_dashboards(self):
        grafana = REPO / "config" / "grafana"
        files = {path.name for path in grafana.glob("*.json")}
        if not files:
            self.skipTest("config/grafana has no dashboards")
        objects = build("dashboards")
        self.assertEqual({name for one in objects for name in one["data"]}, files)
        self.assertEqual(schema_faults(objects), [[]] * len(objects))
        for one in objects:
            self.assertEqual(one["metadata"]["labels"]["grafana_dashboard"], "1")
            for name, text in one["data"].items():
                self.assertEqual(text, (grafana / name).read_text(encoding="utf-8"))
                self.assertLess(len(text), 1000000, "a ConfigMap holds 1 MiB")

    def test_node_problem_detector_asks_the_same(self):
        shipped = json.loads((REPO / "config/node-problem-detector/defused-monitor.json").read_text(encoding="utf-8"))
        for rule in shipped["rules"]:
            self.assertEqual(rule["path"], "/usr/sbin/defused")
            rule["args"] = ["--library-path", "/opt/defused", "/opt/defused/defused", *rule["args"]]
            rule["path"] = LOADER
        objects = build("node-problem-detector")
        self.assertEqual(json.loads(only(objects, "ConfigMap")["data"]["defused-monitor.json"]), shipped)
        container, = pod_of(objects)["containers"]
        self.assertIn("--config.custom-plugin-monitor=/config/defused-monitor.json", container["command"])


def plain_image():
    """A root with a shell and nothing else: no library, no loader."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for directory in ("bin", "config", "opt/defused", "run/defused", "proc", "sys", "dev", "etc", "tmp"):
            member = tarfile.TarInfo(directory)
            member.type, member.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(member)
        tar.add("/bin/busybox", "bin/busybox")
    return packed.getvalue()


class Running(unittest.TestCase):
    """Each pod has a node of its own: its directories, and the mount namespace of the engine, in which mounts are shared."""

    @classmethod
    def setUpClass(cls):
        build(OVERLAYS[0])  # nothing is begun where it cannot be built
        cls.engine = cls.enterClassContext(Engine(*OWN_SHARED_MOUNTS))
        test_docker_image.make_image(cls.engine)
        cls.engine.docker("import", "-", "plain:lab", stdin=plain_image())

    def setUp(self):
        self.node = tempfile.mkdtemp(prefix="node-", dir=self.engine.directory)
        self.fstype = "defusedlab.pod"

    def pod(self, overlay, **settings):
        """Of an overlay as it is built; only its waiting times are shorter, and it may touch the lab alone."""
        objects = build(overlay)
        config_map = copy.deepcopy(only(objects, "ConfigMap"))
        value = copy.deepcopy({**configuration(objects)[1], **QUICK, **settings})
        value["remedy"]["allow"] = {"fstypes": [f"fuse.{self.fstype}"]}
        config_map["data"]["defused.json"] = json.dumps(value)
        return self.run_pod(pod_of(objects), config_map)

    def run_pod(self, spec, config_map, **more):
        paths = {f"/{path}": f"{self.node}/{path}" for path in ("var/lib/defused", "run/defused")}
        images = {one["image"]: "defused" if one["image"].startswith(IMAGE) else "plain:lab"
                  for one in [*spec["containers"], *spec.get("initContainers", ())]}
        return Pod(self.engine, spec, [config_map], paths, images, **more)

    def audit(self):
        return [json.loads(line) for line in read_text(f"{self.node}/var/lib/defused/audit.jsonl").splitlines(keepends=True)
                if line.endswith("\n")]

    def make_stuck(self):
        """A container that is killed in vain."""
        stuck = self.engine.run_tenant(f"hurt-{os.path.basename(self.node)}", "hold", self.fstype, "--init")
        self.addCleanup(self.engine.try_docker, "rm", "--force", stuck.name)
        kill = self.engine.begin("kill", stuck.name)
        self.addCleanup(kill.communicate, timeout=60)
        wait_until(lambda: stuck.waiting() > 0, 10, stuck.stacks())
        return stuck

    def check_told(self, pod, stuck):
        def told():
            return [one for one in pod.report()["pid_namespaces"]
                    if one["pid_namespace"] == stuck.pid_namespace and one["verdict"] == "deadlocked"]

        found, = wait_until(told, 30, pod.log())
        self.assertEqual(found["container"]["id"], stuck.id)
        self.assertEqual((found["evidence"], found["connections"]), ("proven", [stuck.connection]))

    def check_bounds(self, pod, overlay):
        """In the container there is what the manifest says."""
        status = pod.exec("cat", "/proc/self/status").stdout.decode()
        wanted = sum(1 << CAPABILITY_NUMBERS[name] for name in security(build(overlay))["capabilities"]["add"])
        self.assertEqual(int(re.search(r"^CapBnd:\t(\w+)$", status, re.M).group(1), 16), wanted)
        self.assertIn(b"Read-only file system", pod.exec("touch", "/usr/x").stderr)
        self.assertIn(b"Read-only file system", pod.exec("touch", "/etc/defused/x").stderr)

    def check_rules(self, expected, age):
        """Both rules of node-problem-detector's, in its pod; `age` takes the place of a minute."""
        objects = build("node-problem-detector")
        monitor = json.loads(only(objects, "ConfigMap")["data"]["defused-monitor.json"])
        pod = self.run_pod(pod_of(objects), only(objects, "ConfigMap"),
                           commands={"node-problem-detector": ["/bin/busybox", "sleep", "600"]})
        with pod:
            self.assertNotEqual(pod.exec("/bin/busybox", "cat", "/lib64/ld-linux-x86-64.so.2").returncode, 0, "it has libraries")
            for rule, (code, line) in zip(monitor["rules"], expected, strict=True):
                done = pod.exec(rule["path"], *(age if word == "1m" else word for word in rule["args"]))
                self.assertEqual(done.returncode, code, done.stdout + done.stderr)
                self.assertRegex(done.stdout.decode(), line)
                self.assertLessEqual(len(done.stdout.rstrip(b"\n")), monitor["pluginConfig"]["max_output_length"])

    def test_observe(self):
        stuck = self.make_stuck()
        self.check_rules([(2, "."), (0, ".")], "1s")  # nobody answers: the condition is Unknown, and no event a minute
        with self.pod(OVERLAYS[0]) as pod:
            pod.wait_ready()
            self.check_told(pod, stuck)
            self.check_bounds(pod, OVERLAYS[0])
            metrics = parse_metrics(pod.get("/metrics"))
            self.assertEqual([key for key, value in metrics.items() if key.startswith("defused_blind{") and value], [])
            wait_until(lambda: pod.exec("defused", "check").returncode == 2, 10, "CRITICAL")
            self.check_rules([(1, f"{stuck.id[:12]}"), (1, f"{stuck.id[:12]}")], "1s")
            self.check_rules([(0, "."), (1, ".")], "10m")  # too young for the condition, and an event
            tried = pod.exec("sh", "-c", f"echo 1 > /sys/fs/fuse/connections/{stuck.connection}/abort")
            self.assertIn(b"Read-only file system", tried.stderr)
            with self.pod(OVERLAYS[0]) as second:
                self.assertEqual(self.engine.docker("wait", second.name), "5", "the node has one already")
        with self.pod(OVERLAYS[0], mode="dry_run") as pod:
            pod.wait_ready()
            wait_until(lambda: [one for one in self.audit() if one["record"] == "decision" and one["mode"] == "dry_run"
                                and one["evidence"]["decision"]["reasons"] == ["mode"]], 20, pod.log())
            self.assertGreater(stuck.waiting(), 0)
            self.assertRegex(stuck.status(), "^Up ")
        with open(f"/sys/fs/fuse/connections/{stuck.connection}/abort", "w", encoding="ascii") as file:
            file.write("1")

    def test_enforce(self):
        with self.pod(OVERLAYS[1]) as pod:
            pod.wait_ready()
            self.check_bounds(pod, OVERLAYS[1])
            self.assertEqual(pod.exec("defused", "pause", "--", "a test").returncode, 0)
            stuck = self.make_stuck()
            self.check_told(pod, stuck)
            time.sleep(6)
            self.assertGreater(stuck.waiting(), 0, "it was freed while actions are paused")
            self.assertEqual(pod.exec("defused", "resume").returncode, 0)
            wait_until(lambda: stuck.status().startswith("Exited (137)"), 40, pod.log())
            wait_until(lambda: parse_metrics(pod.get("/metrics")).get('defused_aborts_total{outcome="released"}') == 1, 15, pod.log())
            started = time.monotonic()
            self.engine.docker("stop", pod.name)
            self.assertLess(time.monotonic() - started, pod.spec["terminationGracePeriodSeconds"])
            self.assertEqual(self.engine.docker("inspect", "--format", "{{.State.ExitCode}}", pod.name), "0")
        self.assertEqual([one["connection"] for one in self.audit() if one["record"] == "outcome"], [stuck.connection])

    def test_fusectl_mounted_later(self):
        inside = ["nsenter", f"--mount=/proc/{self.engine.process.pid}/ns/mnt"]
        subprocess.run([*inside, "umount", "/sys/fs/fuse/connections"], timeout=10, check=True)
        with self.pod(OVERLAYS[0]) as pod:
            try:
                self.assertTrue(os.path.ismount("/sys/fs/fuse/connections"), "it was unmounted on the host")
                pod.wait_ready()
                self.assertEqual(self.blind(pod), 1)
            finally:
                subprocess.run([*inside, "mount", "-t", "fusectl", "fusectl", "/sys/fs/fuse/connections"], timeout=10, check=True)
            wait_until(lambda: self.blind(pod) == 0, 20, pod.log())
            # What arrives so can be written in the pod, and not by the prober.
            prober = next(pid for pid in children_of(pod.pid()) if read_text(f"/proc/{pid}/comm") == "defused-prober\n")
            found = re.findall(r" / /sys/fs/fuse/connections (\w\w),\S* .*- fusectl ", read_text(f"/proc/{prober}/mountinfo"))
            self.assertEqual(found, ["ro"])

    def blind(self, pod):
        return parse_metrics(pod.get("/metrics")).get('defused_blind{what="fusectl"}')


if __name__ == "__main__":
    unittest.main()
