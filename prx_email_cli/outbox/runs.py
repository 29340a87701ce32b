"""Who is alive: every run holds a kernel lock on a file of its own for as long as it lives.

The kernel releases the lock when the process ends, however it ends, so no timeout ever guesses.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from prx_email_cli.errors import StorageError
from prx_email_cli.files import create, make_directories


class Runs:
    """The directory of lock files beside an outbox."""

    def __init__(self, outbox: Path) -> None:
        self.directory = outbox.resolve().with_name(outbox.resolve().name + ".runs")

    def start(self, now: int) -> "Run":
        """A new living run.  Raises StorageError when its lock file cannot be made."""
        try:
            make_directories(self.directory)
            while True:
                run_id = f"{now}-{os.getpid()}-{os.urandom(4).hex()}"
                descriptor = self._lock_new(run_id)
                if descriptor is not None:
                    return Run(run_id, self._file(run_id), descriptor)
        except OSError as error:
            raise StorageError(
                f"cannot lock a file in {self.directory}: {error.strerror}",
                hint="check that the directory is writable by you",
            ) from None

    def _lock_new(self, run_id: str) -> int | None:
        """The locked descriptor, None when somebody who was clearing away took the file in between."""
        descriptor = create(self._file(run_id))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.stat(self._file(run_id)).st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except (BlockingIOError, FileNotFoundError):
            pass
        os.close(descriptor)
        return None

    def is_dead(self, run_id: str) -> bool:
        """Whether nobody holds the run's lock; it has it from before its first claim to after its last finalize."""
        try:
            descriptor = os.open(self._file(run_id), os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    def clear_dead(self) -> None:
        """Remove the lock files of runs that died.  To be called when their rows are recovered."""
        for file in self.directory.glob("*-*-*"):
            try:
                descriptor = os.open(file, os.O_RDWR | os.O_CLOEXEC)
            except OSError:
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                file.unlink(missing_ok=True)
            except OSError:
                pass
            finally:
                os.close(descriptor)

    def note_drain(self, now: float) -> None:
        """Note that a drain ended at *now*, so that a person can see whether cron does its work; costs no fsync."""
        with suppress(OSError):
            os.close(os.open(self._last_drain, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
            os.utime(self._last_drain, (now, now))

    def last_drain(self) -> int | None:
        """When the last drain ended, in Unix seconds; None when none ever did."""
        try:
            return int(self._last_drain.stat().st_mtime)
        except OSError:
            return None

    @property
    def _last_drain(self) -> Path:
        return self.directory / "last-drain"

    def _file(self, run_id: str) -> Path:
        return self.directory / Path(run_id).name


class Run:
    """One process that delivers, alive until closed."""

    def __init__(self, run_id: str, file: Path, descriptor: int) -> None:
        self.run_id = run_id
        self._file = file
        self._descriptor = descriptor

    def __enter__(self) -> "Run":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.unlink(missing_ok=True)
        os.close(self._descriptor)
