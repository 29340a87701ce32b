"""Decide what one connection does next: claim, hand over, record, message after message; without I/O.

A worker asks (opens a connection, claims, delivers ...) and is sent the answer; ``run`` carries out what it asks with
threads and sockets, a test with neither.
"""

from collections.abc import Callable, Generator
from typing import Any, NamedTuple, TypeVar

from prx_email_cli.delivery.account import AccountRun
from prx_email_cli.delivery.ledger import Entry
from prx_email_cli.errors import PrxEmailError
from prx_email_cli.outbox.lifecycle import Outcome, Scope
from prx_email_cli.outbox.messages import Claimed, ClaimNext, Wish

R = TypeVar("R")


class Look(NamedTuple):
    """Ask whether *wish* could claim a message now: a bool."""

    wish: Wish


class Open(NamedTuple):
    """Open a connection and log in: Opened, NotOpened, or an error of the config."""


class Claim(NamedTuple):
    """Claim a message: a Claimed, None when there is none, or why a chosen one is refused."""

    wish: Wish


class Deliver(NamedTuple):
    """Hand a message to the server: Delivered or, unless *again*, Untouched.

    again: another connection has left it untouched before.
    """

    claimed: Claimed
    again: bool


class Settle(NamedTuple):
    """Record what an attempt came to, and claim the next message in the same durable step: an Entry."""

    claimed: Claimed
    outcome: Outcome
    milliseconds: int
    connection: int
    then: ClaimNext | None


class GiveBack(NamedTuple):
    """Leave a claimed message as it was before its claim."""

    claimed: Claimed


class Close(NamedTuple):
    """Close the connection."""


Ask = Look | Open | Claim | Deliver | Settle | GiveBack | Close


class Opened(NamedTuple):
    """The connection is open and logged in."""


class NotOpened(NamedTuple):
    """No connection could be opened: an account failure."""

    outcome: Outcome


class Untouched(NamedTuple):
    """The connection had ended before anything was said of the message."""


class Delivered(NamedTuple):
    """What handing over came to.  usable: whether the connection can take another message."""

    outcome: Outcome
    milliseconds: int = 0
    usable: bool = True


Steps = Generator[Ask, Any, R]


def work(account: AccountRun) -> Steps[None]:
    """Deliver over one connection after the other until the account has nothing left, or cannot be used."""
    kept: Claimed | None = None
    while kept is not None or (yield from _something_left(account)):
        answer: Opened | NotOpened | PrxEmailError = yield Open()
        if not isinstance(answer, Opened):
            yield from _without_connection(account, answer, kept)
            return
        kept, worn = yield from _serve(account, account.connected(), kept)
        account.disconnected()
        yield Close()
        if kept is None and not worn:
            return


def rehearse(account: AccountRun, outcome_of: Callable[[Claimed], Outcome]) -> Steps[None]:
    """Claim and fail one message after the other on purpose; *outcome_of* says how."""
    claimed = yield from _next(account)
    while claimed is not None:
        claimed = yield from _settle(account, claimed, Delivered(outcome_of(claimed)), 0)


def _something_left(account: AccountRun) -> Steps[bool]:
    """Ask whether a claim would give a message: no connection is opened for messages that limits hold back."""
    while (wish := account.look()) is not None:
        answer: bool | PrxEmailError = yield Look(wish)
        if answer is True:
            return True
        account.looked_in_vain(wish, answer if isinstance(answer, PrxEmailError) else None)
    return False


def _without_connection(account: AccountRun, answer: NotOpened | PrxEmailError, kept: Claimed | None) -> Steps[None]:
    """The message at the head of the queue bears the account's failure; every other one stays untouched.

    While other connections of the account are open they go on, and nothing is said of the account.
    """
    if isinstance(answer, PrxEmailError):
        account.unusable(answer)
        if kept is not None:
            yield GiveBack(kept)
    elif kept is not None:
        yield from _settle(account, kept, Delivered(answer.outcome, usable=False), 0)
    elif account.has_connections:
        account.no_more_connections()
    else:
        claimed = yield from _next(account)
        if claimed is not None:
            yield from _settle(account, claimed, Delivered(answer.outcome, usable=False), 0)
        account.rest()


def _serve(account: AccountRun, number: int, kept: Claimed | None) -> Steps[tuple[Claimed | None, bool]]:
    """Deliver over one connection until nothing is left or it is worn out.

    kept: a message that another connection has left untouched; it is not handed on twice.  Gives one that this
    connection has left untouched, and whether the connection is worn out.
    """
    claimed = kept
    if claimed is None:
        claimed = yield from _next(account)
    usable = True
    while claimed is not None:
        delivered: Delivered | Untouched = yield Deliver(claimed, claimed is kept)
        if isinstance(delivered, Untouched):
            return claimed, True
        usable = delivered.usable
        claimed = yield from _settle(account, claimed, delivered, number)
    return None, not usable


def _next(account: AccountRun) -> Steps[Claimed | None]:
    """Claim the account's next message; one that is refused is noted, and the next one asked for."""
    while (wish := account.wish()) is not None:
        answer: Claimed | PrxEmailError | None = yield Claim(wish)
        if isinstance(answer, Claimed):
            return answer
        account.found_nothing(wish, answer)
    return None


def _settle(account: AccountRun, claimed: Claimed, delivered: Delivered, number: int) -> Steps[Claimed | None]:
    """Record the result; with a connection that can take another message, claim that in the same durable step."""
    if delivered.outcome.scope is Scope.ACCOUNT:
        account.rest()
    wish = account.wish_ahead() if delivered.usable else None
    entry: Entry = yield Settle(claimed, delivered.outcome, delivered.milliseconds, number, wish)
    if entry.lost is not None:
        account.lost(entry.lost)
    if wish is not None and entry.claimed is None:
        account.found_nothing(wish, None)
    if wish is None and delivered.usable:
        return (yield from _next(account))
    return entry.claimed
