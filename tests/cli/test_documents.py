# SPDX-License-Identifier: Apache-2.0
"""The documents and the program agree: man pages, docs/, README.md and config/ against what the program says of itself
(`internal-describe`), the schema of its configuration and its metrics. The rules are in document_rules.py; each of them is
fed a bad sample here."""
import copy
import json
import os
import pathlib
import re
import shutil
import subprocess
import unittest

import document_rules as rules

REPO = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("DEFUSED_BUILD", REPO / "build"))
DEFUSED = BUILD / "defused"
MAN = REPO / "docs" / "man"
# What mandoc says of every page of scdoc.
SCDOC_HABIT = re.compile(r"skipping paragraph macro")


def run(*command, text=None):
    return subprocess.run(command, input=text, capture_output=True, text=True, timeout=20, check=False)


def describe():
    done = run(DEFUSED, "internal-describe")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def read(*names):
    return (REPO.joinpath(*names)).read_text(encoding="utf-8")


class Documents(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.program = describe()
        cls.pages = {path.name.removesuffix(".scd"): path.read_text(encoding="utf-8") for path in sorted(MAN.glob("*.scd"))}
        cls.documents = {str(path.relative_to(REPO)): path.read_text(encoding="utf-8") for path in
                         [REPO / "README.md", REPO / "CONTRIBUTING.md", *sorted((REPO / "docs").rglob("*.md"))]}
        cls.configs = {str(path.relative_to(REPO)): path.read_text(encoding="utf-8") for path in
                       sorted((REPO / "config").rglob("*")) if path.is_file()}
        cls.keys = rules.keys_of(json.loads(read("config", "defused.schema.json")))
        cls.families = rules.families(read("docs", "METRICS.md"))

    def check(self, findings):
        self.assertEqual([], list(findings))


class ManPages(Documents):
    def test_each_command_has_its_page(self):
        self.check(rules.check_pages(self.pages, self.program))
        self.check(rules.check_overview("defused.8", self.pages["defused.8"], self.program))

    def test_sections(self):
        for name, page in self.pages.items():
            self.check(rules.check_sections(name, page))
            self.check(rules.check_see_also(name, page, self.pages))

    def test_options_and_exit_codes(self):
        general = sorted({exit["code"] for exit in self.program["exit_codes"] if exit["commands"] != ["check"]})
        self.check(rules.check_options("defused.8", self.pages["defused.8"], {**self.program, "commands": []}))
        self.check(rules.check_exit_codes("defused.8", self.pages["defused.8"], general))
        for command in self.program["commands"]:
            name = f"defused-{command['name']}.8"
            if name in self.pages:
                self.check(rules.check_options(name, self.pages[name], command))
                self.check(rules.check_defaults(name, self.pages[name], command))
                self.check(rules.check_exit_codes(name, self.pages[name], command["exit_codes"]))

    def test_features_of_version(self):
        printed = run(DEFUSED, "version").stdout.splitlines()[2:]
        features = [line.split()[0] for line in printed]
        self.assertEqual(len(features), 13)
        self.check(rules.check_features("defused-version.8", self.pages["defused-version.8"], features))
        kernel = json.loads(run(DEFUSED, "version", "--json").stdout)["kernel"]
        named = [name for name in kernel if name != "release" and not name.endswith("_seconds")]
        self.assertEqual(named, features[:-1])
        example = re.sub(r"\s+", " ", rules.section(self.pages["defused-version.8"], "EXAMPLES"))
        for line in printed:
            self.assertIn(f" {line.split()[0]}: ", example)

    def test_keys_and_metrics(self):
        self.check(rules.check_knob_page("defused.json.5", self.pages["defused.json.5"], self.keys))
        self.check(rules.check_metric_page("defused-metrics.7", self.pages["defused-metrics.7"], self.families))
        self.assertGreater(len(self.keys), 30)
        self.assertGreater(len(self.families), 20)

    @unittest.skipUnless(shutil.which("scdoc"), "no scdoc")
    def test_as_they_are_shown(self):
        for name in self.pages:
            page = (BUILD / "man" / name).read_text(encoding="utf-8")
            judged = run("mandoc", "-T", "lint", "-W", "warning", text=page)
            self.assertEqual([], [line for line in judged.stdout.splitlines() if not SCDOC_HABIT.search(line)], name)
            shown = run("groff", "-t", "-man", "-Tutf8", "-rLL=80n", "-ww", text=page)
            self.assertEqual((shown.returncode, shown.stderr), (0, ""), name)
            self.check(rules.check_width(name, shown.stdout))
            self.assertGreater(len(shown.stdout.splitlines()), 40, name)


class Named(Documents):
    def test_commands_and_flags(self):
        for name, text in {**self.documents, **self.configs}.items():
            with self.subTest(name):
                self.check(rules.check_named(name, text, self.program))
        for name, page in self.pages.items():
            with self.subTest(name):
                self.check(rules.check_named(name, page, self.program, man=True))

    def test_exit_codes(self):
        self.check(rules.check_exit_table("docs/OPERATING.md", self.documents["docs/OPERATING.md"], self.program))

    def test_keys(self):
        self.check(rules.check_knob_table("docs/OPERATING.md", self.documents["docs/OPERATING.md"], self.keys))
        for name, text in {**self.documents, **self.pages}.items():
            with self.subTest(name):
                self.check(rules.check_knobs_named(name, text, self.keys))

    def test_metrics(self):
        for name, text in {**self.documents, **self.pages, **self.configs}.items():
            with self.subTest(name):
                self.check(rules.check_metrics_named(name, text, self.families))


    def test_each_metric_is_in_operating(self):
        text = self.documents["docs/OPERATING.md"].partition("\n## Metrics\n")[2].partition("\n## ")[0]
        self.assertEqual([], [name for name in self.families if f"`{name}`" not in text])


# A program and its page, right; each rule is fed variants of them that are not.
PROGRAM = {
    "options": [{"names": ["--help", "-h"], "default": None}], "positionals": [],
    "exit_codes": [{"code": 0, "commands": ["look", "tell"]}, {"code": 2, "commands": ["look"]}, {"code": 3, "commands": ["check"]}],
    "commands": [
        {"name": "look", "positionals": [{"name": "X"}], "commands": [], "exit_codes": [0, 2],
         "options": [{"names": ["--help", "-h"], "default": None}, {"names": ["--deep"], "default": "3"},
                     {"names": ["--output", "-o"], "default": None}]},
        {"name": "tell", "positionals": [], "options": [], "exit_codes": [0], "commands": [
            {"name": "tell all", "positionals": [{"name": "FILE"}], "options": [], "commands": [], "exit_codes": [0]}]},
    ],
}
PAGE = """defused-look(8)

# NAME

defused-look - look

# SYNOPSIS

*defused look* _X_ [*--deep* _N_] [*-o* _FILE_]

# DESCRIPTION

Looks.

# OPTIONS

_X_
	What.

*--deep* _N_
	How deep.
	Default: 3.

*-o*, *--output* _FILE_
	Where to.

*-h*, *--help*
	Help.

# EXIT STATUS

*0*
	Good.

*2*
	Bad.

# EXAMPLES

```
# defused look 1 --deep 4
```

# FILES

None.

# SEE ALSO

*defused-look*(8)
"""


class Rules(unittest.TestCase):
    """Each rule is silent about what is right, and names what is not."""

    def check(self, rule, good, bad, *others, part=""):
        """`rule` about "x" with the text `good`, and with each of `bad`."""
        self.assertEqual([], rule("x.8", good, *others))
        for text in bad:
            with self.subTest(text=text):
                self.assertNotEqual(text, good)
                findings = rule("x.8", text, *others)
                self.assertTrue(findings)
                self.assertIn(part, findings[0])

    def test_pages(self):
        names = ["defused.8", "defused.json.5", "defused-metrics.7", "defused-look.8", "defused-tell.8"]
        self.assertEqual([], rules.check_pages(names, PROGRAM))
        self.assertEqual(["defused-tell.8: no such page"], rules.check_pages(names[:-1], PROGRAM))
        self.assertEqual(["defused-ask.8: a page of nothing"], rules.check_pages([*names, "defused-ask.8"], PROGRAM))
        overview = "# COMMANDS\n\n*defused-look*(8)\n\tLooks.\n\n*defused-tell*(8)\n\tTells.\n"
        self.check(rules.check_overview, overview, [overview.replace("tell", "ask"), overview[:40]], PROGRAM)

    def test_sections(self):
        self.check(rules.check_sections, PAGE, [PAGE.replace("# FILES", "# FILE"), PAGE.replace("Looks.\n", ""),
                                                PAGE.replace("NAME", "x").replace("SYNOPSIS", "NAME").replace("# x", "# SYNOPSIS")])
        self.check(rules.check_see_also, PAGE, [PAGE.replace("*defused-look*(8)", "*defused-lok*(8)")], ["defused-look.8"])

    def test_options(self):
        look, tell = PROGRAM["commands"]
        self.check(rules.check_options, PAGE, [
            PAGE.replace("*--deep* _N_\n", "*--depp* _N_\n"), PAGE.replace("*-o*, ", ""), PAGE.replace("_X_\n\tWhat", "_Y_\n\tWhat"),
            PAGE.replace(" [*--deep* _N_]", ""), PAGE.replace("look* _X_", "look*"), PAGE.replace("\n*-h*, *--help*\n\tHelp.\n", ""),
            PAGE.replace("*-h*, *--help*", "*-h*, *--help*, *--more*")], look)
        page = "# SYNOPSIS\n\n*defused tell all* _FILE_\n\n# OPTIONS\n\n*all* _FILE_\n\tAll.\n"
        self.check(rules.check_options, page, [page.replace("*all*", "*any*"), page.replace("tell all", "tell any"),
                                               page.replace("FILE_\n\tAll", "NAME_\n\tAll")], tell)
        self.check(rules.check_defaults, PAGE, [PAGE.replace("Default: 3", "Default: 4"), PAGE.replace("\tDefault: 3.\n", "")], look)

    def test_exit_codes(self):
        self.check(rules.check_exit_codes, PAGE, [PAGE.replace("*2*", "*3*"), PAGE.replace("*0*\n\tGood.\n", "")], [0, 2])
        table = "\n## Exit codes\n\n| code | means |\n|---|---|\n| 0 | done |\n| 2 | usage |\n| 3 | root |\n\n## Next\n\n| 7 | x |\n"
        self.check(rules.check_exit_table, table, [table.replace("| 2 |", "| 4 |"), table.replace("| 3 | root |\n", "")], PROGRAM)

    def test_features(self):
        page = "# DESCRIPTION\n\nIt.\n\n*btf*\n\tTypes.\n\n*bpf_files*\n\tFiles.\n\n# OPTIONS\n\n*other*\n\tx\n"
        self.check(rules.check_features, page, [page.replace("*btf*", "*BTF*"), page.replace("*bpf_files*\n\tFiles.\n", ""),
                                                page.replace("# OPTIONS\n", "")], ["btf", "bpf_files"])

    def test_what_is_named(self):
        good = "`defused look 1 --deep 4`, `--deep`, `other --flag`, defused finds\n\n    # defused tell all --help\n"
        program = copy.deepcopy(PROGRAM)
        program["commands"][1]["options"] = program["commands"][1]["commands"][0]["options"] = PROGRAM["options"]
        self.check(rules.check_named, good, [
            good.replace("look 1", "lok 1"), good.replace("--deep 4", "--depth 4"), good.replace("`--deep`", "`--deap`"),
            good.replace("tell all", "tell some"), good.replace("all --help", "all --deep"), "```\n$ sudo defused finds\n```\n",
            "`build/defused finds`", "    ssh root@x defused finds | cat\n"], program)
        self.assertEqual([], rules.check_named("x.8", "*defused look* _X_ [*--deep*]", program, True))
        self.assertTrue(rules.check_named("x.8", "*defused lok* _X_", program, True))
        self.assertTrue(rules.check_named("x.8", "*--deap*", program, True))
        self.assertEqual([], rules.check_named("x.md", "    docker run \\\n      --detach x\n\n`--detach`\n", program))
        self.assertTrue(rules.check_named("x.md", "    docker run x\n\n`--detach`\n", program))

    def test_keys(self):
        schema = {"properties": {"mode": {}, "remedy": {"properties": {"min_stuck": {}}}}}
        keys = rules.keys_of(schema)
        self.assertEqual(keys, {"mode", "remedy.min_stuck"})
        page = "# OPTIONS\n\n*mode*\n\tIt.\n\n*remedy.min\\_stuck*\n\tIt.\n"
        self.check(rules.check_knob_page, page, [page.replace("stuck", "stack"), page.replace("*mode*", ""), page + "\n*mode*\n"], keys)
        table = "\n## Configuration\n\n| `mode` | `\"observe\"` | why |\n| `remedy.min_stuck` | `\"1m\"` | why |\n"
        self.check(rules.check_knob_table, table, [table.replace("`mode`", "`mood`"), table[:60]], keys)
        self.check(rules.check_knobs_named, "`remedy` `remedy.min_stuck` `audit.jsonl`", ["`remedy.min_stack`", "*remedy.min\\_stack*"], keys)

    def test_metrics(self):
        known = rules.families("## defused_up\n\ngauge, no labels. Up.\n\n## defused_time\n\nhistogram, labels `a`. It.\n")
        self.assertEqual(known, {"defused_up": "gauge", "defused_time": "histogram"})
        page = "*defused\\_up*\n\tgauge, no labels\n\n*defused\\_time*\n\thistogram, labels a\n"
        self.check(rules.check_metric_page, page, [page.replace("gauge", "counter"), page.replace("up", "down"), page[:40]], known)
        self.check(rules.check_metrics_named, "`defused_up` defused_time_bucket{a} `defused_t*`",
                   ["defused_uptime", "`defused_up_sum`", "`defused_x*`", "sum(rate(defused_tim[5m]))"], known)

    def test_width(self):
        self.check(rules.check_width, "x" * 80 + "\n" + "_\x08" * 60 + "x", ["x" * 81, "\x1b[1m" + "x" * 81, "de\N{HYPHEN}\nfused"])


if __name__ == "__main__":
    unittest.main()
