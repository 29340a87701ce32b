"""Which account opens the next connection, and which may claim one more message: pure, stepped with the time.

Accounts never wait for each other: each has its own connections and its own share of the messages; only the pool of the
run's connections is common.
"""

from collections.abc import Mapping
from typing import NamedTuple

from prx_email_cli.outbox.lifecycle import delay_after

POOL = 100  # connections of one run at once, as many as one account may be given
LONGEST_REST_SECONDS = 60  # of an account that a run itself lets rest
SLOT_AGAIN_SECONDS = 2  # so long a run waits before it asks again for a connection that other runs have


class Part(NamedTuple):
    """An account's part in a run: how many messages wait, and over how many connections they may go."""

    waiting: int
    connections: int


class _Account:
    """An account that has messages to send.

    slots: how many it may still claim, None for any number.  dealt: how many slots it was given in all.
    """

    def __init__(self, part: Part) -> None:
        self.waiting, self.connections = part
        self.slots: int | None = None
        self.dealt = self.open = 0
        self.works = self.exhausted = False
        self.asks_at = 0  # from then on it may ask for a connection again that other runs have

    def renew(self, waiting: int) -> None:
        """More may wait now, beside what the open connections are sending."""
        self.waiting, self.exhausted = waiting + self.open, False

    @property
    def wanted(self) -> int:
        """How many more connections it can use: one shows whether the account works, then the others open."""
        if self.exhausted:
            return 0
        most = min(self.connections if self.works else 1, self.waiting)
        return most - self.open if self.slots is None else min(most - self.open, self.slots)


def shares(limit: int, waiting: Mapping[str, int]) -> dict[str, int]:
    """Deal *limit* messages out in turn, to no account more than it has waiting."""
    dealt = dict.fromkeys(waiting, 0)
    left = min(limit, sum(waiting.values()))
    while left:
        for name, most in waiting.items():
            if left and dealt[name] < most:
                dealt[name] += 1
                left -= 1
    return dealt


class Schedule:
    """Deals out a run's connections and claims.

    limit: at most so many claims until everything is idle again, None for any number.  pool: at most so many open
    connections.  base_seconds: of the backoff between two tries of an account that cannot be used.
    """

    def __init__(self, *, limit: int | None = None, pool: int = POOL, base_seconds: int = 5) -> None:
        self._limit, self._pool, self._base_seconds = limit, pool, base_seconds
        self._undealt = limit or 0
        self._accounts: dict[str, _Account] = {}  # the one that opened a connection last stands last
        self._rests: dict[str, int] = {}
        self._left_alone: set[str] = set()  # the accounts among those for which not this run decides that
        self._failures: dict[str, int] = {}
        self.stopped = False  # nothing more is claimed, and no connection opened
        self._now = 0

    def at(self, now: int) -> None:
        """Set the time of the calls that follow to *now*."""
        self._now = now

    @property
    def idle(self) -> bool:
        """Tell whether no connection is open and none is to be opened."""
        accounts = self._accounts.values()
        return not any(account.open or (account.wanted > 0 and not self.stopped) for account in accounts)

    def _asks(self, account: _Account) -> bool:
        return not self._now < account.asks_at <= self._now + SLOT_AGAIN_SECONDS  # else the clock has stepped back

    def open_to(self, name: str) -> bool:
        """Tell whether the account could begin now: it neither rests nor is at work."""
        until, now = self._rests.get(name), self._now
        rests = until is not None and now < until <= now + LONGEST_REST_SECONDS  # else the clock has stepped back
        at_work = name in self._accounts and not self.idle
        return not rests and not at_work and not self.stopped

    def begin(self, parts: Mapping[str, Part]) -> None:
        """Let these accounts send what waits there; one that is at work already may send it as well."""
        if self.idle:
            self._accounts.clear()
            self._undealt = self._limit or 0
        for name, part in parts.items():
            self._rests.pop(name, None)
            if name in self._accounts:
                self._accounts[name].renew(part.waiting)
            elif part.waiting > 0:
                self._accounts[name] = _Account(part)
        self._deal()

    def at_work(self, name: str) -> bool:
        """Tell whether connections of the account are open."""
        return name in self._accounts and self._accounts[name].open > 0

    @property
    def starved(self) -> bool:
        """Whether an account waits for a connection because others have all that a run may open."""
        return not self.stopped and self._full and any(account.wanted > 0 for account in self._accounts.values())

    @property
    def _full(self) -> bool:
        return sum(account.open for account in self._accounts.values()) >= self._pool

    def next_connection(self) -> str | None:
        """Choose the account that opens a connection now, and count that as open; None when none may."""
        if self.stopped or self._full:
            return None
        for name, account in self._accounts.items():
            if account.wanted > 0 and self._asks(account):
                account.open += 1
                self._accounts[name] = self._accounts.pop(name)
                return name
        return None

    def works(self, name: str) -> None:
        """Note that the account has logged in: its other connections may follow."""
        self._accounts[name].works = True
        self._failures.pop(name, None)

    def no_more_connections(self, name: str) -> None:
        """Note that the account could not open another connection: it goes on with those that it has."""
        account = self._accounts[name]
        account.connections = account.open - 1

    def without_slot(self, name: str) -> bool:
        """Note that other runs have all connections of the account; tell whether it goes on with some of its own.

        It asks for more later.  An account without any is left alone until then.
        """
        account = self._accounts[name]
        if account.open > 1:
            account.asks_at = self._now + SLOT_AGAIN_SECONDS
            return True
        account.exhausted = True
        self._rests[name] = self._now + SLOT_AGAIN_SECONDS
        return False

    def may_claim(self, name: str) -> bool:
        """Tell whether the account may claim one more message now."""
        account = self._accounts.get(name)
        none = account is None or account.exhausted or account.slots == 0
        return not (none or self.stopped or name in self._rests)

    def take(self, name: str, most: int = 1) -> int:
        """Use up slots for so many claims of the account, or for as many as it may make; return how many."""
        if not self.may_claim(name):
            return 0
        account = self._accounts[name]
        if account.slots is None:
            return most
        taken = min(most, account.slots)
        account.slots -= taken
        return taken

    def give_back(self, name: str, many: int = 1) -> None:
        """Free slots that ``take`` used up: no message was claimed for them, or it was given back."""
        account = self._accounts.get(name)
        if account is None:  # all its connections have ended
            self._undealt += many
            self._deal()
        elif account.slots is not None:
            account.slots += many

    def exhausted(self, name: str) -> None:
        """Nothing more is to be claimed for the account, and no connection to be opened."""
        if name in self._accounts:
            self._accounts[name].exhausted = True

    def rest(self, name: str) -> None:
        """Let the account rest, because it cannot be used, until it is tried again, each time later.

        It opens no connection meanwhile, also while others of its are still open.
        """
        self.exhausted(name)
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        self._rests[name] = self._now + min(delay_after(failures - 1, self._base_seconds), LONGEST_REST_SECONDS)

    def try_again(self, name: str) -> None:
        """Let the account rest no longer: its config has changed."""
        self._rests.pop(name, None)
        self._failures.pop(name, None)

    def leave_alone(self, until: Mapping[str, int | None]) -> None:
        """Leave these accounts alone, each until that time or, if None, until it is not among those any more."""
        for name in self._left_alone:
            self._rests.pop(name, None)
        self._left_alone = set(until)
        self._rests |= {name: at for name, at in until.items() if at is not None}

    def next_rest_over(self) -> int | None:
        """Return when the next account has rested enough, in Unix seconds; None when none rests."""
        return min(self._rests.values(), default=None)

    def closed(self, name: str) -> None:
        """Note that a connection has ended.  After its last one the account's unused slots go to others."""
        account = self._accounts[name]
        account.open -= 1
        if account.open:
            return
        if account.slots == 0 and account.dealt < account.waiting and name not in self._rests:
            return  # it has used its share up, and may get some of what others leave
        del self._accounts[name]
        self._undealt += account.slots or 0
        self._deal()

    def stop(self) -> None:
        """Nothing more is claimed, and no connection opened."""
        self.stopped = True

    def _deal(self) -> None:
        if self._limit is None:
            return
        for name, more in shares(self._undealt, {name: account.waiting - account.dealt
                                                 for name, account in self._accounts.items()}).items():  # fmt: skip
            account = self._accounts[name]
            account.slots = (account.slots or 0) + more
            account.dealt += more
            self._undealt -= more
