"""Keep the refused lines of a batch, as they were, in a file from which they can be corrected and run again."""

import os
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import typer

from prx_email_cli.errors import StorageError

_FLUSHED_BYTES = 1 << 20


class RejectedLines:
    """A context manager whose end puts the file in place, with mode 0600, however the batch ended.

    A pipe or a device is written as it comes.  An earlier file of the name is replaced, also by an empty one.
    """

    def __init__(self, name: str, source: BinaryIO, heading: bytes = b"", line_end: bytes = b"\n") -> None:
        """Prepare the file.  Raises StorageError, and BadParameter when it is the batch itself, the *source*.

        heading: bytes that are written before the first line.
        """
        self._name, self._heading, self._line_end = name, heading, line_end
        self._new: Path | None = None
        self._trouble: OSError | None = None
        try:
            self._refuse_source(source)
            self._file = self._opened()
        except OSError as error:
            raise StorageError(
                f"cannot write {name}: {error.strerror}; nothing was stored", hint="give --rejected another file"
            ) from None

    def _refuse_source(self, source: BinaryIO) -> None:
        if self._name == "-":
            raise typer.BadParameter("--rejected cannot be -, because stdout has the ids: give a file")
        if os.path.exists(self._name) and os.path.samestat(os.stat(self._name), os.fstat(source.fileno())):
            raise typer.BadParameter("--rejected would overwrite the batch itself: give another file")

    def _opened(self) -> BinaryIO:
        if os.path.exists(self._name) and not stat.S_ISREG(os.stat(self._name).st_mode):
            return open(self._name, "wb", buffering=_FLUSHED_BYTES)
        from prx_email_cli.files import create  # on use

        self._place = Path(os.path.realpath(self._name))
        new = self._place.with_name(f".{self._place.name[:200]}.{os.getpid()}")
        file = open(create(new), "wb", buffering=_FLUSHED_BYTES)  # noqa: SIM115 - __exit__ closes it
        self._new = new
        return file

    def __enter__(self) -> "RejectedLines":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def add(self, line: bytes) -> None:
        """Write a line; one that the file's end cut off gets its line end."""
        self.write(line)
        if not line.endswith((self._line_end, b"\r")):
            self.write(self._line_end)

    def write(self, part: bytes) -> None:
        """Write a part of a line; an error is kept for ``close``."""
        if self._trouble is None:
            heading, self._heading = self._heading, b""
            try:
                self._file.write(heading + part if heading else part)
            except OSError as error:
                self._trouble = error

    def close(self) -> StorageError | None:
        """Put the file in place; return the error if not all lines are in it.  The second call does nothing."""
        if not self._file.closed:
            try:
                self._file.flush()
                if self._new is not None:
                    os.fsync(self._file.fileno())
            except OSError as error:
                self._trouble = self._trouble or error
            self._end()
        if self._trouble is None:
            return None
        return StorageError(
            f"the refused lines could not be written to {self._name}: {self._trouble.strerror}",
            hint="their numbers are told; the other lines are as the summary says",
        )

    def _end(self) -> None:
        with suppress(OSError):
            self._file.close()
        if self._new is None:
            return
        from prx_email_cli.files import put_in_place  # on use

        try:
            put_in_place(self._new, self._place)
        except OSError as error:
            self._trouble = self._trouble or error
            with suppress(OSError):
                os.unlink(self._new)
