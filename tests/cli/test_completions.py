# SPDX-License-Identifier: Apache-2.0
"""What config/completions offers in a real bash and a real zsh, by a table of lines; and every command and option that the
program has, and nothing else. They run no program: here there is none to be found."""
import os
import pathlib
import pty
import re
import select
import shutil
import subprocess
import tempfile
import time
import unittest

import document_rules as rules
from test_documents import describe

COMPLETIONS = pathlib.Path(__file__).resolve().parents[2] / "config" / "completions"
FUSECTL = "/sys/fs/fuse/connections"
COMMANDS = "run scan explain connections abort check capture replay pause resume config version help".split()
LOOK = ["--json", "--samples", "--every", "--config", "--help", "-h"]

BASH = r"""
PATH=/nonexistent
source "$1" || exit 1
shift
[[ $(complete -p defused) == "complete -F _defused defused" ]] || exit 1
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_defused 2>&1
((${#COMPREPLY[@]} == 0)) || printf '%s\n' "${COMPREPLY[@]}"
"""

# In a terminal: each line with a tab is answered by what compadd was given, between two marks.
ZSH = r"""
PROMPT= RPROMPT= PATH=/nonexistent
setopt nobeep noautolist noautomenu
fpath=(COMPLETIONS $fpath)
zmodload zsh/zutil
autoload -Uz compinit && compinit -u -D
bindkey '^I' complete-word
zstyle ':completion:*' completer _complete
mark_begin() { print -n -r -- $'\x01' }
mark_end() { print -n -r -- $'\x02'; arm }
arm() { compprefuncs=(mark_begin) comppostfuncs=(mark_end) }  # both serve once
arm
compadd() {
  if [[ " ${@[1,(i)(-|--)]} " == *' -'(O|A|D)' '* ]]; then builtin compadd "$@"; return; fi
  typeset -a hits
  builtin compadd -A hits "$@"
  print -r -l -- $hits
  builtin compadd "$@"
}
zle-line-init() { print READY }
zle -N zle-line-init
"""


def in_bash(*words):
    done = subprocess.run(["bash", "--norc", "--noprofile", "-c", BASH, "bash", str(COMPLETIONS / "defused.bash"), "defused", *words],
                          capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return sorted(done.stdout.splitlines())


class Zsh:
    """One interactive zsh for many lines; ended with the context."""

    def __enter__(self):
        self.home = tempfile.TemporaryDirectory()
        self.master, slave = pty.openpty()
        environment = {"HOME": self.home.name, "TERM": "dumb", "PATH": os.environ["PATH"], "ZDOTDIR": self.home.name,
                       "COLUMNS": "200", "LINES": "1000"}
        self.process = subprocess.Popen(["zsh", "-f", "-i"], stdin=slave, stdout=slave, stderr=slave, env=environment,
                                        start_new_session=True)
        os.close(slave)
        script = os.path.join(self.home.name, "set-up")
        with open(script, "w", encoding="utf-8") as file:
            file.write(ZSH.replace("COMPLETIONS", str(COMPLETIONS)))
        os.write(self.master, f"source {script}\n".encode())
        self.read_until("READY")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(10)
        os.close(self.master)
        self.home.cleanup()

    def read_until(self, mark):
        text, deadline = "", time.monotonic() + 20
        while mark not in text:
            assert select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0], f"no {mark!r}: {text!r}"
            text += os.read(self.master, 65536).decode(errors="replace")
        return text

    def offers(self, *words):
        os.write(self.master, ("\x15defused " + " ".join(words) + "\t").encode())
        text = self.read_until("\x02").rpartition("\x01")[2]
        lines = (re.sub(r"\\(.)", r"\1", line.strip()) for line in text.partition("\x02")[0].splitlines())
        return sorted({line for line in lines if line})


class Lines:
    """A shell's `offers(*words)`: what may stand in the place of the last word. Files are those of a directory with `a.json`
    and `b c.tar` in it."""
    # words, what is offered
    TABLE = [
        ([""], COMMANDS),
        (["c"], ["capture", "check", "config", "connections"]),
        (["re"], ["replay", "resume"]),
        (["-"], ["--help", "--version", "-h"]),
        (["scan", "-"], LOOK),
        (["scan", "--s"], ["--samples"]),
        (["scan", "--config", ""], ["a.json", "b c.tar"]),
        (["scan", "--config", "a"], ["a.json"]),
        (["scan", "--samples", ""], []),
        (["scan", "--every", "1"], []),
        (["scan", "--every", "1s", "--js"], ["--json"]),
        (["explain", "4711", "--js"], ["--json"]),
        (["run", "--web.c"], ["--web.config.file"]),
        (["run", "--web.config.file", "a"], ["a.json"]),
        (["run", "--web.listen-address", ""], []),
        (["abort", "40", "--ov"], ["--override"]),
        (["abort", "--override", "a"], []),
        (["check", "--critical-after", ""], []),
        (["capture", "-o", "b"], ["b c.tar"]),
        (["capture", "--output", "a"], ["a.json"]),
        (["replay", "a"], ["a.json"]),
        (["replay", "a.json", "--explain", ""], ["all"]),
        (["pause", ""], []),
        (["config", ""], ["check", "defaults", "schema"]),
        (["config", "check", "a"], ["a.json"]),
        (["help", "ab"], ["abort"]),
        (["nonsense", ""], []),
    ]

    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        for name in ("a.json", "b c.tar"):
            pathlib.Path(directory.name, name).touch()
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(directory.name)

    def test_table(self):
        for words, offered in self.TABLE:
            with self.subTest(words=words):
                self.assertEqual(self.offers(*words), sorted(offered))

    def test_all_that_the_program_has_and_nothing_else(self):
        program = describe()
        self.assertEqual(self.offers(""), sorted(command["name"] for command in program["commands"]))
        self.assertEqual(self.offers("-"), sorted(rules.flags({**program, "commands": []})))
        for name, command in rules.commands(program).items():
            with self.subTest(name):
                self.assertEqual(self.offers(*name.split(), "-"), sorted(rules.flags({**command, "commands": []})))
                if command["commands"]:
                    self.assertEqual(self.offers(name, ""), sorted(below["name"].split()[1] for below in command["commands"]))

    def test_connections_of_this_kernel(self):
        there = sorted(os.listdir(FUSECTL)) if os.path.isdir(FUSECTL) else []
        self.assertEqual(self.offers("abort", ""), there)
        self.assertEqual(self.offers("abort", "x"), [])


@unittest.skipUnless(shutil.which("bash"), "no bash")
class Bash(Lines, unittest.TestCase):
    offers = staticmethod(in_bash)

    def test_a_value_after_an_equals_sign(self):
        self.assertEqual(in_bash("scan", "--config", "=", "a"), ["a.json"])
        self.assertEqual(in_bash("scan", "--config", "="), ["a.json", "b c.tar"])
        self.assertEqual(in_bash("scan", "--every", "=", "1s", "--js"), ["--json"])

    def test_in_a_terminal(self):
        master, slave = pty.openpty()
        with subprocess.Popen([shutil.which("bash"), "--norc", "--noprofile", "-i"], stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
                              env={"TERM": "dumb", "PS1": "", "PATH": "/nonexistent"}) as shell:
            os.close(slave)
            os.write(master, f"source {COMPLETIONS}/defused.bash\ndefused conf\tsch\t".encode())
            text, deadline = "", time.monotonic() + 10
            while "config schema" not in text and select.select([master], [], [], max(0, deadline - time.monotonic()))[0]:
                text += os.read(master, 65536).decode(errors="replace")
            shell.kill()
        os.close(master)
        self.assertIn("defused config schema", text)


@unittest.skipUnless(shutil.which("zsh"), "no zsh")
class InZsh(Lines, unittest.TestCase):
    def setUp(self):
        super().setUp()
        self.shell = Zsh()
        self.shell.__enter__()
        self.addCleanup(self.shell.__exit__)

    def offers(self, *words):
        return self.shell.offers(*words)


@unittest.skipUnless(os.geteuid() == 0 and os.path.isdir(FUSECTL), "needs root and fusectl")
class Connections(unittest.TestCase):
    """With a list of our own over that of the kernel, in a mount namespace of its own."""

    def test_numbers_alone(self):
        with tempfile.TemporaryDirectory() as directory:
            for name in ("40", "41", "107", "README"):
                pathlib.Path(directory, name).mkdir()
            script = f"mount --bind {directory} {FUSECTL} && exec \"$@\""
            for shell, wanted in (("bash", ["107", "40", "41"]), ("zsh", ["107", "40", "41"])):
                done = subprocess.run(["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh",
                                       "/usr/bin/python3", __file__, shell], capture_output=True, text=True, timeout=60, check=False)
                self.assertEqual((done.returncode, done.stdout.split(), done.stderr), (0, wanted, ""), shell)


def print_offers(shell):
    """For the test above: the connections that are offered here."""
    if shell == "bash":
        print(*in_bash("abort", ""))
    else:
        with Zsh() as zsh:
            print(*zsh.offers("abort", ""))


if __name__ == "__main__":
    import sys
    if sys.argv[1:] in (["bash"], ["zsh"]):
        print_offers(sys.argv[1])
    else:
        unittest.main()
