"""``prx-email account test``: try an account step by step, without sending mail."""

import time
from typing import TYPE_CHECKING, Any

import typer

from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.options import Json, Name
from prx_email_cli.cli.output import put, put_check, put_json, report_error
from prx_email_cli.cli.render import check_object, safe

if TYPE_CHECKING:
    from prx_email_cli.checks.account import Examination
    from prx_email_cli.config.settings import Account


def test(ctx: typer.Context, name: Name = None, as_json: Json = False) -> None:
    """Connect, start TLS and log in as a drain does, and print each step; no mail is sent.

    Example: prx-email account test work
    """
    this = invocation(ctx)
    try_account(this, this.settings().account(name))


def try_account(this: Invocation, account: "Account") -> None:
    """Try *account* and print each step.  Raises typer.Exit when the account does not work."""
    from prx_email_cli.checks.account import examine  # on use

    found = examine(account, time.time())
    if not this.json:
        put(f"{safe(account.name)}: {safe(account.host)}:{account.port}")
        for check in found.checks:
            put_check(check, brief=check.result == "failed")  # the error that follows says why
    if found.error is not None:
        report_error(found.error, as_json=this.json, data=_examination_object(found))
        raise typer.Exit(found.error.exit_code)
    if this.json:
        put_json(_examination_object(found))


def _examination_object(found: "Examination") -> dict[str, Any]:
    """Make the JSON object of a tried account."""
    account, profile = found.account, found.profile
    return {
        "account": account.name,
        "host": account.host,
        "port": account.port,
        "addresses": found.addresses,
        "peer": profile.peer,
        "tls": profile.tls,
        "cipher": profile.cipher,
        "certificate": profile.certificate._asdict() if profile.certificate is not None else None,
        "extensions": profile.shown_extensions,
        "login": profile.login,
        "size_limit": profile.size_limit,
        "steps": [check_object(check) for check in found.checks],
    }
