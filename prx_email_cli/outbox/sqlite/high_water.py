"""Keep the high-water mark: how many claims each outbox of this name has made, in a file beside its database.

A backup that is restored in the place of its database has made fewer, which is how it is recognised.
"""

import fcntl
import os
import threading
from binascii import crc32
from pathlib import Path
from typing import NamedTuple

from prx_email_cli.errors import StorageError
from prx_email_cli.outbox.runs import Runs
from prx_email_cli.outbox.sqlite.mark_record import MOST_MARKS, NAME, RECORD_BYTES, VERSION, parsed, records


class Mark(NamedTuple):
    """The mark of one outbox.  generation: the number of its claims.  last_id: no higher id was ever claimed."""

    identity: str
    generation: int
    last_id: int


class HighWater:
    """The file of marks in the directory of an outbox's runs, a record of fixed size for each identity.

    Nothing in it is synced.  A kill loses no write.  A power cut may lose the last seconds of them, which makes no
    outbox look restored: a mark is written after the commit that it tells of, and that one is synced.
    """

    def __init__(self, outbox: Path) -> None:
        self._runs = Runs(outbox)
        self.file = self._runs.directory / NAME
        self._descriptor: int | None = None  # kept open once a mark was raised: every claim raises it
        self._lock = threading.Lock()  # one descriptor has one kernel lock, whichever thread asks

    def marks(self) -> list[Mark]:
        """Return every readable mark; torn ones are left out.  Raises StorageError, ChangeableByOthers."""
        try:
            with self._runs.opened_file(NAME, make=False) as descriptor:
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                return [mark for mark in _read(descriptor) if mark is not None]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise self._error(error.strerror) from None

    def raise_to(self, mark: Mark) -> None:
        """Raise the stored mark of this identity to *mark* in each of its numbers that is lower.
        Raises StorageError, ChangeableByOthers.
        """
        try:
            with self._lock:
                descriptor = self._kept_open()
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                try:
                    _raise(descriptor, mark)
                finally:
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
        except OSError as error:
            raise self._error(error.strerror) from None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def _kept_open(self) -> int:
        """Return the descriptor, a new one if the file was removed."""
        if self._descriptor is not None and not os.fstat(self._descriptor).st_nlink:
            os.close(self._descriptor)
            self._descriptor = None
        if self._descriptor is None:
            with self._runs.opened_file(NAME, make=True) as descriptor:
                self._descriptor = os.dup(descriptor)
        return self._descriptor

    def _error(self, reason: str | None) -> StorageError:
        return StorageError(
            f"cannot use the high-water mark {self.file}: {reason}",
            hint="make it yours, with mode 0600; do not delete it: without it no restored backup is noticed",
        )


def _raise(descriptor: int, mark: Mark) -> None:
    marks = _read(descriptor)
    slot = _slot(marks, mark)
    noted = marks[slot] if slot < len(marks) else None
    highest = _highest(noted, mark)
    if highest != noted:
        os.pwrite(descriptor, _record(highest), slot * RECORD_BYTES)


def _read(descriptor: int) -> list[Mark | None]:
    """Read the marks by slot; None for a slot that is empty or torn."""
    return [_mark_in(record) for record in records(os.pread(descriptor, MOST_MARKS * RECORD_BYTES, 0))]


def _mark_in(record: bytes) -> Mark | None:
    found = parsed(record)
    return None if found is None else Mark(*found)


def _record(mark: Mark) -> bytes:
    said = b"%s %s %020d %020d" % (VERSION, mark.identity.encode("ascii"), mark.generation, mark.last_id)
    return b"%-*s\n" % (RECORD_BYTES - 1, b"%s %08x" % (said, crc32(said)))


def _slot(marks: list[Mark | None], mark: Mark) -> int:
    """Choose the slot for *mark*; when others have all of them, the one with the lowest ids."""
    for slot, noted in enumerate(marks):
        if noted is not None and noted.identity == mark.identity:
            return slot
    if None in marks:
        return marks.index(None)
    if len(marks) < MOST_MARKS:
        return len(marks)
    return min(range(len(marks)), key=lambda slot: marks[slot].last_id)  # type: ignore[union-attr]


def _highest(noted: Mark | None, mark: Mark) -> Mark:
    if noted is None or noted.identity != mark.identity:
        return mark
    return Mark(mark.identity, max(mark.generation, noted.generation), max(mark.last_id, noted.last_id))
