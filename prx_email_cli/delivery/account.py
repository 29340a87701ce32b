"""One account's part of a drain: its connections, and the probe when it cannot be used at all."""

import threading
import time
from itertools import chain

from prx_email_cli.config.settings import Account
from prx_email_cli.delivery.attempt import (
    envelope_of,
    finish,
    limits_of,
    outcome_of,
    outcome_without_session,
    simulated,
)
from prx_email_cli.delivery.run import Drain
from prx_email_cli.delivery.verify import damage_of, damaged_outcome, verified
from prx_email_cli.errors import ClaimLost, OutboxDamaged, PrxEmailError
from prx_email_cli.outbox.lifecycle import Outcome, Scope
from prx_email_cli.outbox.messages import Claimed, ClaimNext, Limit
from prx_email_cli.outbox.store import Store
from prx_email_cli.redaction import redact
from prx_email_cli.smtp.credentials import login_of
from prx_email_cli.smtp.failure import SessionFailed
from prx_email_cli.smtp.replies import Category
from prx_email_cli.smtp.session import Session, SessionFactory
from prx_email_cli.smtp.transaction import Transaction


class _Claims:
    """How a drain's worker takes messages of one account and gives them back."""

    def __init__(self, drain: Drain, account: str, limits: tuple[Limit, ...] = ()) -> None:
        self._drain = drain
        self._account = account
        self._limits = limits
        self.rests = threading.Event()  # set aside for the rest of this run

    def next(self) -> Claimed | None:
        """The next message, None when there is none, the limit is used up, or the drain is to stop."""
        if self.rests.is_set() or not self._drain.take_slot():
            return None
        return self._counted(self._drain.store.claim_next(self._drain.run_id, self._wish()))

    def settle(
        self, claimed: Claimed, outcome: Outcome, *, go_on: bool, milliseconds: int = 0, connection: int = 0
    ) -> Claimed | None:
        """Record *outcome*; with *go_on*, claim the next message in the same transaction.

        milliseconds, connection: as ``Finished`` has them.
        """
        drain = self._drain
        finished = finish(
            claimed, outcome, drain.policy, drain.clock(), clock_in_doubt=drain.clock_in_doubt,
            milliseconds=milliseconds, connection=connection,
        )  # fmt: skip
        if outcome.scope is Scope.ACCOUNT:
            self.rests.set()
        go_on = go_on and not self.rests.is_set() and drain.take_slot()
        try:
            following = drain.store.finalize(drain.run_id, finished, self._wish() if go_on else None)
        except ClaimLost as lost:
            drain.warn(f"{lost.message} ({lost.hint})")
            if go_on:
                drain.give_slot_back()
            return None
        drain.record(finished)
        return self._counted(following) if go_on else None

    def over(self) -> bool:
        """Whether there is nothing more to claim in this run."""
        drain = self._drain
        return drain.stop.is_set() or self.rests.is_set() or not drain.store.claimable(self._wish())

    def _wish(self) -> ClaimNext:
        return ClaimNext(self._account, self._drain.due_before, self._drain.clock(), self._limits)

    def _counted(self, claimed: Claimed | None) -> Claimed | None:
        if claimed is None:
            self._drain.give_slot_back()
        return claimed


class Rehearsal:
    """A drain that fails every message on purpose, without touching the network."""

    def __init__(self, drain: Drain, account: str) -> None:
        self._claims = _Claims(drain, account)
        self._mode = drain.options.failure_mode or ""

    def deliver(self) -> None:
        """Claim and fail one message after the other."""
        claimed = self._claims.next()
        while claimed is not None:
            claimed = self._claims.settle(claimed, simulated(self._mode, claimed), go_on=True)


class AccountDrain:
    """The connections of one account in one drain."""

    def __init__(self, drain: Drain, account: Account) -> None:
        self._drain = drain
        self._account = account
        self._claims = _Claims(drain, account.name, limits_of(account))
        self._sessions = SessionFactory(account, login_of(account))
        self._lock = threading.Lock()
        self._open_sessions = self._opened = 0

    def deliver(self) -> None:
        """Deliver what is due: the first connection shows whether the account works at all, then the others open."""
        wanted = self._drain.options.connections or self._account.connections
        wanted = min(wanted, self._drain.store.count_due(self._account.name, self._drain.due_before, wanted))
        session = self._open() if wanted else None
        if session is None:
            return
        others = [threading.Thread(target=self._drain.guarded, args=(self._help,)) for _ in range(wanted - 1)]
        for thread in others:
            thread.start()
        try:
            self._work(session)
        finally:
            for thread in others:
                thread.join()

    def _help(self) -> None:
        session = self._open()
        if session is not None:
            self._work(session)

    def _work(self, session: Session | None) -> None:
        """Claim and deliver until nothing is left; a connection that died or is worn out is replaced."""
        kept: Claimed | None = None
        while session is not None:
            try:
                kept = self._serve(session, kept)
                renew = kept is not None or not session.usable()
            finally:
                session.close()
                with self._lock:
                    self._open_sessions -= 1
            if session.served and session.afterthought is not None:
                self._drain.warn(f"account {self._account.name}, after message {session.last}: {session.afterthought}")
            session = self._open(kept) if renew else None

    def _serve(self, session: Session, kept: Claimed | None) -> Claimed | None:
        """Claim and deliver over this connection, until nothing is left or it can be used no more.

        kept: a message that another connection was to carry and did not begin; it is not handed on twice.  Comes back
        with one that this connection did not begin.
        """
        claimed = kept or self._claims.next()
        while claimed is not None:
            started = time.monotonic()
            deliver = deliver_one if claimed is kept else deliver_or_leave
            outcome = deliver(session, claimed, self._drain.store)
            if outcome is None:
                return claimed
            took = round((time.monotonic() - started) * 1000)
            claimed = self._claims.settle(
                claimed, outcome, go_on=session.usable(), milliseconds=took, connection=session.number
            )
        return None

    def _open(self, kept: Claimed | None = None) -> Session | None:
        """A session, None when there is no use for one or none to be had; the latter is probed and told once.

        kept: a claimed message that waits for it.
        """
        if kept is None and self._claims.over():
            return None
        try:
            session = self._sessions.open()
        except SessionFailed as failure:
            with self._lock:
                if kept is not None:
                    self._claims.settle(kept, outcome_without_session(failure), go_on=False)
                elif not self._open_sessions:  # else the others go on with the connections they have
                    self._probe(failure)
            return None
        with self._lock:
            self._open_sessions += 1
            self._opened += 1
            session.number = self._opened
        return session

    def _probe(self, failure: SessionFailed) -> None:
        """The message at the head of the queue bears the account's failure; every other one stays untouched."""
        claimed = self._claims.next()
        if claimed is not None:
            self._claims.settle(claimed, outcome_without_session(failure), go_on=False)


def deliver_one(session: Session, claimed: Claimed, store: Store) -> Outcome:
    """The outcome of handing *claimed* over.  Not even an error of this program's own leaves a message unsettled."""
    return _handed_over(session, claimed, store)[0]


def deliver_or_leave(session: Session, claimed: Claimed, store: Store) -> Outcome | None:
    """As ``deliver_one``; None when the connection turns out to have ended before a word was said of the message.

    That was no attempt: another connection may take it.
    """
    outcome, left_alone = _handed_over(session, claimed, store)
    return None if left_alone else outcome


def _handed_over(session: Session, claimed: Claimed, store: Store) -> tuple[Outcome, bool]:
    """The outcome, and whether nothing was said of the message, the connection having ended before."""
    damage = damage_of(claimed)
    if damage is not None:
        return damage, False
    head = claimed.head or b""
    whole = len(head) == claimed.size_bytes
    rest = () if whole else verified(claimed, store.rest_of_content(claimed.outbox_id))
    transaction = Transaction(envelope_of(claimed, chain((head,), rest)), session.facts, session.patience)
    left_alone = False
    try:
        result = session.carry_out(transaction)
        outcome, left_alone = outcome_of(result), result.left_alone
    except OutboxDamaged as error:  # DATA is under way, and only closing keeps the server from taking what came so far
        session.abandon()
        outcome = damaged_outcome(error.message, transaction.broken_off(error.message).transcript)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001
        session.abandon()
        session.interrupted = isinstance(error, KeyboardInterrupt)
        outcome = _broken_off(transaction, error)
    if not left_alone:
        session.served, session.last = session.served + 1, claimed.outbox_id
    return outcome, left_alone


def _broken_off(transaction: Transaction, error: BaseException) -> Outcome:
    code = error.code if isinstance(error, PrxEmailError) else PrxEmailError.code
    detail = redact(f"this program failed {transaction.place}: {error}")
    if isinstance(error, KeyboardInterrupt):
        code, detail = Category.NETWORK.value, f"interrupted {transaction.place}"
    return outcome_of(transaction.broken_off(detail))._replace(error=code, detail=detail)
