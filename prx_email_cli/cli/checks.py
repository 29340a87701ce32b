"""Checks as a person and as a script sees them: of one account, and of everything."""

from typing import TYPE_CHECKING, Any

import typer

from prx_email_cli.cli.context import Invocation
from prx_email_cli.cli.masking import masked
from prx_email_cli.cli.output import put, put_json, report_error, safe

if TYPE_CHECKING:
    from prx_email_cli.checks.account import Examination
    from prx_email_cli.checks.check import Check
    from prx_email_cli.config.settings import Account

_MARKS = {"ok": "ok", "warning": "WARN", "failed": "FAIL"}


def try_account(this: Invocation, account: "Account") -> None:
    """Try *account* and tell of each step.  Ends the command where it does not work."""
    import time

    from prx_email_cli.checks.account import examine

    found = examine(account, time.time())
    if not this.json:
        put(f"{safe(account.name)}: {safe(account.host)}:{account.port}")
        for check in found.checks:
            if check.result == "failed":  # the error that follows says why
                put(f"  {_MARKS[check.result]:<5} {check.name}")
            else:
                put_check(check)
    if found.error is not None:
        report_error(found.error, as_json=this.json, data=examination_object(found))
        raise typer.Exit(found.error.exit_code)
    if this.json:
        put_json(examination_object(found))


def put_check(check: "Check") -> None:
    """One line for *check*, and one for its fix."""
    put(f"  {_MARKS[check.result]:<5} {check.name:<18} {safe(masked(check.detail))}")
    if check.fix:
        put(f"  {'':<5} {'':<18} fix: {safe(masked(check.fix))}")


def check_object(check: "Check") -> dict[str, str]:
    """What ``--json`` has of *check*."""
    return {"name": check.name, "result": check.result, "detail": masked(check.detail), "fix": masked(check.fix)}


def examination_object(found: "Examination") -> dict[str, Any]:
    """What ``--json`` has of a tried account."""
    account, facts = found.account, found.facts
    return {
        "account": account.name,
        "host": account.host,
        "port": account.port,
        "addresses": found.addresses,
        "peer": facts.peer,
        "tls": facts.tls,
        "cipher": facts.cipher,
        "certificate": facts.certificate._asdict() if facts.certificate is not None else None,
        "extensions": facts.shown_extensions,
        "login": facts.login,
        "size_limit": facts.size_limit,
        "steps": [check_object(check) for check in found.checks],
    }
