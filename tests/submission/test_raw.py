"""A message that comes whole is stored as it came, but for what it lacks and what must not leave."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prx_email_cli.config.settings import Settings, load_settings
from prx_email_cli.errors import ValidationError
from prx_email_cli.outbox.messages import Esmtp, NewMessage, Schedule
from prx_email_cli.submission.raw import Envelope, Taker
from prx_email_cli.submission.spool import Spool

NOW = 1_900_000_000
CONFIG = """
default_account = "work"
[accounts.work]
from = "Ops <ops@example.com>"
smtp.host = "mail.example.com"
[accounts.home]
from = "me@home.example"
smtp.host = "mail.home.example"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    file = tmp_path / "config.toml"
    file.write_text(CONFIG)
    return load_settings(file)


@pytest.fixture
def spool() -> Iterator[Spool]:
    with Spool() as spool:
        yield spool


class Take:
    """Takes messages in, where ``root`` stands for two addresses and other local names for nobody."""

    def __init__(self, settings: Settings, spool: Spool) -> None:
        self._taker = Taker(settings, spool, self._qualify)

    @staticmethod
    def _qualify(local: str) -> list[str]:
        if local != "root":
            raise ValidationError(f"no such user: {local}")
        return ["ops@example.com", "second@example.com"]

    def __call__(self, text: str | bytes, *recipients: str, **envelope: Any) -> NewMessage:
        data = text.encode() if isinstance(text, str) else text
        given = Envelope(recipients=recipients or ("a@example.org",), **envelope)
        return self._taker.take([data], given, lambda: Schedule.at_once(NOW))


@pytest.fixture
def take(settings: Settings, spool: Spool) -> Take:
    return Take(settings, spool)


def content(message: NewMessage) -> bytes:
    return b"".join(message.content.pieces)


def read(message: NewMessage) -> EmailMessage:
    return email.message_from_bytes(content(message).replace(b"\r\n", b"\n"), policy=email.policy.default)


WHOLE = (
    b"Received: from x\r\nFrom: Me <me@home.example>\r\nTo: b@example.org\r\nDate: Sun, 17 Mar 2030 10:00:00 +0000\r\n"
    b"Message-ID: <own@x>\r\nSubject: =?utf-8?q?=C3=BC?=\r\n\tmore\r\nMIME-Version: 1.0\r\nX-Odd:  two  spaces \r\n\r\n"
    b"body\r\n.\r\n"
)


def test_a_complete_message_stays_as_it_is(take: Take) -> None:
    for text in (WHOLE, WHOLE.replace(b"\r\n", b"\n")):
        message = take(text)
        assert content(message) == WHOLE
        assert (message.account, message.sender, message.own_message_id) == ("home", "me@home.example", "<own@x>")
        assert (message.subject, message.esmtp) == ("ü more", Esmtp())


def test_what_is_missing_comes(take: Take) -> None:
    message = take("Subject: s\n\nhello\n", full_name="Cron Daemon")
    mail = read(message)
    assert mail["From"] == "Cron Daemon <ops@example.com>"
    assert mail["Date"].datetime.timestamp() == NOW
    assert (mail["MIME-Version"], mail.get_content_type(), mail.get_content()) == ("1.0", "text/plain", "hello\n")
    assert (message.own_message_id, message.account, message.sender) == (None, "work", "ops@example.com")


def test_text_without_any_header_is_the_body(take: Take) -> None:
    assert read(take("hello: you\nthere\n")).get_content() == "there\n"
    assert read(take("hello you\nthere\n")).get_content() == "hello you\nthere\n"
    assert read(take("")).get_content() == ""


def test_a_local_from_becomes_the_accounts_with_its_name(take: Take) -> None:
    mail = read(take("From: root (Cron Daemon)\nSubject: s\n\nb\n", sender="root"))
    assert mail["From"] == "Cron Daemon <ops@example.com>"


def test_bcc_goes_and_its_recipients_are_addressed(take: Take) -> None:
    text = "To: b@example.org, root\nCc: Group: c@example.org;\nBcc: d@example.org\nResent-Bcc:\n\nb\n"
    message = take(text, "a@example.org", from_headers=True)
    assert [one.address for one in message.recipients] == [
        "a@example.org", "b@example.org", "ops@example.com", "second@example.com", "c@example.org", "d@example.org",
    ]  # fmt: skip
    assert b"bcc" not in content(message).lower()
    assert read(message)["To"] == "b@example.org, root"


@pytest.mark.parametrize("text", ["root", "<root>", "Admin <root>", "root (the boss)"])
def test_a_local_name_is_qualified_however_it_is_written(take: Take, text: str) -> None:
    assert [one.address for one in take("\nb\n", text).recipients] == ["ops@example.com", "second@example.com"]


@pytest.mark.parametrize("text", ["nobody", "a b c", "a@", "@x", "a@x y@z", "-oops@"])
def test_what_is_no_recipient_is_refused(take: Take, text: str) -> None:
    with pytest.raises(ValidationError):
        take("\nb\n", text)


def test_the_null_sender_and_another_sender_are_kept(take: Take) -> None:
    assert take("\nb\n", sender="").sender == ""
    assert take("\nb\n", sender="bounce@example.net").sender == "bounce@example.net"


def test_8_bit_content_is_noted_and_named(take: Take) -> None:
    message = take("Subject: s\n\nGrüße\n")
    assert message.esmtp is not None
    assert message.esmtp.eight_bit
    assert read(message).get_content() == "Grüße\n"
    assert read(take(b"\n\xe4\n"))["Content-Type"].params["charset"] == "unknown-8bit"


def test_lines_that_no_server_takes_and_nul_are_encoded(take: Take) -> None:
    for body in ("x" * 5000 + "\n", "a\0b\n"):
        message = take(f"Subject: s\nMIME-Version: 1.0\nContent-Type: text/plain\n\n{body}")
        assert max(map(len, content(message).split(b"\r\n"))) <= 998
        assert b"\0" not in content(message)
        assert read(message).get_content() == body


def test_of_several_message_ids_the_first_is_kept_and_an_empty_one_goes(take: Take) -> None:
    message = take("Message-ID: <a@x>\nMessage-ID: <b@x>\n\nb\n")
    assert (message.own_message_id, content(message).count(b"Message-ID")) == ("<a@x>", 1)
    message = take("Message-ID:\n\nb\n")
    assert (message.own_message_id, content(message).count(b"Message-ID")) == (None, 0)


def test_a_large_message_is_not_held_in_memory_and_has_its_digest(settings: Settings) -> None:
    with Spool(memory_bytes=1000) as spool:
        message = Take(settings, spool)("Subject: s\n\n" + "line\n" * 1000)
        assert content(message) == content(message)
        assert message.content.size_bytes == len(content(message))
        assert message.content.digest == message.content.of(content(message)).digest


def test_one_larger_than_allowed_and_one_in_a_circle_are_refused(take: Take, settings: Settings) -> None:
    with pytest.raises(ValidationError, match="size limit"):
        take(b"\n" + b"x" * (settings.attachments.policy.max_message_bytes + 1))
    with pytest.raises(ValidationError, match=r"5\.4\.6"):
        take("Received: x\n" * 51 + "\nb\n")


@given(data=st.binary(max_size=300))
def test_whatever_comes_is_stored_with_crlf_or_refused(data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_text(CONFIG)
    with Spool() as spool:
        try:
            message = Take(load_settings(file), spool)(data)
        except ValidationError:
            return
        stored = content(message)
        assert b"\n" not in stored.replace(b"\r\n", b"")
        assert b"\r" not in stored.replace(b"\r\n", b"")
        assert b"\r\n\r\n" in stored
