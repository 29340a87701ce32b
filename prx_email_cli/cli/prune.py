"""``prx-email prune``: delete the content of messages that were sent or given up long ago."""

from typing import Annotated

import typer

from prx_email_cli.cli.context import invocation
from prx_email_cli.cli.options import Json, NowTs
from prx_email_cli.cli.output import put, put_json, work_is_done
from prx_email_cli.cli.times import clock, duration_seconds

app = typer.Typer(add_completion=False)


@app.command()
def prune(
    ctx: typer.Context,
    older_than: Annotated[
        str,
        typer.Option(
            "--older-than", metavar="DURATION", help="Only messages sent or given up over 30d ago, for example."
        ),
    ],
    everything: Annotated[bool, typer.Option("--all", help="Delete their records, too.")] = False,
    now_ts: NowTs = None,
    as_json: Json = False,
) -> None:
    """Delete the content of messages that were sent or given up long ago; their records stay.

    Example: prx-email prune --older-than 30d
    """
    this = invocation(ctx)
    age = duration_seconds(older_than, "--older-than")
    settings = this.settings()
    now = clock(now_ts)()
    with this.store(settings) as store:
        count = store.prune(now - age, now, records=everything)
    work_is_done(f"{count} pruned")
    if this.json:
        put_json({"pruned": count})
    else:
        put(f"{count} pruned")


apps = {"prune": app}
