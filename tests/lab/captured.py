# SPDX-License-Identifier: Apache-2.0
"""`defused capture` of a situation while it stands, and `defused replay` of that, in the one run that test_situations.py makes
of it: the same report as at that moment apart from times, whole and redacted, and what `defused scan` said."""
import json
import os
import subprocess
import tarfile
import tempfile

from daemon import DEFUSED, SLOW

TIMES = ("scanned_at", "duration_seconds", "stuck_seconds", "blocked_seconds", "server_gone_seconds", "at")
OF_A_NAMESPACE = ("pid_namespace", "state", "wait_class", "verdict", "evidence", "connections", "stuck", "gap", "decision")
OF_A_THREAD = ("pid", "tid", "start_ticks", "wait_class", "verdict", "connection", "attribution", "stack")
OF_A_CONNECTION = ("id", "waiting", "server_state", "server_evidence", "outside_users", "outside_viewers", "orphaned",
                   "host_mount")


def _run(*arguments):
    done = subprocess.run([DEFUSED, *arguments], capture_output=True, text=True, timeout=60 * SLOW, check=False)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done


def without_times(value):
    """A report without what only says when."""
    if isinstance(value, list):
        return [without_times(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: without_times(item) for key, item in value.items() if key not in TIMES and not key.endswith("since")}


def essence(report, stage):
    """What a report says of this stage, without names."""
    ours = {connection.id for connection in stage.connections}
    pids = {actor.pid for actor in stage.actors}
    spaces = {actor.pid_namespace for actor in stage.actors}
    threads = lambda found: [{key: thread[key] for key in OF_A_THREAD} for thread in found]  # noqa: E731
    return {
        "namespaces": [{**{key: found[key] for key in OF_A_NAMESPACE}, "init": found["init"]["pid"],
                        "threads": threads(found["blocked_threads"])}
                       for found in report["pid_namespaces"] if found["pid_namespace"] in spaces],
        "exits": threads(found for found in report["stuck_exits"] if found["pid"] in pids),
        "connections": [{**{key: found[key] for key in OF_A_CONNECTION},
                         "servers": [server["pid"] for server in found["servers"]]}
                        for found in report["connections"] if found["id"] in ours],
    }


def _capture(test, directory, *options):
    """The report of a replay, which has to be the one that was made at that moment; and the archive."""
    path = os.path.join(directory, "moment.tar")
    _run("capture", "--force", "-o", path, "--samples", "2", "--every", "50ms", *options)
    with tarfile.open(path) as archive:
        then = json.load(archive.extractfile("report.json"))
    replayed = _run("replay", path, "--json")
    test.assertEqual(replayed.stderr, "")
    now = json.loads(replayed.stdout)
    test.assertEqual(without_times(now), without_times(then))
    return now, path


def check(test, stage, scanned):
    """`scanned`: what scan said. Its own look is another one, so only what does not move is compared with that."""
    with tempfile.TemporaryDirectory() as directory:
        report, _ = _capture(test, directory)
        test.maxDiff = None
        test.assertEqual(known(essence(report, stage), scanned), known(essence(scanned, stage), scanned))
        redacted, path = _capture(test, directory, "--redact")
        test.assertEqual(settled(essence(redacted, stage)), settled(essence(report, stage)))
        with open(path, "rb") as archive:
            data = archive.read()
        for secret in (stage.directory, os.uname().nodename + "\n"):
            test.assertNotIn(os.path.basename(secret).encode(), data)


def known(found, scanned):
    """Without the connections of which scan does not ask who serves them: nobody waits there."""
    asked = {connection["id"] for connection in scanned["connections"] if connection["server_state"] != "unknown"}
    found["connections"] = [connection for connection in found["connections"] if connection["id"] in asked]
    return settled(found)


def settled(found):
    """Gates that open with age, and the servers and sockets that only a look at everything tells, may be others."""
    young = ("too_young", "too_few_samples")
    for namespace in found["namespaces"]:
        reasons = namespace["decision"]["reasons"]
        namespace["decision"]["reasons"] = [reason for reason in reasons if reason not in young]
        namespace.pop("stuck")
    return found
