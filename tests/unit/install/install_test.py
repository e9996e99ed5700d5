# SPDX-License-Identifier: Apache-2.0
"""What `cmake --install` makes: documents whose links hold there, and every file that they send people to; man pages and
completions where `man` and the shells look for them."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

BUILD = os.environ["DEFUSED_BUILD"]
REPO = pathlib.Path(__file__).resolve().parents[3]
LINK = re.compile(r"\]\(([^)\s]+)\)")
# A document named in the text, without a link: as seen from README.md, or from beside the one that names it.
NAMED = re.compile(r"(?<![\w./-])((?:docs/)?[A-Z_]+\.md)\b")
# A shipped file: as the repository has it, or where it is installed.
SHIPPED = re.compile(r"(?<![\w./-])(config/|/usr/share/defused/|/etc/defused/)([\w./*-]*\w)")


def anchors(text):
    """Of the headings, as GitHub makes them."""
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", text, re.M)}


class Installed(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = pathlib.Path(tempfile.mkdtemp(prefix="defused-install-"))
        cls.addClassCleanup(shutil.rmtree, cls.root)
        done = subprocess.run(["cmake", "--install", BUILD], env={**os.environ, "DESTDIR": str(cls.root)}, timeout=50,
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise AssertionError(done.stdout + done.stderr)
        cls.docs, = cls.root.glob("**/share/doc/defused")
        cls.data = cls.docs.parent.parent / "defused"
        cls.pages = {page: page.read_text(encoding="utf-8") for page in cls.docs.rglob("*.md")}

    def test_links_hold(self):
        checked = 0
        for page, text in self.pages.items():
            for link in LINK.findall(text):
                if re.match(r"[a-z]+:", link):
                    continue
                path, _, anchor = link.partition("#")
                target = page.parent / path if path else page
                self.assertTrue(target.exists(), f"{page.name}: {link}")
                self.assertIn(self.docs, [target.resolve(), *target.resolve().parents], f"{page.name}: {link}")
                if anchor:
                    self.assertIn(anchor, anchors(target.read_text(encoding="utf-8")), f"{page.name}: {link}")
                checked += 1
        self.assertGreater(checked, 60)

    def test_documents_named_in_the_text_are_there(self):
        named = 0
        for page, text in self.pages.items():
            if page.parent.name == "decisions":  # they name the papers they rest on
                continue
            for name in NAMED.findall(text):
                places = (self.docs / name, page.parent / name)
                self.assertTrue(any(place.exists() for place in places), f"{page.name}: {name}")
                named += 1
        self.assertGreater(named, 10)

    def test_shipped_files_named_in_the_text_are_there(self):
        named = set()
        for page, text in self.pages.items():
            if page.name == "TESTING.md":  # of the repository
                continue
            for place, name in SHIPPED.findall(text):
                homes = {"/etc/defused/": [self.root / "etc/defused"], "/usr/share/defused/": [self.data]}
                found = [path for home in homes.get(place, [self.data, self.root / "etc/defused"]) for path in home.glob(name)]
                if place == "/etc/defused/" and name != "defused.json":  # the operator's own
                    continue
                self.assertTrue(found, f"{page.name}: {place}{name}")
                named.add(name)
        self.assertLessEqual({"prometheus/defused.rules.yml", "prometheus/tests/*.yml", "defused.report.schema.json"}, named)

    def test_the_rules_are_there_with_their_tests(self):
        done = subprocess.run(["promtool", "test", "rules", *map(str, (self.data / "prometheus" / "tests").glob("*.yml"))],
                              capture_output=True, text=True, timeout=50, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("SUCCESS", done.stdout + done.stderr)

    def test_runbooks_are_where_alerts_and_dashboards_say(self):
        files = ("prometheus/defused.alerts.yml", "kubernetes/prometheus-operator/prometheusrule.yaml",
                 "grafana/defused-fleet.json", "grafana/defused-host.json")
        for name in files:
            places = re.findall(r"file://(/[\w./-]*/runbooks/(?:\w+\.md)?)", (self.data / name).read_text(encoding="utf-8"))
            self.assertTrue(places, name)
            for place in places:
                self.assertTrue((self.root / place[1:]).exists(), f"{name}: {place}")

    def test_what_the_unit_names_is_there(self):
        unit, = self.root.glob("**/lib/systemd/system/defused.service")
        text = unit.read_text(encoding="utf-8")
        for path in re.findall(r"^(?:Documentation=file://|ExecStart=)(/\S+)", text, re.M):
            self.assertTrue((self.root / path[1:]).exists(), path)
        self.assertEqual(len(re.findall(r"^(?:Documentation|ExecStart)=", text, re.M)), 2)

    @unittest.skipUnless(shutil.which("scdoc"), "no scdoc: no man pages are made")
    def test_man_pages_are_where_man_looks(self):
        share = self.data.parent
        wanted = {page.name.removesuffix(".scd") for page in (REPO / "docs/man").glob("*.scd")}
        self.assertEqual({page.name for page in (share / "man").rglob("*.*")}, wanted)
        for name in wanted:
            page = share / "man" / f"man{name[-1]}" / name
            text = page.read_text(encoding="utf-8").replace(r"\&", "")
            self.assertIn(f'.TH "{name[:-2]}" "{name[-1]}"', text)
            for path in re.findall(r"/usr/share/((?:doc/)?defused/[\w./-]*\w)", text):
                self.assertTrue((share / path).exists(), f"{name}: /usr/share/{path}")
        self.assertGreaterEqual(len(wanted), 15)
        self.assertEqual(list(self.docs.rglob("*.scd")), [])

    def test_completions_are_where_the_shells_look(self):
        for name, path in {"defused.bash": "bash-completion/completions/defused", "_defused": "zsh/site-functions/_defused"}.items():
            self.assertEqual((self.data.parent / path).read_text(encoding="utf-8"),
                             (REPO / "config/completions" / name).read_text(encoding="utf-8"))


if __name__ == "__main__":
    unittest.main()
