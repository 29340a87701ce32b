"""Judge how long mail waits and what wants a person, for ``check``; pure."""

from collections.abc import Mapping
from enum import IntEnum
from typing import NamedTuple

from prx_email_cli.outbox.lifecycle import Reason
from prx_email_cli.outbox.views import Figures


class State(IntEnum):
    """A verdict, and the exit status by which monitoring plugins tell it."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


class Limits(NamedTuple):
    """The ages of the oldest undelivered message, in seconds, above which it is a WARNING or CRITICAL."""

    warning: int
    critical: int


class Backlog(NamedTuple):
    """What was found.

    reasons: why the state is not OK, the worst first.  late: whether mail waits for too long.  The other fields are
    sums over the accounts; failures: messages given up, but for those that a person cancelled.
    """

    state: State
    reasons: list[str]
    late: bool
    oldest_age_seconds: int
    waiting: int
    held_uncertain: int
    failures: int


def judge(figures: Mapping[str, Figures], limits: Limits, failing: Mapping[str, str] | None = None) -> Backlog:
    """Judge the figures of each account by *limits*.  failing: what keeps accounts from working."""
    found = [one for account, of in figures.items() for one in _faults(account, of, limits)]
    found += [(State.WARNING, f"{account}: {why}") for account, why in (failing or {}).items()]
    found.sort(key=lambda one: -one[0])
    return Backlog(
        state=max((state for state, _ in found), default=State.OK),
        reasons=[reason for _, reason in found],
        late=any((of.oldest_age_seconds or 0) > min(limits) for of in figures.values()),
        oldest_age_seconds=max((of.oldest_age_seconds or 0 for of in figures.values()), default=0),
        waiting=sum(of.waiting for of in figures.values()),
        held_uncertain=sum(of.held_uncertain for of in figures.values()),
        failures=sum(map(_failures, figures.values())),
    )


def _faults(account: str, of: Figures, limits: Limits) -> list[tuple[State, str]]:
    found = []
    age = of.oldest_age_seconds or 0
    if age > limits.warning or age > limits.critical:
        state = State.CRITICAL if age > limits.critical else State.WARNING
        found.append((state, f"{account}: {counted(of.waiting)} undelivered, the oldest for {shown_age(age)}"))
    if of.held_uncertain:
        found.append((State.WARNING, f"{account}: {counted(of.held_uncertain)} uncertain and held"))
    if many := _failures(of):
        found.append((State.WARNING, f"{account}: {counted(many)} given up"))
    return found


def _failures(of: Figures) -> int:
    return sum(messages for reason, messages in of.gave_up.items() if reason != Reason.CANCELLED)


def counted(messages: int) -> str:
    """Write a number of messages."""
    return "1 message" if messages == 1 else f"{messages} messages"


def shown_age(seconds: int) -> str:
    """Write an age in its two largest units: 40s, 12m, 3h 5m, 2d 4h."""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86_400
    if days:
        return f"{days}d {hours % 24}h"
    if hours:
        return f"{hours}h {minutes % 60}m"
    return f"{minutes}m" if minutes else f"{seconds}s"
