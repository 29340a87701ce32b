"""``prx-email check``: answer a monitoring system in the manner of its plugins.

The exit status is 0, 1, 2 or 3, and one line says why, with performance data behind a bar.  Whatever keeps the command
from knowing is 3.
"""

from typing import TYPE_CHECKING, Annotated

import typer

from prx_email_cli.checks.backlog import Backlog, Limits, State, counted, judge, shown_age
from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.options import Json, NowTs, OnlyAccount
from prx_email_cli.cli.output import put, put_json
from prx_email_cli.cli.render import error_object, masked, safe
from prx_email_cli.cli.standing import what_fails
from prx_email_cli.cli.times import duration_seconds
from prx_email_cli.errors import StorageError, Unwell
from prx_email_cli.outbox.accounts import EVERY_ACCOUNT, is_down

if TYPE_CHECKING:
    from prx_email_cli.config.settings import Settings
    from prx_email_cli.outbox.accounts import AccountState
    from prx_email_cli.outbox.surroundings import Surroundings
    from prx_email_cli.outbox.views import Figures

app = typer.Typer(add_completion=False)
_WARNING, _CRITICAL = "15m", "1h"


@app.command()
def check(
    ctx: typer.Context,
    warning_age: Annotated[
        str | None,
        typer.Option(
            "--warning-age",
            "-w",
            metavar="DURATION",
            help=f"WARNING when a message is undelivered for longer; by default {_WARNING}.",
        ),
    ] = None,
    critical_age: Annotated[
        str | None,
        typer.Option(
            "--critical-age",
            "-c",
            metavar="DURATION",
            help=f"CRITICAL when a message is undelivered for longer; by default {_CRITICAL}.",
        ),
    ] = None,
    account: OnlyAccount = None,
    now_ts: NowTs = None,
    as_json: Json = False,
) -> None:
    """Say in one line whether mail waits for too long, as a monitoring plugin; no server is asked.

    The exit status is 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
    WARNING, too: messages given up (not cancelled), or uncertain and held; an account that does not work.
    Example: prx-email check --warning-age 15m --critical-age 1h
    """
    this = invocation(ctx)
    limits = _limits(warning_age, critical_age)
    settings = this.settings()
    now = this.clock(settings, now_ts)()
    figures, states, last_drain = _figures(this, settings, account, now)
    found = judge(figures, limits, _failing(states, now))
    told = _told(found, None if last_drain is None else now - last_drain)
    if found.late and (paused := [name or "all" for name, state in states.items() if state.is_paused(now)]):
        told += f"; paused: {', '.join(paused)}"
    if this.json:
        error = None if found.state is State.OK else error_object(Unwell.code, told, "prx-email list, prx-email doctor")
        put_json({**found._asdict(), "state": found.state.name.lower(), "last_drain_at": last_drain}, error)
    else:
        put(_line(found.state, told, _performance(found, limits)))
    raise typer.Exit(found.state)


def tell_unknown(message: str, hint: str, *, code: str, as_json: bool) -> None:
    """Print the answer of a check that could not be made."""
    message, hint = masked(message), masked(hint)
    if as_json:
        put_json({"state": State.UNKNOWN.name.lower()}, error_object(code, message, hint))
    else:
        put(_line(State.UNKNOWN, f"{message} ({hint})" if hint else message))


def _limits(warning: str | None, critical: str | None) -> Limits:
    """Read both limits; a default gives way to the one that is given.  Raises BadParameter, ValidationError."""
    first = duration_seconds(warning or _WARNING, "--warning-age")
    second = duration_seconds(critical or _CRITICAL, "--critical-age")
    if warning is not None and critical is not None and second < first:
        raise typer.BadParameter("--critical-age is shorter than --warning-age")
    return Limits(first if warning else min(first, second), second if critical else max(first, second))


def _figures(
    this: Invocation, settings: "Settings", account: str | None, now: int
) -> "tuple[dict[str, Figures], dict[str, AccountState], int | None]":
    """Read figures and states of accounts (of *account*), and when the last drain ended; never make an outbox."""
    from prx_email_cli.outbox.open import surroundings_of  # on use

    around = surroundings_of(settings.outbox)
    figures: dict[str, Figures] = {}
    states: dict[str, AccountState] = {}
    if around.is_made():
        with this.store(settings, create=False) as store:
            figures, states = store.figures(now), store.account_states()
    else:
        _refuse_missing(around, now)
    if account is None:
        return figures, states, around.last_drain_at()
    if account not in figures:
        settings.account(account)  # a name that neither the config nor the outbox knows is a mistake
    figures = {name: of for name, of in figures.items() if name == account}
    states = {name: state for name, state in states.items() if name in (account, EVERY_ACCOUNT)}
    return figures, states, around.last_drain_at()


def _failing(states: "dict[str, AccountState]", now: int) -> dict[str, str]:
    """Say of accounts that do not work for how long and why, once a person is to hear of it."""
    return {
        name: f"{what_fails(state)} for {shown_age(max(0, now - (state.failing_since or now)))}"
        for name, state in states.items() if is_down(state, now)
    }  # fmt: skip


def _refuse_missing(around: "Surroundings", now: int) -> None:
    """Raise StorageError where an outbox is gone or could not be made."""
    from prx_email_cli.checks.check import Verdict  # on use
    from prx_email_cli.checks.outbox import check_missing  # on use

    first = next(iter(check_missing(around, now)))
    if first.result is not Verdict.OK:
        raise StorageError(first.detail, hint=first.fix)


def _told(found: Backlog, drained_ago: int | None) -> str:
    """Say what was found."""
    told = "; ".join(found.reasons)
    if found.late:
        ended = "no drain has ended yet" if drained_ago is None else f"last drain {shown_age(max(0, drained_ago))} ago"
        return f"{told}; {ended}"
    if told:
        return told
    if not found.waiting:
        return "nothing is undelivered"
    return f"{counted(found.waiting)} undelivered, the oldest for {shown_age(found.oldest_age_seconds)}"


def _performance(found: Backlog, limits: Limits) -> str:
    """Write the figures with their limits: 'label'=value[unit];[warning];[critical];[least]."""
    return (
        f"oldest_undelivered_age={found.oldest_age_seconds}s;{limits.warning};{limits.critical};0"
        f" waiting={found.waiting};;;0 held_uncertain={found.held_uncertain};0;;0 gave_up={found.failures};0;;0"
    )


def _line(state: State, told: str, performance: str = "") -> str:
    text = f"PRX-EMAIL {state.name} - {safe(told)}".replace("|", "/")  # a bar begins the performance data
    return f"{text} | {performance}" if performance else text


apps = {"check": app}
