"""Enqueue a plain message to an outbox that is as usual, with few imports; leave all else to ``enqueue``.

A program waits for its mail to be stored, and of the full way nine tenths of the time are imports.  Both store the
same: a test compares every row.
"""

import time

from prx_email_cli.outbox.small import MOST_BYTES, SmallMessage
from prx_email_cli.sendmail import naming, plain
from prx_email_cli.sendmail.incoming import until_dot
from prx_email_cli.submission.caller import by_parent, is_this_machine, named

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prx_email_cli.sendmail.flags import Call
    from prx_email_cli.sendmail.known import Account, Known


class Tape:
    """Chunks that can be read again from their beginning, with the error that ended them."""

    def __init__(self, chunks: "Iterable[bytes]") -> None:
        self._chunks, self._read = iter(chunks), list[bytes]()
        self._error: OSError | None = None

    def __iter__(self) -> "Iterator[bytes]":
        yield from self._read
        if self._error is not None:
            raise self._error
        try:
            for chunk in self._chunks:
                self._read.append(chunk)
                yield chunk
        except OSError as error:
            self._error = error
            raise

    def rest(self) -> "Iterator[bytes]":
        """Yield the chunks once more, for the last time: nothing that is read from now on is kept."""
        read, self._read = self._read, []
        while read:
            yield read.pop(0)
        if self._error is not None:
            raise self._error
        yield from self._chunks


def enqueue(call: "Call", known: "Known", chunks: "Iterable[bytes]", now: int) -> int | None:
    """Store the message that *chunks* are, durably, and return its outbox id; None when nothing was stored.

    now: in Unix seconds.  Raises StorageError.
    """
    from prx_email_cli.outbox.open import store_quickly  # on use

    try:
        data = _all_of(until_dot(chunks) if call.dot_ends else chunks)
        message = taken(call, known, data, SmallMessage(now, named(by_parent(naming.command(call)))))
    except (plain.Unusual, OSError):
        return None
    return store_quickly(known.outbox, message)


def taken(call: "Call", known: "Known", data: bytes, message: SmallMessage) -> SmallMessage:
    """Complete *message* by what is to be stored of *data*, as ``Taker.take`` does.  Raises plain.Unusual."""
    read = plain.Plain(data)
    author = read.value(b"from")
    account = known.account_of(_authors(author))
    message.account, message.sender = account.name, _sender(call, account.address)
    message.recipients = _recipients(call, known, read)
    head = _head(call, account, read, message.created_at)
    message.content = (head + b"\n" + read.body).replace(b"\n", b"\r\n")
    if len(message.content) > min(MOST_BYTES, known.most_bytes):
        raise plain.Unusual("a large message")
    subject = read.value(b"subject") or ""
    if "=?" in subject:
        raise plain.Unusual("an encoded subject")
    message.subject, message.own_message_id = subject, read.value(b"message-id")
    message.eight_bit, message.wishes = read.eight_bit, (call.notify, call.returns, call.envelope_id)
    return message


def _all_of(chunks: "Iterable[bytes]") -> bytes:
    data = b""
    for chunk in chunks:
        data += chunk
        if len(data) > MOST_BYTES:
            raise plain.Unusual("a large message")
    return data


def _authors(author: str | None) -> list[str]:
    """Return the addresses of a From header."""
    return [] if author is None or "@" not in author else [plain.delivered_to(one) for one in _addresses(author)]


def _addresses(text: str) -> "Iterator[str]":
    for one in plain.listed(text):
        if "@" not in one:
            raise plain.Unusual("a local name among addresses")
        yield one


def _recipients(call: "Call", known: "Known", read: plain.Plain) -> list[str]:
    found: dict[str, str] = {}
    for text in (*call.recipients, *(read.recipients if call.from_headers else ())):
        for one in plain.listed(text):
            if is_this_machine(one.rpartition("@")[2]) and "@" in one:
                raise plain.Unusual("an address on this machine")
            for address in (one,) if "@" in one else known.addresses_of(one):
                found.setdefault(plain.delivered_to(address), address)
    if not 0 < len(found) <= known.most_recipients:
        raise plain.Unusual("too many recipients, or none")
    return list(found.values())


def _sender(call: "Call", address: str) -> str:
    if call.sender == "" or (call.sender and "@" in call.sender):
        return call.sender and plain.address(call.sender)
    return address


def _head(call: "Call", account: "Account", read: plain.Plain, now: int) -> bytes:
    """Return the headers without Bcc, and with those that are missing, as ``Taker`` does."""
    author, parts, added = read.value(b"from"), list[bytes](), list[bytes]()
    own = None
    if author is None or "@" not in author:
        name = (plain.comment_of(author) if author else "") or naming.full_name(call) or ""
        own = plain.from_header(name, account.address) if name else account.header
        if author is None:
            added.append(own)
    for name_of_field, raw in read.fields:
        if name_of_field == b"from" and own is not None:
            parts.append(own)
        elif name_of_field != b"bcc":
            parts.append(raw)
    if read.value(b"date") is None:
        date = time.strftime("%a, %d %b %Y %H:%M:%S %z", time.localtime(now))
        added.append(f"Date: {date}\n".encode())
    if read.value(b"mime-version") is None:
        added.append(b"MIME-Version: 1.0\n")
        if read.value(b"content-type") is None:
            added.append(f"Content-Type: text/plain; charset={read.charset()}\n".encode())
        if read.eight_bit and read.value(b"content-transfer-encoding") is None:
            added.append(b"Content-Transfer-Encoding: 8bit\n")
    return b"".join(parts + added)
