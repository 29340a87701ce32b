"""Read the plain forms of messages and addresses, which nearly all mail has; pure, and cheap to import.

What is not plain raises Unusual, and the full way reads it.  For what is plain, both come to the same; a test compares.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_LINE = 998  # octets without its end: RFC 5322 section 2.1.1
MOST_RECEIVED = 50
_ALNUM = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
_LABEL = _ALNUM | {"-"}
_ATEXT = _ALNUM | set("!#$%&'*+/=?^_`{|}~-")
_LOCAL_NAME = _ALNUM | set("_-")
_PHRASE = _ATEXT | set(" .")
_COMMENT = _PHRASE - {"="}
_NAME = _ATEXT | {" "}
_IN_A_FIELD_NAME = bytes(range(ord("!"), ord(":"))) + bytes(range(ord(";"), ord("~") + 1))
_MOST_LOCAL, _MOST_LABEL, _MOST_ADDRESS = 64, 63, 254  # octets: RFC 5321 section 4.5.3.1, RFC 3696 erratum 1690
_MOST_VALUE = 30_000  # characters of a header whose addresses are read
_FOLD_AT, _LONGEST_NAME = 76, 39  # as headers.address_header does it
_ONCE = (b"from", b"date", b"mime-version", b"content-type", b"content-transfer-encoding", b"message-id", b"subject")


class Unusual(Exception):
    """Something is not plain."""


class Plain:
    """A plain message.  fields: name in lower case and the header itself, with LF line ends.  body: with LF line ends.

    eight_bit: of the body; the headers are ASCII.
    """

    def __init__(self, data: bytes) -> None:
        text = data.replace(b"\r\n", b"\n")
        if not text or b"\r" in text or b"\0" in text:
            raise Unusual("line ends, NUL, or nothing")
        if not text.endswith(b"\n"):
            text += b"\n"
        self.fields, self.body = _split(text)
        if max(map(len, self.body.split(b"\n"))) > LONGEST_LINE:
            raise Unusual("a long line")
        self.eight_bit = not self.body.isascii()
        self._values: dict[bytes, str] = {}
        self.recipients: list[str] = []
        for name, raw in self.fields:
            self._look_at(name, raw)
        if sum(name == b"received" for name, _ in self.fields) > MOST_RECEIVED:
            raise Unusual("a loop")

    def _look_at(self, name: bytes, raw: bytes) -> None:
        if not raw.isascii() or name.startswith(b"resent-"):
            raise Unusual("an 8-bit header, or Resent")
        if name in _ONCE:
            value = value_of(raw)
            if not value or name in self._values:
                raise Unusual("an empty header, or one that comes twice")
            self._values[name] = value
        elif name in (b"to", b"cc", b"bcc"):
            self.recipients.append(value_of(raw))

    def value(self, name: bytes) -> str | None:
        """Return the value of a header of _ONCE; None where there is none."""
        return self._values.get(name)

    def charset(self) -> str:
        """Return the charset of the body, as far as that can be told (RFC 1428)."""
        if not self.eight_bit:
            return "us-ascii"
        try:
            self.body.decode()
        except UnicodeDecodeError:
            return "unknown-8bit"
        return "utf-8"


def _split(text: bytes) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Split a message into headers and body, as ``raw_head.split_head`` does."""
    fields: list[tuple[bytes, bytes]] = []
    at = 0
    if text.startswith((b"From ", b">From ")):
        at = text.index(b"\n") + 1
    while at < len(text):
        end = text.index(b"\n", at) + 1
        line = text[at:end]
        if line == b"\n":
            return fields, text[end:]
        if line[:1] in (b" ", b"\t") and fields:
            fields[-1] = (fields[-1][0], fields[-1][1] + line)
        else:
            name = line[: line.find(b":") + 1][:-1].rstrip(b" \t")
            if not name or name.translate(None, _IN_A_FIELD_NAME):
                return fields, text[at:]
            fields.append((name.lower(), line))
        at = end
    return fields, b""


def value_of(raw: bytes) -> str:
    """Return the value of a header in ASCII, unfolded.  Raises Unusual for characters that cannot be seen."""
    text = b" ".join(raw.partition(b":")[2].split()).decode("ascii")
    if not text.isprintable():
        raise Unusual("a control character")
    return text


def listed(text: str) -> "Iterator[str]":
    """Yield each address or local name of a list.  Raises Unusual, also for comments, and names in quotes in a list."""
    if not text:
        return
    if text.startswith('"'):
        name, quote, rest = text[1:].partition('"')
        if not quote or "\\" in name or not rest.lstrip(" ").startswith("<") or not rest.endswith(">"):
            raise Unusual("a name in quotes")
        yield address(rest.lstrip(" ")[1:-1])
        return
    if len(text) > _MOST_VALUE:
        raise Unusual("a long list")
    for piece in text.split(","):
        yield _listed(piece.strip(" "))


def _listed(piece: str) -> str:
    if piece.endswith(">"):
        phrase, _, inner = piece[:-1].partition("<")
        if not set(phrase) <= _PHRASE or phrase.startswith((".", " .")):
            raise Unusual("a phrase")
        return address(inner)
    return address(piece) if "@" in piece else local_name(piece)


def address(text: str) -> str:
    """Return *text*, which is an address.  Raises Unusual unless it is a plain one."""
    local, at, domain = text.partition("@")
    labels = domain.split(".")
    if not (at and local and set(local) <= _ATEXT | {"."} and all(local.split("."))):
        raise Unusual("a local part")
    if len(local) > _MOST_LOCAL or len(text) > _MOST_ADDRESS or labels[-1].isdigit():
        raise Unusual("a long address")
    for label in labels:
        if not label or not set(label) <= _LABEL or len(label) > _MOST_LABEL or "-" in (label[0], label[-1]):
            raise Unusual("a domain")
    return text


def local_name(text: str) -> str:
    """Return *text*, which is a local name.  Raises Unusual unless it is a plain one."""
    if not text or not set(text) <= _LOCAL_NAME:
        raise Unusual("a local name")
    return text


def delivered_to(address: str) -> str:
    """Normalise a plain address, as ``addresses.delivered_to`` does."""
    local, _, domain = address.partition("@")
    return f"{local}@{domain.lower()}"


def comment_of(author: str) -> str:
    """Return the name beside a local one, as cron writes it: ``root (Cron Daemon)``; "" where there is none."""
    name, _, comment = author.partition("(")
    if comment and (not comment.endswith(")") or not set(comment[:-1]) <= _COMMENT):
        raise Unusual("a comment")
    local_name(name.strip(" "))
    return comment[:-1].strip()


def from_header(name: str, address: str) -> bytes:
    """Write a From header, as ``headers.address_header`` does."""
    plain = name if set(name) <= _NAME else '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if not (name.isascii() and name.isprintable()) or "=?" in name or name != name.strip(" ") or "  " in name:
        raise Unusual("a name to be encoded")
    whole = f"From: {plain} <{address}>"
    if len(plain) > _LONGEST_NAME or len(whole) > _FOLD_AT:
        raise Unusual("a header to be folded")
    return f"{whole}\n".encode("ascii")
