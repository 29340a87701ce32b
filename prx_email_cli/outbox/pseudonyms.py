"""Replace names by keyed hashes: one name has one pseudonym in an outbox, and only its key shows which."""

import hashlib
import os
import re
from collections.abc import Iterable
from functools import cached_property

DOMAIN = "anonymised.invalid"  # RFC 2606: no mail ever goes there
GONE = "(anonymised)"

_KEY_BYTES, _HASH_BYTES = 32, 8
_OWN_MESSAGE_ID = re.compile(r"<outbox-\d+-\d+@[^@<>\s]+>")
_CODES = re.compile(r"\d{3}(?:[ -]\d\.\d{1,3}\.\d{1,3})?\b")
_SHORTEST_PART = 3  # of a name: shorter ones are found in every text


def new_key() -> str:
    """Make a key, in hexadecimal digits."""
    return os.urandom(_KEY_BYTES).hex()


class Pseudonyms:
    """The pseudonyms of one outbox.  key: as ``new_key`` makes it."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()[: hashlib.blake2b.MAX_KEY_SIZE]

    def address(self, address: str) -> str:
        """Return the pseudonym of an address, also of one written in other letters; the null sender stays empty."""
        if not address or address.endswith(f"@{DOMAIN}"):
            return address
        return f"anon-{self._hash('address', address.casefold())}@{DOMAIN}"

    def subject(self, subject: str) -> str:
        """Return the pseudonym of a subject; an empty one stays empty."""
        return f"anonymised-{self._hash('subject', subject)}" if subject else ""

    def message_id(self, message_id: str | None) -> str | None:
        """Return a Message-ID that this program made as it is, and the pseudonym of any other."""
        if message_id is None or _OWN_MESSAGE_ID.fullmatch(message_id):
            return message_id
        return f"<anon-{self._hash('message-id', message_id)}@{DOMAIN}>"

    def idempotency_key(self, key: str) -> str:
        """Return the hash by which an idempotency key is still recognised."""
        return f"anonymised:{self._hash('key', key, 32)}"

    def fingerprint(self, fingerprint: str) -> str:
        """Return the hash that tells whether a message with a known key says what the first one said."""
        return self._hash("fingerprint", fingerprint, 32)

    def _hash(self, kind: str, text: str, size: int = _HASH_BYTES) -> str:
        data = text.encode("utf-8", "surrogatepass")
        return hashlib.blake2b(data, digest_size=size, key=self._key, person=kind.encode()).hexdigest()


class Names:
    """The names that texts about one message may not tell: its addresses and its subject."""

    def __init__(self, pseudonyms: Pseudonyms, addresses: Iterable[str], subject: str) -> None:
        self._pseudonyms = pseudonyms
        self._addresses = [address for address in addresses if address]
        self._subject = subject

    def without(self, text: str | None) -> str | None:
        """Return a server's words, or an error, without names: where they may hold one, only their codes are left.

        An address that they begin with becomes its pseudonym, as in ``ADDRESS: WORDS``.
        """
        if not text:
            return text
        for address in self._addresses:
            if text.startswith(f"{address}: "):
                return f"{self._pseudonyms.address(address)}: {self._words(text.removeprefix(f'{address}: '))}"
        return self._words(text)

    def _words(self, text: str) -> str:
        folded = text.casefold()
        if "@" not in text and not any(part in folded for part in self._telling):
            return text
        codes = _CODES.match(text)
        return f"{codes[0]} {GONE}" if codes is not None else GONE

    @cached_property
    def _telling(self) -> set[str]:
        """What may tell a name: local parts and what they are made of, domains, the subject."""
        telling: set[str] = set()
        for address in self._addresses:
            local, _, domain = address.casefold().rpartition("@")
            pieces = re.split(r"[^\w]|_", local)
            telling |= {local.strip('"'), domain, _in_unicode(domain)}
            telling.update(piece for piece in pieces if len(piece) >= _SHORTEST_PART)
        subject = self._subject.strip().casefold()
        if len(subject) >= _SHORTEST_PART:
            telling.add(subject)
        return telling - {""}


def _in_unicode(domain: str) -> str:
    """Return a domain in punycode as people write it."""
    if "xn--" not in domain:
        return domain
    try:
        return domain.encode("ascii").decode("idna")
    except UnicodeError:
        return domain
