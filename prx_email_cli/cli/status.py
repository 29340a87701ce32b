"""``prx-email status``: what is wrong, on one screen, and what helps."""

import shutil
import textwrap
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from prx_email_cli.checks.causes import Cause, causes_of, fix_of
from prx_email_cli.checks.outbox import DRAIN_OVERDUE_SECONDS
from prx_email_cli.cli.context import invocation
from prx_email_cli.cli.options import Json, NowTs
from prx_email_cli.cli.output import put, put_json
from prx_email_cli.cli.render import moment, safe
from prx_email_cli.cli.standing import standing_object
from prx_email_cli.cli.times import clock
from prx_email_cli.outbox.accounts import EVERY_ACCOUNT, AccountState

if TYPE_CHECKING:
    from prx_email_cli.outbox.store import Store
    from prx_email_cli.outbox.views import Figures

MOST_CAUSES = 12
_UNITS = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))

app = typer.Typer(add_completion=False)


class _Seen(NamedTuple):
    """What one look at the outbox shows.  now: when, in Unix seconds."""

    now: int
    states: dict[str, AccountState]
    figures: "dict[str, Figures]"
    causes: list[Cause]
    last_drain_at: int | None

    def state(self, account: str) -> AccountState:
        """Return the state of an account."""
        return self.states.get(account, AccountState(account))

    @property
    def waiting(self) -> int:
        """Return how many messages are undelivered and were due."""
        return sum(one.waiting for one in self.figures.values())


@app.command()
def status(ctx: typer.Context, now_ts: NowTs = None, as_json: Json = False) -> None:
    """Show how accounts stand, what waits, and failures by cause with what helps; ends with 1 if a person is wanted.

    Example: prx-email status
    """
    this = invocation(ctx)
    settings, now = this.settings(), clock(now_ts)()
    with this.store(settings) as store:
        seen = _look(store, now)
    names = sorted({*settings.accounts, *seen.figures, *(name for name in seen.states if name != EVERY_ACCOUNT)})
    wanted = _wanted(seen)
    if this.json:
        put_json(_object(seen, names, wanted))
    else:
        for line in _screen(seen, names, wanted):
            put(line)
    if wanted:
        raise typer.Exit(1)


def _look(store: "Store", now: int) -> _Seen:
    return _Seen(now, store.account_states(), store.figures(now), causes_of(store.failures()), store.last_drain_at())


def _wanted(seen: _Seen) -> list[str]:
    """Return why a person is wanted; empty if nobody is."""
    why = [f"account {name} does not work" for name, state in seen.states.items() if state.failing_since is not None]
    gave_up = sum(cause.many for cause in seen.causes if cause.gave_up)
    if gave_up:
        why.append(f"{gave_up} given up")
    doubtful = sum(one.held_uncertain for one in seen.figures.values())
    if doubtful:
        why.append(f"{doubtful} uncertain and held")
    ago = None if seen.last_drain_at is None else seen.now - seen.last_drain_at
    if seen.waiting and (ago is None or ago > DRAIN_OVERDUE_SECONDS):
        why.append("messages wait and nothing drains")
    return why


def _object(seen: _Seen, names: list[str], wanted: list[str]) -> dict[str, Any]:
    accounts = []
    for name in names:
        figures = seen.figures.get(name)
        accounts.append({
            **standing_object(seen.state(name), seen.now),
            "waiting": figures.waiting if figures else 0,
            "oldest_age_seconds": figures.oldest_age_seconds if figures else None,
        })  # fmt: skip
    causes = []
    for cause in seen.causes:
        known = cause.known
        said = {"meaning": known and known.meaning, "source": known and known.source, "fix": fix_of(cause)}
        causes.append({**cause._asdict(), **said})
    everyone = seen.states.get(EVERY_ACCOUNT)
    return {
        "accounts": accounts,
        "all_paused": everyone is not None and everyone.is_paused(seen.now),
        "causes": causes,
        "last_drain_at": seen.last_drain_at,
        "wanted": wanted,
    }


def _screen(seen: _Seen, names: list[str], wanted: list[str]) -> list[str]:
    """Return the lines of the screen, no wider than the terminal."""
    width = max(40, min(shutil.get_terminal_size((80, 24)).columns, 120))
    lines = []
    everyone = seen.states.get(EVERY_ACCOUNT)
    if everyone is not None and everyone.is_paused(seen.now):
        lines += _wrapped(f"ALL ACCOUNTS  {_paused(everyone)}  → prx-email resume", width)
    for name in names:
        lines += _wrapped(f"{safe(name)}  {_state(seen.state(name), seen.now)}; {_waits(seen, name)}", width)
    drained = "no drain has ended here yet" if seen.last_drain_at is None else (
        f"the last drain ended {_age(seen.now - seen.last_drain_at)} ago"
    )  # fmt: skip
    lines.append(drained)
    for number, cause in enumerate(seen.causes[:MOST_CAUSES], 1):
        lines += ["", *_wrapped(f"{number}. {_cause(cause)}", width), *_wrapped(f"   → {safe(fix_of(cause))}", width)]
    if len(seen.causes) > MOST_CAUSES:
        lines.append(f"and {len(seen.causes) - MOST_CAUSES} more causes: prx-email status --json")
    last = f"a person is wanted: {'; '.join(map(safe, wanted))}" if wanted else "nobody is wanted"
    return [*lines, "", *_wrapped(last, width)]


def _state(state: AccountState, now: int) -> str:
    if state.is_paused(now):
        return _paused(state)
    if state.failing_since is None:
        return "works"
    tried = f", next try {moment(state.rests_until)}" if state.rests(now) else ", tried by the next drain"
    return f"does not work since {moment(state.failing_since)}{tried}"


def _paused(state: AccountState) -> str:
    until = f" until {moment(state.paused_until)}" if state.paused_until is not None else ""
    return f"paused{until} by {safe(state.paused_by)} since {moment(state.paused_at)}{_because(state.reason)}"


def _because(reason: str | None) -> str:
    return f" ({safe(reason)})" if reason else ""


def _waits(seen: _Seen, name: str) -> str:
    figures = seen.figures.get(name)
    if figures is None or not figures.waiting:
        return "nothing waits"
    return f"{figures.waiting} wait, the oldest for {_age(figures.oldest_age_seconds or 0)}"


def _cause(cause: Cause) -> str:
    what = "given up" if cause.gave_up else "wait"
    meaning = f" ({cause.known.meaning}: {cause.known.source})" if cause.known is not None else ""
    return f"{cause.many} {what} on {safe(cause.account)}: {safe(cause.example)}{meaning}"


def _age(seconds: int) -> str:
    for unit, length in _UNITS:
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return "0 s"


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent="   ", break_on_hyphens=False, drop_whitespace=True) or [""]


apps = {"status": app}
