"""Tell of the same thing once a day, where cron would mail it each minute and a drain deliver that mail."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from prx_email_cli.cli.output import say
from prx_email_cli.errors import PrxEmailError

if TYPE_CHECKING:
    from prx_email_cli.outbox.store import Store

Tell = Callable[[str], None]
"""Prints a line on stderr, or not."""


class Voices:
    """Prints what a drain has to tell on stderr.

    freely: each time; else, under cron, each cause once a day.  of_mail_freely: the same for given-up messages
    that are automatic.
    """

    def __init__(self, store: "Store", tick: Callable[[], int], *, freely: bool, of_mail_freely: bool) -> None:
        self._store, self._tick = store, tick
        self._freely, self._of_mail_freely = freely, of_mail_freely

    def on(self, cause: str, most: int = 1) -> Tell:
        """Return what prints all lines about *cause*, or none of them if it was told *most* times within a day."""
        return say if self._freely else _Sparing(lambda: self.may_tell(cause, most))

    def on_automatic(self, cause: str) -> Tell:
        """Return what prints all lines about a given-up message that is automatic, or none of them."""
        return say if self._of_mail_freely else _Sparing(lambda: self.may_tell(cause))

    def may_tell(self, cause: str, most: int = 1, *, unsure: bool = False) -> bool:
        """Tell whether *cause* is to be told now, and note it.  unsure: the answer when that cannot be noted."""
        try:
            return self._store.may_tell(cause, self._tick(), most)
        except PrxEmailError:
            return unsure


class _Sparing:
    """Prints lines if that is allowed, which is asked for at the first of them."""

    def __init__(self, ask: Callable[[], bool]) -> None:
        self._ask, self._may = ask, False
        self._asked = False

    def __call__(self, text: str) -> None:
        if not self._asked:
            self._asked, self._may = True, self._ask()
        if self._may:
            say(text)
