"""A message that this program fails to hand over has an outcome all the same, and no server takes it for whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import cast

import pytest

from prx_email_cli.delivery.handing_over import hand_over
from prx_email_cli.errors import OutboxDamaged
from prx_email_cli.outbox.lifecycle import Outcome, RecipientResult
from prx_email_cli.outbox.messages import Claimed
from prx_email_cli.outbox.store import Run

from ..smtp.courier import message_to, session_with
from ..support.scripted import ScriptedServer

HEAD = b"Subject: hello\r\n\r\n"


class _FailingRun:
    """A run whose outbox gives a piece of the content, and then *error*."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def about_to_end(self, claimed: Claimed, results: Mapping[int, RecipientResult]) -> None:
        pass

    def content(self, claimed: Claimed) -> Iterator[bytes]:
        yield b"a line of " * 10_000
        raise self._error


def _outcome(server: ScriptedServer, error: BaseException) -> tuple[Outcome, bool]:
    """What came of it, and whether the run is asked to end."""
    with session_with(server.port) as session:
        claimed = message_to("a@example.org", content=HEAD, size=200_000)
        outcome, untouched = hand_over(session, claimed, cast(Run, _FailingRun(error)))
        assert (untouched, session.alive) == (False, False)
        return outcome, session.interrupted


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
        outcome, interrupted = _outcome(server, error)
        server.wait_for(lambda: server.open_connections == 0)
        assert not [message for message in server.messages if message.acknowledged]
    assert (outcome.error, outcome.uncertain, outcome.acceptance) == (code, False, None)
    assert detail in (outcome.detail or "")
    assert outcome.damaged is isinstance(error, OutboxDamaged)
    assert interrupted is isinstance(error, KeyboardInterrupt)
    assert "DATA" in outcome.dialogue
