"""Whatever stands in one line of a batch is that line's affair: every other line is stored, and nothing is a bug."""

import json
from contextlib import closing
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from prx_email_cli.errors import ValidationError
from prx_email_cli.outbox.messages import Addressee, Content, NewMessage, Schedule
from prx_email_cli.outbox.sqlite.store import SqliteStore
from prx_email_cli.submission.request import FIELDS, read_json, request_from_json

from ..cli.outside import assert_error, rows
from ..conftest import Program

GOOD = {"to": "a@example.org", "subject": "hello", "body_text": "text\n"}
LONG = "1" * 5000
HTML = "<p>hello</p>"
PART = {"filename": "a.txt", "content_type": "text/plain", "base64": "YQ=="}


def line(**changed: Any) -> str:
    return json.dumps(GOOD | changed) + "\n"


STRINGS = [name for name, field in FIELDS.items() if field.schema.get("type") == "string"]
BAD = {
    **{f"a surrogate in {name}": line(**{name: "a\ud800b"}) for name in STRINGS},
    **{f"a surrogate in {name}": line(**{name: ["a\udfff <a@example.org>"]}) for name in ("to", "cc", "bcc")},
    **{f"a surrogate in an attachment's {name}": line(attachment=PART | {name: "a\ud800"}) for name in PART},
    "a surrogate in an attachment's path": line(attachment={"path": "a\udc80"}),
    "a surrogate in an unknown field": line(**{"\ud800": 1}),
    "a surrogate in html": line(body_html="<p title='\ud800'>\udfff</p>"),
    "a number of 5,000 digits": f'{{"now_ts": {LONG}}}\n',
    "a number of 5,000 digits in an attachment": f'{{"to": "a@example.org", "attachment": {{"base64": {LONG}}}}}\n',
    "a negative one": f'{{"now_ts": -{LONG}}}\n',
    "a long number that Python takes": line(now_ts=10**4000),
    "NaN": line(now_ts=float("nan")),
    "Infinity": line(now_ts=float("inf")),
    "NaN in an attachment": line(attachment=PART | {"filename": float("nan")}),
    "a huge float": '{"now_ts": 1e400}\n',
    "a field twice": '{"to": "a@example.org", "subject": "s", "body_text": "t", "to": "b@example.org"}\n',
    "a field twice in an attachment": line(attachment=PART)[:-3] + ', "filename": "b.txt"}}\n',
    "an empty key": line(idempotency_key=""),
    "deep nesting": "[" * 100_000 + "]" * 100_000 + "\n",
    "deep nesting in a field": line()[:-2] + ', "to": ' + '{"a":' * 50_000 + "1" + "}" * 50_000 + "}\n",
    "a NUL": "\0\n",
    "a string": '"to"\n',
    "half an escape": '{"to": "\\ud8"}\n',
    "too large a message": line(body_text="x" * 300_000),
}  # fmt: skip


@pytest.fixture
def small(program: Program) -> Program:
    """A program that takes no large messages."""
    with program.config.open("a") as config:
        config.write("[attachments.policy]\nmax_message_bytes = 100000\n")
    return program


def test_bad_lines_are_refused_alone(small: Program) -> None:
    answer = small.run("send", "--batch", "-", "--json", text="".join(bad + line() for bad in BAD.values()))
    assert (answer.status, answer.json["error"]["code"]) == (65, "validation"), answer
    assert [(told["line"], told["outbox_id"]) for told in answer.data["messages"]] == [
        (2 * number, number) for number in range(1, len(BAD) + 1)
    ]
    assert {(error["line"], error["code"]) for error in answer.data["errors"]} == {
        (2 * number + 1, "validation") for number in range(len(BAD))
    }
    assert not any("bug" in error["message"] for error in answer.data["errors"])


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_the_same_as_one_request_is_65(bad: str, small: Program) -> None:
    assert_error(small.call("send", "--request", "-", "--json", text=bad), 65, code="validation")


def test_the_line_after_the_first_thousand_is_as_good_as_any_other(small: Program) -> None:
    lines = [line()] * 1200 + [line(idempotency_key="\ud800"), line(body_text="x" * 300_000)] + [line()] * 800
    answer = small.call("send", "--batch", "-", text="".join(lines))
    assert (answer.status, answer.out.split()) == (65, [str(number) for number in range(1, 2001)])
    assert [told.split(":")[0] for told in answer.err.splitlines()] == [
        "line 1201",
        "line 1202",
        "2000 queued, 2 refused",
    ]


def test_an_account_that_is_none_is_78_before_anything_is_read(program: Program) -> None:
    assert_error(program.call("send", "--batch", "-", "--account", "nobody", text=line()), 78, "nobody", "work")
    assert rows(program) == []


def message(**changed: Any) -> NewMessage:
    content = Content.of(b"X: y\r\n\r\n")
    ordinary = NewMessage(
        "work", "ops@example.com", [Addressee("a@example.org")], "s", content, Schedule.at_once(1), fingerprint="f"
    )
    return ordinary._replace(**changed)


CULPRITS = {
    "subject": {"subject": "\ud800"},
    "sender": {"sender": "\ud800"},
    "account": {"account": "\ud800"},
    "recipient": {"recipients": [Addressee("a@example.org"), Addressee("\ud800")]},
    "time": {"schedule": Schedule(1, 2**63)},
    "key": {"idempotency_key": "\ud800"},
}


@pytest.mark.parametrize("culprit", CULPRITS.values(), ids=CULPRITS)
@pytest.mark.parametrize("key", [None, "k"])
def test_what_cannot_be_stored_undoes_only_itself(
    culprit: dict[str, Any], key: str | None, outbox: SqliteStore
) -> None:
    ordinary = [message(idempotency_key=key and f"{key}{number}") for number in range(4)]
    submitted = outbox.submit([*ordinary[:2], message(**culprit), *ordinary[2:]])
    assert [result.error is None for result in submitted] == [True, True, False, True, True]
    ids = [result.outbox_id for result in submitted if result.error is None]
    assert ids == sorted(set(ids))
    for outbox_id in ids:
        assert outbox.row(outbox_id).to == ["a@example.org"]
    assert outbox.enqueue([message()]) == [ids[-1] + 1]


JUNK = st.text(st.characters(), max_size=30)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), JUNK, st.just(10**4000), st.just("a@example.org")
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(JUNK, inner, max_size=3), max_leaves=6
)
NAMES = st.sampled_from([*FIELDS, "unknown"])
REQUESTS = st.dictionaries(NAMES, VALUES, max_size=4).map(lambda odd: GOOD | odd)
LINES = st.one_of(REQUESTS.map(json.dumps), JUNK.map(lambda text: text.replace("\n", " ")))


@given(lines=st.lists(LINES, max_size=5))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_good_lines_between_hostile_ones_are_all_stored(
    lines: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("batch")
    program = Program(home)
    program.configure()
    marked = "".join(f"{text}\n" + line(subject=f"good {number}") for number, text in enumerate(lines)) + line()
    (home / "batch.jsonl").write_bytes(marked.encode("utf-8", "surrogatepass"))
    told = program.call("send", "--batch", "batch.jsonl", "--json")
    assert told.status in (0, 65), told
    assert not any("bug" in error["message"] for error in told.data["errors"])
    with closing(program.store()) as store:
        subjects = {store.row(message["outbox_id"]).subject for message in told.data["messages"]}
    assert {f"good {number}" for number in range(len(lines))} | {"hello"} <= subjects


@given(VALUES)
def test_any_json_is_a_request_or_refused(value: Any) -> None:
    try:
        request_from_json(read_json(json.dumps(value)))
    except (ValidationError, ValueError):
        return
    assert value == {} or isinstance(value, dict)
