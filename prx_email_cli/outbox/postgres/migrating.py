"""Bring the tables up to date, and leave a database of another program as it is.

By an ordinary command only where its role owns the tables, or may make them; the roles of docs/scaling.md own none, and
are told of ``prx-email outbox migrate``.
"""

from typing import NamedTuple

from prx_email_cli.errors import StorageError
from prx_email_cli.outbox.postgres import schema
from prx_email_cli.outbox.postgres.dialect import PostgresConnection
from prx_email_cli.outbox.postgres.schema import LOCK, MIGRATING

# Columns of the first migration, by which the tables are known to be ours.
_OURS = (("prx_email", "version", "int4"), ("ledger", "identity", "text"), ("outbox", "claimed_by_hand", "bool"))

_WHOSE = f"""
-- reads whether there is a table of versions, how many of our columns lie beside it, what there is at all, and what
-- this role may; then whether there is no schema that it may use
SELECT found.oid IS NOT NULL,
       (SELECT count(*) FROM pg_class AS one
                        JOIN pg_attribute ON attrelid = one.oid AND NOT attisdropped
                        JOIN pg_type AS kind ON kind.oid = atttypid
         WHERE one.relnamespace = found.relnamespace
           AND (one.relname, attname, kind.typname) IN ({", ".join(map(str, _OURS))})),
       (SELECT count(*) FROM pg_class
         WHERE relnamespace = to_regnamespace(quote_ident(current_schema())) AND relkind IN ('r', 'p', 'v', 'm', 'f')),
       CASE WHEN found.oid IS NULL THEN has_schema_privilege(current_schema(), 'CREATE')
            ELSE pg_has_role(found.relowner, 'USAGE') END,
       current_schema() IS NULL
  FROM (SELECT to_regclass('prx_email') AS named) AS searched LEFT JOIN pg_class AS found ON found.oid = named
"""


class State(NamedTuple):
    """The state of the tables.  version: 0 where there are none.  may: whether this role may bring them up to date."""

    version: int
    may: bool


def migrate(connection: PostgresConnection, name: str, *, by_hand: bool = False) -> State:
    """Bring the schema up to date, each migration and its number in one transaction; return the state before.

    by_hand: wait for another who migrates, however long that takes.  Raises StorageError for a schema newer than this
    program, for a database that is somebody else's, and where the role may not.
    """
    state = state_of(connection, name)
    if state.version == len(schema.MIGRATIONS):
        return state
    if not state.may:
        raise _not_allowed(name, state.version, by_hand=by_hand)
    if by_hand:
        (before,) = connection.execute("SELECT current_setting('lock_timeout')").fetchone()
        connection.execute("SET lock_timeout = 0")
    connection.execute("SELECT pg_advisory_lock(?, ?)", (LOCK, MIGRATING))
    try:
        if by_hand:
            connection.execute("SELECT set_config('lock_timeout', ?, FALSE)", (before,))
        for number in range(state_of(connection, name).version, len(schema.MIGRATIONS)):
            _migrate(connection, number)
    finally:
        if not connection.connection.closed:
            connection.execute("SELECT pg_advisory_unlock(?, ?)", (LOCK, MIGRATING))
    return state


def _migrate(connection: PostgresConnection, number: int) -> None:
    with connection.transaction():
        connection.execute("SET LOCAL statement_timeout = 0")  # it may take minutes, once
        for statement in schema.MIGRATIONS[number]:
            connection.execute_as_it_is(statement)
        connection.execute("DELETE FROM prx_email")
        connection.execute("INSERT INTO prx_email (version) VALUES (?)", (number + 1,))


def state_of(connection: PostgresConnection, name: str) -> State:
    """Return the state of the tables.  Raises StorageError as ``migrate``; changes nothing."""
    named, ours, others, may, nowhere = connection.execute(_WHOSE).fetchone()
    if nowhere:
        raise StorageError(
            f"the user of {name} may use no schema of its search_path",
            hint="GRANT USAGE ON SCHEMA public TO this role; or check search_path, and PGOPTIONS",
        )
    if (named and ours < len(_OURS)) or (not named and others):
        raise StorageError(f"{name} is a database of another program", hint="name another database in [outbox] url")
    if not named:
        return State(0, bool(may))
    found = connection.execute("SELECT version FROM prx_email").fetchone()
    if found is None:
        raise StorageError(f"{name}: its table prx_email is empty", hint="restore a backup")
    if found[0] > len(schema.MIGRATIONS):
        raise StorageError(
            f"{name} has schema {found[0]}, newer than the {len(schema.MIGRATIONS)} this prx-email knows",
            hint="install the newer prx-email that wrote it",
        )
    return State(int(found[0]), bool(may))


def _not_allowed(name: str, version: int, *, by_hand: bool) -> StorageError:
    what = f"has schema {version}, and this prx-email needs {len(schema.MIGRATIONS)}" if version else "has no tables"
    return StorageError(
        f"{name} {what}, which its user may not {'change' if version else 'make'}",
        hint="say this as the role that owns the tables or the database, in a config of its own: --config FILE"
        if by_hand
        else "prx-email outbox migrate, as the role that owns the tables or the database",
    )
