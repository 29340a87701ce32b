"""One account in a run: what it claims, its open connections, and what keeps it from working; pure."""

from collections import deque
from collections.abc import Callable, Iterable
from typing import Protocol

from prx_email_cli.delivery.schedule import Schedule
from prx_email_cli.errors import ClaimLost, PrxEmailError
from prx_email_cli.outbox.messages import ClaimNext, ClaimOne, Limit, Wish


class Source(Protocol):
    """Where an account's messages come from."""

    def look(self) -> Wish | None:
        """Return the wish of the next claim, without using it up; None when nothing is left."""

    def next(self) -> Wish | None:
        """Return the next wish, and use it up; None when nothing is left."""

    def ahead(self) -> ClaimNext | None:
        """Return the wish for the step that records the message before; None when that step must not claim."""

    def skip(self, wish: Wish, refused: PrxEmailError | None) -> None:
        """Do not ask for that any more, which ``look`` gave; *refused* says why a chosen message is not given."""

    def nothing_for(self, wish: Wish, refused: PrxEmailError | None) -> None:
        """Note that a claim gave nothing; *refused*: the error of a chosen message."""


class DueMessages:
    """The messages that were due at *due_before*, in the order in which they are claimed.

    What becomes due, or is deferred, while a run lasts is the next one's.  now is filled in by the ledger.
    """

    def __init__(self, account: str, due_before: int, limits: tuple[Limit, ...] = ()) -> None:
        self._wish: ClaimNext | None = ClaimNext(account, due_before, due_before, limits)

    def look(self) -> ClaimNext | None:
        """The wish for any due message, until there was none."""
        return self._wish

    next = ahead = look

    def nothing_for(self, wish: Wish, refused: PrxEmailError | None) -> None:
        """Nothing is due any more, or the limits are used up."""
        self._wish = None

    skip = nothing_for


class ChosenMessages:
    """The messages that a person chose, in that order; *on_refused* hears of each that is not given, and why."""

    def __init__(
        self, ids: Iterable[int], on_refused: Callable[[int, PrxEmailError], None], *, force: bool,
        limits: tuple[Limit, ...] = (),
    ) -> None:  # fmt: skip
        self._ids, self._on_refused = deque(ids), on_refused
        self._force, self._limits = force, limits

    def look(self) -> Wish | None:
        """Return the wish for the next chosen message."""
        return ClaimOne(self._ids[0], 0, self._force, self._limits) if self._ids else None

    def next(self) -> Wish | None:
        """Return the wish for the next chosen message, and use it up."""
        wish = self.look()
        if wish is not None:
            self._ids.popleft()
        return wish

    def ahead(self) -> ClaimNext | None:
        """Return None: each chosen message is claimed by itself, so that its own refusal can be reported."""
        return None

    def skip(self, wish: Wish, refused: PrxEmailError | None) -> None:
        """Drop the next chosen message, and report its refusal."""
        self._ids.popleft()
        self.nothing_for(wish, refused)

    def nothing_for(self, wish: Wish, refused: PrxEmailError | None) -> None:
        """This message is refused."""
        if isinstance(wish, ClaimOne) and refused is not None:
            self._on_refused(wish.outbox_id, refused)

    def untouched(self) -> list[int]:
        """Return the ids of the messages that were not asked for."""
        return list(self._ids)


class AccountRun:
    """One account in one run.

    warn: is called with a text for a person, about what changes no message.
    """

    def __init__(self, name: str, source: Source, schedule: Schedule, warn: Callable[[str], None]) -> None:
        self.name, self._source, self._schedule, self._warn = name, source, schedule, warn
        self._connections = self._opened = 0
        self.fault: PrxEmailError | None = None  # what is wrong with its config
        self._rests = False

    @property
    def has_connections(self) -> bool:
        """Tell whether a connection of this account is open."""
        return self._connections > 0

    def look(self) -> Wish | None:
        """Return the wish of the next claim, without using it up; None when this run claims nothing more."""
        if self._rests or not self._schedule.take(self.name):
            return None
        self._schedule.give_back(self.name)
        return self._source.look()

    def wish(self) -> Wish | None:
        """Return the next wish, and use it up; None when this run claims nothing more."""
        if self._rests or not self._schedule.take(self.name):
            return None
        wish = self._source.next()
        if wish is None:
            self._schedule.give_back(self.name)
        return wish

    def wish_ahead(self) -> ClaimNext | None:
        """Return the wish for the step that records the message before; None when that step must not claim."""
        wish = self._source.ahead()
        return wish if wish is not None and not self._rests and self._schedule.take(self.name) else None

    def found_nothing(self, wish: Wish, refused: PrxEmailError | None) -> None:
        """Note that the claim of *wish* gave nothing; *refused*: the error of a chosen message."""
        self._schedule.give_back(self.name)
        self._source.nothing_for(wish, refused)
        self._note_exhaustion()

    def looked_in_vain(self, wish: Wish, refused: PrxEmailError | None) -> None:
        """Note that a claim of *wish* would give nothing; *refused*: the error of a chosen message."""
        self._source.skip(wish, refused)
        self._note_exhaustion()

    def _note_exhaustion(self) -> None:
        if self._source.look() is None:
            self._schedule.exhausted(self.name)

    def connected(self) -> int:
        """Note that a connection has logged in; return its number within the run."""
        self._connections += 1
        self._opened += 1
        self._schedule.works(self.name)
        return self._opened

    def disconnected(self) -> None:
        """Note that a connection is being closed."""
        self._connections -= 1

    def no_more_connections(self) -> None:
        """Another connection could not be opened: the account goes on with those that it has."""
        self._schedule.no_more_connections(self.name)

    def rest(self) -> None:
        """Let the account rest, because it cannot be used: nothing more is claimed for it in this run."""
        if not self._rests:
            self._rests = True
            self._schedule.rest(self.name)

    def unusable(self, fault: PrxEmailError) -> None:
        """Note a fault in the account's config: its messages stay untouched."""
        self.fault = fault
        self.rest()

    def lost(self, lost: ClaimLost) -> None:
        """Note a result that came too late: the message was another run's by then."""
        self._warn(f"{lost.message} ({lost.hint})")
