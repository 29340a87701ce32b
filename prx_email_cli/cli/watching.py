"""Wait for changes of an outbox by other processes, without looking at it all the time."""

import select
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from prx_email_cli.delivery.looks import Looks
from prx_email_cli.errors import StorageError

if TYPE_CHECKING:
    from prx_email_cli.outbox.store import Store


def changes(store: "Store", every: float | None = None, keys: int | None = None) -> Iterator[None]:
    """Yield at once, and after each change of the outbox by another process.

    every: after so many seconds, too.  keys: a descriptor; also when something can be read from it.

    Raises StorageError when the outbox is gone or replaced.
    """
    looks, watch, poller = Looks(), store.watch(whole=True), select.poll()
    descriptor = watch.fileno()
    for each in (descriptor, keys):
        if each is not None:
            poller.register(each, select.POLLIN)
    last = time.monotonic()
    try:
        while True:
            now = time.monotonic()
            if looks.due(now):
                if store.replaced():
                    raise StorageError("the outbox was replaced or is gone", hint="start this again")
                if watch.changed():
                    last = now
                    yield
            if every is not None and now >= last + every:
                last = now
                yield
            until = looks.until() if every is None else min(looks.until(), last + every)
            ready = {each for each, _ in poller.poll(max(0.0, until - time.monotonic()) * 1000)}
            if descriptor in ready:
                watch.take()
                looks.stirred(time.monotonic())
            if keys in ready:
                yield
    finally:
        watch.close()
