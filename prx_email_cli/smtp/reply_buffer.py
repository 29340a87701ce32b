"""Cut what a server says into replies, which are bounded in lines and bytes."""

from prx_email_cli.redaction import from_outside
from prx_email_cli.smtp.errors import BadReply
from prx_email_cli.smtp.replies import Reply

MAX_REPLY_LINES, MAX_REPLY_BYTES = 500, 64 * 1024


class ReplyBuffer:
    """The bytes that have come and are not taken as replies yet."""

    def __init__(self) -> None:
        self._octets = b""
        self._lines: list[str] = []  # of the next reply, as far as it has come
        self._code = self._size = 0

    def __bool__(self) -> bool:
        return bool(self._octets or self._lines)

    def feed(self, octets: bytes) -> None:
        """Add what has come."""
        self._octets += octets

    @property
    def unread(self) -> bytes:
        """Return the bytes that belong to no line which ``take`` has read."""
        return self._octets

    def codes(self) -> list[int]:
        """Return the code of each whole reply that has come, 0 for what is none."""
        last_lines = [line for line in self._octets.split(b"\n")[:-1] if line[3:4] != b"-"]
        return [int(line[:3]) if line[:3].isdigit() else 0 for line in last_lines]

    def clear(self) -> None:
        """Forget all that has come."""
        self._octets = b""
        self._lines.clear()
        self._code = self._size = 0

    def take(self, *, secret: bool = False) -> Reply | None:
        """Take the next reply, its text as it came; None while it is not whole.

        Raises BadReply; secret: without the line, which may repeat a password or token.
        """
        while (end := self._octets.find(b"\n")) >= 0:
            line, self._octets = self._octets[:end].rstrip(b"\r"), self._octets[end + 1 :]
            code, more, text = _parse(line, secret=secret)
            self._code = self._code or code
            if code != self._code:
                raise BadReply(f"the codes of one reply differ: {self._code} and {code}")
            self._size += end
            self._lines.append(text)
            if not more:
                reply = Reply(code, "\n".join(self._lines))
                self._lines, self._code, self._size = [], 0, 0
                return reply
            if len(self._lines) >= MAX_REPLY_LINES or self._size > MAX_REPLY_BYTES:
                raise BadReply(f"a reply without end (over {MAX_REPLY_LINES} lines or {MAX_REPLY_BYTES // 1024} KiB)")
        if len(self._octets) > MAX_REPLY_BYTES:
            raise BadReply(f"a line of over {MAX_REPLY_BYTES // 1024} KiB")
        return None


def cleaned(text: str, *, strict: bool = False) -> str:
    """Return what the server said, with secrets masked and broken UTF-8 replaced.

    strict: as in ``from_outside``.
    """
    text = from_outside(text, strict=strict)
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _parse(line: bytes, *, secret: bool) -> tuple[int, bool, str]:
    """Return the code of a reply line, whether more lines follow, and its text.

    RFC 5321 section 4.2.  Raises BadReply; secret: without the line, which may repeat a password or token.
    """
    code, separator = line[:3], line[3:4]
    if not (code.isdigit() and len(code) == 3 and code[:1] in b"2345" and separator in (b"", b" ", b"-")):
        if secret:
            raise BadReply("what answered AUTH is not an SMTP reply (not shown: it may repeat the password or token)")
        shown = from_outside(line.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
        raise BadReply(f"not an SMTP reply: {shown[:60].decode('ascii', 'backslashreplace')!r}")
    return int(code), separator == b"-", line[4:].decode("utf-8", "surrogateescape")
