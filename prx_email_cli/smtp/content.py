"""Prepare content for DATA: dots stuffed, CRLF at the end, writes of bounded size."""

from collections.abc import Iterable, Iterator

WRITE_BYTES = 64 * 1024
_PART_BYTES = WRITE_BYTES * 3 // 4  # of the content: each CRLF and dot may become four bytes
END_OF_DATA = b".\r\n"


def data_writes(pieces: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield each write after 354, and whether it is the last, with the final dot.

    pieces: the content, with CRLF line ends.  A write has at most 64 KiB, the last one up to 5 bytes more.
    """
    kept, at_start = b"", True
    for piece in pieces:
        kept += piece
        while len(kept) > _PART_BYTES:
            end = _PART_BYTES - kept.endswith(b"\r", 0, _PART_BYTES)
            yield _stuffed(kept[:end], at_start=at_start), False
            at_start = kept.endswith(b"\r\n", 0, end)
            kept = kept[end:]
    end_of_line = b"" if kept.endswith(b"\r\n") or (not kept and at_start) else b"\r\n"
    yield _stuffed(kept, at_start=at_start) + end_of_line + END_OF_DATA, True


def _stuffed(part: bytes, *, at_start: bool) -> bytes:
    """Return *part* with each dot at a line's start doubled: RFC 5321 section 4.5.2.

    at_start: the part itself begins at a line's start.  It does not end between CR and LF.
    """
    stuffed = part.replace(b"\r\n.", b"\r\n..") if b"\n." in part else part
    return b"." + stuffed if at_start and part.startswith(b".") else stuffed
