"""Make a message that comes whole, from a program's standard input or by SMTP, an outbox message."""

import re
import time
from codecs import IncrementalDecoder, getincrementaldecoder
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from itertools import chain
from typing import NamedTuple

from prx_email_cli.config.settings import Account, Settings
from prx_email_cli.errors import ValidationError
from prx_email_cli.mail import raw_head
from prx_email_cli.mail.address_grammar import Broken, Mailbox, entries
from prx_email_cli.mail.addresses import (
    delivered_to,
    parse_mailbox,
    parse_mailboxes,
    understood_mailboxes,
    without_repeats,
)
from prx_email_cli.mail.headers import address_header, decoded_words
from prx_email_cli.mail.raw_head import Field
from prx_email_cli.mail.received import address_text, header_text
from prx_email_cli.outbox.lifecycle import Priority
from prx_email_cli.outbox.messages import Addressee, Caller, Content, Esmtp, NewMessage, Schedule
from prx_email_cli.submission.caller import is_this_machine
from prx_email_cli.submission.spool import Spool, limited

LONGEST_LINE = 998  # octets without its end: RFC 5322 section 2.1.1
Qualify = Callable[[str], list[str]]
_LOCAL = re.compile(r"""(?:[^<>()]*<)?\s*([A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+)\s*>?\s*(?:\([^()]*\))?""")


class Envelope(NamedTuple):
    """What a client says beside the message itself.

    sender: "" for the null sender, None where it says none.  recipients: addresses, or local names.  from_headers: To,
    Cc and Bcc count as well.  full_name: for a From header that is missing.  received: a header to be put first.
    """

    sender: str | None = None
    recipients: tuple[str, ...] = ()
    from_headers: bool = False
    full_name: str | None = None
    notify: str | None = None
    returns: str | None = None
    envelope_id: str | None = None
    received: bytes = b""


class Taker:
    """Takes messages in.

    qualify: returns the addresses that a local name stands for; raises ValidationError.  For an address on this machine
    it returns those that are written in its place, if any.
    """

    def __init__(self, settings: Settings, spool: Spool, qualify: Qualify) -> None:
        self._settings, self._spool, self._qualify = settings, spool, qualify

    def take(
        self, chunks: Iterable[bytes], envelope: Envelope, when: Callable[[], Schedule], caller: Caller | None = None
    ) -> NewMessage:
        """Read the message in *chunks* once, and return what is to be stored; its content is in the spool.

        Bcc goes; missing From, Date and MIME headers come; all else stays as it is, but for line ends.
        when: asked once all was read.  Raises ValidationError for what cannot be sent, ConfigError without an account,
        StorageError when there is no room.
        """
        fields, body = raw_head.split_head(raw_head.crlf(chunks))
        raw_head.check_no_loop(fields)
        account = self._account(fields)
        recipients = self._recipients(fields, envelope)
        look = _Look(body)
        held = self._spool.hold(limited(look, self._settings.attachments.policy.max_message_bytes))
        schedule = when()
        fields = self._completed(fields, account, envelope, schedule, look)  # once all of the body was seen
        content = _with_head(envelope.received + b"".join(field.raw for field in fields) + b"\r\n", held)
        if look.needs_encoding:
            content, look.eight_bit = self._encoded(content, eight_bit=look.eight_bit)
        sender = self._sender(envelope, account)
        own = raw_head.first(fields, b"message-id")
        return NewMessage(
            account=account.name, sender=sender, recipients=recipients, subject=_subject(fields), content=content,
            schedule=schedule, needs_smtputf8=not all(one.address.isascii() for one in recipients),
            priority=Priority.NORMAL, caller=caller,
            own_message_id=None if own is None else own.decode("utf-8", "replace"),
            esmtp=Esmtp(look.eight_bit, envelope.notify, envelope.returns, envelope.envelope_id),
        )  # fmt: skip

    def _account(self, fields: list[Field]) -> Account:
        """Choose the account whose From is the message's, else the default one."""
        author = raw_head.first(fields, b"from")
        wanted = {delivered_to(one.address) for one in _understood(author)} if author else set()
        for account in self._settings.accounts.values():
            if account.sender and delivered_to(_address_of(account)) in wanted:
                return account
        return self._settings.account(None)

    def _recipients(self, fields: list[Field], envelope: Envelope) -> list[Addressee]:
        texts = [self.qualified(text) for text in envelope.recipients]
        if envelope.from_headers:
            texts += [self.qualified(value.decode("utf-8", "surrogateescape"))
                      for value in raw_head.recipient_values(fields)]  # fmt: skip
        mailboxes = without_repeats(chain.from_iterable(texts))
        if not mailboxes:
            raise ValidationError("no recipients", hint="name them, or use -t and a To header")
        most = self._settings.outbox.max_recipients
        if len(mailboxes) > most:
            raise ValidationError(f"{len(mailboxes)} recipients: at most {most} ([outbox] max_recipients)")
        return [Addressee(one.address) for one in mailboxes]

    def qualified(self, text: str) -> list[Mailbox]:
        """Return the mailboxes of a list of addresses and local names.  Raises as qualify does."""
        found: list[Mailbox] = []
        for entry in entries(text, obsolete=True):
            if isinstance(entry, Broken):
                piece = re.split("[,;]", text[entry.at :], maxsplit=1)[0]
                local = _LOCAL.fullmatch(piece.strip())
                addresses = self._qualify(local[1]) if local else [piece]
                found += parse_mailboxes(addresses, "recipient")
            else:
                address = f"{entry.local}@{entry.domain}"
                aliases = self._qualify(address) if is_this_machine(entry.domain) else []
                found += parse_mailboxes(aliases or [address], "recipient")
        return found

    def _sender(self, envelope: Envelope, account: Account) -> str:
        """Return the envelope's sender: a local name is the account's own address."""
        if envelope.sender == "" or (envelope.sender and "@" in envelope.sender):
            return envelope.sender and parse_mailbox(envelope.sender, "sender").address
        return _address_of(account)

    def _completed(
        self, fields: list[Field], account: Account, envelope: Envelope, schedule: Schedule, look: "_Look"
    ) -> list[Field]:
        """Return the headers without Bcc, and with those that are missing."""
        fields = raw_head.without(fields, b"bcc", b"resent-bcc")
        given = raw_head.first(fields, b"message-id")
        fields = raw_head.only_first(fields, b"message-id") if given else raw_head.without(fields, b"message-id")
        author = raw_head.first(fields, b"from")
        if author is None or b"@" not in author:
            name = _name_in(author) or envelope.full_name or ""
            mailbox = parse_mailbox(account.sender or "", "from")
            header = address_header("From", [Mailbox(name or mailbox.name, mailbox.address)])
            fields = raw_head.replaced(fields, b"from", header.encode())
        if raw_head.first(fields, b"date") is None:
            fields = raw_head.replaced(fields, b"date", f"Date: {_date(schedule.created_at)}\r\n".encode())
        if raw_head.first(fields, b"mime-version") is None:
            fields = [*fields, *_mime_headers(fields, look)]
        return fields

    def _encoded(self, content: Content, *, eight_bit: bool) -> tuple[Content, bool]:
        """Encode anew what no server takes, lines that are too long and NUL; a signed message stays as it is."""
        from prx_email_cli.mail.seven_bit import seven_bit  # on use

        encoded = seven_bit(b"".join(content.pieces), longest_line=LONGEST_LINE)
        return (content, eight_bit) if encoded is None else (Content.of(encoded), False)


class _Look:
    """The pieces of a body, and what is seen in them as they are read, once."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.eight_bit = self.is_utf8 = self.needs_encoding = False

    def __iter__(self) -> Iterator[bytes]:
        decoder = getincrementaldecoder("utf-8")()
        self.is_utf8, length = True, 0
        for chunk in self._chunks:
            if not chunk.isascii() or not self.is_utf8:
                self.eight_bit = True
            self.is_utf8 = self.is_utf8 and _decodes(decoder, chunk)
            lines = chunk.split(b"\r\n")
            lengths = [length + len(lines[0]), *map(len, lines[1:])]
            self.needs_encoding |= max(lengths) > LONGEST_LINE or b"\0" in chunk
            length = lengths[-1]
            yield chunk
        self.is_utf8 = self.is_utf8 and _decodes(decoder, b"", final=True)


def _decodes(decoder: IncrementalDecoder, data: bytes, *, final: bool = False) -> bool:
    try:
        decoder.decode(data, final)
    except UnicodeDecodeError:
        return False
    return True


class _WithHead:
    """Headers and a body that is held elsewhere, from their beginning each time."""

    def __init__(self, head: bytes, body: Iterable[bytes]) -> None:
        self._head, self._body = head, body

    def __iter__(self) -> Iterator[bytes]:
        yield self._head
        yield from self._body


def _with_head(head: bytes, body: Content) -> Content:
    """Return headers and body as one content."""
    if isinstance(body.pieces, tuple):  # held in memory
        return Content.of(head + b"".join(body.pieces))
    pieces, digest = _WithHead(head, body.pieces), sha256()
    for piece in pieces:
        digest.update(piece)
    return Content(pieces, len(head) + body.size_bytes, digest.hexdigest())


def _mime_headers(fields: list[Field], look: _Look) -> Iterator[Field]:
    """Yield the MIME headers that a message without MIME-Version lacks."""
    yield Field(b"mime-version", b"MIME-Version: 1.0\r\n")
    if raw_head.first(fields, b"content-type") is None:
        charset = b"us-ascii" if not look.eight_bit else b"utf-8" if look.is_utf8 else b"unknown-8bit"  # RFC 1428
        yield Field(b"content-type", b"Content-Type: text/plain; charset=" + charset + b"\r\n")
    if look.eight_bit and raw_head.first(fields, b"content-transfer-encoding") is None:
        yield Field(b"content-transfer-encoding", b"Content-Transfer-Encoding: 8bit\r\n")


def _subject(fields: list[Field]) -> str:
    value = header_text(raw_head.first(fields, b"subject") or b"")
    return decoded_words(value) if "=?" in value else value


def _name_in(author: bytes | None) -> str:
    """Return the name beside a local one, as cron writes it: ``root (Cron Daemon)``."""
    text = header_text(author or b"")
    comment = re.search(r"\(([^()]*)\)", text)
    return comment[1].strip() if comment else text.partition("<")[0].strip(' "') if "<" in text else ""


def _understood(author: bytes) -> list[Mailbox]:
    return understood_mailboxes(address_text(author))


def _address_of(account: Account) -> str:
    return parse_mailbox(account.sender or "", "from").address


def _date(unix: int) -> str:
    """Write a time as RFC 5322 section 3.3 does; the names are English: no locale is set."""
    return time.strftime("%a, %d %b %Y %H:%M:%S %z", time.localtime(unix))
