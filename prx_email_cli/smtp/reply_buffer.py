"""Cut what a server says into replies, which are bounded in lines and bytes."""

from prx_email_cli.redaction import from_outside, redact
from prx_email_cli.smtp.errors import BadReply
from prx_email_cli.smtp.replies import Reply

MAX_REPLY_LINES, MAX_REPLY_BYTES = 500, 64 * 1024
_CODES = {b"%d" % code: code for code in range(200, 600)}
_SEPARATORS = (b" ", b"-", b"")


class ReplyBuffer:
    """The bytes that have come and are not taken as replies yet."""

    def __init__(self) -> None:
        self._octets = b""
        self._at = 0  # where those begin
        self._lines: list[str] = []  # of the next reply, as far as it has come
        self._code = self._size = 0

    def __bool__(self) -> bool:
        return self._at < len(self._octets) or bool(self._lines)

    def feed(self, octets: bytes) -> None:
        """Add what has come."""
        self._octets, self._at = self._octets[self._at :] + octets, 0

    @property
    def unread(self) -> bytes:
        """Return the bytes that belong to no line which ``take`` has read."""
        return self._octets[self._at :]

    def codes(self) -> list[int]:
        """Return the code of each whole reply that has come, 0 for what is none."""
        return [_CODES.get(line[:3], 0) for line in self.unread.split(b"\n")[:-1] if line[3:4] != b"-"]

    def clear(self) -> None:
        """Forget all that has come."""
        self._octets = b""
        self._lines.clear()
        self._at = self._code = self._size = 0

    def take(self, *, secret: bool = False) -> Reply | None:
        """Take the next reply, its text as it came; None while it is not whole.

        Raises BadReply; secret: without the line, which may repeat a password or token.
        """
        while (end := self._octets.find(b"\n", self._at)) >= 0:
            line = self._octets[self._at : end].rstrip(b"\r")
            self._size += end - self._at
            self._at = end + 1
            code, separator = _CODES.get(line[:3]), line[3:4]
            if code is None or separator not in _SEPARATORS:
                raise _no_reply(line, secret=secret)
            text = line[4:].decode("utf-8", "surrogateescape")
            if separator != b"-" and not self._lines:
                self._size = 0
                return Reply(code, text)
            self._code = self._code or code
            if code != self._code:
                raise BadReply(f"the codes of one reply differ: {self._code} and {code}")
            self._lines.append(text)
            if separator != b"-":
                text = "\n".join(self._lines)
                self._lines, self._code, self._size = [], 0, 0
                return Reply(code, text)
            if len(self._lines) >= MAX_REPLY_LINES or self._size > MAX_REPLY_BYTES:
                raise BadReply(f"a reply without end (over {MAX_REPLY_LINES} lines or {MAX_REPLY_BYTES // 1024} KiB)")
        if len(self._octets) - self._at > MAX_REPLY_BYTES:
            raise BadReply(f"a line of over {MAX_REPLY_BYTES // 1024} KiB")
        return None


def masked(reply: Reply) -> Reply:
    """Return *reply* fit to be stored: with secrets masked and broken UTF-8 replaced."""
    return Reply(reply.code, redact(cleaned(reply.text)))


def cleaned(text: str, *, strict: bool = False) -> str:
    """Return what the server said, with secrets masked and broken UTF-8 replaced.

    strict: as in ``from_outside``.
    """
    text = from_outside(text, strict=strict)
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _no_reply(line: bytes, *, secret: bool) -> BadReply:
    """Return the error for a line that is no reply line (RFC 5321 section 4.2).

    secret: without the line, which may repeat a password or token.
    """
    if secret:
        return BadReply("what answered AUTH is not an SMTP reply (not shown: it may repeat the password or token)")
    shown = from_outside(line.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape")
    return BadReply(f"not an SMTP reply: {shown[:60].decode('ascii', 'backslashreplace')!r}")
