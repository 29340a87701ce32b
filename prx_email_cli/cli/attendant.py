"""Look after a follower: give it a config that was read anew, and tell systemd how it is."""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from prx_email_cli.children import hide
from prx_email_cli.cli.output import report_error, say
from prx_email_cli.errors import ConfigError, PrxEmailError
from prx_email_cli.notify_socket import VARIABLES, Pulse, notify, tell_reloading, tell_status, watchdog_seconds

STATUS_SECONDS = 1.0  # between two

if TYPE_CHECKING:
    from prx_email_cli.cli.hangups import Hangups
    from prx_email_cli.config.outbox import OutboxSettings
    from prx_email_cli.config.settings import Settings
    from prx_email_cli.delivery.report import DrainReport


class Reloading:
    """Reads the config anew after each SIGHUP, or after several that came meanwhile.

    load: reads and checks it.  outbox: what the service has open.  says_so: also when nothing is wrong.
    """

    def __init__(
        self, load: "Callable[[], Settings]", outbox: "OutboxSettings", hangups: "Hangups", *, says_so: bool
    ) -> None:
        self._load, self._outbox, self._hangups, self._says_so = load, outbox, hangups, says_so
        self._heeded = 0
        self.failed = False  # the last time

    @property
    def wanted(self) -> bool:
        """Whether a SIGHUP came that was not heeded yet."""
        return self._hangups.count != self._heeded

    def settings(self) -> "Settings | None":
        """Return the config as it is now; None for one with a fault, which is told."""
        self._heeded = self._hangups.count
        try:
            settings = self._load()
            _check_same_outbox(self._outbox, settings)
        except PrxEmailError as error:
            self.failed = True
            report_error(error, as_json=False)
            say("the config was not reloaded, and the one before stays in force")
            return None
        self.failed = False
        if self._says_so:
            say("the config was reloaded")
        return settings


def _check_same_outbox(outbox: "OutboxSettings", settings: "Settings") -> None:
    if not settings.outbox.is_same_as(outbox):
        raise ConfigError(
            f"{settings.file}: the outbox has changed, and a running service keeps its outbox",
            hint="start the service anew",
        )


class Beside:
    """Attends a follower in a thread of another service, which may give it settings and ask whether it goes on."""

    def __init__(self) -> None:
        hide(VARIABLES)
        self._given: Settings | None = None
        self._sound_at = time.monotonic()

    def give(self, settings: "Settings") -> None:
        """Let the follower go by *settings* from its next turn on."""
        self._given = settings

    def is_sound(self, patience_seconds: float) -> bool:
        """Tell whether it has gone on, and its clerk owes nothing, within these seconds."""
        return time.monotonic() - self._sound_at <= patience_seconds

    def attend(self, owed_seconds: float, report: "DrainReport | None") -> "Settings | None":
        """Note a turn of the follower, whose clerk has owed a step for so long; the settings to go by from now on.

        report: of its round, None while it has no outbox.
        """
        self._sound_at = time.monotonic() - owed_seconds
        given, self._given = self._given, None
        return given

    def round_ends(self, report: "DrainReport") -> None:
        """Note what a round has done."""


class Attendant(Beside):
    """Attends a follower that is a service of its own, until *stop* is set."""

    def __init__(self, reloading: Reloading, stop: threading.Event) -> None:
        super().__init__()
        self._reloading, self._stop = reloading, stop
        self._pulse = Pulse(watchdog_seconds())
        self._ready = self._stopping = False
        self._sent = self._failed = 0  # in the rounds that have ended
        self._status, self._tell_at = "", 0.0

    def attend(self, owed_seconds: float, report: "DrainReport | None") -> "Settings | None":
        """See ``Beside``.  The first turn shows that it is ready."""
        super().attend(owed_seconds, report)
        now = time.monotonic()
        if not self._ready:
            self._ready = True
            notify("READY=1")
        if self.is_sound(self._pulse.patience_seconds):
            self._pulse.beat(now)
        settings = None
        if self._stop.is_set():
            self._tell_stopping()
        elif self._reloading.wanted:
            settings = self._reloaded()
        if report is None:
            self._status = ""  # which is told by whoever waits for the outbox
        elif now >= self._tell_at:
            self._tell_at = now + STATUS_SECONDS
            self._tell_status(report)
        return settings

    def round_ends(self, report: "DrainReport") -> None:
        """Count what was done since the start."""
        self._sent += report.sent
        self._failed += report.failed

    def _reloaded(self) -> "Settings | None":
        tell_reloading()
        settings = self._reloading.settings()
        notify("READY=1")
        self._tell_at = 0.0
        return settings

    def _tell_stopping(self) -> None:
        if not self._stopping:
            self._stopping = True
            notify("STOPPING=1")

    def _tell_status(self, report: "DrainReport") -> None:
        status = f"{self._sent + report.sent} sent, {self._failed + report.failed} failed"
        if report.left_alone:
            status += f"; left alone: {', '.join(sorted(report.left_alone))}"
        if self._reloading.failed:
            status += "; the config has a fault, the one before stays in force"
        if status != self._status:
            self._status = status
            tell_status(status)
