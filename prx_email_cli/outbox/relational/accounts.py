"""Keep the states of accounts beside their messages, each step inside its caller's transaction."""

from collections.abc import Sequence

from prx_email_cli.outbox.accounts import (
    EVERY_ACCOUNT,
    AccountState,
    Event,
    after_attempt,
    to_tell,
    told,
    works_again,
)
from prx_email_cli.outbox.lifecycle import Scope
from prx_email_cli.outbox.messages import Finished
from prx_email_cli.outbox.relational import actions
from prx_email_cli.outbox.relational.actions import Deed
from prx_email_cli.outbox.relational.database import Connection

# Reads all states.
STATES = f"SELECT {', '.join(AccountState._fields)} FROM account_state ORDER BY account"

# Reads whether an account is failing.
FAILING = "SELECT 1 FROM account_state WHERE failing_since IS NOT NULL LIMIT 1"

# Stores a state, in place of an earlier one.
PUT_STATE = f"""
INSERT INTO account_state ({", ".join(AccountState._fields)}) VALUES ({", ".join("?" * len(AccountState._fields))})
    ON CONFLICT (account) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in AccountState._fields[1:])}
"""

# Forgets a state of which nothing is left.
DROP_STATE = "DELETE FROM account_state WHERE account = ?"

# Which accounts a person has paused; written out where a statement asks for it.
PAUSED = """
SELECT account FROM account_state WHERE paused_at IS NOT NULL AND (paused_until IS NULL OR paused_until > :now)
"""

IS_PAUSED = f"""
-- reads whether a person has paused :account, or all
SELECT 1 FROM ({PAUSED}) AS paused WHERE account IN (:account, '{EVERY_ACCOUNT}')
"""

DUE_AGAIN = """
-- failed stays, due at once: what failed by an account that works again; what drains do not take is left alone
UPDATE outbox SET next_attempt_at = first_due_at
 WHERE account = :account AND next_attempt_at > first_due_at AND by_account
   AND status = 'failed' AND held_at IS NULL AND gave_up IS NULL
"""


def read(connection: Connection) -> dict[str, AccountState]:
    """Return the states by account; none of an account of which nothing is known."""
    return {row[0]: AccountState(*row) for row in connection.execute(STATES)}


def put(connection: Connection, state: AccountState) -> None:
    """Store a state."""
    if state.is_plain:
        connection.execute(DROP_STATE, (state.account,))
    else:
        connection.execute(PUT_STATE, state)


def is_paused(connection: Connection, account: str, now: int) -> bool:
    """Tell whether a person has paused *account*, or all."""
    return connection.execute(IS_PAUSED, {"account": account, "now": now}).fetchone() is not None


def note(connection: Connection, finished: Sequence[Finished]) -> None:
    """Take in what recorded attempts show of their accounts; what failed by one that works again is due at once."""
    failed = any(one.outcome.scope is Scope.ACCOUNT for one in finished)
    if not failed and connection.execute(FAILING).fetchone() is None:
        return
    connection.lock_accounts()
    states = read(connection)
    for one in finished:
        account = one.claimed.account
        before = states.get(account, AccountState(account))
        after = states[account] = after_attempt(before, one)
        if after != before:
            put(connection, after)
        if works_again(before, after):
            connection.execute(DUE_AGAIN, {"account": account})


def pause(connection: Connection, pause: AccountState) -> None:
    """Store and record a pause, beside what else is known of the account."""
    deed = Deed("paused", pause.paused_at or 0, pause.paused_by or "", pause.reason)
    actions.record_of_account(connection, pause.account, deed)
    connection.lock_accounts()
    before = read(connection).get(pause.account, AccountState(pause.account))
    put(connection, before.paused_as(pause))


def resume(connection: Connection, account: str, deed: Deed, *, alone: bool = False) -> bool:
    """End and record the end of pause and rest of *account*; tell whether there was one.

    With EVERY_ACCOUNT of all; *alone*: only the pause of all, and no account's own.
    """
    connection.lock_accounts()
    everyone = account == EVERY_ACCOUNT and not alone
    states = [one for one in read(connection).values() if everyone or one.account == account]
    ended = [one for one in states if one.paused_at is not None or one.rests_until is not None]
    for state in ended:
        put(connection, state.resumed())
        actions.record_of_account(connection, state.account, deed)
    return bool(ended)


def wake(connection: Connection, account: str) -> None:
    """End the rest of *account*."""
    connection.lock_accounts()
    state = read(connection).get(account)
    if state is not None:
        put(connection, state.woken())


def forget(connection: Connection, account: str) -> None:
    """Forget what is known of *account*."""
    connection.execute(DROP_STATE, (account,))


def note_config(connection: Connection, account: str, config: str) -> None:
    """Note under which config a failing account fails."""
    connection.lock_accounts()
    state = read(connection).get(account)
    if state is not None and state.failing_since is not None:
        put(connection, state._replace(config=config))


def take_untold(connection: Connection, now: int) -> list[tuple[Event, AccountState]]:
    """Return what a person is to be told of accounts now, and mark it as told."""
    connection.lock_accounts()
    found = [(event, state) for state in read(connection).values() if (event := to_tell(state, now)) is not None]
    for event, state in found:
        put(connection, told(state, event, now))
    return found
