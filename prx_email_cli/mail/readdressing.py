"""Put other addresses, or another date, into the headers of a message that was composed here; pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.address_grammar import Entry, Mailbox, entries
from prx_email_cli.mail.addresses import parse_mailbox
from prx_email_cli.mail.compose import checked_headers, rfc5322_date
from prx_email_cli.mail.headers import address_header, raw_words

_END = b"\r\n\r\n"


class Readdressing(NamedTuple):
    """What changes in the headers.

    replaced: the new mailbox of an address, as ``compared`` writes that.  sender, date: None if they stay.
    """

    replaced: Mapping[str, Mailbox]
    sender: Mailbox | None = None
    date: int | None = None


def compared(address: str) -> str:
    """Write an address so that those that a person takes for the same are equal."""
    return address.casefold()


def parse_replacement(text: str) -> tuple[str, Mailbox]:
    """Read ``OLD=NEW``; return the old address as ``compared`` writes it, and the new mailbox.

    Raises ValidationError.  An address may hold an equals sign: the first one between two addresses counts.
    """
    error: ValidationError | None = None
    for at in (at for at, character in enumerate(text) if character == "="):
        try:
            old, new = (parse_mailbox(part, "--replace") for part in (text[:at], text[at + 1 :]))
        except ValidationError as refused:
            error = error or refused
            continue
        return compared(old.address), new
    raise error or ValidationError(
        f"--replace: not two addresses: {text!r}", hint="write old@example.com=new@example.com"
    )


def readdressed(content: bytes, change: Readdressing) -> bytes:
    """Change the headers at the beginning of a composed message's content; all that follows stays.

    Raises ValidationError when the headers do not end in *content*, or are not as this program writes them.
    """
    end = content.find(_END)
    if end < 0:
        raise ValidationError("its headers are too long to be changed", hint="cancel it, and send it anew")
    block = content[: end + 2].decode("utf-8", "surrogateescape")
    headers = [_changed(header, change) for header in _headers(block)]
    try:
        return checked_headers(headers).encode() + content[end + 2 :]
    except UnicodeEncodeError:
        raise ValidationError("its headers are not as they were composed", hint="cancel it, and send it anew") from None


def _headers(block: str) -> list[str]:
    """Cut a header block into headers, each with its continuation lines and line ends."""
    found: list[str] = []
    for line in block.split("\r\n")[:-1]:
        if line.startswith((" ", "\t")) and found:
            found[-1] += f"{line}\r\n"
        else:
            found.append(f"{line}\r\n")
    return found


def _changed(header: str, change: Readdressing) -> str:
    name, _, value = header.partition(":")
    if name in ("To", "Cc") and change.replaced:
        before = _mailboxes(value.replace("\r\n ", " ").strip())
        after = [_replaced(mailbox, change.replaced) for mailbox in before]
        return header if after == before else address_header(name, after)
    if name == "From" and change.sender is not None:
        return address_header(name, [change.sender])
    if name == "Date" and change.date is not None:
        return f"Date: {rfc5322_date(change.date)}\r\n"
    return header


def _mailboxes(value: str) -> list[Mailbox]:
    return [Mailbox(raw_words(one.name), f"{one.local}@{one.domain}")
            for one in entries(value, obsolete=False) if isinstance(one, Entry)]  # fmt: skip


def _replaced(mailbox: Mailbox, replaced: Mapping[str, Mailbox]) -> Mailbox:
    """Return the new mailbox, which keeps the old one's name if it has none; the same one if it stays."""
    new = replaced.get(compared(mailbox.address))
    return mailbox if new is None else Mailbox(new.name or mailbox.name, new.address)


def needs_smtputf8(addresses: Iterable[str], content: bytes) -> bool:
    """Tell whether an envelope with these addresses, or the headers of *content*, need SMTPUTF8."""
    return not (all(map(str.isascii, addresses)) and content.partition(_END)[0].isascii())
