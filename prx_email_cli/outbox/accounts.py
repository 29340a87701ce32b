"""Judge whether drains use an account: it may be paused by a person, or rest after its server refused it; pure.

Times are Unix seconds and always come from the caller.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from prx_email_cli.outbox.lifecycle import MAX_DOUBLINGS, Outcome, Scope
from prx_email_cli.outbox.messages import Finished

EVERY_ACCOUNT = ""  # in place of a name: what a pause of all accounts is kept under
FIRST_REST_SECONDS, LONGEST_REST_SECONDS = 60, 3600
UNDRAINED_SECONDS = 1800  # so long messages may be due, and no drain end, before it is told
UNREACHABLE_SECONDS = 1800  # so long a server that cannot be reached is nothing to tell of
TOLD_AGAIN_SECONDS = 86_400


class Event(StrEnum):
    """What a person is told of an account."""

    DOWN = "account_down"
    UP = "account_up"


class AccountState(NamedTuple):
    """What is known of an account beside its messages.

    paused_at, paused_until, paused_by, reason: a person's pause; without paused_until it lasts until it is lifted.
    failing_since, failed_at: the first and the latest failure of the account since it last worked, and why in error (a
    code) and detail.  refusals: those in a row by which it rests until rests_until.  config: fingerprint of its config
    then.  told_at: when a person was told last that it does not work.  works_since: it works again, untold.
    """

    account: str
    paused_at: int | None = None
    paused_until: int | None = None
    paused_by: str | None = None
    reason: str | None = None
    failing_since: int | None = None
    failed_at: int | None = None
    refusals: int = 0
    rests_until: int | None = None
    error: str | None = None
    detail: str | None = None
    config: str | None = None
    told_at: int | None = None
    works_since: int | None = None

    def is_paused(self, now: int) -> bool:
        """Tell whether a person has paused it."""
        return self.paused_at is not None and (self.paused_until is None or now < self.paused_until)

    def rests(self, now: int) -> bool:
        """Tell whether it rests; not when only a clock that has stepped back says so."""
        until = self.rests_until
        return until is not None and now < until <= now + LONGEST_REST_SECONDS

    @property
    def is_plain(self) -> bool:
        """Whether nothing is known of it."""
        return self == AccountState(self.account)

    def paused_as(self, pause: "AccountState") -> "AccountState":
        """Return it with the pause that *pause* has."""
        return self._replace(
            paused_at=pause.paused_at, paused_until=pause.paused_until, paused_by=pause.paused_by, reason=pause.reason
        )

    def woken(self) -> "AccountState":
        """Return it with its rest ended, so that the next drain tries it."""
        return self._replace(refusals=0, rests_until=None, failed_at=None, config=None)

    def resumed(self) -> "AccountState":
        """Return it with pause and rest ended."""
        return self.woken()._replace(paused_at=None, paused_until=None, paused_by=None, reason=None)


def rest_seconds(refusals: int) -> int:
    """Compute how long an account rests after so many refusals in a row: 1, 2, 4 … 60 minutes."""
    return min(FIRST_REST_SECONDS << min(refusals - 1, MAX_DOUBLINGS), LONGEST_REST_SECONDS)


def refuses(outcome: Outcome) -> bool:
    """Tell whether a server refused the account: its login, or "try later"; one out of reach refuses nothing."""
    return outcome.scope is Scope.ACCOUNT and (outcome.error == "auth" or outcome.code is not None)


def after_attempt(state: AccountState, finished: Finished) -> AccountState:
    """Return the state of an account after one of its attempts.

    Refusals on several connections at once count as one.  An attempt that had begun before the account failed does not
    show that it works again.
    """
    outcome, now = finished.outcome, finished.finished_at
    if outcome.scope is Scope.ACCOUNT:
        state = state._replace(
            failing_since=now if state.failing_since is None else state.failing_since, failed_at=now,
            error=outcome.error, detail=outcome.detail, works_since=None,
        )  # fmt: skip
        if refuses(outcome) and not state.rests(now):
            refusals = state.refusals + 1
            state = state._replace(refusals=refusals, rests_until=now + rest_seconds(refusals))
        return state
    answered = outcome.acceptance is not None or outcome.code is not None
    older = state.failed_at is not None and finished.claimed.started_at <= state.failed_at
    if state.failing_since is None or not answered or older:
        return state
    told = state.told_at is not None
    return state.woken()._replace(failing_since=None, error=None, detail=None, works_since=now if told else None)


def works_again(before: AccountState, after: AccountState) -> bool:
    """Tell whether an account has begun to work again between these states."""
    return before.failing_since is not None and after.failing_since is None


def to_tell(state: AccountState, now: int) -> Event | None:
    """Return what a person is to be told of now: once when an account stops working, then daily, and when it works.

    A refused login or certificate is told at once, a server that cannot be reached after UNREACHABLE_SECONDS.
    """
    if state.works_since is not None:
        return Event.UP
    told_lately = state.told_at is not None and now < state.told_at + TOLD_AGAIN_SECONDS
    return Event.DOWN if is_down(state, now) and not told_lately else None


def waits_undrained(due_at: int | None, drained_at: int | None, now: int) -> bool:
    """Tell whether drains are missing.

    due_at: since when the longest due message waits.  drained_at: when the last drain ended.  None for never.
    """
    recently = now - UNDRAINED_SECONDS
    return due_at is not None and due_at <= recently and (drained_at is None or drained_at <= recently)


def left_alone(states: Mapping[str, AccountState], now: int) -> set[str]:
    """Name the accounts that drains leave alone for now: paused ones, and those that rest."""
    return {name for name, state in states.items() if state.is_paused(now) or state.rests(now)}


def is_down(state: AccountState, now: int) -> bool:
    """Tell whether an account does not work, and has not for so long that a person is to hear of it."""
    if state.failing_since is None:
        return False
    at_once = state.error != "network" or "certificate" in (state.detail or "")
    return at_once or now >= state.failing_since + UNREACHABLE_SECONDS


def told(state: AccountState, event: Event, now: int) -> AccountState:
    """Return the state once a person was told."""
    return state._replace(told_at=now if event is Event.DOWN else None, works_since=None)
