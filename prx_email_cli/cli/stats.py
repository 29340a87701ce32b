"""``prx-email stats``: count messages, for monitoring."""

from typing import Any

import typer

from prx_email_cli.cli.context import invocation
from prx_email_cli.cli.options import Json, NowTs
from prx_email_cli.cli.output import put, put_json
from prx_email_cli.cli.render import moment
from prx_email_cli.cli.times import clock

app = typer.Typer(add_completion=False)


@app.command()
def stats(ctx: typer.Context, now_ts: NowTs = None, as_json: Json = False) -> None:
    """Count the messages by status, for monitoring.

    Example: prx-email stats --json
    """

    this = invocation(ctx)
    settings = this.settings()
    with this.store(settings) as store:
        counted = store.stats(clock(now_ts)())
        figures: dict[str, Any] = {**vars(counted), "last_drain_at": store.last_drain_at()}
    if this.json:
        put_json(figures)
        return
    for name, value in figures.items():
        if name == "accounts":
            continue
        shown = "-" if value is None else moment(value) if name.endswith("_at") else value
        put(f"{name:<24}{shown}")


apps = {"stats": app}
