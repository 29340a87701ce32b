"""Open an outbox: the one place that knows every database."""

TYPE_CHECKING = False  # typing itself would cost as much as a third of a call of prx-sendmail
if TYPE_CHECKING:
    from prx_email_cli.config.outbox import OutboxSettings
    from prx_email_cli.outbox.lifecycle import RetryPolicy
    from prx_email_cli.outbox.small import SmallMessage, SmallOutbox
    from prx_email_cli.outbox.store import Store
    from prx_email_cli.outbox.surroundings import Surroundings
    from prx_email_cli.outbox.transfer import End
    from prx_email_cli.outbox.whole import Whole

REFUSED_SECONDS = 2.0  # between two tries to be let in by a server that refuses: it logs each
PATIENCE_SECONDS = 10.0  # with a file that cannot be opened and does not change: its owner or mode may come later


def open_store(outbox: "OutboxSettings", *, create: bool = True) -> "Store":
    """Open the outbox that the config names; with *create*, make one where there is none.

    Raises StorageError, OutboxBusy, ReadableByOthers.
    """
    if outbox.url is not None:
        from prx_email_cli.outbox.postgres.opening import open_store as open_postgres  # on use

        return open_postgres(outbox)
    from prx_email_cli.outbox.sqlite.store import SqliteStore  # on use

    return SqliteStore(
        outbox.path, message_id_domain=outbox.message_id_domain, busy_timeout_seconds=outbox.busy_timeout_seconds,
        create=create,
    )  # fmt: skip


def store_quickly(outbox: "SmallOutbox", message: "SmallMessage") -> int | None:
    """Store *message* durably and return its id; None when nothing was stored, because something is not as usual.

    Raises StorageError, OutboxBusy.
    """
    from prx_email_cli.outbox.sqlite.quick import Unusual, store  # on use

    try:
        return store(outbox, message)
    except Unusual:
        return None


def surroundings_of(outbox: "OutboxSettings") -> "Surroundings":
    """Return the outbox that the config names, seen from outside."""
    if outbox.url is not None:
        from prx_email_cli.outbox.postgres.surroundings import DatabaseSurroundings  # on use

        return DatabaseSurroundings(outbox)
    from prx_email_cli.outbox.sqlite.surroundings import FileSurroundings  # on use

    return FileSurroundings(outbox.path)


def whole_of(outbox: "OutboxSettings") -> "Whole":
    """Return the outbox that the config names, as a whole.  Raises nothing until it is used."""
    if outbox.url is not None:
        from prx_email_cli.outbox.postgres.whole import PostgresWhole  # on use

        return PostgresWhole(outbox)
    from prx_email_cli.outbox.sqlite.store import SqliteStore  # on use
    from prx_email_cli.outbox.sqlite.whole import SqliteWhole  # on use

    def opened(*, create: bool = True) -> SqliteStore:
        return SqliteStore(
            outbox.path, message_id_domain=outbox.message_id_domain, busy_timeout_seconds=outbox.busy_timeout_seconds,
            create=create,
        )  # fmt: skip

    return SqliteWhole(outbox.path, opened, outbox.busy_timeout_seconds)


def end_of_copy(outbox: "OutboxSettings", policy: "RetryPolicy", now: int | None, *, create: bool) -> "End":
    """Open an outbox that is to be copied, or with *create* one that is to be a copy.

    policy: by which what dead runs had claimed is settled at *now*; without, at the time of its own clock.  Raises as
    ``open_store``.
    """
    if outbox.url is not None:
        from prx_email_cli.outbox.postgres.opening import end_of  # on use

        return end_of(outbox, policy, now, create=create)
    from prx_email_cli.outbox.sqlite.end import SqliteEnd  # on use
    from prx_email_cli.outbox.sqlite.store import SqliteStore  # on use

    store = SqliteStore(
        outbox.path, message_id_domain=outbox.message_id_domain, busy_timeout_seconds=outbox.busy_timeout_seconds,
        create=create,
    )  # fmt: skip
    return SqliteEnd(store, policy, int(store.clock()) if now is None else now, outbox.busy_timeout_seconds)


class Vacancy:
    """The path of an outbox that is gone or replaced, watched until another one can be opened there.

    empty: whether no outbox was there at the last look.  refused: why a server does not let us in; "" if it does.
    """

    def __init__(self, outbox: "OutboxSettings") -> None:
        self._outbox = outbox
        self._seen: tuple[int, ...] | None = None
        self._deadline = 0.0
        self.empty, self.refused = False, ""

    def taken_by(self, now: float) -> "Store | None":
        """Open the outbox that is there by *now*; never make one.

        now: seconds of a monotonic clock.  None while there is no outbox, or only part of one.  Raises StorageError, or
        what else ``open_store`` raises, for a file that cannot be opened and has not changed for PATIENCE_SECONDS.
        """
        if self._outbox.url is not None:
            return self._try(now)
        from prx_email_cli.errors import PrxEmailError  # on use
        from prx_email_cli.outbox.sqlite.place import is_whole, look_of  # on use

        look = look_of(self._outbox.path)
        self.empty = look is None
        if look is not None and look != self._seen:
            self._seen, self._deadline = look, now + PATIENCE_SECONDS
        impatient = self._seen is not None and now > self._deadline
        if look is None or not (impatient or is_whole(self._outbox.path)):
            return None
        try:
            return open_store(self._outbox, create=False)
        except PrxEmailError:
            if impatient:
                raise
            return None

    def _try(self, now: float) -> "Store | None":
        """Open the outbox of a server that may be starting again; None until it answers, however long that takes.

        It let us in before: what is wrong with the role, its password or the database may be mended.
        """
        from prx_email_cli.errors import ConfigError, StorageError  # on use

        if now < self._deadline:
            return None
        self.empty = True
        try:
            return open_store(self._outbox, create=False)
        except StorageError:
            return None
        except ConfigError as error:
            self.refused, self._deadline = error.message, now + REFUSED_SECONDS
            return None
