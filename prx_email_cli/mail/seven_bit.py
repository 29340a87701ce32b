"""Encode the 8-bit parts of a message anew, for a server that takes 7-bit content only."""

from email.encoders import encode_base64
from email.generator import BytesGenerator
from email.message import Message
from email.parser import BytesParser
from email.policy import compat32
from io import BytesIO
from quopri import encodestring
from typing import cast

_AS_IT_IS = compat32.clone(linesep="\r\n", max_line_length=None)


def seven_bit(content: bytes, longest_line: int | None = None) -> bytes | None:
    """Return *content* with its 8-bit parts as quoted-printable or base64, which a reader sees no difference to.

    None where that would break a signature (RFC 1847 section 2.1).  content: with CRLF line ends.  longest_line: also
    parts with longer lines, in bytes without their ends, are encoded; NUL always is.
    """

    def needs_it(part: Message) -> bool:
        body = _body_of(part)
        return (
            not body.isascii()
            or b"\0" in body
            or (longest_line is not None and any(len(line) > longest_line for line in body.split(b"\r\n")))
        )

    message = BytesParser(policy=_AS_IT_IS).parsebytes(content)
    if any(one.get_content_type() == "multipart/signed" and needs_it(one) for one in message.walk()):
        return None
    for part in message.walk():
        if part.is_multipart():
            _declare_seven_bit(part)
        elif needs_it(part):
            _encode(part)
    written = BytesIO()
    BytesGenerator(written, mangle_from_=False, policy=_AS_IT_IS).flatten(message)
    return written.getvalue()


def _body_of(part: Message) -> bytes:
    written = BytesIO()
    BytesGenerator(written, mangle_from_=False, policy=_AS_IT_IS).flatten(part)
    return written.getvalue().partition(b"\r\n\r\n")[2]


def _declare_seven_bit(part: Message) -> None:
    if str(part.get("Content-Transfer-Encoding", "7bit")).strip().lower() in ("8bit", "binary"):
        part.replace_header("Content-Transfer-Encoding", "7bit")


def _encode(part: Message) -> None:
    """Encode a part that is not encoded: text so that it stays readable, all else by base64."""
    data = cast(bytes, part.get_payload(decode=True))  # of a part that is no multipart
    del part["Content-Transfer-Encoding"]
    if part.get_content_maintype() == "text":
        part["Content-Transfer-Encoding"] = "quoted-printable"
        lines = [encodestring(line).replace(b"=\n", b"=\r\n") for line in data.split(b"\r\n")]
        part.set_payload(b"\r\n".join(lines).decode("ascii"))
    else:
        part.set_payload(data)
        encode_base64(part)
        part.set_payload(str(part.get_payload()).replace("\n", "\r\n"))
