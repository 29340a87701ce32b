"""Say of one message what became of it, what happens next and when, and which command changes it; pure."""

from typing import NamedTuple

from prx_email_cli.checks.known_replies import known_reply
from prx_email_cli.checks.outbox import CLOCK_SLACK_SECONDS, DRAIN_OVERDUE_SECONDS
from prx_email_cli.cli.render import short_moment, span
from prx_email_cli.cli.standing import what_fails
from prx_email_cli.outbox.accounts import AccountState
from prx_email_cli.outbox.history import LivingRun, host_of
from prx_email_cli.outbox.lifecycle import Reason, RecipientStatus, RetryPolicy, Status
from prx_email_cli.outbox.views import Attempt, Particulars, Recipient, Row, Usage

MOST_ADDRESSES = 3


class Circumstances(NamedTuple):
    """What else decides what happens to a message.

    now: Unix seconds.  account, everyone: how its account stands, and whether all are paused.  in_config: the config
    has its account.  used_up: the limit of its account that is used up.  runs: those that are alive.  restored: the
    outbox is a restored backup that nobody has accepted.  moved: why it sends nothing any more, "" if it does.
    host: this machine's name.
    """

    now: int
    policy: RetryPolicy
    account: AccountState
    everyone: AccountState
    in_config: bool = True
    used_up: Usage | None = None
    last_drain_at: int | None = None
    runs: tuple[LivingRun, ...] = ()
    restored: bool = False
    moved: str = ""
    host: str = ""


class Command(NamedTuple):
    """The words of a command line after ``prx-email``, and what the command does for this message."""

    words: tuple[str, ...]
    does: str


class Answer(NamedTuple):
    """What became of a message, what happens next, and what a person can do; texts from outside are not escaped."""

    answer: str
    next: str
    commands: list[Command]


class _Next(NamedTuple):
    text: str
    commands: list[Command]


def answer(row: Row, around: Circumstances) -> Answer:
    """Answer for a message that was read with its particulars."""
    about = row.particulars
    if about is None:
        raise ValueError("read without its particulars")
    return Answer(_became(row, about, around), *_next(row, about, around))


def command(*words: object, does: str) -> Command:
    """Make a command."""
    return Command(tuple(map(str, words)), does)


# What became of it.


def _became(row: Row, about: Particulars, around: Circumstances) -> str:
    now = around.now
    if row.status == Status.SENT:
        return _sent(row, now)
    shares = _shares(row.recipients)
    twice = "may have arrived twice" if row.repeated else ""
    return "; ".join(part for part in (shares, _stands(row, about, now, bool(shares)), twice, _why(row)) if part)


def _stands(row: Row, about: Particulars, now: int, parts: bool) -> str:  # noqa: FBT001
    """Say how a message that is not sent stands.  parts: how it stands with each recipient was said."""
    if row.status == Status.SENDING:
        return "its run died while it was sending it" if row.run_died else "is being sent now"
    if row.gave_up is not None:
        return _given_up(row, about, now)
    if row.uncertain and not parts:
        return f"may have been sent: {_attempts(row.attempts, now)}, and an answer was lost"
    if not row.attempts:
        return "not attempted yet"
    return _attempts(row.attempts, now) if parts else f"not sent yet: {_attempts(row.attempts, now)}"


def _sent(row: Row, now: int) -> str:
    many = len(row.recipients)
    to = f" to all {many} recipients" if many > 1 else ""
    by = next((did.who for did in reversed(row.actions) if (did.what, did.detail) == ("resolved", "sent")), None)
    marked = f"marked as sent by {by}" if by is not None else f"sent{to}"
    twice = "; may have arrived twice: an attempt whose answer was lost came before" if row.repeated else ""
    return f"{marked} {_ago(row.sent_at, now)}{twice}"


def _shares(recipients: list[Recipient]) -> str:
    """Say who has the message and who has not, where these are not all alike."""
    groups = {
        "refused": [one for one in recipients if one.status == RecipientStatus.REFUSED and not one.uncertain],
        "uncertain": [one for one in recipients if one.status != RecipientStatus.ACCEPTED and one.uncertain],
        "waiting": [one for one in recipients if one.status == RecipientStatus.PENDING and not one.uncertain],
    }
    accepted = sum(one.status == RecipientStatus.ACCEPTED for one in recipients)
    if not accepted and sum(map(bool, groups.values())) < 2:
        return ""
    names = [f"{_addresses(some)} {word}" for word, some in groups.items() if some]
    if not accepted:
        return "; ".join(names)
    return "; ".join([f"partly sent: {accepted} of {len(recipients)}", *names])


def _addresses(some: list[Recipient]) -> str:
    more = f" and {len(some) - MOST_ADDRESSES} more" if len(some) > MOST_ADDRESSES else ""
    return ", ".join(one.address for one in some[:MOST_ADDRESSES]) + more


def _given_up(row: Row, about: Particulars, now: int) -> str:
    if row.gave_up == Reason.CANCELLED:
        did = next((did for did in reversed(row.actions) if did.what == "cancelled"), None)
        return "cancelled" if did is None else f"cancelled by {did.who} {_ago(did.at, now)}"
    if row.gave_up == Reason.EXPIRED:
        unsent = " before it was attempted" if not row.attempts else ""
        return f"given up: it expired {_ago(about.expires_at, now)}{unsent}"
    if row.gave_up == Reason.DAMAGED:
        return "given up: what is stored is not what was submitted"
    if row.gave_up == Reason.TOO_OLD:
        return f"given up: too long undelivered, {_attempts(row.attempts, now)}"
    return "given up: refused for good"


def _attempts(attempts: list[Attempt], now: int) -> str:
    ended = [one.finished_at for one in attempts if one.finished_at is not None]
    failed = "1 attempt failed" if len(ended) == 1 else f"{len(ended)} attempts failed"
    return failed + (f", the last {_ago(ended[-1], now)}" if ended else "")


def _why(row: Row) -> str:
    """Return the words of the latest failure, unless what became of the message says enough."""
    silent = (Reason.CANCELLED, Reason.DAMAGED)
    if row.status != Status.FAILED or not row.attempts or row.gave_up in silent:
        return ""
    return row.last_error or ""


# What happens next.


def _next(row: Row, about: Particulars, around: Circumstances) -> _Next:
    if row.status == Status.SENT:
        return _Next("nothing: it is over", [])
    if row.status == Status.SENDING:
        return _under_way(row, about, around)
    if row.gave_up is not None:
        return _over(row, about, around)
    told = _waits(row, about, around)
    until = "" if row.held else _until(row, about, around)
    return told._replace(text=told.text + (f"; {until}" if until else ""))


def _under_way(row: Row, about: Particulars, around: Circumstances) -> _Next:
    if row.run_died:
        drained = _drains(about, around, settles=True)
        host = host_of(about.run_id or "")
        if host not in ("", around.host):
            text = f"a drain on {host} settles it at once, by what it knows; one elsewhere waits a while for that"
            return _Next(f"{text}: {drained.text}", drained.commands)
        return _Next(f"the next drain settles it: {drained.text}", drained.commands)
    began, run = around.now, about.run_id
    if row.attempts:  # it may have ended since they were read
        began, run = row.attempts[-1].started_at, row.attempts[-1].run_id
    text = f"run {run} has had it for {span(around.now - began)} and records what comes of it"
    return _Next(text, [command("show", row.outbox_id, "--follow", does="tells when it is over")])


def _over(row: Row, about: Particulars, around: Circumstances) -> _Next:
    dismissed = f", and its failure was dismissed {_ago(row.dismissed_at, around.now)}" if row.dismissed_at else ""
    text = f"nothing: no drain takes it again{dismissed}"
    failed = row.dismissed_at is None and row.gave_up != Reason.CANCELLED
    dismiss = [command("dismiss", row.outbox_id, does="its failure was seen, and counts no more")] if failed else []
    if row.uncertain:
        return _Next(f"{text}; look whether it arrived", _resolve(row))
    if row.pruned_at is not None:
        return _Next(f"nothing: its content was dropped {_ago(row.pruned_at, around.now)}, so that it cannot be sent"
                     f" again{dismissed}", dismiss)  # fmt: skip
    if row.gave_up == Reason.DAMAGED:
        return _Next(f"{text}; send it anew from where it came", [
            command("doctor", does="checks the whole outbox"), *dismiss])  # fmt: skip
    return _Next(text, [*_correct(row), _retry(row, about, around, "tries it once more"), *dismiss])


def _correct(row: Row) -> list[Command]:
    """Return the command that corrects the first address that does not exist; none without one."""
    for one in row.recipients:
        known = known_reply(one.response or "") if one.status == RecipientStatus.REFUSED else None
        if known is not None and known.wrong_address:
            replace = f"{one.address}=NEW"
            return [command("edit", row.outbox_id, "--replace", replace, "--retry", does="sends to another address")]
    return []


def _waits(row: Row, about: Particulars, around: Circumstances) -> _Next:
    """Say what a message waits for that drains are to deliver, and what ends that."""
    name, state, now = row.account, around.account, around.now
    detail = "" if state.detail in (None, row.last_error) else f": {state.detail}"
    test = command("account", "test", name, does="tells why; once it works, all goes")
    if around.moved:
        undo = command("outbox", "move", "--undo", does="sends from here again, if the file was lost")
        return _Next(f"waits: {around.moved}", [undo])
    if around.restored:
        return _Next("waits: the outbox is a restored backup, of which nothing is sent until a person accepts it",
                     [command("outbox", "accept-restore", does="sends all that is due in it")])  # fmt: skip
    if row.held:
        return _held(row, around)
    if _has_expired(about, now):
        drained = _drains(about, around, settles=True)
        return _Next(f"it expired {_ago(about.expires_at, now)}, and the next drain gives it up: {drained.text}",
                     [_retry(row, about, around, "sends it all the same")])  # fmt: skip
    if not around.in_config:
        return _Next(f"waits: the config has no account {name} any more",
                     [command("account", "add", name, does="defines it again")])  # fmt: skip
    if around.everyone.is_paused(now):
        return _paused("all accounts are", around.everyone, now, [command("resume", does="lets them go")])
    if state.is_paused(now):
        lets_go = [command("resume", "--account", name, does="lets them go")]
        return _paused(f"account {name} is", state, now, lets_go)
    if state.rests(now):
        why = "a refused login" if state.error == "auth" else 'a "try later" of its server'
        return _Next(
            f"waits: account {name} rests after {why} until {_in(state.rests_until or now, now)}{detail}", [test]
        )
    if state.failing_since is not None:
        tried = f"next attempt {_in(about.due_at, now)}" if about.due_at > now else "the next drain tries one message"
        since = short_moment(state.failing_since, now)
        return _Next(f"waits: account {name}: {what_fails(state)} since {since}{detail}; {tried}", [test])
    return _in_turn(row, about, around)


def _held(row: Row, around: Circumstances) -> _Next:
    did = next((did for did in reversed(row.actions) if did.what == "held"), None)
    by = f"held by {did.who} {_ago(did.at, around.now)}" if did is not None else "held"
    if row.uncertain:
        return _Next(f"waits for a person to say whether it arrived: {by}", _resolve(row))
    return _Next(f"waits until a person releases it: {by}", [
        command("release", row.outbox_id, does="lets drains take it"), _cancel(row)])  # fmt: skip


def _paused(what: str, state: AccountState, now: int, commands: list[Command]) -> _Next:
    until = f" until {_in(state.paused_until, now)}" if state.paused_until is not None else ""
    why = f": {state.reason}" if state.reason else ""
    by = f"by {state.paused_by} {_ago(state.paused_at, now)}"
    return _Next(f"waits: {what} paused{until}, {by}{why}", commands)


def _in_turn(row: Row, about: Particulars, around: Circumstances) -> _Next:
    """Say when a message leaves whose account works."""
    now = around.now
    if about.due_at > now:
        what = "next attempt" if row.attempts else "scheduled for"
        late = f", but {silent}" if (silent := _silence(around)) else ""
        commands = [_retry(row, about, around, "sends it now"), _cancel(row)]
        if late:
            commands.append(command("cron", does="prints the crontab's line that starts drains"))
        if row.uncertain:
            commands = [*_resolve(row), *commands[:1]]
        return _Next(f"{what} {_in(about.due_at, now)}{late}", commands)
    if around.used_up is not None:
        limit = around.used_up.limit
        what = ("recipient" if limit.of_recipients else "message") + ("s" if limit.most != 1 else "")
        free = around.used_up.free_at
        until = f" until {_in(free, now)}" if free is not None else ""
        text = f"waits: account {row.account} has used up its limit of {limit.most} {what} in {span(limit.seconds)}"
        return _Next(text + until, [command("status", does="tells what is used of each limit")])
    return _drains(about, around)


def _drains(about: Particulars, around: Circumstances, *, settles: bool = False) -> _Next:
    """Say what drains do with a message that is due, or that one *settles*."""
    now, last, due_at = around.now, around.last_drain_at, about.due_at
    due = "" if settles else f"is due since {span(now - due_at)}; "
    drain = command("drain", does="settles it now" if settles else "sends what is due now")
    others = [run for run in around.runs if run.run_id != about.run_id]
    if others:
        since = span(now - others[0].started_at)
        return _Next(f"{due}a run is at work since {since}, and takes it in its turn", [drain])
    cron = command("cron", does="prints the crontab's line that starts drains")
    if silent := _silence(around):
        return _Next(f"{due}{silent}", [drain, cron])
    ago = f"the last drain ended {span(now - (last or now))} ago"
    if not settles and last is not None and last - due_at > DRAIN_OVERDUE_SECONDS:
        return _Next(f"{due}{ago} and left it: --verbose tells why", [
            command("drain", "--verbose", does="sends what is due now, and says what happens")])  # fmt: skip
    return _Next(f"{due}{ago}, the next one takes it" if due else ago, [drain])


def _silence(around: Circumstances) -> str:
    """Say that drains do not run; "" if they do."""
    now, last = around.now, around.last_drain_at
    if around.runs:
        return ""
    if last is None:
        return "no drain has run here yet"
    if last - now > CLOCK_SLACK_SECONDS:
        return f"the last drain ended {short_moment(last, now)}, ahead of the clock"
    return f"no drain has run since {short_moment(last, now)}" if now - last > DRAIN_OVERDUE_SECONDS else ""


def _until(row: Row, about: Particulars, around: Circumstances) -> str:
    """Say when drains give a message up that stays undelivered; "" if that is not known yet."""
    policy, now = around.policy, around.now
    if _has_expired(about, now):
        return ""
    if about.expires_at is not None:
        return f"expires {_in(about.expires_at, now)}"
    if not row.attempts:
        return ""
    left = max(0, policy.give_up_after_seconds - about.drained_seconds)
    if left:
        return f"given up if it still fails after {short_moment(now + left, now)}"
    more = policy.give_up_after_attempts - row.retries
    return "given up if it fails once more" if more <= 1 else f"given up if it fails {more} times more"


def _has_expired(about: Particulars, now: int) -> bool:
    return about.expires_at is not None and about.expires_at <= now


def _retry(row: Row, about: Particulars, around: Circumstances, does: str) -> Command:
    force = ["--force"] if row.held or about.due_at > around.now else []
    return command("retry", row.outbox_id, *force, does=does)


def _cancel(row: Row) -> Command:
    return command("cancel", row.outbox_id, does="gives it up")


def _resolve(row: Row) -> list[Command]:
    return [
        command("resolve", row.outbox_id, "--sent", does="it arrived"),
        command("resolve", row.outbox_id, "--not-sent", does="it did not: it is sent again"),
    ]


# Times.


def _in(unix: int, now: int) -> str:
    return f"{short_moment(unix, now)} (in {span(unix - now)})"


def _ago(unix: int | None, now: int) -> str:
    if unix is None:
        return ""
    return f"{short_moment(unix, now)} ({span(now - unix)} ago)" if unix <= now else short_moment(unix, now)
