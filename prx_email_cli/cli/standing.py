"""Say how accounts stand: paused, resting, failing, or at work again."""

from typing import TYPE_CHECKING, Any

from prx_email_cli.cli.render import moment, safe
from prx_email_cli.outbox.accounts import EVERY_ACCOUNT, AccountState, Event

if TYPE_CHECKING:
    from prx_email_cli.delivery.standing import LeftAlone


_FAILS = {"auth": "login refused", "network": "server not reached", "tls": "TLS fails"}  # by the error's code


def this_person() -> str:
    """Return who calls this program, as user@host."""
    from prx_email_cli.submission.caller import caller  # on use

    who = caller("")
    return f"{who.user}@{who.host}"


def standing_object(state: AccountState, now: int) -> dict[str, Any]:
    """Make the JSON object of an account's state."""
    return {
        "account": state.account or None,
        "paused": state.is_paused(now),
        "paused_at": state.paused_at,
        "paused_until": state.paused_until,
        "paused_by": state.paused_by,
        "reason": state.reason,
        "resting": state.rests(now),
        "rests_until": state.rests_until,
        "failing_since": state.failing_since,
        "error_code": state.error,
        "detail": state.detail,
    }


def what_fails(state: AccountState) -> str:
    """Name in few words what keeps an account from working."""
    return _FAILS.get(state.error or "", "does not work")


def why_left_alone(account: str, left: "LeftAlone") -> str:
    """Say why drains leave an account alone."""
    state = left.state
    if left.in_use:
        return f"account {safe(account)}: other drains use all {left.in_use} connections that it may have at once"
    if left.rests:
        return (
            f"account {safe(account)} rests until {moment(state.rests_until)}: {safe(state.detail or '')} "
            f"(prx-email account test {safe(account)} tells whether it works again)"
        )
    what = "all accounts are" if state.account == EVERY_ACCOUNT else f"account {safe(account)} is"
    until = f" until {moment(state.paused_until)}" if state.paused_until is not None else ""
    why = f": {safe(state.reason)}" if state.reason else ""
    which = "" if state.account == EVERY_ACCOUNT else f" --account {safe(account)}"
    by = f"by {safe(state.paused_by)} since {moment(state.paused_at)}"
    return f"{what} paused{until} {by}{why} (prx-email resume{which})"


def told_of(event: Event, state: AccountState, waiting: int) -> str:
    """Say what a person is to hear of an account."""
    if event is Event.UP:
        return f"account {safe(state.account)} works again"
    wait = f"{waiting} message{'s wait' if waiting != 1 else ' waits'}"
    name, since = safe(state.account), moment(state.failing_since)
    return (
        f"account {name}: {what_fails(state)} since {since} ({safe(state.detail)}); {wait}. "
        f"→ prx-email account test {name}"
    )
