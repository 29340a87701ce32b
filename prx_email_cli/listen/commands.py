"""Read the arguments of MAIL and RCPT (RFC 5321, 1870, 3461, 4954, 6152, 6531); no I/O."""

import re
from collections.abc import Callable
from typing import NamedTuple

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.addresses import parse_mailbox, parse_mailboxes

_PLAIN = re.compile(r"<([A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
                    r"@[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*"
                    r"\.[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)>")  # fmt: skip
_MOST_OF_PLAIN = 64  # shorter ones keep every limit of RFC 5321
_PATH = re.compile(r'<((?:"(?:[^"\\]|\\.)*+"|[^<>"])*+)>')
_LOCAL = re.compile(r"<[A-Za-z0-9_][A-Za-z0-9._+-]{0,63}>")
_BARE = re.compile(r"[^\s<>]+")
_ROUTE = re.compile(r"@[^:]*:")
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\u0080-\U0010ffff]+))?")
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")
_NOTIFY = {"SUCCESS", "FAILURE", "DELAY"}
_MAX_ENVELOPE_ID = 100

Parameters = dict[str, str | None]


class Refused(Exception):
    """A command is refused; the text is the reply."""


class Mail(NamedTuple):
    """An accepted MAIL.  sender: "" for the null one.  size: as the client declares it, 0 for none."""

    sender: str
    size: int = 0
    utf8: bool = False
    returns: str | None = None
    envelope_id: str | None = None


class Recipient(NamedTuple):
    """An accepted RCPT.  address: without @ it is a local name, which stands for addresses."""

    address: str
    notify: str | None = None

    def expanded(self, qualify: "Callable[[str], list[str]]") -> "list[Recipient]":
        """Return the recipients that a local name stands for; an address is itself.  Raises what *qualify* does."""
        if "@" in self.address:
            return [self]
        found = parse_mailboxes(qualify(self.address), "recipient")
        return [self._replace(address=mailbox.address) for mailbox in found]


def mail(argument: str | None, *, extended: bool, most_bytes: int) -> Mail:
    """Read what follows ``MAIL``.  Raises Refused."""
    path, parameters = _split(argument, "FROM:", "MAIL FROM:<address>", extended=extended)
    utf8 = _flag(parameters, "SMTPUTF8")
    body = parameters.pop("BODY", "7BIT")
    if (body or "").upper() not in ("7BIT", "8BITMIME"):
        raise Refused("501 5.5.4 BODY is 7BIT or 8BITMIME")
    size = parameters.pop("SIZE", "0") or ""
    if not (size.isascii() and size.isdigit() and len(size) <= 20):
        raise Refused("501 5.5.4 SIZE is a number of bytes")
    if int(size) > most_bytes:
        raise Refused(f"552 5.3.4 the message is larger than {most_bytes} bytes")
    parameters.pop("AUTH", None)  # RFC 4954 section 5: who wrote it first, which we do not vouch for
    returns = parameters.pop("RET", "") or ""
    if returns.upper() not in ("", "FULL", "HDRS"):
        raise Refused("501 5.5.4 RET is FULL or HDRS")
    envelope_id = parameters.pop("ENVID", None)
    if envelope_id is not None and not (len(envelope_id) <= _MAX_ENVELOPE_ID and _XTEXT.fullmatch(envelope_id)):
        raise Refused("501 5.5.4 ENVID is no xtext of at most 100 characters")
    _refuse_others(parameters)
    sender = _address(path, "sender", utf8=utf8) if path != "<>" else ""
    return Mail(sender, int(size), utf8, returns.upper() or None, envelope_id)


def recipient(argument: str | None, *, extended: bool, utf8: bool) -> Recipient:
    """Read what follows ``RCPT``.  utf8: the message came with SMTPUTF8.  Raises Refused."""
    path, parameters = _split(argument, "TO:", "RCPT TO:<address>", extended=extended)
    notify = parameters.pop("NOTIFY", "") or ""
    wishes = notify.upper().split(",") if notify else []
    if wishes and wishes != ["NEVER"] and not _NOTIFY.issuperset(wishes):
        raise Refused("501 5.5.4 NOTIFY is NEVER, or some of SUCCESS,FAILURE,DELAY")
    original = parameters.pop("ORCPT", None)
    if original is not None and ";" not in original:
        raise Refused("501 5.5.4 ORCPT is type;address")
    _refuse_others(parameters)
    if path == "<>":
        raise Refused("501 5.1.3 a recipient cannot be empty")
    address = path[1:-1] if _LOCAL.fullmatch(path) else _address(path, "recipient", utf8=utf8)
    return Recipient(address, ",".join(dict.fromkeys(wishes)) or None)


def _split(argument: str | None, word: str, syntax: str, *, extended: bool) -> tuple[str, Parameters]:
    """Split an argument into the path in its angle brackets and the parameters by name.  Raises Refused."""
    if argument is None or argument[: len(word)].upper() != word:
        raise Refused(f"501 5.5.4 syntax: {syntax}")
    rest = argument[len(word) :].lstrip(" ")
    found = _PATH.match(rest)
    bare = None if found else _BARE.match(rest)
    if found is None and bare is None:
        raise Refused(f"501 5.1.7 syntax: {syntax}" if word == "FROM:" else f"501 5.1.3 syntax: {syntax}")
    end = found.end() if found else bare.end() if bare else 0
    path, more = rest[:end] if found else f"<{rest[:end]}>", rest[end:]
    if more and not more.startswith(" "):
        raise Refused(f"501 5.5.4 syntax: {syntax}")
    words = more.split()
    if words and not extended:
        raise Refused("501 5.5.4 parameters need EHLO")
    parameters: Parameters = {}
    for one in words:
        match = _PARAMETER.fullmatch(one)
        if match is None or match[1].upper() in parameters:
            raise Refused("501 5.5.4 a parameter cannot be read, or is there twice")
        parameters[match[1].upper()] = match[2]
    return path, parameters


def _flag(parameters: Parameters, name: str) -> bool:
    if name not in parameters:
        return False
    if parameters.pop(name) is not None:
        raise Refused(f"501 5.5.4 {name} takes no value")
    return True


def _refuse_others(parameters: Parameters) -> None:
    if parameters:
        raise Refused("555 5.5.4 parameters that this server does not know")


def _address(path: str, what: str, *, utf8: bool) -> str:
    plain = _PLAIN.fullmatch(path)
    if plain is not None and len(plain[1]) <= _MOST_OF_PLAIN:
        return plain[1]
    if not path.isascii() and not utf8:
        raise Refused(f"553 5.6.7 the {what}'s address needs SMTPUTF8, which MAIL did not ask for")
    inner = path[1:-1]
    try:
        inner.encode()
        return parse_mailbox(_ROUTE.sub("", inner, count=1) if inner.startswith("@") else inner, what).address
    except (ValidationError, UnicodeError):
        code = "553 5.1.7" if what == "sender" else "553 5.1.3"
        raise Refused(f"{code} the {what}'s address cannot be used: write user@example.com") from None
