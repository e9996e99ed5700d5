# SPDX-License-Identifier: Apache-2.0
"""`Sandbox(pid)`: what the kernel says of a process's confinement. `unapplied()`: which directives of a unit it does not
bear out.

Each directive of the unit is held against the kernel, or named in TAKES_NOTHING; one that is in neither is told as well, so
that none can be added that nobody looks at.
"""
import os
import pathlib
import re

from daemon import read_text

CGROUPS = pathlib.Path("/sys/fs/cgroup")
CAPABILITIES = "/usr/include/linux/capability.h"
# Directives that take nothing away from the service.
TAKES_NOTHING = {
    "Type", "NotifyAccess", "ExecStart", "ExecReload", "Restart", "RestartSec", "RestartPreventExitStatus", "KillMode",
    "TimeoutStopSec", "WatchdogSec", "StateDirectory", "StateDirectoryMode", "RuntimeDirectory", "RuntimeDirectoryMode",
    "RuntimeDirectoryPreserve",
    "SystemCallErrorNumber",  # how it is refused
    "ReadWritePaths",  # ProtectSystem looks whether more can be written
}
# By the directive that takes it away: what sandbox_probe.pl tries. One of them at least has to tell.
PROBES = {
    "LockPersonality": ("personality",),
    "MemoryDenyWriteExecute": ("mmap_writable_executable",),
    "PrivateDevices": ("device_fuse",),
    "PrivateTmp": ("list_tmp",),
    "ProtectClock": ("set_clock",),
    "ProtectControlGroups": ("write_cgroup",),
    "ProtectHome": ("list_root", "list_home"),
    "ProtectKernelLogs": ("kernel_log",),
    "ProtectKernelModules": ("load_module", "list_modules"),
    "ProtectSystem": ("write_usr", "write_etc", "write_var", "write_run", "write_srv"),
    "ReadOnlyPaths": ("write_sysfs", "write_run"),
    "RestrictAddressFamilies": ("socket_packet", "socket_vsock"),
    "RestrictNamespaces": ("unshare_uts", "unshare_mnt", "unshare_user"),
    "RestrictRealtime": ("realtime",),
    "SystemCallArchitectures": ("old_system_call",),
    "SystemCallFilter": ("swap_off", "reboot", "add_key", "set_namespace"),
}
# What a kernel or systemd says to what is not permitted.
DENIED = {"EPERM", "EACCES", "EROFS", "ENOENT", "EAFNOSUPPORT", "ENOSYS", "empty", "killed by signal 31"}


def unit_directives(text):
    """[(name, value)] of the [Service] sections of a unit and its drop-ins, continued lines put together."""
    found, section = [], None
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        line = line.strip()
        if re.fullmatch(r"\[\w+\]", line):
            section = line[1:-1]
        elif section == "Service" and line and line[0] not in "#;":
            name, _, value = line.partition("=")
            found.append((name.strip(), value.strip()))
    return found


def effective(directives):
    """{name: value}: the last one of each; lists are put together, and an empty value begins anew."""
    lists = re.compile(r"CapabilityBoundingSet|AmbientCapabilities|SystemCallFilter|\w+Paths|RestrictAddressFamilies|DeviceAllow"
                       r"|Environment|IPAddress\w+|Exec\w+")
    values = {}
    for name, value in directives:
        values[name] = f"{values[name]} {value}" if lists.fullmatch(name) and value and values.get(name) else value
    return values


def capability_mask(names):
    """Of CAP_ names, with a leading ~ all others."""
    numbers = {name: int(number) for name, number in re.findall(r"^#define (CAP_\w+)\s+(\d+)$", read_text(CAPABILITIES), re.M)}
    mask = 0
    for name in names.replace("~", " ").split():
        mask |= 1 << numbers[name]
    everything = (1 << int(read_text("/proc/sys/kernel/cap_last_cap")) + 1) - 1
    return everything & ~mask if names.startswith("~") else mask


def bytes_of(value):
    """Of "64M"."""
    number, unit = re.fullmatch(r"(\d+)([KMGT]?)", value).groups()
    return int(number) << {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}[unit]


class Sandbox:
    """Of one process, by its PID here, as it is at this moment."""

    def __init__(self, pid):
        self.pid = pid
        self.status = dict(re.findall(r"^(\w+):\t(.*)$", read_text(f"/proc/{pid}/status"), re.M))
        self.namespaces = {name: os.readlink(f"/proc/{pid}/ns/{name}") for name in os.listdir(f"/proc/{pid}/ns")}
        self.oom_score_adj = int(read_text(f"/proc/{pid}/oom_score_adj"))
        self.locked_memory = re.search(r"^Max locked memory +\S+ +(\S+)", read_text(f"/proc/{pid}/limits"), re.M).group(1)
        self.mounts = {}  # by mount point; the last one covers those before it
        for line in read_text(f"/proc/{pid}/mountinfo").splitlines():
            fields = line.split()
            self.mounts[fields[4]] = {"root": fields[3], "options": fields[5].split(","), "type": fields[fields.index("-") + 1]}

    def mask(self, name):
        return int(self.status[name], 16)

    def mount_of(self, path):
        """The mount that `path` is on."""
        while path not in self.mounts:
            path = os.path.dirname(path)
        return self.mounts[path]

    def read_only(self, path):
        return "ro" in self.mount_of(path)["options"]

    def writable(self):
        """Mount points that are not read-only. Left out: those of the kernel and of /dev, and what nspawn has put below
        /run/host, where it lies hidden below a read-only mount."""
        return sorted(path for path, mount in self.mounts.items()
                      if "rw" in mount["options"] and not re.match(r"/(proc|sys|dev|run/host)(/|$)", path))

    def cgroup_file(self, *names):
        """The text of the first of these files that is there: (controller, file) of cgroup v1, or ("", file) of v2."""
        paths = {}
        for line in read_text(f"/proc/{self.pid}/cgroup").splitlines():
            _, controllers, path = line.split(":", 2)
            paths.update({one: path.lstrip("/") for one in controllers.split(",")})
        for controller, name in names:
            mounted = CGROUPS / controller if controller else CGROUPS
            file = mounted / paths.get(controller, "nowhere") / name
            if file.exists():
                return read_text(file).strip()
        return ""


def check_read_only(sandbox, _value, named):
    """All is read-only but what the unit names."""
    allowed = {f"/var/lib/{name}" for name in named.get("StateDirectory", "").split()}
    allowed |= {f"/run/{name}" for name in named.get("RuntimeDirectory", "").split()}
    allowed |= {path.lstrip("-") for path in named.get("ReadWritePaths", "").split()}
    if "PrivateTmp" in named:
        allowed |= {"/tmp", "/var/tmp"}
    return sandbox.read_only("/") and set(sandbox.writable()) <= allowed and all(
        not sandbox.read_only(path) for path in allowed if path in sandbox.mounts)


def check_yes(predicate):
    return lambda sandbox, value, _: value in ("yes", "strict") and predicate(sandbox)


def check_oom_score(sandbox, value, named):
    """Who lacks CAP_SYS_RESOURCE may not lower it: then systemd goes on without."""
    may_lower = named["manager"].mask("CapEff") & capability_mask("CAP_SYS_RESOURCE")
    return sandbox.oom_score_adj == (int(value) if may_lower or int(value) >= 0 else named["manager"].oom_score_adj)


def check_locked_memory(sandbox, value, named):
    """Raising the hard limit takes CAP_SYS_RESOURCE as well."""
    return value == "infinity" and sandbox.locked_memory in ("unlimited", named["manager"].locked_memory)


CHECKS = {
    "NoNewPrivileges": check_yes(lambda it: it.status["NoNewPrivs"] == "1"),
    # What the machine itself does not have cannot be kept.
    "CapabilityBoundingSet": lambda it, value, named: it.mask("CapBnd") == capability_mask(value) & named["manager"].mask("CapBnd"),
    "InaccessiblePaths": lambda it, value, _: all(
        "/inaccessible/" in it.mount_of(path.lstrip("-"))["root"] for path in value.split() if os.path.exists(path.lstrip("-"))),
    "LimitMEMLOCK": check_locked_memory,
    "MemoryMax": lambda it, value, _: str(bytes_of(value)) == it.cgroup_file(("memory", "memory.limit_in_bytes"), ("", "memory.max")),
    "OOMScoreAdjust": check_oom_score,
    "PrivateDevices": check_yes(lambda it: it.mounts.get("/dev", {}).get("type") == "tmpfs"
                                and "a *:* rwm" not in it.cgroup_file(("devices", "devices.list"))),
    "PrivateMounts": lambda it, value, named: value == "yes" and it.namespaces["mnt"] != named["manager"].namespaces["mnt"],
    "PrivateTmp": check_yes(lambda it: "systemd-private" in it.mount_of("/tmp")["root"]),
    "ProtectControlGroups": check_yes(lambda it: it.read_only("/sys/fs/cgroup/systemd")),
    "ProtectKernelLogs": check_yes(lambda it: "/inaccessible/" in it.mount_of("/proc/kmsg")["root"]),
    "ProtectSystem": check_read_only,
    "ReadOnlyPaths": lambda it, value, _: all(it.read_only(path) for path in value.split()),
    "UMask": lambda it, value, _: int(it.status["Umask"], 8) == int(value, 8),
}


def may_be_denied(name, value, probe):
    """Whether a directive with this value takes away what the probe tries."""
    return not (name == "RestrictNamespaces" and probe.removeprefix("unshare_") in value.split())


def unapplied(text, sandbox, manager, tried, tried_freely):
    """Sentences about the directives of unit `text` that do not hold for `sandbox`. `manager`: the Sandbox of systemd;
    `tried`: results of sandbox_probe.pl under this unit, `tried_freely`: without one. What is denied to everybody tells
    nothing."""
    named = effective(unit_directives(text))
    complaints = []
    for name, value in named.items():
        if name in TAKES_NOTHING:
            continue
        check = CHECKS.get(name)
        if check and not check(sandbox, value, {**named, "manager": manager}):
            complaints.append(f"{name}={value} is not what the kernel says of {sandbox.status['Name']}")
        telling = [probe for probe in PROBES.get(name, ())
                   if tried_freely[probe] not in DENIED and may_be_denied(name, value, probe)]
        complaints += [f"{name}={value}, and yet {probe}: {tried[probe]}" for probe in telling if tried[probe] not in DENIED]
        if not check and not telling:
            complaints.append(f"nothing here tells whether {name}={value} is applied")
    return complaints
