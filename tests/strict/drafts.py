"""Anything that people and scripts put into messages, all of it at once."""

import re
from typing import NamedTuple

from hypothesis import strategies as st

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.address_grammar import Mailbox
from prx_email_cli.mail.attachments import checked_filename
from prx_email_cli.mail.compose import Draft
from prx_email_cli.mail.headers import check_header_text
from prx_email_cli.mail.mime import Attachment

from .readers import File, Letter

CONTROLS = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029]))  # refused in every header
TYPES = ("application/pdf", "image/png", "text/plain", "application/zip")
DATE = 1_700_000_000

_ANY = st.characters(exclude_categories=["Cs"], exclude_characters=CONTROLS)
_AWKWARD = st.sampled_from(list("aZ09 =?_.,:;<>@\"'()[]%*\u00a0éж日ب\U0001f600\u200d\u202e\ufeff"))
_LINES = st.sampled_from(["\n", "\r\n", "\r", ".", ".\n", "From ", " \n", "\t", "=", "\0", "\x85", "\u2028", "x" * 999])


def _accepted(text: str) -> bool:
    """Only an encoded word that hides something can still be refused."""
    try:
        return bool(check_header_text(text, "text"))
    except ValidationError:
        assert "=?" in text
        return False


def _is_file_name(text: str) -> bool:
    try:
        # Python's get_filename takes quotes and angle brackets around a name for the header's own and drops them,
        # however they came.
        return checked_filename(text) == text and (text[0], text[-1]) not in (('"', '"'), ("<", ">"))
    except ValidationError:
        assert re.search("=[?]|[/\\\\\u202a-\u202e\u2066-\u2069]|^[.]{1,2}$", text), text
        return False


def _words(most: int) -> st.SearchStrategy[str]:
    """Text for a header: any characters, awkward ones, or many short words."""
    short = st.lists(st.text(st.one_of(_ANY, _AWKWARD), max_size=12), max_size=most // 8).map(" ".join)
    return st.one_of(short, st.text(st.one_of(_ANY, _AWKWARD), max_size=most)).map(str.strip)


SUBJECTS = _words(300).filter(_accepted)
NAMES = st.one_of(st.just(""), _words(80).filter(lambda text: not text or _accepted(text)))
FILE_NAMES = st.text(st.one_of(_ANY, _AWKWARD), min_size=1, max_size=120).map(str.strip).filter(_is_file_name)
BODIES = (
    st.lists(st.one_of(_LINES, st.text(st.characters(exclude_categories=["Cs"]), max_size=40)), min_size=1, max_size=12)
    .map("".join)
    .filter(str.strip)
)
_ATOM = st.text("abcdefghijklmnopqrstuvwxyz0123456789+_-", min_size=1, max_size=64)
_LABEL = st.text("abcdefghijklmnopqrstuvwxyz0123456789", min_size=1, max_size=50)
ADDRESSES = st.builds("{}@{}.{}.example".format, _ATOM, _LABEL, _LABEL)
MAILBOXES = st.builds(Mailbox, NAMES, ADDRESSES)
MESSAGE_IDS = st.builds("<{}@{}.example>".format, _ATOM, _LABEL)
FILES = st.builds(File, FILE_NAMES, st.sampled_from(TYPES), st.binary(max_size=300), st.none())
IMAGES = st.builds(
    File, FILE_NAMES, st.just("image/png"), st.binary(max_size=100), st.uuids().map("{}@inline.prx-email".format)
)


class Case(NamedTuple):
    """A draft, and what any reader must find in its message."""

    draft: Draft
    wanted: Letter


@st.composite
def cases(draw: st.DrawFn, *, html: bool = True, thread: bool = True) -> Case:
    """Everything at once, or any part of it; without an HTML body or a thread where they are not wanted."""
    people = {
        "From": [draw(MAILBOXES)],
        "To": draw(st.lists(MAILBOXES, min_size=1, max_size=8)),
        "Cc": draw(st.lists(MAILBOXES, max_size=4)),
        "Reply-To": draw(st.lists(MAILBOXES, max_size=2)),
    }
    subject, plain, page = draw(SUBJECTS), draw(BODIES), draw(st.none() | BODIES) if html else None
    images = draw(st.lists(IMAGES, max_size=2)) if page is not None else []
    files = draw(st.lists(FILES, max_size=4))
    chain = draw(st.lists(MESSAGE_IDS, max_size=8)) if thread else []
    draft = Draft(
        sender=people["From"][0],
        to=people["To"],
        subject=subject,
        body_text=plain,
        date=DATE,
        cc=people["Cc"],
        bcc=draw(st.lists(MAILBOXES, max_size=2)),
        reply_to=people["Reply-To"],
        body_html=page,
        inline=[_attachment(one) for one in images],
        attachments=[_attachment(one) for one in files],
        in_reply_to=chain[-1] if chain else None,
        references=chain,
    )
    wanted = Letter(
        subject=subject,
        people={field: [(one.name, one.address) for one in found] for field, found in people.items() if found},
        plain=as_it_arrives(plain),
        html=None if page is None else as_it_arrives(page),
        files=(*images, *files),
        in_reply_to=draft.in_reply_to,
        references=tuple(chain),
    )
    return Case(draft, wanted)


def as_it_arrives(text: str) -> str:
    """*text* with the line ends of mail; one whose line ends differ among themselves keeps them."""
    return text.replace("\n", "\r\n") if set(re.findall("\r\n|\r|\n", text)) <= {"\n"} else text


def _attachment(file: File) -> Attachment:
    return Attachment(file.name, file.content_type, [file.content[:50], file.content[50:]], file.content_id)
