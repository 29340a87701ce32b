"""Lay out the screen of ``status``."""

import shutil
import textwrap
from typing import TYPE_CHECKING, NamedTuple

from prx_email_cli.checks.backlog import shown_age
from prx_email_cli.checks.causes import Cause, fix_of
from prx_email_cli.cli.render import safe, short_moment
from prx_email_cli.cli.standing import what_fails
from prx_email_cli.outbox.accounts import EVERY_ACCOUNT, AccountState

if TYPE_CHECKING:
    from prx_email_cli.outbox.views import Figures, Usage

MOST_CAUSES = 12
DAY = 86_400


class Seen(NamedTuple):
    """What one look at the outbox shows.

    now, last_drain_at: Unix seconds.  delivered: by account, in the last hour.  logins: what gives an account another
    secret.  gone: the accounts that the config has no more.  died: how many messages a dead run has.  clock_ahead: how
    far the latest attempt is ahead of the clock, in seconds.
    """

    now: int
    accounts: list[str]
    states: dict[str, AccountState]
    figures: "dict[str, Figures]"
    causes: list[Cause]
    last_drain_at: int | None
    last_drain_by: str
    delivered: dict[str, int]
    usage: "dict[str, list[Usage]]"
    logins: dict[str, str]
    gone: frozenset[str]
    died: int
    clock_ahead: int

    def state(self, account: str) -> AccountState:
        """Return the state of an account."""
        return self.states.get(account, AccountState(account))

    def waits(self, account: str) -> int:
        """Return how many messages of an account are undelivered and were due."""
        figures = self.figures.get(account)
        return figures.waiting if figures is not None else 0

    @property
    def waiting(self) -> int:
        """Return how many messages are undelivered and were due."""
        return sum(one.waiting for one in self.figures.values())


def screen(seen: Seen, wanted: list[str]) -> list[str]:
    """Return the lines of the screen, no wider than the terminal.  wanted: why a person is wanted."""
    width = max(40, min(shutil.get_terminal_size((80, 24)).columns, 120))
    lines = []
    everyone = seen.states.get(EVERY_ACCOUNT)
    if everyone is not None and everyone.is_paused(seen.now):
        lines += _wrapped(f"ALL ACCOUNTS  {_paused(everyone, seen.now)}  → prx-email resume", width)
    for name in seen.accounts:
        lines += _wrapped(f"{safe(name)}  {'; '.join(_account(seen, name))}", width)
    lines += _wrapped(_drained(seen), width)
    for number, cause in enumerate(seen.causes[:MOST_CAUSES], 1):
        fix = fix_of(cause, number, seen.logins.get(cause.account))
        lines += ["", *_wrapped(f"{number}. {_cause(cause, seen)}", width), *_wrapped(f"   → {safe(fix)}", width)]
    if len(seen.causes) > MOST_CAUSES:
        lines.append(f"and {len(seen.causes) - MOST_CAUSES} more causes: prx-email status --json")
    last = f"a person is wanted: {'; '.join(wanted)}" if wanted else "nobody is wanted"
    return [*lines, "", *_wrapped(last, width)]


def _account(seen: Seen, name: str) -> list[str]:
    """Say how an account stands, what waits, what was delivered and how much of its limits is used."""
    state, figures, delivered = seen.state(name), seen.figures.get(name), seen.delivered.get(name, 0)
    said = ["not in the config" if name in seen.gone else _state(state, seen.now)]
    if figures is None or not figures.waiting:
        said.append("nothing waits")
    else:
        said.append(f"{figures.waiting} wait, the oldest for {shown_age(figures.oldest_age_seconds or 0)}")
    if figures is not None and figures.held:
        said.append(f"{figures.held} held (prx-email list --held)")
    if delivered:
        said.append(f"{delivered} delivered in the last hour")
    return [*said, *(_used(one, seen.now) for one in seen.usage[name] if one.limit.seconds >= DAY or one.free_at)]


def _state(state: AccountState, now: int) -> str:
    if state.is_paused(now):
        return f"{_paused(state, now)} → prx-email resume --account {safe(state.account)}"
    if state.failing_since is None:
        return "works"
    tried = f"next try {short_moment(state.rests_until, now)}" if state.rests(now) else "tried by the next drain"
    return f"{what_fails(state)} since {short_moment(state.failing_since, now)}, {tried}"


def _paused(state: AccountState, now: int) -> str:
    until = f" until {short_moment(state.paused_until, now)}" if state.paused_until is not None else ""
    why = f" ({safe(state.reason)})" if state.reason else ""
    return f"paused{until} by {safe(state.paused_by)} since {short_moment(state.paused_at, now)}{why}"


def _used(usage: "Usage", now: int) -> str:
    limit = usage.limit
    span = {60: "in a minute", DAY: "today"}.get(limit.seconds, f"in {limit.seconds} s")
    what = f"{usage.taken}/{limit.most} {'recipients' if limit.of_recipients else 'messages'} {span}"
    return what if usage.free_at is None else f"limit used up until {short_moment(usage.free_at, now)}, {what}"


def _drained(seen: Seen) -> str:
    if seen.last_drain_at is None:
        return "no drain has ended here yet"
    by = f", started by {safe(seen.last_drain_by)}" if seen.last_drain_by else ""
    return f"the last drain ended {shown_age(max(0, seen.now - seen.last_drain_at))} ago{by}"


def _cause(cause: Cause, seen: Seen) -> str:
    what = "given up" if cause.gave_up else "may have been sent and are held" if cause.uncertain else "wait"
    meaning = f" ({cause.known.meaning}: {cause.known.source})" if cause.known is not None else ""
    return f"{cause.many} {what} on {safe(cause.account)}: {safe(cause.example)}{meaning}"


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent="   ", break_on_hyphens=False, drop_whitespace=True) or [""]
