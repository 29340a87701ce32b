"""A message that came whole leaves as it came, or as a server that takes less can take it."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from typing import cast

from prx_email_cli.delivery.handing_over import Flying, outcome_of, take_off
from prx_email_cli.outbox.lifecycle import Outcome
from prx_email_cli.outbox.messages import Claimed, Esmtp
from prx_email_cli.outbox.store import Run

from ..smtp.courier import message_to, session_with
from ..support.scripted import ScriptedServer

OWN = "<own@client.example>"
HEAD = f"Received: from here\r\nMessage-ID: {OWN}\r\nSubject: s\r\nMIME-Version: 1.0\r\n"
BODY = "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n"
SIGNED = (
    'Content-Type: multipart/signed; boundary="b"; micalg=x; protocol=y\r\n\r\n'
    f"--b\r\n{BODY}--b\r\nContent-Type: y\r\n\r\nsignature\r\n--b--\r\n"
)


def raw(text: str, esmtp: Esmtp | None = None) -> Claimed:
    content = (HEAD + text).encode()
    wishes = esmtp or Esmtp(eight_bit=not content.isascii())
    claimed = message_to("a@example.org", content=content)
    return claimed._replace(has_message_id=True, message_id=OWN, esmtp=wishes)


def deliver(server: ScriptedServer, claimed: Claimed) -> Outcome:
    with session_with(server.port) as session:
        flying = take_off(claimed, session, cast(Run, _NotingNothing()), 0)
        assert isinstance(flying, Flying)
        return outcome_of(session.carry_out(flying.transaction))


class _NotingNothing:
    """A run without a flight record."""

    def about_to_end(self, *_: object) -> None: ...


def said(server: ScriptedServer, verb: str) -> str:
    return next(one.line for one in server.commands if one.line.startswith(verb))


def read(content: bytes) -> EmailMessage:
    return email.message_from_bytes(content, policy=email.policy.default)


def test_where_8bitmime_is_offered_every_byte_stays() -> None:
    for text in (BODY, SIGNED):
        with ScriptedServer() as server:
            claimed = raw(text)
            assert deliver(server, claimed).error is None
            assert server.messages[0].content == claimed.head
            assert said(server, "MAIL").endswith(" BODY=8BITMIME")


def test_else_it_is_encoded_anew_and_reads_the_same() -> None:
    with ScriptedServer(eightbitmime=False) as server:
        assert deliver(server, raw(BODY)).error is None
    (message,) = server.messages
    assert message.content.isascii()
    assert message.message_id == OWN
    assert read(message.content).get_content().splitlines() == ["Grüße"]
    assert "BODY" not in said(server, "MAIL")


def test_a_signed_one_that_needs_8bitmime_is_given_up_with_that_reason() -> None:
    with ScriptedServer(eightbitmime=False) as server:
        outcome = deliver(server, raw(SIGNED))
    assert server.messages == []
    assert outcome.error == "provider"
    assert "8BITMIME" in (outcome.detail or "")
    assert outcome.recipients[0].status == "refused"


def test_wishes_of_notifications_are_said_where_they_are_understood() -> None:
    claimed = raw("\r\nplain\r\n", Esmtp(False, "SUCCESS,FAILURE", "HDRS", "q1"))
    with ScriptedServer(extensions=["DSN"]) as server:
        assert deliver(server, claimed).error is None
        assert said(server, "MAIL").endswith(" RET=HDRS ENVID=q1")
        assert said(server, "RCPT") == "RCPT TO:<a@example.org> NOTIFY=SUCCESS,FAILURE"
    with ScriptedServer() as server:
        assert deliver(server, claimed).error is None
        assert "RET" not in said(server, "MAIL")
        assert said(server, "RCPT") == "RCPT TO:<a@example.org>"


def test_one_without_a_message_id_of_its_own_gets_ours() -> None:
    claimed = raw(BODY)._replace(has_message_id=False, message_id="<outbox-7-0@prx-email.local>")
    with ScriptedServer() as server:
        assert deliver(server, claimed).error is None
        assert server.messages[0].content == b"Message-ID: <outbox-7-0@prx-email.local>\r\n" + (claimed.head or b"")
