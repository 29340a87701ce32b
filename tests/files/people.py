"""Commands run by others than root, and what they own."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

ANN, BEN = 12345, 12346  # who have no entry in the user database

# They may read and search everything, as Python may lie in root's home; what they may write is what counts here.
_READ_ALL = ("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can be several users, with setpriv"
)


def as_user(uid: int, gid: int | None = None) -> list[str]:
    """What a command of this user is started by."""
    return ["setpriv", f"--reuid={uid}", f"--regid={uid if gid is None else gid}", "--clear-groups", *_READ_ALL]


def give(path: Path, uid: int) -> None:
    """Let *path* and everything in it belong to *uid*."""
    for found in (path, *path.rglob("*")):
        os.chown(found, uid, uid, follow_symlinks=False)


def owners(directory: Path) -> set[tuple[int, int]]:
    """Whose the *directory* is, and what is in it."""
    return {(found.lstat().st_uid, found.lstat().st_gid) for found in (directory, *directory.rglob("*"))}


def bits(path: Path) -> int:
    """The mode of *path*."""
    return stat.S_IMODE(path.stat().st_mode)


def can(*command: str) -> bool:
    """Whether *command*, a try at a right, succeeds on this machine."""
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
