"""The same from outside: what a server gets of ``send``, ``reply``, ``--request`` and ``--batch``."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from prx_email_cli.submission.request import RequestedAttachment

from ..conftest import Program
from ..support.mailhost import MailHost
from ..support.record import Received
from ..support.scripted import ScriptedServer
from .drafts import as_it_arrives
from .readers import Letter, long_encoded_lines, read_strictly, unfolded_lines
from .test_every_message import ATTACHED, EVERY_BYTE, KINDS, NAMES_OF_FILES, PARENT, check_kind, write_page
from .test_every_message import request_of as request_for

SUBJECT = "Nightly report, Grüße aus Köln and 日本語 " * 6
PLAIN = "Grüße\n日本語\n.\n..two\nFrom the start\n" + "x" * 2000 + "\n"
SHORT_NAMES = [name for name in NAMES_OF_FILES if len(name.encode()) <= 255]
ATTACH = [word for name in SHORT_NAMES for word in ("--attach", f"{name};type=application/pdf")]


@pytest.fixture
def host(program: Program) -> Iterator[MailHost]:
    """A server that *program* is configured for; in its home lie a page with images, files to attach and a parent."""
    write_page(program.home)
    for name in SHORT_NAMES:
        (program.home / name).write_bytes(EVERY_BYTE + name.encode())
    (program.home / "parent.eml").write_bytes(PARENT)
    with MailHost() as host:
        program.configure(host.port)
        yield host


def accepted(received: Received, *, smtputf8: bool = False) -> Letter:
    """What *received* says, once it is as every message must be."""
    assert not received.bare_newlines
    letter = read_strictly(received.content, smtputf8=smtputf8)
    assert (unfolded_lines(received.content), long_encoded_lines(received.content)) == ([], [])
    return letter


def check_files(letter: Letter) -> None:
    """The images of the page are in it, and all files with a name that a file system takes."""
    inline = [one for one in letter.files if one.content_id]
    assert [(one.name, f"cid:{one.content_id}" in (letter.html or "")) for one in inline] == [
        ("a.png", True), ("ü b.png", True),
    ]  # fmt: skip
    attached = [(one.name, one.content) for one in letter.files if not one.content_id]
    assert attached == [(name, EVERY_BYTE + name.encode()) for name in SHORT_NAMES]


def test_everything_that_send_takes(program: Program, host: MailHost) -> None:
    people = [f"Person number {number} <person-{number}@example.org>" for number in range(60)]
    words = ["--to", ", ".join(people), "--cc", '"Müller, Jürgen" <j@bücher.example>', "--bcc", "hidden@example.org",
             "--reply-to", "日本語 <desk@example.com>", "--subject", SUBJECT, "--html", "page.html", "--body", PLAIN,
             "--header", "X-Long: " + "word " * 50, "--now"]  # fmt: skip
    answer = program.call("send", *words, *ATTACH)
    assert answer.status == 0, answer
    (received,) = host.messages
    letter = accepted(received)
    assert (letter.subject, letter.plain) == (SUBJECT.strip(), as_it_arrives(PLAIN))
    assert letter.people == {
        "From": [("Ops", "ops@example.com")],
        "To": [(f"Person number {number}", f"person-{number}@example.org") for number in range(60)],
        "Cc": [("Müller, Jürgen", "j@xn--bcher-kva.example")],
        "Reply-To": [("日本語", "desk@example.com")],
    }
    check_files(letter)


def test_everything_that_reply_takes(program: Program, host: MailHost) -> None:
    words = ["--parent", "parent.eml", "--all", "--quote", "--html", "page.html", "--body", PLAIN, "--now"]
    answer = program.call("reply", *words, *ATTACH)
    assert answer.status == 0, answer
    (received,) = host.messages
    letter = accepted(received)
    assert letter.subject == "Re: 日本語 and more"
    assert letter.people["To"] == [("Jürgen", "j@example.net")]
    assert len(letter.people["Cc"]) == 31
    assert (letter.in_reply_to, letter.references[0]) == ("<parent@example.net>", f"<0.{'x' * 40}@example.net>")
    assert letter.references[-1] == letter.in_reply_to
    assert letter.plain.startswith(as_it_arrives(PLAIN.rstrip()))
    assert letter.plain.endswith("> hello\r\n")
    check_files(letter)


def test_every_field_of_a_request(program: Program, host: MailHost) -> None:
    assert program.call("import", "parent.eml").status == 0
    request = {
        "account": "work", "to": ["Jürgen <j@example.net>", "b@example.net"], "cc": "c@example.net",
        "bcc": "hidden@example.net", "subject": SUBJECT, "body_text": PLAIN, "body_html": "<p>Grüße</p>",
        "attachments": in_json(ATTACHED), "in_reply_to_message_id": "parent@example.net",
    }  # fmt: skip
    (program.home / "request.json").write_text(json.dumps(request))
    answer = program.call("send", "--request", "request.json", "--now")
    assert answer.status == 0, answer
    (received,) = host.messages
    letter = accepted(received)
    assert (letter.subject, letter.plain) == (SUBJECT.strip(), as_it_arrives(PLAIN))
    assert "Grüße" in (letter.html or "")
    assert [one.name for one in letter.files] == NAMES_OF_FILES
    assert letter.references[-1] == letter.in_reply_to == "<parent@example.net>"


def test_a_batch_with_a_message_of_each_kind(program: Program, host: MailHost) -> None:
    requests = {kind: request_for(kind, program.home / "page.html") for kind in KINDS if "headers" not in KINDS[kind]}
    lines = [json.dumps(json_of(request.subject, kind)) for kind, request in requests.items()]
    answer = program.call("send", "--batch", "-", text="\n".join(lines))
    assert answer.status == 0, answer
    assert program.call("drain", "--connections", "1").status == 0
    letters = {letter.plain.split("\r\n", 1)[0]: letter for letter in map(accepted, host.messages)}
    assert set(letters) == set(requests)
    for kind, request in requests.items():
        letter = letters[kind]
        pictures = request.body_html.replace("a.png", "").replace("b.png", "") if request.body_html else None
        check_kind(
            letter._replace(plain=letter.plain.partition("\r\n")[2]), request._replace(body_html=pictures)
        )  # a request has no directory that images could lie in


def in_json(attachments: Sequence[RequestedAttachment]) -> list[dict[str, str]]:
    """The attachments as a JSON request has them."""
    return [{name: value for name, value in one._asdict().items() if value is not None} for one in attachments]


def json_of(subject: str, kind: str) -> dict[str, Any]:
    """The request of a kind; its text begins with a line that names it."""
    values: dict[str, Any] = {"to": "Ann <a@example.org>", "body_text": "text\n", **KINDS[kind], "subject": subject}
    if "attachments" in values:
        values["attachments"] = in_json(values["attachments"])
    return {**values, "body_text": f"{kind}\n{values['body_text']}"}


def test_addresses_outside_ascii_are_in_the_headers_as_they_are(program: Program) -> None:
    with ScriptedServer(smtputf8=True) as server:
        program.configure(server.port)
        program.send(
            "--now", *("--cc", "用户 <用户@例え.example>"), to="Jürgen Ü <jürgen@example.org>", subject=SUBJECT
        )
        (received,) = server.messages
    letter = accepted(received, smtputf8=True)
    assert (letter.people["To"], letter.subject) == ([("Jürgen Ü", "jürgen@example.org")], SUBJECT.strip())
    assert letter.people["Cc"] == [("用户", "用户@xn--r8jz45g.example")]
