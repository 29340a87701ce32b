"""One account in a run: what is claimed for it, its connections, and what keeps it from working; pure."""

from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from prx_email_cli.delivery.schedule import Schedule
from prx_email_cli.errors import ClaimLost, PrxEmailError
from prx_email_cli.outbox.messages import Claimed, ClaimNext, ClaimOne, Limit, Wish


class Source(Protocol):
    """Where an account's messages come from.

    in_order: each message is claimed once the one before it has ended.
    """

    in_order: bool

    @property
    def exhausted(self) -> bool:
        """Whether nothing is left to wish for."""

    def wish(self, most: int) -> Wish | None:
        """Return the wish for the next messages, *most* at the most; None when nothing is left."""

    def gave(self, wish: Wish, many: int, refused: PrxEmailError | None) -> None:
        """Note how many messages *wish* gave; *refused*: why a chosen one was not given."""

    def put_back(self, claimed: Claimed) -> None:
        """Note that a message that was given has been given back."""

    def renew(self, due_before: int) -> None:
        """Let messages that were due at *due_before* be wished for, too."""


class DueMessages:
    """The messages that were due at *due_before*, in the order in which they are claimed.

    What becomes due, or is deferred, while a run lasts is the next one's.  now is filled in by the ledger.
    """

    in_order = False

    def __init__(self, account: str, due_before: int, limits: tuple[Limit, ...] = ()) -> None:
        self._whole = ClaimNext(account, due_before, due_before, limits)
        self._wish: ClaimNext | None = self._whole

    @property
    def exhausted(self) -> bool:
        """Whether nothing was due any more."""
        return self._wish is None

    def wish(self, most: int) -> ClaimNext | None:
        """Return the wish for any due messages, until there were fewer than asked for."""
        return self._wish and self._wish._replace(most=most)

    def gave(self, wish: Wish, many: int, refused: PrxEmailError | None) -> None:
        """With fewer than asked for nothing is due any more, or the limits are used up."""
        if isinstance(wish, ClaimNext) and many < wish.most:
            self._wish = None

    def put_back(self, claimed: Claimed) -> None:
        """It stays due: the next run takes it."""

    def renew(self, due_before: int) -> None:
        """A follower's next round begins."""
        wish = self._wish or self._whole
        self._wish = wish._replace(due_before=due_before)


class ChosenMessages:
    """The messages that a person chose, in that order; *on_refused* hears of each that is not given, and why."""

    in_order = True

    def __init__(
        self, ids: Iterable[int], on_refused: Callable[[int, PrxEmailError], None], *, force: bool,
        limits: tuple[Limit, ...] = (),
    ) -> None:  # fmt: skip
        self._ids, self._on_refused = deque(ids), on_refused
        self._force, self._limits = force, limits

    @property
    def exhausted(self) -> bool:
        """Whether every message was asked for."""
        return not self._ids

    def wish(self, most: int) -> Wish | None:
        """Return the wish for the next chosen message, and use it up."""
        return ClaimOne(self._ids.popleft(), 0, self._force, self._limits) if self._ids else None

    def gave(self, wish: Wish, many: int, refused: PrxEmailError | None) -> None:
        """Report a message that is refused."""
        if isinstance(wish, ClaimOne) and refused is not None:
            self._on_refused(wish.outbox_id, refused)

    def put_back(self, claimed: Claimed) -> None:
        """It was not attempted."""
        self._ids.appendleft(claimed.outbox_id)

    def renew(self, due_before: int) -> None:
        """Nothing is added to what was chosen."""

    def untouched(self) -> list[int]:
        """Return the ids of the messages that were not attempted."""
        return list(self._ids)


class AccountRun:
    """One account in one run.

    warn: is called with a text for a person, about what changes no message.  ahead_most: so many messages are claimed
    ahead for each connection at the most.
    """

    def __init__(
        self, name: str, source: Source, schedule: Schedule, warn: Callable[[str], None], ahead_most: int
    ) -> None:
        self.name, self._source, self._schedule, self._warn = name, source, schedule, warn
        self._ahead_most = 0 if source.in_order else ahead_most
        self._queue: deque[Claimed] = deque()  # claimed and not begun, the next one first
        self._ahead = self._connections = self._opened = 0
        self._asked = False
        self.most_connections = 1  # at once, in all runs that share them
        self.lacks_slot = False  # other runs have them all
        self.waiting = 0  # workers that wait for a message
        self.rests = self.retired = False
        self.pipelines = True  # an envelope may go with the content before it
        self.fault: PrxEmailError | None = None  # what is wrong with its config

    @property
    def in_order(self) -> bool:
        """Whether its messages were chosen by a person, in that order."""
        return self._source.in_order

    @property
    def has_connections(self) -> bool:
        """Tell whether a connection of this account is open."""
        return self._connections > 0

    @property
    def begins_nothing(self) -> bool:
        """Whether no message is to be begun any more, not even one whose envelope has left."""
        return self.rests or self._schedule.stopped

    @property
    def over(self) -> bool:
        """Whether no message will be taken any more, unless the schedule allows more later."""
        if self.rests:
            return True
        more = self._asked or (not self._source.exhausted and self._schedule.may_claim(self.name))
        return not self._queue and not more

    def take(self) -> Claimed | None:
        """Take the next claimed message, which is begun at once; None when none is at hand."""
        if self._queue and not self.rests:
            return self._queue.popleft()
        if self._asked and self._connections:  # it would have gone on: more is to be claimed ahead
            self._ahead = min(2 * self._ahead, self._ahead_most * self._connections)
        return None

    def wish(self) -> Wish | None:
        """Return what is to be claimed now; None when that is nothing.  ``came`` is owed for it."""
        if self._asked or self.rests:
            return None
        short = self.waiting + self._ahead - len(self._queue)
        if short <= 0 or (not self.waiting and 2 * short < self._ahead):
            return None
        most = self._schedule.take(self.name, 1 if self._source.in_order else short)
        wish = self._source.wish(most) if most else None
        if wish is None:
            self._schedule.give_back(self.name, most)
        self._asked = wish is not None
        return wish

    def came(self, wish: Wish, claims: list[Claimed], refused: PrxEmailError | None) -> None:
        """Take in what *wish* gave; *refused*: why a chosen message was not given."""
        self._asked = False
        self._queue.extend(claims)
        self._schedule.give_back(self.name, (wish.most if isinstance(wish, ClaimNext) else 1) - len(claims))
        self._source.gave(wish, len(claims), refused)
        if self._source.exhausted:
            self._schedule.exhausted(self.name)

    def renew(self, due_before: int) -> None:
        """A follower's next round begins while connections of the account are open."""
        self._source.renew(due_before)

    def put_back(self, claimed: Claimed) -> None:
        """Let another connection take a message that this one has not begun."""
        self._queue.appendleft(claimed)

    def given_back(self, claimed: Claimed) -> None:
        """Note that a claim is being undone."""
        self._schedule.give_back(self.name)
        self._source.put_back(claimed)

    def withdraw(self, ids: Collection[int]) -> list[Claimed]:
        """Return those of these messages that were not begun: they are to be given back."""
        back = [one for one in self._queue if one.outbox_id in ids]
        self._queue = deque(one for one in self._queue if one.outbox_id not in ids)
        return back

    @property
    def has_claimed(self) -> bool:
        """Tell whether messages are claimed and not begun."""
        return bool(self._queue)

    def leave(self) -> list[Claimed]:
        """Return what was claimed and not begun: it is to be given back."""
        left = list(self._queue)
        self._queue.clear()
        return left

    def connected(self) -> int:
        """Note that a connection has logged in; return its number within the run."""
        self._connections += 1
        self._opened += 1
        self._ahead = max(self._ahead, min(self._connections, self._ahead_most))
        self._schedule.works(self.name)
        return self._opened

    def disconnected(self) -> None:
        """Note that a connection is being closed."""
        self._connections -= 1

    def neighbour_lost(self) -> None:
        """A connection was lost with a message untouched: which of two was at fault must be told apart from now on."""
        self.pipelines = False

    def without_slot(self) -> None:
        """Other runs have all connections of the account: it goes on with those that it has, if any."""
        self.lacks_slot = not self._schedule.without_slot(self.name)

    def no_more_connections(self) -> None:
        """Another connection could not be opened: the account goes on with those that it has."""
        self._schedule.no_more_connections(self.name)

    def rest(self) -> None:
        """Let the account rest, because it cannot be used: nothing more is claimed for it in this run."""
        if not self.rests:
            self.rests = True
            self._schedule.rest(self.name)

    def retire(self) -> None:
        """Begin nothing more, because the config has changed: the next connections are another AccountRun's."""
        self.rests = self.retired = True
        self._schedule.exhausted(self.name)

    def unusable(self, fault: PrxEmailError) -> None:
        """Note a fault in the account's config: its messages stay untouched."""
        self.fault = fault
        self.rest()

    def lost(self, lost: ClaimLost) -> None:
        """Note a result that came too late: the message was another run's by then."""
        self._warn(f"{lost.message} ({lost.hint})")
