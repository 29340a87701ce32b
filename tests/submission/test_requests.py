"""``send --request``, its JSON Schema, further headers, and requests that answer a known message."""

import json
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
import typer

from prx_email_cli.cli import send
from prx_email_cli.submission.request import FIELDS, Request, read_json, request_from_json, request_schema

from ..cli.outside import NOW, assert_error, rows
from ..conftest import Program
from ..support.mailhost import MailHost

MESSAGE = ("send", "--to", "a@example.org", "--subject", "s", "--body", "b\n")
PARENT = (
    "From: Jane <jane@example.org>\nTo: ops@example.com\nSubject: Is it up?\nMessage-ID: <q1@example.org>\n\nIs it?\n"
)


PUBLISHED = Path(__file__).parents[2] / "docs" / "request.schema.json"
NOT_THE_USERS = (
    "From: x@example.org", "to: x@example.org", "BCC: x@example.org", "Subject: x", "Date: x", "Message-ID: <x@y>",
    "MIME-Version: 1.0", "Content-Type: text/html", "content-transfer-encoding: 8bit", "References: <x@y>",
    "In-Reply-To: <x@y>", "Received: x", "Return-Path: <x@y>", "Resent-To: x@example.org", "Sender: x@example.org",
)  # fmt: skip
NO_HEADERS = ("no colon", ": x", "X Y: z", "X-É: z", "X-A: b\r\nBcc: c@example.org", "X-Empty:")


@pytest.mark.parametrize("header", [*NOT_THE_USERS, *NO_HEADERS])
def test_a_header_that_is_none_or_not_the_users_to_set_is_refused(program: Program, header: str) -> None:
    why = ["may not be set: "] if header in NOT_THE_USERS else []
    assert_error(program.call(*MESSAGE, "--header", header, "--json"), 65, *why, code="validation")
    assert rows(program) == []


def test_further_headers_arrive_as_they_were_written(program: Program) -> None:
    unsubscribe = f"<https://example.org/{'long' * 40}>, <mailto:out@example.org>"
    with MailHost() as host:
        program.configure(host.port)
        answer = program.call(
            *MESSAGE, "--header", f"List-Unsubscribe: {unsubscribe}", "--header", "X-Job: nächtlich", "--now"
        )
        assert answer.status == 0, answer
        message = message_from_bytes(host.messages[0].content, policy=policy.default)
    assert message["List-Unsubscribe"] == unsubscribe
    assert message["X-Job"] == "nächtlich"


def test_a_request_comes_from_a_file_or_stdin_and_unknown_fields_are_named(program: Program) -> None:
    document = {"to": ["a@example.org", "b@example.org"], "subject": "s", "body_text": "b", "account": "work"}
    (program.home / "request.json").write_text(json.dumps(document))
    assert program.call("send", "--request", "request.json").status == 0
    assert program.call("send", "--request", "-", text=json.dumps(document)).status == 0
    wrong = program.call("send", "--request", "-", "--json", text=json.dumps({**document, "bodytext": "x"}))
    assert_error(wrong, 65, "'bodytext'", code="validation")
    assert len(rows(program)) == 2


@pytest.mark.parametrize("way", ["--request", "--batch"])
def test_a_request_answers_a_known_message(program: Program, way: str) -> None:
    assert program.call("import", "-", text=PARENT).status == 0
    document = json.dumps({"in_reply_to_message_id": "q1@example.org", "body_text": "It is.\n"})
    with MailHost() as host:
        program.configure(host.port)
        assert program.call("send", way, "-", text=document + "\n").status == 0
        assert program.call("drain").status == 0
        message = message_from_bytes(host.messages[0].content, policy=policy.default)
    assert (message["To"], message["Subject"]) == ("Jane <jane@example.org>", "Re: Is it up?")
    assert (message["In-Reply-To"], message["References"]) == ("<q1@example.org>", "<q1@example.org>")


def test_a_request_that_answers_an_unknown_message_is_66_and_in_a_batch_a_bad_line(program: Program) -> None:
    document = json.dumps({"in_reply_to_message_id": "<nope@x>", "body_text": "hi"})
    alone = program.call("send", "--request", "-", "--json", text=document)
    good = json.dumps({"to": "a@example.org", "subject": "s", "body_text": "b"})
    batch = program.call("send", "--batch", "-", "--json", text=f"{document}\n{good}\n")

    assert_error(alone, 66, "in_reply_to_message_id does not exist for this account", code="not_found")
    assert batch.status == 65
    assert [error["line"] for error in batch.data["errors"]] == [1]
    assert [message["line"] for message in batch.data["messages"]] == [2]


@pytest.mark.parametrize("text", ["", "\ufeff{}", "\ufeff", "{", "{} {}", "[1", "x", '{"a": "\n"}', '{"a" 1}', "-"])
def test_what_is_no_json_is_refused_in_the_words_of_the_standard_library(text: str) -> None:
    with pytest.raises(json.JSONDecodeError) as expected:
        json.loads(text)
    with pytest.raises(json.JSONDecodeError) as refused:
        read_json(text)
    assert str(refused.value) == str(expected.value)


def test_the_published_schema_is_current() -> None:
    assert json.loads(PUBLISHED.read_text()) == request_schema(), "run make docs"


def test_every_field_of_the_schema_is_taken() -> None:
    examples = {"string": "x", "boolean": True, "integer": 1, "array": [], "object": {"base64": ""}}
    for name, field in FIELDS.items():
        schema = field.schema if {"type", "enum"} & field.schema.keys() else field.schema["oneOf"][0]
        value = {} if name == "headers" else schema["enum"][0] if "enum" in schema else examples[schema["type"]]
        assert isinstance(request_from_json({name: value}), Request), name


BESIDE_THE_MESSAGE = {
    "request", "batch", "merge", "check", "atomic", "key_from", "rejected", "now", "preview", "first",
    "as_json",  # all say how to take it, not what it says
}  # fmt: skip
CALLED = {
    "sender": "from", "within": "in", "header": "headers", "body": "body_text", "body_file": "body_text",
    "html": "body_html", "attach": "attachments", "attach_stored": "attachments",
}  # fmt: skip


def test_whatever_send_takes_of_a_message_a_request_takes() -> None:
    options = {option.name for option in typer.main.get_command(send.app).params} - BESIDE_THE_MESSAGE
    assert {CALLED.get(str(name), name) for name in options} <= {*FIELDS}


TOLD = {
    "from": "Jo <jo@example.com>", "reply_to": ["r@example.org"], "cc": "c@example.org",
    "headers": {"X-Job": "nightly", "X-Tag": ["a", "b"]}, "at": "2030-03-17T18:00:00Z", "expires_in": "1d",
    "now_ts": NOW,
}  # fmt: skip
DUE = 1_900_000_800


@pytest.mark.parametrize("way", ["--request", "--batch"])
@pytest.mark.parametrize("changed", [
    {}, {"at": DUE}, {"at": None, "in": "800s"}, {"headers": ["X-Job: nightly", "X-Tag: a", "X-Tag: b"]},
])  # fmt: skip
def test_a_request_says_from_where_to_answer_and_when_as_the_options_do(
    way: str, changed: dict[str, Any], program: Program
) -> None:
    document = {"to": "a@example.org", "subject": "s", "body_text": "b\n", **TOLD, **changed}
    with MailHost() as host:
        program.configure(host.port)
        assert program.call("send", way, "-", text=json.dumps(document)).status == 0
        assert program.call("drain", "--now-ts", str(DUE - 1)).status == 0
        assert host.messages == []
        assert program.call("drain", "--now-ts", str(DUE)).status == 0
        message = message_from_bytes(host.messages[0].content, policy=policy.default)
    assert (message["From"], message["Reply-To"]) == ("Jo <jo@example.com>", "r@example.org")
    assert (message["Cc"], message["X-Job"], message.get_all("X-Tag")) == ("c@example.org", "nightly", ["a", "b"])


def test_a_request_expires_as_the_option_says(program: Program) -> None:
    document = {"to": "a@example.org", "subject": "s", "body_text": "b", "expires_in": "1h", "now_ts": NOW}
    assert program.call("send", "--batch", "-", text=json.dumps(document)).status == 0
    program.call("drain", "--now-ts", str(NOW + 3601))
    assert program.show(1)["gave_up"] == "expired"


@pytest.mark.parametrize(("field", "value", "words"), [
    ("at", "tomorrow", "at: not an ISO 8601 time"), ("at", NOW - 1, "at: 1899999999 is in the past"),
    ("at", True, "at must be"), ("at", 1.5, "at must be"), ("at", -1, "at must be"), ("at", 10**15, "the year 9998"),
    ("in", "2 hours", "in: not a duration"), ("in", 60, "in must be a duration"), ("expires_in", 60, "expires_in must"),
    ("expires_in", "x", "expires_in: not a duration"), ("expires_in", "0s", "expires_in: the message would expire"),
    ("from", ["a@example.org"], "from must be a string"), ("from", "nobody", "from: not an email address"),
    ("reply_to", 5, "reply_to must be an address"), ("headers", "X-A: b", "headers must be an object"),
    ("headers", {"X-A": 5}, "headers must be an object"), ("headers", ["X-A: b", 5], "headers must be an object"),
    ("headers", {"X-A: b": "c"}, "has no colon"), ("headers", {"Bcc": "x@example.org"}, "headers: Bcc may not be set"),
    ("headers", {"X-A": "b\r\nBcc: c@example.org"}, "X-A"), ("headers", {"X-A": ""}, "headers: X-A is empty"),
])  # fmt: skip
def test_a_field_that_is_wrong_is_named_as_the_request_calls_it(
    field: str, value: Any, words: str, program: Program
) -> None:
    document = {"to": "a@example.org", "subject": "s", "body_text": "b", "now_ts": NOW, field: value}
    assert_error(
        program.call("send", "--request", "-", "--json", text=json.dumps(document)), 65, words, code="validation"
    )
    assert rows(program) == []


def test_two_times_are_one_too_many(program: Program) -> None:
    document = {"to": "a@example.org", "subject": "s", "body_text": "b", "at": NOW, "in": "1h"}
    assert_error(program.call("send", "--request", "-", text=json.dumps(document)), 65, "both at and in")
