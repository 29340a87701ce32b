"""The outbox in a database as a whole: verified here; its own tools back it up and restore it."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prx_email_cli.errors import ValidationError
from prx_email_cli.outbox.postgres.opening import open_store
from prx_email_cli.outbox.views import Migrated

if TYPE_CHECKING:
    from prx_email_cli.config.outbox import OutboxSettings
    from prx_email_cli.outbox.views import Copied, Replaced, Verified

_COPY = "prx-email outbox copy takes it to another database, or into a file"


class PostgresWhole:
    """See ``Whole``: what takes or makes a file raises ValidationError, which names the tool that does it."""

    def __init__(self, outbox: "OutboxSettings") -> None:
        self._outbox = outbox

    def migrate(self) -> Migrated:
        """Bring the tables up to date, or make them."""
        from prx_email_cli.outbox.postgres.opening import where  # on use

        place = where(self._outbox)
        from prx_email_cli.outbox.postgres import migrating, schema  # on use
        from prx_email_cli.outbox.postgres.connection import check_kept, connect  # on use
        from prx_email_cli.outbox.postgres.faults import storage_errors  # on use

        connection = connect(place, self._outbox.busy_timeout_seconds, prepare=False)
        with closing(connection.connection), storage_errors(place.name):
            check_kept(connection, place)
            before = migrating.migrate(connection, place.name, by_hand=True).version
        return Migrated(before, len(schema.MIGRATIONS))

    def backup(self, file: Path, *, force: bool, progress: Callable[[int, int], None] | None = None) -> "Copied":
        """Refuse."""
        raise self._refused("backed up", "pg_dump -Fc makes a backup while drains run; see docs/scaling.md")

    def verify(self, file: Path | None, progress: Callable[[int], None]) -> "Verified":
        """Check the outbox in one moment, through a connection of its own."""
        if file is not None:
            raise ValidationError(
                f"the outbox {self._outbox.name} is a database, of which {file} is no backup",
                hint=f"without a file the database is verified; prx-email --config NAME outbox verify {file}, with a "
                "config that names a file, verifies a file",
            )
        from prx_email_cli.outbox.postgres.verifying import verify  # on use

        with closing(open_store(self._outbox)) as store:
            with store.reading() as connection:
                return verify(connection, progress)

    def restore(self, file: Path, now: int) -> "Replaced":
        """Refuse."""
        raise self._refused("restored", "pg_restore puts a dump into a new database; see docs/scaling.md")

    def adopt(self, file: Path | None, now: int, by: str) -> "Replaced":
        """Refuse."""
        raise self._refused("adopted", f"name the database in [outbox] url: all machines share it; {_COPY}")

    def move(self, file: Path, now: int, by: str, settle: Callable[[Any], None]) -> "Copied":
        """Refuse."""
        raise self._refused("moved", f"name the database in [outbox] url: all machines share it; {_COPY}")

    def undo_move(self) -> str:
        """Refuse."""
        raise self._refused("moved", "prx-email outbox copy --undo undoes a copy")

    def _refused(self, what: str, hint: str) -> ValidationError:
        return ValidationError(
            f"the outbox {self._outbox.name} is a database, which is not {what} as a file", hint=hint
        )
