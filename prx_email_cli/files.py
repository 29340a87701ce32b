"""Make private files, replace them whole, and refuse those that another user could change."""

import os
import select
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from prx_email_cli.errors import ChangeableByOthers

if TYPE_CHECKING:
    from inotify_simple import INotify

_PRIVATE_FILE, _PRIVATE_DIRECTORY = 0o600, 0o700
_MOST_LINKS = 40  # as many as Linux follows in one path
_ACCESS_LIST = "system.posix_acl_access"
_PLACES_OF_PROGRAMS = ("/usr/local/bin", "/usr/local/sbin", "/opt/homebrew/bin")  # cron's PATH is shorter
_ROOT = 0


def make_directories(directory: Path) -> None:
    """Make *directory* and all that is missing above it, each mode 0700.  Raises OSError."""
    missing = []
    while not os.path.isdir(directory):
        missing.append(directory)
        if os.path.lexists(directory):
            break
        directory = directory.parent
    for new in reversed(missing):
        try:
            os.mkdir(new, _PRIVATE_DIRECTORY)
        except FileExistsError:
            if not os.path.isdir(new):
                raise
            continue
        if os.stat(new).st_mode & 0o777 != _PRIVATE_DIRECTORY:  # the umask may take away what the owner needs
            os.chmod(new, _PRIVATE_DIRECTORY)


def what_exists_of(directory: Path) -> Path:
    """Return *directory*, or where it is missing the nearest one above it that exists."""
    while not os.path.exists(directory) and directory != directory.parent:
        directory = directory.parent
    return directory


def create(file: Path | str, *, at: int | None = None, beside: os.stat_result | None = None) -> int:
    """Create a file of mode 0600 and return its descriptor.  Raises FileExistsError, OSError.

    at: the open directory that *file* is relative to.  beside: status of the file whose owner gets the new one.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC  # O_EXCL follows no symbolic link
    descriptor = os.open(file, flags, _PRIVATE_FILE, dir_fd=at)
    if os.fstat(descriptor).st_mode & 0o777 != _PRIVATE_FILE:
        os.fchmod(descriptor, _PRIVATE_FILE)
    give_to_owner(descriptor, beside)
    return descriptor


def give_to_owner(descriptor: int, beside: os.stat_result | None) -> None:
    """Give a file that root has just made to the owner of the file *beside* it, who could not use it otherwise."""
    if beside is not None and os.geteuid() == _ROOT and beside.st_uid != _ROOT:
        os.fchown(descriptor, beside.st_uid, beside.st_gid)


def put_in_place(new: Path, file: Path) -> None:
    """Rename *new*, whose content is already on the disk, to *file*, durably.  Raises OSError."""
    os.replace(new, file)
    sync_directory(file.parent)


def sync_directory(directory: Path) -> None:
    """Make the names in *directory* survive a power cut.  Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_bounded(file: Path, most: int, seconds: float) -> tuple[bytes, os.stat_result]:
    """Read *file* up to one byte more than *most*; return that and its status.  Raises OSError.

    Raises TimeoutError for a pipe that has not ended within *seconds*.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            with open(descriptor, "rb", closefd=False) as stream:
                return stream.read(most + 1), status
        return _read_slowly(descriptor, most, seconds), status
    finally:
        os.close(descriptor)


def _read_slowly(descriptor: int, most: int, seconds: float) -> bytes:
    data, until = b"", time.monotonic() + seconds
    watcher = select.poll()
    watcher.register(descriptor, select.POLLIN)
    while len(data) <= most:
        if not watcher.poll(max(0, until - time.monotonic()) * 1000):
            raise TimeoutError
        piece = os.read(descriptor, most + 1 - len(data))
        if not piece:
            break
        data += piece
    return data


def user_name(uid: int) -> str:
    """Name the user *uid*, by number if the user has no name."""
    import pwd  # on use

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def is_open(file: Path, status: os.stat_result) -> bool:
    """Tell whether group or others may read or change *file*, whose status this is.

    False on a read-only mount, whose owner cannot change the mode: the secrets of a container, for example.  False also
    where root lets one group read it, in a directory of root's that nobody else may enter: a service's /etc/prx-email.
    """
    return bool(status.st_mode & 0o077) and not _is_for_one_group(file, status) and not _is_read_only(file)


def _is_for_one_group(file: Path, status: os.stat_result) -> bool:
    """Tell whether root lets the group of *file*, and of its directory, read it, and nobody else even look for it."""
    if status.st_uid != _ROOT or status.st_mode & 0o037:
        return False
    try:
        above = os.stat(os.path.dirname(os.path.realpath(file)))
    except OSError:
        return False
    return (above.st_uid, above.st_gid) == (_ROOT, status.st_gid) and above.st_mode & 0o077 == 0o050


def check_unchangeable(path: Path, *, owner: int | None = None) -> None:
    """Raise ChangeableByOthers when ``faults`` finds something."""
    for fault in faults(path, owner=owner):
        raise fault


def check_program(name: str) -> None:
    """Raise ChangeableByOthers when ``program_faults`` finds something."""
    for fault in program_faults(name):
        raise fault


def program_faults(name: str) -> Iterator[ChangeableByOthers]:
    """Find everything that lets others decide what program *name* starts.

    A path is checked as by ``faults``.  In the directories of PATH only the file is checked: they may belong to a
    group, as Homebrew's and older Debian's do, which decides about every command of this user anyway.
    """
    if "/" in name and os.path.dirname(name) not in (*os.get_exec_path(), *_PLACES_OF_PROGRAMS):
        yield from faults(Path(name))
        return
    import shutil  # on use: it loads every way to compress

    found = shutil.which(name)
    if found is not None:
        real = Path(os.path.realpath(found))
        fault = fault_of(real, os.stat(real))
        if fault is not None:
            yield fault


def faults(path: Path, *, owner: int | None = None, itself: bool = True) -> Iterator[ChangeableByOthers]:
    """Find everything that lets anyone but the user and root decide what *path* is, from / down.

    Checks the file (if *itself*), all directories on the way, and the symbolic links in it.  owner: one more user who
    may own them.  A path that does not exist, or cannot be read, has no faults: opening it says so.
    """
    try:
        for step in _steps(os.fspath(path)):
            if itself or not step.is_last:
                fault = fault_of(step.path, step.status, owner=None if step.is_open_to_newcomers else owner)
                if fault is not None:
                    yield fault if step.is_last else _on_the_way(fault, path)
    except OSError:
        return


def names_on_the_way(path: Path) -> list[Path]:
    """Return all that ``faults`` looks at: each name on the way to *path*, and itself.  Raises OSError."""
    return [step.path for step in _steps(os.fspath(path))]


def fault_of(path: Path, status: os.stat_result, *, owner: int | None = None) -> ChangeableByOthers | None:
    """Find what lets others change *path*, whose status this is; None when nothing does.

    A directory with the sticky bit, the owner's own group, and a read-only mount are harmless.
    """
    fault = _foreign(path, status, owner) or _writable(path, status)
    return fault if fault is not None and not _is_read_only(path) else None


def _on_the_way(fault: ChangeableByOthers, path: Path) -> ChangeableByOthers:
    return ChangeableByOthers(f"{fault.message}, so {path} can be replaced", hint=fault.hint)


def _foreign(path: Path, status: os.stat_result, owner: int | None) -> ChangeableByOthers | None:
    if status.st_uid in (_ROOT, os.geteuid(), owner) or _is_roots_from_outside(status.st_uid):
        return None
    who = user_name(status.st_uid)
    return ChangeableByOthers(
        f"{path} belongs to {who}, who can change it", hint=f"run prx-email as {who}, or {taking(path)}"
    )


def _writable(path: Path, status: os.stat_result) -> ChangeableByOthers | None:
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISLNK(status.st_mode) or not mode & 0o022 or _is_sticky(status):
        return None
    if not mode & 0o002 and _is_owners_own_group(path, status):
        return None
    return ChangeableByOthers(f"{path} is writable by others (mode {mode:04o})", hint=f"chmod go-w {quoted(path)}")


def taking(path: Path) -> str:
    """Write the command that makes *path* the user's own."""
    option = "-h " if path.is_symlink() else ""
    return f"sudo chown {option}{user_name(os.geteuid()).removeprefix('user ')} {quoted(path)}"


def quoted(path: Path) -> str:
    """Quote *path* for a shell."""
    import shlex  # on use

    return shlex.quote(os.fspath(path))


class _Step(NamedTuple):
    """One name on the way to a path.  is_open_to_newcomers: everybody may add names to its directory."""

    path: Path
    status: os.stat_result
    is_last: bool
    is_open_to_newcomers: bool


def _steps(path: str) -> Iterator[_Step]:
    """Yield each name on the way to *path*, a symbolic link before its target.  Raises OSError."""
    names = _names(os.path.join(os.getcwd(), path))
    here, above, links = "/", [os.lstat("/")], 0
    yield _Step(Path("/"), above[0], is_last=not names, is_open_to_newcomers=False)
    while names:
        name = names.pop()
        if name == "..":
            here = os.path.dirname(here)
            above = above[:-1] or above
            continue
        found = os.path.join(here, name)
        status = os.lstat(found)
        target = _target(found) if stat.S_ISLNK(status.st_mode) and links < _MOST_LINKS else None
        yield _Step(Path(found), status, not names and target is None, _is_sticky(above[-1]))
        if target is None:
            here = found
            above.append(status)
            continue
        links += 1
        names += _names(target)
        if target.startswith("/"):
            here, above = "/", above[:1]


def _names(path: str) -> list[str]:
    """Split *path* into names, the last one first."""
    return [name for name in reversed(path.split("/")) if name not in ("", ".")]


def _target(link: str) -> str | None:
    """Read a symbolic link; None for a link of /proc to something without a name, such as a pipe."""
    target = os.readlink(link)
    return target if os.path.lexists(os.path.join(os.path.dirname(link), target)) else None


def _is_sticky(status: os.stat_result) -> bool:
    """Tell whether it is a directory like /tmp, where users cannot replace each other's files."""
    return stat.S_ISDIR(status.st_mode) and bool(status.st_mode & stat.S_ISVTX and status.st_mode & 0o022)


def _is_owners_own_group(path: Path, status: os.stat_result) -> bool:
    """Tell whether the group is the owner's alone: of the same name, their first, and without other members."""
    import grp  # on use
    import pwd  # on use

    if hasattr(os, "listxattr") and _ACCESS_LIST in os.listxattr(path):
        return False  # an access control list: the bits of the group say what it may grant to anybody
    try:
        owner = pwd.getpwuid(status.st_uid)
    except KeyError:  # a container's user may have no name
        return status.st_gid == status.st_uid
    try:
        group = grp.getgrgid(status.st_gid)
    except KeyError:
        return status.st_gid == owner.pw_gid == status.st_uid
    return status.st_gid == owner.pw_gid and group.gr_name == owner.pw_name and set(group.gr_mem) <= {owner.pw_name}


def _is_read_only(path: Path) -> bool:
    """Tell whether *path* lies on a read-only mount."""
    if os.path.islink(path):
        path = path.parent
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _is_roots_from_outside(uid: int) -> bool:
    """Tell whether *uid* stands for the root outside of this user namespace."""
    try:
        with open("/proc/sys/kernel/overflowuid", encoding="ascii") as stream:
            if uid != int(stream.read()):
                return False
        with open("/proc/self/uid_map", encoding="ascii") as stream:
            return all(int(line.split()[1]) != _ROOT for line in stream)
    except (OSError, ValueError):
        return False


def notices_of(path: str | Path, event: str) -> "INotify | None":
    """Ask the system to tell of an *event*, by its name in inotify(7) without IN_; None where it cannot.

    path: a directory, whose files it is about, or a file.
    """
    try:
        from inotify_simple import INotify, flags  # on use

        notify = INotify()
    except (ImportError, OSError, AttributeError):
        return None
    try:
        notify.add_watch(os.fspath(path), flags[event])
    except OSError:
        notify.close()
        return None
    return notify
