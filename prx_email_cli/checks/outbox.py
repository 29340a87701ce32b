"""Check the outbox, its messages and its drains; nothing is changed."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from prx_email_cli.checks.check import Check, Verdict, failed, ok, warning
from prx_email_cli.checks.machine import is_writable
from prx_email_cli.errors import NotPermitted, PrxEmailError, StorageError, Unwell
from prx_email_cli.files import taking
from prx_email_cli.outbox.accounts import AccountState
from prx_email_cli.outbox.skew import Skew
from prx_email_cli.outbox.store import Store
from prx_email_cli.outbox.surroundings import Surroundings
from prx_email_cli.outbox.views import Health

DRAIN_OVERDUE_SECONDS = 15 * 60  # cron starts drains every minute, or on some machines every ten
OLD_SECONDS = 3600
CLOCK_SLACK_SECONDS = 60
SKEW_SECONDS = 5  # with NTP clocks are milliseconds apart
_NTP, _NTP_OF_SERVER = "check the clock (NTP)", "check the clock of the database's server (NTP)"


def check_outbox(
    outbox: Surroundings, opened: Callable[[], AbstractContextManager[Store]], now: int
) -> Iterator[Check]:
    """Yield the checks of an outbox, or of its place if there is none yet.

    opened: opens it.  now: Unix seconds by this machine's clock.
    """
    if not outbox.is_made():
        yield from check_missing(outbox, now)
        return
    try:
        with opened() as store:
            skew = store.skew
            yield from _made(store, outbox, now if skew is None else round(now - skew.seconds))
            if skew is not None:
                yield _clocks(skew)
    except PrxEmailError as error:
        yield failed("database", error)


def _made(store: Store, outbox: Surroundings, now: int) -> Iterator[Check]:
    try:
        health = store.health(now)
    except NotPermitted:
        yield _checked(store, "its server answers; its role may not read messages, so another one has to check those")
        yield _cron(outbox.last_drain_at(), now)
        return
    yield _database(store, health, outbox)
    if health.faults:
        return  # what a damaged database says of its messages cannot be trusted
    yield _recorded_times(health, now, _NTP if outbox.is_file else _NTP_OF_SERVER)
    messages = _messages(health, outbox.dead_among(health.sending_runs))
    if messages.result is not Verdict.OK or not outbox.unreadable:
        yield messages
    for error in outbox.unreadable:
        yield failed("messages", error)
    yield from _accounts(store.account_states(), now)
    yield _cron(outbox.last_drain_at(), now, _NTP if outbox.is_file else _NTP_OF_SERVER)


def check_missing(outbox: Surroundings, now: int) -> Iterator[Check]:
    """Yield the checks of an outbox's place in which there is none, the most important first."""
    directory = outbox.directory()
    if outbox.last_drain_at() is not None:
        hint = "mount its disk, or restore a backup; to begin a new outbox, remove the .runs directory beside it"
        yield failed("database", StorageError("the outbox is gone: a drain has ended here before", hint=hint))
        yield _cron(outbox.last_drain_at(), now)
    elif not is_writable(directory):
        yield failed(
            "database",
            StorageError(
                f"cannot be made: {directory} is not writable by you",
                hint=f"name another [outbox] path, or {taking(directory)}",
            ),
        )
    else:
        yield ok("database", "not there yet: the first send makes it")


def _database(store: Store, health: Health, outbox: Surroundings) -> Check:
    if health.faults:
        return failed("database", StorageError(f"damaged: {'; '.join(health.faults)}", hint=health.repair))
    seen = "intact" if outbox.is_file else "its server answers, and its counts agree"
    return _checked(store, f"{seen}, schema version {health.schema_version}")


def _checked(store: Store, seen: str) -> Check:
    """Return the check of a database of which *seen* is known, and which may have been restored, or moved."""
    try:
        store.refuse_restored()
    except PrxEmailError as error:
        return failed("database", error)
    return ok("database", seen)


def _clocks(skew: Skew) -> Check:
    """Check that this machine's clock and that of the database's server agree."""
    apart, unsure = abs(skew.seconds), skew.unsure_seconds
    which = "ahead of" if skew.seconds > 0 else "behind"
    detail = f"this machine's is {apart:.2f} s {which} the database server's, give or take {max(unsure, 0.005):.2f} s"
    if apart - unsure > SKEW_SECONDS:
        fix = "see to NTP on both: which is wrong cannot be told from here; the server's decides what is due"
        return warning("clocks", detail, fix, Unwell)
    return ok("clocks", detail)


def _recorded_times(health: Health, now: int, fix: str) -> Check:
    """Check that no recorded time is in the future, as after a clock that was ahead."""
    if health.newest_at is not None and health.newest_at > now + CLOCK_SLACK_SECONDS:
        detail = f"the outbox has a time that is {health.newest_at - now} s ahead of the clock"
        return warning("recorded times", detail, fix, Unwell)
    return ok("recorded times", "none in the future")


def _messages(health: Health, dead: list[str]) -> Check:
    if dead:
        return warning(
            "messages", f"runs died while sending: {', '.join(dead)}", "prx-email drain recovers them", Unwell
        )
    if health.unsent_for_seconds is not None and health.unsent_for_seconds > OLD_SECONDS:
        minutes = health.unsent_for_seconds // 60
        fix = "prx-email list --status failed tells why, prx-email list --due what waits for a drain"
        return warning("messages", f"one has waited for {minutes} minutes since it was first due", fix, Unwell)
    if health.waiting_for_a_person:
        detail = f"{health.waiting_for_a_person} uncertain ones wait for a person"
        fix = "prx-email list --uncertain, then prx-email resolve ID --sent or --not-sent"
        return warning("messages", detail, fix, Unwell)
    return ok("messages", f"none stuck or old; {health.gave_up} given up (prx-email list --gave-up)")


def _accounts(states: dict[str, AccountState], now: int) -> Iterator[Check]:
    """Name the accounts that drains leave alone, and those that do not work."""
    for name, state in states.items():
        who = f"account {name}" if name else "all accounts"
        if state.is_paused(now):
            ago, which = now - (state.paused_at or now), f" --account {name}" if name else ""
            detail = f"{who} {'is' if name else 'are'} paused by {state.paused_by} since {ago} s"
            yield warning("accounts", detail, f"prx-email resume{which}", Unwell)
        elif state.failing_since is not None:
            detail = f"{who} does not work since {now - state.failing_since} s: {state.detail}"
            yield warning("accounts", detail, f"prx-email account test {name} tells whether it works again", Unwell)


def _cron(last_drain: int | None, now: int, clock: str = _NTP) -> Check:
    fix = "add the line that prx-email cron prints to your crontab (crontab -e)"
    if last_drain is None:
        return warning("cron", "no drain has ended here yet", fix, Unwell)
    ago = now - last_drain
    if ago < -CLOCK_SLACK_SECONDS:
        return warning("cron", f"the last drain ended {-ago} s ahead of the clock", clock, Unwell)
    detail = f"the last drain ended {ago} s ago"
    if ago > DRAIN_OVERDUE_SECONDS:
        return warning("cron", detail, f"look at cron's own log; {fix}", Unwell)
    return ok("cron", detail)
