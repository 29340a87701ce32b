"""A drop directory, seen from the outbox's side: every name in it may be a trap of whoever made it."""

import errno
import fcntl
import os
import stat
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple

from prx_email_cli.config.sendmail import REASONS, refused_beside
from prx_email_cli.errors import ChangeableByOthers, StorageError
from prx_email_cli.files import check_unchangeable, create, give_to_owner, sync_directory
from prx_email_cli.submission.drop_file import BEGUN, READY, is_named, new_token

UNFINISHED_SECONDS = 86_400  # so old is a file that nobody goes on writing
_STUCK = "refused."  # how a directory is named that can be neither moved nor removed
_MOST_REASON = 500
_ROOT = 0


class Entry(NamedTuple):
    """One name in the directory.  uid: of its owner.  changed_ns: when its name or content changed last."""

    name: str
    uid: int
    changed_ns: int
    size_bytes: int

    @property
    def key(self) -> str:
        """Return an idempotency key: no two files have the same one, and no user has that of another."""
        return f"drop:{self.uid}:{self.name}"


class Odd(NamedTuple):
    """A name that is no message, and why."""

    name: str
    uid: int
    reason: str
    is_directory: bool = False


class Unfit(Exception):
    """A file cannot be taken in; the text says why."""


class NotNow(Exception):
    """A file is gone, or its owner is still busy with it."""


class DropDirectory:
    """An open drop directory that this process alone takes files from."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path, self._descriptor = path, descriptor
        self._status = os.fstat(descriptor)
        self._refused: int | None = None

    def __enter__(self) -> "DropDirectory":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._refused is not None:
            os.close(self._refused)
        os.close(self._descriptor)

    def look(self, now: float) -> tuple[list[Entry], list[Odd]]:
        """Return the whole files, one of each user in turn, and what is none.  now: Unix seconds."""
        whole: dict[int, list[Entry]] = defaultdict(list)
        odd: list[Odd] = []
        with os.scandir(self._descriptor) as found:
            for one in found:
                if one.is_dir(follow_symlinks=False):  # it is not even looked at: it may be a mount that hangs
                    if not one.name.startswith(_STUCK):
                        odd.append(Odd(one.name, -1, "it is a directory", is_directory=True))
                    continue
                with suppress(FileNotFoundError):
                    status = one.stat(follow_symlinks=False)
                    entry = Entry(one.name, status.st_uid, status.st_ctime_ns, status.st_size)
                    reason = _reason(one.name, status, now)
                    if reason:
                        odd.append(Odd(one.name, status.st_uid, reason))
                    elif is_named(one.name, READY):
                        whole[entry.uid].append(entry)
        for entries in whole.values():
            entries.sort(key=lambda entry: (entry.changed_ns, entry.name))
        return list(_in_turn(list(whole.values()))), odd

    @contextmanager
    def opened(self, entry: Entry) -> Iterator[int]:
        """Open a file for reading, without waiting for anybody.

        Raises Unfit, and NotNow where it is gone or changed, or its owner holds a lease on it.
        """
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            descriptor = os.open(entry.name, flags, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno == errno.ENOENT or (error.errno == errno.EAGAIN and not _is_old(entry, time.time())):
                raise NotNow from None
            raise Unfit(f"it cannot be opened: {error.strerror}") from None
        try:
            status = os.fstat(descriptor)
            if not _is_plain(status) or status.st_uid != entry.uid:
                raise NotNow  # the next look says what it is now
            yield descriptor
        finally:
            os.close(descriptor)

    def remove(self, entry: Entry) -> None:
        """Remove a file that is stored."""
        with suppress(FileNotFoundError):
            os.unlink(entry.name, dir_fd=self._descriptor)

    def refuse(self, odd: Odd) -> None:
        """Move what is at a name aside, and note why.  Raises StorageError, ChangeableByOthers."""
        try:
            target = self._move(odd)
        except FileNotFoundError:
            return
        except OSError as error:
            raise StorageError(
                f"{ascii(odd.name)[1:-1]} in the drop directory {self.path} cannot be moved aside: {error.strerror}",
                hint=f"look at it, and remove it: find {self.path} -mindepth 1 -maxdepth 1 -ls",
            ) from None
        self._note(odd, target)

    def _move(self, odd: Odd) -> str:
        """Move it; return where to.  Raises OSError."""
        refused = self._open_refused()
        if odd.is_directory:
            try:
                os.rmdir(odd.name, dir_fd=self._descriptor)
            except OSError:
                stuck = _STUCK + new_token()  # to another directory only its owner could move it
                os.rename(odd.name, stuck, src_dir_fd=self._descriptor, dst_dir_fd=self._descriptor)
                return f"{self.path}/{stuck}"
            return "removed: it was empty"
        known = is_named(odd.name, READY) or is_named(odd.name, BEGUN)
        target = odd.name if known and not _is_there(odd.name, refused) else f"odd.{new_token()}"
        os.rename(odd.name, target, src_dir_fd=self._descriptor, dst_dir_fd=refused)
        return target

    def _note(self, odd: Odd, target: str) -> None:
        """Append a line to the reasons."""
        refused = self._open_refused()
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        reason = ascii(odd.reason[:_MOST_REASON])[1:-1]
        line = f"{when} {target} uid={odd.uid} name={ascii(odd.name)[1:-1]}: {reason}\n"
        try:
            try:
                descriptor = create(REASONS, at=refused, beside=self._status)
            except FileExistsError:
                flags = os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
                descriptor = os.open(REASONS, flags, dir_fd=refused)
            try:
                if not _is_plain(os.fstat(descriptor)):
                    raise OSError(errno.EMLINK, os.strerror(errno.EMLINK))
                os.write(descriptor, line.encode())
            finally:
                os.close(descriptor)
        except OSError as error:
            raise StorageError(
                f"why {target} was refused cannot be noted in {refused_beside(self.path)}: {error.strerror}",
                hint="free some space there",
            ) from None

    def _open_refused(self) -> int:
        """Open the directory for what is refused; make it where it is missing.  Raises OSError, ChangeableByOthers."""
        if self._refused is None:
            path = refused_beside(self.path)
            with suppress(FileExistsError):
                os.mkdir(path, 0o700)
                sync_directory(path.parent)
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            give_to_owner(descriptor, self._status)  # by its descriptor: the directory above may be another user's
            status = os.fstat(descriptor)
            if status.st_uid not in (_ROOT, os.geteuid(), self._status.st_uid) or status.st_mode & 0o077:
                os.close(descriptor)
                raise ChangeableByOthers(f"{path} is open to others", hint=f"chmod go= {path}")
            self._refused = descriptor
        return self._refused


@contextmanager
def locked(path: Path, owner: int) -> "Iterator[DropDirectory | None]":
    """Open the drop directory for this process alone; None while another one takes files from it, or if it is gone.

    owner: uid of the outbox's user.  Raises ChangeableByOthers where somebody else could decide what it is.
    """
    check_unchangeable(path.parent, owner=owner if os.geteuid() == _ROOT else None)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        raise StorageError(
            f"the drop directory {path} cannot be read: {error.strerror}", hint="run the drain as the outbox's user"
        ) from None
    with DropDirectory(path, descriptor) as directory:
        if os.fstat(descriptor).st_uid not in (_ROOT, os.geteuid(), owner):
            raise ChangeableByOthers(f"{path} belongs to another user than the outbox", hint=f"chown it: {path}")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # nobody else can open it, and so lock it
        except BlockingIOError:
            yield None
            return
        yield directory


def _reason(name: str, status: os.stat_result, now: float) -> str:
    """Say why what is at *name* can never be a message; "" if it may be one."""
    if not stat.S_ISREG(status.st_mode):
        return f"it is {_KINDS.get(stat.S_IFMT(status.st_mode), 'a device')}"
    if status.st_nlink != 1:
        return f"it has {status.st_nlink} names" if status.st_nlink else ""
    if is_named(name, BEGUN):
        return "it was never finished" if now - status.st_ctime > UNFINISHED_SECONDS else ""
    return "" if is_named(name, READY) else "its name is none that prx-sendmail gives"


_KINDS = {stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}


def _is_plain(status: os.stat_result) -> bool:
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def _is_old(entry: Entry, now: float) -> bool:
    return now - entry.changed_ns / 1e9 > UNFINISHED_SECONDS


def _is_there(name: str, directory: int) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _in_turn(lists: list[list[Entry]]) -> Iterator[Entry]:
    """Yield the first of each list, then the second of each, and so on."""
    for number in range(max(map(len, lists), default=0)):
        lists = [one for one in lists if number < len(one)]
        yield from (one[number] for one in lists)
