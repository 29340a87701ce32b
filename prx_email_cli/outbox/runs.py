"""Tell which runs live: each holds a kernel lock on a file of its own for as long as it lives.

The kernel releases the lock when the process ends, however it ends, so no timeout ever guesses.
"""

import errno
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from prx_email_cli.errors import ChangeableByOthers, LockUnreadable, StorageError
from prx_email_cli.files import create, fault_of, give_to_owner, make_directories, quoted, taking, user_name
from prx_email_cli.outbox.accounts import TOLD_AGAIN_SECONDS
from prx_email_cli.outbox.flight_record import Flights
from prx_email_cli.outbox.lock import Lock

_LAST_DRAIN, _TOLD, _TIDIED, _MACHINE = "last-drain", "undrained", "tidied", "machine"
_MOST_STARTER_BYTES = 200
_FLIGHT = ".flight"
_OPEN = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Runs:
    """The directory of lock files beside an outbox.

    unreadable: an error for each run that counts as alive because its lock could not be opened.
    """

    def __init__(self, outbox: Path) -> None:
        self._outbox = outbox.resolve()
        self.directory = self._outbox.with_name(self._outbox.name + ".runs")
        self.unreadable: dict[str, LockUnreadable] = {}

    def start(self, now: int) -> Lock:
        """Start a run and return its lock.

        Raises StorageError when its lock file cannot be made, ChangeableByOthers when others could take it away.
        """
        try:
            self.make_directory()
            while True:
                run_id = f"{now}-{os.getpid()}-{os.urandom(4).hex()}"
                descriptor = self._lock_new(run_id)
                if descriptor is not None:
                    return Lock(run_id, self.directory / run_id, descriptor)
        except OSError as error:
            raise StorageError(
                f"cannot lock a file in {self.directory}: {error.strerror}{_whose(self.directory)}",
                hint="check that the directory is writable by you",
            ) from None

    def make_directory(self) -> None:
        """Make the directory where there is none.  Raises OSError, ChangeableByOthers."""
        if not os.path.lexists(self.directory):
            make_directories(self.directory)
            with self._opened() as at:
                give_to_owner(at, self._beside())

    def _lock_new(self, run_id: str) -> int | None:
        """Create and lock a run's file; return its descriptor, None when ``clear_dead`` removed it in between."""
        with self._opened() as at:
            descriptor = create(run_id, at=at, beside=self._beside())
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.stat(run_id, dir_fd=at, follow_symlinks=False), os.fstat(descriptor)):
                    return descriptor
            except (BlockingIOError, FileNotFoundError):
                pass
            os.close(descriptor)
            return None

    def is_dead(self, run_id: str) -> bool:
        """Tell whether nobody holds the run's lock, which it has from before its first claim to after its last result.

        False for one whose lock cannot be opened; it is added to ``unreadable``.  Raises ChangeableByOthers.
        """
        name = Path(run_id).name
        try:
            with self._opened() as at:
                descriptor = os.open(name, _OPEN, dir_fd=at)
        except FileNotFoundError:
            return True
        except OSError as error:
            self.unreadable[run_id] = _unreadable(self.directory / name, error)
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(descriptor)
        return True

    def living(self) -> list[str]:
        """Return the ids of the runs that are alive; none where the directory cannot be read or others could change it.

        One whose lock cannot be opened counts as alive.
        """
        with suppress(OSError, ChangeableByOthers), self._opened() as at:
            return [name for name in os.listdir(at) if _is_lock(name) and not self.is_dead(name)]
        return []

    def clear_dead(self, sending: Iterable[str]) -> None:
        """Remove the lock files of dead runs, and the flight records of those that are not *sending*."""
        keep = {_flight_record_of(run_id) for run_id in sending}
        with suppress(OSError), self._opened() as at:
            names = os.listdir(at)
            locks = [name for name in names if _is_lock(name)]
            keep.update(_flight_record_of(name) for name in locks if not _removed_as_dead(name, at))
            _remove((name for name in names if name.endswith(_FLIGHT) and name not in keep), at)

    @contextmanager
    def making_flight_record(self, run_id: str) -> Iterator[int]:
        """Make the file of a living run's flight record, and yield its descriptor; an error removes the file again.

        Raises OSError, ChangeableByOthers.
        """
        with self._opened() as at:
            descriptor = create(_flight_record_of(run_id), at=at, beside=self._beside())
            try:
                yield descriptor
            except BaseException:
                os.close(descriptor)
                _remove([_flight_record_of(run_id)], at)
                raise

    def recorded(self) -> list[str]:
        """Return the ids of the runs with flight records; none where the directory cannot be read."""
        with suppress(OSError, ChangeableByOthers), self._opened() as at:
            return [name.removesuffix(_FLIGHT) for name in os.listdir(at) if name.endswith(_FLIGHT)]
        return []

    def remove_flight_record(self, run_id: str) -> None:
        """Remove a run's flight record, if it has one.  Raises OSError, ChangeableByOthers."""
        with self._opened() as at:
            _remove([_flight_record_of(run_id)], at)

    def forget_flights(self) -> None:
        """Remove every flight record.  Raises StorageError when one cannot be removed, and ChangeableByOthers."""
        try:
            with self._opened() as at:
                for name in os.listdir(at):
                    if name.endswith(_FLIGHT):
                        with suppress(FileNotFoundError):  # its run has just ended
                            os.unlink(name, dir_fd=at)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(
                f"cannot remove the flight records in {self.directory}: {error.strerror}",
                hint="check that the directory is writable by you",
            ) from None

    @contextmanager
    def flights_of(self, run_id: str, identity: str) -> Iterator[Flights]:
        """Open a dead run's flight record; every stage is UNKNOWN if it is missing or others could have changed it."""
        with ExitStack() as stack:
            descriptor = None
            with suppress(OSError, StorageError, ChangeableByOthers):
                descriptor = stack.enter_context(self.opened_file(_flight_record_of(run_id), make=False))
            yield Flights(descriptor, run_id, identity)

    def note_drain(self, now: float, starter: str = "") -> None:
        """Note that a drain ended at *now*, so that a person can see whether cron does its work; costs no fsync."""
        with suppress(OSError), self._opened() as at:
            descriptor = self._open_note(at)
            try:
                written = starter.encode("utf-8", "replace")[:_MOST_STARTER_BYTES]
                if os.pread(descriptor, _MOST_STARTER_BYTES + 1, 0) != written:
                    os.ftruncate(descriptor, 0)
                    os.pwrite(descriptor, written, 0)
                os.utime(descriptor, (now, now))
            finally:
                os.close(descriptor)

    def _open_note(self, at: int) -> int:
        try:
            return os.open(_LAST_DRAIN, _OPEN, dir_fd=at)
        except FileNotFoundError:
            pass
        except OSError:  # another user's, or a link: the drains of the directory's owner count
            os.unlink(_LAST_DRAIN, dir_fd=at)
        return create(_LAST_DRAIN, at=at, beside=self._beside())

    def last_drain(self) -> int | None:
        """Return when the last drain ended, in Unix seconds; None when none did, or others could have written it."""
        try:
            with self._opened() as at:
                status = os.stat(_LAST_DRAIN, dir_fd=at, follow_symlinks=False)
        except (OSError, ChangeableByOthers):
            return None
        return int(status.st_mtime) if stat.S_ISREG(status.st_mode) else None

    def last_drain_by(self) -> str:
        """Return what started the last drain; "" where that is not known, or others could have written it."""
        try:
            with self._opened() as at:
                descriptor = os.open(_LAST_DRAIN, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=at)
                try:
                    return os.pread(descriptor, _MOST_STARTER_BYTES, 0).decode("utf-8", "replace")
                finally:
                    os.close(descriptor)
        except (OSError, ChangeableByOthers):
            return ""

    def is_any_alive(self) -> bool:
        """Tell whether a run lives, or may live."""
        try:
            with self._opened() as at:
                names = [name for name in os.listdir(at) if name.count("-") >= 2 and not name.endswith(_FLIGHT)]
        except (OSError, ChangeableByOthers):
            return False
        return any(not self.is_dead(name) for name in names)

    def note_told(self, now: int) -> bool:
        """Note that a person is told at *now* that nothing drains.

        False when one was told within a day, or it cannot be noted.
        """
        try:
            self.make_directory()
            with self._opened() as at, suppress(FileExistsError):
                os.close(create(_TOLD, at=at, beside=self._beside()))
                os.utime(_TOLD, (now, now), dir_fd=at)
                return True
            with self.opened_file(_TOLD, make=False) as descriptor:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                if 0 <= now - os.fstat(descriptor).st_mtime < TOLD_AGAIN_SECONDS:
                    return False
                os.utime(descriptor, (now, now))
        except (OSError, StorageError, ChangeableByOthers):
            return False
        return True

    def machine(self) -> str:
        """Name this directory as the home of runs: by the machine, and a word that no other directory has.

        Raises OSError, StorageError, ChangeableByOthers.
        """
        with self.opened_file(_MACHINE, make=True) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            word = os.pread(descriptor, 64, 0)
            if not word:
                word = os.urandom(8).hex().encode()
                os.pwrite(descriptor, word, 0)
        return f"{os.uname().nodename}/{word.decode('ascii', 'replace')}"

    def read_note(self) -> bytes:
        """Return how far tidying came; empty where that is not known, or others could have written it."""
        try:
            with self.opened_file(_TIDIED, make=False) as descriptor:
                return os.pread(descriptor, _MOST_STARTER_BYTES, 0)
        except (OSError, StorageError, ChangeableByOthers):
            return b""

    def write_note(self, note: bytes) -> None:
        """Note how far tidying came; costs no fsync, and if it is lost, tidying begins anew."""
        with suppress(OSError, StorageError, ChangeableByOthers), self.opened_file(_TIDIED, make=True) as descriptor:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, note, 0)

    def faults(self) -> Iterator[ChangeableByOthers]:
        """Find everything that lets others change the directory or a file in it; nothing where it cannot be opened."""
        try:
            with self._opened() as at:
                files = sorted(self.directory / name for name in os.listdir(at))
        except ChangeableByOthers as error:
            yield error
            return
        except OSError:
            return
        for file in files:
            with suppress(FileNotFoundError):  # a run has ended
                status = file.lstat()
                if stat.S_ISLNK(status.st_mode):
                    yield ChangeableByOthers(f"{file} is a symbolic link", hint=f"rm {quoted(file)}")
                elif fault := fault_of(file, status, owner=self._owner()):
                    yield fault

    @contextmanager
    def opened_file(self, name: str, *, make: bool) -> Iterator[int]:
        """Open a file of this directory that no other user can change; *make* it where there is none.

        Raises OSError, StorageError when it is no file, and ChangeableByOthers.
        """
        if make:
            self.make_directory()
        with self._opened() as at:
            try:
                descriptor = os.open(name, _OPEN, dir_fd=at)
            except FileNotFoundError:
                if not make:
                    raise
                with suppress(FileExistsError):  # when another process is faster
                    os.close(create(name, at=at, beside=self._beside()))
                descriptor = os.open(name, _OPEN, dir_fd=at)
        try:
            status, file = os.fstat(descriptor), self.directory / name
            if not stat.S_ISREG(status.st_mode):
                raise StorageError(f"{file} is not a regular file", hint=f"rm {quoted(file)}")
            if fault := fault_of(file, status, owner=self._owner()):
                raise fault
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the directory, and check that no other user can change it.

        Raises ChangeableByOthers, and OSError when it is not there or cannot be opened.
        """
        try:
            at = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR) and self.directory.is_symlink():
                raise ChangeableByOthers(
                    f"{self.directory} is a symbolic link", hint=f"rm {quoted(self.directory)}: a drain makes it anew"
                ) from None
            raise
        try:
            if fault := fault_of(self.directory, os.fstat(at), owner=self._owner()):
                raise fault
            yield at
        finally:
            os.close(at)

    def _owner(self) -> int | None:
        beside = self._beside()
        return beside.st_uid if beside is not None else None

    def _beside(self) -> os.stat_result | None:
        """Return the status of the outbox, or of its directory, whose owner gets the files made here."""
        try:
            return os.stat(self._outbox)
        except OSError:
            return None


def _flight_record_of(run_id: str) -> str:
    """Return the name of a run's flight record in the directory of the runs."""
    return Path(run_id).name + _FLIGHT


def _is_lock(name: str) -> bool:
    """Tell whether a file of the directory of the runs is the lock of one."""
    return name.count("-") >= 2 and not name.endswith(_FLIGHT)


def _remove(names: Iterable[str], at: int) -> None:
    """Remove these files, as far as they are there and can be removed."""
    for name in names:
        with suppress(OSError):
            os.unlink(name, dir_fd=at)


def _removed_as_dead(name: str, at: int) -> bool:
    """Remove a dead run's lock file; False when the run lives, or that cannot be told."""
    try:
        descriptor = os.open(name, _OPEN, dir_fd=at)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(name, dir_fd=at)
        finally:
            os.close(descriptor)
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    return True


def _unreadable(file: Path, error: OSError) -> LockUnreadable:
    return LockUnreadable(
        f"cannot tell whether a run is alive: {file}: {error.strerror}{_whose(file)}",
        hint=f"its messages wait; {taking(file)} lets the next drain tell",
    )


def _whose(path: Path) -> str:
    """Say whose *path* is; "" when that cannot be read."""
    try:
        return f"; it belongs to {user_name(os.lstat(path).st_uid)}"
    except OSError:
        return _whose(path.parent).replace("; it", "; its directory") if path != path.parent else ""
