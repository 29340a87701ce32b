"""Make the headers of a reply to a known message, and the quote of it."""

import html
import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, NamedTuple

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.address_grammar import Mailbox
from prx_email_cli.mail.addresses import understood_mailboxes
from prx_email_cli.mail.headers import check_header_text, decoded_words
from prx_email_cli.mail.received import KnownMessage

if TYPE_CHECKING:
    from datetime import datetime

NO_SENDER = "cannot infer reply recipient from parent sender"
MAX_REFERENCES, MAX_REFERENCES_CHARACTERS = 20, 900
MAX_SUBJECT_CHARACTERS, MAX_NAME_CHARACTERS = 900, 200

# "Re" in the languages whose mailers write it; Finnish VS and Italian R are left out, for they mean other things too.
_REPLIED = re.compile(
    r"(?:re|aw|antw|antwort|sv|svar|odp|odg|ynt|ats|vá|bls|rif|ref|απ|σχετ|отв|ответ|رد|השב|回复|回覆|答复|返信|회신|답장)"
    r"\s*(?:\[\s*\d*\s*\]|\(\s*\d*\s*\)|[\^*]\s*\d+)?\s*[:：]\s*",  # noqa: RUF001 - the fullwidth colon
    re.IGNORECASE,
)
_SIGNATURE = re.compile(r"(?m)^-- \n[\s\S]*\Z")


class Reply(NamedTuple):
    """The headers of a reply.  references: the whole chain, the parent last; none to a parent without a Message-ID."""

    to: list[Mailbox]
    cc: list[Mailbox]
    subject: str
    in_reply_to: str | None
    references: list[str]


def reply_to(parent: KnownMessage, own: Collection[str], *, everyone: bool = False) -> Reply:
    """Make the headers of a reply to *parent* from *own* addresses; with *everyone* its To and Cc get copies.

    A reply to one's own message goes to its recipients.  Raises ValidationError when no recipient is left.
    """
    mine = {address.lower() for address in own}
    to = _answered(parent, mine)
    if not to:
        raise ValidationError(
            NO_SENDER, hint="neither its Reply-To nor its From holds an address; write with prx-email send"
        )
    copies = [*mailboxes_in(parent.recipients), *mailboxes_in(parent.copies)] if everyone else []
    cc = _without(copies, mine | {mailbox.address.lower() for mailbox in to})
    in_reply_to = parent.message_id if parent.has_message_id else None
    return Reply(to, cc, reply_subject(parent.subject), in_reply_to, reference_chain(parent))


def _answered(parent: KnownMessage, mine: set[str]) -> list[Mailbox]:
    """Return the recipients of a reply to *parent*, each once: its sender, or the recipients of one's own message."""
    sender = mailboxes_in(parent.sender)
    if sender and all(mailbox.address.lower() in mine for mailbox in sender):
        readers = _without(mailboxes_in(parent.recipients), set())
        others = _without(readers, mine)
        if readers:
            return others or readers
    return _without(mailboxes_in(parent.reply_to) or sender, set())


def _without(mailboxes: Iterable[Mailbox], left_out: set[str]) -> list[Mailbox]:
    """Drop repeated addresses, whatever their case, and those *left_out* (lower case); the order stays."""
    kept: dict[str, Mailbox] = {}
    for mailbox in mailboxes:
        if mailbox.address.lower() not in left_out:
            kept.setdefault(mailbox.address.lower(), mailbox)
    return list(kept.values())


def mailboxes_in(text: str) -> list[Mailbox]:
    """Parse the usable mailboxes of a received address header, their names decoded; the others are left out."""
    return [
        Mailbox(_harmless(mailbox.name, MAX_NAME_CHARACTERS), mailbox.address) for mailbox in understood_mailboxes(text)
    ]


def reply_subject(subject: str) -> str:
    """Put one "Re: " in front of *subject*, in place of any in any language."""
    text = _harmless(subject, MAX_SUBJECT_CHARACTERS)
    while replied := _REPLIED.match(text):
        text = text[replied.end() :]
    return f"Re: {text}".strip()


def _harmless(text: str, most: int) -> str:
    """Decode *text* and make it fit for a header, at most *most* characters of it."""
    decoded = " ".join(decoded_words(text).split())[:most].strip()
    try:
        return check_header_text(decoded, "text")
    except ValidationError:  # an encoded word in an encoded word that hides a control character
        return decoded.replace("=?", "= ?")


def reference_chain(parent: KnownMessage) -> list[str]:
    """Make the References of a reply (RFC 5322 section 3.6.4); a long chain keeps its first id and its last ones.

    [] when *parent* has no Message-ID: without it the reply would hang on another message.
    """
    if not parent.has_message_id:
        return []
    earlier = parent.reference_ids.split()
    if not earlier:
        answered = parent.in_reply_to.split()
        earlier = answered if len(answered) == 1 else []
    chain = [one for one in dict.fromkeys(earlier) if one != parent.message_id]
    room = MAX_REFERENCES_CHARACTERS - len(parent.message_id) - len(chain[0] if chain else "")
    last: list[str] = []
    for one in reversed(chain[1:]):
        room -= len(one) + 1
        if room < 0 or len(last) == MAX_REFERENCES - 2:
            break
        last.append(one)
    return [*chain[:1], *reversed(last), parent.message_id]


def quoted(parent: KnownMessage) -> str:
    """Quote *parent*'s text, without its signature, each line after ``>``, under its attribution."""
    lines = _SIGNATURE.sub("", parent.text).strip("\n").split("\n")
    marked = (f">{line}" if line.startswith(">") else f"> {line}".rstrip() for line in lines)
    return "\n".join([attribution(parent), *marked]) + "\n"


def quoted_html(parent: KnownMessage) -> str:
    """Quote *parent*'s text for an HTML body, as a cited block of preformatted text."""
    text = html.escape(_SIGNATURE.sub("", parent.text).strip("\n"), quote=False)
    return (
        f"<p>{html.escape(attribution(parent), quote=False)}</p>\n"
        f'<blockquote type="cite"><pre style="white-space: pre-wrap">{text}</pre></blockquote>\n'
    )


def attribution(parent: KnownMessage) -> str:
    """Write "On DATE, NAME wrote:", without a date if *parent* has none."""
    authors = mailboxes_in(parent.sender)
    name = authors[0].name or authors[0].address if authors else "somebody"
    date = sent_date(parent)
    return f"On {date}, {name} wrote:" if date else f"{name} wrote:"


def sent_date(parent: KnownMessage) -> str:
    """Write *parent*'s Date as RFC 5322 does, in its own time zone; "" when it cannot be read."""
    from email.utils import format_datetime  # on use

    date = _date(parent)
    return format_datetime(date) if date is not None else ""


def sent_at(parent: KnownMessage) -> int | None:
    """Return *parent*'s Date in Unix seconds; None when it cannot be read."""
    date = _date(parent)
    try:
        return int(date.timestamp()) if date is not None else None
    except (ValueError, OverflowError, OSError):
        return None


def _date(parent: KnownMessage) -> "datetime | None":
    from email.utils import parsedate_to_datetime  # on use

    try:
        return parsedate_to_datetime(parent.date)
    except Exception:  # noqa: BLE001 - the standard library's reader of dates fails in many ways
        return None
