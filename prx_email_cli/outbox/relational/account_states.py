"""The part of the outbox that keeps the states of accounts."""

from typing import TYPE_CHECKING

from prx_email_cli.outbox.accounts import to_tell
from prx_email_cli.outbox.relational import accounts
from prx_email_cli.outbox.relational.actions import Deed
from prx_email_cli.outbox.relational.database import AtHome, OpenOutbox

if TYPE_CHECKING:
    from prx_email_cli.outbox.accounts import AccountState, Event


class AccountStates(OpenOutbox):
    """See ``Accounts`` for what each method promises."""

    def account_states(self) -> "dict[str, AccountState]":
        """Return the states by account."""
        with self.reading() as connection:
            return accounts.read(connection)

    def pause(self, pause: "AccountState") -> None:
        """Keep drains from an account."""
        AtHome(self).change(lambda connection: accounts.pause(connection, pause))

    def resume(self, account: str, now: int, *, alone: bool = False) -> bool:
        """End pause and rest of an account; tell whether there was one."""
        deed = Deed("resumed", now, self.acting)
        return AtHome(self).change(lambda connection: accounts.resume(connection, account, deed, alone=alone))

    def wake(self, account: str) -> None:
        """End the rest of an account; costs one read when nothing is known of it."""
        if account in self.account_states():
            AtHome(self).change(lambda connection: accounts.wake(connection, account))

    def forget_account(self, account: str) -> None:
        """Forget what is known of an account."""
        AtHome(self).change(lambda connection: accounts.forget(connection, account))

    def note_config(self, account: str, config: str) -> None:
        """Note the fingerprint of the config under which an account fails."""
        AtHome(self).change(lambda connection: accounts.note_config(connection, account, config))

    def take_untold(self, now: int) -> "list[tuple[Event, AccountState]]":
        """Return what a person is to be told of accounts now; costs one read when that is nothing."""
        if not any(to_tell(state, now) for state in self.account_states().values()):
            return []
        return AtHome(self).change(lambda connection: accounts.take_untold(connection, now))
