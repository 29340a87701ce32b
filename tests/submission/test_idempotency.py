"""The same key enqueues once, whoever asks and however often at the same time."""

import json

from ..conftest import Program

MESSAGE = ("--to", "a@example.org", "--subject", "disk full", "--body", "see /var\n")


def test_the_same_key_gives_the_first_message_and_says_duplicate(program: Program) -> None:
    first = program.run("send", *MESSAGE, "--idempotency-key", "k1", "--json")
    second = program.run("send", *MESSAGE, "--idempotency-key", "k1", "--json")

    assert (first.status, second.status) == (0, 0)
    assert first.data["duplicate"] is False
    assert second.data == {**first.data, "duplicate": True}
    assert len(program.run("list", "--json").data) == 1


def test_a_duplicate_may_be_due_at_another_time(program: Program) -> None:
    first = program.run("send", *MESSAGE, "--idempotency-key", "k1", "--now-ts", "1000")
    second = program.run("send", *MESSAGE, "--idempotency-key", "k1", "--now-ts", "5000")

    assert (second.status, second.out) == (0, first.out)


def test_the_same_key_with_other_content_is_refused_and_names_the_earlier_id(program: Program) -> None:
    first = program.run("send", *MESSAGE, "--idempotency-key", "k1")
    for other in (("--subject", "other"), ("--body", "other\n"), ("--to", "b@example.org"), ("--cc", "c@example.org")):
        answer = program.run("send", *MESSAGE, *other, "--idempotency-key", "k1", "--json")
        assert answer.status == 65, other
        assert answer.json["error"]["code"] == "validation"
        assert f"outbox message {first.out.strip()}" in answer.json["error"]["message"]
    assert len(program.run("list", "--json").data) == 1


def test_the_same_key_with_another_attachment_is_refused(program: Program) -> None:
    file = program.home / "a.txt"
    file.write_text("one")
    command = ("send", *MESSAGE, "--attach", str(file), "--idempotency-key", "k1")
    first = program.run(*command)
    again = program.run(*command)
    file.write_text("two")
    changed = program.run(*command)

    assert (first.status, again.status, again.out) == (0, 0, first.out), first
    assert changed.status == 65
    assert len(program.run("list", "--json").data) == 1


def test_keys_of_two_accounts_do_not_meet(program: Program) -> None:
    text = program.config.read_text()
    program.config.write_text(text + text[text.index("[accounts.work]") :].replace("accounts.work", "accounts.home"))
    ids = {program.run("send", *MESSAGE, "--account", name, "--idempotency-key", "k").out for name in ("work", "home")}
    assert len(ids) == 2


def test_twenty_processes_with_one_key_enqueue_one_message(program: Program) -> None:
    processes = [program.start("send", *MESSAGE, "--idempotency-key", "race", "--json") for _ in range(20)]
    answers = [(process.communicate()[0], process.returncode) for process in processes]

    assert {status for _, status in answers} == {0}
    results = [json.loads(out)["data"] for out, _ in answers]
    assert len({result["outbox_id"] for result in results}) == 1
    assert sum(result["duplicate"] for result in results) == 19
    assert len(program.run("list", "--json").data) == 1


def test_a_batch_that_is_repeated_enqueues_nothing_twice(program: Program) -> None:
    lines = "".join(
        json.dumps({"to": f"u{n}@example.org", "subject": "s", "body_text": "b", "idempotency_key": f"k{n}"}) + "\n"
        for n in range(5)
    )
    first = program.run("send", "--batch", "-", text=lines)
    second = program.run("send", "--batch", "-", "--json", text=lines)

    assert (second.status, second.data["enqueued"]) == (0, 0)
    assert [str(message["outbox_id"]) for message in second.data["messages"]] == first.out.split()
    assert all(message["duplicate"] for message in second.data["messages"])


def test_a_duplicate_with_now_is_not_attempted_again(program: Program) -> None:
    command = ("send", *MESSAGE, "--idempotency-key", "k", "--now", "--failure-mode", "network", "--now-ts", "1000")
    first = program.run(*command)
    second = program.run(*command, "--json")

    assert first.status == 75
    assert (second.status, second.data["retries"]) == (0, 1)


def test_a_key_outlives_the_content_of_its_message_but_not_its_record(program: Program) -> None:
    first = program.run("send", *MESSAGE, "--idempotency-key", "k")
    program.run("cancel", first.out.strip())
    program.run("prune", "--older-than", "0s")
    again = program.run("send", *MESSAGE, "--idempotency-key", "k")
    program.run("prune", "--older-than", "0s", "--all")
    anew = program.run("send", *MESSAGE, "--idempotency-key", "k")

    assert again.out == first.out
    assert anew.status == 0
    assert anew.out != first.out
