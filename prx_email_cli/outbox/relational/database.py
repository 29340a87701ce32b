"""Say what the steps need of a database, whichever it is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, TypeVar

T = TypeVar("T")


class Cursor(Protocol):
    """What a statement gave.  rowcount: of the rows that it changed."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Spelling(NamedTuple):
    """The statements of the steps that each database has to say in its own words.

    ours: reads which of the messages :ids, a JSON list, the run :run holds; one JSON list of pairs, id and claim.
    claimed_before: reads a message that a dead run holds, as that run claimed it, without its content.
    recipients_of_next: counts the recipients that the next message for drains has left.
    latest_attempt_at: reads when the latest attempt ended.
    schema_version: reads the number of the latest migration.
    repair: what to do about damage.
    """

    ours: str
    claimed_before: str
    recipients_of_next: str
    latest_attempt_at: str
    schema_version: str
    repair: str


class Connection(Protocol):
    """A connection to the database, used by one thread at a time.

    The statements of the steps are written in what both databases understand, with SQLite's placeholders and its names
    of indexes.
    """

    spelling: Spelling

    def execute(self, statement: str, values: Any = ..., /) -> Cursor: ...

    def executemany(self, statement: str, rows: Any, /) -> Cursor: ...

    def faults(self, most: int) -> list[str]:
        """Return what is damaged, a few of it; reads all of the database where the database can check itself."""

    def lock(self, outbox_id: int) -> None:
        """Keep others from changing this message until the transaction ends, where that is not so by itself."""

    def lock_accounts(self) -> None:
        """Keep others from changing what is known of accounts until then."""

    def count_attempts(self, counts: Sequence[Mapping[str, Any]], latest_at: int) -> None:
        """Add to the counts of attempts by account, outcome and code_class, and note when the latest one ended."""

    def count_elsewhere(self, before: str, after: str) -> None:
        """Count a message for the account *after* instead of *before*, where the database does not by itself."""

    def search(self) -> None:
        """Let the statements that follow use ``resembles(pattern, text)``."""

    def passing_damage(self) -> AbstractContextManager[Any]:
        """Leave the block at an error of a damaged page, as if nothing followed."""


class Database(Protocol):
    """The open database: one connection, used by one thread at a time."""

    def change(self, make: Callable[[Any], T]) -> T:
        """Run *make* in a transaction and return its result once that is durable; its error undoes the changes."""

    def reading(self) -> AbstractContextManager[Any]:
        """Yield the connection, for reading."""


class Guard(Protocol):
    """Tells an outbox that may be used from a restored backup, and from one that was moved away.

    Its methods but ``note`` take a connection inside their caller's transaction.
    """

    def refuse(self, connection: Any) -> None:
        """Raise RestoredBackup for a restored backup, OutboxMoved, and StorageError when that cannot be told."""

    def refuse_moved(self, connection: Any) -> None:
        """Raise OutboxMoved for an outbox that was taken elsewhere."""

    def accept(self, connection: Any, forget_flights: Callable[[], None]) -> Any:
        """Accept a restored backup; return what ``note`` is to be given once that is durable, None when it is none."""

    def note(self, mark: Any) -> None:
        """Note what ``accept`` returned, outside of any transaction."""


class OpenOutbox(Database, Protocol):
    """An open outbox, as the parts of a store see it.

    acting: who decides.  _message_id_domain: of the Message-IDs.  _withdraw_seconds: so long runs are given to give
    back what a person holds or cancels.
    """

    acting: str
    _guard: Guard
    _message_id_domain: str
    _withdraw_seconds: float

    def looking(self) -> AbstractContextManager[Any]:
        """Yield a connection for reports, which shows as much of a damaged database as can be read."""

    def forget_contents(self) -> None:
        """See to it that what is deleted from now on cannot be read in the database's files."""

    def is_dead(self, run_id: str) -> bool:
        """Tell whether a run died.  Raises ChangeableByOthers where that could be made to look so."""

    def living(self) -> list[str]:
        """Return the ids of the runs that are alive."""

    def forget_flights(self) -> None:
        """Remove every flight record."""

    def read_note(self) -> bytes:
        """Return how far tidying came; empty where that is not known."""

    def write_note(self, note: bytes) -> None:
        """Note how far tidying came."""


def at_home(guard: Guard, make: Callable[[Any], T]) -> Callable[[Any], T]:
    """Return *make* for an outbox that may be changed: raises OutboxMoved, first of all, for one that went elsewhere.

    It looks in the change's own transaction.  A copy begins, or the outbox is moved, once no transaction goes on that
    has looked: so it has what this one changes, or is seen by it.
    """

    def checked(connection: Any) -> T:
        guard.refuse_moved(connection)
        return make(connection)

    return checked


class AtHome:
    """An outbox for steps that change it in several transactions, each as ``at_home`` does."""

    def __init__(self, outbox: OpenOutbox) -> None:
        self._outbox = outbox

    def change(self, make: Callable[[Any], T]) -> T:
        """Run *make* in a transaction.  Raises OutboxMoved."""
        return self._outbox.change(at_home(self._outbox._guard, make))

    def reading(self) -> AbstractContextManager[Any]:
        """Yield the connection, for reading."""
        return self._outbox.reading()
