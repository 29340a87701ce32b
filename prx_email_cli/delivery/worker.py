"""Decide what one connection does next: take a message, hand it over, message after message; without I/O.

A worker asks (for a message, for a connection, to deliver ...) and is sent the answer; ``run`` carries out what it asks
with sockets and threads, a test with neither.
"""

from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeVar

from prx_email_cli.delivery.account import AccountRun
from prx_email_cli.errors import PrxEmailError
from prx_email_cli.outbox.lifecycle import Outcome, Scope
from prx_email_cli.outbox.messages import Claimed

R = TypeVar("R")


class Reserve(NamedTuple):
    """Reserve one of the connections that the account may have at once: True, False while other runs have all."""


class Next(NamedTuple):
    """Take the account's next claimed message: a Claimed, None when there is none left for this run."""


class Open(NamedTuple):
    """Open a connection and log in: Opened, NotOpened, or an error of the config."""


class Deliver(NamedTuple):
    """Hand a message to the server: Delivered or, unless *again*, Untouched.

    again: another connection has left it untouched before; it goes alone.
    """

    claimed: Claimed
    again: bool


class Settle(NamedTuple):
    """Record what an attempt came to; nothing is answered, and nothing is waited for."""

    claimed: Claimed
    outcome: Outcome
    milliseconds: int
    connection: int


class GiveBack(NamedTuple):
    """Leave a claimed message as it was before its claim."""

    claimed: Claimed


class Close(NamedTuple):
    """Close the connection, with which its reservation ends."""


Ask = Reserve | Next | Open | Deliver | Settle | GiveBack | Close


class Opened(NamedTuple):
    """The connection is open and logged in."""


class NotOpened(NamedTuple):
    """No connection could be opened: an account failure."""

    outcome: Outcome


class Untouched(NamedTuple):
    """The connection had ended before any of the message's content left, so this was no attempt."""


class Delivered(NamedTuple):
    """What handing over came to.

    usable: whether the connection can take another message.  following: the next message, whose envelope left together
    with the content of this one.
    """

    outcome: Outcome
    milliseconds: int = 0
    usable: bool = True
    following: Claimed | None = None


Steps = Generator[Ask, Any, R]


def work(account: AccountRun) -> Steps[None]:
    """Deliver over one connection after the other until the account has nothing left, or cannot be used.

    A message is claimed before a connection is opened for it, so none is opened for messages that limits hold back.
    """
    if not (yield Reserve()):
        account.without_slot()
        return
    claimed: Claimed | None = yield Next()
    again = False
    while claimed is not None:
        answer: Opened | NotOpened | PrxEmailError = yield Open()
        if not isinstance(answer, Opened):
            yield from _without_connection(account, answer, claimed, again=again)
            return
        claimed, worn = yield from _serve(account, account.connected(), claimed, again=again)
        account.disconnected()
        yield Close()
        again = claimed is not None
        if (worn or again) and not (yield Reserve()):
            account.without_slot()
            if claimed is not None:
                yield GiveBack(claimed)
            return
        if worn and not again:
            claimed = yield Next()


def rehearse(outcome_of: Callable[[Claimed], Outcome]) -> Steps[None]:
    """Take and fail one message after the other on purpose; *outcome_of* says how."""
    while (claimed := (yield Next())) is not None:
        yield Settle(claimed, outcome_of(claimed), 0, 0)


def _without_connection(
    account: AccountRun, answer: NotOpened | PrxEmailError, claimed: Claimed, *, again: bool
) -> Steps[None]:
    """Let the claimed message bear the account's failure; every other one stays untouched.

    While other connections of the account are open they go on, and nothing is said of the account.
    """
    if isinstance(answer, PrxEmailError):
        account.unusable(answer)
        yield GiveBack(claimed)
    elif account.has_connections and not again:
        account.no_more_connections()
        account.put_back(claimed)
    else:
        account.rest()
        yield Settle(claimed, answer.outcome, 0, 0)


def _serve(
    account: AccountRun, number: int, claimed: Claimed | None, *, again: bool
) -> Steps[tuple[Claimed | None, bool]]:
    """Deliver over one connection until nothing is left or it is worn out.

    again: another connection has left the message untouched; it is not handed on twice.  Gives one that this connection
    has left untouched, and whether the connection is worn out.
    """
    while claimed is not None:
        said: Delivered | Untouched = yield Deliver(claimed, again)
        if isinstance(said, Untouched):
            account.neighbour_lost()
            return claimed, True
        again = False
        if said.outcome.scope is Scope.ACCOUNT:
            account.rest()
        yield Settle(claimed, said.outcome, said.milliseconds, number)
        claimed = said.following
        if claimed is not None and account.begins_nothing:
            yield GiveBack(claimed)
            return None, False
        if claimed is None and not said.usable:
            return None, True
        if claimed is None:
            claimed = yield Next()
    return None, False
