"""Say of a database as a whole what its own tools do."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prx_email_cli.errors import ValidationError
from prx_email_cli.outbox.views import Migrated

if TYPE_CHECKING:
    from prx_email_cli.config.outbox import OutboxSettings
    from prx_email_cli.outbox.views import Copied, Replaced, Verified


class PostgresWhole:
    """See ``Whole``: each method but ``migrate`` names, as ValidationError, the database's own tool."""

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
        raise self._refused("copied into a file", "back the database up with pg_dump -Fc, or its server's base backups")

    def verify(self, file: Path | None, progress: Callable[[int], None]) -> "Verified":
        """Refuse."""
        raise self._refused("verified", "its server checks its pages: see pg_amcheck")

    def restore(self, file: Path, now: int) -> "Replaced":
        """Refuse."""
        raise self._refused("replaced by a file", "restore a dump with pg_restore, into a new database")

    def adopt(self, file: Path | None, now: int, by: str) -> "Replaced":
        """Refuse."""
        raise self._refused("replaced by a file", "name the database in [outbox] url: all machines share it")

    def move(self, file: Path, now: int, by: str, settle: Callable[[Any], None]) -> "Copied":
        """Refuse."""
        raise self._refused("moved in a file", "name the database in [outbox] url: all machines share it")

    def undo_move(self) -> str:
        """Refuse."""
        raise self._refused("moved in a file", "nothing was moved")

    def _refused(self, what: str, hint: str) -> ValidationError:
        return ValidationError(f"the outbox {self._outbox.name} is a database, which is not {what}", hint=hint)
