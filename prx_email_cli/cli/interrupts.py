"""End the program on Ctrl-C or SIGTERM, at any instant, quietly, with status 130 or 143."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread, main_thread
from typing import Any

NUDGE_SECONDS, NUDGES = 0.1, 20
_ENDING = (signal.SIGTERM, signal.SIGINT)


class Interrupted(KeyboardInterrupt):
    """A signal asked the command to end; it unwinds, so that nothing stays half-done."""


class _State:
    unwinding = False  # a command is at work and must tidy up
    received: int | None = None
    stopping = False  # a drain has the signal, and ends by itself
    dies_of: int | None = None


def watch() -> None:
    """End the process at the first signal from now on; an ignored signal stays ignored."""
    for number in _ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _on_signal)
    sys.unraisablehook = _on_unraisable


@contextmanager
def unwinding() -> Iterator[None]:
    """Raise Interrupted at the first signal while the block lasts; a second one ends the process at once."""
    _State.unwinding, _State.received = True, None
    with suppress(OSError, ValueError, RuntimeError):
        _start_nudging()
    try:
        yield
    finally:
        _State.unwinding = False


@contextmanager
def stopping() -> Iterator[Event]:
    """Give an event that SIGTERM and Ctrl-C set; a second signal ends the process at once."""
    stop = Event()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def on_signal(number: int, frame: Any) -> None:
        _State.stopping = True
        stop.set()
        signal.signal(number, signal.SIG_DFL)

    for number in before:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def held_back() -> Iterator[None]:
    """Let SIGTERM, SIGINT and SIGHUP do nothing while the block lasts, but what it makes them do."""
    numbers = [one for one in (*_ENDING, signal.SIGHUP) if signal.getsignal(one) is not signal.SIG_IGN]
    before = {number: signal.signal(number, lambda number, frame: None) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def die_of(number: int) -> None:
    """Let the process end by signal *number*, as a job did that it ran, once all is written."""
    _State.dies_of = number


def die_if_asked() -> None:
    """End the process by the signal of ``die_of``, without a core file; return if there is none."""
    if _State.dies_of is None:
        return
    import resource  # on use

    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with suppress(OSError, ValueError):
        signal.signal(_State.dies_of, signal.SIG_DFL)  # not for SIGKILL, which needs none
    os.kill(os.getpid(), _State.dies_of)


def status() -> int | None:
    """Give the exit status after a signal; None when there was none."""
    return None if _State.received is None else 128 + _State.received


def _on_signal(number: int, frame: Any) -> None:
    first, _State.received = _State.received is None, number
    if _State.unwinding and first:
        raise Interrupted
    os._exit(128 + number)


def _start_nudging() -> None:
    """Start a thread that interrupts a waiting call after a signal.

    Python runs its handler only when the call has ended.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    Thread(target=_nudge, args=(reader,), daemon=True).start()


def _nudge(reader: int) -> None:
    while number := os.read(reader, 1):
        for _ in range(NUDGES):
            time.sleep(NUDGE_SECONDS)
            if _State.received is not None or _State.stopping or signal.getsignal(number[0]) is not _on_signal:
                break
            signal.pthread_kill(main_thread().ident or 0, number[0])
        else:
            os._exit(128 + number[0])  # a call that cannot be interrupted, such as one of the name server


def _on_unraisable(unraisable: Any) -> None:
    """End the process if a signal came during a finalizer, where Python prints a traceback and goes on."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        os._exit(status() or 128 + signal.SIGINT)
    if _State.received is None:  # after a signal, what was cut short may raise
        sys.__unraisablehook__(unraisable)
