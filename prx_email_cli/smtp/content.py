"""Prepare content for DATA: dots stuffed, CRLF at the end, writes of bounded size."""

from collections.abc import Iterable, Iterator

WRITE_BYTES = 64 * 1024
END_OF_DATA = b".\r\n"


def data_writes(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield each write after 354, and whether it is the last, with the final dot.

    pieces: the content, with CRLF line ends.  A write has at most 64 KiB, the last one up to 5 bytes more.
    """
    buffer = bytearray()
    for piece in _stuffed(pieces):
        buffer += piece
        while len(buffer) > WRITE_BYTES:
            yield bytes(buffer[:WRITE_BYTES]), False
            del buffer[:WRITE_BYTES]
    if buffer and not buffer.endswith(b"\r\n"):
        buffer += b"\r\n"
    yield bytes(buffer + END_OF_DATA), True


def _stuffed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield *pieces* with each dot at a line's start doubled, also across pieces.

    RFC 5321 section 4.5.2.
    """
    kept = b""
    at_start = True
    for piece in pieces:
        data = kept + piece
        if at_start and data:
            at_start = False
            data = b"." + data if data.startswith(b".") else data
        keep = 2 if data.endswith(b"\r\n") else 1 if data.endswith(b"\r") else 0
        kept = data[len(data) - keep :]
        yield data[: len(data) - keep].replace(b"\r\n.", b"\r\n..")
    yield kept
