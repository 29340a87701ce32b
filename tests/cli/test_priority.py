"""``--priority``: an alarm leaves before a hundred thousand newsletters."""

import json

import pytest

from ..conftest import Program
from ..support.scripted import ScriptedServer
from .outside import assert_error, rows

MESSAGE = ("--to", "a@example.org", "--subject", "s", "--body", "b")


def classes(program: Program) -> list[str]:
    """The priorities of the messages in the outbox, the first one first."""
    return [row["priority"] for row in rows(program)]


def test_it_comes_from_the_command_line_a_request_a_batch_and_a_reply_and_is_normal_without(program: Program) -> None:
    request = {"to": "a@example.org", "subject": "s", "body_text": "b"}
    lines = [json.dumps({**request, "priority": priority}) for priority in ("high", None)]
    assert program.call("send", *MESSAGE).status == 0
    assert program.call("send", *MESSAGE, "--priority", "bulk").status == 0
    assert program.call("send", "--request", "-", text=lines[0]).status == 0
    assert program.call("send", "--batch", "-", text="\n".join(lines)).status == 0
    parent = "Message-ID: <p@example.net>\nFrom: p@example.net\nSubject: s\n\nb\n"
    (program.home / "parent.eml").write_text(parent)
    answer = program.call("reply", "--parent", "parent.eml", "--body", "b", "--priority", "high")
    assert answer.status == 0, answer
    assert classes(program) == ["normal", "bulk", "high", "high", "normal", "high"]


@pytest.mark.parametrize("word", ["urgent", "", "HIGH"])
def test_another_word_is_refused(word: str, program: Program) -> None:
    assert program.call("send", *MESSAGE, "--priority", word).status == 2
    line = json.dumps({"to": "a@example.org", "subject": "s", "body_text": "b", "priority": word})
    for way in ("--request", "--batch"):
        answer = program.call("send", way, "-", text=line)
        assert (answer.status, "priority must be high, normal or bulk" in answer.err) == (65, True), answer
    assert rows(program) == []


def test_beside_a_request_it_is_a_wrong_command_line(program: Program) -> None:
    assert program.call("send", "--request", "-", "--priority", "high", text="{}").status == 2


def test_beside_a_batch_it_is_the_class_of_the_lines_that_name_none(program: Program) -> None:
    line = {"to": "a@example.org", "subject": "s", "body_text": "b"}
    lines = [json.dumps(one) for one in (line, line | {"priority": "normal"}, line | {"priority": "high"})]
    assert program.call("send", "--batch", "-", "--priority", "bulk", text="\n".join(lines)).status == 0
    assert classes(program) == ["bulk", "normal", "high"]


def test_a_drain_sends_the_higher_class_first_and_no_header_tells_of_it(program: Program) -> None:
    with ScriptedServer() as server:
        program.configure(server.port, smtp="connections = 1")
        for priority in ("bulk", "normal", "high"):
            program.send("--priority", priority, to=f"{priority}@example.org")
        assert program.call("drain").status == 0
        assert [message.recipients for message in server.messages] == [
            ["high@example.org"], ["normal@example.org"], ["bulk@example.org"]]  # fmt: skip
        assert not any(b"riority" in message.content for message in server.messages)


def test_list_and_show_tell_it_while_the_message_waits_or_always(program: Program) -> None:
    high = program.send("--priority", "high")
    normal = program.send()
    listed = {line.split("\t")[0]: line.split("\t")[2] for line in program.call("list").out.splitlines()}
    assert (listed[str(high)], listed[str(normal)]) == ("pending high", "pending")
    for outbox_id, priority in ((high, "high"), (normal, "normal")):
        assert f"priority        {priority}\n" in program.call("show", str(outbox_id)).out
        assert program.show(outbox_id)["priority"] == priority
    assert program.call("cancel", str(high)).status == 0
    assert "cancelled\t" in program.call("list").out


def test_the_same_idempotency_key_finds_the_message_whatever_its_priority(program: Program) -> None:
    first = program.call("send", *MESSAGE, "--idempotency-key", "k", "--json")
    again = program.call("send", *MESSAGE, "--idempotency-key", "k", "--priority", "high", "--json")
    assert again.data == {**first.data, "duplicate": True}
    assert classes(program) == ["normal"]
    other = program.call("send", *MESSAGE, "--body", "c", "--idempotency-key", "k", "--priority", "high", "--json")
    assert_error(other, 65, "idempotency key", code="validation")
