"""Hash contents and envelopes.  Cheap to import: hashlib would load OpenSSL, at half the cost of SQLite."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from hashlib import sha256
else:
    try:
        from _sha2 import sha256  # since Python 3.12
    except ImportError:
        try:
            from _sha256 import sha256  # of Python 3.11
        except ImportError:
            from hashlib import sha256


def content_digest(content: bytes) -> str:
    """Compute the SHA-256 of a message's stored content, in hexadecimal digits."""
    return sha256(content).hexdigest()


def envelope_digest(outbox_id: int, sender: str, recipients: "Iterable[tuple[int, str]]", content: str) -> str:
    """Compute the SHA-256 of a message's envelope, in hexadecimal digits.

    recipients: number and address of each, in order.  content: the ``content_digest``, so that neither row nor content
    can be exchanged for another's.
    """
    parts = [str(outbox_id), sender, content]
    for number, address in recipients:
        parts += str(number), address
    # Each part with its length, else two different lists could give the same text; a damaged row may hold any bytes.
    text = "".join([f"{len(part)}:{part}" for part in parts])
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
