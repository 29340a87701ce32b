"""Wait for changes of an outbox by other processes, without looking at it all the time."""

import select
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prx_email_cli.delivery.looks import Looks
from prx_email_cli.errors import StorageError

if TYPE_CHECKING:
    from prx_email_cli.outbox.store import Store


def changes(store: "Store", every: float | None = None) -> Iterator[None]:
    """Yield at once, and after each change of the outbox by another process; with *every*, after so many seconds, too.

    Raises StorageError when the outbox is gone or replaced.
    """
    looks, watch, poller = Looks(), store.watch(), select.poll()
    descriptor = watch.fileno()
    if descriptor is not None:
        poller.register(descriptor, select.POLLIN)
    last = time.monotonic()
    try:
        while True:
            now = time.monotonic()
            if looks.due(now):
                if store.replaced():
                    raise StorageError("the outbox was replaced or is gone", hint="start this again")
                if watch.changed() or (every is not None and now >= last + every):
                    last = now
                    yield
            until = looks.until() if every is None else min(looks.until(), last + every)
            if poller.poll(max(0.0, until - time.monotonic()) * 1000):
                watch.take()
                looks.stirred(time.monotonic())
    finally:
        watch.close()
