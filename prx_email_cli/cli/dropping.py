"""Take in what users left in the outbox's drop directory, before a drain and while a follower stays."""

import os
import select
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from prx_email_cli.cli.output import say
from prx_email_cli.cli.render import safe
from prx_email_cli.config.sendmail import REASONS, drop_of, refused_beside
from prx_email_cli.errors import PrxEmailError
from prx_email_cli.files import notices_of, user_name

if TYPE_CHECKING:
    from prx_email_cli.config.settings import Settings
    from prx_email_cli.submission.dropped import Round

MOST_ROUNDS = 5  # before one drain delivers
WAIT_SECONDS, LOOK_SECONDS, ROUND_SECONDS = 0.25, 1.0, 10.0  # for a stop; for changes; without any


def take_dropped(settings: "Settings", told: Callable[[str], None]) -> list[PrxEmailError]:
    """Store what lies in the drop directory, if there is one; say what is refused; return what keeps files there."""
    try:
        drop = drop_of(settings.sendmail, settings.outbox.path)
        if drop is None or _is_empty(drop):
            return []
        for _ in range(MOST_ROUNDS):
            done = _take_round(drop, settings, told)
            if not done.more or done.faults:
                break
    except PrxEmailError as fault:
        return [fault]
    return done.faults


def _is_empty(drop: Path) -> bool:
    try:
        with os.scandir(drop) as found:
            return next(found, None) is None
    except OSError:
        return False  # opening it says why


def _take_round(drop: Path, settings: "Settings", told: Callable[[str], None]) -> "Round":
    """Take a round, and tell what was refused.  Raises StorageError, ChangeableByOthers."""
    from prx_email_cli.outbox.open import open_store  # on use
    from prx_email_cli.sendmail.local import Local  # on use
    from prx_email_cli.submission.dropped import take_round  # on use

    local = Local(settings.sendmail).addresses
    done = take_round(drop, settings, lambda: open_store(settings.outbox, create=False), local)
    for uid, (many, reason) in done.refused.items():
        who = "a directory" if uid < 0 else f"{many} dropped by {user_name(uid)}"
        told(f"warning: refused: {safe(who)}: {safe(reason)} (see {safe(str(refused_beside(drop) / REASONS))})")
    return done


class Following:
    """A context manager that takes in, in a thread of its own, whatever is dropped until *stop* is set.

    Where there is no drop directory it does nothing.  A fault is told once, and tried again.  settings: may be replaced
    by others; the directory stays.
    """

    def __init__(self, settings: "Settings", stop: threading.Event) -> None:
        self.settings, self._stop = settings, stop
        self._ended = threading.Event()
        self._drop = drop_of(settings.sendmail, settings.outbox.path)
        self._thread = threading.Thread(target=self._work, name="dropped")
        self._told: set[str] = set()

    def __enter__(self) -> "Following":
        if self._drop is not None:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._drop is not None:
            self._thread.join()

    def _work(self) -> None:
        drop = self._drop
        if drop is None:
            return
        changes = _Changes(drop)
        try:
            while not (self._stop.is_set() or self._ended.is_set()):
                if changes.came(time.monotonic()) and self._round(drop):
                    changes.again()
                else:
                    changes.wait()
        finally:
            changes.close()

    def _round(self, drop: Path) -> bool:
        """Take a round; tell whether there is more."""
        try:
            done = _take_round(drop, self.settings, say)
        except PrxEmailError as fault:
            self._tell(fault)
            return False
        except Exception as error:  # noqa: BLE001 - the next round may go
            self._tell(PrxEmailError(f"this is a bug in prx-email: {type(error).__name__}: {error}", hint="report it"))
            return False
        if not done.faults:
            self._told.clear()
        for one in done.faults:
            self._tell(one)
        return done.more

    def _tell(self, fault: PrxEmailError) -> None:
        if fault.message not in self._told:
            self._told.add(fault.message)
            say(f"error: {safe(fault.message)}")
            if fault.hint:
                say(f"hint: {safe(fault.hint)}")


class _Changes:
    """Notices that names came into a directory: at once where the system tells, else within LOOK_SECONDS."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: object = None
        self._look = self._round = 0.0
        self._notify = notices_of(path, "MOVED_TO")  # a file gets its name

    def came(self, now: float) -> bool:
        """Tell whether to look into the directory now, because something came or the last look was long ago."""
        told = self._notify is not None and bool(self._notify.read(timeout=0))
        if now >= self._look:
            self._look = now + LOOK_SECONDS
            with suppress(OSError):
                status = os.stat(self._path)
                seen = (status.st_ino, status.st_mtime_ns)
                told, self._seen = told or seen != self._seen, seen
        if not told and now < self._round:
            return False
        self._round = now + ROUND_SECONDS
        return True

    def again(self) -> None:
        """Look once more at once."""
        self._round = 0.0

    def wait(self) -> None:
        """Wait until something comes, for WAIT_SECONDS at most."""
        if self._notify is None:
            time.sleep(WAIT_SECONDS)
        else:
            select.select([self._notify.fileno()], [], [], WAIT_SECONDS)

    def close(self) -> None:
        """Release the descriptor."""
        if self._notify is not None:
            self._notify.close()
