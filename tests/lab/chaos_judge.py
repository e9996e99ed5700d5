# SPDX-License-Identifier: Apache-2.0
"""Whether what came of a trial is what its maker knows to be right: no abort while a span lasts, none without a record,
every outcome label true. Margins are for what lies between two looks of the watch, and between a reading of the daemon
and its record."""
import json
import time

from daemon import SLOW
from lab import kernel_stacks

WATCH = 2 * SLOW  # seconds: `remedy.watch`
LONGEST_PASS = 1 * SLOW  # seconds: from the second reading to the write
LABELS = ("released", "partly_released", "not_released", "skipped_identity_changed")


def ends_of(subject, stood):
    """When its requests ended, by the kernel's count, without our doing."""
    return [(before, after) for before, after in subject.seen.falls
            if subject.blocks and before >= stood and not (subject.own_end and after >= subject.own_end)]


def lasts(span, begin, end):
    return span.begin <= begin and (span.end is None or span.end >= end)


def wrong_aborts(subject, stood, actions):
    """Somebody was there all the time that matters: from before the intent, and with it before the second reading, until
    the requests had ended. And without asking the daemon: from a good while before they ended."""
    wrong = []
    for action in filter(lambda action: action.wrote(), actions):
        fall = next((fall for fall in subject.seen.falls if fall[1] >= action.begin), None)
        end = min(filter(None, (action.end, fall and fall[1], time.monotonic())))
        if fall or action.outcome != "interrupted":  # then it may have come to nothing
            wrong += [span for span in subject.spans if lasts(span, action.begin - 0.02, end)]
    for before, after in ends_of(subject, stood):
        wrong += [span for span in subject.spans if lasts(span, before - LONGEST_PASS, after) and span not in wrong]
    return [f"WRONG ABORT of connection {subject.connection.id}: {span.why}" for span in wrong]


def unrecorded(subject, stood, actions):
    """Requests have ended, and neither we nor the audit log did it: written without a record, or told to be skipped."""
    return [f"WRONG ABORT of connection {subject.connection.id}: its requests have ended and nobody says why"
            for before, after in ends_of(subject, stood)
            if not any(action.wrote() and action.begin <= after for action in actions)]


def namespace_faults(action, init):
    """`released` says that it was gone, the others that it was not."""
    if action.outcome == "released":
        if init.gone is None or init.alive > action.end + 0.05:
            return ["is still there"]
        late = action.end - action.begin - WATCH - 3 * SLOW
        return [f"took {late:.1f} s too long"] if late > 0 else []
    return ["was gone before"] if init.gone is not None and init.gone < action.end - 0.5 else []


def request_faults(subject, action):
    """What is said of the requests, beside what the kernel counts."""
    fall = next((fall for fall in subject.seen.falls if fall[1] >= action.begin), None)
    waits = subject.blocks and (fall is None or fall[0] > action.end + 0.05)
    if waits and action.outcome in ("released", "partly_released"):
        return ["its requests still wait"]
    if not waits and fall and fall[1] < action.end - 0.3 and action.outcome == "not_released":
        return ["none of its requests waits any more"]
    return []


def false_labels(subject, action, inits, killed):
    if action.outcome == "skipped_identity_changed":
        return []  # an end of the connection is then unrecorded
    if action.outcome == "interrupted" and any(action.begin - 0.1 <= when <= action.end for when in killed):
        return []
    if action.outcome not in LABELS:
        return [f"outcome {action.outcome or 'missing'}, and nothing was done that leads there"]
    init = next((init for init in inits if init.pid_namespace == action.pid_namespace), None)
    if init is None:
        return [f"outcome {action.outcome} of PID namespace {action.pid_namespace}, which is not of this trial"]
    told = namespace_faults(action, init) + request_faults(subject, action)
    return [f"FALSE LABEL {action.outcome} of connection {subject.connection.id}: {fault}" for fault in told]


def evidence(trial):
    records = [record for subject in trial.subjects for action in trial.world.audit.of(subject.seen)
               for record in action.records]
    numbers = {str(actor.pid_namespace) for actor in trial.stage.actors[1:]}
    log = [line for line in trial.world.daemon.log().splitlines() if any(number in line for number in numbers)]
    facts = []
    for subject in trial.subjects:
        spans = [(span.why, span.begin, span.end) for span in subject.spans]
        facts.append(f"connection {subject.connection.id} at {subject.connection.path}: spans {spans}, falls "
                     f"{subject.seen.falls}, ended by us {subject.own_end}, waiting {subject.seen.value}")
    acted = [(action.connection, action.outcome, action.begin, action.end) for subject in trial.subjects
             for action in trial.world.audit.of(subject.seen)]
    alive = [actor.pid for actor in trial.stage.actors if not actor.ended()]
    return "\n".join([f"it stood at {trial.stood}, now {time.monotonic()}", *facts, f"actions {acted}",
                      *(json.dumps(record) for record in records), *log, kernel_stacks(alive)])


def judge(trial, faults):
    """The faults of a trial; evidence of them is added, since it is gone with the stage."""
    faults = list(faults)
    trial.world.watch.look()  # at what came after its last look
    for subject in trial.subjects:
        actions = trial.world.audit.of(subject.seen)
        faults += wrong_aborts(subject, trial.stood, actions) + unrecorded(subject, trial.stood, actions)
        for action in actions:
            faults += false_labels(subject, action, trial.inits, trial.world.killed)
    return faults + [evidence(trial)] if faults else []
