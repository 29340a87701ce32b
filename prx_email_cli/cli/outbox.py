"""``prx-email outbox``: accept a restored backup."""

import typer

from prx_email_cli.cli.context import invocation
from prx_email_cli.cli.options import Json
from prx_email_cli.cli.output import put, put_json, work_is_done

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


apps = {"outbox": app}
