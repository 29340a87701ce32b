"""The same key enqueues once, whoever asks and however often at the same time."""

import json

from ..cli.outside import assert_error, rows
from ..conftest import Program

MESSAGE = ("--to", "a@example.org", "--subject", "disk full", "--body", "see /var\n")


def test_the_same_key_gives_the_first_message_and_says_duplicate(program: Program) -> None:
    first = program.call("send", *MESSAGE, "--idempotency-key", "k1", "--json")
    again = program.call("send", *MESSAGE, "--idempotency-key", "k1", "--json")
    later = program.call("send", *MESSAGE, "--idempotency-key", "k1", "--now-ts", "5000", "--json")

    assert (first.status, first.data["duplicate"]) == (0, False)
    assert (again.status, later.status) == (0, 0)
    assert again.data == later.data == {**first.data, "duplicate": True}
    assert len(rows(program)) == 1


def test_the_same_key_with_other_content_is_refused_and_names_the_earlier_id(program: Program) -> None:
    file = program.home / "a.txt"
    file.write_text("one")
    command = ("send", *MESSAGE, "--attach", "a.txt", "--idempotency-key", "k1", "--json")
    first = program.call(*command)
    for other in (("--subject", "other"), ("--body", "other\n"), ("--to", "b@example.org"), ("--cc", "c@example.org")):
        answer = program.call(*command, *other)
        assert_error(answer, 65, f"outbox message {first.data['outbox_id']}", code="validation")
    assert program.call(*command).data["duplicate"]
    file.write_text("two")
    assert program.call(*command).status == 65
    assert len(rows(program)) == 1


def test_ten_processes_with_one_key_enqueue_one_message(program: Program) -> None:
    processes = [program.start("send", *MESSAGE, "--idempotency-key", "race", "--json") for _ in range(10)]
    answers = [(process.communicate()[0], process.returncode) for process in processes]

    assert {status for _, status in answers} == {0}
    results = [json.loads(out)["data"] for out, _ in answers]
    assert len({result["outbox_id"] for result in results}) == 1
    assert sum(result["duplicate"] for result in results) == 9
    assert len(rows(program)) == 1


def test_a_batch_that_is_repeated_enqueues_nothing_twice(program: Program) -> None:
    lines = "".join(
        json.dumps({"to": f"u{n}@example.org", "subject": "s", "body_text": "b", "idempotency_key": f"k{n}"}) + "\n"
        for n in range(5)
    )
    first = program.call("send", "--batch", "-", text=lines)
    second = program.call("send", "--batch", "-", "--json", text=lines)

    assert (second.status, second.data["enqueued"]) == (0, 0)
    assert [str(message["outbox_id"]) for message in second.data["messages"]] == first.out.split()
    assert all(message["duplicate"] for message in second.data["messages"])


def test_a_duplicate_with_now_is_not_attempted_again(program: Program) -> None:
    command = ("send", *MESSAGE, "--idempotency-key", "k", "--now", "--failure-mode", "network", "--now-ts", "1000")
    first = program.call(*command)
    second = program.call(*command, "--json")

    assert first.status == 75
    assert (second.status, second.data["retries"]) == (0, 1)
