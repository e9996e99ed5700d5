# SPDX-License-Identifier: Apache-2.0
"""The cases in which the commands of runbooks are typed on a booted Debian with the package installed: those of `systemctl`
and `journalctl`. A real Prometheus on this host scrapes that service through a `Door`."""
import contextlib
import ctypes
import json
import os
import pathlib
import select
import shutil
import socket
import tempfile
import threading

from booted_debian import BootedDebian
from daemon import SLOW, mount_fusectl, parse_metrics, wait_until
from debian_package import make_package
from debian_root import forbid_services, run_inside, unpack_root
from real_prometheus import RealPrometheus

UNIT = "defused.service"
CONFIG = "/etc/defused/defused.json"
TEXTFILE = "/var/lib/defused-textfile"
DROP_IN = f"/etc/systemd/system/{UNIT}.d/10-textfile.conf"
CLONE_NEWNET = 0x40000000
# A person types in it; this one knows what is to stand there.
EDITOR = f"#!/bin/sh\ncp /root/good.json \"$1\" && test \"$1\" = {CONFIG}\n"
SCANNED = "defused_last_scan_timestamp_seconds"


class Door:
    """A port of this host behind which is port 10073 of the loopback in another network namespace, one client at a time."""

    def __init__(self, pid):
        self.namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join(10)
        self.listener.close()
        os.close(self.namespace)

    def _serve(self):
        if ctypes.CDLL(None, use_errno=True).setns(self.namespace, CLONE_NEWNET) != 0:  # of this thread alone
            raise OSError(ctypes.get_errno(), "setns")
        while not self.ended.is_set():
            if not select.select([self.listener], [], [], 0.2)[0]:
                continue
            client, _ = self.listener.accept()
            with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", 10073), 5) as server:
                self._pass_on(client, server)

    def _pass_on(self, client, server):
        other = {client: server, server: client}
        while not self.ended.is_set():
            for end in select.select([client, server], [], [], 0.2)[0]:
                data = end.recv(65536)
                if not data:
                    return
                other[end].sendall(data)


class Service:
    """The booted Debian, and Prometheus."""

    def __init__(self):
        self.stack = contextlib.ExitStack()
        self.booted = self.prometheus = None
        self.labels = {}

    def __enter__(self):
        with contextlib.ExitStack() as undo:
            undo.callback(self.stack.close)
            mount_fusectl()
            directory = tempfile.mkdtemp(prefix="defused-runbooks-", dir="/var/tmp")
            self.stack.callback(shutil.rmtree, directory)
            root = pathlib.Path(directory, "root")
            root.mkdir()
            self._install(root, make_package(os.path.join(directory, "package")))
            self.booted = self.stack.enter_context(BootedDebian(root, seconds=200))
            door = self.stack.enter_context(Door(self.booted.leader))
            jobs = [{"job_name": "defused", "static_configs": [{"targets": [door.address]}]}]
            self.prometheus = self.stack.enter_context(RealPrometheus(jobs))
            self.labels = {"instance": door.address, "prometheus": self.prometheus.address.partition("//")[2]}
            undo.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def _install(self, root, package):
        unpack_root(root)
        root.chmod(0o755)  # dbus is not root
        shutil.copyfile(package, root / "root/defused.deb")
        forbid_services(root)
        run_inside(root, "apt-get", "-q", "-y", "install", "/root/defused.deb", timeout=180 * SLOW)
        (root / "usr/sbin/policy-rc.d").unlink()
        (root / TEXTFILE[1:]).mkdir()
        (root / "root/good.json").write_text(self.settings(), encoding="utf-8")
        (root / "usr/bin/editor").unlink(missing_ok=True)
        (root / "usr/bin/editor").write_text(EDITOR, encoding="utf-8")
        (root / "usr/bin/editor").chmod(0o755)

    @staticmethod
    def settings(**more):
        return json.dumps({"interval": "1s", **more})

    def start(self, **settings):
        self.booted.write(CONFIG, self.settings(**settings))
        self.booted.run("systemctl", "daemon-reload")
        self.booted.run("systemctl", "reset-failed", UNIT)
        self.booted.run("systemctl", "restart", UNIT, timeout=40)
        wait_until(lambda: self.booted.get("/-/ready")[0] == 200, 20, "the service to be ready")

    def fires(self, expression):
        return bool(self.prometheus.query(expression))

    # ---- what each page is about: made, and told whether it stands

    def make_down(self):
        """A mistake in the configuration, and a restart"""
        self.start()
        self.booted.write(CONFIG, self.settings(intervall="2s"))
        done = self.booted.run("systemctl", "restart", UNIT, timeout=40, check=False)
        assert done.returncode == 1, done.stdout

    def is_down(self):
        return self.fires('up{job=~"(.+/)?defused"} == 0')

    def make_absent(self):
        """The service was stopped and disabled where it ran"""
        self.start()
        self.booted.run("systemctl", "disable", "--now", UNIT)

    def is_absent(self):
        return self.fires("absent(defused_build_info)")

    def make_blind(self):
        """fusectl was unmounted beside the running service"""
        self.start()
        self.booted.run("umount", "--lazy", "/sys/fs/fuse/connections")
        wait_until(self.is_blind, 20, "the service to be blind")

    def is_blind(self):
        return self.booted.metrics().get('defused_blind{what="fusectl"}') == 1

    def make_stale(self):
        """The daemon was killed, was not started again, and left its textfile"""
        self.booted.write(DROP_IN, f"[Service]\nReadWritePaths={TEXTFILE}\n")
        self.booted.run("chown", "defused", TEXTFILE)
        self.start(textfile={"directory": TEXTFILE})
        wait_until(self.scanned, 20, "a textfile")
        self.booted.run("systemctl", "kill", "--signal=KILL", UNIT)
        self.booted.run("systemctl", "stop", UNIT)
        self.left = wait_until(self.scanned, 5, "the textfile to be left")

    def scanned(self):
        return parse_metrics(self.booted.read(f"{TEXTFILE}/defused.prom")).get(SCANNED)

    def is_stale(self):
        return self.scanned() == self.left
