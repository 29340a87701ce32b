"""Write for all workers of a run: many results and claims to a durable step."""

import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from prx_email_cli.errors import ClaimLost, OutboxDamaged, ResultNotRecorded, StorageError
from prx_email_cli.outbox.lifecycle import Verdict
from prx_email_cli.outbox.messages import Claimed, ClaimNext, ClaimOne, Finished, Wish

if TYPE_CHECKING:
    from prx_email_cli.outbox.store import Run


class Entry(NamedTuple):
    """What became of one worker's request.

    lost: why its result was not recorded, None when it was.  claimed: the message that it claimed, None for none.
    """

    lost: ClaimLost | None = None
    claimed: Claimed | None = None


class _Request:
    """The result and the wish of one worker."""

    def __init__(self, finished: Finished | None, wish: ClaimNext | None) -> None:
        self.finished, self.wish = finished, wish
        self.entry = Entry()
        self.error: BaseException | None = None
        self.answered = False


class Ledger:
    """Records what the workers of *run* have done, and claims for them.

    The first thread to take the lock writes for all that wait: meanwhile the others talk to their servers and queue up
    for the next step.
    """

    def __init__(self, run: "Run", clock: Callable[[], int]) -> None:
        self._run, self._clock = run, clock
        self._waiting: deque[_Request] = deque()
        self._lock = threading.Lock()

    def claim(self, wish: Wish) -> Claimed | None:
        """Claim what *wish* asks for, None when there is nothing.  Raises what ``Run.claim_by_id`` does."""
        if isinstance(wish, ClaimOne):
            return self._run.claim_by_id(wish._replace(now=self._clock()))
        return self._answer(_Request(None, wish)).claimed

    def settle(self, finished: Finished, then: ClaimNext | None) -> Entry:
        """Record *finished* and claim what *then* asks for.  Raises ResultNotRecorded, which tells what is known."""
        return self._answer(_Request(finished, then))

    def _answer(self, request: _Request) -> Entry:
        self._waiting.append(request)
        with self._lock:
            if not request.answered:
                self._write_waiting()
        if request.error is not None:
            if request.finished is not None and isinstance(request.error, StorageError):
                raise _not_recorded(request.finished, request.error) from request.error
            raise request.error
        return request.entry

    def _write_waiting(self) -> None:
        requests = []
        while self._waiting:
            requests.append(self._waiting.popleft())
            requests[-1].answered = True
        try:
            self._write(requests)
        except OutboxDamaged:  # of one message: the others' results must be recorded all the same
            for request in requests:
                try:
                    self._write([request])
                except StorageError as error:
                    request.error = error
        except BaseException as error:  # noqa: BLE001 - each of those that wait raises it
            for request in requests:
                request.error = error

    def _write(self, requests: list[_Request]) -> None:
        now = self._clock()
        finished = [request.finished for request in requests if request.finished is not None]
        wishes = [request.wish._replace(now=now) for request in requests if request.wish is not None]
        advanced = self._run.advance(finished, wishes)
        lost, claims = iter(advanced.lost), iter(advanced.claims)
        for request in requests:
            request.entry = Entry(
                next(lost) if request.finished is not None else None,
                next(iter(next(claims)), None) if request.wish is not None else None,
            )


def _not_recorded(finished: Finished, error: StorageError) -> ResultNotRecorded:
    """Tell what is known of an attempt whose result the outbox could not be told."""
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
        hint=f"{error.hint}; the next drain records it, or if the flight record is lost sends it again under the same "
        f'Message-ID, or with on_uncertain = "hold" leaves it to you: prx-email resolve ID --sent',
    )
