"""``prx-email account test``: try an account step by step, without sending mail."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.options import Json, Name
from prx_email_cli.cli.output import put, put_check, put_json, report_error, say
from prx_email_cli.cli.render import check_object, error_object, masked, safe

if TYPE_CHECKING:
    from prx_email_cli.checks.account import Examination
    from prx_email_cli.config.settings import Account


def test(
    ctx: typer.Context,
    name: Name = None,
    every: Annotated[bool, typer.Option("--all", help="Try every account of the config, one after the other.")] = False,
    as_json: Json = False,
) -> None:
    """Connect, start TLS and log in as a drain does, and print each step; no mail is sent.

    With --all, the exit status is that of the first account that does not work.
    Example: prx-email account test work
    """
    this = invocation(ctx)
    if not every:
        try_account(this, this.settings().account(name))
        return
    if name is not None:
        raise typer.BadParameter("use only one of NAME and --all")
    _try_all(this, list(this.settings().accounts.values()))


def _try_all(this: Invocation, accounts: "list[Account]") -> None:
    """Try *accounts* and print each step.  Raises typer.Exit when one does not work."""
    tried = []
    for account in accounts:
        found = _examined(this, account)
        tried.append(found)
        if found.error is not None and not this.json:
            report_error(found.error, as_json=False)
    failed = [found.error for found in tried if found.error is not None]
    if this.json:
        data = [{**_examination_object(found), "error": _error(found)} for found in tried]
        put_json(data, next((error for error in map(_error, tried) if error is not None), None))
    elif failed:
        say(f"{len(failed)} of {len(tried)} accounts do not work")
    if failed:
        raise typer.Exit(failed[0].exit_code)


def try_account(this: Invocation, account: "Account") -> None:
    """Try *account* and print each step.  Raises typer.Exit when the account does not work."""
    found = _examined(this, account)
    if found.error is not None:
        report_error(found.error, as_json=this.json, data=_examination_object(found))
        raise typer.Exit(found.error.exit_code)
    if this.json:
        put_json(_examination_object(found))


def _examined(this: Invocation, account: "Account") -> "Examination":
    """Examine *account*, and print each step to a person; the error that follows says why the last one failed.

    One that works rests no longer.
    """
    from prx_email_cli.checks.account import examine, unexamined  # on use
    from prx_email_cli.cli.pausing import wake  # on use
    from prx_email_cli.cli.sharing import reserved, sharing  # on use

    with sharing(this, this.settings()) as (shared, store):
        in_use = reserved(store, account)
        found = examine(account, time.time(), shared) if in_use is None else unexamined(account, in_use)
    if found.error is None:
        wake(this, account.name)
    if not this.json:
        put(f"{safe(account.name)}: {safe(account.host)}:{account.port}")
        for check in found.checks:
            put_check(check, brief=check.result == "failed")
    return found


def _error(found: "Examination") -> dict[str, str] | None:
    if found.error is None:
        return None
    return error_object(found.error.code, masked(found.error.message), masked(found.error.hint))


def _examination_object(found: "Examination") -> dict[str, Any]:
    """Make the JSON object of a tried account."""
    account, profile = found.account, found.profile
    return {
        "account": account.name,
        "host": account.host,
        "port": account.port,
        "addresses": found.addresses,
        "peer": profile.peer,
        "tls_version": profile.tls,
        "cipher": profile.cipher,
        "certificate": profile.certificate._asdict() if profile.certificate is not None else None,
        "extensions": profile.shown_extensions,
        "login": profile.login,
        "size_limit": profile.size_limit,
        "steps": [check_object(check) for check in found.checks],
    }
