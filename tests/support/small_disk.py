"""A small file system, full on demand.  Mounting it needs root."""

from __future__ import annotations

import subprocess
from pathlib import Path

BYTES = 6 * 1024 * 1024


class NoDisk(Exception):
    """It cannot be mounted here."""


class SmallDisk:
    """A tmpfs mounted at *directory*.  Raises NoDisk."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.outbox = directory / "outbox.db"
        self._ballast = directory / "ballast"
        directory.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={BYTES},mode=0700", "tmpfs", str(directory)]
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NoDisk(done.stderr.strip())

    def fill(self) -> None:
        """Leave not a byte."""
        with self._ballast.open("ab", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(b"x" * 4096)
            except OSError:
                pass

    def free(self) -> None:
        """Give the space back, and more of it."""
        self._ballast.unlink(missing_ok=True)
        subprocess.run(["mount", "-o", f"remount,size={10 * BYTES}", str(self.directory)], check=True)

    def unmount(self) -> None:
        """Take it away, whoever still uses it."""
        subprocess.run(["umount", "-l", str(self.directory)], check=True)
