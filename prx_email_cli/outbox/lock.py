"""The locked file of a living run."""

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType


class Lock:
    """The locked file of a run, alive until it is released; also a context manager."""

    def __init__(self, run_id: str, file: Path, descriptor: int) -> None:
        self.run_id = run_id
        self._file = file
        self._descriptor = descriptor

    def __enter__(self) -> "Lock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Release the lock: the run is over."""
        with suppress(OSError):
            self._file.unlink(missing_ok=True)
        os.close(self._descriptor)
