"""Replacing a file so that a crash leaves the old one or the new one, whole."""

import os
from pathlib import Path


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
