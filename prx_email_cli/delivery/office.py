"""Say what those who carry out a run share, and what they need of its connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from prx_email_cli.delivery.ledger import Ledger
from prx_email_cli.errors import PrxEmailError
from prx_email_cli.outbox.lifecycle import RetryPolicy
from prx_email_cli.outbox.messages import Finished, Wish

if TYPE_CHECKING:
    from prx_email_cli.delivery.account import AccountRun
    from prx_email_cli.delivery.schedule import Schedule
    from prx_email_cli.outbox.slots import Slots
    from prx_email_cli.outbox.store import Run
    from prx_email_cli.smtp.envelope import Result
    from prx_email_cli.smtp.session import Session


class Office(Protocol):
    """The part of a run that its workers share."""

    run: Run
    ledger: Ledger
    schedule: Schedule
    policy: RetryPolicy
    clock: Callable[[], int]
    clock_in_doubt: bool
    slots: Slots | None  # None where each run counts its own connections
    idle_seconds: float  # so long a connection is kept open with nothing to send

    def record(self, finished: Finished) -> None:
        """Count a finished attempt, which is durable, and tell of it."""

    def refused(self, wish: Wish, refused: PrxEmailError) -> PrxEmailError:
        """Return why a chosen message was really refused."""

    def no_slot(self, account: AccountRun) -> None:
        """Note that other runs have all the connections that the account may have at once."""

    def ended(self, account: AccountRun) -> None:
        """Note that one of the account's workers has ended."""

    def break_off(self, error: BaseException) -> None:
        """Stop the run, because the outbox or the program failed."""

    def warn(self, text: str) -> None:
        """Note what a person should hear of but changes no message."""


class Done(NamedTuple):
    """What became of a message on a connection.  usable: whether that can take another one."""

    result: Result
    usable: bool


class Wires(Protocol):
    """The connections of a run.  Each answer comes later, by a call in the thread that conducts."""

    def ticks(self) -> float:
        """Return seconds that never go back."""

    def open(self, account: str, opened: Callable[[Session | BaseException], None]) -> None:
        """Open a connection of the account and log in; answers with the session, or with why there is none."""

    def aside(self, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        """Do *work* beside, however long it takes; answers with what it gave, or with its error."""

    def carry_out(self, session: Session, done: Callable[[Done | BaseException], None]) -> None:
        """Go on with the transaction that is under way on *session*, until it is over."""

    def hang_up(self, session: Session, hung_up: Callable[[], None]) -> None:
        """Say goodbye on a connection, and close it."""
