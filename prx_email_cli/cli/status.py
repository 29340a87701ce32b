"""``prx-email status``: what is wrong, on one screen, and what helps."""

import re
from typing import TYPE_CHECKING, Any

import typer

from prx_email_cli.checks.backlog import shown_age
from prx_email_cli.checks.causes import causes_of, fix_of
from prx_email_cli.checks.drop import count_refused
from prx_email_cli.checks.outbox import CLOCK_SLACK_SECONDS, DRAIN_OVERDUE_SECONDS
from prx_email_cli.cli.colour import Tone, painted
from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.options import Json, NowTs
from prx_email_cli.cli.output import put, put_json
from prx_email_cli.cli.render import safe
from prx_email_cli.cli.standing import standing_object
from prx_email_cli.cli.status_screen import Seen, screen
from prx_email_cli.errors import StorageError
from prx_email_cli.outbox.accounts import EVERY_ACCOUNT
from prx_email_cli.outbox.lifecycle import Status
from prx_email_cli.outbox.views import Filter

if TYPE_CHECKING:
    from prx_email_cli.config.settings import Account, Settings
    from prx_email_cli.outbox.store import Store
    from prx_email_cli.outbox.views import Usage

HOUR = 3600
_TONES = {
    r"   → ": Tone.NEXT,
    r"nobody is wanted$": Tone.GOOD,
    r"a person is wanted:": Tone.BAD,
    r"\d+\. ": Tone.STRONG,
}
MOST_SENDING = 1000
NOTHING_DRAINS = "prx-email cron prints cron's line, prx-email drain sends now"

app = typer.Typer(add_completion=False)


@app.command()
def status(ctx: typer.Context, now_ts: NowTs = None, as_json: Json = False) -> None:
    """Show how accounts stand, what waits, and failures by cause with what helps; ends with 1 if a person is wanted.

    prx-email alone does the same where there is a config.
    Example: prx-email status
    """
    show_status(invocation(ctx), now_ts)


def show_status(this: Invocation, now_ts: int | None) -> None:
    """Print the status; raises Exit when a person is wanted."""
    settings = this.settings()
    now = this.clock(settings, now_ts)()
    with this.store(settings) as store:
        seen = _look(store, settings, now)
        wanted = [*_refusal(store), *_wanted(seen), *_refused(settings)]
    if this.json:
        put_json(_object(seen, wanted))
    else:
        for line in screen(seen, [safe(reason) for reason in wanted]):
            put(_in_colour(line))
    if wanted:
        raise typer.Exit(1)


def _refusal(store: "Store") -> list[str]:
    """Return why nothing is sent from the outbox at all: it is a restored backup, or was moved; else nothing."""
    try:
        store.refuse_restored()
    except StorageError as error:
        return [f"{error.message} ({error.hint})"]
    return []


def _refused(settings: "Settings") -> list[str]:
    """Return why a person is wanted by what users dropped; nothing unless something was refused."""
    many = count_refused(settings)
    return [f"{many} dropped files refused (prx-email doctor)"] if many else []


def _in_colour(line: str) -> str:
    """Stress what is wrong and what helps, where stdout shows colour."""
    return painted(line, next((tone for start, tone in _TONES.items() if re.match(start, line)), Tone.PLAIN))


def _look(store: "Store", settings: "Settings", now: int) -> Seen:
    states, figures = store.account_states(), store.figures(now)
    names = sorted({*settings.accounts, *figures, *(name for name in states if name != EVERY_ACCOUNT)})
    return Seen(
        now, names, states, figures, causes_of(store.failures()), store.last_drain_at(), store.last_drain_by(),
        store.delivered(now - HOUR), {name: _usage(store, settings.accounts.get(name), now) for name in names},
        {name: _login(account) for name, account in settings.accounts.items()},
        frozenset(name for name in names if name not in settings.accounts),
        sum(row.run_died for row in store.rows(Filter((Status.SENDING,), limit=MOST_SENDING))),
        (store.stats(now).last_attempt_at or now) - now,
    )  # fmt: skip


def _usage(store: "Store", account: "Account | None", now: int) -> "list[Usage]":
    from prx_email_cli.delivery.attempt import limits_of  # on use

    return [] if account is None else store.usage(account.name, limits_of(account), now)


def _login(account: "Account") -> str:
    """Say what gives an account another secret."""
    auth = account.smtp.auth
    if auth.oauth is not None:
        return f"prx-email account login {account.name}"
    if auth.keyring:
        return f"prx-email account set-password {account.name}"
    kinds = ", ".join(auth.kinds) or "user and password"
    return f"set {kinds} of [accounts.{account.name}.smtp.auth] right"


def _wanted(seen: Seen) -> list[str]:
    """Return why a person is wanted; empty if nobody is."""
    why = [f"account {name} does not work" for name, state in seen.states.items() if state.failing_since is not None]
    why += [f"account {name} is not in the config" for name in sorted(seen.gone) if seen.waits(name)]
    gave_up = sum(cause.many for cause in seen.causes if cause.gave_up)
    if gave_up:
        why.append(f"{gave_up} given up")
    doubtful = sum(one.held_uncertain for one in seen.figures.values())
    if doubtful:
        why.append(f"{doubtful} uncertain and held")
    ago = None if seen.last_drain_at is None else seen.now - seen.last_drain_at
    if seen.waiting and (ago is None or ago > DRAIN_OVERDUE_SECONDS):
        why.append(f"messages wait and nothing drains ({NOTHING_DRAINS})")
    if seen.died:
        why.append(f"a drain died with {seen.died} in hand (the next prx-email drain settles what became of them)")
    if seen.waiting and seen.clock_ahead > CLOCK_SLACK_SECONDS:
        why.append(f"the outbox was used {shown_age(seen.clock_ahead)} ahead of this clock (prx-email doctor)")
    return why


def _object(seen: Seen, wanted: list[str]) -> dict[str, Any]:
    everyone = seen.states.get(EVERY_ACCOUNT)
    return {
        "accounts": [_account(seen, name) for name in seen.accounts],
        "all_paused": everyone is not None and everyone.is_paused(seen.now),
        "causes": _causes(seen),
        "last_drain_at": seen.last_drain_at,
        "last_drain_by": seen.last_drain_by or None,
        "runs_died": seen.died,
        "wanted": wanted,
    }


def _account(seen: Seen, name: str) -> dict[str, Any]:
    figures = seen.figures.get(name)
    return {
        **standing_object(seen.state(name), seen.now),
        "waiting": figures.waiting if figures else 0,
        "oldest_age_seconds": figures.oldest_age_seconds if figures else None,
        "delivered_last_hour": seen.delivered.get(name, 0),
        "limits": [
            {"most": one.limit.most, "of": "recipients" if one.limit.of_recipients else "messages",
             "seconds": one.limit.seconds, "taken": one.taken, "free_at": one.free_at}
            for one in seen.usage[name]
        ],
    }  # fmt: skip


def _causes(seen: Seen) -> list[dict[str, Any]]:
    causes = []
    for number, cause in enumerate(seen.causes, 1):
        known, fix = cause.known, fix_of(cause, number, seen.logins.get(cause.account))
        said = {"meaning": known and known.meaning, "source": known and known.source, "fix": fix}
        values = cause._asdict()
        causes.append({"error_code": values.pop("error"), **values, **said})
    return causes


apps = {"status": app}
