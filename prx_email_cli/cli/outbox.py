"""``prx-email outbox``: decide about the outbox as a whole."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.options import Json, NowTs
from prx_email_cli.cli.outbox_copy import copy
from prx_email_cli.cli.output import put, put_json, say, work_is_done
from prx_email_cli.cli.render import error_object, listed, safe
from prx_email_cli.cli.standing import this_person
from prx_email_cli.cli.times import clock
from prx_email_cli.errors import OutboxBusy, OutboxDamaged

if TYPE_CHECKING:
    from prx_email_cli.outbox.store import Store
    from prx_email_cli.outbox.views import Copied, Replaced
    from prx_email_cli.outbox.whole import Whole

app = typer.Typer(add_completion=False, no_args_is_help=True)

Target = Annotated[Path, typer.Argument(metavar="FILE", help="File to be made.")]
Source = Annotated[Path, typer.Argument(metavar="FILE", help="File that outbox backup has made.")]


@app.callback()
def outbox() -> None:
    """Back up, verify, restore, move, copy or migrate the outbox as a whole.

    Example: prx-email outbox backup /mnt/backup/outbox.db
    """


@app.command()
def backup(
    ctx: typer.Context,
    file: Target,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
    as_json: Json = False,
) -> None:
    """Copy the outbox as it is now into a file of mode 0600, while drains run.

    Config, passwords and tokens are not in it.
    Example: prx-email outbox backup /mnt/backup/outbox.db --force
    """
    this = invocation(ctx)
    copied = _whole(this).backup(file, force=force)
    done = f"backed up: {_contents(copied)}"
    work_is_done(done)
    if this.json:
        put_json(_copied_object(copied))
    else:
        put(done)


@app.command()
def verify(
    ctx: typer.Context,
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="A backup; by default the config's outbox.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check that the database is intact, and every stored message as it was submitted.

    Reads all of it and changes nothing; drains may run.
    Example: prx-email outbox verify /mnt/backup/outbox.db
    """
    this = invocation(ctx)
    settings = this.settings().outbox
    found = _whole(this).verify(file, lambda messages: None)
    name = file or settings.name
    error = None
    if found.faults:
        error = OutboxDamaged(
            f"{name} is damaged: {len(found.faults)} faults, the first is: {found.faults[0]}",
            hint="take an older backup, or try the sqlite3 shell's .recover on a copy"
            if settings.url is None
            else "restore a dump into a new database, and let the server check itself: see pg_amcheck",
        )
    if this.json:
        data = {"file": str(name), **_called(found._asdict())}
        put_json(data, None if error is None else error_object(error.code, error.message, error.hint))
    else:
        for fault in found.faults:
            put(safe(fault))
        if error is None:
            statuses = ", ".join(f"{count} {status}" for status, count in found.messages.items()) or "none"
            put(f"intact: {sum(found.messages.values())} messages ({statuses})")
            put(f"verified: {found.envelopes} envelopes, {found.contents} contents; {found.dropped} have none")
    if error is not None:
        if not this.json:
            raise error
        raise typer.Exit(error.exit_code)


@app.command()
def restore(ctx: typer.Context, file: Source, now_ts: NowTs = None, as_json: Json = False) -> None:
    """Put a backup in the outbox's place; the outbox that is there is kept beside it.

    If anything was sent since the backup, nothing is sent until you decide what of it.
    Example: prx-email outbox restore /mnt/backup/outbox.db
    """
    this = invocation(ctx)
    replaced = _whole(this).restore(file, clock(now_ts, time.time)())
    _tell_replaced(this, file, replaced, "restored")


@app.command()
def adopt(
    ctx: typer.Context,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="File that outbox move has made; by default what is in place."),
    ] = None,
    now_ts: NowTs = None,
    as_json: Json = False,
) -> None:
    """Take over an outbox that was moved here: it sends at once.

    Give it the same accounts in the config first. Adopt the file in one place only.
    Example: prx-email outbox adopt outbox-moved.db
    """
    this = invocation(ctx)
    replaced = _whole(this).adopt(file, clock(now_ts, time.time)(), this_person())
    _tell_replaced(this, file, replaced, "adopted")


@app.command()
def move(
    ctx: typer.Context,
    file: Annotated[Path | None, typer.Argument(metavar="[FILE]", help="File to be made.")] = None,
    undo: Annotated[
        bool, typer.Option("--undo", help="Send from here again; only if the file was adopted nowhere.")
    ] = False,
    now_ts: NowTs = None,
    as_json: Json = False,
) -> None:
    """Make a file in which the outbox goes to another machine; here it stores and sends no more.

    There: prx-email outbox adopt FILE.
    Example: prx-email outbox move /mnt/usb/outbox-moved.db
    """
    if (file is None) != undo:
        raise typer.BadParameter("give either FILE or --undo")
    this, now = invocation(ctx), clock(now_ts, time.time)()
    if file is None:
        _undo(this)
        return
    copied = _whole(this).move(file, now, this_person(), lambda store: _settle(this, store, now))
    done = f"moved: {_contents(copied)}"
    work_is_done(done)
    if this.json:
        put_json(_copied_object(copied))
        return
    put(done)
    say("next: carry the file to the other machine, and say there: prx-email outbox adopt FILE")
    say("note: here nothing is stored or sent any more; the config, passwords and tokens are not in the file")


def _undo(this: Invocation) -> None:
    file = _whole(this).undo_move()
    work_is_done("the move is undone")
    if this.json:
        put_json({"file": file, "undone": True})
    else:
        put("undone: this outbox stores and sends again")
    say(f"warning: delete {safe(file)}; if it was adopted anywhere, its messages are sent from there and from here")


def _settle(this: Invocation, store: "Store", now: int) -> None:
    """Settle what dead runs had claimed: their flight records stay on this machine."""
    from prx_email_cli.delivery.attempt import retry_policy  # on use

    with store.start_run(now) as run:
        run.recover(retry_policy(this.settings().outbox), now)


@app.command("accept-restore")
def accept_restore(ctx: typer.Context, as_json: Json = False) -> None:
    """Accept a restored backup: what was sent since the backup is sent again.

    To choose what is sent, use hold --all instead, then release.
    Example: prx-email outbox accept-restore
    """
    this = invocation(ctx)
    with this.store(this.settings()) as store:
        accepted = store.accept_restored()
    work_is_done("accepted" if accepted else "there was nothing to accept")
    if this.json:
        put_json({"accepted": accepted})
    elif accepted:
        put("accepted: the next drain delivers what is due")
    else:
        put("nothing to accept: this outbox is not a restored backup")


@app.command()
def compact(ctx: typer.Context, as_json: Json = False) -> None:
    """Rewrite the outbox: gives space back, and leaves nothing of what was deleted.

    Others wait meanwhile, about a second for each 150 MB, and need as much free space.
    The log and backups of a database's server keep what was deleted for a while.
    Example: prx-email prune --older-than 30d && prx-email outbox compact
    """
    this = invocation(ctx)
    with this.store(this.settings()) as store:
        before = store.bytes_used()
        clean = store.compact()
        after = store.bytes_used()
    done = f"compacted: {_megabytes(after)}, before {_megabytes(before)}"
    work_is_done(done)
    if not clean:
        raise OutboxBusy(
            "the outbox is rewritten, but what was deleted is still there: another process reads the outbox",
            hint="say it again when that has ended",
        )
    if this.json:
        put_json({"bytes": after, "bytes_before": before})
    else:
        put(done)


@app.command()
def migrate(ctx: typer.Context, as_json: Json = False) -> None:
    """Bring the outbox's tables up to date, or make them, and say from which version to which.

    Other commands do it by themselves, but for a role of PostgreSQL that does not own the tables.
    Example: prx-email outbox migrate
    """
    this = invocation(ctx)
    name = this.settings().outbox.name
    before, after = _whole(this).migrate()
    done = f"migrated: from version {before} to {after}" if before != after else f"up to date: version {after}"
    work_is_done(done)
    if this.json:
        put_json({"outbox": name, "version_before": before, "version": after})
    else:
        put(done)


def _whole(this: Invocation) -> "Whole":
    from prx_email_cli.outbox.open import whole_of  # on use

    return whole_of(this.settings().outbox)


def _tell_replaced(this: Invocation, file: Path | None, replaced: "Replaced", done: str) -> None:
    """Print which outbox is in place now, where the other one is, and what to do next."""
    work_is_done(done)
    hints = ["prx-email hold --all, then prx-email release ID for what was not sent: the safe way",
             "prx-email outbox accept-restore: all that looks due is sent, some of it perhaps again"]  # fmt: skip
    if this.json:
        kept = None if replaced.kept is None else str(replaced.kept)
        name = None if file is None else str(file)
        values = {**_called(replaced._asdict()), "kept": kept, "file": name}
        put_json({**values, "hints": hints if replaced.guarded else []})
        return
    put(f"{done}: {replaced.messages} messages, {replaced.unfinished} not ended")
    if replaced.kept is not None:
        put(f"kept: the outbox that was there, as {safe(str(replaced.kept))}")
    if replaced.only_in_kept:
        say(f"note: what has not ended and is only in that outbox{listed(replaced.only_in_kept)}")
    if replaced.guarded:
        say("next: nothing is sent until you decide, for what was sent since the backup looks due again:")
        for hint in hints:
            say(f"  {hint}")
    elif done == "adopted":
        say("next: prx-email account test --all, then drains send from here; prx-email cron prints the crontab line")
    else:
        say("next: nothing was sent since the backup, so the next drain delivers what is due")


def _copied_object(copied: "Copied") -> dict[str, Any]:
    return {**_called(copied._asdict()), "file": str(copied.file)}


def _called(values: dict[str, Any]) -> dict[str, Any]:
    """Call numbers of messages otherwise than the lists that other commands answer with."""
    return {{"messages": "stored", "unfinished": "not_ended"}.get(name, name): value for name, value in values.items()}


def _contents(copied: "Copied") -> str:
    return (f"{copied.messages} messages, {copied.unfinished} not ended, {_megabytes(copied.bytes)}"
            f" in {safe(str(copied.file))}")  # fmt: skip


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


app.command("copy")(copy)
apps = {"outbox": app}
