"""Waiting for what has no time limit of its own."""

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")


def within(seconds: float, work: Callable[[], T]) -> T:
    """What *work* gives, or raises.

    Raises TimeoutError after *seconds*; the work then goes on beside, and what it gives is dropped.
    """
    ended: SimpleQueue[tuple[list[T], BaseException | None]] = SimpleQueue()

    def run() -> None:
        try:
            ended.put(([work()], None))
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            ended.put(([], error))

    threading.Thread(target=run, daemon=True).start()
    try:
        given, error = ended.get(timeout=seconds)
    except Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return given[0]
