# SPDX-License-Identifier: Apache-2.0
"""`Pod`: a pod of a built manifest as containers of a real Docker. There is no kubelet in Debian; this does what one would do
with just the fields that the manifests have, and fails on each other one, so that none is passed over.

It has a network namespace without a network, as a pod has one of its own, and is asked by who enters that.
"""
import json
import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from daemon import SLOW, wait_until  # noqa: E402

# Whether and where it is scheduled, who it is to the API server, what others read of it.
NOT_OF_A_CONTAINER = {"serviceAccountName", "automountServiceAccountToken", "enableServiceLinks", "priorityClassName", "nodeSelector",
                      "affinity", "tolerations"}
UNITS = {"Ki": "k", "Mi": "m", "Gi": "g"}
ASK = """
import sys, urllib.error, urllib.request
try:
    with urllib.request.urlopen(sys.argv[1], timeout=float(sys.argv[2])) as answer:
        sys.stdout.buffer.write(answer.read())
except (OSError, urllib.error.URLError) as error:
    sys.exit(str(error))
"""


def take(table, *names):
    """The values of `names`, which are all that `table` has; None for what it has not."""
    unknown = set(table) - set(names)
    if unknown:
        raise AssertionError(f"this test does not know what {sorted(unknown)} mean")
    return [table.get(name) for name in names]


def security_options(context):
    read_only, escalates, apparmor, capabilities = take(context, "readOnlyRootFilesystem", "allowPrivilegeEscalation",
                                                        "appArmorProfile", "capabilities")
    drop, add = take(capabilities, "drop", "add")
    words = ["--read-only"] if read_only else []
    words += [] if escalates in (None, True) else ["--security-opt", "no-new-privileges"]
    if apparmor:
        assert apparmor == {"type": "Unconfined"}, apparmor
        words += ["--security-opt", "apparmor=unconfined"]
    for option, names in (("--cap-drop", drop), ("--cap-add", add)):
        words += [word for name in names or () for word in (option, name)]
    return words


def pod_options(spec):
    """Those that all containers of a pod share. What keeps a pod's control groups from it is not chosen by it."""
    rest = {name: value for name, value in spec.items() if name not in NOT_OF_A_CONTAINER}
    host_pid, grace, context, *_ = take(rest, "hostPID", "terminationGracePeriodSeconds", "securityContext", "containers",
                                        "initContainers", "volumes")
    user, group, seccomp = take(context, "runAsUser", "runAsGroup", "seccompProfile")
    assert seccomp == {"type": "RuntimeDefault"}, seccomp
    words = ["--network", "none", "--cgroupns", "private", "--user", f"{user}:{group}"]
    words += ["--pid", "host"] if host_pid else []
    return words + (["--stop-timeout", str(grace)] if grace else [])


def memory(limits):
    amount, = take(limits, "memory")
    return ["--memory", amount[:-2] + UNITS[amount[-2:]]]


class Pod:
    """Its containers run while the context stands.

    `config_maps` are objects; `host_paths` say which directory stands for a path of the node where it is not that path itself;
    `commands` replace those of containers by name, and `images` their images."""

    def __init__(self, engine, spec, config_maps=(), host_paths=(), images=(), commands=()):
        self.engine = engine
        self.spec = spec
        self.config_maps = {one["metadata"]["name"]: one for one in config_maps}
        self.host_paths = dict(host_paths)
        self.images = dict(images)
        self.commands = dict(commands)
        self.directory = tempfile.mkdtemp(prefix="pod-", dir=engine.directory)
        self.main = spec["containers"][0]
        self.name = f"{os.path.basename(self.directory)}-{self.main['name']}"

    def __enter__(self):
        sources = {one["name"]: self._source(one) for one in self.spec["volumes"]}
        for container in self.spec.get("initContainers", ()):
            self.engine.docker("run", "--rm", *self._words(container, sources), timeout=60)
        try:
            self.engine.docker("run", "--detach", "--name", self.name, *self._words(self.main, sources))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_):
        self.engine.try_docker("rm", "--force", self.name)

    def _source(self, volume):
        """The directory of the host that a volume is."""
        name, host_path, config_map, empty = take(volume, "name", "hostPath", "configMap", "emptyDir")
        if host_path:
            path, kind = take(host_path, "path", "type")
            path = self.host_paths.get(path, path)
            if kind == "DirectoryOrCreate":
                os.makedirs(path, mode=0o755, exist_ok=True)
            assert os.path.isdir(path), f"kubelet would not start it: {path}"
            return path
        home = os.path.join(self.directory, name)
        os.makedirs(home)
        if empty is not None:
            take(empty, "sizeLimit")
            os.chmod(home, 0o777)
            return home
        return self._write_config_map(home, self.config_maps[config_map["name"]])

    def _write_config_map(self, home, config_map):
        """As kubelet does it: each name is a link through a directory that is a link."""
        os.makedirs(os.path.join(home, "..2026"))
        os.symlink("..2026", os.path.join(home, "..data"))
        for name, text in config_map["data"].items():
            with open(os.path.join(home, "..2026", name), "w", encoding="utf-8") as file:
                file.write(text)
            os.symlink(f"..data/{name}", os.path.join(home, name))
        return home

    def _mounts(self, container, sources):
        for mount in container["volumeMounts"]:
            name, path, read_only, propagation = take(mount, "name", "mountPath", "readOnly", "mountPropagation")
            assert propagation in (None, "HostToContainer"), propagation
            kind = "rslave" if propagation else "rprivate"
            yield "--mount"
            yield f"type=bind,source={sources[name]},target={path},bind-propagation={kind}" + (",readonly" if read_only else "")

    def _words(self, container, sources):
        """What stands behind `docker run` for it."""
        name, image, command, arguments, environment, context, resources, *_ = take(
            container, "name", "image", "command", "args", "env", "securityContext", "resources", "volumeMounts", "imagePullPolicy",
            "ports", "startupProbe", "livenessProbe", "readinessProbe")
        command = self.commands.get(name, command or [])
        words = [*pod_options(self.spec), *security_options(context), *memory(resources["limits"]), *self._mounts(container, sources)]
        for one in environment or ():
            words += ["--env", f"{one['name']}={one.get('value', 'of the API server')}"]
        words += ["--entrypoint", command[0]] if command else []
        return [*words, self.images[image], *command[1:], *(arguments or [])]

    def pid(self):
        return int(self.engine.docker("inspect", "--format", "{{.State.Pid}}", self.name))

    def exec(self, *words, timeout=40):
        return self.engine.try_docker("exec", self.name, *words, timeout=timeout)

    def log(self):
        done = self.engine.try_docker("logs", self.name)
        return (done.stdout + done.stderr).decode()

    def get(self, path, timeout=5):
        """A page of it as text, "" where there is none; from within its network namespace, as kubelet comes by its address."""
        port, = [one["containerPort"] for one in self.main["ports"] if one["name"] == "metrics"]
        done = subprocess.run(["nsenter", f"--net=/proc/{self.pid()}/ns/net", "/usr/bin/python3", "-c", ASK,
                               f"http://127.0.0.1:{port}{path}", str(timeout)],
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=(timeout + 5) * SLOW, check=False)
        return done.stdout if done.returncode == 0 else ""

    def probe(self, name):
        """Whether a probe of its is well, once."""
        probe = self.main[name]
        http, *_ = take(probe, "httpGet", "periodSeconds", "timeoutSeconds", "failureThreshold")
        path, port = take(http, "path", "port")
        assert port == "metrics", port
        return self.get(path, probe.get("timeoutSeconds", 1)) != ""

    def wait_ready(self):
        """By its probes, in the time that they leave it."""
        started = self.main["startupProbe"]
        wait_until(lambda: self.probe("startupProbe"), started["periodSeconds"] * started["failureThreshold"], self.log())
        ready = self.main["readinessProbe"]
        wait_until(lambda: self.probe("readinessProbe"), ready["periodSeconds"] * ready["failureThreshold"], self.log())
        assert self.probe("livenessProbe"), self.log()

    def report(self):
        text = self.get("/api/v1/report")
        return json.loads(text) if text else {"pid_namespaces": []}
