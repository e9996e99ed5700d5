# SPDX-License-Identifier: Apache-2.0
"""`Trial`: one situation, made and disturbed as its recipe says, beside a daemon that may act. What is true of it is
written down by whoever makes it so: a `Span` for the time in which an abort of a connection would be wrong."""
import os
import random
import signal
import time
from dataclasses import asdict, dataclass, field

import situations
from chaos_kinds import FREE, HOLD, KINDS, SERVER, put_on_its_way
from chaos_watch import SeenConnection, SeenProcess
from daemon import SLOW, wait_until
from lab import FUSECTL
from stage import Stage

MIN_STUCK = 2 * SLOW  # seconds: from then on the daemon may act
# To be freed within, also after a guest has left: what is known of guests is kept for up to five minutes where nothing
# new asks for it, but here something does all the time (chaos.World.ask).
FREED_WITHIN = 40 * SLOW
ENDS_WITHIN = 10 * SLOW  # of what ends by itself


class Stopped(Exception):
    """The whole run is to end."""


@dataclass
class Act:
    """Something that is done to the situation; times are seconds after it stands (more of them under sanitizers, as all
    deadlines), or "before" the kill."""
    name: str
    at: object = 0.0
    until: float = None  # None: to the end
    how: str = ""
    takes: float = 0.0


@dataclass
class Recipe:
    seed: int
    number: int
    kind: object
    acts: list = field(default_factory=list)
    stands: float = 0.0  # a hold is looked at for so long

    def text(self):
        acts = ["{" + ", ".join(f"{key} {value}" for key, value in asdict(act).items() if value not in (None, "", 0.0)) + "}"
                for act in self.acts]
        return f"{self.kind.name} ({self.kind.fate}) {' '.join(acts)} stands {self.stands}"

    def has(self, name):
        return any(act.name == name for act in self.acts)


def tenths(rng, low, high):
    return round(rng.uniform(low, high), 1)


def draw_guest(rng, kind):
    """Somebody outside who uses or sees the mount, for some time or for good."""
    how = rng.choice(["viewer", "path", "path in view"] + ["file", "file in view"] * kind.files)
    before = how.startswith("file") or rng.random() < 0.5
    # Also at about the time at which the daemon acts.
    begin = "before" if before else tenths(rng, *rng.choice([(0, 1.2), (1, 3)]))
    until = None if rng.random() < 0.4 else tenths(rng, 0.5 if before else begin + 0.5, 5.5)
    return Act("guest", begin, until, how)


def draw_ending(rng, kind):
    """How somebody who could answer does, or does not any more."""
    name = rng.choice(kind.endings)
    act = Act(name, tenths(rng, 0.3, 5))
    if name == "pauses":
        act.at, act.until = tenths(rng, 0, 2), tenths(rng, 3, 5)
    if name == "hands_over":
        act.takes = tenths(rng, 0.3, 1.5)  # in flight: less than the grace
    return act


def draw(seed, number):
    """The same for the same seed and number. Every kind comes up as often as its weight in each round."""
    bag = [kind for kind in KINDS for _ in range(kind.weight)]
    random.Random(f"{seed}/bag/{number // len(bag)}").shuffle(bag)
    rng = random.Random(f"{seed}/{number}")
    recipe = Recipe(seed, number, bag[number % len(bag)])
    kind = recipe.kind
    if kind.door and rng.random() < 0.55:
        recipe.acts.append(draw_guest(rng, kind))
    elif kind.single and kind.fate == FREE and rng.random() < 0.2:
        recipe.acts.append(Act("own_abort", tenths(rng, 0, 3.5)))
    if kind.endings and rng.random() < 0.85:
        recipe.acts.append(draw_ending(rng, kind))
    if rng.random() < 0.06:
        recipe.acts.append(Act("prober_dies", tenths(rng, 1.5, 4.5)))
    if rng.random() < 0.3:
        recipe.acts.append(Act("neighbour"))
    if rng.random() < 0.2:
        recipe.acts.append(Act("twin"))
    recipe.stands = tenths(rng, 4, 5)
    return recipe


@dataclass
class Span:
    """While it lasts, an abort is wrong. `begin` is after it came, `end` before it left (None: it is still there)."""
    why: str
    begin: float
    end: float = None


class Subject:
    """A connection of a trial, and what is true of it."""

    def __init__(self, connection, seen):
        self.connection = connection
        self.seen = seen
        self.born = time.monotonic()
        self.spans = []
        self.own_end = None  # when something that was done here began to end its requests
        self.blocks = False  # requests wait for good, unless somebody does something

    def protect(self, why, begin=None):
        span = Span(why, time.monotonic() if begin is None else begin)
        self.spans.append(span)
        return span


class ChaosStage(Stage):
    """A stage that tells its trial what is made, and when the first one is killed."""

    def __init__(self, trial):
        super().__init__(seconds=150 * SLOW)
        self.trial = trial
        self.subtype = trial.world.subtype
        self.parked = []
        self.aborts = {}

    def note(self, connection):
        super().note(connection)
        self.trial.note(connection)
        self.aborts[connection.id] = os.open(f"{FUSECTL}/{connection.id}/abort", os.O_WRONLY | os.O_CLOEXEC)

    def about_to_signal(self, actor, number):
        if number == signal.SIGKILL:
            self.trial.before_kill()

    def __exit__(self, *arguments):
        try:
            super().__exit__(*arguments)
        finally:
            for file in self.aborts.values():
                os.close(file)
            for channel in self.parked:
                channel.close()


class Guest:
    """Somebody outside: `how` says whether it only sees the mount, or has a file open, and whether it stays in view."""

    def __init__(self, stage, act, member):
        self.act = act
        self.actor = stage.spawn()
        self.home = self.actor.do("hold_ns", self.actor.pid, "mnt")
        self.there = self.actor.do("hold_ns", member.pid, "mnt")
        self.file = None
        self.spans = []
        # The name is known from now on: it can be opened without a question to a server that is gone by then.
        self.actor.do("join", self.there)
        self.actor.do("close", self.actor.do("open", stage.trial.held_ones()[0].connection.file(), "path"))
        self.actor.do("join", self.home)

    def comes(self, subjects):
        self.actor.do("join", self.there)
        if self.act.how != "viewer":
            mode, *view = self.act.how.split(" ", 1)
            self.file = self.actor.do("open", subjects[0].connection.file(), "r" if mode == "file" else mode)
            if not view:
                self.actor.do("join", self.home)
        # All connections of the mount namespace are seen by a viewer; a file is open on one.
        touched = subjects[:1] if self.act.how in ("path", "file") else subjects
        self.spans = [subject.protect(f"guest ({self.act.how})") for subject in touched]

    def leaves(self):
        """A real file would be flushed: who has one open cannot close it any more, only be killed."""
        for span in self.spans:
            span.end = time.monotonic()
        if self.act.how.startswith("file"):
            self.actor.kill()
            return
        if self.file is not None:
            self.actor.do("close", self.file)
        self.actor.do("join", self.home)
        self.actor.do("close", self.there)


class Trial:
    """`world` has the watch, the audit log, the file-system type and whether all is to stop."""

    def __init__(self, world, recipe):
        self.world = world
        self.recipe = recipe
        self.stage = None
        self.truth = None
        self.subjects = []
        self.inits = []
        self.guest = None
        self.neighbour = None
        self.twin = None
        self.killed = False
        self.events = []
        self.freeable = None
        self.stood = None

    # ---- making it

    def note(self, connection):
        seen = self.world.watch.add(SeenConnection(connection))
        self.subjects.append(Subject(connection, seen))
        self.world.known.append(seen)

    def before_kill(self):
        """At the first kill: the last moment at which the mount namespace can be entered."""
        if self.killed:
            return
        self.killed = True
        for act in self.recipe.acts:
            if act.name == "guest":
                # Not the one to be killed: of an init whose leader has left, /proc has no namespaces.
                self.guest = Guest(self.stage, act, self.held_ones()[0].connection.server)
                if act.at == "before":
                    self.guest.comes(self.held_ones())

    def held_ones(self):
        """The connections of the situation itself: not those of neighbour and twin."""
        return [subject for subject in self.subjects if subject.connection.path.rsplit("/", 1)[1] in ("a", "b")]

    def make_neighbour(self):
        """A busy live server on a mount that every container made after it sees, and somebody who reads there."""
        connection = self.stage.spawn().fuse("busy")
        reader = self.stage.spawn()
        file = reader.open(connection.file(), "direct")
        connection.mute("read")
        reader.tell("read", file)
        reader.wait_in("fuse_")
        self.subjects[-1].protect(SERVER)
        self.neighbour = (connection, reader)

    def make_twin(self):
        init, server = self.stage.container()
        connection = server.fuse("twin")
        server.open(connection.file())
        killed, self.killed = self.killed, True
        situations.spring(init, server)
        self.killed = killed
        self.subjects[-1].blocks = True
        self.twin = init

    def make(self):
        if self.recipe.has("neighbour"):
            self.make_neighbour()
        if self.recipe.has("twin"):
            self.make_twin()
        self.truth = self.recipe.kind.make(self.stage)
        self.stood = time.monotonic()
        spaces = {}
        for actor in self.stage.actors:
            spaces.setdefault(actor.pid_namespace, actor)
        for actor in list(spaces.values())[1:]:  # the first is that of the host
            self.inits.append(self.world.watch.add(SeenProcess(actor)))
        self.tell_truth()

    def tell_truth(self):
        kind, truth = self.recipe.kind, self.truth
        wedged = {connection.id for connection in truth.connections}
        live = {connection.id for connection in truth.live}
        for subject in self.subjects:
            number = subject.connection.id
            subject.blocks = subject.blocks or number in wedged
            if number in live:
                subject.protect(SERVER, subject.born)
            elif number in wedged and kind.fate == HOLD:
                subject.protect(kind.why, subject.born)
        self.freeable = self.stood if kind.fate == FREE else None

    # ---- what happens to it

    def of_truth(self):
        numbers = {connection.id for connection in self.truth.connections}
        return [subject for subject in self.subjects if subject.connection.id in numbers]

    def end_spans(self, why=None):
        now = time.monotonic()
        for subject in self.of_truth():
            for span in subject.spans:
                if span.end is None and why in (None, span.why):
                    span.end = now

    def plan(self):
        """(seconds after it stands, what is done then)"""
        for act in self.recipe.acts:
            if act.name == "guest":
                if act.at != "before":
                    self.events.append((act.at, self.guest_comes))
                if act.until is not None:
                    self.events.append((act.until, self.guest.leaves))
            elif act.name == "pauses":
                server = self.truth.connections[0].server
                self.events.append((act.at, lambda server=server: server.kill(signal.SIGSTOP)))
                self.events.append((act.until, lambda server=server: server.kill(signal.SIGCONT)))
            elif act.name not in ("neighbour", "twin"):
                self.events.append((act.at, lambda act=act: getattr(self, act.name)(act)))
        self.events.sort(key=lambda event: event[0])

    def guest_comes(self):
        """On a slow machine it may be over by then."""
        def over():
            return all(actor.ended() for actor in self.truth.blocked)
        try:
            if not over():
                self.guest.comes(self.held_ones())
        except AssertionError:
            if not over():
                raise

    def ends_by_itself(self):
        """From now on its requests end because of what is done here."""
        self.end_spans()
        for subject in self.of_truth():
            subject.own_end = time.monotonic()
        self.freeable = None

    def own_abort(self, _):
        self.ends_by_itself()
        os.write(self.stage.aborts[self.truth.connections[0].id], b"1")

    def answers(self, _):
        self.check_live(self.truth.connections[0])
        self.ends_by_itself()
        self.truth.release()

    def prober_dies(self, _):
        """The process that reads and acts, for all trials; the supervisor makes a new one."""
        prober = self.world.daemon.child("defused-prober")
        if prober:
            self.world.killed.append(time.monotonic())
            os.kill(prober, signal.SIGKILL)

    def dies(self, _):
        self.ends_by_itself()
        self.truth.connections[0].server.kill()

    def keeper_dies(self, _):
        """Nobody is left who could answer: from now on it may be freed, and has to be."""
        self.end_spans(SERVER)
        self.truth.connections[0].keeper.kill()
        self.freeable = time.monotonic()

    def hands_over(self, act):
        """The device is in flight, then a successor has it, and answers after a while."""
        channel = put_on_its_way(self.truth.connections[0])
        self.stage.parked.append(channel)
        successor = self.stage.spawn()
        self.sleep_until(time.monotonic() + act.takes * SLOW)
        device = successor.do("take", descriptors=[channel.fileno()])
        self.sleep_until(time.monotonic() + 1 * SLOW)
        self.ends_by_itself()
        successor.do("serve", device)

    def check_live(self, connection):
        """The server itself was told nothing of an end. Where another thread or process has its device, it cannot say."""
        server = connection.server
        elsewhere = self.recipe.kind.name == "device_in_a_thread" or server in self.truth.blocked
        if elsewhere or server.ended() or "State:\tT" in server.stacks():
            return
        if server.do("aborted", connection.index):
            raise AssertionError(f"WRONG ABORT of connection {connection.id}: its live server was told so")

    # ---- how it goes on

    def sleep_until(self, when):
        while time.monotonic() < when:
            if self.world.stopped.is_set():
                raise Stopped
            time.sleep(min(0.05, max(0.0, when - time.monotonic())))

    def wait(self, predicate, seconds, what):
        """As wait_until, and it ends when all is to end."""
        def over():
            if self.world.stopped.is_set():
                raise Stopped
            return predicate()
        wait_until(over, seconds / SLOW, what)

    def play(self):
        self.plan()
        for seconds, event in self.events:
            self.sleep_until(self.stood + seconds * SLOW)
            event()
        if self.guest and any(span.end is None for span in self.guest.spans):
            self.freeable = None  # for good
        elif self.freeable is not None:
            self.freeable = max([self.freeable] + [span.end for s in self.of_truth() for span in s.spans])
        ends = any(subject.own_end for subject in self.of_truth())
        if self.freeable is not None:
            left = self.freeable + FREED_WITHIN - time.monotonic()
            self.wait(lambda: all(actor.ended() for actor in self.truth.blocked), left, "the DEADLOCK to be freed")
            self.world.freed.append(max(0.0, time.monotonic() - self.freeable))
            if self.truth.release:
                self.wait_for_outcomes()
                self.truth.release()
        elif not ends:
            last = max([0] + [event[0] for event in self.events])
            self.sleep_until(self.stood + (last + self.recipe.stands) * SLOW)
        if self.freeable is not None or ends:
            for init in filter(None, (self.truth.init, self.truth.outer)):
                self.wait(init.ended, ENDS_WITHIN, f"namespace of {init.pid} to go after its connection was ended")
        if self.twin:
            self.wait(self.twin.ended, FREED_WITHIN, "the DEADLOCK beside it to be freed")
        self.wait_for_outcomes()
        self.check_end()

    def wait_for_outcomes(self):
        def all_told():
            return all(action.outcome for subject in self.subjects for action in self.world.audit.of(subject.seen))
        self.wait(all_told, 10 * SLOW, "an outcome in the audit log")

    def check_end(self):
        """What lives still works."""
        if self.neighbour:
            connection, reader = self.neighbour
            self.check_live(connection)
            connection.unmute()
            if reader.hear("the neighbour's read") <= 0:
                raise AssertionError("WRONG ABORT: a read on the neighbour's connection was lost")
        for connection in self.truth.live:
            if not any(s.own_end for s in self.of_truth()) and not self.recipe.has("keeper_dies"):
                self.check_live(connection)
        if self.recipe.has("answers") and self.truth.viewers:
            reader = self.stage.spawn()
            reader.do("read", reader.open(self.truth.connections[0].file(2), "direct"))

    def was_freed_early(self):
        """On a slow machine the daemon may come before it is seen to stand."""
        acted = any(action.wrote() for subject in self.subjects for action in self.world.audit.of(subject.seen))
        return acted and self.recipe.kind.fate == FREE

    def seen(self):
        return [subject.seen for subject in self.subjects] + self.inits


def run_trial(world, recipe, judge):
    """(faults as sentences, what was told of it). `judge` is asked while everything still stands."""
    for _ in range(20):
        trial = Trial(world, recipe)
        try:
            with ChaosStage(trial) as trial.stage:
                try:
                    trial.make()
                except AssertionError:
                    if not trial.was_freed_early():
                        raise
                    raise situations.NotThisTime from None
                faults = []
                try:
                    trial.play()
                except (AssertionError, OSError) as error:  # OSError: an actor that does not answer in time
                    faults.append(str(error) or type(error).__name__)
                return judge(trial, faults)
        except situations.NotThisTime:
            world.again += 1
        finally:
            world.watch.remove(trial.seen())
    return ["not made in 20 times"]
