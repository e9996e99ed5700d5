# SPDX-License-Identifier: Apache-2.0
"""docs/runbooks: every alert has its page, every page its alert, and every command on a page is typed here in the situation
that the alert is about: it ends as the page says, prints what the page says, and what is to end the situation ends it.

Where something is asked, it is answered on a terminal. Nothing is left out and nothing is played, but for `editor`, in which
a person would mend the configuration: here a script puts a good one there."""
import os
import pathlib
import re
import sys
import tarfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "lab"))
import runbook_pages as pages  # noqa: E402
from alert_situations import SITUATIONS  # noqa: E402
from daemon import BUILD, SLOW, mount_fusectl, read_text, wait_until  # noqa: E402
from runbook_cases import HOST, Case  # noqa: E402
from runbook_service import Service  # noqa: E402
from runbook_shell import BootedShell, HostShell  # noqa: E402

REPO = pathlib.Path(HERE).parents[1]
RUNBOOKS = REPO / "docs" / "runbooks"
RULES = REPO / "config" / "prometheus" / "defused.alerts.yml"
BASE = "file:///usr/share/doc/defused/docs/runbooks/"
# Where README.md says that a word comes from, besides the labels of the alert.
FOUND_IN = {
    "CONNECTION": r"^  Connection (\d+)$|^(\d+) .* orphaned$|\"connection\":(\d+)",
    "PID": r"^Process (\d+) \(",
    "PARENT_PID": r"The parent, process (\d+) ",
    "TRACER_PID": r"The tracer, process (\d+) ",
    "SERVER_NAME": r"^    It is device \S+, a fuse\.([\w-]+)",
    "LOST_PID": r"\A(\d+) \d+ \d+$",
}
# Each of those that hold it: what has SERVER_PID in it is typed for one after the other.
HOLDER = r"/proc/(\d+)/fdinfo: '[^']*' holds /dev/fuse"
# Whoever waits for a pass or a scrape types these again.
LOOKS = ("defused check", "curl ", "promtool ")


def read_pages():
    return {path.stem: pages.Page(path.stem, path.read_text(encoding="utf-8"))
            for path in sorted(RUNBOOKS.glob("*.md")) if path.stem != "README"}


class Walk:
    """Types the commands of a page, one after the other; AssertionError with what came instead."""

    def __init__(self, page, shell, labels):
        self.page = page
        self.shell = shell
        self.words = {name.upper(): value for name, value in labels.items()}
        self.servers = []
        self.typed = 0

    def run(self, cases):
        for command in self.page.commands:
            if not command.is_for(cases):
                continue
            for server in (self.servers if "SERVER_PID" in command.text else []) or [None]:
                self.words.update({"SERVER_PID": server} if server else {})
                self.type(command)

    def fill(self, text):
        for word in set(pages.WORD.findall(text)):
            if word not in self.words:
                raise AssertionError(f"{self.page.name}: {text}: nothing before it says what {word} is")
            text = re.sub(rf"(?<![\w-]){word}(?![\w-])", self.words[word], text)
        return text

    def learn(self, output):
        for word, pattern in FOUND_IN.items():
            found = re.search(pattern, output, re.M)
            if found:
                self.words.setdefault(word, next(filter(None, found.groups())))
        self.servers = self.servers or re.findall(HOLDER, output)
        if self.servers:
            self.words.setdefault("SERVER_PID", self.servers[0])

    def type(self, command):
        text = self.fill(command.text)
        deadline = time.monotonic() + 15 * SLOW * text.startswith(LOOKS)
        while True:
            code, output = self.shell.type(text, self.replaced(command.typed))
            self.learn(output)
            shown = [self.replaced(words) for words in command.shown]
            wrong = [f"no `{words}`" for words in shown if not pages.fits(words, output)]
            wrong += [f"exit code {code}, not {command.exit_code}"] if code != command.exit_code else []
            if not wrong:
                break
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.page.name}: {command.section}: {text}: {'; '.join(wrong)}\n{output}")
            time.sleep(0.3)
        self.typed += 1

    def replaced(self, text):
        """Words in capitals that are known; what a program prints may have others."""
        return re.sub(pages.WORD, lambda found: self.words.get(found.group(), found.group()), text)


class Texts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pages = read_pages()
        cls.index = (RUNBOOKS / "README.md").read_text(encoding="utf-8")

    def test_each_alert_has_its_page(self):
        alerts = pages.alerts_of(RULES.read_text(encoding="utf-8"))
        self.assertGreater(len(alerts), 10)
        self.assertEqual(sorted(alerts), sorted(self.pages))
        self.assertEqual([], [name for name, (url, *_) in alerts.items() if url != f"{BASE}{name}.md"])
        for name, (_, severity, wait) in alerts.items():
            self.assertRegex(self.pages[name].text, rf"(?m)^# {name}\n\n{pages.headline(severity, wait)}[.:]", name)
        self.assertEqual(sorted(pages.pages_of_index(self.index)), sorted(self.pages))

    def test_each_page_is_whole(self):
        self.assertEqual([], [f"{page.name}: {finding}" for page in self.pages.values() for finding in page.findings])

    def test_each_word_is_explained_and_used(self):
        used = set().union(*(page.words() for page in self.pages.values()))
        self.assertEqual(used, pages.words_of_index(self.index))

    def test_each_command_is_typed(self):
        cases = {page: set().union(*(case.cases for case in ALL if case.page == page)) for page in {one.page for one in ALL}}
        self.assertEqual([], [f"{page.name}: {command.text}" for page in self.pages.values() for command in page.commands
                              if page.name not in cases or not command.is_for(cases[page.name])])

    def test_what_is_wrong_is_noticed(self):
        good = next(iter(self.pages.values())).text
        name = next(iter(self.pages))
        self.assertEqual(pages.Page(name, good).findings, [])
        first = re.search(r"^```sh\n", good, re.M).group()
        for bad in (good.replace("## What not to do", "## What to avoid"), good.replace(f"# {name}", "# Another"),
                    good.replace(first, "```text\n", 1), good.replace(first, first + "# -> of nothing\n", 1),
                    good.replace(first, first + "defused check # perhaps\n", 1),
                    good.replace("## What not to do\n", "## What not to do\n\n```sh\nreboot\n```\n"),
                    good.replace("## What to do\n", "## What to do\n\nType `defused scan --json`.\n"),
                    good.replace(first, first + "ps aux\n", 1), good.replace(first, first + "defused abort 40\n", 1),
                    good.replace(first, first + "defused capture\nkill SERVER_PID\n", 1),
                    good.replace(first, first + "defused capture\necho 1 > /sys/fs/fuse/connections/CONNECTION/abort\n", 1),
                    good.replace("## What to do\n", "## What to do\n\n    defused scan\n")):
            self.assertNotEqual(bad, good)
            self.assertNotEqual(pages.Page(name, bad).findings, [])
        self.assertTrue(pages.fits("a b .. d", "x a\n b c d"))
        self.assertFalse(pages.fits("a .. d", "d a"))


class OnThisHost(unittest.TestCase):
    def check(self, case, page):
        begin = time.monotonic()
        with case.situation() as situation, HostShell(situation) as shell:
            metrics = situation.daemon.metrics
            wait_until(lambda: case.stands(metrics()), 20, f"what {page.name} is about\n{situation.daemon.log()}")
            walk = Walk(page, shell, situation.labels)
            walk.run(case.here())
            if case.ends:
                wait_until(lambda: not case.stands(metrics()), 20, f"the end of it\n{situation.daemon.log()}")
        print(f"{page.name}, {situation.__doc__}: {walk.typed} commands, {time.monotonic() - begin:.1f} s", flush=True)

    def test_commands(self):
        mount_fusectl()
        found = read_pages()
        for case in HOST:
            with self.subTest(page=case.page, situation=case.situation.__name__):
                self.check(case, found[case.page])

    def test_what_is_typed_into_a_pod(self):
        """As README.md has it, without the kubectl in front: there no shell of the pod takes part but the one that is named."""
        mount_fusectl()
        text = (RUNBOOKS / "README.md").read_text(encoding="utf-8")
        typed = re.findall(r"kubectl exec [^`\n]*POD -- ([^`\n]+ [^`\n]+)", text)
        self.assertEqual(len(typed), 2, typed)
        with SITUATIONS["DefusedConnectionStalled"]() as situation, HostShell(situation) as shell:
            for command in typed:
                code, output = shell.type(command.replace("SERVER_PID", str(situation.server.pid)))
                self.assertEqual((code, "[<0>] " in output), (0, "stack" in command), output)
            with tarfile.open(os.path.join(shell.directory, "stuck.tar")) as kept:
                self.assertIn(f"proc/{situation.server.pid}/status", kept.getnames())


class OnABootedDebian(unittest.TestCase):
    """Where systemd runs the service of the package, and a Prometheus scrapes it."""

    def check(self, case, page, service):
        begin = time.monotonic()
        getattr(service, f"make_{case.situation}")()
        stands = getattr(service, f"is_{case.situation}")
        wait_until(stands, 30, f"what {page.name} is about")
        walk = Walk(page, BootedShell(service.booted), service.labels)
        walk.run(case.here())
        wait_until(lambda: not stands(), 30, "the end of it")
        print(f"{page.name}, {getattr(service, f'make_{case.situation}').__doc__}: {walk.typed} commands, "
              f"{time.monotonic() - begin:.1f} s", flush=True)

    def check_installed(self, booted, found):
        """Each runbook_url leads to its page, if the package was made of this tree."""
        if f"CMAKE_HOME_DIRECTORY:INTERNAL={REPO}\n" not in read_text(os.path.join(BUILD, "CMakeCache.txt")):
            return
        for name, (url, *_) in pages.alerts_of(RULES.read_text(encoding="utf-8")).items():
            self.assertEqual(booted.read(url.removeprefix("file://")), found[name].text, url)

    def test_commands(self):
        found = read_pages()
        begin = time.monotonic()
        with Service() as service:
            print(f"booted after {time.monotonic() - begin:.1f} s", flush=True)
            self.check_installed(service.booted, found)
            for case in BOOTED:
                with self.subTest(page=case.page):
                    self.check(case, found[case.page], service)


BOOTED = [Case("DefusedExporterDown", "down"), Case("DefusedAbsent", "absent"), Case("DefusedBlind", "blind"),
          Case("DefusedScanStale", "stale", cases=("the daemon does not run",))]
ALL = [*HOST, *BOOTED]

if __name__ == "__main__":
    unittest.main()
