"""``prx-email prune``: delete content, names or records of messages that were sent or given up."""

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prx_email_cli.cli.changing import Wish, confirm
from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.options import Json, NowTs
from prx_email_cli.cli.output import on_terminal, put, put_json, say, work_is_done
from prx_email_cli.cli.render import listed, safe
from prx_email_cli.cli.selection import DryRun, Selection, Yes, takes_selection
from prx_email_cli.cli.times import LATEST_TIME, duration_seconds
from prx_email_cli.errors import StorageError

if TYPE_CHECKING:
    from prx_email_cli.outbox.store import Store
    from prx_email_cli.outbox.views import Prunable, Pruned, Pruning

MOST_BYTES_AT_ONCE = 256 << 20  # of an outbox that is rewritten unasked: a second or two, for which others wait

_VERBS = {"content": "delete the content of", "names": "anonymise", "record": "delete everything of"}  # by Drop

app = typer.Typer(add_completion=False)


@app.command()
@takes_selection(but=("to", "due", "limit", "everything"))
def prune(
    ctx: typer.Context,
    selection: Selection,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than", metavar="DURATION", help="Only messages sent or given up over 30d ago, for example."
        ),
    ] = None,
    to: Annotated[
        str | None, typer.Option("--to", metavar="ADDRESS", help="Only what concerns this person, of any age.")
    ] = None,
    sent_only: Annotated[bool, typer.Option("--sent-only", help="Nothing that was given up.")] = False,
    anonymise: Annotated[
        bool,
        typer.Option("--anonymise", help="Replace addresses, subjects and keys by hashes, too; delete dialogues."),
    ] = False,
    everything: Annotated[bool, typer.Option("--all", help="Delete their records, too.")] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    now_ts: NowTs = None,
    as_json: Json = False,
) -> None:
    """Delete the content of messages that were sent or given up long ago; their records stay.

    What has not ended is never touched.
    Example: prx-email prune --older-than 30d
    """
    from prx_email_cli.outbox.views import Drop, Filter, Pruning  # on use

    if not selection.ids and all(one is None for one in (older_than, to, selection.until)):
        raise typer.BadParameter("give --older-than, ids, or --to for all that concerns one person")
    if anonymise and everything:
        raise typer.BadParameter("use only one of --anonymise and --all")
    if selection.ids:
        selection.check()
    this = invocation(ctx)
    settings = this.settings()
    now = this.clock(settings, now_ts)()
    if selection.account is not None:
        settings.account(selection.account)
    before = LATEST_TIME if older_than is None else now - duration_seconds(older_than, "--older-than")
    drop = Drop.RECORD if everything else Drop.NAMES if anonymise else Drop.CONTENT
    pruning = Pruning(before, now, drop, sent_only, _address(to), ids=tuple(selection.ids))
    with this.store(settings) as store:
        for outbox_id in selection.ids:
            store.row(outbox_id)  # which says if there is none
        wanted = replace(selection.filter(store, now), whole=True, limit=Filter.limit)
        _prune(this, store, pruning._replace(wanted=wanted), Wish(selection, yes, dry_run, now))


def _prune(this: Invocation, store: "Store", pruning: "Pruning", wish: Wish) -> None:
    """Prune, or say what would be pruned; ask before where a person can be asked."""
    if wish.dry_run:
        _foretell(store.prunable(pruning), pruning, as_json=this.json)
        return
    asking = not (pruning.ids or wish.yes) and on_terminal(sys.stdin) and on_terminal(sys.stderr)
    found = store.prunable(pruning) if pruning.to is not None or pruning.ids or asking else None
    confirm(wish, _VERBS[pruning.drop], len(found.ids) if found is not None else 0)
    pruned = store.prune(pruning)
    work_is_done(_done(pruned, pruning))
    clean = _compact(store, pruning)
    if this.json:
        put_json({**_counts(pruned.messages, pruned.known, found), "dry_run": False, "compacted": clean})
    else:
        put(_done(pruned, pruning))
        _tell_unfinished(found, pruning)


def _address(text: str | None) -> str | None:
    """Read the address of the person whose messages are meant.  Raises ValidationError."""
    if text is None:
        return None
    from prx_email_cli.mail.addresses import parse_mailbox  # on use

    return parse_mailbox(text, "--to").address


def _compact(store: "Store", pruning: "Pruning") -> bool:
    """Rewrite the outbox where names were to go; tell whether nothing is left of them, and say it if not."""
    from prx_email_cli.outbox.views import Drop  # on use

    if pruning.drop is not Drop.NAMES and pruning.to is None:
        return False
    clean, why = False, ""
    try:
        clean = store.compact(MOST_BYTES_AT_ONCE)
    except StorageError as error:
        why = f" ({error})"
    if not clean:
        say(f"note: remains of what was deleted may be left in unused places of the outbox{safe(why)}")
        say("hint: prx-email outbox compact rewrites it; others wait meanwhile")
    return clean


def _foretell(found: "Prunable", pruning: "Pruning", *, as_json: bool) -> None:
    """Print what would be pruned."""
    if as_json:
        counts = _counts(len(found.ids), found.known, found)
        put_json({**counts, "dry_run": True, "compacted": False, "outbox_ids": found.ids})
        return
    put(f"{len(found.ids)} would be {_word(pruning)}{listed(found.ids)}")
    if pruning.of_known:
        put(f"{found.known} imported messages would be deleted")
    _tell_unfinished(found, pruning)


def _done(pruned: "Pruned", pruning: "Pruning") -> str:
    known = f"; {pruned.known} imported messages deleted" if pruning.of_known else ""
    return f"{pruned.messages} {_word(pruning)}{known}"


def _word(pruning: "Pruning") -> str:
    from prx_email_cli.outbox.views import Drop  # on use

    return "anonymised" if pruning.drop is Drop.NAMES else "pruned"


def _counts(messages: int, known: int, found: "Prunable | None") -> dict[str, Any]:
    return {"pruned": messages, "known_pruned": known, "unfinished": found.unfinished if found is not None else []}


def _tell_unfinished(found: "Prunable | None", pruning: "Pruning") -> None:
    """Say on stderr which messages to the person stay because they have not ended, and what ends them."""
    if found is not None and found.unfinished:
        whose = f" to {safe(pruning.to)}" if pruning.to is not None else ""
        say(f"note: {len(found.unfinished)}{whose} have not ended and stay{listed(found.unfinished)}")
        say("hint: deliver them, or give them up with prx-email cancel; then say this again")


apps = {"prune": app}
