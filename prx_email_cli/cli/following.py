"""Follow the outbox at a path for ``drain --follow``, also when its file is replaced, moved or removed."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from prx_email_cli.cli.output import say
from prx_email_cli.cli.render import safe
from prx_email_cli.delivery.report import DrainReport
from prx_email_cli.errors import PrxEmailError
from prx_email_cli.notify_socket import tell_status
from prx_email_cli.outbox.open import Vacancy

if TYPE_CHECKING:
    from prx_email_cli.config.outbox import OutboxSettings
    from prx_email_cli.outbox.store import Store

LOOK_SECONDS = 0.2
GONE_SECONDS, UNANSWERED_SECONDS = 1.0, 10.0  # for which a step is owed before that is told


class Absence:
    """Says on stderr and to systemd, once for each time, that an outbox is gone or does not answer."""

    def __init__(self, outbox: "OutboxSettings") -> None:
        self._outbox = outbox
        self.told, self._why = False, ""

    def vacancy(self) -> Vacancy:
        """Begin to look for an outbox in its place."""
        return Vacancy(self._outbox)

    def note(self, store: "Store", owed_seconds: float) -> None:
        """Note for how long *store* has not answered a step of the clerk, 0 for not at all."""
        is_gone = store.cut_off()
        if is_gone and owed_seconds >= GONE_SECONDS:
            self.tell()
        elif owed_seconds >= UNANSWERED_SECONDS:
            self.tell("does not answer")
        elif not is_gone and owed_seconds == 0:
            self.over()

    def tell(self, how: str = "is gone", why: str = "") -> None:
        """Say that the outbox *how*, and *why* where that is known, unless that was said."""
        if not self.told or why not in ("", self._why):
            self.told, self._why = True, why
            more = f": {why}" if why else ""
            say(f"the outbox {safe(self._outbox.name)} {how}: waiting for it{safe(more)}")
            tell_status(f"waiting for the outbox {self._outbox.name}, which {how}{more}")

    def over(self) -> None:
        """Note that the outbox answers."""
        if self.told:
            self.told, self._why = False, ""
            tell_status(f"the outbox {self._outbox.name} is back")


def follow(
    store: "Store",
    absence: Absence,
    stop: threading.Event,
    deliver: "Callable[[Store, threading.Event], DrainReport]",
    idle: Callable[[], object],
) -> "DrainReport":
    """Deliver from *store*, and from an outbox that replaces it, until *stop* is set; give the last report.

    absence: of that outbox.  deliver: delivers from a store until an event is set.  idle: called now and then while
    there is no outbox.  Raises the errors of delivering while the outbox is still in its place, and those of opening
    another one.
    """
    report = DrainReport("")
    try:
        while True:
            try:
                report = deliver(store, _UntilReplaced(stop, store))
            except PrxEmailError:
                if not store.cut_off():
                    raise
            if not stop.is_set() and store.cut_off():
                store.check_usable()
                store.close()
                store = _successor(store, absence, stop, idle)
            if stop.is_set():
                return report
    finally:
        store.close()


class _UntilReplaced(threading.Event):
    """Set when *stop* is, or when *store* is replaced or cut off, after which nothing of it is claimed."""

    def __init__(self, stop: threading.Event, store: "Store") -> None:
        super().__init__()
        self._stop, self._store = stop, store

    def is_set(self) -> bool:
        return super().is_set() or self._stop.is_set() or self._store.cut_off()


def _successor(store: "Store", absence: Absence, stop: threading.Event, idle: Callable[[], object]) -> "Store":
    """Open the outbox at the path as soon as there is one; never create one.

    Returns *store* itself once *stop* is set.  Raises as ``Vacancy.taken_by`` does.
    """
    vacancy = absence.vacancy()
    while not stop.is_set():
        successor = vacancy.taken_by(time.monotonic())
        if successor is not None:
            absence.over()
            return successor
        if vacancy.empty:
            absence.tell(why=vacancy.refused)
        idle()
        stop.wait(LOOK_SECONDS)
    return store


class Teller:
    """Prints reports in turn, in a thread of its own: a slow notify command delays no delivery."""

    def __init__(self, tell: "Callable[[DrainReport], None]") -> None:
        from queue import SimpleQueue  # on use

        self._tell = tell
        self._reports: SimpleQueue[DrainReport | None] = SimpleQueue()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="teller")

    def __enter__(self) -> "Teller":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reports.put(None)
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def tell(self, report: "DrainReport") -> None:
        """Queue *report* to be printed.  Raises the error that printing an earlier one ended with."""
        if self._error is not None:
            raise self._error
        self._reports.put(report)

    def _work(self) -> None:
        while (report := self._reports.get()) is not None:
            try:
                self._tell(report)
            except BaseException as error:  # noqa: BLE001 - the thread that delivers raises it
                self._error = error
                return
