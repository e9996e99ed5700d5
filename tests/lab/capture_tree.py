# SPDX-License-Identifier: Apache-2.0
"""Copies the evidence of some processes into a directory of the shape of tests/captures, byte for byte."""
import glob
import os

FILES = ("status", "stat", "stack", "wchan", "cgroup", "mountinfo", "sched", "children")
LINKS = ("ns/pid", "ns/mnt", "ns/user")


def _copy_file(source, target):
    try:
        with open(source, "rb") as file:
            data = file.read()
    except OSError:
        return  # what could not be read is not in a capture either
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "wb") as file:
        file.write(data)


def _copy_link(source, target):
    try:
        text = os.readlink(source)
    except OSError:
        return
    os.makedirs(os.path.dirname(target), exist_ok=True)
    os.symlink(text, target)


def _copy_task(source, target):
    for name in FILES:
        _copy_file(f"{source}/{name}", f"{target}/{name}")
    for name in LINKS:
        _copy_link(f"{source}/{name}", f"{target}/{name}")


def _copy_descriptors(source, target):
    try:
        names = os.listdir(f"{source}/fdinfo")
    except OSError:
        return
    os.makedirs(f"{target}/fdinfo", exist_ok=True)
    for name in names:
        _copy_file(f"{source}/fdinfo/{name}", f"{target}/fdinfo/{name}")


def capture_tree(directory, pids, connections):
    """The processes `pids` (safe ones: exiting, or ours) and their connections, below `directory`."""
    for name in ("version", "uptime", "sys/fs/fuse/max_request_timeout"):
        _copy_file(f"/proc/{name}", f"{directory}/proc/{name}")
    for pid in pids:
        _copy_task(f"/proc/{pid}", f"{directory}/proc/{pid}")
        for task in glob.glob(f"/proc/{pid}/task/*"):
            _copy_task(task, f"{directory}{task}")
            _copy_descriptors(task, f"{directory}{task}")
        _copy_descriptors(f"/proc/{pid}", f"{directory}/proc/{pid}")
    for connection in connections:
        for name in ("waiting", "max_background", "congestion_threshold"):
            path = f"/sys/fs/fuse/connections/{connection}/{name}"
            _copy_file(path, directory + path)
