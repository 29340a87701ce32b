"""Change chosen messages: ask, show progress, and tell what was changed and what was refused, and why."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from prx_email_cli.cli.context import Invocation
from prx_email_cli.cli.output import on_terminal, put, put_json, say, say_error, work_is_done
from prx_email_cli.cli.render import error_object
from prx_email_cli.cli.selection import Selection
from prx_email_cli.cli.standing import this_person
from prx_email_cli.errors import NotFound
from prx_email_cli.outbox.decisions import Decided

if TYPE_CHECKING:
    from prx_email_cli.config.settings import Settings
    from prx_email_cli.outbox.store import Store
    from prx_email_cli.outbox.views import Filter

DECLINED = 130  # as after Ctrl-C
MANY = 1000  # so many are worth a progress bar
IDS_SHOWN = 5


class Wish(NamedTuple):
    """Which messages a person means, and how to go about it.

    yes: do not ask.  dry_run: only list them.  now: in Unix seconds, once the outbox's clock is known.
    """

    selection: Selection
    yes: bool
    dry_run: bool
    now: int = 0


class Change(NamedTuple):
    """What is done to messages.

    verb: as in the question.  done: the word for the result.  wanted: makes the filter of a selection.  carry_out:
    yields what became of some of the messages, each time that is durable.  everyone: changes them all in its own way.
    go_on: is given what became of all, and tells of it in place of this module.
    """

    verb: str
    done: str
    wanted: "Callable[[Store], Filter]"
    carry_out: "Callable[[Store, Sequence[int]], Iterator[list[Decided]]]"
    everyone: "Callable[[Store], list[int]] | None" = None
    go_on: "Callable[[Store, Settings, Sequence[Decided]], None] | None" = None


def change(this: Invocation, settings: "Settings", wish: Wish, change: Change) -> None:
    """Make *change* to the messages of *wish*; the first refusal gives the exit status and stops no other."""
    with this.store(settings) as store:
        store.acting = this_person()
        ids = chosen(store, settings, wish, change.wanted)
        if wish.dry_run:
            list_them(this, store, ids, wish.now)
            return
        confirm(wish, change.verb, len(ids))
        if change.everyone is not None and wish.selection.is_everything:
            decided = [Decided(outbox_id) for outbox_id in change.everyone(store)]
            work_is_done(f"{len(decided)} {change.done}")
        else:
            decided = _carry_out(store, ids, change, named=bool(wish.selection.ids))
        if change.go_on is not None:
            change.go_on(store, settings, decided)
            return
    _tell(this, decided, change.done, named=bool(wish.selection.ids))


def chosen(store: "Store", settings: "Settings", wish: Wish, wanted: "Callable[[Store], Filter]") -> list[int]:
    """Return the ids of the messages that are meant, the oldest first if they are selected."""
    if wish.selection.ids:
        return list(wish.selection.ids)
    return wish.selection.find(store, settings, wanted(store))[::-1]


def confirm(wish: Wish, verb: str, many: int) -> None:
    """Ask a person whether to go on with a selection.  Raises Exit if not.

    Where nobody can be asked it goes on, but for a cause: its number may stand for another one by now.
    """
    if wish.selection.ids or wish.yes:
        return
    if not (on_terminal(sys.stdin) and on_terminal(sys.stderr)):
        if wish.selection.cause is not None:
            raise typer.BadParameter("--cause needs --yes where nobody can be asked: its numbers change")
        return
    if many and not typer.confirm(f"{verb} {counted(many)}?", err=True):
        say("nothing was changed")
        raise typer.Exit(DECLINED)


def counted(many: int) -> str:
    """Write a number of messages."""
    return "1 message" if many == 1 else f"{many} messages"


def list_them(this: Invocation, store: "Store", ids: Sequence[int], now: int) -> None:
    """Print these messages as ``list`` does; an id that is not there is said, and gives the exit status."""
    from prx_email_cli.cli.listing import Look, put_list  # on use
    from prx_email_cli.cli.render import row_object  # on use

    rows, missing = [], None
    for outbox_id in ids:
        try:
            rows.append(store.row(outbox_id))
        except NotFound as unknown:
            missing = missing or unknown
            say_error(f"outbox message {outbox_id}: {unknown.message}", unknown.hint)
    if this.json:
        put_json([row_object(row) for row in rows], result(Decided(0, missing))["error"])
    else:
        put_list(rows, None, Look(now))
    say(f"{counted(len(rows))}; nothing was changed")
    if missing is not None:
        raise typer.Exit(missing.exit_code)


def _carry_out(store: "Store", ids: Sequence[int], change: Change, *, named: bool) -> list[Decided]:
    """Change the messages one after the other; if a signal ends that, say how far it has come."""
    place = {outbox_id: at for at, outbox_id in enumerate(ids)}
    decided: list[Decided] = []
    changed = 0
    try:
        with progress(change.verb, len(ids)) as advance:
            for some in change.carry_out(store, ids):
                decided += some
                advance(len(some))
                changed += sum(one.error is None for one in some)
                which = ", ".join(str(one.outbox_id) for one in decided if one.error is None) if named else str(changed)
                if changed:
                    work_is_done(f"{which} {change.done}")
    except KeyboardInterrupt:
        if not named:
            say(f"interrupted: {changed} of {len(ids)} {change.done}")
        raise
    return sorted(decided, key=lambda one: place[one.outbox_id])


@contextmanager
def progress(verb: str, many: int) -> Iterator[Callable[[int], None]]:
    """Show a bar on a terminal, if there are many messages; give a function that is called after each step."""
    if many < MANY or not on_terminal(sys.stderr):
        yield lambda done: None
        return
    from prx_email_cli.cli.progress import change_bar  # on use

    with change_bar(verb, many) as advance:
        yield advance


def _tell(this: Invocation, decided: Sequence[Decided], done: str, *, named: bool) -> None:
    refused = [(one.outbox_id, one.error) for one in decided if one.error is not None]
    if this.json:
        put_json([result(one) for one in decided], result(first_refused(decided))["error"])
    elif named:
        for one in decided:
            if one.error is None:
                put(f"{one.outbox_id} {done}")
            else:
                say_error(f"outbox message {one.outbox_id}: {one.error.message}", one.error.hint)
    else:
        put(f"{len(decided) - len(refused)} {done}")
        tell_grouped("refused", [(outbox_id, error.message, error.hint) for outbox_id, error in refused])
    if refused:
        raise typer.Exit(refused[0][1].exit_code)


def first_refused(decided: Sequence[Decided]) -> Decided:
    """Return the first that was refused; one without an error if none was."""
    return next((one for one in decided if one.error is not None), Decided(0))


def result(decided: Decided) -> dict[str, Any]:
    """Make the JSON object of what became of a message."""
    error = decided.error
    return {
        "outbox_id": decided.outbox_id,
        "error": error_object(error.code, error.message, error.hint) if error is not None else None,
    }


def tell_grouped(word: str, those: Sequence[tuple[int, str, str]]) -> None:
    """Print why messages were refused, or failed: those of one reason together.

    word: what became of them.  those: the id of each, what is wrong, and what helps.
    """
    from prx_email_cli.checks.causes import masked  # on use

    groups: dict[str, list[tuple[int, str, str]]] = {}
    for outbox_id, message, hint in those:
        message = re.sub(rf"(?<=outbox message ){outbox_id}\b", "…", message)
        groups.setdefault(masked(message), []).append((outbox_id, message, hint))
    for ours in groups.values():
        message = ours[0][1]
        ids = ", ".join(str(outbox_id) for outbox_id, *_ in ours[:IDS_SHOWN]) + ", …" * (len(ours) > IDS_SHOWN)
        say_error(f"{len(ours)} {word}: {message} ({ids})", ours[0][2])
