"""Automatic mail is known by its sender and its headers."""

from __future__ import annotations

import pytest

from prx_email_cli.mail.automatic import is_automatic
from prx_email_cli.mail.raw_head import split_head


@pytest.mark.parametrize(
    ("head", "automatic"),
    [
        (b"Subject: s", False),
        (b"Auto-Submitted: auto-generated", True),
        (b"AUTO-SUBMITTED: Auto-Replied; owner-email=a@b", True),
        (b"Auto-Submitted: auto-x-new", True),
        (b"Auto-Submitted: no", False),
        (b"Auto-Submitted: (a person) No ; x=y", False),
        (b"Auto-Submitted:\r\n no", False),
        (b"Auto-Submitted:", False),
        (b"X-Cron-Env: <SHELL=/bin/sh>", True),
        (b"X-Cron-Envelope: x", False),
        (b"Subject: Auto-Submitted: auto-generated", False),
    ],
)
def test_a_header_says_so(head: bytes, automatic: bool) -> None:
    fields, _ = split_head([head + b"\r\n\r\nX-Cron-Env: in the text\r\n"])
    assert is_automatic("me@example.org", fields) == automatic
    assert is_automatic("", fields), "the null sender"
