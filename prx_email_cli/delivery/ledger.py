"""The outbox's clerk: records what connections have done and claims ahead for them, many to a durable step.

Whoever settles or asks does not wait: what came of it is told by ``step``, which a thread of its own calls, or a test.
"""

import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from prx_email_cli.delivery.account import AccountRun
from prx_email_cli.errors import ClaimLost, OutboxDamaged, PrxEmailError, ResultNotRecorded, StorageError
from prx_email_cli.outbox.lifecycle import Verdict
from prx_email_cli.outbox.messages import Claimed, ClaimNext, ClaimOne, Finished, Wish

if TYPE_CHECKING:
    from prx_email_cli.outbox.store import Run


class Recorded(NamedTuple):
    """A finished attempt is durable, or *lost*: its message was another run's by then."""

    account: AccountRun
    finished: Finished
    lost: ClaimLost | None


class Came(NamedTuple):
    """A wish was answered: by claims, or by why a chosen message is refused."""

    account: AccountRun
    wish: Wish
    claims: list[Claimed]
    refused: PrxEmailError | None = None


class WantedBack(NamedTuple):
    """Claimed messages that a person has held or cancelled: what was not begun is to be given back."""

    ids: list[int]


class Failed(NamedTuple):
    """The outbox, or this program, failed: nothing more is to be claimed."""

    error: BaseException


News = Recorded | Came | WantedBack | Failed


class _Waiting(NamedTuple):
    """What waits for the next step."""

    finished: list[tuple[AccountRun, Finished]]
    returned: list[Claimed]
    wishes: list[tuple[AccountRun, Wish]]


class Ledger:
    """Records what the connections of *run* have done, and claims for them."""

    def __init__(self, run: "Run", clock: Callable[[], int]) -> None:
        self._run, self._clock = run, clock
        self._news: deque[News] = deque()
        self._lock = threading.Lock()
        self._waiting = _Waiting([], [], [])
        self._writing = self._look = False
        self.steps = 0  # so many were made
        self.on_wire = 0  # messages whose results are still to come

    def settle(self, account: AccountRun, finished: Finished) -> None:
        """Have *finished* recorded."""
        with self._lock:
            self._waiting.finished.append((account, finished))

    def give_back(self, claimed: list[Claimed]) -> None:
        """Have claims undone."""
        with self._lock:
            self._waiting.returned.extend(claimed)

    def ask(self, account: AccountRun, wish: Wish) -> None:
        """Have messages claimed."""
        with self._lock:
            self._waiting.wishes.append((account, wish))

    def look_back(self) -> None:
        """Have it looked which claimed messages a person wants back."""
        self._look = True

    @property
    def waits(self) -> bool:
        """Whether there is something to be done."""
        return self._look or any(self._waiting)

    @property
    def owes(self) -> bool:
        """Whether a step is to be made, or is being made."""
        with self._lock:
            return any(self._waiting) or self._writing

    @property
    def urgent(self) -> bool:
        """Whether somebody waits for what is to be written: a worker for a message, or all that the run has is over."""
        return any(account.waiting for account, _ in self._waiting.wishes) or not self.on_wire

    @property
    def idle(self) -> bool:
        """Whether everything was written and told."""
        with self._lock:
            return not (any(self._waiting) or self._writing or self._news)

    def news(self) -> News | None:
        """Return what came of an earlier request, in order; None when there is nothing new."""
        return self._news.popleft() if self._news else None

    def step(self) -> bool:
        """Write everything that waits, in one durable step where nothing goes wrong; False if nothing waits."""
        with self._lock:
            work, self._waiting = self._waiting, _Waiting([], [], [])
            look, self._look = self._look, False
            self._writing = any(work) or look
        try:
            if any(work):
                self._write(work)
            if look:
                with suppress(StorageError):  # whoever writes next says what is wrong
                    self._news.append(WantedBack(self._run.wanted_back(self._clock())))
        finally:
            with self._lock:
                self._writing = False
                self.steps += 1
        return any(work) or look

    def _write(self, work: _Waiting) -> None:
        try:
            self._together(work)
        except OutboxDamaged as error:  # of one message: all others must be recorded all the same
            if len(work.finished) + len(work.returned) + len(work.wishes) < 2:
                self._fail(work, error)
                return
            for one in work.finished:
                self._write(_Waiting([one], [], []))
            for back in work.returned:
                self._write(_Waiting([], [back], []))
            for wish in work.wishes:
                self._write(_Waiting([], [], [wish]))
        except BaseException as error:  # noqa: BLE001 - the thread that waits for news raises it
            self._fail(work, error)

    def _together(self, work: _Waiting) -> None:
        now = self._clock()
        asked = [(account, wish._replace(now=now)) for account, wish in work.wishes if isinstance(wish, ClaimNext)]
        advanced = self._run.advance([one for _, one in work.finished], [wish for _, wish in asked], work.returned)
        for (account, finished), lost in zip(work.finished, advanced.lost, strict=True):
            self._news.append(Recorded(account, finished, lost))
        for (account, wish), claims in zip(asked, advanced.claims, strict=True):
            self._news.append(Came(account, wish, claims))
        for account, chosen in work.wishes:
            if isinstance(chosen, ClaimOne):
                self._claim_chosen(account, chosen._replace(now=now))

    def _claim_chosen(self, account: AccountRun, wish: ClaimOne) -> None:
        try:
            self._news.append(Came(account, wish, [self._run.claim_by_id(wish)]))
        except PrxEmailError as refused:
            if isinstance(refused, StorageError):
                self._news.append(Failed(refused))
            self._news.append(Came(account, wish, [], refused))

    def _fail(self, work: _Waiting, error: BaseException) -> None:
        """Tell of a failure: of each result what is known of it, and that the wishes gave nothing."""
        for _, finished in work.finished:
            told = not_recorded(finished, error) if isinstance(error, StorageError) else error
            self._news.append(Failed(told))
        for account, wish in work.wishes:
            self._news.append(Came(account, wish, []))
        if not work.finished:
            self._news.append(Failed(error))


def not_recorded(finished: Finished, error: StorageError) -> ResultNotRecorded:
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
        hint=f"{error.hint}; the next drain records it, if it runs on this machine before it is started anew; else it "
        f"takes the message for uncertain and sends it again under the same Message-ID, or with "
        f'on_uncertain = "hold" leaves it to you: prx-email resolve ID --sent',
    )


def joined(errors: list[BaseException]) -> BaseException:
    """Return the first error that stopped a run, joined by the results that could not be recorded."""
    lost = [error for error in errors if isinstance(error, ResultNotRecorded)]
    if not lost or len(errors) == 1:
        return errors[0]
    return ResultNotRecorded("; ".join(error.message for error in lost), hint=lost[0].hint)
