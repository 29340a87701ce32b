"""``prx-email sendmail``: the drop-in for sendmail(8), which reads its flags itself."""

from typing import Any

import typer
from typer.core import TyperCommand

from prx_email_cli.cli.context import invocation
from prx_email_cli.sendmail.main import EXAMPLE, SUMMARY, run

app = typer.Typer(add_completion=False)


class _Untouched(TyperCommand):
    """A command whose words nobody else reads."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta["words"] = list(args)
        super().parse_args(ctx, [])
        return []


@app.command(cls=_Untouched, help=f"{SUMMARY}\n\n{EXAMPLE}")
def sendmail(ctx: typer.Context) -> None:
    """Hand all words behind the command's name to the drop-in."""
    raise typer.Exit(run(ctx.meta["words"], config=invocation(ctx).named_config))


apps = {"sendmail": app}
