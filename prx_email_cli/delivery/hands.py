"""Carry out what one worker asks, with real connections and the real outbox."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from prx_email_cli.delivery.ledger import Entry, Ledger
from prx_email_cli.delivery.worker import (
    Ask,
    Claim,
    Close,
    Deliver,
    Delivered,
    GiveBack,
    Look,
    NotOpened,
    Open,
    Opened,
    Settle,
    Untouched,
)
from prx_email_cli.errors import ConfigError, NotAllowedForStatus, PrxEmailError, ReadableByOthers, StorageError
from prx_email_cli.outbox.finish import finish
from prx_email_cli.outbox.lifecycle import RetryPolicy, Status
from prx_email_cli.outbox.messages import Claimed, ClaimOne, Finished, Moment, Wish

if TYPE_CHECKING:
    from prx_email_cli.outbox.store import Run, Store
    from prx_email_cli.smtp.session import Session, SessionFactory


class Office(Protocol):
    """The part of a run that its workers share."""

    store: Store
    run: Run
    ledger: Ledger
    policy: RetryPolicy
    clock: Callable[[], int]
    clock_in_doubt: bool

    def sessions(self, account: str) -> SessionFactory:
        """Return the factory of the account's sessions.  Raises ConfigError, ReadableByOthers."""

    def record(self, finished: Finished) -> None:
        """Count a finished attempt, which is durable, and tell of it."""

    def warn(self, text: str) -> None:
        """Note what a person should hear of but changes no message."""


class Hands:
    """The connection of one worker, and what it does with it."""

    def __init__(self, office: Office, account: str) -> None:
        self._office, self._account = office, account
        self._session: Session | None = None
        self._interrupted = False

    def carry_out(self, ask: Ask) -> Any:
        """Do what the worker asks; return the answer, see ``worker``.  Raises StorageError when the outbox fails."""
        match ask:
            case Look(wish):
                return self._look(wish)
            case Open():
                return self._open()
            case Claim(wish):
                return self._claim(wish)
            case Deliver(claimed, again):
                return self._deliver(claimed, again=again)
            case Settle():
                return self._settle(ask)
            case GiveBack(claimed):
                return self._office.run.advance([], [], [claimed])
            case Close():
                return self.close()

    def close(self) -> None:
        """Close the connection, if one is open."""
        session, self._session = self._session, None
        if session is None:
            return
        session.close()
        if session.served and session.afterthought is not None:
            self._office.warn(f"account {self._account}, after message {session.last}: {session.afterthought}")

    def _look(self, wish: Wish) -> bool | PrxEmailError:
        wish, store = wish._replace(now=self._office.clock()), self._office.store
        if not isinstance(wish, ClaimOne):
            return store.claimable(wish)
        try:
            store.check_claim(wish)
        except StorageError:
            raise
        except PrxEmailError as refused:
            return unreadable_or(refused, wish, self._office)
        return True

    def _claim(self, wish: Wish) -> Claimed | PrxEmailError | None:
        try:
            return self._office.ledger.claim(wish)
        except StorageError:
            raise
        except PrxEmailError as refused:
            return unreadable_or(refused, wish, self._office)

    def _open(self) -> Opened | NotOpened | PrxEmailError:
        from prx_email_cli.delivery.handing_over import outcome_without_session  # on use
        from prx_email_cli.smtp.failure import SessionFailed  # on use

        try:
            self._session = self._office.sessions(self._account).open()
        except SessionFailed as failure:
            return NotOpened(outcome_without_session(failure))
        except (ConfigError, ReadableByOthers) as fault:
            return fault
        return Opened()

    def _deliver(self, claimed: Claimed, *, again: bool) -> Delivered | Untouched:
        from prx_email_cli.delivery.handing_over import hand_over  # on use

        session = self._session
        if session is None:
            raise RuntimeError("a worker delivers without a connection")
        started = time.monotonic()
        outcome, untouched = hand_over(session, claimed, self._office.run)
        took = round((time.monotonic() - started) * 1000)
        self._office.run.answered(claimed, outcome, self._office.clock())
        self._interrupted = session.interrupted
        return Untouched() if untouched and not again else Delivered(outcome, took, session.usable())

    def _settle(self, ask: Settle) -> Entry:
        office = self._office
        moment = Moment(office.clock(), office.clock_in_doubt)
        finished = finish(ask.claimed, ask.outcome, office.policy, moment)._replace(
            milliseconds=ask.milliseconds, connection=ask.connection
        )
        entry = office.ledger.settle(finished, ask.then)
        if entry.lost is None:
            office.record(finished)
        if self._interrupted:  # the result is recorded: now the process may end
            raise KeyboardInterrupt
        return entry


def unreadable_or(refused: PrxEmailError, wish: Wish, office: Office) -> PrxEmailError:
    """Return *refused*, or the error that it is unknown whether the run lives that has the message."""
    unreadable = office.run.unreadable
    if not unreadable or not isinstance(refused, NotAllowedForStatus) or not isinstance(wish, ClaimOne):
        return refused
    return unreadable[0] if office.store.row(wish.outbox_id).status == Status.SENDING else refused
