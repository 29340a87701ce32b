"""Hold a message's content between composing and storing, so that no transaction waits for its source."""

import os
from collections.abc import Callable, Iterable, Iterator
from io import FileIO
from types import TracebackType
from typing import TypeVar

from prx_email_cli.errors import StorageError, ValidationError
from prx_email_cli.outbox.hashing import expect_much, sha256
from prx_email_cli.outbox.messages import Content

MEMORY_BYTES = 512 * 1024  # of one content; a larger one goes into a file
_READ_BYTES = 256 * 1024

T = TypeVar("T")


class Spool:
    """A context manager that keeps contents until its end: small ones in memory, the others in a temporary file.

    memory_bytes: of one content; a larger one goes into the file.  That is private and has no name, so that nothing of
    it outlives the process, however it ends.
    """

    def __init__(self, memory_bytes: int = MEMORY_BYTES) -> None:
        self._memory_bytes = memory_bytes
        self._file: FileIO | None = None

    def __enter__(self) -> "Spool":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def clear(self) -> None:
        """Drop all contents: none of them may be read any more."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def hold(self, chunks: Iterable[bytes]) -> Content:
        """Read *chunks* once, now, and return them as a content.

        Raises what reading them raises, and StorageError when there is no room for them.
        """
        digest = sha256()
        held: list[bytes] = []
        size = begin = 0
        file: FileIO | None = None
        try:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                held.append(chunk)
                if size > self._memory_bytes:
                    if file is None:
                        expect_much()
                        digest = sha256()
                        for part in held:
                            digest.update(part)
                        file = self._file = self._file or _new_file()
                        begin = _on_disk(file.seek, 0, os.SEEK_END)
                    for part in held:  # joined they would take as much again
                        _on_disk(_append, file, part)
                    held.clear()
        except BaseException:
            if file is not None:
                file.truncate(begin)  # its room is the next content's
            raise
        if file is None:
            return Content((b"".join(held),), size, digest.hexdigest())
        return Content(_Pieces(file.fileno(), begin, size), size, digest.hexdigest())


def limited(chunks: Iterable[bytes], most: int) -> Iterator[bytes]:
    """Yield *chunks*.  Raises ValidationError after more than *most* bytes."""
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > most:
            raise ValidationError(
                "message exceeds size limit", hint=f"it may have {most} bytes ([attachments.policy] max_message_bytes)"
            )
        yield chunk


def _new_file() -> FileIO:
    from tempfile import TemporaryFile  # on use

    return _on_disk(lambda: TemporaryFile(buffering=0))


class _Pieces:
    """One content in the file, piece by piece, from its beginning each time."""

    def __init__(self, descriptor: int, begin: int, size: int) -> None:
        self._descriptor = descriptor
        self._begin, self._end = begin, begin + size

    def __iter__(self) -> Iterator[bytes]:
        for offset in range(self._begin, self._end, _READ_BYTES):
            yield _on_disk(os.pread, self._descriptor, min(_READ_BYTES, self._end - offset), offset)


def _append(file: FileIO, data: bytes) -> None:
    left = memoryview(data)
    while left:
        left = left[file.write(left) :]


def _on_disk(work: Callable[..., T], *arguments: object) -> T:
    """Return the result of *work*.  Raises StorageError when the temporary directory fails."""
    try:
        return work(*arguments)
    except OSError as error:
        raise StorageError(
            f"a large message cannot be held in the temporary directory: {error.strerror}; nothing was stored",
            hint="free some space there, or set TMPDIR to a directory with more",
        ) from None
