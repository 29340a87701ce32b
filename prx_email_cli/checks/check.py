"""A check: one thing that was looked at, and its verdict."""

from enum import StrEnum
from typing import NamedTuple

from prx_email_cli.errors import Exit, PrxEmailError


class Verdict(StrEnum):
    """The result of a check."""

    OK = "ok"
    WARNING = "warning"  # it works, but not as it should, or not for long
    FAILED = "failed"


class Check(NamedTuple):
    """One thing that was looked at.

    detail: what was seen.  fix: what to do about it, "" when all is well.  code and exit: error code and exit status of
    a command that ends because of it.
    """

    name: str
    result: Verdict
    detail: str
    fix: str = ""
    code: str = ""
    exit: Exit = Exit.OK


def ok(name: str, detail: str) -> Check:
    """Return a check that found all well."""
    return Check(name, Verdict.OK, detail)


def warning(name: str, detail: str, fix: str, error: type[PrxEmailError]) -> Check:
    """Return a check of what works for now, but needs a *fix*.

    error: the class that code and exit status are taken from.
    """
    return Check(name, Verdict.WARNING, detail, fix, error.code, error.exit_code)


def failed(name: str, error: PrxEmailError) -> Check:
    """Return a check that failed with *error*."""
    return Check(name, Verdict.FAILED, error.message, error.hint, error.code, error.exit_code)
