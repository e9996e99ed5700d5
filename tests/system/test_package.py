# SPDX-License-Identifier: Apache-2.0
"""The Debian package in a clean Debian 12: what is in it, installed, run, upgraded, removed, purged, and installed again."""
import hashlib
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

from debian_package import BUILD, field, make_next, make_package, run
from debian_root import forbid_services, refresh, run_inside, unpack_root

CONFIG = "etc/defused/defused.json"
STATE = "var/lib/defused"
WANTED = "etc/systemd/system/multi-user.target.wants/defused.service"
# Where each kind of file belongs; one of each is looked for.
PLACES = ("usr/sbin/defused", "usr/lib/systemd/system/defused.service", "usr/lib/sysusers.d/defused.conf", CONFIG,
          "usr/share/defused/systemd/enforce.conf", "usr/share/man/man8/defused-run.8.gz", "usr/share/man/man5/defused.json.5.gz",
          "usr/share/bash-completion/completions/defused", "usr/share/zsh/vendor-completions/_defused",
          "usr/share/defused/prometheus/defused.rules.yml", "usr/share/defused/node-problem-detector/defused-monitor.json",
          "usr/share/defused/defused.report.schema.json", "usr/share/doc/defused/copyright",
          "usr/share/doc/defused/changelog.Debian.gz", "usr/share/doc/defused/changelog.gz",
          "usr/share/doc/defused/docs/OPERATING.md", "usr/share/doc/defused/systemd/README.md")
# What installing and removing any package changes.
OTHERS = re.compile(r"(proc|sys|dev|run|tmp|var/cache|var/log|var/lib/(apt|dpkg|systemd/deb-systemd-helper-\w+)|packages)(/|$)|"
                    r"etc/(passwd|group|shadow|gshadow)-$|etc/\.pwd\.lock$")


def files_of(root):
    """Every path below `root` but OTHERS."""
    found = set()
    for directory, names, files in os.walk(root):
        inside = os.path.relpath(directory, root)
        paths = {name: os.path.normpath(os.path.join(inside, name)) for name in names + files}
        names[:] = [name for name in names if not OTHERS.match(paths[name])]
        found.update(path for path in paths.values() if not OTHERS.match(path))
    return found


class Package(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(tempfile.mkdtemp(prefix="defused-package-"))
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.package = make_package(cls.directory / "made")


class Contents(Package):
    def test_files_are_where_they_belong(self):
        listed = run("dpkg-deb", "--contents", str(self.package)).splitlines()
        entries = [re.match(r"(\S+) (\S+) +\d+ \S+ \S+ \./(.*?)(?: -> .*)?$", line).groups() for line in listed]
        paths = {path for _, _, path in entries}
        self.assertEqual([place for place in PLACES if place not in paths], [])
        for mode, owner, path in entries:
            self.assertEqual(owner, "root/root", path)
            self.assertRegex(mode, r"^(drwxr-xr-x|-rw-r--r--|lrwxrwxrwx)$" if path != "usr/sbin/defused" else r"^-rwxr-xr-x$", path)
        strangers = [path for path in paths if not re.match(r"(usr(/|$)|etc(/$|/defused/)|$)", path)]
        self.assertEqual(strangers, [])
        self.assertFalse([path for path in paths if re.search(r"\.scd$|site-functions|/test_|\.pyc$", path)])

    def test_control(self):
        self.assertEqual(field(self.package, "Package"), "defused")
        depends = field(self.package, "Depends")
        for library in ("libc6 (>= ", "libmicrohttpd12", "libbpf1", "libsystemd0", "libseccomp2", "systemd | "):
            self.assertIn(library, depends)
        self.assertEqual(run("dpkg-deb", "--info", str(self.package), "conffiles").split(), ["/" + CONFIG])

    def test_the_program_is_stripped(self):
        tree = self.directory / "tree"
        run("dpkg-deb", "--extract", str(self.package), str(tree))
        self.assertNotIn(".debug_info", run("readelf", "--sections", "--wide", str(tree / "usr/sbin/defused")))

    def test_again_gives_the_same_bytes(self):
        again = make_package(self.directory / "again")
        self.assertEqual(again.name, self.package.name)
        digests = {hashlib.sha256(path.read_bytes()).hexdigest() for path in (self.package, again)}
        self.assertEqual(len(digests), 1)

    def test_lintian_has_nothing_to_say(self):
        self.assertEqual(run("lintian", "--fail-on=error,warning", "--tag-display-limit=0", "--allow-root", str(self.package)), "")

    def test_versions_sort(self):
        version = field(self.package, "Version")
        self.assertRegex(version, r"^\d+\.\d+\.\d+([~+]\d{14}\.g[0-9a-f]{12}(\.dirty)?)?-1$")
        number = version.removesuffix("-1").replace("+", "~").split("~")[0]
        ordered = [f"{number}~20250101000000.gffffffffffff-1", f"{number}~20250101000000.gffffffffffff.dirty-1",
                   f"{number}~20260101000000.g000000000000-1", f"{number}-1", f"{number}+20260101000001.g000000000000-1"]
        for earlier, later in zip(ordered, ordered[1:]):
            run("dpkg", "--compare-versions", earlier, "lt", later)


class Life(Package):
    """One root for all of it, in the order of a package's life."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="defused-root-", dir="/var/tmp"))
        cls.addClassCleanup(shutil.rmtree, cls.root)
        unpack_root(cls.root)
        forbid_services(cls.root)
        refresh(cls.root)
        (cls.root / "packages").mkdir()

    def apt(self, *arguments, check=True):
        return run_inside(self.root, "apt-get", "-q", "-y", *arguments, check=check)

    def install(self, package, *options, check=True):
        shutil.copy(package, self.root / "packages")
        return self.apt("install", *options, f"./packages/{package.name}", check=check)

    def status(self):
        asked = run_inside(self.root, "dpkg-query", "-W", "-f=${db:Status-Abbrev}", "defused", check=False)
        return asked.stdout.strip() if asked.returncode == 0 else ""

    def config(self):
        return (self.root / CONFIG).read_text(encoding="utf-8")

    def test_life(self):
        before = files_of(self.root)
        self.install(self.package)
        self.check_installed()
        self.check_runs()
        self.check_upgrades()
        self.check_removed()
        self.check_purged(before)
        self.install(self.package)
        self.check_installed()
        self.apt("purge", "defused")
        self.check_purged(before)

    def check_installed(self):
        self.assertEqual(self.status(), "ii")
        self.assertEqual([place for place in PLACES if place.startswith(("usr/sbin", "usr/lib", "etc"))
                          and not (self.root / place).exists()], [])
        self.assertIn(f"defused {field(self.package, 'Version').split('~')[0].split('-')[0].split('+')[0]}",
                      run_inside(self.root, "defused", "--version").stdout)
        name, _, uid, gid, _, home, shell = run_inside(self.root, "getent", "passwd", "defused").stdout.strip().split(":")
        self.assertEqual((name, home, shell), ("defused", "/nonexistent", "/usr/sbin/nologin"))
        self.assertTrue(0 < int(uid) < 1000 and 0 < int(gid) < 1000)
        self.assertRegex(run_inside(self.root, "getent", "shadow", "defused").stdout, r"^defused:!\*?:")
        self.assertTrue((self.root / WANTED).is_symlink())
        self.assertEqual(self.config(), (BUILD / "../config/defused.json").resolve().read_text(encoding="utf-8"))
        said = run_inside(self.root, "systemd-analyze", "verify", "--man=no", "defused.service", check=False).stdout
        self.assertNotIn("defused.service", said)

    def check_runs(self):
        """By hand, since nothing is booted here: on the installed configuration, with the account of the package."""
        script = ("defused run --web.listen-address 127.0.0.1:0 2>/log & pid=$!\n"
                  "for i in $(seq 100); do grep -q 'listening on' /log && [ -e /var/lib/defused ] && break; sleep 0.1; done\n"
                  "for i in $(seq 100); do grep -qs '^defused-front$' /proc/[0-9]*/comm && break; sleep 0.1; done\n"
                  "uid=$(id -u defused)\n"
                  "for i in $(seq 100); do grep -lqs \"^Uid:.$uid.$uid.$uid\" /proc/[0-9]*/status && break; sleep 0.1; done\n"
                  "grep -ls \"^Uid:.$uid.$uid.$uid\" /proc/[0-9]*/status | wc -l\n"
                  "kill $pid; wait $pid; echo ended with $?; cat /log; rm /log\n")
        said = run_inside(self.root, "sh", "-c", script).stdout
        self.assertRegex(said, r"\A1\nended with 0\n")
        self.assertIn("listening on http://127.0.0.1:", said)
        self.assertTrue((self.root / STATE).is_dir())

    def check_upgrades(self):
        # A configuration that nobody touched follows the package.
        followed = make_next(self.package, self.directory, "9.0.0-1", "of 9.0.0")
        self.install(followed)
        self.assertIn("// of 9.0.0", self.config())
        # The operator's is kept where the package has nothing new ..
        changed = self.config().replace('"interval": "5s"', '"interval": "7s"')
        (self.root / CONFIG).write_text(changed, encoding="utf-8")
        self.install(make_next(self.package, self.directory, "9.0.1-1", "of 9.0.0"))
        self.assertEqual(self.config(), changed)
        # .. and where it has, dpkg asks; nobody answers here, so it stops, and nothing is lost.
        newer = make_next(self.package, self.directory, "9.1.0-1", "of 9.1.0")
        asked = self.install(newer, check=False)
        self.assertNotEqual(asked.returncode, 0)
        self.assertIn("Configuration file '/etc/defused/defused.json'", asked.stdout)
        self.assertEqual(self.config(), changed)
        run_inside(self.root, "dpkg", "--force-confold", "--configure", "defused")
        self.assertEqual((self.status(), self.config()), ("ii", changed))
        self.assertIn("// of 9.1.0", (self.root / (CONFIG + ".dpkg-dist")).read_text(encoding="utf-8"))
        # The way of OPERATING.md.
        self.install(make_next(self.package, self.directory, "9.2.0-1", "of 9.2.0"), "-o", "Dpkg::Options::=--force-confold")
        self.assertEqual((self.status(), self.config()), ("ii", changed))
        # Who disabled the service keeps it disabled.
        (self.root / WANTED).unlink()
        self.install(make_next(self.package, self.directory, "9.3.0-1", "of 9.2.0"))
        self.assertFalse((self.root / WANTED).is_symlink())

    def check_removed(self):
        changed = self.config()
        self.apt("remove", "defused")
        self.assertEqual(self.status(), "rc")
        self.assertFalse((self.root / "usr/sbin/defused").exists())
        self.assertEqual(self.config(), changed)
        self.assertTrue((self.root / STATE).is_dir())
        self.apt("purge", "defused")

    def check_purged(self, before):
        self.assertEqual(self.status(), "")
        self.apt("autoremove", "--purge")
        self.assertEqual(sorted(files_of(self.root) - before), [])
        self.assertEqual(sorted(before - files_of(self.root)), [])
        # The account stays and owns nothing: its number goes to nobody else.
        uid = run_inside(self.root, "id", "-u", "defused").stdout.strip()
        owned = subprocess.run(["find", str(self.root), "-xdev", "-uid", uid], stdout=subprocess.PIPE, text=True, timeout=60, check=True)
        self.assertEqual(owned.stdout, "")


if __name__ == "__main__":
    unittest.main()
