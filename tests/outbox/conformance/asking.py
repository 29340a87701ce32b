"""What nearly every test here asks of a store or a run."""

from __future__ import annotations

from collections.abc import Callable

from prx_email_cli.outbox.lifecycle import RecipientStatus, RetryPolicy
from prx_email_cli.outbox.messages import Advanced, Claimed, ClaimNext, ClaimOne, Finished, Limit, NewMessage
from prx_email_cli.outbox.store import Run, Store

from ..messages import NOW, POLICY, ended, in_doubt, new_message
from ..messages import claim as claim

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
    return claimed[0] if claimed else None


def claim_many(run: Run, most: int, now: int = NOW, limits: tuple[Limit, ...] = ()) -> list[Claimed]:
    """Claim up to *most* messages of the account in one step."""
    (claimed,) = run.advance([], [ClaimNext("work", now, now, limits, most)]).claims
    return claimed


def give_back(run: Run, *claimed: Claimed) -> None:
    """Give these claims back."""
    assert run.advance([], [], claimed) == Advanced([], [])


def ids(advanced: Advanced) -> list[list[int]]:
    """The ids of the messages that a step claimed, by wish."""
    return [[one.outbox_id for one in claimed] for claimed in advanced.claims]


def recover(run: Run, now: int = NOW, policy: RetryPolicy = POLICY) -> list[int]:
    """Recover what dead runs left; the ids of what may have been sent, which all of it must be."""
    recovered = run.recover(policy, now)
    assert (recovered.finished, recovered.given_back) == ([], [])
    return sorted(recovered.uncertain)


def write_whole(run: Run, now: int = NOW) -> Claimed:
    """Claim the next message and note that its whole content may leave."""
    claimed = claim(run, now)
    run.about_to_end(claimed, in_doubt(claimed))
    return claimed


def die_with(dying: Dying, take: Callable[[Run], Claimed] = claim) -> Claimed:
    """Let another run die once the whole content of what *take* claims may have left."""
    run, die = dying()
    claimed = take(run)
    run.about_to_end(claimed, in_doubt(claimed))
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
