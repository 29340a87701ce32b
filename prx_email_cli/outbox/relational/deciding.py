"""Carry out what a person decides of messages."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from prx_email_cli.outbox.decisions import Decided, Decision
from prx_email_cli.outbox.relational import operator, withdrawing
from prx_email_cli.outbox.relational.actions import Deed
from prx_email_cli.outbox.relational.database import Database
from prx_email_cli.outbox.relational.slices import Act, in_slices

_WITHDRAWALS = {Decision.HOLD: withdrawing.HOLD, Decision.CANCEL: withdrawing.CANCEL}
# By decision: the word in the records, the detail there, and what makes the change at a time.
_OTHERS: dict[Decision, tuple[str, str | None, Callable[[int], Act]]] = {
    Decision.RELEASE: ("released", None, lambda now: operator.release),
    Decision.DISMISS: ("dismissed", None, lambda now: partial(operator.dismiss, now=now)),
    Decision.SENT: ("resolved", "sent", lambda now: partial(operator.resolve, now=now, sent=True)),
    Decision.NOT_SENT: ("resolved", "not sent", lambda now: partial(operator.resolve, now=now, sent=False)),
}


def decide(
    database: Database, decision: Decision, ids: Sequence[int], deed: Deed, seconds: float
) -> Iterator[list[Decided]]:
    """Carry out a *decision* on each of these messages; yield what became of some once that is durable.

    deed: who does it and when.  seconds: so long runs are given to give back what they have claimed.
    """
    if decision in _WITHDRAWALS:
        how = _WITHDRAWALS[decision]
        return withdrawing.withdraw(database, how, ids, deed._replace(what=how.what), seconds)
    what, detail, act = _OTHERS[decision]
    return in_slices(database, ids, act(deed.at), deed._replace(what=what, detail=detail))
