"""The SQLite outbox as a whole: backed up, verified, restored, moved."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

from prx_email_cli.errors import OutboxBusy, PrxEmailError, ValidationError
from prx_email_cli.outbox.relational.moved import SET_MOVED_TO, Journey, Stage
from prx_email_cli.outbox.runs import Runs
from prx_email_cli.outbox.sqlite import copying, replacing
from prx_email_cli.outbox.sqlite.connection import open_beside, storage_errors
from prx_email_cli.outbox.sqlite.schema import MIGRATIONS, check_ours
from prx_email_cli.outbox.sqlite.store import SqliteStore
from prx_email_cli.outbox.sqlite.verifying import verify
from prx_email_cli.outbox.views import Copied, Migrated, Replaced, Verified

_SENDING = "SELECT count(*) FROM outbox WHERE status = 'sending'"

Progress = Callable[[int, int], None]


class SqliteWhole:
    """See ``Whole`` for what each method promises.  open_store: opens the one at *path*, there or with *create*."""

    def __init__(self, path: Path, open_store: Callable[..., SqliteStore], patience_seconds: float) -> None:
        self._path, self._patience_seconds = path, patience_seconds
        self._open, self._make = partial(open_store, create=False), open_store

    def migrate(self) -> Migrated:
        """Bring the tables up to date, or make them, which opening does."""
        before = 0
        if self._path.exists():
            with self._beside() as connection:
                before = check_ours(connection, self._path)
        self._make().close()
        return Migrated(before, len(MIGRATIONS))

    def backup(self, file: Path, *, force: bool, progress: Progress | None = None) -> Copied:
        """Copy the outbox as it is at this moment into *file*."""
        copying.check_target(file, self._path, force=force)
        with closing(self._open()), self._beside() as source, copying.new_file(file) as new:
            with closing(copying.copy(source, new, progress)) as copied:
                copying.check_sound(copied, self._path)
                result = replacing.counted(copied, file)
            copying.put(new, file, replace=force)
        return result

    def verify(self, file: Path | None, progress: Callable[[int], None]) -> Verified:
        """Check the outbox, or the one in *file*."""
        if file is None or (file.exists() and self._path.exists() and file.samefile(self._path)):
            with closing(self._open()) as store:
                return verify(store.reading, progress)
        with copying.opened(file) as connection, storage_errors(file):
            if check_ours(connection, file) == 0:
                raise ValidationError(f"{file} is no outbox", hint="name a file that prx-email outbox backup made")

            @contextmanager
            def reading() -> Iterator[sqlite3.Connection]:
                yield connection

            return verify(reading, progress)

    def restore(self, file: Path, now: int) -> Replaced:
        """Put a backup in the outbox's place."""
        return replacing.restore(self._path, file, now, self._patience_seconds)

    def adopt(self, file: Path | None, now: int, by: str) -> Replaced:
        """Put an outbox that was moved here in its place, or take the one that is there already."""
        if file is None:
            return self._adopt_in_place()
        replaced = replacing.adopt(self._path, file, now, self._patience_seconds)
        replacing.note_adopted(file, Journey(Stage.ADOPTED, str(self._path), now, by))
        return replaced

    def _adopt_in_place(self) -> Replaced:
        def make(connection: sqlite3.Connection) -> Replaced:
            journey = replacing.read_journey(connection)
            if journey is None:
                raise ValidationError(f"{self._path} is at home already", hint="name the file that outbox move made")
            if journey.stage is not Stage.CARRIED:
                raise journey.error(self._path)
            connection.execute(SET_MOVED_TO, (None,))
            messages, unfinished = connection.execute(replacing.COUNTS).fetchone()
            return Replaced(messages, unfinished, None, guarded=False, only_in_kept=[])

        with closing(self._open()) as store:
            return store.change(make)

    def move(self, file: Path, now: int, by: str, settle: Callable[[SqliteStore], None]) -> Copied:
        """Leave the outbox, and make the file in which it is carried to another machine."""
        copying.check_target(file, self._path, force=False)
        file = file.absolute()
        with closing(self._open()) as store:
            with store.reading() as connection:
                left = replacing.read_journey(connection)
            if left is not None and (left.stage is not Stage.LEFT or left.file != str(file)):
                raise left.error(self._path)
            if left is None:  # else it goes on where it was killed
                settle(store)
                if Runs(self._path).is_any_alive():
                    raise self._in_use()
                left = Journey(Stage.LEFT, str(file), now, by)
                store.change(lambda connection: self._leave(connection, left))
            try:
                return self._carry(file, left)
            except BaseException:
                if not _is_carried_in(file, left):  # else both would send
                    store.change(lambda connection: connection.execute(SET_MOVED_TO, (None,)))
                raise

    def _leave(self, connection: sqlite3.Connection, journey: Journey | None) -> None:
        if connection.execute(_SENDING).fetchone()[0]:
            raise self._in_use()
        connection.execute(SET_MOVED_TO, (journey and journey.stored,))

    def _carry(self, file: Path, left: Journey) -> Copied:
        with self._beside() as source, copying.new_file(file) as new:
            with closing(copying.copy(source, new)) as copied:
                copying.check_sound(copied, self._path)
                copied.execute(SET_MOVED_TO, (left._replace(stage=Stage.CARRIED).stored,))
                result = replacing.counted(copied, file)
            copying.put(new, file, replace=False)
        return result

    def undo_move(self) -> str:
        """Take the outbox home again; return the file in which it was carried."""

        def make(connection: sqlite3.Connection) -> str:
            journey = replacing.read_journey(connection)
            if journey is None:
                raise ValidationError(f"the outbox {self._path} was not moved", hint="there is nothing to undo")
            if journey.stage is not Stage.LEFT:
                raise journey.error(self._path)
            connection.execute(SET_MOVED_TO, (None,))
            return journey.file

        with closing(self._open()) as store:
            return store.change(make)

    def _in_use(self) -> OutboxBusy:
        return OutboxBusy(
            f"a drain, a retry or a send --now works on the outbox {self._path}",
            hint="stop it (drain --follow, cron, systemd), then say this again",
        )

    @contextmanager
    def _beside(self) -> Iterator[sqlite3.Connection]:
        with storage_errors(self._path), closing(open_beside(self._path, self._patience_seconds)) as connection:
            yield connection


def _is_carried_in(file: Path, left: Journey) -> bool:
    """Tell whether the outbox that was left so is in *file*, as far as that can be read."""
    if not os.path.lexists(file):
        return False
    try:
        with copying.opened(file) as connection:
            return replacing.read_journey(connection) == left._replace(stage=Stage.CARRIED)
    except ValidationError:  # somebody else's file
        return False
    except (PrxEmailError, OSError, sqlite3.Error):
        return True
