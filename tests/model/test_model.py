"""Random sequences of everything that can happen to messages, on the real store with real locks, against the model."""

import atexit
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from prx_email_cli.delivery.attempt import finish
from prx_email_cli.errors import ClaimLost, NotAllowedForStatus, NotFound, PrxEmailError, RetryNotDue
from prx_email_cli.outbox.lifecycle import MOVES, Outcome, RecipientResult, RecipientStatus, RetryPolicy, Scope
from prx_email_cli.outbox.messages import Addressee, Claimed, ClaimNext, ClaimOne, Content, Moment, NewMessage, Schedule
from prx_email_cli.outbox.sqlite.runs import Lock, Runs
from prx_email_cli.outbox.sqlite.store import SqliteStore

from .model import ACCEPTED, ATTEMPTS, BASE, GIVE_UP_AFTER, PENDING, REFUSED, Message

DOMAIN, ACCOUNT = "prx-email.local", "work"
START = 1_000_000_000
ANY = st.integers(0, 10_000)  # chooses among whatever there is
STEPS = st.sampled_from((None, None, None, -100_000, -3600, -10, 10, 5000, GIVE_UP_AFTER))
KINDS = st.sampled_from(("said", "said", "said", "uncertain", "account"))
REPLIES = st.lists(st.sampled_from((ACCEPTED, PENDING, REFUSED)), min_size=3, max_size=3)
CODES = {ACCEPTED: 250, PENDING: 451, REFUSED: 550}
_ROWS = """
SELECT id, status, retries, next_attempt_at, run_id, message_id, uncertain, held_at IS NOT NULL, gave_up,
       told_at IS NOT NULL, pruned_at IS NOT NULL, drained_from,
       (SELECT group_concat(status || CASE WHEN uncertain THEN '?' ELSE '' END, ' ')
          FROM (SELECT * FROM recipient WHERE outbox_id = id ORDER BY number))
  FROM outbox ORDER BY id
"""


@cache
def _template() -> Path:
    """An empty outbox, made once: each example starts with a copy."""
    directory = tempfile.mkdtemp(prefix="model-")
    atexit.register(shutil.rmtree, directory)
    path = Path(directory) / "outbox.db"
    SqliteStore(path, message_id_domain=DOMAIN).close()
    return path


def _open(path: Path) -> SqliteStore:
    store = SqliteStore(path, message_id_domain=DOMAIN)
    store._connection.execute("PRAGMA synchronous = OFF")  # durability is proved elsewhere; here it would cost minutes
    return store


class _Hand:
    """A living run with what it has claimed, on a connection of its own."""

    def __init__(self, run: Lock, store: SqliteStore) -> None:
        self.run, self.store = run, store
        self.claims: list[Claimed] = []
        self.before: dict[int, dict[str, Any]] = {}  # of messages in hand, what giving them back restores

    @property
    def run_id(self) -> str:
        return self.run.run_id


class OutboxMachine(RuleBasedStateMachine):
    """Two processes, two runs at once, and a person."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="model-"))
        path = self.directory / "outbox.db"
        shutil.copy(_template(), path)
        path.chmod(0o600)
        self.stores = [_open(path), _open(path)]
        self.watcher = sqlite3.connect(path)
        self.runs = Runs(path)
        self.policy = RetryPolicy(BASE, GIVE_UP_AFTER, ATTEMPTS)
        self.now, self.last_id = START, 0
        self.drained, self.recorded = 0, -1  # the count of drained time, and the last moment that went into it
        self.messages: dict[int, Message] = {}
        self.hands: list[_Hand] = []
        self.dead: set[str] = set()
        self.stale: list[tuple[str, Claimed]] = []  # claims that are over, with the run that had them
        self.owner_of: dict[str, int] = {}  # Message-ID -> outbox id
        self.seen: dict[int, tuple[str, int]] = {}  # status and due time after the step before
        self.recovered: set[int] = set()
        self.resolved: set[int] = set()
        self.given_back: set[int] = set()

    def teardown(self) -> None:
        for hand in self.hands:
            hand.run.__exit__(None, None, None)
        self.watcher.close()
        for store in self.stores:
            store.close()
        shutil.rmtree(self.directory)

    def store(self, which: int) -> SqliteStore:
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
            self.hands.append(_Hand(self.runs.start(self.now), self.store(which)))
        return self.hands[which % len(self.hands)]

    @precondition(lambda self: any(not hand.claims for hand in self.hands))
    @rule()
    def run_ends(self) -> None:
        hand = next(hand for hand in self.hands if not hand.claims)
        self.hands.remove(hand)
        hand.run.__exit__(None, None, None)

    @precondition(lambda self: any(hand.claims for hand in self.hands))
    @rule(which=ANY)
    def run_dies(self, which: int) -> None:
        hand = self.hands.pop(which % len(self.hands))
        os.close(hand.run._descriptor)  # what the kernel does; its lock file stays
        self.dead.add(hand.run_id)
        self.stale += [(hand.run_id, claimed) for claimed in hand.claims]

    @rule(which=ANY)
    def recover(self, which: int) -> None:
        expected = [outbox_id for outbox_id, message in self.messages.items() if message.run in self.dead]
        recovered = self.store(which).claims.recover(self.runs.is_dead, self.policy, self.now)
        self.runs.clear_dead()
        assert sorted(recovered) == sorted(expected)
        for outbox_id in recovered:
            self.messages[outbox_id].recover(self.now, hold=self.policy.hold_uncertain)
        self.recovered = set(recovered)
        assert {file.name for file in self.runs.directory.glob("*-*-*")} == {hand.run_id for hand in self.hands}

    # --- send, claim

    @rule(which=ANY, recipients=st.integers(1, 3), later=st.sampled_from((0, 0, 0, 60, 7200)),
          life=st.sampled_from((None, None, 8000, 200_000)))  # fmt: skip
    def send(self, which: int, recipients: int, later: int, life: int | None) -> None:
        due, expires = self.now + later, None if life is None else self.now + life
        addresses = [Addressee(f"r{number}@example.org") for number in range(recipients)]
        content = f"Subject: m\r\n\r\n{self.last_id}\r\n".encode()
        schedule = Schedule(self.now, due, expires)
        new = NewMessage(ACCOUNT, "ops@example.com", addresses, "m", Content.of(content), schedule)
        (outbox_id,) = self.store(which).enqueue([new])
        assert outbox_id > self.last_id, "an id was used again"
        self.last_id = outbox_id
        self.messages[outbox_id] = Message(self.now, due, expires, dict.fromkeys(range(recipients), PENDING))

    def wish(self) -> ClaimNext:
        return ClaimNext(ACCOUNT, self.now, self.now)

    def check_next(self, hand: _Hand, claimed: Claimed | None) -> None:
        """Whether it is the longest-due one that a drain may take."""
        due = [(message.due, outbox_id) for outbox_id, message in self.messages.items() if message.for_drains(self.now)]
        assert (claimed and claimed.outbox_id) == (min(due)[1] if due else None)
        if claimed is not None:
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
        hand.before[claimed.outbox_id] = {
            "status": message.status, "message_id": message.message_id, "drained_from": message.drained_from,
            "run": None,
        }  # fmt: skip
        message.status, message.run, message.message_id = "sending", hand.run_id, claimed.message_id
        message.by_hand = by_hand
        if message.first_due <= self.now and message.drained_from is None:
            message.drained_from = self.drained
        hand.claims.append(claimed)

    @rule(which=ANY)
    def claim(self, which: int) -> None:
        hand = self.hand(which)
        self.check_next(hand, hand.store.claims.claim_next(hand.run_id, self.wish()))

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
            self.take(hand, hand.store.claims.claim(hand.run_id, wish), by_hand=True)

    @precondition(lambda self: any(hand.claims for hand in self.hands))
    @rule(which=ANY, many=st.booleans())
    def give_back(self, which: int, many: bool) -> None:
        """Nothing of a message was said: it is as before its claim, but for what a person decided meanwhile."""
        hand = next(hand for hand in self.hands if hand.claims)
        first = which % len(hand.claims)
        back = hand.claims[first:] if many else hand.claims[first : first + 1]
        hand.store.claims.give_back(hand.run_id, back)
        for claimed in back:
            hand.claims.remove(claimed)
            self.stale.append((hand.run_id, claimed))
            message = self.messages[claimed.outbox_id]
            for name, value in hand.before[claimed.outbox_id].items():
                setattr(message, name, value)
            if not message.uncertain:
                del self.owner_of[claimed.message_id]  # nobody has seen it
        self.given_back = {claimed.outbox_id for claimed in back}

    # --- finalize

    @rule(which=ANY, kind=KINDS, said=REPLIES, go_on=st.booleans())
    def attempt(self, which: int, kind: str, said: list[str], go_on: bool) -> None:
        """A drain takes what is due next and comes to an end with it."""
        self.claim(which)
        self.every_move_is_legal_and_due_times_only_move_later()
        self.finalize_one(which, kind, said, go_on)

    @precondition(lambda self: any(hand.claims for hand in self.hands))
    @rule(which=ANY, kind=KINDS, said=REPLIES, go_on=st.booleans())
    def finalize(self, which: int, kind: str, said: list[str], go_on: bool) -> None:
        self.finalize_one(which, kind, said, go_on)

    def finalize_one(self, which: int, kind: str, said: list[str], go_on: bool) -> None:
        busy = [hand for hand in self.hands if hand.claims]
        if not busy:
            return
        hand = busy[which % len(busy)]
        claimed = hand.claims.pop(which % len(hand.claims))
        results = {} if kind == "account" else {target.number: said[target.number] for target in claimed.targets}
        finished = finish(claimed, outcome(kind, results), self.policy, Moment(self.now))
        welcome = {number for number, status in results.items() if status == ACCEPTED}
        results = dict(results) if kind == "said" else results | dict.fromkeys(welcome & results.keys(), PENDING)
        following = hand.store.claims.finalize(hand.run_id, finished, self.wish() if go_on else None)
        self.stale.append((hand.run_id, claimed))
        self.messages[claimed.outbox_id].finalize(
            results, welcome if kind == "uncertain" else set(), self.now, claimed.drained_seconds + (
                self.messages[claimed.outbox_id].drained_from or 0
            ), account=kind == "account", hold=self.policy.hold_uncertain,
        )  # fmt: skip
        if go_on:
            self.check_next(hand, following)

    @rule(which=ANY, store=ANY)
    def finalize_what_is_not_ours(self, which: int, store: int) -> None:
        """Neither another run nor a claim that is over can change a thing, even if the same run has it again."""
        for hand, other in ((hand, other) for hand in self.hands for other in self.hands if other is not hand):
            for claimed in hand.claims:
                self.finalize_in_vain(other.store, other.run_id, claimed)
        for run_id, claimed in self.stale:
            message = self.messages.get(claimed.outbox_id)
            if message is None or message.run != run_id or message.retries != claimed.retries:
                self.finalize_in_vain(self.store(store), run_id, claimed)

    def finalize_in_vain(self, store: SqliteStore, run_id: str, claimed: Claimed) -> None:
        store.claims.give_back(run_id, [claimed])
        results = {target.number: ACCEPTED for target in claimed.targets}
        with pytest.raises(ClaimLost):
            store.claims.finalize(
                run_id, finish(claimed, outcome("said", results), self.policy, Moment(self.now)), self.wish()
            )

    # --- a person

    @rule(what=st.sampled_from(("hold", "release", "cancel", "resolve")), which=ANY, chosen=ANY, sent=st.booleans())
    def person(self, what: str, which: int, chosen: int, sent: bool) -> None:
        store, now = self.store(which), self.now
        if what == "hold":
            self.by_person(chosen, Message.idle, lambda it: store.hold(it, now), held=True)
        elif what == "release":
            self.by_person(chosen, lambda message: message.held, store.release, held=False)
        elif what == "cancel":
            self.by_person(chosen, Message.idle, lambda it: store.cancel(it, now), gave_up="cancelled", told=True)
        else:
            self.resolve(store, chosen, sent)

    def resolve(self, store: SqliteStore, chosen: int, sent: bool) -> None:
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
        assert self.watcher.execute("SELECT drained_seconds FROM ledger").fetchone() == (self.drained,)

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
        over = [
            outbox_id
            for outbox_id, it in self.messages.items()
            if (it.sent_at is not None and it.sent_at <= before)
            or (it.idle() and it.gave_up is not None and max(it.created, it.due) <= before)
            if records or not it.pruned
        ]
        assert self.store(which).prune(before, self.now, records=records) == len(over)
        for outbox_id in over:
            self.messages[outbox_id].pruned = True
            if records:
                del self.messages[outbox_id]
        if records:
            self.send(which, 1, 0, None)  # its id is new even if the newest record has gone

    # --- what is always true

    @invariant()
    def the_outbox_is_what_the_model_says(self) -> None:
        found = self.watcher.execute(_ROWS).fetchall()
        assert found == [
            (outbox_id, it.status, it.retries, it.due, it.run, it.message_id, it.uncertain, it.held, it.gave_up,
             it.told, it.pruned, it.drained_from,
             " ".join(it.recipients[n] + "?" * (n in it.doubtful) for n in it.recipients))
            for outbox_id, it in self.messages.items()
        ]  # fmt: skip

    @invariant()
    def every_move_is_legal_and_due_times_only_move_later(self) -> None:
        for outbox_id, status, _, due, *_ in self.watcher.execute(_ROWS):
            was, due_before = self.seen.get(outbox_id, ("pending", due))
            legal = was == status or (was, status) in MOVES or (was, status) == ("failed", "sent")
            legal |= (was, status) == ("sending", "pending") and outbox_id in self.given_back
            assert legal, f"{outbox_id}: {was} -> {status}"
            assert (was, status) != ("failed", "sent") or outbox_id in self.resolved
            assert due >= due_before or outbox_id in self.recovered, f"{outbox_id}: due {due_before} -> {due}"
            self.seen[outbox_id] = status, due
        self.recovered, self.resolved, self.given_back = set(), set(), set()
        self.stores[0].refuse_restored()  # which nothing that was not restored ever looks like


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


OutboxMachine.TestCase.settings = settings(
    max_examples=int(os.environ.get("MODEL_EXAMPLES", "100")), stateful_step_count=60, deadline=None,
    report_multiple_bugs=False, suppress_health_check=list(HealthCheck),
)  # fmt: skip
TestOutboxAgainstTheModel = OutboxMachine.TestCase
