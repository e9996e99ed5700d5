# SPDX-License-Identifier: Apache-2.0
"""Shells that type the commands of runbooks, as the person who follows them: each with a time limit.

`HostShell(situation)` works on this host beside the daemon of a test: `defused` gets the configuration of that daemon, and
the installed paths and the installed address become its own. `BootedShell(booted)` changes nothing: there the package is
installed."""
import os
import pty
import shutil
import subprocess
import tempfile

from booted_debian import ENVIRONMENT
from daemon import DEFUSED, SLOW

LIMIT = 30  # of the slowest command, `defused explain` with ten looks
ADDRESS = "http://127.0.0.1:10073"
HAVE_CONFIG = ("scan", "explain", "connections", "check", "capture", "abort", "pause", "resume")
WRAPPER = """#!/bin/sh
command=$1
shift
case $command in
{commands}) set -- --config {config} "$@" ;;
esac
exec {program} "$command" "$@"
"""


def run(words, typed, directory, environment):
    """(exit code, output and errors together) of a command that may ask on a terminal."""
    master, slave = pty.openpty() if typed else (None, None)
    try:
        if typed:
            os.write(master, (typed + "\n").encode())
        with tempfile.TemporaryFile() as output:
            # To a file: what cannot be killed may hold a pipe open for ever.
            with subprocess.Popen(["timeout", "-k", "1", str(LIMIT * SLOW), *words], stdin=slave if typed else subprocess.DEVNULL,
                                  stdout=output, stderr=subprocess.STDOUT, cwd=directory, env=environment) as process:
                try:
                    code = process.wait(LIMIT * SLOW + 5)
                except subprocess.TimeoutExpired:
                    process.kill()
                    code = "no end"
            output.seek(0)
            return code, output.read().decode(errors="replace")
    finally:
        for descriptor in (master, slave):
            if descriptor is not None:
                os.close(descriptor)


class HostShell:
    def __init__(self, situation):
        self.daemon = situation.daemon
        self.directory = tempfile.mkdtemp(prefix="defused-runbook-")
        self.paths = {"/etc/defused/defused.json": self.daemon.config, "/var/lib/defused": f"{self.daemon.directory}/state",
                      "/run/defused": f"{self.daemon.directory}/run", ADDRESS: self.daemon.address}
        wrapper = os.path.join(self.directory, "bin", "defused")
        os.mkdir(os.path.dirname(wrapper))
        with open(wrapper, "w", encoding="ascii") as file:
            file.write(WRAPPER.format(commands="|".join(HAVE_CONFIG), config=self.daemon.config, program=DEFUSED))
        os.chmod(wrapper, 0o755)
        self.environment = {**os.environ, "PATH": f"{os.path.dirname(wrapper)}:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.directory)

    def type(self, command, typed=""):
        if command.startswith(("systemctl", "journalctl")):
            raise AssertionError(f"{command}: the service of this host is nobody's to touch")
        for path, own in self.paths.items():
            command = command.replace(path, own)
        # In the mount namespace of the service: on a host it is that of whoever types, as far as mounts are concerned.
        inside = ["nsenter", "--mount", f"--target={self.daemon.supervisor()}", f"--wd={self.directory}", "--"]
        return run([*inside, "sh", "-c", command], typed, self.directory, self.environment)


class BootedShell:
    """`curl` and `promtool` are those of this host: `curl` in the network namespace of the container."""

    def __init__(self, booted):
        self.booted = booted
        self.own = {"curl": ["nsenter", "--net", f"--target={booted.leader}", "--"], "promtool": []}

    def type(self, command, typed=""):
        inside = self.own.get(command.split()[0], self.booted.inside())
        return run([*inside, "sh", "-c", command], typed, "/", ENVIRONMENT)
