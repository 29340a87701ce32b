"""What is stored is verified before it is sent: a damaged message reaches nobody and holds no other up."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from prx_email_cli.outbox.digest import envelope_digest

from ..conftest import Program
from ..support.scripted import ScriptedServer
from .conftest import PAGE, ask, change, overwrite, text_of

LARGE = 600_000  # bytes of text: three pieces
PIECES = 65_536
REASON = "it was damaged in the outbox, and not sent"


def send(program: Program, *, size: int = 20_000, to: str = "a@example.org") -> int:
    """A message whose text is *size* random letters on lines."""
    return program.send(to=to, subject="s", body=text_of(size, size))


def three(program: Program) -> list[int]:
    """Messages to before@, damaged@ and after@example.org; the second one has three pieces."""
    return [
        send(program, size=LARGE if who == "damaged" else 20_000, to=f"{who}@example.org")
        for who in ("before", "damaged", "after")
    ]


def assert_the_others_were_sent(program: Program, server: ScriptedServer, before: int, after: int) -> None:
    assert sorted(message.recipients for message in server.messages) == [["after@example.org"], ["before@example.org"]]
    assert [(row["status"], row["uncertain"]) for row in map(program.show, (before, after))] == [("sent", False)] * 2


def overflow_page(program: Program, outbox_id: int) -> int:
    """The page that holds the middle of a message's content."""
    change(program)
    ((piece,),) = ask(program, "SELECT data FROM content WHERE id = ?", outbox_id * PIECES)
    at = program.outbox.read_bytes().find(piece[len(piece) // 2 : len(piece) // 2 + 40])
    assert at > 0
    return at // PAGE + 1


def destroy_the_root(program: Program, table: str) -> None:
    change(program)
    ((root,),) = ask(program, "SELECT rootpage FROM sqlite_master WHERE name = ?", table)
    overwrite(program, root, b"\xee" * PAGE)


def assert_given_up_as_damaged(program: Program, server: ScriptedServer, *ids: int, what: str) -> None:
    """A drain delivers the healthy ones, says so of the damaged ones, and no dot of theirs reached the server."""
    answer = program.call("drain")
    assert answer.status == 69, answer
    for outbox_id in ids:
        assert f"gave up outbox message {outbox_id} (s): damaged: {REASON}" in answer.err
        row = program.show(outbox_id)
        assert (row["status"], row["gave_up"], row["error_code"]) == ("failed", "damaged", "storage")
        assert what in row["last_error"]
        assert f"<outbox-{outbox_id}-" not in str(server.received_message_ids())


@pytest.mark.parametrize("size", [20_000, LARGE])
def test_random_bytes_over_a_page_of_content_are_never_delivered(
    size: int, program: Program, server: ScriptedServer
) -> None:
    damaged, healthy = send(program, size=size), send(program, size=30_000)
    overwrite(program, overflow_page(program, damaged), os.urandom(4000), 4)
    assert_given_up_as_damaged(program, server, damaged, what="its content")
    assert program.show(healthy)["status"] == "sent"


@pytest.mark.parametrize(
    ("table", "what"),
    [("content", "damaged in the outbox"), ("recipient", "its content or recipients, which cannot be read")],
)
def test_a_table_that_cannot_be_read_ends_in_a_reason_for_each_message(
    table: str, what: str, program: Program, server: ScriptedServer
) -> None:
    small = [program.send(subject="s") for _ in range(3)]
    large = send(program, size=LARGE)
    destroy_the_root(program, table)
    assert_given_up_as_damaged(program, server, *small, large, what=what)
    assert server.messages == []


ROWS: dict[str, tuple[Callable[[int], str], str]] = {
    "another address": (lambda it: f"UPDATE recipient SET address = 'x@e.org' WHERE outbox_id = {it}", "recipients"),
    "a recipient more": (lambda it: f"INSERT INTO recipient VALUES ({it}, 1, 'x@e.org', 'to', 'pending', 0, 0, 0)",
                         "recipients"),
    "a recipient fewer": (lambda it: f"DELETE FROM recipient WHERE outbox_id = {it}", "recipients"),
    "an undecodable address": (lambda it: f"UPDATE recipient SET address = CAST(x'ff' AS TEXT) WHERE outbox_id = {it}",
                               "recipients"),
    "a status that is none": (lambda it: f"UPDATE recipient SET status = '?' WHERE outbox_id = {it}", "recipients"),
    "another sender": (lambda it: f"UPDATE outbox SET sender = 'x@e.org' WHERE id = {it}", "sender"),
    "an undecodable sender": (lambda it: f"UPDATE outbox SET sender = CAST(x'ff' AS TEXT) WHERE id = {it}", "sender"),
    "an undecodable subject": (lambda it: f"UPDATE outbox SET sender = 'x', subject = 's' WHERE id = {it}", "sender"),
    "another content": (lambda it: f"UPDATE content SET data = x'41' WHERE id = {it * PIECES}", "content"),
    "no second piece": (lambda it: f"DELETE FROM content WHERE id = {it * PIECES + 1}", "content"),
    "no last piece": (lambda it: f"DELETE FROM content WHERE id = {it * PIECES + 2}", "content"),
    "no content": (lambda it: f"DELETE FROM content WHERE id / {PIECES} = {it}", "content"),
    "half of the digests": (lambda it: f"UPDATE outbox SET envelope_digest = NULL WHERE id = {it}", "sender"),
    "an undecodable envelope's digest": (
        lambda it: f"UPDATE outbox SET envelope_digest = CAST(x'ff' AS TEXT) WHERE id = {it}", "sender"),
    "an undecodable content's digest": (
        lambda it: f"UPDATE outbox SET content_digest = CAST(x'ff' AS TEXT) WHERE id = {it}", "sender"),
    "the digest of something else": (lambda it: f"UPDATE outbox SET content_digest = 'x' WHERE id = {it}", "sender"),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_a_damaged_row_sends_no_mail_to_a_stranger_and_undoes_nothing_that_was_sent_before(
    name: str, program: Program, server: ScriptedServer
) -> None:
    before, damaged, after = three(program)
    statement, what = ROWS[name]
    change(program, statement(damaged))
    assert_given_up_as_damaged(program, server, damaged, what=what)
    assert program.call("drain").status == 0
    assert_the_others_were_sent(program, server, before, after)


@pytest.mark.parametrize("values", ["sent_at = 1", "message_id = CAST(x'ff' AS TEXT), uncertain = 1"])
def test_a_row_that_cannot_be_written_is_passed_by_told_and_can_be_cancelled(
    values: str, program: Program, server: ScriptedServer
) -> None:
    before, damaged, after = three(program)
    change(program, f"UPDATE outbox SET {values} WHERE id = {damaged}")
    for _ in range(2):
        answer = program.call("drain")
        assert answer.status == 74
        assert f"outbox message {damaged} can be neither sent nor given up" in answer.err
    assert_the_others_were_sent(program, server, before, after)
    assert program.call("cancel", str(damaged)).status == 0
    assert program.call("drain").status == 0


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        ("UPDATE outbox SET held_at = 1", ""),
        ("UPDATE outbox SET gave_up = 'cancelled', told_at = 1", ""),
        ("UPDATE outbox SET status = 'sent', sent_at = 1", ""),
        ("UPDATE outbox SET status = CAST(x'ff' AS TEXT)", "can be neither sent nor given up"),
        ("DELETE FROM outbox", "can be neither sent nor given up: its record is gone"),
    ],
)
def test_an_index_that_calls_a_message_due_which_is_not_makes_nobody_send_it(
    damage: str, told: str, program: Program, server: ScriptedServer
) -> None:
    damaged, healthy = send(program, to="damaged@example.org"), send(program, to="healthy@example.org")
    writable, its = "PRAGMA writable_schema = ON", "FROM sqlite_master WHERE name = 'outbox_due'"
    ((entry,),) = ask(program, f"SELECT printf('%Q, %Q, %Q, %d, %Q', type, name, tbl_name, rootpage, sql) {its}")
    change(program, writable, f"DELETE {its}")
    change(program, f"{damage} WHERE id = {damaged}")
    change(program, writable, f"INSERT INTO sqlite_master VALUES ({entry})")

    answers = [program.call("drain") for _ in range(2)]

    assert [answer.status for answer in answers] == [74 if told else 0] * 2
    assert told in answers[0].err
    assert [message.recipients for message in server.messages] == [["healthy@example.org"]]
    assert program.show(healthy)["status"] == "sent"


@pytest.mark.parametrize("size", [20_000, LARGE])
def test_swapped_contents_are_not_sent(size: int, program: Program, server: ScriptedServer) -> None:
    one, other = send(program, size=size), send(program, size=size + 60)
    first, second = one * PIECES, other * PIECES
    moves = ((first, -1), (second, first), (-1, second))
    change(program, *(f"UPDATE content SET id = {after} WHERE id = {before}" for before, after in moves))
    assert_given_up_as_damaged(program, server, one, other, what="its content")
    assert server.messages == []


def test_a_retry_by_hand_refuses_it_as_well_and_tells_why(program: Program, server: ScriptedServer) -> None:
    damaged = send(program)
    change(program, f"UPDATE content SET data = x'41' WHERE id = {damaged * PIECES}")
    for options in ((), ("--force",)):
        answer = program.call("retry", str(damaged), *options, "--json")
        assert (answer.status, answer.json["error"]["code"]) == (69, "storage")
        assert "it was damaged in the outbox, and not sent" in answer.json["error"]["message"]
    assert server.messages == []


def test_a_message_older_than_the_digests_is_sent_unverified(program: Program, server: ScriptedServer) -> None:
    old = [send(program), send(program, size=LARGE)]
    change(program, "UPDATE outbox SET content_digest = NULL, envelope_digest = NULL")
    assert program.call("drain").status == 0
    assert len(server.messages) == len(old)


def test_the_rest_of_a_partly_delivered_message_is_verified_over_all_its_recipients(
    program: Program, server: ScriptedServer
) -> None:
    both = send(program, to="a@example.org,b@example.org")
    change(program, f"UPDATE recipient SET status = 'accepted' WHERE outbox_id = {both} AND number = 0")
    assert program.call("drain").status == 0
    assert [message.recipients for message in server.messages] == [["b@example.org"]]


def test_what_was_stored_by_batch_request_and_attachment_is_verified_and_sent(
    program: Program, server: ScriptedServer, tmp_path: Path
) -> None:
    file = tmp_path / "file.txt"
    file.write_bytes(os.urandom(300_000).hex().encode())
    line = '{"to": "a@example.org, b@bücher.example", "subject": "s", "body_text": "x"}\n'
    assert program.call("send", "--batch", "-", text=line * 3).status == 0
    program.send("--attach", str(file))
    assert program.call("drain").status == 0
    assert len(server.messages) == 4
    assert ask(program, "SELECT count(*) FROM outbox WHERE envelope_digest IS NULL") == [(0,)]


def test_the_digest_of_an_envelope_is_for_ever_what_outboxes_already_hold() -> None:
    digest = envelope_digest(7, "ops@example.com", [(0, "a@example.org"), (1, "b@example.org")], "c" * 64)
    assert digest == "acdaa01df3fb2eef9fadf35902e2ff11423de91f58a85fee47563d53ef927658"
