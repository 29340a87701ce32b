"""Open files to be attached, and read them later in pieces; a file of the store never from outside it."""

import errno
import os
import stat
import weakref
from contextlib import ExitStack
from pathlib import Path

from prx_email_cli.errors import ValidationError
from prx_email_cli.files import faults

ESCAPES = "attachment path escapes storage root"
TOO_LARGE = "attachment exceeds size limit"

_CHUNK_BYTES = 128 * 1024
_MAX_PATH_BYTES, _MAX_NAME_BYTES = 4096, 255  # PATH_MAX and NAME_MAX; a walk by components never meets the first
# Not blocking: neither a FIFO without a writer nor a /proc file without news may hold the command up.
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LOOKS = 8  # how often an open file is compared with the name by which it was opened
_TRIES = 100  # how often a file is opened again that is being replaced
_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a symbolic link",
}


class FileChunks:
    """The bytes of an open regular file in pieces, readable once; the last piece, or ``close``, closes the file.

    Reading raises ValidationError after more than *limit* bytes, whatever the size was on opening: files grow, and
    those of /proc claim to be empty.
    """

    def __init__(self, descriptor: int, path: str, limit: int) -> None:
        self._descriptor = descriptor
        self._path = path
        self._limit = self._left = limit
        self._close = weakref.finalize(self, os.close, descriptor)

    def __iter__(self) -> "FileChunks":
        return self

    def __next__(self) -> bytes:
        if not self._close.alive:
            raise StopIteration
        try:
            chunk = os.read(self._descriptor, _CHUNK_BYTES)
        except OSError as error:
            self._close()
            raise unreadable(self._path, error.strerror) from None
        self._left -= len(chunk)
        if not chunk or self._left < 0:
            self._close()
        if not chunk:
            raise StopIteration
        if self._left < 0:
            raise too_large(self._path, self._limit)
        return chunk

    def close(self) -> None:
        """Read no further.  May be called at any time, and twice."""
        self._close()


def open_file(path: str, limit: int) -> FileChunks:
    """Open the regular file *path*; symbolic links are followed.

    limit: bytes.  Raises ValidationError for what is not there, not readable, not a regular file, or larger.
    """
    try:
        _check_regular(os.stat(path), path)  # before opening: for some devices and pipes, being opened is an event
        descriptor = os.open(path, _READ)
    except OSError as error:
        raise unreadable(path, error.strerror) from None
    except ValueError:  # NUL, or a surrogate that the file system's encoding has no byte for
        raise unreadable(path, "no file can have this name") from None
    return _checked(descriptor, path, limit)


def check_stored_path(path: str) -> list[str]:
    """Split *path*, relative to the store root, into its components.  Raises ValidationError for any other path."""
    try:
        octets = os.fsencode(path)
    except UnicodeEncodeError:
        raise _escapes(path, "it is no valid name") from None
    components = [component for component in path.split("/") if component not in ("", ".")]
    if path.startswith("/") or ".." in components or not components:
        raise _escapes(path, 'give it relative to the store, and without ".."')
    if b"\0" in octets or len(octets) > _MAX_PATH_BYTES or max(map(len, octets.split(b"/"))) > _MAX_NAME_BYTES:
        raise _escapes(path, "it is no valid name")
    if path.endswith(("/", "/.")):
        raise unreadable(path, "a directory's name", "name a file in it")
    return components


def open_stored(root: Path, path: str, limit: int) -> FileChunks:
    """Open the regular file *path* of the store; no path, link or race leads out of *root*.  limit: bytes.

    The root may be a symbolic link.  Below it every component is opened relative to the directory before it, and no
    symbolic link is followed, so nothing is checked by one name and used by another.  A file with a second name is
    refused, since that may be outside.  Raises ValidationError, and ChangeableByOthers when others could replace the
    root; who writes into it is up to the operator.
    """
    *directories, name = check_stored_path(path)
    for fault in faults(root, itself=False):
        raise fault
    try:
        at = os.open(root, _DIRECTORY)
    except OSError as error:
        raise ValidationError(
            f"attachment store cannot be opened: {error.strerror}", hint="check dir in [attachments.store]"
        ) from None
    try:
        for directory in directories:
            outer, at = at, _open_below(at, directory, _DIRECTORY, path)
            os.close(outer)
        descriptor = _open_only_name(at, name, path)
    finally:
        os.close(at)
    return _checked(descriptor, path, limit)


def unreadable(path: str, why: str | None, hint: str = "check the path and its permissions") -> ValidationError:
    """Make the error for a file that cannot be read."""
    return ValidationError(f"attachment cannot be read: {shown(path)}: {why}", hint=hint)


def too_large(path: str, limit: int) -> ValidationError:
    """Make the error for a file of more than *limit* bytes."""
    return ValidationError(
        TOO_LARGE, hint=f"{shown(path)} has more than the {limit} bytes of max_size_bytes in [attachments.policy]"
    )


def shown(text: str) -> str:
    """Write *text* on one line of an error message."""
    text = text if len(text) <= 300 else f"{text[:300]}…"
    return text if text.isprintable() else ascii(text)


def _open_below(at: int, name: str, flags: int, path: str) -> int:
    try:
        return os.open(name, flags | os.O_NOFOLLOW, dir_fd=at)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise _escapes(path, "it is no valid name") from None
        # O_NOFOLLOW has refused already; this only finds the words, since systems differ in the error that they give.
        if error.errno == errno.ELOOP or _is_symlink(at, name):
            raise _escapes(path, "symbolic links in the store are not followed: put the file itself there") from None
        raise unreadable(path, error.strerror) from None


def _is_symlink(at: int, name: str) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=at, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _open_only_name(at: int, name: str, path: str) -> int:
    """Open the file *name* in *at*; return its descriptor.  Raises ValidationError if it has other names too."""
    for _ in range(_TRIES):
        with ExitStack() as on_failure:
            descriptor = _open_below(at, name, _READ, path)
            on_failure.callback(os.close, descriptor)
            if _has_only_name(descriptor, at, name, path):
                on_failure.pop_all()
                return descriptor
    raise unreadable(path, "it is being replaced all the time", "write it aside and rename it into place once")


def _has_only_name(descriptor: int, at: int, name: str, path: str) -> bool:
    """Tell whether the open file still has *name* in *at*.

    Raises ValidationError when it is irregular or has other names too.  Another name may come and go between opening
    and counting, so the file must be found under *name* while its count is one, several times in a row.
    """
    opened = os.fstat(descriptor)
    _check_regular(opened, path)
    try:
        looks = [opened, *(_look(at, name) for _ in range(_LOOKS))]
    except OSError:
        return False
    same = [look for look in looks if os.path.samestat(look, opened)]
    if any(look.st_nlink > 1 for look in same):
        raise _escapes(path, "it has several hard links, some perhaps outside: copy it into the store")
    return len(same) == len(looks)


def _look(at: int, name: str) -> os.stat_result:
    """Return the status of *name* in the directory *at*, when no change of that directory is half done.

    Linux counts a link down before it drops the name; listing the directory waits for both.
    """
    with os.scandir(at) as entries:
        next(entries, None)
    return os.stat(name, dir_fd=at, follow_symlinks=False)


def _checked(descriptor: int, path: str, limit: int) -> FileChunks:
    """Wrap the open file.  Raises ValidationError, and closes it, if it is irregular or too large."""
    chunks = FileChunks(descriptor, path, limit)
    status = os.fstat(descriptor)
    try:
        _check_regular(status, path)
        if status.st_size > limit:
            raise too_large(path, limit)
    except ValidationError:
        chunks.close()
        raise
    return chunks


def _check_regular(status: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise unreadable(path, f"it is {kind}", "only regular files can be attached: write or pack it into one")


def _escapes(path: str, why: str) -> ValidationError:
    return ValidationError(ESCAPES, hint=f"{shown(path)}: {why}")
