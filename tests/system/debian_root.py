# SPDX-License-Identifier: Apache-2.0
"""`unpack_root(DIRECTORY)`: a clean, minimal Debian 12 with systemd, for tests of the package.

It is made by mmdebstrap once and kept as a tar in the user's cache, so that later tests unpack it in seconds. Needs root
and the Debian mirror of this machine. `run_inside` runs a command in it by chroot, with its own /proc.
"""
import contextlib
import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import subprocess

SUITE = "bookworm"
# What a service manager needs to boot, and nothing that the package is to bring by its own dependencies.
INCLUDE = ("systemd", "systemd-sysv", "dbus", "kmod", "procps", "iproute2")
MIRROR = "http://deb.debian.org/debian"
SECURITY = "http://deb.debian.org/debian-security"
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "defused"
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8",
               "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}
# Seconds; a fresh machine fetches some 80 MB and unpacks them.
MAKING_TIME = 240
POLICY = "#!/bin/sh\n# Nothing is started in a root that is not booted.\nexit 101\n"


def host_mirrors():
    """(mirror, security mirror) of this machine's apt sources, Debian's own where they name none."""
    sources = [pathlib.Path("/etc/apt/sources.list"), *pathlib.Path("/etc/apt/sources.list.d").glob("*.sources"),
               *pathlib.Path("/etc/apt/sources.list.d").glob("*.list")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources if path.exists())
    found = re.findall(r"^(?:deb (?:\[[^]]*\] )?|URIs: *)(http\S+?)/?(?:\s|$)", text, re.M)
    main = next((uri for uri in found if re.search(r"/debian$", uri)), MIRROR)
    security = next((uri for uri in found if re.search(r"/debian-security$", uri)), SECURITY)
    return main, security


def run_inside(root, *command, timeout=120, check=True, **environment):
    """The CompletedProcess of `command` in `root`: output and errors together as text. AssertionError where it fails."""
    # In its own PID namespace: whatever it starts ends with it, and its /proc is unmounted with its mount namespace.
    done = subprocess.run(
        ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--propagation", "private", "sh", "-c",
         'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"', str(root), *command],
        env={**ENVIRONMENT, **environment}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, timeout=timeout, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}")
    return done


# In a root that is thrown away nothing needs to reach the disk, and nobody reads what is translated.
DPKG_OPTIONS = ("force-unsafe-io",)
APT_OPTIONS = ('APT::Install-Recommends "false"', 'Acquire::Languages "none"', 'Acquire::Retries "3"')


def make_tar(tar):
    mirror, security = host_mirrors()
    sources = [f"deb {mirror} {SUITE} main", f"deb {mirror} {SUITE}-updates main", f"deb {security} {SUITE}-security main"]
    done = subprocess.run(
        ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(INCLUDE)}", "--skip=cleanup/apt/lists",
         *[f"--dpkgopt={option}" for option in DPKG_OPTIONS], *[f"--aptopt={option}" for option in APT_OPTIONS],
         SUITE, str(tar), *sources],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=MAKING_TIME, check=False)
    if done.returncode != 0:
        raise AssertionError(f"mmdebstrap ended with {done.returncode}:\n{done.stdout[-4000:]}")


def cached_tar():
    """The path of the tar, which is made where it is missing. One process makes it, others wait for it."""
    key = hashlib.sha256(repr((SUITE, INCLUDE, host_mirrors())).encode()).hexdigest()[:12]
    tar = CACHE / f"debian-{SUITE}-{key}.tar"
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if tar.exists():
            return tar
        fresh = pathlib.Path(f"{tar}.new.tar")
        try:
            make_tar(fresh)
            os.rename(fresh, tar)
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(fresh)
    return tar


def unpack_root(directory):
    """A fresh copy in `directory`, which has to be empty. Its package lists are those of when it was made: `refresh` it."""
    subprocess.run(["tar", "--numeric-owner", "--xattrs", "-C", str(directory), "-xpf", str(cached_tar())], check=True, timeout=120)
    shutil.copyfile("/etc/resolv.conf", pathlib.Path(directory) / "etc/resolv.conf")


def forbid_services(root):
    """For a root that is not booted: maintainer scripts start nothing in it."""
    policy = pathlib.Path(root) / "usr/sbin/policy-rc.d"
    policy.write_text(POLICY, encoding="utf-8")
    policy.chmod(0o755)


def refresh(root):
    """Fetches the package lists again."""
    run_inside(root, "apt-get", "-q", "update", timeout=90)


if __name__ == "__main__":
    print(cached_tar())
