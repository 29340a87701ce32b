"""Faults that come together or one after the other, and the account failures that the matrix has no place for."""

from collections.abc import Callable

import pytest

from prx_email_cli.outbox.lifecycle import RecipientStatus

from ..support.faults import Fault
from ..support.scripted import ScriptedServer, refusing_port
from .campaign import Outbox, copies
from .places import FIRST, SECOND
from .stores import MEMORY, POSTGRESQL, WHOLE

OutboxAt = Callable[[int], Outbox]
MANY = tuple(f"r{number}@example.org" for number in range(1, 251))
DOT_LOST = Fault("after_dot", "close", times=1, delivered=True)


def drain_when_due(outbox: Outbox, outbox_id: int) -> None:
    """One drain, at the time when the message is due and its account has rested."""
    outbox.now = max(outbox.now, outbox.store.row(outbox_id).next_attempt_at or 0)
    outbox.let_rest()
    outbox.drain()


def message_ids(server: ScriptedServer) -> list[str]:
    """Of the copies that the server stored, without the domain."""
    return [copy.message_id.partition("@")[0] for copy in copies(server, "subject")]


def test_an_uncertain_message_keeps_its_message_id_through_later_definite_failures(outbox_at: OutboxAt) -> None:
    """Its first copy may have been accepted, whatever is said of the following ones."""
    faults = [DOT_LOST, Fault("mail", "451 4.3.0 later", times=1, skip=1)]
    with ScriptedServer(faults) as server:
        outbox = outbox_at(server.port)
        outbox_id = outbox.add("subject", FIRST)
        uncertain = []
        for _ in range(3):
            drain_when_due(outbox, outbox_id)
            uncertain.append(outbox.store.row(outbox_id).attempts[-1].uncertain)
        assert outbox.store.row(outbox_id).status == "sent"
    assert [happened.fault for happened in server.happened] == faults
    assert uncertain == [True, False, False]
    assert message_ids(server) == [f"<outbox-{outbox_id}-0"] * 2


@pytest.mark.parametrize(
    ("reply", "status", "again", "at_last"),
    [
        ("550 5.1.1 unknown", "refused", [SECOND], ("refused", "failed")),
        ("450 4.2.1 later", "pending", [FIRST, SECOND], ("accepted", "sent")),
    ],
)
def test_a_recipient_refused_before_the_dot_is_lost_stays_so_and_a_deferred_one_is_tried_again_with_the_other(
    outbox_at: OutboxAt, reply: str, status: str, again: list[str], at_last: tuple[str, str]
) -> None:
    faults = [Fault("rcpt", reply, address=FIRST, times=1), DOT_LOST]
    with ScriptedServer(faults) as server:
        outbox = outbox_at(server.port)
        outbox_id = outbox.add("subject", FIRST, SECOND)
        outbox.drain()
        row = outbox.store.row(outbox_id)
        assert [one.status for one in row.recipients] == [status, "pending"]
        assert (row.uncertain, row.gave_up) == (True, None)
        drain_when_due(outbox, outbox_id)
        row = outbox.store.row(outbox_id)
    assert ([one.status for one in row.recipients], row.status) == ([at_last[0], "accepted"], at_last[1])
    assert (row.gave_up is not None) == (status == "refused")
    assert [copy.recipients for copy in copies(server, "subject")] == [[SECOND], again]
    assert message_ids(server) == [f"<outbox-{outbox_id}-0"] * 2


def test_a_definite_answer_after_an_account_failure_is_the_message_s_own(outbox_at: OutboxAt) -> None:
    faults = [Fault("greeting", "554 5.3.2 not today", times=1), Fault("mail", "550 5.7.1 never", times=1)]
    with ScriptedServer(faults) as server:
        outbox = outbox_at(server.port)
        outbox_id = outbox.add("subject", FIRST)
        outbox.drain()
        assert outbox.store.row(outbox_id).gave_up is None
        drain_when_due(outbox, outbox_id)
        row = outbox.store.row(outbox_id)
    assert row.gave_up is not None
    assert [attempt.outcome for attempt in row.attempts] == ["deferred", "gave_up"]


def test_a_server_that_knows_only_helo_is_served(outbox_at: OutboxAt) -> None:
    with ScriptedServer([Fault("ehlo", "502 5.5.1 what?", times=1)]) as server:
        outbox = outbox_at(server.port)
        outbox_id = outbox.add("subject", FIRST, SECOND)
        outbox.drain()
        assert outbox.store.row(outbox_id).status == "sent"
    assert len(server.happened) == 1
    assert server.violations == []


def assert_account_failure(outbox: Outbox, ids: list[int], error: str) -> None:
    """The first message was the probe; the others are as they were."""
    head, *others = (outbox.store.row(outbox_id) for outbox_id in ids)
    assert (head.status, head.retries, head.gave_up, head.uncertain) == ("failed", 1, None, False)
    assert head.error_code == error
    assert [(row.status, row.retries, row.attempts) for row in others] == [("pending", 0, [])] * len(others)


def test_a_refused_connection_is_an_account_failure(outbox_at: OutboxAt) -> None:
    with refusing_port() as port:
        outbox = outbox_at(port)
        ids = [outbox.add("subject", FIRST) for _ in range(5)]
        report = outbox.drain(connections=4)
        assert_account_failure(outbox, ids, "network")
        assert (report.attempted, report.failed, report.still_due) == (1, 1, 4)


def test_a_drain_over_four_connections_tries_a_broken_account_once(outbox_at: OutboxAt) -> None:
    with ScriptedServer([Fault("greeting", "close")]) as server:
        outbox = outbox_at(server.port)
        ids = [outbox.add("subject", FIRST) for _ in range(5)]
        outbox.drain(connections=4)
        assert_account_failure(outbox, ids, "network")
    assert server.connections == 1


@pytest.mark.parametrize("outbox_at", [MEMORY, POSTGRESQL] if WHOLE else [MEMORY], indirect=True)
@pytest.mark.parametrize("place", ["mail", "rcpt", "data", "after_dot"])
@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ("421 4.7.0 slow down", "provider"),
        ("432 4.3.2 concurrent connections limit exceeded", "provider"),
        ("454 4.7.0 temporary authentication failure", "provider"),
        ("550 5.4.5 daily user sending quota exceeded", "provider"),
        ("554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException", "provider"),
        ("535 5.7.8 authentication expired", "auth"),
    ],
)
def test_throttling_quota_and_login_are_the_account_s_wherever_they_are_told(
    outbox_at: OutboxAt, place: str, reply: str, error: str
) -> None:
    """None of them gives a message up, though some are 5xx."""
    fault = Fault(place, reply, times=1)  # type: ignore[arg-type]
    with ScriptedServer([fault]) as server:
        outbox = outbox_at(server.port)
        ids = [outbox.add("subject", FIRST), outbox.add("other", SECOND)]
        outbox.drain()
        assert_account_failure(outbox, ids, error)
        assert reply in str(outbox.store.row(ids[0]).last_error)
        assert (server.connections, server.messages) == (1, [])
        drain_when_due(outbox, ids[0])
        assert [outbox.store.row(outbox_id).status for outbox_id in ids] == ["sent", "sent"]
    assert len(server.happened) == 1


def test_each_reply_is_matched_among_250_recipients_with_refusals_everywhere(outbox_at: OutboxAt) -> None:
    refused = {MANY[number - 1] for number in (1, 98, 99, 100, 101, 150, 199, 250)}
    deferred = {MANY[number - 1] for number in (2, 102, 200, 249)}
    faults = [Fault("rcpt", f"550 5.1.1 no {one}", address=one) for one in refused]
    faults += [Fault("rcpt", f"450 4.2.1 later {one}", address=one, times=1) for one in deferred]
    with ScriptedServer(faults) as server:
        outbox = outbox_at(server.port)
        outbox_id = outbox.add("subject", *MANY)
        outbox.drain()
        row = outbox.store.row(outbox_id)
        outbox.now += 10
        outbox.drain()
        row_at_last = outbox.store.row(outbox_id)
    expected = {one: "refused" if one in refused else "pending" if one in deferred else "accepted" for one in MANY}
    assert {recipient.address: recipient.status for recipient in row.recipients} == expected
    assert all(one.address in str(one.response) for one in row.recipients if one.status != "accepted")
    assert (row.status, row.gave_up, row.uncertain) == ("failed", None, False)
    assert [set(message.recipients) for message in server.messages] == [set(MANY) - refused - deferred, deferred]
    assert sum(one.status is RecipientStatus.REFUSED for one in row_at_last.recipients) == len(refused)
    assert row_at_last.gave_up is not None
    assert server.violations == []


def test_a_reply_of_too_many_recipients_defers_the_rest(outbox_at: OutboxAt) -> None:
    with ScriptedServer(max_recipients=100) as server:
        outbox = outbox_at(server.port)
        outbox_id = outbox.add("subject", *MANY)
        for _ in range(3):
            outbox.drain()
            outbox.now = max(outbox.now, outbox.store.row(outbox_id).next_attempt_at or 0)
        assert outbox.store.row(outbox_id).status == "sent"
    parts = [list(MANY[:100]), list(MANY[100:200]), list(MANY[200:])]
    assert [message.recipients for message in server.messages] == parts


@pytest.mark.parametrize("reply", ["550 5.1.1 unknown", "450 4.2.0 later"])
def test_data_that_is_accepted_although_every_recipient_was_refused_leaves_the_connection_to_the_next_message(
    outbox_at: OutboxAt,
    reply: str,
) -> None:
    faults = [Fault("rcpt", reply, address=one) for one in (FIRST, SECOND)]
    with ScriptedServer(faults, data_without_recipients="accept") as server:
        outbox = outbox_at(server.port)
        subject, other = outbox.add("subject", FIRST, SECOND), outbox.add("other", "d@example.org")
        outbox.drain()
        row, status = outbox.store.row(subject), outbox.store.row(other).status
    assert (row.status, row.uncertain, row.provider_message_id, status) == ("failed", False, None, "sent")
    assert (row.gave_up is not None) == reply.startswith("5")
    assert [(message.content, message.recipients) for message in server.messages[:1]] == [(b"", [])]
    assert (len(copies(server, "other")), server.connections, server.violations) == (1, 1, [])
