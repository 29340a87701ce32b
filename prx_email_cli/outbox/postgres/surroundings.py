"""See a PostgreSQL outbox from outside."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from prx_email_cli.config.paths import default_state_dir
from prx_email_cli.errors import ChangeableByOthers, LockUnreadable, ReadableByOthers
from prx_email_cli.files import what_exists_of
from prx_email_cli.outbox.postgres.opening import open_store, records
from prx_email_cli.outbox.runs import Runs

if TYPE_CHECKING:
    from prx_email_cli.config.outbox import OutboxSettings


class DatabaseSurroundings:
    """The surroundings of a database; see ``Surroundings``."""

    is_file = False

    def __init__(self, outbox: "OutboxSettings") -> None:
        self._outbox = outbox
        self._runs = Runs(records(outbox))

    def is_made(self) -> bool:
        """Tell that there is an outbox: whoever opens it says what is wrong."""
        return True

    def directory(self) -> Path:
        """Return the directory of this machine's flight records, or what exists of the path to that."""
        return what_exists_of(default_state_dir())

    def open_to_others(self) -> Iterator[ReadableByOthers]:
        """Find nothing: who reads the database is the server's matter."""
        return iter(())

    def changeable(self) -> Iterator[ChangeableByOthers]:
        """Find what lets others change the flight records."""
        yield from self._runs.faults()

    def last_drain_at(self) -> int | None:
        """Return when the last drain ended, on any machine."""
        with closing(open_store(self._outbox)) as store:
            return store.last_drain_at()

    def dead_among(self, run_ids: Iterable[str]) -> list[str]:
        """Return the ids of the runs whose session ended."""
        with closing(open_store(self._outbox)) as store:
            living = set(store.living())
        return [run_id for run_id in run_ids if run_id not in living]

    @property
    def unreadable(self) -> list[LockUnreadable]:
        """Return nothing: the database tells of every run."""
        return []
