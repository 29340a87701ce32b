"""Lay out a frame of ``top``: accounts, runs and what they have in hand, and the latest that happened."""

from typing import TYPE_CHECKING, Any, NamedTuple

from prx_email_cli.checks.backlog import shown_age
from prx_email_cli.cli.columns import shortened
from prx_email_cli.cli.entries import Widths, entry_line, entry_object
from prx_email_cli.cli.render import short_moment, span
from prx_email_cli.cli.standing import standing_object, what_fails
from prx_email_cli.outbox.accounts import EVERY_ACCOUNT, AccountState
from prx_email_cli.outbox.history import Entry, InHand, LivingRun, host_of
from prx_email_cli.outbox.views import Figures

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_RUNS, MOST_IN_HAND, MOST_LATEST = 4, 100, 30
_BYTES = (("MB", 1_000_000), ("KB", 1000))


class Look(NamedTuple):
    """What one look at the outbox shows.

    now: Unix seconds.  a_minute, an_hour: what was delivered in the last one, by account.
    """

    now: int
    accounts: list[str]
    states: dict[str, AccountState]
    figures: dict[str, Figures]
    a_minute: dict[str, int]
    an_hour: dict[str, int]
    runs: list[LivingRun]
    in_hand: list[InHand]
    latest: list[Entry]

    @property
    def everyone(self) -> AccountState:
        """Return whether all accounts are paused."""
        return self.states.get(EVERY_ACCOUNT, AccountState(EVERY_ACCOUNT))

    def state(self, name: str) -> AccountState:
        """Return how an account stands."""
        return self.states.get(name, AccountState(name))


class Line(NamedTuple):
    """A line of the frame, escaped; style: of rich, "" for none."""

    text: str
    style: str = ""


def frame(look: Look, columns: int, rows: int | None = None, note: str = "") -> list[Line]:
    """Return the lines of a frame, *rows* of them at most, none wider than *columns*.  note: what to say at its end."""
    lines = [Line(_fit(_title(look), columns), "bold"), *_accounts(look, columns)]
    if rows is not None and len(lines) > rows // 2:
        more = len(lines) - rows // 2
        lines = [*lines[: rows // 2], Line(_fit(f"and {more} more accounts: prx-email status", columns))]
    end = [Line(_fit(note, columns), "bold")] if note else []
    room = None if rows is None else max(0, rows - len(lines) - len(end) - 4)
    hands = _runs(look, columns, None if room is None else room // 2)
    left = MOST_LATEST if room is None else max(0, room - len(hands) + 1)
    lines += [Line(""), *hands, Line(""), *_latest(look, columns, left)]
    return [*lines[: None if rows is None else rows - len(end)], *end]


def _title(look: Look) -> str:
    waiting = sum(one.waiting for one in look.figures.values())
    many = f"{waiting} messages wait" if waiting != 1 else "1 message waits"
    rates = f"delivered: {sum(look.a_minute.values())} in a minute, {sum(look.an_hour.values())} in an hour"
    return f"prx-email  {short_moment(look.now, look.now)}  {many}; {rates}"


def _accounts(look: Look, columns: int) -> list[Line]:
    name_columns, wide = (8, 7) if columns < 70 else (14, 8)
    state_columns = max(8, columns - name_columns - 2 - 4 * wide)

    def line(name: str, state: str, *numbers: object) -> str:
        start = f"{shortened(name, name_columns)}  {shortened(state, state_columns)}"
        return _fit(start + "".join(f"{number:>{wide}}" for number in map(str, numbers)), columns)

    lines = [Line(line("account", "state", "wait", "oldest", "/min", "/hour"), "underline")]
    if look.everyone.is_paused(look.now):
        lines.append(Line(_fit(f"ALL ACCOUNTS  {_paused(look.everyone, look.now)}", columns), "yellow"))
    for name in look.accounts:
        text, style = _state(look.state(name), look.now)
        figures = look.figures.get(name, Figures())
        oldest = "-" if figures.oldest_age_seconds is None else shown_age(figures.oldest_age_seconds).split()[0]
        numbers = (figures.waiting, oldest, look.a_minute.get(name, 0), look.an_hour.get(name, 0))
        lines.append(Line(line(name, text, *numbers), style))
    return lines


def _state(state: AccountState, now: int) -> tuple[str, str]:
    """Say how an account stands, with a style that stresses it."""
    if state.is_paused(now):
        return _paused(state, now), "yellow"
    if state.failing_since is None:
        return "works", ""
    tried = f", next try {short_moment(state.rests_until, now)}" if state.rests(now) else ""
    return f"{what_fails(state)} since {short_moment(state.failing_since, now)}{tried}", "red"


def _paused(state: AccountState, now: int) -> str:
    until = f" until {short_moment(state.paused_until, now)}" if state.paused_until is not None else ""
    why = f": {state.reason}" if state.reason else ""
    return f"paused{until} by {state.paused_by}{why}"


def _runs(look: Look, columns: int, room: int | None) -> list[Line]:
    """Say which runs are alive and what they have in hand, in *room* lines."""
    if not look.runs:
        return [Line("no run is alive: nothing is being delivered")]
    lines = []
    for run in look.runs[:MOST_RUNS]:
        many = sum(one.run_id == run.run_id for one in look.in_hand)
        process = run.run_id.split("-")[1] if run.run_id.count("-") > 1 else "?"
        more = "+" if len(look.in_hand) >= MOST_IN_HAND else ""
        host = f" on {host}" if (host := host_of(run.run_id)) else ""
        text = f"run of process {process}{host} for {span(look.now - run.started_at)}, {many}{more} in hand"
        lines.append(Line(_fit(text, columns), "underline"))
        lines += [Line(_fit(_hand(one, look.now), columns)) for one in look.in_hand if one.run_id == run.run_id]
    if len(look.runs) > MOST_RUNS:
        lines.append(Line(_fit(f"and {len(look.runs) - MOST_RUNS} more runs", columns)))
    if room is not None and len(lines) > room:
        lines = [*lines[: max(0, room - 1)], Line(_fit(f"and {len(lines) - room + 1} more", columns))]
    return lines


def _hand(one: InHand, now: int) -> str:
    size = next((f"{one.size_bytes // unit} {name}" for name, unit in _BYTES if one.size_bytes >= unit),
                f"{one.size_bytes} B")  # fmt: skip
    return f"{one.outbox_id:>8}  {one.account}  for {span(now - one.claimed_at)}  {size}  to {one.to}  {one.subject}"


def _latest(look: Look, columns: int, room: int) -> "Sequence[Line]":
    if not look.latest:
        return [Line("nothing has happened yet")]
    widths = Widths.within(columns, day=False)
    latest = look.latest[-max(1, room - 1) :]
    return [Line("latest", "underline"), *(Line(_fit(entry_line(one, widths), columns)) for one in latest)]


def _fit(text: str, columns: int) -> str:
    return shortened(text, columns).rstrip(" ")


def _hand_object(one: InHand) -> dict[str, Any]:
    values = one._asdict()
    return {**values, "address": values.pop("to")}


def look_object(look: Look) -> dict[str, Any]:
    """Make the JSON object of a look; times are Unix seconds."""
    return {
        "accounts": [
            {**standing_object(look.state(name), look.now), "waiting": look.figures.get(name, Figures()).waiting,
             "delivered_last_minute": look.a_minute.get(name, 0), "delivered_last_hour": look.an_hour.get(name, 0)}
            for name in look.accounts
        ],
        "all_paused": look.everyone.is_paused(look.now),
        "runs": [{"run_id": run.run_id, "started_at": run.started_at} for run in look.runs],
        "in_hand": [_hand_object(one) for one in look.in_hand],
        "latest": [entry_object(one) for one in look.latest],
    }  # fmt: skip
