"""Leave alone the accounts that a person has paused, and those that rest because their server refused them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from prx_email_cli.config.table import Table
from prx_email_cli.errors import ConfigError
from prx_email_cli.outbox.accounts import EVERY_ACCOUNT, AccountState
from prx_email_cli.outbox.hashing import sha256

if TYPE_CHECKING:
    from prx_email_cli.config.settings import Account, Settings
    from prx_email_cli.outbox.store import Accounts


class LeftAlone(NamedTuple):
    """Why an account is not used: *paused* by a person, or else resting.  state: its own, or that of all.

    in_use: so many connections it may have at once, and other runs have them all; that is then the reason.
    """

    state: AccountState
    paused: bool
    in_use: int = 0

    @property
    def rests(self) -> bool:
        """Tell whether it rests."""
        return not self.paused and not self.in_use

    @property
    def until(self) -> int | None:
        """Return until when, in Unix seconds; None until a person resumes it."""
        return self.state.paused_until if self.paused else self.state.rests_until


def in_use(account: str, connections: int) -> LeftAlone:
    """Say that an account is not used because other runs have all its connections."""
    return LeftAlone(AccountState(account), paused=False, in_use=connections)


class Standings:
    """What the outbox knows of the accounts of one run.  failed: the accounts that failed since ``note_failed``."""

    def __init__(self, outbox: Accounts, settings: Settings) -> None:
        self._outbox, self._settings = outbox, settings
        self._failed: set[str] = set()

    def left_alone(self, names: list[str], now: int) -> dict[str, LeftAlone]:
        """Return which of these accounts are not to be used now, and why.

        A rest is over when the account's config has changed since.
        """
        states, found = self._outbox.account_states(), dict[str, LeftAlone]()
        everyone = states.get(EVERY_ACCOUNT)
        for name in names:
            state = states.get(name, AccountState(name))
            if state.is_paused(now):
                found[name] = LeftAlone(state, paused=True)
            elif everyone is not None and everyone.is_paused(now):
                found[name] = LeftAlone(everyone, paused=True)
            elif state.rests(now) and not self._has_another_config(state):
                found[name] = LeftAlone(state, paused=False)
        return found

    def _has_another_config(self, state: AccountState) -> bool:
        if state.config is None:
            return False
        changed = self._fingerprint(state.account) != state.config
        if changed:
            self._outbox.wake(state.account)
        return changed

    def failed(self, name: str) -> None:
        """Note that an attempt has failed by the account."""
        self._failed.add(name)

    def note_failed(self) -> None:
        """Have the outbox note the configs of the accounts that failed."""
        for name in self._failed:
            self._outbox.note_config(name, self._fingerprint(name))
        self._failed.clear()

    def _fingerprint(self, name: str) -> str:
        try:
            return fingerprint(self._settings.account(name))
        except ConfigError:
            return ""


def fingerprint(account: Account) -> str:
    """Compute a short digest of what the config says of *account*, but for its secrets."""
    return sha256(repr(_plain(account)).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _plain(value: object) -> object:
    """Return what a table says, of its secrets only whether they are there."""
    if not isinstance(value, Table):
        return value
    return [(name, getattr(value, one.name) is not None if one.secret else _plain(getattr(value, one.name)))
            for name, one in value.keys.items()]  # fmt: skip


def is_same(one: object, other: object) -> bool:
    """Tell whether two tables of the config say the same, also of their secrets."""
    if not isinstance(one, Table) or not isinstance(other, Table):
        return one == other
    names = [key.name for key in one.keys.values()]
    return type(one) is type(other) and all(is_same(getattr(one, name), getattr(other, name)) for name in names)
