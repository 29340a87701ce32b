"""Hash contents and envelopes.  Cheap to import: hashlib would load OpenSSL, at half the cost of SQLite."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from hashlib import _Hash
    from hashlib import sha256 as _own
elif "hashlib" in sys.modules:
    from hashlib import sha256 as _own
else:
    try:
        from _sha2 import sha256 as _own  # since Python 3.12
    except ImportError:
        try:
            from _sha256 import sha256 as _own  # of Python 3.11
        except ImportError:
            from hashlib import sha256 as _own


def sha256(data: bytes = b"") -> "_Hash":
    """Begin a SHA-256 with *data*: OpenSSL's in a process that has loaded it, else Python's own, slow for much data."""
    loaded = sys.modules.get("hashlib")
    return loaded.sha256(data) if loaded is not None else _own(data)


def expect_much() -> None:
    """Load OpenSSL's, which hashes several times as fast."""
    import hashlib  # on use

    hashlib.sha256()  # loads the algorithm as well


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
