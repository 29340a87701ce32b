"""What nearly every test here asks of a store or a run."""

from __future__ import annotations

from collections.abc import Callable

from prx_email_cli.outbox.lifecycle import RecipientStatus
from prx_email_cli.outbox.messages import Claimed, ClaimNext, ClaimOne, Finished, Limit, NewMessage
from prx_email_cli.outbox.store import Run, Store

from ..messages import NOW, ended, new_message

ACCEPTED, PENDING, REFUSED = RecipientStatus.ACCEPTED, RecipientStatus.PENDING, RecipientStatus.REFUSED
FOR_EVER = NOW + 10**9

Dying = Callable[[], tuple[Run, Callable[[], None]]]
"""``run, die = dying()``, the fixture: another run, and what takes its lock away."""


def submit(store: Store, *messages: NewMessage) -> list[int]:
    """Store *messages*, by default one; their ids."""
    submitted = store.submit(messages or [new_message()])
    assert [(one.duplicate, one.error) for one in submitted] == [(False, None)] * len(submitted)
    return [one.outbox_id for one in submitted]


def claim_next(run: Run, now: int = NOW, account: str = "work", limits: tuple[Limit, ...] = ()) -> Claimed | None:
    """Claim the account's next message, None when there is none."""
    (claimed,) = run.advance([], [ClaimNext(account, now, now, limits)]).claims
    return claimed


def claim(run: Run, now: int = NOW) -> Claimed:
    """Claim the next message, which must be there."""
    claimed = claim_next(run, now)
    assert claimed is not None
    return claimed


def die_with(dying: Dying, take: Callable[[Run], Claimed] = claim) -> Claimed:
    """Let another run die with what *take* claims in hand."""
    run, die = dying()
    claimed = take(run)
    die()
    return claimed


def record(run: Run, *finished: Finished) -> None:
    """Record attempts, of which none may be lost."""
    assert run.advance(finished, []).lost == [None] * len(finished)


def attempt(run: Run, *statuses: RecipientStatus, uncertain: bool = False, now: int = NOW) -> Claimed:
    """Claim the next message and record that its targets have *statuses*; the claim."""
    claimed = claim(run, now)
    record(run, ended(claimed, *statuses, uncertain=uncertain, now=now))
    return claimed


def refuse(run: Run, now: int = NOW) -> Claimed:
    """Claim the next message and let the server refuse all its targets, so that it is given up."""
    claimed = claim(run, now)
    record(run, ended(claimed, *[REFUSED] * len(claimed.targets), now=now))
    return claimed


def statuses(store: Store, outbox_id: int = 1) -> list[str]:
    """The statuses of a message's recipients, with a question mark where uncertain."""
    return [one.status + "?" * one.uncertain for one in store.row(outbox_id).recipients]


def forced(outbox_id: int, now: int = NOW) -> ClaimOne:
    """A person's wish that asks for nothing else."""
    return ClaimOne(outbox_id, now, force=True)
