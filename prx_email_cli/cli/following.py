"""Follow the outbox at a path for ``drain --follow``, also when its file is replaced, moved or removed."""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from prx_email_cli.cli.output import say
from prx_email_cli.cli.render import safe
from prx_email_cli.errors import PrxEmailError, StorageError
from prx_email_cli.outbox.sqlite.place import is_whole, look_of
from prx_email_cli.outbox.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from prx_email_cli.config.settings import OutboxSettings
    from prx_email_cli.delivery.report import DrainReport

LOOK_SECONDS = 0.2
PATIENCE_SECONDS = 10.0  # for a file that cannot be opened and does not change: its owner or mode may follow


def follow(
    store: SqliteStore,
    outbox: "OutboxSettings",
    stop: threading.Event,
    deliver: "Callable[[SqliteStore, threading.Event], DrainReport]",
) -> "DrainReport":
    """Deliver from *store*, and from an outbox that replaces it, until *stop* is set; give the last report.

    deliver: delivers from a store until an event is set.  Raises what that raises of an outbox that is still in its
    place, and what opening another one raises.
    """
    from prx_email_cli.delivery.report import DrainReport

    report = DrainReport("")
    try:
        while True:
            try:
                report = deliver(store, _UntilReplaced(stop, store))
            except PrxEmailError:
                if not store.replaced():
                    raise
            if not stop.is_set() and store.replaced():
                if store.lost_its_log():
                    raise StorageError(
                        f"the outbox {store.path} lost its write-ahead log while it was open",
                        hint="stop every drain before you restore a backup, and start this one again now",
                    )
                store.close()
                store = _successor(store, outbox, stop)
            if stop.is_set():
                return report
    finally:
        store.close()


class _UntilReplaced(threading.Event):
    """Set when *stop* is, or when another outbox is in the place of *store*: no more of it is then claimed."""

    def __init__(self, stop: threading.Event, store: SqliteStore) -> None:
        super().__init__()
        self._stop, self._store = stop, store

    def is_set(self) -> bool:
        return super().is_set() or self._stop.is_set() or self._store.replaced()


def _successor(store: SqliteStore, outbox: "OutboxSettings", stop: threading.Event) -> SqliteStore:
    """Open the outbox at the path as soon as there is one; never create one.

    Once *stop* is set it is *store* itself.  Raises StorageError and its like for a file that
    cannot be opened, when it has not changed for PATIENCE_SECONDS.
    """
    told, seen, deadline = False, None, 0.0
    while not stop.is_set():
        look = look_of(outbox.path)
        if look is None:
            if not told:
                say(f"the outbox {safe(outbox.path)} is gone: waiting for it")
            told = True
        elif look != seen:
            seen, deadline = look, time.monotonic() + PATIENCE_SECONDS
        impatient = seen is not None and time.monotonic() > deadline
        if look is not None and (impatient or is_whole(outbox.path)):
            try:
                return SqliteStore(
                    outbox.path, message_id_domain=outbox.message_id_domain,
                    busy_timeout_seconds=outbox.busy_timeout_seconds, create=False,
                )  # fmt: skip
            except PrxEmailError:
                if impatient:
                    raise
        stop.wait(LOOK_SECONDS)
    return store
