"""Private files: made for their owner alone whatever the umask, and replaced so that a crash leaves old or new."""

import os
from pathlib import Path

_PRIVATE_FILE, _PRIVATE_DIRECTORY = 0o600, 0o700


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


def create(file: Path | str, *, at: int | None = None) -> int:
    """A descriptor of a new file of mode 0600, to be read and written.  Raises FileExistsError, OSError.

    at: the open directory that *file* is relative to.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC  # O_EXCL follows no symbolic link
    descriptor = os.open(file, flags, _PRIVATE_FILE, dir_fd=at)
    if os.fstat(descriptor).st_mode & 0o777 != _PRIVATE_FILE:
        os.fchmod(descriptor, _PRIVATE_FILE)
    return descriptor


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
