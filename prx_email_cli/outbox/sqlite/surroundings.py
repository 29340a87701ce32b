"""See a SQLite outbox from outside: its file, those beside it, and the locks of its runs."""

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from prx_email_cli.errors import ChangeableByOthers, LockUnreadable, ReadableByOthers
from prx_email_cli.files import quoted, what_exists_of
from prx_email_cli.outbox.runs import Runs
from prx_email_cli.outbox.sqlite.guarding import logs, reasons_to_refuse


class FileSurroundings:
    """The surroundings of the database file at *path*; see ``Surroundings``."""

    is_file = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._runs = Runs(path)

    def is_made(self) -> bool:
        """Tell whether there is a database; an empty file is none yet."""
        return os.path.exists(self._path) and os.path.getsize(self._path) > 0

    def directory(self) -> Path:
        """Return the directory of the file, or what exists of the path to that."""
        return what_exists_of(self._path.parent)

    def open_to_others(self) -> Iterator[ReadableByOthers]:
        """Find the files whose modes let others read or change them.  Links are left to ``changeable``."""
        for file in (self._path.resolve(), *(file for file, _ in logs(self._path)), self._runs.directory):
            try:
                status = file.lstat()
            except OSError:
                continue
            mode = stat.S_IMODE(status.st_mode)
            if mode & 0o077 and not stat.S_ISLNK(status.st_mode):
                yield ReadableByOthers(f"{file} is open to others (mode {mode:04o})", hint=f"chmod go= {quoted(file)}")

    def changeable(self) -> Iterator[ChangeableByOthers]:
        """Find what else lets others change a file, in the words with which the commands refuse it."""
        yield from (reason for reason in reasons_to_refuse(self._path) if isinstance(reason, ChangeableByOthers))
        yield from self._runs.faults()

    def last_drain_at(self) -> int | None:
        """Return when the last drain ended, None when none ever did."""
        return self._runs.last_drain()

    def dead_among(self, run_ids: Iterable[str]) -> list[str]:
        """Return the ids of the runs whose lock nobody holds."""
        return [run_id for run_id in run_ids if self._runs.is_dead(run_id)]

    @property
    def unreadable(self) -> list[LockUnreadable]:
        """Return an error for each lock that could not be read."""
        return list(self._runs.unreadable.values())
