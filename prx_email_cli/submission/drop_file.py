"""The form of a file in a drop directory: what a caller that cannot use the outbox leaves there; cheap to import.

A first line, a line ``name value`` for each thing that is said of the message, a blank line, the message, and a trailer
by which a file that is not whole is known.  Who sends is not among them: that is the file's owner.
"""

from binascii import crc32

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

FIRST_LINE = b"prx-email drop 1\n"
READY, BEGUN = "msg.", "new."  # how names begin: of a whole file, and of one that is being written
MODE = 0o640  # setgid of the directory gives it the outbox's group
DIRECTORY_MODE = 0o3733  # names are made by everybody and seen by the owner only; nobody removes those of others
MOST_HEAD_BYTES = 1 << 20
_RANDOM_BYTES = 16
_ESCAPED = frozenset(b"% ")


def new_token() -> str:
    """Return the end of a name that nobody guesses."""
    from os import urandom  # on use

    return urandom(_RANDOM_BYTES).hex()


def is_named(name: str, start: str) -> bool:
    """Tell whether *name* is one that is given here, beginning with *start*."""
    token = name[len(start) :]
    return name.startswith(start) and len(token) == 2 * _RANDOM_BYTES and not set(token) - set("0123456789abcdef")


def head(said: "Iterable[tuple[str, str]]") -> bytes:
    """Write what is *said* of a message, names and values; values may hold any bytes."""
    lines = [f"{name} {_escaped(value)}\n".encode() for name, value in said]
    return b"".join([FIRST_LINE, *lines, b"\n"])


def said_in(data: bytes) -> list[tuple[str, str]]:
    """Return the names and values in *data*, which is what ``head`` wrote.  Raises ValueError."""
    if not data.startswith(FIRST_LINE) or not data.endswith(b"\n\n"):
        raise ValueError
    lines = data[len(FIRST_LINE) : -1].decode("ascii").split("\n")[:-1]
    return [(name, _unescaped(value)) for name, _, value in (line.partition(" ") for line in lines)]


class Sum:
    """What the trailer says of all bytes before it: their number, and their CRC-32."""

    def __init__(self) -> None:
        self.size = self._crc = 0

    def add(self, data: bytes) -> bytes:
        """Count *data*, and return it."""
        self.size += len(data)
        self._crc = crc32(data, self._crc)
        return data

    def trailer(self) -> bytes:
        """Return the trailer that belongs behind what was counted."""
        return b"\nend %020d %08x\n" % (self.size, self._crc)


TRAILER_BYTES = len(Sum().trailer())


def _escaped(value: str) -> str:
    data = value.encode("utf-8", "surrogateescape")
    return "".join(chr(one) if 32 < one < 127 and one not in _ESCAPED else f"%{one:02X}" for one in data)


def _unescaped(value: str) -> str:
    first, *rest = value.split("%")
    data = first.encode() + b"".join(bytes.fromhex(part[:2]) + part[2:].encode() for part in rest)
    return data.decode("utf-8", "surrogateescape")
