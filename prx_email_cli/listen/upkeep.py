"""Keep a server's settings as the config has them, and show systemd that it is alive."""

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from prx_email_cli.errors import ConfigError, PrxEmailError, as_ours
from prx_email_cli.listen.clerk import Answer, Job
from prx_email_cli.listen.desk import Desk, Surroundings
from prx_email_cli.listen.endpoints import Endpoint, check_not_open
from prx_email_cli.notify_socket import Pulse, notify, tell_reloading, watchdog_seconds

if TYPE_CHECKING:
    from prx_email_cli.config.settings import Settings

Load = Callable[[], "tuple[Settings, Surroundings]"]


class Follower(Protocol):
    """What delivers in another thread of this process."""

    def give(self, settings: "Settings") -> None:
        """Let it go by *settings* from now on."""

    def is_sound(self, patience_seconds: float) -> bool:
        """Tell whether it has gone on within these seconds."""


class Upkeep:
    """Is called several times a second in the server's loop.

    wishes: counts how often a reload was asked for.  load: reads the config anew, in a thread.  follower: None where
    this process does not deliver.
    """

    def __init__(
        self, desk: Desk, endpoints: Sequence[Endpoint], wishes: Callable[[], int], load: Load,
        follower: Follower | None = None,
    ) -> None:  # fmt: skip
        self._desk, self._endpoints, self._wishes, self._load = desk, endpoints, wishes, load
        self._follower = follower
        self._heeded = wishes()
        self._pulse = Pulse(watchdog_seconds())
        self._is_watched = watchdog_seconds() is not None
        self._asked = self._answered = False

    async def look(self) -> None:
        """Do what is due."""
        if self._wishes() != self._heeded:
            self._heeded = self._wishes()
            await self._reload()
        if self._is_watched:
            self._show_life()

    async def _reload(self) -> None:
        """Go by the config as it is now; by the one before, and say so, when it cannot be used."""
        tell_reloading()
        try:
            settings, around = await asyncio.get_running_loop().run_in_executor(None, self._load)
            self._check(settings, around)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the new one, the old one serves on
            known = as_ours(error)
            self._desk.around.say(f"the config was not reloaded, and the one before stays in force: {_text(known)}")
        else:
            self._desk.go_by(settings, around)
            if self._follower is not None:
                self._follower.give(settings)
            self._desk.around.say("the config was reloaded")
        notify("READY=1")

    def _check(self, settings: "Settings", around: Surroundings) -> None:
        """Raise ConfigError for what only a start can change, and for what would let strangers in."""
        before, now = self._desk.settings, settings
        if not now.outbox.is_same_as(before.outbox):
            raise ConfigError("the outbox has changed", hint="restart listen")
        offered = before.listen.tls if self._desk.around.tls else ""
        offers = now.listen.tls if around.tls else ""
        if offers != offered and any(not one.local for one in self._endpoints):
            raise ConfigError("whether and how listen offers TLS has changed", hint="restart listen")
        check_not_open(
            self._endpoints, trusted=bool(around.networks), logins=bool(around.logins), tls=around.tls is not None
        )

    def _show_life(self) -> None:
        """Send a sign of life for each question that the clerk has answered, unless what delivers is stuck."""
        if self._answered and (self._follower is None or self._follower.is_sound(self._pulse.patience_seconds)):
            self._pulse.beat(asyncio.get_running_loop().time())
        if self._answered or not self._asked:
            self._asked, self._answered = True, False
            self._desk.clerk.put(Job([], self._note))

    def _note(self, answer: Answer) -> None:
        self._answered = True


def _text(error: PrxEmailError) -> str:
    return f"{error.message} ({error.hint})" if error.hint else error.message
