"""Record what became of an attempt, however long a lock lasts: what a provider accepted must not be forgotten."""

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from prx_email_cli.errors import ClaimLost, OutboxBusy, OutboxDamaged, ResultNotRecorded, StorageError
from prx_email_cli.outbox.lifecycle import Verdict
from prx_email_cli.outbox.messages import Finished

PATIENCE = 60  # busy timeouts

T = TypeVar("T")


def record(finished: Finished, *ways: Callable[[], T]) -> tuple[int, T]:
    """Record *finished* in the first of *ways* that damage does not prevent; which that was, and its result.

    Raises ClaimLost, and ResultNotRecorded when there was no way.
    """
    for number, way in enumerate(ways[:-1]):
        with suppress(OutboxDamaged):
            return number, _patiently(finished, way)
    try:
        return len(ways) - 1, _patiently(finished, ways[-1])
    except OutboxDamaged as error:
        raise _not_recorded(finished, error) from error


def _patiently(finished: Finished, way: Callable[[], T]) -> T:
    left = PATIENCE
    while True:
        try:
            return way()
        except OutboxBusy as error:
            if not left:
                raise _not_recorded(finished, error) from error
            left -= 1
        except (OutboxDamaged, ClaimLost):
            raise
        except StorageError as error:
            raise _not_recorded(finished, error) from error


def _not_recorded(finished: Finished, error: StorageError) -> ResultNotRecorded:
    """The error for an attempt whose result is known, but not to the outbox: both are told."""
    outbox_id, outcome = finished.claimed.outbox_id, finished.outcome
    if outcome.acceptance is not None:
        who = "" if finished.verdict is Verdict.SENT else " for some of its recipients"
        known = f"was delivered{who} ({outcome.acceptance})"
    elif outcome.uncertain:
        known = f"may have been delivered ({outcome.detail})"
    else:
        known = f"was not delivered ({outcome.detail})"
    return ResultNotRecorded(
        f"outbox message {outbox_id} {known}, but that could not be recorded: {error.message}",
        hint=f"{error.hint}; the next drain takes the message for uncertain and sends it again under the same "
        f'Message-ID, or with on_uncertain = "hold" leaves it to you: prx-email resolve ID --sent',
    )
