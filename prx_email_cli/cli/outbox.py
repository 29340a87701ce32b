"""``prx-email outbox``: decide about the outbox as a whole."""

from pathlib import Path

import typer

from prx_email_cli.cli.context import invocation
from prx_email_cli.cli.options import Json
from prx_email_cli.cli.output import put, put_json, work_is_done
from prx_email_cli.errors import OutboxBusy

app = typer.Typer(add_completion=False, no_args_is_help=True)


@app.callback()
def outbox() -> None:
    """Decide about the outbox as a whole.

    Example: prx-email outbox accept-restore
    """


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
    """Rewrite the outbox's file: gives space back, and leaves nothing of what was deleted.

    Others wait meanwhile, about a second for each 150 MB, and need as much free space.
    Example: prx-email prune --older-than 30d && prx-email outbox compact
    """
    this = invocation(ctx)
    settings = this.settings()
    before = _bytes(settings.outbox.path)
    with this.store(settings) as store:
        clean = store.compact()
    after = _bytes(settings.outbox.path)
    done = f"compacted: {after / 1e6:,.1f} MB, before {before / 1e6:,.1f} MB"
    work_is_done(done)
    if not clean:
        raise OutboxBusy(
            "the outbox is rewritten, but its log still holds what was deleted: another process reads the outbox",
            hint="say it again when that has ended",
        )
    if this.json:
        put_json({"bytes": after, "bytes_before": before})
    else:
        put(done)


def _bytes(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


apps = {"outbox": app}
