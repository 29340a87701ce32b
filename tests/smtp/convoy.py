"""Several messages over one connection, one behind the other, and the server that a test writes down for them."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from prx_email_cli.smtp.envelope import Envelope, Recipient, Result
from prx_email_cli.smtp.pipeline import Waiting
from prx_email_cli.smtp.session import Ended, Session
from prx_email_cli.smtp.transaction import AboutToEnd, Transaction

from ..support.certs import Certificates
from ..support.step_server import PATIENCE_SECONDS, StepServer, Talk
from .courier import session_with

TEXT = b"Subject: hello\r\n\r\ntext\r\n"
MAIL_OK, RCPT_OK, GO_ON = "250 sender ok", "250 recipient ok", "354 go ahead"
ENVELOPE_OK = (MAIL_OK, RCPT_OK, GO_ON)


class Cargo(NamedTuple):
    """What a message is made of."""

    recipients: Sequence[str] = ("a@example.org",)
    content: bytes = TEXT
    smtputf8: bool = False
    about_to_end: AboutToEnd | None = None


class Arrived(NamedTuple):
    """What became of the messages of a convoy, in order.

    results: of each that was begun.  lines: what the server heard.  alive: whether the session still was, at the end.
    """

    results: list[Result]
    lines: list[bytes]
    alive: bool

    @property
    def fates(self) -> list[list[str] | str]:
        """Of each message the fates of its recipients, in order; "left alone" instead."""
        return [
            "left alone" if one.left_alone else [fate.fate.value for _, fate in sorted(one.recipients.items())]
            for one in self.results
        ]


def transactions(session: Session, cargo: Sequence[Cargo]) -> list[Transaction]:
    """The transactions of *cargo*; their Message-IDs are numbered from 1."""
    return [
        Transaction(
            Envelope(
                f"sender{number}@example.com",
                [Recipient(place, address) for place, address in enumerate(one.recipients)],
                f"<{number}@example.com>",
                len(one.content),
                [one.content],
                one.smtputf8,
            ),
            session.profile,
            session.patience,
            one.about_to_end,
        )
        for number, one in enumerate(cargo, 1)
    ]


def next_event(session: Session) -> Ended:
    """Wait for the next transaction to end."""
    deadline = time.monotonic() + 2 * PATIENCE_SECONDS
    while isinstance(event := session.go_on(time.monotonic()), Waiting):
        session._channel.wait(read=event.read, write=event.write, seconds=event.until - time.monotonic())
        assert time.monotonic() < deadline
    assert isinstance(event, Ended)
    return event


def sent_over(session: Session, cargo: Sequence[Cargo]) -> list[Result]:
    """Send *cargo* over *session*, one behind the other as long as it lives."""
    waiting = iter(transactions(session, cargo))
    results = []
    while session.usable() and (first := next(waiting, None)) is not None:
        session.start(first, partial(next, waiting, None))
        while session.busy:
            results.append(next_event(session).result)
    return results


@contextlib.contextmanager
def session_to(
    speak: Callable[[Talk], None], certificates: Certificates | None = None, **smtp: Any
) -> Iterator[tuple[Session, StepServer]]:
    """A session with a server that greets, offers PIPELINING and then speaks; with TLS if there are *certificates*."""
    patience = {"timeout_seconds": PATIENCE_SECONDS, "data_timeout_seconds": PATIENCE_SECONDS}
    secured = {} if certificates is None else {"tls": "implicit", "tls_ca_file": certificates.ca_file}
    context = None if certificates is None else certificates.server_context()
    with (
        StepServer(partial(_greet, speak, context)) as server,
        session_with(server.port, **{**patience, **secured, **smtp}) as session,
    ):
        yield session, server


def _greet(speak: Callable[[Talk], None], context: ssl.SSLContext | None, talk: Talk) -> None:
    if context is not None:
        talk.sock = context.wrap_socket(talk.sock, server_side=True)
    try:
        talk.say("220 step.test ESMTP")
        talk.line()
        talk.say("250-step.test", "250-SIZE 0", "250 PIPELINING")
        speak(talk)
    finally:
        if context is not None:
            talk.sock.close()


def convoy(speak: Callable[[Talk], None], *cargo: Cargo, certificates: Certificates | None = None, **smtp: Any
           ) -> Arrived:  # fmt: skip
    """Send *cargo*, by default two small messages, to a server that speaks so after EHLO."""
    with session_to(speak, certificates, **smtp) as (session, server):
        results = sent_over(session, cargo or (Cargo(), Cargo()))
        return Arrived(results, server.heard[0], session.alive)


def envelope(talk: Talk) -> list[str]:
    """Read one, to DATA."""
    lines = [talk.line()]
    while lines[-1] != "DATA":
        lines.append(talk.line())
    return lines


def first_and_next_envelope(talk: Talk) -> None:
    """Take the first message up to its dot, unanswered, and the envelope of the next one."""
    envelope(talk)
    talk.say(*ENVELOPE_OK)
    talk.content()
    envelope(talk)
