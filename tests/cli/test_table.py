# SPDX-License-Identifier: Apache-2.0
"""The whole command line by table: every command with good, empty, denied, broken and hostile input. For each row: exit
code, what it says, time, memory, descriptors, and that nothing is left behind.

A row: what kind of input it is, the words, the exit code (or several that are allowed), patterns that standard output and
standard error have to match, and what else is asked for:
  json    the schema of the JSON that standard output has to be
  user    who runs it
  leaves  pattern of the names it may leave in its directory
  memory  MiB, where it is not MAX_MEMORY
Words with {name} in them are the files of Files.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from command_runner import NOBODY, run, run_on_terminal  # noqa: E402
from daemon import DEFUSED, REPO, SLOW, Daemon  # noqa: E402
from lab import Lab  # noqa: E402

CAPTURES = os.path.join(REPO, "tests", "captures")
MAX_MEMORY = 64  # MiB; at least what this interpreter has, which a child of it begins with
QUICK = ["--samples", "2", "--every", "10ms"]
NO_CONNECTION = "4294967295"

USAGE = r"^defused[ a-z]*: .*\(see defused .*--help\)\n$"
ROOT = r"^defused: \w+ needs root"
CONFIG = ["--config", "{good}"]


def of_config(words, **more):
    """Rows of a command that reads a configuration: each way to break one."""
    broken = [("{absent}", "No such file"), ("{broken}", "syntax error"), ("{empty}", "syntax error|empty|expected"),
              ("{directory}", "regular file|directory"), ("{fifo}", "regular file"), ("/dev/zero", "regular file"),
              ("{large}", "larger than"), ("{nested}", "nest|deep|syntax|object|expected"), ("{unknown}", "did you mean"),
              ("{escapes}", r"unknown key")]
    code = more.pop("code", 2)
    for path, sentence in broken:
        yield ("broken", [*words, "--config", path], code, *more.get("says", (r"^$", r"^defused: [^\n]*(" + sentence + r")")), {})


LOOK = [
    ("good", ["scan", *QUICK, *CONFIG], 0, r"^host .* PID namespace", r"^$", {}),
    ("good", ["scan", "--json", *QUICK, *CONFIG], 0, "", r"^$", {"json": "defused.report/v1"}),
    ("empty", ["scan", *QUICK, "--config", "{nothing_set}"], 0, r"^host ", r"^$", {}),
    ("denied", ["scan"], 3, r"^$", ROOT, {"user": NOBODY}),
    ("hostile", ["scan", "--samples", "4294967298"], 2, r"^$", "from 2 to 100", {}),
    ("hostile", ["scan", "--every", "1" + "0" * 400 + "s"], 2, r"^$", "from 10ms to 1m", {}),
    *of_config(["scan"]),
    ("good", ["explain", *QUICK, *CONFIG], 0, r".", r"^$", {}),
    ("good", ["explain", "pid:2", *QUICK, *CONFIG], 0, "kernel thread", r"^$", {}),
    ("good", ["explain", "pid:2", "--json", *QUICK, *CONFIG], 0, "", r"^$", {"json": "defused.explain/v1"}),
    ("empty", ["explain", "", *QUICK, *CONFIG], 0, r".", r"^$", {}),
    ("empty", ["explain", "connection:" + NO_CONNECTION, *QUICK, *CONFIG], 6, "there is no such", r"^$", {}),
    ("empty", ["explain", "pid:4194303", "--json", *QUICK, *CONFIG], 6, "", r"^$", {"json": "defused.explain/v1"}),
    ("denied", ["explain", "1"], 3, r"^$", ROOT, {"user": NOBODY}),
    ("hostile", ["explain", "pid:99999999999999999999"], 2, r"^$", "number", {}),
    ("hostile", ["explain", "foo/bar"], 2, r"^$", r"^defused explain: 'foo/bar': neither .*\(see defused explain --help\)\n$", {}),
    ("hostile", ["explain", "--", "-1"], 6, "there is no such", r"^$", {}),
    *of_config(["explain"]),
    ("good", ["connections", *QUICK, *CONFIG], 0, r"^(CONNECTION |No FUSE connection)", r"^$", {}),
    ("good", ["connections", "--json", *QUICK, *CONFIG], 0, "", r"^$", {"json": "defused.connections/v1"}),
    ("empty", ["connections", *QUICK, "--config", "{nothing_set}"], 0, r".", r"^$", {}),
    ("denied", ["connections"], 3, r"^$", ROOT, {"user": NOBODY}),
    ("hostile", ["connections", "--samples", "-1"], 2, r"^$", "from 2 to 100", {}),
    *of_config(["connections"]),
]

ACT = [
    ("good", ["abort", NO_CONNECTION, "--yes", *QUICK, *CONFIG], 6, r"^$", "there is no connection " + NO_CONNECTION, {}),
    ("good", ["abort", NO_CONNECTION, "--json", *QUICK, *CONFIG], 6, r'"exit_code": 6', "there is no connection",
     {"json": "defused.abort/v1"}),
    ("empty", ["abort"], 2, r"^$", "N is missing", {}),
    ("empty", ["abort", "", *CONFIG], 2, r"^$", "expected the number of a connection", {}),
    ("denied", ["abort", "40"], 3, r"^$", ROOT, {"user": NOBODY}),
    ("broken", ["abort", "--override=", "40", *CONFIG], 2, r"^$", r"^defused abort: --override: expected a reason .*--help\)\n$", {}),
    ("hostile", ["abort", "0"], 2, r"^$", "expected the number of a connection", {}),
    ("hostile", ["abort", "-1"], 2, r"^$", "expected the number of a connection", {}),
    ("hostile", ["abort", "4294967296"], 2, r"^$", "expected the number of a connection", {}),
    ("hostile", ["abort", "40", "--override", "a\x1b[2Jb", *CONFIG], 2, r"^$", "expected a reason", {}),
    *of_config(["abort", "40"]),
    ("empty", ["pause"], 2, r"^$", "REASON is missing", {}),
    ("empty", ["pause", " ", *CONFIG], 2, r"^$", "the reason: expected one", {}),
    ("hostile", ["pause", "two\nlines", *CONFIG], 2, r"^$", "expected one line", {}),
    ("hostile", ["pause", "x" * 100000, *CONFIG], 2, r"^$", "expected at most", {}),
    ("denied", ["pause", "why"], 3, r"^$", ROOT, {"user": NOBODY}),
    *of_config(["pause", "why"]),
    ("empty", ["resume", *CONFIG], 0, "it was not paused", r"^$", {}),
    ("good", ["pause", "kernel upgrade", *CONFIG], 0, r"^paused", r"^$", {}),
    ("good", ["resume", *CONFIG], 0, "it was paused: kernel upgrade", r"^$", {}),
    ("hostile", ["pause", "\x1b[2J", *CONFIG], (0, 2), "", "", {}),
    ("hostile", ["resume", *CONFIG], 0, r"it was", r"^$", {}),
    ("good", ["resume", "--reset-breaker", *CONFIG], 0, "circuit breaker", r"^$", {}),
    ("denied", ["resume"], 3, r"^$", ROOT, {"user": NOBODY}),
    *of_config(["resume"]),
]

UNKNOWN = r"^DEFUSED UNKNOWN: "
KEEP = [
    ("good", ["check", "--probe", *CONFIG], (0, 1, 2), r"^DEFUSED (OK|WARNING|CRITICAL): .*\|", r"^$", {}),
    ("good", ["check", "--probe", "--json", *CONFIG], (0, 1, 2), "", r"^$", {"json": "defused.check/v1"}),
    ("good", ["check", "--node-problem-detector", *CONFIG], (0, 1), r"^[^\n]{1,80}\n$", r"^$", {}),
    ("empty", ["check", "--config", "{nothing_set}"], (0, 1, 2), r"^DEFUSED ", r"^$", {}),
    ("denied", ["check"], 3, UNKNOWN + ".*root", r"^$", {"user": NOBODY}),
    ("hostile", ["check", "--jsno"], 3, UNKNOWN + "unknown option --jsno; did you mean --json", r"^$", {}),
    ("hostile", ["check", "--critical-after", "a|b\x1b"], 3, UNKNOWN + r"[^|]*\n$", r"^$", {}),
    ("hostile", ["check", "--node-problem-detector", "extra"], 2, UNKNOWN, r"^$", {}),
    *of_config(["check"], code=3, says=(UNKNOWN, r"^$")),
    ("good", ["capture", *QUICK, *CONFIG], 0, "", "", {"leaves": r"defused-.*\.tar"}),
    ("good", ["capture", "-o", "here.tar.gz", "--redact", *QUICK, *CONFIG], 0, "", "", {"leaves": r"here\.tar\.gz"}),
    ("good", ["capture", "-o", "all.tar", "--all", *QUICK, *CONFIG], 0, "", "", {"leaves": r"all\.tar", "memory": 256}),
    ("empty", ["capture", "-o", "", *CONFIG], 2, r"^$", '--output: expected a name, got ""', {}),
    ("empty", ["capture", "--output=", "--all", *CONFIG], 2, r"^$", '--output: expected a name, got ""', {}),
    ("denied", ["capture"], 3, r"^$", ROOT, {"user": NOBODY}),
    ("broken", ["capture", "-o", "{empty}", *QUICK, *CONFIG], 2, r"^$", "is there already; --force replaces it", {}),
    ("broken", ["capture", "-o", "{directory}", *QUICK, *CONFIG], 2, r"^$", "is there, and no regular file", {}),
    ("broken", ["capture", "-o", "{absent}/x.tar", *QUICK, *CONFIG], 2, r"^$", "No such file", {}),
    ("hostile", ["capture", "-o", "/dev/full", "--force", *QUICK, *CONFIG], 2, r"^$", "is there, and no regular file", {}),
    ("hostile", ["capture", "-o", "a\x1b[2J\u202e.tar", *QUICK, *CONFIG], 0, r"^wrote a\\x1b\[2J\\xe2\\x80\\xae\.tar: ", "", {"leaves": r"a.*\.tar"}),
    ("hostile", ["capture", "-o", "x" * 5000, *QUICK, *CONFIG], 2, r"^$", r"^defused: x{1000}", {}),
    *of_config(["capture"]),
    ("good", ["replay", "{flush}"], 0, r"(?m)^host .*1 dying(.|\n)*^    verdict     deadlocked", r"^$", {}),
    ("good", ["replay", "{flush}", "--json"], 0, "", r"^$", {"json": "defused.report/v1"}),
    ("good", ["replay", "{flush}", "--explain", "all"], 0, r"fuse_flush", r"^$", {}),
    ("good", ["replay", "{healthy}"], 0, r"(?m)^host .*0 stuck", r"^$", {"user": NOBODY}),
    ("empty", ["replay"], 2, r"^$", "FILE is missing", {}),
    ("empty", ["replay", ""], 2, r"^$", USAGE, {}),
    ("empty", ["replay", "{empty}"], 2, r"^$", r"^defused: ", {}),
    ("empty", ["replay", "{directory}"], 2, r"^$", r"^defused: ", {}),
    ("denied", ["replay", "{secret}"], 1, r"^$", "Permission denied", {"user": NOBODY}),
    ("broken", ["replay", "{absent}"], 2, r"^$", "No such file", {}),
    ("broken", ["replay", "{broken}"], 2, r"^$", r"^defused: ", {}),
    ("broken", ["replay", "{cut_short}"], 2, r"^$", r"^defused: ", {}),
    ("broken", ["replay", "{flush}", "--config", "{broken}"], 2, r"^$", "syntax error", {}),
    ("broken", ["replay", "{flush}", "--explain", "pid:4194303"], 6, "there is no such", r"^$", {}),
    ("hostile", ["replay", "/dev/zero"], 2, r"^$", "expected an archive, a regular file", {}),
    ("hostile", ["replay", "{fifo}"], 2, r"^$", "expected an archive, a regular file", {}),
    ("hostile", ["replay", "{large}"], 2, r"^$", r"^defused: ", {}),
    ("hostile", ["replay", "{flush}", "--explain", "pid:x"], 2, r"^$", "a number is expected", {}),
]

DAEMON = [
    ("denied", ["run"], 3, r"^$", ROOT, {"user": NOBODY}),
    ("empty", ["run", "--config="], 2, r"^$", '--config: expected a name, got ""', {}),
    ("empty", ["run", "--config"], 2, r"^$", "--config has no value: expected --config FILE", {}),
    ("empty", ["run", "--web.config.file=", "--web.listen-address=nowhere", *CONFIG], 2, r"^$", "HOST:PORT", {}),
    ("empty", ["run", "--web.config.file", "", "--web.listen-address=nowhere", *CONFIG], 2, r"^$", "HOST:PORT", {}),
    ("empty", ["run", "--web.listen-address=", "--web.config.file=/dev/zero", *CONFIG], 2, r"^$", "HOST:PORT", {}),
    ("empty", ["run", "--web.telemetry-path=", *CONFIG], 2, r"^$", "--web.telemetry-path: expected a path", {}),
    ("hostile", ["run", "--web.telemetry-path", "/api/x", *CONFIG], 2, r"^$", "--web.telemetry-path: expected a path", {}),
    ("hostile", ["run", "--web.listen-address", "nowhere", *CONFIG], 2, r"^$", "HOST:PORT", {}),
    ("hostile", ["run", "--web.listen-address", "127.0.0.1:99999", *CONFIG], 2, r"^$",
     "--web.listen-address: expected .* with a port between 0 and 65535, got .127.0.0.1:99999.", {}),
    ("hostile", ["run", "--web.config.file", "/dev/zero", *CONFIG], 2, r"^$", "regular file", {}),
    *of_config(["run"]),
    ("good", ["config", "check", "{good}"], 0, "", r"^$", {"user": NOBODY}),
    ("good", ["config", "check", os.path.join(REPO, "config", "defused.json")], 0, "", r"^$", {}),
    ("good", ["config", "schema"], 0, r'"\$schema"', r"^$", {"user": NOBODY, "json": None}),
    ("good", ["config", "defaults"], 0, r'"interval": "5s"', r"^$", {"user": NOBODY}),
    ("empty", ["config"], 2, r"^$", "a command is missing: expected one of check, schema, defaults", {}),
    ("hostile", ["config", "check", "{hostile}"], 0, r"/a\\x1b\[2J: good\n$", r"^$", {}),
    ("empty", ["config", "check", "{empty}"], 2, r"^$", r"^defused: ", {}),
    ("empty", ["config", "check", "{nothing_set}"], 0, "", r"^$", {}),
    ("denied", ["config", "check", "{secret}"], 3, r"^$", "Permission denied", {"user": NOBODY}),
    ("hostile", ["config", "chekc"], 2, r"^$", "did you mean check", {}),
    ("hostile", ["config", "schema", "extra"], 2, r"^$", 'one argument too many, "extra"', {}),
    *(("broken", ["config", "check", row[1][-1]], 2, row[3], row[4], {}) for row in of_config(["config"])),
    ("good", ["version"], 0, r"^defused \d+\.\d+", r"^$", {}),
    ("good", ["--version"], 0, r"^defused \d+\.\d+", r"^$", {}),
    ("good", ["version", "--json"], 0, "", r"^$", {"json": "defused.version/v1"}),
    ("empty", ["version", ""], 2, r"^$", USAGE, {}),
    ("denied", ["version"], 0, r"^defused ", r"^$", {"user": NOBODY}),
    ("empty", ["version", "--json="], 2, r"^$", "--json takes no value", {}),
    ("broken", ["version", "--json=yes"], 2, r"^$", "--json takes no value", {}),
    ("hostile", ["version", "--json", "--json", "x" * 100000], 2, r"^$", USAGE, {}),
    ("good", ["help"], 0, r"\nLook\n(.|\n)*\nExit codes\n", r"^$", {}),
    ("good", ["help", "config", "check"], 0, r"\n  defused config check \[FILE\]\n", r"^$", {}),
    ("empty", ["help", ""], 2, r"^$", 'unknown command ""', {}),
    ("denied", ["help"], 0, "Usage", r"^$", {"user": NOBODY}),
    ("broken", ["help", "nothing"], 2, r"^$", 'unknown command "nothing": expected one of', {}),
    ("hostile", ["help", "config", "check", "x"], 2, r"^$", 'one argument too many, "x": check has no commands of its own', {}),
    ("hostile", ["help", "scan", "extra", "x"], 2, r"^$", 'one argument too many, "extra": scan has no commands of its own', {}),
    ("empty", [], 2, r"^$", "a command is missing: expected one of scan, ", {}),
    ("hostile", ["scna"], 2, r"^$", 'unknown command "scna"; did you mean scan', {}),
    ("hostile", ["--jsno", "scan"], 2, r"^$", "unknown option --jsno", {}),
]

# `run` with good input does not end by itself: test_run_ends_as_asked.
ELSEWHERE = {("run", "good")}
KINDS = ("good", "empty", "denied", "broken", "hostile")

HOSTILE = [b"\x1b[2J\x1b]0;title\x07", b"a\nb\r\tc", b"\xff\xfe\xc3", "\u0085\u009b31m".encode(), "txt.\u202egnp\u200b\ufeff".encode(), b"x" * 100000, b"-", b"--", b"",
           b"--\x1b[31m", b"%s%n$(id)`id`", b"../../../etc/shadow", b"-9223372036854775809"]


class Files:
    """What rows name: good and bad input, below a directory that everybody may read."""

    def __init__(self, directory):
        os.chmod(directory, 0o755)
        self.paths = {"flush": f"{CAPTURES}/linux-6.1.192-flush.tar.gz", "healthy": f"{CAPTURES}/linux-6.1.192-healthy.tar.gz"}
        self.directory = directory
        self.state = os.path.join(directory, "state")
        places = {"state_directory": self.state, "runtime_directory": os.path.join(directory, "run")}
        texts = {
            "good": json.dumps({**places, "web": {"listen_addresses": ["127.0.0.1:0"]}}),
            "nothing_set": "{}", "empty": "", "broken": "{", "unknown": '{"intervall": "5s"}', "secret": "{}",
            "escapes": '{"\\u001b[2J\\u009b": 1}', "large": '"' + "x" * 10_000_000, "nested": "[" * 100_000,
        }
        for name, text in texts.items():
            with open(self._path(name), "w", encoding="utf-8") as file:
                file.write(text)
        os.chmod(self._path("secret"), 0o600)
        self.paths["hostile"] = os.path.join(directory, "a\x1b[2J")
        shutil.copy(self.paths["good"], self.paths["hostile"])
        os.mkdir(self._path("directory"))
        os.mkfifo(self._path("fifo"))
        self._path("absent")
        with open(self.paths["flush"], "rb") as whole, open(self._path("cut_short"), "wb") as file:
            file.write(whole.read(20_000))

    def _path(self, name):
        self.paths[name] = os.path.join(self.directory, name)
        return self.paths[name]

    def fill(self, words):
        return [re.sub(r"\{(\w+)\}", lambda found: self.paths.get(found[1], found[0]), word) for word in words]


def describe():
    """The command line as it describes itself."""
    return json.loads(subprocess.run([DEFUSED, "internal-describe"], capture_output=True, timeout=10 * SLOW, check=True).stdout)


def all_commands(program):
    """(words, description) of every command that does something."""
    for command in program["commands"]:
        yield from ((below["name"].split(), below) for below in command["commands"] or [command])


# What a terminal would obey, hide or turn round, but for the end of a line.
RAW = r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"


class Table(unittest.TestCase):
    def setUp(self):
        self.tries = 0
        base = tempfile.mkdtemp(prefix="defused-test-table-")
        self.addCleanup(shutil.rmtree, base)
        self.files = Files(base)
        self.cwd = os.path.join(base, "cwd")
        os.mkdir(self.cwd)
        os.chmod(self.cwd, 0o777)
        self.place = os.path.join(base, "tmp")
        os.mkdir(self.place)
        os.chmod(self.place, 0o777)

    def check_clean(self, done, leaves=None):
        """One line of error at most, nothing that a terminal would obey, and nothing left behind."""
        for stream in (done.out, done.err):
            text = stream.decode("utf-8")  # strict
            self.assertEqual(re.findall(RAW, text), [], done)
        if done.code != 0:
            self.assertLessEqual(done.err.count(b"\n"), 1, done)
        left = [name for name in os.listdir(self.cwd) if not (leaves and re.fullmatch(leaves, name))]
        self.assertEqual(left, [], done)
        self.assertEqual(os.listdir(self.place), [], done)

    def run_row(self, row):
        kind, words, code, out, err, more = row
        with self.subTest(kind=kind, words=" ".join(words)[:200]):
            before = os.listdir(self.files.state) if os.path.isdir(self.files.state) else []
            done = run(self.files.fill(words), self.cwd, self.place, user=more.get("user"))
            self.assertIn(done.code, code if isinstance(code, tuple) else (code,), done)
            for stream, pattern in ((done.out, out), (done.err, err)):
                self.assertTrue(re.search(pattern, stream.decode("utf-8", "replace")), f"{pattern!r}: {done}")
            if "json" in more:
                self.assertEqual(json.loads(done.out).get("schema"), more["json"], done)
            self.check_clean(done, more.get("leaves"))
            self.assertLess(done.seconds, 10 * SLOW, done)
            if SLOW == 1:
                self.assertLess(done.memory, more.get("memory", MAX_MEMORY) * 1024, done)
            if words and words[0] not in ("abort", "pause", "resume"):
                after = os.listdir(self.files.state) if os.path.isdir(self.files.state) else []
                self.assertEqual(after, before, done)
            for name in os.listdir(self.cwd):
                os.unlink(os.path.join(self.cwd, name))

    def run_rows(self, rows):
        for row in rows:
            self.run_row(row)

    def test_look(self):
        self.run_rows(LOOK)

    def test_act(self):
        self.run_rows(ACT)

    def test_keep_and_check(self):
        self.run_rows(KEEP)

    def test_daemon(self):
        self.run_rows(DAEMON)

    def test_run_ends_as_asked(self):
        with Daemon() as daemon:
            os.kill(daemon.supervisor(), 15)
            self.assertEqual(daemon.process.wait(10 * SLOW), 0, daemon.log())

    def test_the_table_has_every_command_with_every_kind(self):
        rows = [*LOOK, *ACT, *KEEP, *DAEMON]
        have = {(row[1][0], row[0]) for row in rows if row[1]} | ELSEWHERE
        for command in describe()["commands"]:
            for kind in KINDS:
                self.assertIn((command["name"], kind), have)

    def test_every_option_and_argument_takes_hostile_words(self):
        """What is typed, pasted or put in by a script: no crash, one line, nothing raw, a documented exit code."""
        for words, command in all_commands(describe()):
            if command["name"] in ("capture",):
                continue  # a file name may be anything: rows of the table
            takes = [option["names"][0] for option in command["options"] if option["value"]]
            quick = QUICK if "--samples" in takes else []
            keep_off = self.files.fill(CONFIG) + quick if "--config" in takes else []
            needed = [] if not any(one["required"] for one in command["positionals"]) else [NO_CONNECTION]
            for hostile in HOSTILE:
                word = os.fsdecode(hostile)
                self.try_hostile(command, [*words, *keep_off, "--no" + word])
                self.try_hostile(command, [*words, *keep_off, *needed, "one", word])
                for option in takes:
                    # The configuration last: what it takes once is not what the next option is about.
                    rest = quick if option == "--config" else self.files.fill(CONFIG) if option in QUICK else keep_off
                    self.try_hostile(command, [*words, *needed, f"{option}={word}", *rest])
                if command["positionals"] and command["name"] != "pause":
                    self.try_hostile(command, [*words, *keep_off, word])

    def try_hostile(self, command, words):
        self.tries += 1
        if SLOW > 1 and self.tries % 3:  # sanitizers take seconds for what takes a tenth: each option has four words of the 13
            return
        if words[0] == "run":
            words.append("--unknown-so-that-it-never-runs")
        with self.subTest(words=" ".join(words)[:200]):
            done = run(words, self.cwd, self.place)
            self.assertIn(done.code, command["exit_codes"], done)
            self.check_clean(done)
            self.assertLess(len(done.err), 4200, done)
            if SLOW == 1:
                self.assertLess(done.memory, MAX_MEMORY * 1024, done)


def strip(text):
    return re.sub(rb"\x1b\[[0-9;]*m", b"", text)


class Terminal(unittest.TestCase):
    """As a person sees it."""

    def setUp(self):
        self.cwd = tempfile.mkdtemp(prefix="defused-test-terminal-")
        self.addCleanup(shutil.rmtree, self.cwd)
        os.chmod(self.cwd, 0o755)
        self.files = Files(self.cwd)

    def test_help_fits(self):
        commands = [words for words, _ in all_commands(describe())]
        for words in [[], *commands]:
            for columns in (40, 60, 80, 120, 200):
                with self.subTest(words=words, columns=columns):
                    code, text = run_on_terminal([*words, "--help"], self.cwd, columns)
                    self.assertEqual(code, 0)
                    self.assertIn(b"\x1b[1mUsage\x1b[0m", text)
                    for line in strip(text).decode().splitlines():
                        self.assertLessEqual(len(line), min(columns, 120), line)

    def test_colours_only_where_they_are_wanted(self):
        for environment, coloured in (({}, True), ({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False),
                                      ({"TERM": None}, False), ({"TERM": ""}, False), ({"CLICOLOR_FORCE": "1", "NO_COLOR": "1"}, False)):
            looks = [["scan", *QUICK], ["explain", *QUICK]] if environment in ({}, {"NO_COLOR": "1"}) else []  # dear
            for words in (["--help"], ["scan", "--jsno"], *looks):
                with self.subTest(environment=environment, words=words):
                    _, text = run_on_terminal(words, self.cwd, environment=environment)
                    self.assertTrue(text)
                    self.assertEqual(b"\x1b[" in text, coloured, text)

    def test_pipe_has_none(self):
        for words in (["--help"], ["scan", *QUICK], ["explain", *QUICK], ["connections", *QUICK]):
            done = run(words, self.cwd, self.cwd)
            self.assertNotIn(b"\x1b", done.out + done.err)

    def test_each_descriptor_by_itself(self):
        """Standard output in a file, errors on the terminal: only these are coloured."""
        with tempfile.TemporaryFile() as out:
            code, text = run_on_terminal(["scan", "--jsno"], self.cwd, out=out)
            self.assertEqual(code, 2)
            self.assertTrue(text.startswith(b"\x1b[1;31mdefused scan:\x1b[0m unknown option"), text)
            code, text = run_on_terminal(["--help"], self.cwd, out=out)
            self.assertEqual((code, text), (0, b""))
            out.seek(0)
            self.assertNotIn(b"\x1b", out.read())

    def test_json_is_never_coloured(self):
        for words in (["scan", "--json", *QUICK], ["explain", "--json", *QUICK], ["connections", "--json", *QUICK]):
            _, text = run_on_terminal(words, self.cwd, columns=40)
            self.assertNotIn(b"\x1b", text)
            json.loads(text)

    def test_columns_only_where_the_terminal_has_none(self):
        _, known = run_on_terminal(["--help"], self.cwd, columns=60, environment={"COLUMNS": "100"})
        _, unknown = run_on_terminal(["--help"], self.cwd, columns=0, environment={"COLUMNS": "100"})
        _, neither = run_on_terminal(["--help"], self.cwd, columns=0)
        widths = [max(len(line) for line in strip(text).decode().splitlines()) for text in (known, unknown, neither)]
        self.assertLessEqual(widths[0], 60)
        self.assertTrue(80 < widths[1] <= 100, widths)
        self.assertTrue(60 < widths[2] <= 80, widths)

    def test_hostile_words_do_not_reach_it(self):
        for hostile in HOSTILE:
            word = os.fsdecode(hostile)
            for words in (["scan", "x", word], ["scan", "--x" + word], [word], ["explain", word + "/"], ["scan", "--config", "x" + word]):
                with self.subTest(words=" ".join(words)[:200]):
                    code, text = run_on_terminal(words, self.cwd)
                    self.assertEqual(code, 2, text)
                    self.assertEqual(re.findall(RAW, strip(text).decode().replace("\r\n", "\n")), [], text)
                    self.assertTrue(strip(text).startswith(b"defused"), text)

    def test_texts_fit(self):
        """All that is told of a deadlock, on a narrow terminal and on a usual one."""
        with Lab("flush_thread", fstype="defusedlab") as lab:
            number = str(lab.truth["connection"])
            config = self.files.fill(CONFIG)
            rows = [(["scan", *QUICK], 0), (["connections", *QUICK], 0), (["explain", *QUICK], 0), (["explain", "pid:2", *QUICK], 0),
                    (["version"], 0), (["abort", number, *QUICK, *config], 7), (["capture", "-o", "x.tar", "--force", *QUICK], 0),
                    (["replay", self.files.paths["flush"]], 0), (["replay", self.files.paths["flush"], "--explain", "all"], 0)]
            for columns in (40, 80):
                for words, expected in rows:
                    with self.subTest(words=words, columns=columns):
                        code, text = run_on_terminal(words, self.cwd, columns)
                        self.assertEqual(code, expected, text)
                        self.check_fits(strip(text).decode(), columns)
                        if words[0] == "abort":
                            self.assertRegex(text, rb"held by too_young")
                with self.subTest(words="check", columns=columns):
                    # Its lines are bounded by the rules of monitoring plugins, not by a terminal.
                    code, text = run_on_terminal(["check", "--probe", *config], self.cwd, columns)
                    self.assertIn(code, (0, 1, 2, 3), text)
                    self.assertRegex(text, rb"^DEFUSED (OK|WARNING|CRITICAL|UNKNOWN): [^\n]*\|")
                    self.assertNotIn(b"\x1b", text)

    def check_fits(self, text, columns):
        self.assertGreater(len(text), 20)
        for line in text.splitlines():
            # Commands and facts are to be copied, and a word is not cut.
            kept = line.startswith(("    mount ", "        ")) or " " not in line.strip()
            self.assertTrue(kept or len(line) <= columns, line)


if __name__ == "__main__":
    unittest.main()
