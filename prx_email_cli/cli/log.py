"""``prx-email log``: attempts and what people did, from the outbox itself."""

import json
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prx_email_cli.cli.colour import painted
from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.entries import Widths, entry_line, entry_object, entry_text
from prx_email_cli.cli.options import MOST_ROWS, Json, NowTs, OnlyAccount
from prx_email_cli.cli.output import is_read, on_terminal, put, put_json, say
from prx_email_cli.cli.render import safe
from prx_email_cli.cli.selection import moment_meant
from prx_email_cli.outbox.history import Entry, Span

if TYPE_CHECKING:
    from prx_email_cli.outbox.store import Store

FEW, MANY = 50, 100_000  # entries that are shown without --limit: the latest, or those since a time
_SLACK_SECONDS = 2  # between the clock of a look and those of attempts
_LONGEST_ATTEMPT_SECONDS = 7200
_HEADER = ("time", "account", "id", "what", "by", "detail")

app = typer.Typer(add_completion=False)

_Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="From this ISO 8601 time on, or from 1h ago on.")
]
_Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Until this time.")]
_Most = Annotated[
    int | None, typer.Option("--limit", min=1, max=MOST_ROWS, metavar="N", help="Show at most N, the latest; else 50.")
]


@app.command()
def log(
    ctx: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", help="Stay, and print what happens as it does.")] = False,
    since: _Since = None,
    until: _Until = None,
    account: OnlyAccount = None,
    limit: _Most = None,
    now_ts: NowTs = None,
    as_json: Json = False,
) -> None:
    """Show attempts and what people did, the oldest first: how deliveries ended, who held, released or paused what.

    With --follow, --json prints an object on each line.
    Example: prx-email log --since 1h --account work
    """
    if follow and until is not None:
        raise typer.BadParameter("use only one of --follow and --until")
    this = invocation(ctx)
    settings = this.settings()
    tick = this.clock(settings, now_ts)
    now = tick()
    span = Span(account=account, most=limit or (FEW if since is None else MANY))
    if since is not None:
        span = span._replace(since=moment_meant(since, "--since", now) or 0)
    if until is not None:
        span = span._replace(until=moment_meant(until, "--until", now) or 0)
    with this.store(settings) as store:
        if follow:
            return _follow(this, store, Tail(store, span, tick))
        tail = Tail(store, span._replace(most=span.most + 1), tick)
        entries = tail.first()
    if account is not None and not any(one.account == account for one in entries):
        settings.account(account)
    _put_all(this, entries, span.most)
    return None


class Tail:
    """The entries of the log, and those that come after."""

    def __init__(self, store: "Store", span: Span, tick: Callable[[], int]) -> None:
        self._store, self._span, self._tick = store, span, tick
        self._looked_at = self._unended_from = 0
        self._seen: dict[tuple[str, int | None, int], int] = {}  # and when it happened

    def first(self) -> list[Entry]:
        """Return the latest entries."""
        return self._new(self._span)

    def more(self) -> list[Entry]:
        """Return the entries since the last call."""
        since = min(self._looked_at, self._tick()) - _SLACK_SECONDS
        begun_from = max(self._unended_from, since - _LONGEST_ATTEMPT_SECONDS) - _SLACK_SECONDS
        self._seen = {key: at for key, at in self._seen.items() if at >= since}
        return self._new(self._span._replace(since=since, begun_from=begun_from, most=MANY))

    def _new(self, span: Span) -> list[Entry]:
        now = self._tick()
        found = self._store.log(span, now)
        new = [one for one in found.entries if _key(one) not in self._seen]
        self._seen |= {_key(one): one.at for one in new}
        self._looked_at, self._unended_from = now, found.unended_from
        return new


def _key(one: Entry) -> tuple[str, int | None, int]:
    return one.kind, one.outbox_id, one.number


def _follow(this: Invocation, store: "Store", tail: Tail) -> None:
    """Print the latest entries, then each new one, until nobody reads them any more."""
    from prx_email_cli.cli.watching import changes  # on use

    first = True
    for _ in changes(store):
        entries = tail.first() if first else tail.more()
        if this.json:
            for one in entries:
                put(json.dumps(entry_object(one), ensure_ascii=True))
        else:
            _put(entries, header=first)
        first = False
        if not is_read():
            return


def _put_all(this: Invocation, entries: list[Entry], most: int) -> None:
    shown = entries[-most:]
    if this.json:
        put_json([entry_object(one) for one in shown], cut=len(entries) > most)
        return
    if not entries:
        say("nothing is in the log")
        return
    _put(shown, header=True)
    if len(entries) > most:
        say(f"the latest {most} are shown; --limit N shows more")


def _put(entries: Iterable[Entry], *, header: bool) -> None:
    """Print a line for each entry: for a person on a terminal, else with tabs, under a *header*."""
    if on_terminal(sys.stdout):
        widths = Widths.of_terminal()
        for one in entries:
            put(entry_line(one, widths, painted))
        return
    if header:
        put("\t".join(_HEADER))
    for one in entries:
        put("\t".join(map(safe, _columns(one))))


def _columns(one: Entry) -> Iterable[Any]:
    from prx_email_cli.cli.render import moment  # on use

    return (moment(one.at), one.account, "" if one.outbox_id is None else one.outbox_id, one.what, one.who or "",
            entry_text(one, who=False))  # fmt: skip


apps = {"log": app}
