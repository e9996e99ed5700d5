# SPDX-License-Identifier: Apache-2.0
"""What tests of acting have in common: settings with small times, records of a state directory, the operator's commands."""
import json
import os
import re
import subprocess

from daemon import DEFUSED, SLOW, Daemon, read_text

# A deadlock that stood for a second is old enough; the age is known from `sched`, so a daemon need not have seen it.
ALLOWED = {"fstypes": ["fuse.defusedlab"]}
REMEDY = {"min_stuck": "1s", "min_samples": 2, "watch": "2s", "allow": ALLOWED}
QUICK = {"interval": "250ms", "detect": {"stuck_after": "1s"}}


def enforcing(directory=None, wrapper=(), **remedy):
    return Daemon(mode="enforce", directory=directory, wrapper=wrapper, remedy={**REMEDY, **remedy}, **QUICK)


def state_of(daemon, *names):
    return os.path.join(daemon.directory, "state", *names)


def audit(daemon, *kinds):
    """The records of the audit log, decisions left out; each line must be whole. `kinds`: these records only."""
    records = [json.loads(line) for line in read_text(state_of(daemon, "audit.jsonl")).splitlines()]
    return [record for record in records if (record["record"] in kinds if kinds else record["record"] != "decision")]


def ledger(daemon):
    """The ledger as it is on disk; its checksum line is the daemon's to check."""
    text = read_text(state_of(daemon, "ledger.json"))
    return json.loads(text[:text.rindex("crc32")]) if text else {"entries": []}


def defused(daemon, *words, stdin=subprocess.DEVNULL, timeout=40):
    """(exit code, standard output, standard error) of a command with the configuration of `daemon`."""
    done = subprocess.run([DEFUSED, words[0], "--config", daemon.config, *words[1:]], stdin=stdin, capture_output=True,
                          text=True, timeout=timeout * SLOW, check=False)
    return done.returncode, done.stdout, done.stderr


def is_gone(truth):
    """The namespace: its init is not there, or a zombie without threads."""
    text = read_text(f"/proc/{truth['init']['pid']}/status")
    return not text or bool(re.search(r"^State:\t[ZX]", text, re.M) and re.search(r"^Threads:\t1$", text, re.M))


def waiting_of(truth):
    return read_text(f"/sys/fs/fuse/connections/{truth['connection']}/waiting").strip()


def stands(truth):
    """The deadlock is as it was made: nobody aborted its connection."""
    return not is_gone(truth) and waiting_of(truth) == str(truth["waiting"])
