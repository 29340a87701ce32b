"""Options that several commands share."""

from typing import Annotated

import typer

from prx_email_cli.cli.context import invocation


def _note_json(ctx: typer.Context, value: bool) -> bool:
    invocation(ctx).json = value
    return value


def _check_mode(value: str | None) -> str | None:
    if value not in (None, "network", "provider"):
        raise typer.BadParameter("must be network or provider")
    return value


Json = Annotated[
    bool, typer.Option("--json", help="Answer with one JSON object on stdout.", callback=_note_json, is_eager=True)
]
AccountName = Annotated[str | None, typer.Option("--account", metavar="NAME", help="An account of the config.")]
Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help="An account; by default the default one.")]
NowTs = Annotated[
    int | None, typer.Option("--now-ts", min=0, metavar="SECONDS", help="Rehearsal: take this Unix time for now.")
]
FailureMode = Annotated[
    str | None,
    typer.Option(
        "--failure-mode",
        metavar="network|provider",
        callback=_check_mode,
        help="Rehearsal: let attempts fail without touching the network.",
    ),
]
