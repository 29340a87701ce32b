"""Read a record of the file of high-water marks.  Cheap to import."""

from binascii import crc32

MOST_MARKS = 32  # outboxes of one name: deleting one and making another counts as two
NAME = "high-water"
RECORD_BYTES = 128
VERSION = b"prxe-1"
_HIGHEST_ID = 1 << 46  # ids are multiplied by PIECES_PER_MESSAGE


def parsed(record: bytes) -> tuple[str, int, int] | None:
    """Return identity, generation and last id of a *record*; None for one that is empty or torn."""
    said, _, checksum = record.rstrip().rpartition(b" ")
    fields = said.split()
    if len(fields) != 4 or fields[0] != VERSION or checksum != b"%08x" % crc32(said):
        return None
    try:
        identity, generation, last_id = fields[1].decode("ascii"), int(fields[2]), int(fields[3])
    except ValueError:
        return None
    return (identity, generation, last_id) if last_id < _HIGHEST_ID else None


def records(content: bytes) -> list[bytes]:
    """Divide the *content* of the file."""
    return [content[start : start + RECORD_BYTES] for start in range(0, len(content), RECORD_BYTES)]
