# SPDX-License-Identifier: Apache-2.0
"""What `defused explain` has to say about a situation, checked in the one run of test_situations.py: the right connection,
the words of the verdict, and an abort only where nobody alive could answer and nobody outside has files open."""
import os
import re
import subprocess

from daemon import DEFUSED, REPO, SLOW

PAGE = os.path.join(REPO, "docs", "EXPLAIN.md")
SHOWN = {"self_held": "The incident", "slow_server": "The slow server", "shared_with_a_user": "The shared mount"}
HANGS = re.compile(r"^ *# .*\b(ps|pgrep|pkill|df|ls|stat|lsof|fuser|findmnt)\b", re.M)

IN_WORDS = {"deadlocked": "It is a deadlock in FUSE", "waiting_on_live_server": "waits for a FUSE server that is alive",
            "not_fuse": "FUSE is not what holds it", "undetermined": "What holds it is not certain"}
ADVICE = {"unreaped_child": "kill -CONT", "ptrace": "tracer", "freezer": "THAWED"}


def explain(*arguments):
    """(exit code, text) of one call."""
    done = subprocess.run([DEFUSED, "explain", "--every", "50ms", *arguments], capture_output=True, text=True, timeout=20 * SLOW, check=False)
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout


def subjects(truth):
    """X for all that this situation is about."""
    found = []
    if truth.init:
        found.append(f"namespace:{truth.init.pid_namespace}")
    if truth.stuck_exit:
        found.append(f"pid:{truth.stuck_exit.pid}")
    return found + [f"connection:{c.id}" for c in truth.connections + truth.live]


def check_abort(test, truth, text):
    """Named for every wedged connection that may go, and for no other one: nor for one of a type that is denied, whose
    number is that of its block device."""
    denied = any(connection.id >= 1 << 20 for connection in truth.connections)
    test.assertEqual("(gate `denied`)" in " ".join(text.split()), denied, text)
    may_go = truth.verdict == "deadlocked" and truth.server in ("none", "dying") and not truth.users and not denied
    named = {int(number) for number in re.findall(
        r"# (?:echo 1 > /sys/fs/fuse/connections/|defused abort )(\d+)", text)}
    test.assertEqual(named, {c.id for c in truth.connections} if may_go else set(), text)


def check_found(test, truth, text):
    """The page of the namespace or the stuck exit itself."""
    test.assertIn(IN_WORDS[truth.verdict], text)
    test.assertIn(truth.verdict, text)
    for connection in truth.connections:
        test.assertIn(f"/sys/fs/fuse/connections/{connection.id}/waiting: ", text)
    for actor in truth.blocked:
        test.assertIn(f"/proc/{actor.pid}/", text)
    test.assertIn(ADVICE.get(truth.wait_class, ""), text)
    check_abort(test, truth, text)
    if truth.users:
        test.assertIn("Live processes outside would lose their files on it", text)
    if truth.server == "alive":
        test.assertRegex(text, r"# (kill -CONT|timeout 2 cat /proc/)")


def check(test, name, truth):
    """All texts about this situation; the first one is shown where the page shows it."""
    texts = {}
    for subject in [*subjects(truth), ""]:
        code, text = explain(*([subject] if subject else []))
        test.assertEqual(code, 0, text)
        test.assertNotRegex(text, HANGS)
        texts[subject] = text
        about = int(subject.rpartition(":")[2] or 0)
        if about in [c.id for c in truth.live] and about not in [c.id for c in truth.connections]:
            test.assertNotRegex(text, "/abort|defused abort")
    if truth.init or truth.stuck_exit:
        check_found(test, truth, next(iter(texts.values())))
    for connection in truth.connections:
        test.assertRegex(texts[f"connection:{connection.id}"], rf"[Cc]onnection {connection.id}\b")
    if not truth.init and not truth.stuck_exit and not truth.stalled:
        test.assertNotRegex(texts[""], "/abort|defused abort")
    for connection in truth.stalled:
        test.assertIn(f"connections/{connection.id}/waiting", texts[f"connection:{connection.id}"])
    keep(name, texts)
    return next(iter(texts.values()))


def keep(name, texts):
    """For a person to read."""
    directory = os.environ.get("DEFUSED_EXPLAIN_TEXTS")
    if directory:
        with open(os.path.join(directory, f"{name}.txt"), "w", encoding="utf-8") as file:
            for subject, text in texts.items():
                file.write(f"$ defused explain {subject}\n{text}\n")


def masked(text):
    """Numbers that differ from run to run become one of the same meaning."""
    text = re.sub(r"/tmp/defused-stage-\w+", "/srv", text)
    text = re.sub(r"\b40265\d{5}\b", "4026532178", text)
    pids = {}
    text = re.sub(r"(?<![\d:.])\d{3,7}(?![\d.])",
                  lambda found: found.group() if found.group() == "4026532178" else pids.setdefault(
                      found.group(), str(4700 + len(pids))), text)
    text = re.sub(r"\b\d+\.\ds\b|\b\d+s\b", "0.7s", text)
    text = re.sub(r"([Cc]onnections?[ /:]|# defused abort )\d+", r"\g<1>40", text)
    text = re.sub(r"\b0:\d+\b", "0:40", text)
    text = re.sub(r"mountinfo: \d+", "mountinfo: 66", text)
    text = re.sub(r"context switches: \d+", "context switches: 6", text)
    return re.sub(r"    - On this host could not be read:.*?\n(?=    -|\n)", "", text, flags=re.S)


def comparable(text):
    """Without what depends on the kernel's inner functions, on which of its threads a process waits with, and on where a
    line is wrapped."""
    text = re.sub(r"/stack: .* <- .*", "/stack: ..", text)
    text = re.sub(r"(Thread \d+ \([^)]*\)) of process \d+", r"\1", re.sub(r"/task/\d+", "", text))
    return " ".join(re.sub(r"\b47\d\d\b", "47..", text).split())


def check_page(test, texts):
    """docs/EXPLAIN.md holds what was printed."""
    with open(PAGE, encoding="utf-8") as file:
        page = old = file.read()
    for name, title in SHOWN.items():
        begin, end = f"<!-- {name}: written by tests/lab/test_situations.py -->\n", f"<!-- end of {name} -->\n"
        head, found, rest = page.partition(begin)
        test.assertTrue(found, f"{title}: no place for it")
        body = "```text\n" + masked(texts[name]).strip() + "\n```\n"
        page = head + begin + body + end + rest.partition(end)[2]
    if os.environ.get("DEFUSED_WRITE_DOCS") == "1":
        with open(PAGE, "w", encoding="utf-8") as file:
            file.write(page)
    else:
        test.assertEqual(comparable(page), comparable(old))
