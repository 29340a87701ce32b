"""The long way round each shortcut of composing: the same rules, in the form in which they are easiest to read."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail import addresses, compose, headers, mime
from prx_email_cli.mail.address_grammar import parsed_entries

FRAGILE = re.compile(rb"[ \t](?:\n|\Z)|(?m:^From |^\.)|[\0\x7f-\xff]|.{79}")


@contextmanager
def taken() -> Iterator[None]:
    """Have messages composed the long way within."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(addresses, "entries", parsed_entries)
        patch.setattr(addresses, "parse_mailbox", addresses.parse_mailbox.__wrapped__)
        patch.setattr("prx_email_cli.submission.draft.parse_mailbox", addresses.parse_mailbox)
        patch.setattr(compose, "rfc5322_date", date)
        patch.setattr(compose, "checked_headers", checked)
        patch.setattr(headers, "_fold", fold)
        patch.setattr(mime, "encode_text", encode_text)
        yield


def date(now: int) -> str:
    """A Date header's value, as the standard library writes it."""
    return format_datetime(datetime.fromtimestamp(now, UTC))


def fold(start: str, items: list[str], limit: int = headers.FOLD_AT) -> str:
    """A header, item by item."""
    lines = [start]
    for item in items:
        length = len(lines[-1]) + 1 + len(item.split("\r\n", 1)[0])
        if length > (limit if len(lines[-1]) > len(start) else headers.LONGEST_LINE):
            lines.append("")
        lines[-1] += f" {item}"
        lines.extend(lines.pop().split("\r\n"))
    return "\r\n".join(lines) + "\r\n"


def checked(lines: list[str]) -> str:
    """A header block, counted line by line."""
    block = "".join(lines)
    first = [line for line in block.split("\r\n")[:-1] if not line.startswith(" ")]
    if len(first) != sum(map(bool, lines)):
        raise ValidationError("the headers could not be encoded safely")
    return block


def encode_text(text: str) -> tuple[str, bytes]:
    """The encoding of a body and its octets, by one expression for each rule."""
    data = text.encode()
    ends = set(re.findall(rb"\r\n|\r|\n", data))
    if b"\r\n" in ends or b"\r" in ends:
        if ends != {b"\r\n"}:
            return "base64", _base64(data)
        data = data.replace(b"\r\n", b"\n")
    if data.endswith(b"\n") and not FRAGILE.search(data):
        return "7bit", data.replace(b"\n", b"\r\n")
    quoted = _quoted_printable(data)
    if quoted is None or len(quoted) > len(data) * 4 // 3 + 100:
        return "base64", _base64(data.replace(b"\n", b"\r\n"))
    return "quoted-printable", quoted


def _base64(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


def _quoted_printable(data: bytes) -> bytes | None:
    quoted = binascii.b2a_qp(data.replace(b"\n", b"\r\n"), quotetabs=False, istext=True, header=False)
    quoted = re.sub(rb"(?m)^From ", b"=46rom ", quoted)
    quoted = re.sub(rb"(?m)^\.", b"=2E", quoted)
    lines = quoted.split(b"\r\n")
    if any(len(line) > 76 for line in lines):
        return None
    if not lines[-1]:
        return quoted
    return quoted + b"=\r\n" if len(lines[-1]) < 76 else None
