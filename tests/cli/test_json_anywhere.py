"""``--json`` anywhere on the line: every refusal is then one JSON object, and the id that failed is named."""

import json

import pytest

from ..conftest import Program
from .outside import assert_error

WRONG = [
    ("list", "--json", "--nonsense"), ("list", "--nonsense", "--json"), ("--json", "list", "--nonsense"),
    ("nonsense", "--json"), ("--json", "nonsense"), ("--json",), ("show", "--json"),
    ("resolve", "x", "--sent", "--json"),
    ("--json", "account", "nonsense"), ("account", "--json", "nonsense"), ("account", "nonsense", "--json"),
    ("send", "--at", "x", "--in", "1h", "--json"), ("resolve", "1", "--sent", "--not-sent", "--json"),
    ("hold", "--json"), ("list", "--status", "lost", "--json"), ("drain", "--limit", "0", "--json"),
    ("reply", "--json"), ("retry", "--json"), ("--nonsense", "--json", "list"), ("--json", "--nonsense", "list"),
]  # fmt: skip


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_a_wrong_command_line_answers_in_json(words: tuple[str, ...], program: Program) -> None:
    answer = program.run(*words)
    assert (answer.status, answer.err) == (2, ""), answer
    assert (answer.json["ok"], answer.json["data"], answer.json["error"]["code"]) == (False, None, "validation")
    assert answer.json["error"]["message"]
    assert "--help" in answer.json["error"]["hint"]


@pytest.mark.parametrize("words", [("list", "--nonsense"), ("list", "--nonsense", "--", "--json"), ("nonsense",)])
def test_without_it_the_answer_is_for_a_person(words: tuple[str, ...], program: Program) -> None:
    answer = program.run(*words)
    assert (answer.status, answer.out) == (2, "")
    assert "Usage:" in answer.err


def test_as_the_value_of_an_option_it_is_none(program: Program) -> None:
    outbox_id = program.send(subject="--json")
    assert program.show(outbox_id)["subject"] == "--json"
    answer = program.run("send", "--subject", "--json", "--nonsense")
    assert (answer.status, answer.out) == (2, "")


@pytest.mark.parametrize(
    "words", [("--json", "stats"), ("--config", "config.toml", "--json", "stats"), ("--json", "account", "list"),
              ("account", "--json", "list"), ("--json", "list", "--limit", "3")],
)  # fmt: skip
def test_it_may_stand_before_the_command(words: tuple[str, ...], program: Program) -> None:
    answer = program.run(*words)
    assert (answer.status, answer.json["ok"]) == (0, True)


def test_errors_of_config_and_storage_answer_in_json_too(program: Program) -> None:
    if program.url is not None:
        program.execute("ALTER TABLE outbox RENAME TO gone")
    program.outbox.write_bytes(b"no database" * 1000)
    program.outbox.chmod(0o600)
    assert json.loads(program.run("--json", "stats").out)["error"]["code"] == "storage"
    program.config.write_text("[")
    assert json.loads(program.run("drain", "--json").out)["error"]["code"] == "config"


@pytest.mark.parametrize("command", [("hold",), ("release",), ("cancel",), ("retry",)])
def test_the_id_that_failed_is_named(command: tuple[str, ...], program: Program) -> None:
    first, second = program.send(), program.send()
    answer = program.run(*command, str(first), "99999", str(second), "88888")
    for missing in ("99999", "88888"):
        assert f"error: outbox message {missing}: outbox record not found" in answer.err


@pytest.mark.parametrize("command", ["show", "hold", "release", "cancel", "retry", "resolve --sent"])
def test_an_id_that_nothing_has_is_66_and_named_where_it_is_no_nonsense(command: str, program: Program) -> None:
    for outbox_id, named in (("99999", ["99999"]), ("9223372036854775808", [])):
        answer = program.run(*command.split(), outbox_id)
        assert_error(answer, 66, "outbox record not found", *named)
        answer = program.run(*command.split(), outbox_id, "--json")
        assert_error(answer, 66, "outbox record not found", *named, code="not_found")


def test_several_ids_that_are_not_due_get_the_hint_that_one_gets(program: Program) -> None:
    ids = [str(program.send("--in", "2h", "--now-ts", "1000")) for _ in range(2)]
    answer = program.run("retry", *ids, "--now-ts", "1000")
    for outbox_id in ids:
        assert f"hint: outbox message {outbox_id} is due in 7200 s; --force tries it now" in answer.err


def test_statuses_add_up(program: Program) -> None:
    pending, failed = program.send("--now-ts", "1000"), program.send("--now-ts", "1000")
    program.run("retry", str(failed), "--failure-mode", "network", "--now-ts", "1000")
    listed = program.run("list", "--status", "pending", "--status", "failed", "--json").data
    assert [row["outbox_id"] for row in listed] == [failed, pending]
    assert [
        row["outbox_id"] for row in program.run("list", "--status", "sent", "--status", "failed", "--json").data
    ] == [failed]


@pytest.mark.parametrize(
    "words", [("list",), ("messages", "list"), ("drain",), ("hold", "--all"), ("release", "--all")]
)
def test_an_unknown_account_is_an_error(words: tuple[str, ...], program: Program) -> None:
    answer = program.run(*words, "--account", "nobody", "--json")
    assert (answer.status, answer.json["error"]["code"]) == (78, "config")
    assert "nobody" in answer.json["error"]["message"]


def test_an_account_that_left_the_config_can_still_be_listed(program: Program) -> None:
    outbox_id = program.send()
    program.config.write_text(program.config.read_text().replace("accounts.work", "accounts.other"))
    listed = program.run("list", "--account", "work", "--json").data
    assert [row["outbox_id"] for row in listed] == [outbox_id]
