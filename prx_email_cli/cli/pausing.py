"""``prx-email pause`` and ``resume``: have drains leave accounts alone for a while."""

from contextlib import suppress
from typing import Annotated, Any

import typer

from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.options import Json, NowTs, OnlyAccount
from prx_email_cli.cli.output import put, put_json, work_is_done
from prx_email_cli.cli.render import safe
from prx_email_cli.cli.standing import standing_object, this_person
from prx_email_cli.cli.times import LATEST_TIME, duration_seconds
from prx_email_cli.errors import ValidationError
from prx_email_cli.outbox.accounts import EVERY_ACCOUNT, AccountState

MOST_REASON = 200

pause_app, resume_app = (typer.Typer(add_completion=False) for _ in range(2))


@pause_app.command()
def pause(
    ctx: typer.Context,
    account: OnlyAccount = None,
    lasts: Annotated[
        str | None, typer.Option("--for", metavar="DURATION", help="So long, 2h for example; else until resume.")
    ] = None,
    reason: Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why, for others to read.")] = None,
    now_ts: NowTs = None,
    as_json: Json = False,
) -> None:
    """Have drains leave an account alone, or all; send goes on, and retry still tries what it is given.

    What a running drain has claimed and not begun it gives back.
    Example: prx-email pause --account work --for 2h --reason "provider moves"
    """
    this = invocation(ctx)
    settings = this.settings()
    now = this.clock(settings, now_ts)()
    if account is not None:
        settings.account(account)
    state = AccountState(
        account or EVERY_ACCOUNT, paused_at=now, paused_until=_until(lasts, now), paused_by=this_person(),
        reason=_reason(reason),
    )  # fmt: skip
    with this.store(settings) as store:
        store.pause(state)
    _answer(this, state.account, "paused", standing_object(state, now))


@resume_app.command()
def resume(ctx: typer.Context, account: OnlyAccount = None, now_ts: NowTs = None, as_json: Json = False) -> None:
    """Let drains use an account again, or all: ends a pause, and the rest after a refused login.

    Example: prx-email resume --account work
    """
    this = invocation(ctx)
    settings = this.settings()
    now = this.clock(settings, now_ts)()
    with this.store(settings) as store:
        known = store.account_states()
        if account is not None and account not in known:
            settings.account(account)
        store.acting = this_person()
        resumed = store.resume(EVERY_ACCOUNT if account is None else account, now)
        everyone = store.account_states().get(EVERY_ACCOUNT)
    done = "resumed" if resumed else "not paused"
    _answer(this, account or EVERY_ACCOUNT, done, {"account": account, "resumed": resumed})
    if account is not None and everyone is not None and everyone.paused_at is not None and not this.json:
        put("note: all accounts are still paused: prx-email resume")


def _until(lasts: str | None, now: int) -> int | None:
    if lasts is None:
        return None
    seconds = duration_seconds(lasts, "--for")
    if not seconds or now + seconds > LATEST_TIME:
        raise ValidationError(f"--for: no time to pause for: {lasts!r}", hint="write 90s, 15m, 2h or 1d")
    return now + seconds


def _reason(text: str | None) -> str | None:
    if text is not None and (len(text) > MOST_REASON or not text.strip()):
        raise ValidationError(f"--reason: not 1 to {MOST_REASON} characters", hint="shorten it, or leave it out")
    return text


def _answer(this: Invocation, account: str, done: str, data: dict[str, Any]) -> None:
    work_is_done(f"{safe(account) or 'all accounts'} {done}")
    if this.json:
        put_json(data)
    else:
        put(f"{f'account {safe(account)}' if account else 'all accounts'} {done}")


def wake(this: Invocation, account: str) -> None:
    """End the rest of an account that a person has shown or made to work; nothing happens without an outbox."""
    from prx_email_cli.errors import PrxEmailError  # on use
    from prx_email_cli.outbox.open import surroundings_of  # on use

    with suppress(PrxEmailError):  # the next probe finds it out by itself
        settings = this.settings()
        if surroundings_of(settings.outbox).is_made():
            with this.store(settings) as store:
                store.wake(account)


apps = {"pause": pause_app, "resume": resume_app}
