"""``prx-email doctor``: check everything that can keep mail from leaving."""

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prx_email_cli.checks.check import Verdict, failed
from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.options import Json
from prx_email_cli.cli.output import put, put_check, put_json, say
from prx_email_cli.cli.render import check_object, error_object, safe
from prx_email_cli.errors import ChangeableByOthers, PrxEmailError
from prx_email_cli.files import faults
from prx_email_cli.outbox.open import surroundings_of

if TYPE_CHECKING:
    from prx_email_cli.checks.check import Check

app = typer.Typer(add_completion=False)


@app.command()
def doctor(
    ctx: typer.Context,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no server: of the accounts, check only secrets and certificates.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Check config, permissions, outbox, disk, clock, cron and every account; no mail is sent.

    The exit status is 0 if all is well, else that of the first fault.
    Example: prx-email doctor
    """
    this = invocation(ctx)
    groups: dict[str, list[Check]] = {}
    for group, check in _checks(this, offline=offline):
        if group not in groups and not this.json:
            put(safe(group))
        groups.setdefault(group, []).append(check)
        if not this.json:
            put_check(check)
    unwell = [check for checks in groups.values() for check in checks if check.result is not Verdict.OK]
    if this.json:
        put_json(_object(groups), _error(unwell))
    elif unwell:
        say(f"{len(unwell)} of {sum(map(len, groups.values()))} checks are not well")
    if unwell:
        raise typer.Exit(unwell[0].exit)


def _checks(this: Invocation, *, offline: bool) -> "Iterator[tuple[str, Check]]":
    """Yield each check with the name of its group; a config that cannot be read is the last."""
    from prx_email_cli.checks.account import examine, examine_offline  # on use
    from prx_email_cli.checks.drop import check_drop  # on use
    from prx_email_cli.checks.machine import check_machine  # on use
    from prx_email_cli.checks.outbox import check_outbox  # on use
    from prx_email_cli.cli.sharing import sharing  # on use

    try:
        settings = this.settings()
        outbox = settings.outbox.name
    except ChangeableByOthers as error:  # no account or file that this config names is tried
        for fault in [*faults(this.config_file)] or [error]:
            yield "machine", failed("permissions", fault)
        return
    except PrxEmailError as error:
        yield "machine", failed("config", error)
        return
    now = time.time()
    for check in check_machine(settings, now):
        yield "machine", check
    for check in check_outbox(surroundings_of(settings.outbox), lambda: this.store(settings), int(now)):
        yield f"outbox {outbox}", check
    for check in check_drop(settings):
        yield f"outbox {outbox}", check
    with suppress(PrxEmailError), sharing(this, settings) as (shared, _):  # what is wrong with the outbox was said
        for account in settings.accounts.values():
            for check in examine_offline(account, shared) if offline else examine(account, now, shared).checks:
                yield f"account {account.name}: {account.host}:{account.port}", check


def _object(groups: "dict[str, list[Check]]") -> dict[str, Any]:
    return {"checks": [{"group": group, **check_object(check)} for group in groups for check in groups[group]]}


def _error(unwell: "list[Check]") -> dict[str, str] | None:
    if not unwell:
        return None
    first = unwell[0]
    more = f" (and {len(unwell) - 1} more)" if len(unwell) > 1 else ""
    return error_object(first.code, f"{first.name}: {first.detail}{more}", first.fix)


apps = {"doctor": app}
