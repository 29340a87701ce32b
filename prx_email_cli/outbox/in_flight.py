"""Number the claims of a living run, and note in its flight record how far each has come."""

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from heapq import heappop, heappush

from prx_email_cli.errors import PrxEmailError, StorageError
from prx_email_cli.outbox.flight_record import SLOTS, FlightRecord
from prx_email_cli.outbox.lifecycle import Outcome, RecipientResult
from prx_email_cli.outbox.messages import Claimed
from prx_email_cli.outbox.runs import Runs

_AT_FIRST = 16  # slots to reserve room for; then twice as many each time


class InFlight:
    """The claims of one run of which neither a result nor a give-back is durable.

    Each has a number, and a slot of the record that no other claim gets before its end is durable.  identity: returns
    that of the outbox.
    """

    def __init__(self, runs: Runs, run_id: str, identity: Callable[[], str]) -> None:
        self.run_id, self._runs, self._identity = run_id, runs, identity
        self._record: FlightRecord | None = None
        self._free: list[int] = []  # slots, a heap: the lowest is used first
        self._slots = self._rounds = 0
        self._taken: dict[int, int] = {}  # number -> id of the message, 0 until its claim is durable
        self._lock = threading.Lock()

    def numbers(self, most: int) -> list[int]:
        """Return numbers for up to *most* claims: fewer when there are no more slots, or no space for them on the disk.

        Each number is given once.  Raises StorageError, and what ``Runs`` does, when there is no slot at all because
        the record cannot be written.
        """
        with self._lock:
            try:
                self._reserve(most)
            except OSError as error:
                if not self._free:
                    raise StorageError(
                        f"cannot keep a flight record in {self._runs.directory}: {error.strerror}",
                        hint="free some space, and check that the directory is writable by you",
                    ) from None
            self._rounds += 1
            slots = [heappop(self._free) for _ in range(min(most, len(self._free)))]
            numbers = [self._rounds * SLOTS + slot for slot in slots]
            self._taken.update(dict.fromkeys(numbers, 0))
            return numbers

    def _reserve(self, most: int) -> None:
        """Reserve room in the record until *most* slots are free, or all are reserved."""
        if self._record is None:
            identity = self._identity()
            with self._runs.making_flight_record(self.run_id) as descriptor:
                self._record = FlightRecord(descriptor, self.run_id, identity)
        while len(self._free) < most and self._slots < SLOTS:
            more = min(max(_AT_FIRST, 2 * self._slots), SLOTS)
            self._record.reserve(more)
            for slot in range(self._slots, more):
                heappush(self._free, slot)
            self._slots = more

    def began(self, numbers: Sequence[int], claims: Iterable[Claimed]) -> None:
        """Note which claims are durable under some of *numbers*, and free the slots of the other numbers."""
        with self._lock:
            self._taken.update({one.claim: one.outbox_id for one in claims})
            for number in numbers:
                if not self._taken[number]:
                    self._free_slot(number)

    def ended(self, claims: Iterable[Claimed]) -> None:
        """Free the slots of these claims, whose ends are durable; a claim that is not this run's changes nothing."""
        with self._lock:
            for one in claims:
                if self._taken.get(one.claim) == one.outbox_id:
                    self._free_slot(one.claim)

    def _free_slot(self, number: int) -> None:
        del self._taken[number]
        heappush(self._free, number % SLOTS)

    def about_to_end(self, claimed: Claimed, results: Mapping[int, RecipientResult]) -> None:
        """Note that the bytes that complete the content may leave; see ``Run.about_to_end``."""
        try:
            self._record_with(claimed).about_to_end(claimed.claim, results)
        except OSError as error:
            raise StorageError(
                f"outbox message {claimed.outbox_id} was not sent, for the flight record could not be written: {error}",
                hint="check the disk and its mount",
            ) from None

    def answered(self, claimed: Claimed, outcome: Outcome, at: int) -> None:
        """Note what the attempt came to; see ``Run.answered``."""
        with suppress(OSError):
            self._record_with(claimed).answered(claimed.claim, outcome, at)

    def _record_with(self, claimed: Claimed) -> FlightRecord:
        """Return the record in which the claim has a slot.  Raises OSError if it has none."""
        if self._record is None or self._taken.get(claimed.claim) != claimed.outbox_id:
            raise OSError("the claim is no longer this run's")
        return self._record

    def close(self) -> None:
        """Close the record, and remove it unless the end of a claim is not durable."""
        record, self._record = self._record, None
        if record is None:
            return
        record.close()
        if not self._taken:
            with suppress(OSError, PrxEmailError):
                self._runs.remove_flight_record(self.run_id)
