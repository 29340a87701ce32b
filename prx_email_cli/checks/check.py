"""One thing that was looked at, and what came of it."""

from typing import NamedTuple

from prx_email_cli.errors import Exit, PrxEmailError

OK, WARNING, FAILED = "ok", "warning", "failed"


class Check(NamedTuple):
    """One thing that was looked at.

    result: ok, warning or failed.  detail: what was seen.  fix: what to do about it, "" when all is well.  code and
    exit: what a command that ends because of it says.
    """

    name: str
    result: str
    detail: str
    fix: str = ""
    code: str = ""
    exit: Exit = Exit.OK


def ok(name: str, detail: str) -> Check:
    """All is well."""
    return Check(name, OK, detail)


def warning(name: str, detail: str, fix: str, error: type[PrxEmailError]) -> Check:
    """It works, but not as it should, or not for long; *error* is what kind of trouble that is."""
    return Check(name, WARNING, detail, fix, error.code, error.exit_code)


def failed(name: str, error: PrxEmailError) -> Check:
    """It does not work."""
    return Check(name, FAILED, error.message, error.hint, error.code, error.exit_code)
