"""Keep runs of one job from overlapping: a locked file in the user's state directory."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from prx_email_cli.config.paths import default_state_dir
from prx_email_cli.errors import JobRunning, StorageError
from prx_email_cli.files import make_directories

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@-]{0,99}")


def check_lock_name(name: str | None) -> str | None:
    """Return *name*.  Raises BadParameter for one that cannot name a file everywhere."""
    if name is not None and not _NAME.fullmatch(name):
        raise typer.BadParameter("must be a short name of letters, digits, _ . @ and -")
    return name


@contextmanager
def only_one(name: str | None) -> Iterator[None]:
    """Hold the lock *name* while the block lasts; None needs none.  The job does not inherit it.

    Raises JobRunning while another process has it, ConfigError and StorageError when it cannot be taken.
    """
    if name is None:
        yield
        return
    file = default_state_dir() / "locks" / f"{name}.lock"
    try:
        make_directories(file.parent)
        lock = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        hint = "check the directory's owner and the free space; the job was not run"
        raise StorageError(f"{file}: the lock cannot be made: {error.strerror}", hint=hint) from None
    try:
        _take(lock, name)
        yield
    finally:
        os.close(lock)


def _take(lock: int, name: str) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise JobRunning(
            f"a job with the lock {name} is still running, so this one was not run",
            hint="--timeout ends a job that takes too long",
        ) from None
    except OSError as error:
        raise StorageError(f"the lock {name} cannot be taken: {error.strerror}", hint="the job was not run") from None
