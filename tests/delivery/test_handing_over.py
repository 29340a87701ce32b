"""A message that this program fails to hand over has an outcome all the same, and no server takes it for whole."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from prx_email_cli.delivery.handing_over import Flying, take_off
from prx_email_cli.errors import OutboxDamaged
from prx_email_cli.outbox.lifecycle import Outcome
from prx_email_cli.outbox.messages import Claimed
from prx_email_cli.outbox.store import Run

from ..smtp.courier import message_to, session_with
from ..support.scripted import ScriptedServer

HEAD = b"Subject: hello\r\n\r\n"


class _FailingRun:
    """A run whose outbox gives a piece of the content, and then *error*."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def content(self, claimed: Claimed) -> Iterator[bytes]:
        yield b"a line of " * 10_000
        raise self._error


def _outcome(server: ScriptedServer, error: BaseException) -> Outcome:
    """What came of it."""
    with session_with(server.port) as session:
        claimed = message_to("a@example.org", content=HEAD, size=200_000)
        flying = take_off(claimed, session, cast(Run, _FailingRun(error)), 0)
        assert isinstance(flying, Flying)
        with pytest.raises(type(error)):
            session.carry_out(flying.transaction)
        session.abandon()
        return flying.interrupted() if isinstance(error, KeyboardInterrupt) else flying.failed(error)


@pytest.mark.parametrize(
    ("error", "code", "detail"),
    [
        (OutboxDamaged("a page is damaged"), "storage", "a page is damaged"),
        (RuntimeError("no such luck"), "internal", "this program failed while the content was sent: no such luck"),
        (KeyboardInterrupt(), "network", "interrupted while the content was sent"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_failure_halfway_is_the_outcome_and_nothing_was_delivered(
    error: BaseException, code: str, detail: str
) -> None:
    with ScriptedServer() as server:
        outcome = _outcome(server, error)
        server.wait_for(lambda: server.open_connections == 0)
        assert not [message for message in server.messages if message.acknowledged]
    assert (outcome.error, outcome.uncertain, outcome.acceptance) == (code, False, None)
    assert detail in (outcome.detail or "")
    assert outcome.damaged is isinstance(error, OutboxDamaged)
    assert "DATA" in outcome.dialogue
