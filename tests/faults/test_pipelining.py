"""PIPELINING (RFC 2920): the envelope in one write, every reply matched to its command."""

import pytest

from prx_email_cli.outbox.views import Row

from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from .campaign import Outbox, copies
from .envelope_server import EnvelopeServer

THREE = ("a@example.org", "b@example.org", "c@example.org")
MANY = tuple(f"r{number}@example.org" for number in range(1, 251))


def consent(line: str) -> str:
    """Yes to everything."""
    return "354 go ahead" if line == "DATA" else "250 2.0.0 ok"


def attempted(port: int, recipients: tuple[str, ...] = THREE) -> Row:
    """The row of one message after one drain."""
    outbox = Outbox(port)
    outbox_id = outbox.add("subject", *recipients)
    outbox.drain()
    return outbox.store.row(outbox_id)


def statuses(row: Row) -> dict[str, tuple[str, int | None]]:
    """Status and reply code by recipient."""
    return {recipient.address: (recipient.status, recipient.code) for recipient in row.recipients}


class TestTheEnvelope:
    @pytest.mark.parametrize(("recipients", "lengths"), [(THREE, [5]), (MANY, [100, 100, 52])], ids=["3", "250"])
    def test_travels_in_one_write_but_that_nobody_has_to_read_while_writing(
        self, recipients: tuple[str, ...], lengths: list[int]
    ) -> None:
        with EnvelopeServer(consent) as server:
            row = attempted(server.port, recipients)
        lines = [line for write in server.writes for line in write]
        assert lines == ["MAIL FROM:<ops@example.com>", *(f"RCPT TO:<{one}>" for one in recipients), "DATA"]
        assert [len(write) for write in server.writes] == lengths
        assert row.status == "sent"

    def test_is_not_continued_after_a_refused_sender(self) -> None:
        def refuse_sender(line: str) -> str:
            return "550 5.7.1 not you" if line.startswith("MAIL") else "503 5.5.1 MAIL first"

        with EnvelopeServer(refuse_sender) as server:
            row = attempted(server.port, MANY)
        assert len(server.writes) == 1
        assert set(statuses(row).values()) == {("refused", 550)}
        assert row.gave_up is not None
        assert "550 5.7.1 not you" in (row.last_error or "")


class TestEachReply:
    def test_is_matched_among_250_recipients_with_refusals_everywhere(self) -> None:
        refused = {MANY[number - 1] for number in (1, 98, 99, 100, 101, 150, 199, 250)}
        deferred = {MANY[number - 1] for number in (2, 102, 200, 249)}
        faults = [Fault("rcpt", f"550 5.1.1 no {one}", address=one) for one in refused]
        faults += [Fault("rcpt", f"450 4.2.1 later {one}", address=one, times=1) for one in deferred]
        with ScriptedServer(faults) as server:
            outbox = Outbox(server.port)
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
        assert [one.status for one in row_at_last.recipients].count("refused") == len(refused)
        assert row_at_last.gave_up is not None
        assert server.violations == []

    def test_of_too_many_recipients_defers_the_rest(self) -> None:
        with ScriptedServer(max_recipients=100) as server:
            outbox = Outbox(server.port)
            outbox_id = outbox.add("subject", *MANY)
            for _ in range(3):
                outbox.drain()
                outbox.now = max(outbox.now, outbox.store.row(outbox_id).next_attempt_at or 0)
            assert outbox.store.row(outbox_id).status == "sent"
        parts = [list(MANY[:100]), list(MANY[100:200]), list(MANY[200:])]
        assert [message.recipients for message in server.messages] == parts


@pytest.mark.parametrize(("reply", "status"), [("550 5.1.1 unknown", "refused"), ("450 4.2.0 later", "pending")])
class TestDataThatIsAcceptedAlthoughEveryRecipientWasRefused:
    def test_gets_an_empty_message_ended_at_once(self, reply: str, status: str) -> None:
        with EnvelopeServer(lambda line: reply if line.startswith("RCPT") else consent(line)) as server:
            row = attempted(server.port)
        assert server.content == [b".\r\n"]
        assert row.status == "failed"  # although even the empty message was answered with 250
        assert set(statuses(row).values()) == {(status, int(reply[:3]))}
        assert row.provider_message_id is None
        assert (row.gave_up is not None) == (status == "refused")
        assert row.uncertain is False

    def test_leaves_the_connection_to_the_next_message(self, reply: str, status: str) -> None:
        faults = [Fault("rcpt", reply, address=one) for one in THREE]
        server = ScriptedServer(faults, data_without_recipients="accept")
        with server:
            outbox = Outbox(server.port)
            subject, other = outbox.add("subject", *THREE), outbox.add("other", "d@example.org")
            outbox.drain()
            assert (outbox.store.row(subject).status, outbox.store.row(other).status) == ("failed", "sent")
        assert [(message.content, message.recipients) for message in server.messages[:1]] == [(b"", [])]
        assert len(copies(server, "other")) == 1
        assert server.connections == 1
        assert server.violations == []

    def test_is_not_uncertain_when_the_connection_is_lost_then(self, reply: str, status: str) -> None:
        faults = [*(Fault("rcpt", reply, address=one) for one in THREE), Fault("after_dot", "close")]
        with ScriptedServer(faults, data_without_recipients="accept") as server:
            row = attempted(server.port)
        assert server.happened[-1].fault.place == "after_dot"
        assert row.uncertain is False
        assert {recipient.status for recipient in row.recipients} == {status}


def test_data_that_is_accepted_after_a_refused_sender_gets_no_content() -> None:
    """Replies that contradict each other: the refusal counts, and what was accepted is never sent."""

    def confused(line: str) -> str:
        return "451 4.3.0 no sender today" if line.startswith("MAIL") else consent(line)

    with EnvelopeServer(confused) as server:
        row = attempted(server.port)
    assert all(content in (b"", b".\r\n") for content in server.content)
    assert (row.status, row.uncertain, row.gave_up) == ("failed", False, None)
    assert set(statuses(row).values()) == {("pending", 451)}
