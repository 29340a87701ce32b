"""From a text to the server's record of it: composed, stored, claimed and handed over on a real connection."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prx_email_cli.errors import ValidationError
from prx_email_cli.outbox.finish import finish
from prx_email_cli.outbox.lifecycle import RetryPolicy
from prx_email_cli.outbox.messages import Moment
from prx_email_cli.outbox.sqlite.store import SqliteStore
from prx_email_cli.outbox.store import Run
from prx_email_cli.smtp.session import Session

from ..outbox.messages import claim
from ..smtp.courier import account_for, hand_over, open_session
from ..support.record import Received
from ..support.scripted import ScriptedServer
from .letters import NOW, composed, payload, read

SMUGGLED = "MAIL FROM:<x@evil.example>{0}RCPT TO:<y@example.org>{0}DATA{0}From: x{0}{0}smuggled{0}.{0}"
DOTS = ["\r\n.\r\n", "\n.\n", "\r.\r", "\n.\r\n", "\r\n.\n", "\r.\r\n", "\r\n.\r", "\r\r\n.\r\n", "\r\n\0.\r\n",
        "\n.\r", "\x85.\x85", "\u2028.\u2028", "\r\n..\r\n", ".\r\n"]  # fmt: skip
PIECES = st.one_of(
    st.sampled_from([*DOTS, "\r", "\n", ".", "From ", "=", " ", "\0", "🙂", "x" * 2000, "QUIT\r\n", "RSET\n"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)
BODY = st.lists(PIECES, min_size=1, max_size=15).map("".join).filter(str.strip)
SUBJECT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=100)


class Courier:
    """One outbox, one server, one connection: every example is one more message on it."""

    def __init__(self, store: SqliteStore, run: Run, server: ScriptedServer, session: Session) -> None:
        self.store, self.run, self.server, self.session = store, run, server, session

    def deliver(self, subject: str, body: str) -> Received:
        """The one message that arrived."""
        self.store.enqueue([composed(subject=subject, body_text=body)])
        claimed = claim(self.run, NOW)
        before = len(self.server.messages)
        outcome = hand_over(self.session, claimed, self.run.content(claimed))
        self.run.advance([finish(claimed, outcome, RetryPolicy(), Moment(NOW))], [])
        assert (outcome.error, self.session.alive) == (None, True)
        (received,) = self.server.messages[before:]
        assert received.message_id == claimed.message_id
        return received


@pytest.fixture(scope="module")
def courier(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Courier]:
    path: Path = tmp_path_factory.mktemp("wire") / "outbox.db"
    with ExitStack() as stack:
        server = stack.enter_context(ScriptedServer())
        store = SqliteStore(path, message_id_domain="prx-email.local")
        stack.callback(store.close)
        session = open_session(account_for(server.port))
        stack.callback(session.close)
        yield Courier(store, stack.enter_context(store.start_run(NOW)), server, session)


def expected(body: str, content: bytes) -> bytes:
    """The body's octets, with the line ends of *content* where the body has only LF ones."""
    alike = set(re.findall("\r\n|\r|\n", body)) <= {"\n"}
    return body.replace("\n", "\r\n").encode() if alike and b"\r\n" in content else body.encode()


@settings(max_examples=60, deadline=None)
@given(subject=SUBJECT, body=BODY)
@example(subject="a lone dot", body=".\n.\r\n.")
@example(subject="2,000 characters", body="x" * 2000)
@example(subject="日本語 Привет 🙂 مرحبا", body="emoji 🙂\nno final newline")
@example(subject="=?utf-8?q?as_it_is?=", body="trailing \t\n")
def test_what_was_written_is_what_arrives_in_one_message(courier: Courier, subject: str, body: str) -> None:
    try:
        received = courier.deliver(subject, body)
    except ValidationError:  # refused before it was stored: an encoded word that hides something
        return
    message = read(received.content)
    content = payload(message)
    assert content == expected(body, content)
    assert str(message["Subject"]) == subject.strip(" ")
    assert not received.bare_newlines
    assert received.recipients == ["a@example.org"]
    assert not any(len(line) > 998 for line in received.content.split(b"\r\n"))


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
@pytest.mark.parametrize("dot", DOTS)
def test_no_way_of_ending_the_data_smuggles_a_second_message(courier: Courier, dot: str, end: str) -> None:
    body = f"first{dot}{SMUGGLED.format(end)}after"
    before = len(courier.server.commands)
    received = courier.deliver("smuggling", body)
    content = payload(read(received.content))
    assert content == expected(body, content)
    assert not received.bare_newlines
    verbs = [command.line.split(" ")[0] for command in courier.server.commands[before:]]
    assert verbs == ["MAIL", "RCPT", "DATA"]
    assert courier.server.violations == []
