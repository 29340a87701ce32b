"""Answers: data on stdout, talk on stderr, and nothing from outside interpreted by the terminal."""

import re
import sys
from typing import Any

from prx_email_cli.errors import PrxEmailError

# Control characters, and the bidirectional and invisible ones with which text can pretend to be other text.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")


def safe(text: object) -> str:
    """*text* on one line, fit for a terminal: whatever could move its cursor or mislead its reader is escaped."""
    return _UNSAFE.sub(_escaped, str(text)).replace("\n", "\\n").replace("\t", "\\t")


def safe_lines(text: str) -> str:
    """Like ``safe``, but keeps line breaks."""
    return "\n".join(safe(line) for line in text.split("\n"))


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def say(text: str) -> None:
    """One line of talk."""
    sys.stderr.write(text + "\n")


def put(text: str) -> None:
    """One line of data."""
    sys.stdout.write(text + "\n")


def put_json(data: Any, error: dict[str, str] | None = None) -> None:
    """The contract's one JSON object; ``ok`` says whether *error* is null."""
    import json

    put(json.dumps({"ok": error is None, "data": data, "error": error}, ensure_ascii=True))


def error_object(code: str, message: str, hint: str = "") -> dict[str, str]:
    """The ``error`` member of the JSON object."""
    return {"code": code, "message": message, "hint": hint}


def report_error(error: PrxEmailError, *, as_json: bool, data: Any = None) -> None:
    """Tell of an error that ends the command."""
    from prx_email_cli.cli.masking import masked

    message, hint = masked(error.message), masked(error.hint)
    if as_json:
        put_json(data, error_object(error.code, message, hint))
        return
    say(f"error: {safe(message)}")
    if hint:
        say(f"hint: {safe(hint)}")
