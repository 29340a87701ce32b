"""Random sequences of everything that can happen to messages, on real stores with real locks, against the model."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from prx_email_cli.errors import ClaimLost, NotAllowedForStatus, NotFound, PrxEmailError, RetryNotDue
from prx_email_cli.outbox.finish import finish
from prx_email_cli.outbox.lifecycle import (
    MOVES,
    Outcome,
    Priority,
    RecipientResult,
    RecipientStatus,
    RetryPolicy,
    Scope,
)
from prx_email_cli.outbox.messages import Addressee, Claimed, ClaimNext, ClaimOne, Content, Moment, NewMessage, Schedule
from prx_email_cli.outbox.postgres.store import PATIENCE, PostgresStore
from prx_email_cli.outbox.runs import Runs
from prx_email_cli.outbox.sqlite.store import SqliteStore
from prx_email_cli.outbox.views import Drop, Pruning

from ..support.postgres import MISSING, programs
from .databases import DOMAIN, Database, Files, OneMachine, TwoMachines
from .model import ACCEPTED, ATTEMPTS, BASE, GIVE_UP_AFTER, PENDING, REFUSED, Claim, Ending, Message

ACCOUNT = "work"
START = 1_000_000_000
ANY = st.integers(0, 10_000)  # chooses among whatever there is
STEPS = st.sampled_from((None, None, None, -100_000, -3600, -10, 10, 5000, GIVE_UP_AFTER))
KINDS = st.sampled_from(("said", "said", "said", "uncertain", "account"))
REPLIES = st.lists(st.sampled_from((ACCEPTED, PENDING, REFUSED)), min_size=3, max_size=3)
CODES = {ACCEPTED: 250, PENDING: 451, REFUSED: 550}


class _Hand:
    """A run with what it has claimed, on a connection of its own."""

    def __init__(self, store: SqliteStore | PostgresStore, runs: Runs, now: int) -> None:
        self.run, self.runs = store.start_run(now), runs
        self.run_id = self.run.run_id
        self.claims: list[Claimed] = []
        self.seen_dead_at: int | None = None  # when another machine first saw that it had died


class OutboxMachine(RuleBasedStateMachine):
    """Two processes, two runs at once, and a person."""

    kind: type[Database] = Files

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="model-"))
        self.database = self.kind(self.directory)
        self.stores, self.runs = self.database.stores, self.database.runs
        self.policy = RetryPolicy(BASE, GIVE_UP_AFTER, ATTEMPTS)
        self.now, self.last_id = START, 0
        self.drained, self.recorded = 0, -1  # the count of drained time, and the last moment that went into it
        self.messages: dict[int, Message] = {}
        self.hands: list[_Hand] = []
        self.dead: dict[str, _Hand] = {}
        self.stale: list[tuple[_Hand, Claimed]] = []  # claims that are over, or whose run is, with that run
        self.numbers: set[tuple[str, int]] = set()  # of claims, with their runs
        self.owner_of: dict[str, int] = {}  # Message-ID -> outbox id
        self.seen: dict[int, tuple[str, int]] = {}  # status and due time after the step before
        self.recovered: set[int] = set()
        self.due_again: set[int] = set()
        self.account_failed_at: int | None = None
        self.resolved: set[int] = set()
        self.given_back: set[int] = set()

    def teardown(self) -> None:
        for hand in self.hands:
            hand.run.__exit__(None, None, None)
        self.database.close()
        shutil.rmtree(self.directory)

    def store(self, which: int) -> SqliteStore | PostgresStore:
        return self.stores[which % 2]

    def pick(self, which: int, allowed: Callable[[Message], bool]) -> int:
        """An id: mostly of a message that fits, sometimes of any, or of none."""
        fit = [outbox_id for outbox_id, message in self.messages.items() if allowed(message)]
        ids = fit if fit and which % 4 else [*self.messages, self.last_id + 7]
        return ids[which // 4 % len(ids)]

    # --- time, runs

    @initialize(hold=st.booleans(), recipients=st.lists(st.integers(1, 3), min_size=2, max_size=4))
    def begin(self, hold: bool, recipients: list[int]) -> None:
        self.policy = self.policy._replace(hold_uncertain=hold)
        for number, count in enumerate(recipients):
            self.send(number, count, 0, None)

    @rule(seconds=STEPS)
    def clock_moves(self, seconds: int | None) -> None:
        """By *seconds*; without, to when the next message is due."""
        later = [message.due for message in self.messages.values() if message.idle() and message.due > self.now]
        if seconds is not None:
            self.now = max(1, self.now + seconds)
        elif later:
            self.now = min(later)

    def hand(self, which: int) -> _Hand:
        """A living run, one of two."""
        if len(self.hands) <= which % 2:
            self.hands.append(_Hand(self.store(which), self.runs[which % 2], self.now))
        return self.hands[which % len(self.hands)]

    @precondition(lambda self: self.hands)
    @rule(which=ANY, killed=st.booleans())
    def run_ends(self, which: int, killed: bool) -> None:
        """In good order, or killed; what it has in hand is recovered in the same way."""
        hand = self.hands.pop(which % len(self.hands))
        if killed:
            self.database.kill(hand.run)
        else:
            hand.run.__exit__(None, None, None)
            assert self.record_of(hand).exists() == bool(hand.claims)
        self.dead[hand.run_id] = hand
        self.stale += [(hand, claimed) for claimed in hand.claims]

    def record_of(self, hand: _Hand) -> Path:
        return hand.runs.directory / f"{hand.run_id}.flight"

    @precondition(lambda self: any(hand.claims for hand in self.dead.values()))
    @rule(which=ANY)
    def power_fails(self, which: int) -> None:
        """The record of a dead run is worth nothing any more."""
        busy = [hand for hand in self.dead.values() if hand.claims]
        hand = busy[which % len(busy)]
        self.record_of(hand).write_bytes(b"")
        self.forget_flight(hand)

    def claim_of(self, claimed: Claimed) -> Claim:
        claim = self.messages[claimed.outbox_id].claim
        assert claim is not None
        assert claim.number == claimed.claim
        return claim

    @rule(which=ANY)
    def recover(self, which: int) -> None:
        mine = self.hand(which)
        recovered = mine.run.recover(self.policy, self.now)
        given_back, finished, uncertain = [], [], []
        waiting = {run_id: hand for run_id, hand in self.dead.items() if self.is_for_its_machine(hand, mine)}
        dead = [(hand.run_id, claimed.outbox_id, claimed) for hand in self.dead.values() for claimed in hand.claims
                if hand.run_id not in waiting]  # fmt: skip
        for _, _, claimed in sorted(dead, key=lambda one: one[:2]):
            message, claim = self.messages[claimed.outbox_id], self.claim_of(claimed)
            if claim.answered is not None:
                self.end(message, claim, claim.answered, self.drained)
                finished.append(claimed.outbox_id)
            elif claim.unanswered is not None:
                ending = claim.unanswered
                message.begin(claim, self.drained)
                message.recover(
                    {n: it for n, it in ending.results.items() if ending.doubtful and n not in ending.doubtful},
                    ending.doubtful or claim.addressed, self.now,
                    hold=self.policy.hold_uncertain,
                )  # fmt: skip
                uncertain.append(claimed.outbox_id)
            else:
                self.untouched(claimed)
                given_back.append(claimed.outbox_id)
        assert sorted(recovered.given_back) == sorted(given_back)
        assert sorted(one.claimed.outbox_id for one in recovered.finished) == sorted(finished)
        assert sorted(recovered.uncertain) == sorted(uncertain)
        self.recovered, self.given_back = set(uncertain), set(given_back)
        self.dead = waiting
        names = {file.name.removesuffix(".flight") for file in mine.runs.directory.glob("*-*-*")}
        ours = {hand.run_id for hand in self.hands if hand.runs is mine.runs}
        assert names == ours if self.database.runs_are_files else names <= ours

    def is_for_its_machine(self, dead: _Hand, mine: _Hand) -> bool:
        """Whether what it has in hand waits for the machine of a dead run; what that knows is lost after a while."""
        if not dead.claims or dead.runs is mine.runs:
            return False
        if dead.seen_dead_at is None:
            dead.seen_dead_at = self.now
        if 0 <= self.now - dead.seen_dead_at < PATIENCE.others_wait_seconds:
            return True
        self.forget_flight(dead)
        return False

    def forget_flight(self, dead: _Hand) -> None:
        """Nobody knows any more how far it came."""
        for claimed in dead.claims:
            claim = self.claim_of(claimed)
            claim.unanswered, claim.answered = Ending({}, claim.addressed, 0), None

    def untouched(self, claimed: Claimed) -> None:
        """A claim is undone: its message is as before, but for what a person decided meanwhile."""
        message = self.messages[claimed.outbox_id]
        message.give_back()
        if not message.uncertain:
            del self.owner_of[claimed.message_id]  # nobody has seen it

    def end(self, message: Message, claim: Claim, ending: Ending, drained: int) -> None:
        message.begin(claim, drained)
        message.finalize(
            ending.results, ending.doubtful, ending.at, drained, account=ending.account, hold=self.policy.hold_uncertain
        )
        failed_at = self.account_failed_at
        if ending.account:
            self.account_failed_at = ending.at
        elif ending.accepted and failed_at is not None and claim.at > failed_at:
            self.account_failed_at = None
            self.due_again |= {outbox_id for outbox_id, it in self.messages.items() if it.account_works()}

    # --- send, claim

    @rule(which=ANY, recipients=st.integers(1, 3), later=st.sampled_from((0, 0, 0, 60, 7200)),
          life=st.sampled_from((None, None, 8000, 200_000)), priority=st.sampled_from(Priority))  # fmt: skip
    def send(
        self, which: int, recipients: int, later: int, life: int | None, priority: Priority = Priority.NORMAL
    ) -> None:
        due, expires = self.now + later, None if life is None else self.now + life
        addresses = [Addressee(f"r{number}@example.org") for number in range(recipients)]
        content = f"Subject: m\r\n\r\n{self.last_id}\r\n".encode()
        schedule = Schedule(self.now, due, expires)
        new = NewMessage(ACCOUNT, "ops@example.com", addresses, "m", Content.of(content), schedule, priority=priority)
        (outbox_id,) = self.store(which).enqueue([new])
        assert outbox_id > self.last_id, "an id was used again"
        self.last_id = outbox_id
        recipient_statuses = dict.fromkeys(range(recipients), PENDING)
        self.messages[outbox_id] = Message(self.now, due, expires, recipient_statuses, priority=priority)

    def wish(self, most: int) -> ClaimNext:
        return ClaimNext(ACCOUNT, self.now, self.now, most=most)

    def check_next(self, hand: _Hand, claims: list[Claimed], most: int) -> None:
        """Whether they are those that a drain takes next: by class, then the longest due."""
        classes = ("high", "normal", "bulk")
        due = [(classes.index(message.priority), message.due, outbox_id)
               for outbox_id, message in self.messages.items() if message.for_drains(self.now)]  # fmt: skip
        assert [claimed.outbox_id for claimed in claims] == [outbox_id for *_, outbox_id in sorted(due)[:most]]
        for claimed in claims:
            self.take(hand, claimed)

    def take(self, hand: _Hand, claimed: Claimed, *, by_hand: bool = False) -> None:
        """Note a claim, and check whom it addresses and under which Message-ID."""
        message = self.messages[claimed.outbox_id]
        assert message.idle()
        wanted = (PENDING, REFUSED) if by_hand else (PENDING,)
        addressed = [number for number, status in message.recipients.items() if status in wanted]
        assert [target.number for target in claimed.targets] == addressed
        assert claimed.head, "its content is gone"
        if message.uncertain:
            assert claimed.message_id == message.message_id
        else:
            assert claimed.message_id == f"<outbox-{claimed.outbox_id}-{message.retries}@{DOMAIN}>"
            assert claimed.message_id not in self.owner_of
        assert self.owner_of.setdefault(claimed.message_id, claimed.outbox_id) == claimed.outbox_id
        assert (hand.run_id, claimed.claim) not in self.numbers, "a claim has the number of another"
        self.numbers.add((hand.run_id, claimed.claim))
        message.status, message.run = "sending", hand.run_id
        message.claim = Claim(claimed.claim, claimed.message_id, set(addressed), self.now, self.drained)
        hand.claims.append(claimed)

    @rule(which=ANY, most=st.integers(1, 3))
    def claim(self, which: int, most: int) -> None:
        hand = self.hand(which)
        (claims,) = hand.run.advance([], [self.wish(most)]).claims
        self.check_next(hand, claims, most)

    @rule(which=ANY, chosen=ANY, force=st.booleans())
    def retry_by_hand(self, which: int, chosen: int, force: bool) -> None:
        hand, outbox_id = self.hand(which), self.pick(chosen, Message.idle)
        message = self.messages.get(outbox_id)
        error: type[PrxEmailError] | None = None
        if message is None:
            error = NotFound
        elif not message.idle() or message.pruned or (message.held and not force):
            error = NotAllowedForStatus
        elif message.due > self.now and not force:
            error = RetryNotDue
        with expecting(error):
            wish = ClaimOne(outbox_id, self.now, force)
            self.take(hand, hand.run.claim_by_id(wish), by_hand=True)

    @precondition(lambda self: any(hand.claims for hand in self.hands))
    @rule(which=ANY, many=st.booleans())
    def give_back(self, which: int, many: bool) -> None:
        """Nothing of a message was said: it is as before its claim, but for what a person decided meanwhile."""
        hand = next(hand for hand in self.hands if hand.claims)
        first = which % len(hand.claims)
        back = hand.claims[first:] if many else hand.claims[first : first + 1]
        hand.run.advance([], [], back)
        for claimed in back:
            hand.claims.remove(claimed)
            self.stale.append((hand, claimed))
            self.untouched(claimed)
        self.given_back = {claimed.outbox_id for claimed in back}

    # --- the flight record

    @precondition(lambda self: any(hand.claims for hand in self.hands))
    @rule(which=ANY, said=REPLIES)
    def about_to_end(self, which: int, said: list[str]) -> None:
        """The whole content may leave now, after these answers to RCPT."""
        hand, claimed = self.in_hand(which)
        results, doubtful, noted = came_to("uncertain", claimed, said)
        hand.run.about_to_end(claimed, noted.recipients)
        claim = self.claim_of(claimed)
        claim.unanswered, claim.answered = Ending(results, doubtful, 0), None

    @precondition(lambda self: any(hand.claims for hand in self.hands))
    @rule(which=ANY, kind=KINDS, said=REPLIES)
    def answered(self, which: int, kind: str, said: list[str]) -> None:
        hand, claimed = self.in_hand(which)
        results, doubtful, noted = came_to(kind, claimed, said)
        hand.run.answered(claimed, noted, self.now)
        accepted = noted.acceptance is not None
        self.claim_of(claimed).answered = Ending(results, doubtful, self.now, kind == "account", accepted)

    def in_hand(self, which: int) -> tuple[_Hand, Claimed]:
        """A claim of a living run."""
        claims = [(hand, claimed) for hand in self.hands for claimed in hand.claims]
        return claims[which % len(claims)]

    # --- finalize

    @rule(which=ANY, kind=KINDS, said=REPLIES, go_on=st.booleans())
    def attempt(self, which: int, kind: str, said: list[str], go_on: bool) -> None:
        """A drain takes what is due next and comes to an end with it."""
        self.claim(which, 1)
        self.every_move_is_legal_and_due_times_only_move_later()
        self.finalize_one(which, kind, said, go_on)

    @precondition(lambda self: any(hand.claims for hand in self.hands))
    @rule(which=ANY, kind=KINDS, said=REPLIES, go_on=st.booleans())
    def finalize(self, which: int, kind: str, said: list[str], go_on: bool) -> None:
        self.finalize_one(which, kind, said, go_on)

    def finalize_one(self, which: int, kind: str, said: list[str], go_on: bool) -> None:
        if not any(hand.claims for hand in self.hands):
            return
        hand, claimed = self.in_hand(which)
        hand.claims.remove(claimed)
        results, doubtful, noted = came_to(kind, claimed, said)
        finished = finish(claimed, noted, self.policy, Moment(self.now))
        most = 1 + which % 3
        (lost,), claims = hand.run.advance([finished], [self.wish(most)] * go_on)
        assert lost is None
        self.stale.append((hand, claimed))
        claim = self.claim_of(claimed)
        ending = Ending(results, doubtful, self.now, kind == "account", noted.acceptance is not None)
        self.end(self.messages[claimed.outbox_id], claim, ending, claim.drained)
        for following in claims:
            self.check_next(hand, following, most)

    @rule()
    def finalize_what_is_not_ours(self) -> None:
        """Neither another run nor a claim that is over can change a thing, even if the same run has it again."""
        for hand, other in ((hand, other) for hand in self.hands for other in self.hands if other is not hand):
            for claimed in hand.claims:
                self.finalize_in_vain(other, claimed)
        for hand, claimed in self.stale:
            message = self.messages.get(claimed.outbox_id)
            claim = message.claim if message is not None and message.run == hand.run_id else None
            if claim is None or claim.number != claimed.claim:
                self.finalize_in_vain(hand, claimed)

    def finalize_in_vain(self, hand: _Hand, claimed: Claimed) -> None:
        _, _, accepted = came_to("said", claimed, [ACCEPTED] * 3)
        finished = finish(claimed, accepted, self.policy, Moment(self.now))
        (lost,), _ = hand.run.advance([finished], [], [claimed])
        assert isinstance(lost, ClaimLost)

    # --- a person

    @rule(what=st.sampled_from(("hold", "release", "cancel", "resolve")), which=ANY, chosen=ANY, sent=st.booleans())
    def person(self, what: str, which: int, chosen: int, sent: bool) -> None:
        store, now = self.store(which), self.now
        if what == "hold":
            self.by_person(chosen, Message.idle, lambda it: store.hold(it, now), held=True)
        elif what == "release":
            self.by_person(chosen, lambda message: message.held, lambda it: store.release(it, now), held=False)
        elif what == "cancel":
            self.by_person(chosen, Message.idle, lambda it: store.cancel(it, now), gave_up="cancelled", told=True)
        else:
            self.resolve(store, chosen, sent)

    def resolve(self, store: SqliteStore | PostgresStore, chosen: int, sent: bool) -> None:
        done = self.by_person(
            chosen, lambda message: message.status == "failed" and message.uncertain,
            lambda it: store.resolve(it, self.now, sent=sent),
        )  # fmt: skip
        if done is not None:
            self.messages[done].resolve(self.now, sent=sent)
            self.resolved = {done}

    def by_person(
        self, chosen: int, allowed: Callable[[Message], bool], act: Callable[[int], None], **change: Any
    ) -> int | None:
        """Do what a person asks, if it is allowed, and note the change; the message's id if it was."""
        outbox_id = self.pick(chosen, allowed)
        message = self.messages.get(outbox_id)
        if message is None or not allowed(message):
            with expecting(NotFound if message is None else NotAllowedForStatus):
                act(outbox_id)
            return None
        act(outbox_id)
        for name, value in change.items():
            setattr(message, name, value)
        return outbox_id

    @rule(which=ANY)
    def drain_begins(self, which: int) -> None:
        """The time since the drain before counts, a day of it at the most, while something waits."""
        waits = any(it.idle() and not it.held and it.gave_up is None for it in self.messages.values())
        self.store(which).claims.begin_drain(self.now)
        if waits and not self.recorded <= self.now <= self.recorded + 60:
            self.drained += max(0, min(self.now - self.recorded, 25 * 3600)) if self.recorded >= 0 else 0
            self.recorded = self.now
        assert self.database.drained() == self.drained

    @rule(which=ANY)
    def expire(self, which: int) -> None:
        expected = [
            outbox_id
            for outbox_id, it in self.messages.items()
            if it.idle() and not it.held and it.gave_up is None and it.expires is not None and it.expires <= self.now
        ]
        assert sorted(self.store(which).claims.expire(self.now)) == expected
        for outbox_id in expected:
            self.messages[outbox_id].gave_up = "expired"

    @rule(which=ANY)
    def tell(self, which: int) -> None:
        expected = [outbox_id for outbox_id, it in self.messages.items() if it.gave_up is not None and not it.told]
        assert self.store(which).take_unreported(self.now) == expected
        for outbox_id in expected:
            self.messages[outbox_id].told = True

    @rule(which=ANY, age=st.sampled_from((0, 3600, 200_000)), records=st.booleans())
    def prune(self, which: int, age: int, records: bool) -> None:
        before = self.now - age
        pruning = Pruning(before, self.now, Drop.RECORD if records else Drop.CONTENT)
        over = [
            outbox_id
            for outbox_id, it in self.messages.items()
            if (it.sent_at is not None and it.sent_at <= before)
            or (it.idle() and it.gave_up is not None and max(it.created, it.due) <= before)
            if records or not it.pruned
        ]
        assert self.store(which).prune(pruning).messages == len(over)
        for outbox_id in over:
            self.messages[outbox_id].pruned = True
            if records:
                del self.messages[outbox_id]
        if records:
            self.send(which, 1, 0, None)  # its id is new even if the newest record has gone

    # --- what is always true

    @invariant()
    def a_slot_belongs_to_its_claim_until_the_end_of_that_is_recorded(self) -> None:
        for hand in self.hands:
            assert hand.run.in_flight._taken == {one.claim: one.outbox_id for one in hand.claims}

    @invariant()
    def the_outbox_is_what_the_model_says(self) -> None:
        assert self.database.rows() == [
            (outbox_id, it.status, it.retries, it.due, it.run, it.message_id, it.uncertain, it.held, it.gave_up,
             it.told, it.pruned, it.drained_from,
             " ".join(it.recipients[n] + "?" * (n in it.doubtful) for n in it.recipients))
            for outbox_id, it in self.messages.items()
        ]  # fmt: skip

    @invariant()
    def the_kept_count_is_that_of_the_rows(self) -> None:
        assert self.database.many() == len(self.messages)

    @invariant()
    def every_move_is_legal_and_due_times_only_move_later(self) -> None:
        for outbox_id, status, _, due, *_ in self.database.rows():
            was, due_before = self.seen.get(outbox_id, ("pending", due))
            legal = was == status or (was, status) in MOVES or (was, status) == ("failed", "sent")
            legal |= (was, status) == ("sending", "pending") and outbox_id in self.given_back
            assert legal, f"{outbox_id}: {was} -> {status}"
            assert (was, status) != ("failed", "sent") or outbox_id in self.resolved
            earlier = outbox_id in self.recovered | self.due_again
            assert due >= due_before or earlier, f"{outbox_id}: due {due_before} -> {due}"
            self.seen[outbox_id] = status, due
        self.recovered, self.resolved, self.given_back, self.due_again = set(), set(), set(), set()
        self.stores[0].refuse_restored()  # which nothing that was not restored ever looks like


def came_to(kind: str, claimed: Claimed, said: list[str]) -> tuple[dict[int, str], set[int], Outcome]:
    """Results and doubtful recipients as the model has them, and the outcome that says so."""
    results = {} if kind == "account" else {target.number: said[target.number] for target in claimed.targets}
    welcome = {number for number, status in results.items() if status == ACCEPTED}
    if kind != "uncertain":
        return results, set(), outcome(kind, results)
    return results | dict.fromkeys(welcome, PENDING), welcome, outcome(kind, results)


def outcome(kind: str, results: dict[int, str]) -> Outcome:
    """What a provider's behaviour comes to."""
    recipients = {
        number: RecipientResult(RecipientStatus(status), CODES[status], status) for number, status in results.items()
    }
    if kind == "uncertain":
        doubtful = RecipientResult(RecipientStatus.PENDING, uncertain=True)
        recipients |= {number: doubtful for number, status in results.items() if status == ACCEPTED}
    went_well = kind == "said" and set(results.values()) == {ACCEPTED}
    return Outcome(
        recipients, error=None if went_well else "provider", detail=None if went_well else kind,
        scope=Scope.ACCOUNT if kind == "account" else Scope.MESSAGE,
        acceptance="ok" if kind == "said" and ACCEPTED in results.values() else None,
    )  # fmt: skip


@contextmanager
def expecting(error: type[PrxEmailError] | None) -> Iterator[None]:
    """Nothing is raised, or exactly this."""
    if error is None:
        yield
        return
    with pytest.raises(error):
        yield


class OnOneMachine(OutboxMachine):
    """Both processes are on one machine, and the outbox is a server's."""

    kind = OneMachine


class OnTwoMachines(OutboxMachine):
    """Each process is on a machine of its own, and the outbox is a server's."""

    kind = TwoMachines


EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "100"))


ON_FILES = settings(
    max_examples=EXAMPLES, stateful_step_count=60, deadline=None, report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
ON_A_SERVER = settings(  # which takes too long to make an example smaller
    ON_FILES, max_examples=EXAMPLES // 8, phases=(Phase.explicit, Phase.reuse, Phase.generate)
)
OutboxMachine.TestCase.settings = ON_FILES
OnOneMachine.TestCase.settings = OnTwoMachines.TestCase.settings = ON_A_SERVER
TestOutboxAgainstTheModel = OutboxMachine.TestCase
needs_server = pytest.mark.skipif(programs() is None, reason=MISSING)
TestOneMachineAgainstTheModel = needs_server(OnOneMachine.TestCase)
TestTwoMachinesAgainstTheModel = needs_server(OnTwoMachines.TestCase)
