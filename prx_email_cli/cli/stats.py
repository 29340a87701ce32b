"""``prx-email stats``: count messages, for monitoring."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prx_email_cli.cli.context import invocation
from prx_email_cli.cli.options import Json, NowTs
from prx_email_cli.cli.output import on_terminal, put, put_json
from prx_email_cli.cli.render import moment, safe

if TYPE_CHECKING:
    from prx_email_cli.config.settings import Settings
    from prx_email_cli.outbox.store import Store

app = typer.Typer(add_completion=False)


@app.command()
def stats(
    ctx: typer.Context,
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Print the figures of each account in Prometheus' text format.")
    ] = False,
    now_ts: NowTs = None,
    as_json: Json = False,
) -> None:
    """Count the messages by status, for monitoring.

    Example: prx-email stats --json
    """

    this = invocation(ctx)
    if prometheus and this.json:
        raise typer.BadParameter("use only one of --prometheus and --json")
    settings = this.settings()
    now = this.clock(settings, now_ts)()
    with this.store(settings) as store:
        if prometheus:
            _put_metrics(store, settings, now)
            return
        figures: dict[str, Any] = {**vars(store.stats(now)), "last_drain_at": store.last_drain_at()}
    if this.json:
        put_json(figures)
        return
    for name, value in figures.items():
        if name == "accounts":
            continue
        shown = "-" if value is None else moment(value) if name.endswith("_at") else value
        put(f"{name:<24}{shown}")


def _put_metrics(store: "Store", settings: "Settings", now: int) -> None:
    from prx_email_cli.cli.metrics import Times, exposition  # on use

    times = Times(now, store.stats(now).last_attempt_at, store.last_drain_at())
    for line in exposition(store.figures(now), settings.accounts, store.account_states(), times):
        put(safe(line) if on_terminal(sys.stdout) else line)


apps = {"stats": app}
