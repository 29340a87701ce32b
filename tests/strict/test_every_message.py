"""Every message that can be made is one that strict readers accept, and says in both of them what was put into it."""

import base64
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prx_email_cli.config.settings import check_settings
from prx_email_cli.mail.address_grammar import Mailbox
from prx_email_cli.mail.compose import Draft, compose
from prx_email_cli.mail.received import known_message
from prx_email_cli.outbox.messages import NewMessage
from prx_email_cli.submission.reply import Manner, Parent, answer
from prx_email_cli.submission.request import Request, RequestedAttachment

from ..mail.letters import prepared
from .drafts import ADDRESSES, DATE, NAMES, Case, as_it_arrives, cases
from .readers import File, Letter, long_encoded_lines, read_strictly, unfolded_lines

SETTINGS = check_settings(
    {"accounts": {"work": {"from": "Ops <ops@example.com>", "smtp": {"host": "smtp.example.com"}}}},
    Path("/nowhere/config.toml"),
)
EVERY_BYTE = bytes(range(256)) * 5
NAMES_OF_FILES = [
    "报告 2026 (終).pdf",
    "доклад.pdf",
    "تقرير.pdf",
    "100%20 %41.pdf",
    "a" * 251 + ".pdf",
    "日" * 251 + ".pdf",
]
PEOPLE = tuple(f'"Person number {number}, of many" <person-{number}@example.org>' for number in range(200))
ATTACHED = tuple(
    RequestedAttachment(name, "application/pdf", base64.b64encode(EVERY_BYTE + bytes([number])).decode())
    for number, name in enumerate(NAMES_OF_FILES)
)
PAGE = '<style>p {color: red}</style><p>Grüße, <b>日本語</b></p><img src="a.png"><img src="sub/%C3%BC%20b.png">'
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "plain, in any script": {"body_text": "Grüße\n日本語 \n.\nFrom x\n" + "x" * 2000},
    "html": {"body_html": "<p>Grüße</p>"},
    "html with images": {"body_html": PAGE},
    "attachments": {"attachments": ATTACHED},
    "many recipients": {"to": PEOPLE, "cc": tuple(text.replace("person-", "copy-") for text in PEOPLE)},
    "a long subject": {"subject": "a long subject with many words " * 30},
    "a long subject in any script": {"subject": "日本語 Привет مرحبا 🙂 " * 40},
    "a subject without a space": {"subject": "x" * 3000},
    "further headers": {"headers": ("X-Long: " + "word " * 100, "X-Script: 日本語", "X-Token: " + "x" * 300)},
}
KINDS["everything at once"] = {name: value for kind in KINDS.values() for name, value in kind.items()}
PARENT = (
    "From: =?utf-8?q?J=C3=BCrgen?= <j@example.net>\nTo: Ops <ops@example.com>, b@example.net\n"
    "Cc: " + ",\n ".join(f"c{number}@example.net" for number in range(30)) + "\n"
    "Subject: AW: =?utf-8?b?5pel5pys6Kqe?= and more\nMessage-ID: <parent@example.net>\n"
    "References: " + "\n ".join(f"<{number}.{'x' * 40}@example.net>" for number in range(50)) + "\n"
    "Date: Tue, 4 Mar 2025 10:15:00 +0100\n\nhello\n"
).encode()  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An HTML file and the images beside it."""
    home = tmp_path_factory.mktemp("page")
    write_page(home)
    return home / "page.html"


def write_page(home: Path) -> None:
    (home / "page.html").write_text(PAGE)
    (home / "a.png").write_bytes(b"\x89PNG" + EVERY_BYTE)
    (home / "sub").mkdir()
    (home / "sub" / "ü b.png").write_bytes(b"\x89PNG")


def request_of(kind: str, page: Path) -> Request:
    values = {"to": ("Ann <a@example.org>",), "subject": "hello", "body_text": "text\n", **KINDS[kind]}
    return Request(**values, html_file=str(page) if "body_html" in values else None)


def content_of(message: NewMessage) -> bytes:
    return b"".join(message.content.pieces)


def made(draft: Draft) -> bytes:
    return b"".join(compose(draft).chunks)


def check_kind(letter: Letter, request: Request) -> None:
    """*letter* says what *request* does, as far as the kinds go."""
    assert (letter.subject, letter.plain) == (request.subject.strip(), as_it_arrives(request.body_text))
    assert (letter.html is None) == (request.body_html is None)
    images = [one for one in letter.files if one.content_id]
    assert [one.name for one in images] == (["a.png", "ü b.png"] if request.body_html == PAGE else [])
    assert all(f"cid:{one.content_id}" in (letter.html or "") for one in images)
    files = [(one.name, one.content) for one in letter.files if one.content_id is None]
    assert files == [(one.filename, base64.b64decode(one.base64 or "")) for one in request.attachments]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_message_is_accepted_and_folded(kind: str, page: Path) -> None:
    request = request_of(kind, page)
    content = content_of(prepared(request, SETTINGS, DATE))
    letter = read_strictly(content)
    check_kind(letter, request)
    assert len(letter.people["To"]) == len(request.to)
    assert (unfolded_lines(content), long_encoded_lines(content)) == ([], [])


@pytest.mark.parametrize("kind", KINDS)
def test_so_is_each_kind_of_reply(kind: str, page: Path) -> None:
    request = request_of(kind, page)._replace(to=(), subject="")
    parent = Parent(known_message(PARENT))
    answered = answer(request, SETTINGS.account(None), parent, Manner(everyone=True, quote=True))
    content = content_of(prepared(answered.request, SETTINGS, DATE, answered.reply))
    letter = read_strictly(content)
    assert letter.subject == "Re: 日本語 and more"
    assert letter.people["To"] == [("Jürgen", "j@example.net")]
    assert len(letter.people["Cc"]) == 31 + len(request.cc)
    assert (letter.in_reply_to, letter.references[-1]) == ("<parent@example.net>",) * 2
    assert letter.plain.endswith("Jürgen wrote:\r\n> hello\r\n")
    assert len(letter.files) == len(request.attachments) + (2 if request.body_html == PAGE else 0)
    assert (unfolded_lines(content), long_encoded_lines(content)) == ([], [])


@settings(max_examples=100, deadline=None)
@given(cases())
def test_everything_at_once_arrives_as_it_was_put_in_and_is_folded(case: Case) -> None:
    content = made(case.draft)
    assert read_strictly(content) == case.wanted
    assert (unfolded_lines(content), long_encoded_lines(content)) == ([], [])


@settings(max_examples=60, deadline=None)
@given(cases(html=False, thread=False))
def test_what_a_request_asks_for_is_what_arrives(case: Case) -> None:
    draft, people = case.draft, case.wanted.people
    request = Request(
        sender=typed(draft.sender),
        to=tuple(map(typed, draft.to)),
        cc=(", ".join(map(typed, draft.cc)),) if draft.cc else (),
        bcc=tuple(map(typed, draft.bcc)),
        reply_to=tuple(map(typed, draft.reply_to)),
        subject=draft.subject,
        body_text=draft.body_text,
        attachments=tuple(map(document, case.wanted.files)),
    )
    once = {field: each_once(found) if field in ("To", "Cc", "Reply-To") else found for field, found in people.items()}
    assert read_strictly(content_of(prepared(request, SETTINGS, DATE))) == case.wanted._replace(people=once)


@settings(max_examples=50, deadline=None)
@given(NAMES, st.text(st.characters(categories=["L"]), min_size=1, max_size=16).filter(lambda text: not text.isascii()))
def test_only_an_address_outside_ascii_takes_the_headers_out_of_it(name: str, local: str) -> None:
    mailbox = Mailbox(name, f"{local}@example.org")
    message = prepared(
        Request(to=(typed(mailbox),), subject="日本語", body_text="Grüße", attachments=ATTACHED[:2]), SETTINGS, DATE
    )
    assert message.needs_smtputf8
    letter = read_strictly(content_of(message), smtputf8=True)
    assert (letter.people["To"], letter.subject) == ([(name, mailbox.address)], "日本語")


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(
        ["", "Ops", "A name of thirty-eight characters, not", "Jürgen", "x" * 60, '"' * 19 + " " + '"' * 19]
    ),
    ADDRESSES,
)
def test_a_long_name_and_a_long_address_stand_on_lines_of_their_own(name: str, address: str) -> None:
    mailbox = Mailbox(name, address)
    content = made(Draft(mailbox, [mailbox] * 2, "s", "text\n", DATE, [], [], [mailbox]))
    assert (unfolded_lines(content), long_encoded_lines(content)) == ([], [])


def typed(mailbox: Mailbox) -> str:
    """*mailbox* as people and scripts write it."""
    name = mailbox.name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{name}" <{mailbox.address}>' if name else mailbox.address


def document(file: File) -> RequestedAttachment:
    """*file* as a JSON request has it."""
    return RequestedAttachment(file.name, file.content_type, base64.b64encode(file.content).decode())


def each_once(people: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """*people* without those whose address came before."""
    first: dict[str, str] = {}
    for name, address in people:
        first.setdefault(address, name)
    return [(name, address) for address, name in first.items()]
