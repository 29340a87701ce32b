"""Find what lets others read or change an outbox: its file, the files beside it, the directories above."""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from prx_email_cli.errors import ChangeableByOthers, ReadableByOthers
from prx_email_cli.files import fault_of, faults, quoted

_LOGS = ("-wal", "-shm", "-journal")  # SQLite trusts these as much as the database itself
_ROOT = 0


def reasons_to_refuse(path: Path) -> Iterator[ReadableByOthers]:
    """Find everything for which the outbox at *path* is not opened, or not made where there is none."""
    owner = None
    with suppress(OSError):
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            return  # opening it says so; a file beside a device is none of its logs
        if status.st_mode & 0o077:
            yield ReadableByOthers(
                f"the outbox {path} is readable by others (mode {status.st_mode & 0o7777:04o})",
                hint=f"chmod 600 {path}*",
            )
        if os.geteuid() == _ROOT:
            owner = status.st_uid  # root may use another user's outbox, but not one in /tmp
    yield from faults(path, owner=owner)
    for file, log in logs(path):
        if stat.S_ISLNK(log.st_mode):
            yield ChangeableByOthers(f"{file} is a symbolic link", hint=f"rm {quoted(file)}")
            continue
        with suppress(FileNotFoundError):  # the last process to close the outbox removes them
            if fault := fault_of(file, log, owner=owner):
                yield fault


def logs(path: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Find the files that SQLite keeps beside the database at *path*, each with its status."""
    real = os.path.realpath(path)
    for end in _LOGS:
        with suppress(OSError):
            yield Path(real + end), os.lstat(real + end)
