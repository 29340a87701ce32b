"""What is known of accounts, in memory."""

from __future__ import annotations

from prx_email_cli.outbox import accounts
from prx_email_cli.outbox.accounts import EVERY_ACCOUNT, AccountState, Event
from prx_email_cli.outbox.history import Entry
from prx_email_cli.outbox.messages import Finished

# What fits on one line is written on one:
# fmt: off


class MemoryAccounts:
    """See ``Accounts`` for what each method promises."""

    acting: str

    def __init__(self) -> None:
        super().__init__()
        self._states: dict[str, AccountState] = {}
        self._deeds: list[Entry] = []

    def account_states(self) -> dict[str, AccountState]: return dict(self._states)
    def _of(self, account: str) -> AccountState: return self._states.get(account, AccountState(account))

    def _put(self, state: AccountState) -> None:
        self._states.pop(state.account, None)
        if not state.is_plain:
            self._states[state.account] = state

    def is_paused(self, account: str, now: int) -> bool:
        return self._of(account).is_paused(now) or self._of(EVERY_ACCOUNT).is_paused(now)

    def note(self, finished: Finished) -> bool:
        """Take in a recorded attempt; tell whether its account works again."""
        before = self._of(finished.claimed.account)
        self._put(accounts.after_attempt(before, finished))
        return accounts.works_again(before, self._of(before.account))

    def pause(self, pause: AccountState) -> None:
        self._put(self._of(pause.account).paused_as(pause))
        self._did(pause.paused_at or 0, pause.account, "paused", pause.paused_by or "", pause.reason)

    def _did(self, at: int, account: str, what: str, who: str, why: str | None = None) -> None:
        self._deeds.append(Entry(at, "action", None, len(self._deeds), account, what, who, why))

    def of_accounts(self, account: str | None) -> list[Entry]:
        return [one for one in self._deeds if account is None or one.account in (account, EVERY_ACCOUNT)]

    def forget_account(self, account: str) -> None: self._states.pop(account, None)

    def resume(self, account: str, now: int, *, alone: bool = False) -> bool:
        ended = [one for one in self._states.values()
                 if (one.account == account or (account == EVERY_ACCOUNT and not alone))
                 and (one.paused_at is not None or one.rests_until is not None)]
        for one in ended:
            self._put(one.resumed())
            self._did(now, one.account, "resumed", self.acting)
        return bool(ended)

    def wake(self, account: str) -> None: self._put(self._of(account).woken())

    def note_config(self, account: str, config: str) -> None:
        if self._of(account).failing_since is not None:
            self._put(self._of(account)._replace(config=config))

    def take_untold(self, now: int) -> list[tuple[Event, AccountState]]:
        found = [(event, one) for one in self._states.values() if (event := accounts.to_tell(one, now)) is not None]
        for event, one in found:
            self._put(accounts.told(one, event, now))
        return found
