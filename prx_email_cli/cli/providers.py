"""``prx-email providers``: list the known mail providers."""

from typing import Any

import typer

from prx_email_cli.cli.context import invocation
from prx_email_cli.cli.options import Json
from prx_email_cli.cli.output import put_json, put_table
from prx_email_cli.config.providers import ALIASES, PROVIDERS, Provider

app = typer.Typer(add_completion=False)


@app.command()
def providers(ctx: typer.Context, as_json: Json = False) -> None:
    """List the names for --provider, and each provider's documented limits; - for none.

    Example: prx-email providers
    """
    if invocation(ctx).json:
        put_json([{"name": name, "aliases": _aliases(name), **_object(row)} for name, row in PROVIDERS.items()])
        return
    put_table([_line(name, provider) for name, provider in PROVIDERS.items()])


def _aliases(name: str) -> list[str]:
    return [alias for alias, meant in ALIASES.items() if meant == name]


def _object(provider: Provider) -> dict[str, Any]:
    return {**provider._asdict(), "explanation": list(provider.explanation), "logins": list(provider.logins)}


def _line(name: str, provider: Provider) -> dict[str, str]:
    def shown(number: int | None) -> str:
        return "-" if number is None else f"{number:,}"

    return {
        "name": ", ".join([name, *_aliases(name)]),
        "server": f"{provider.host}:{provider.port}",
        "tls": provider.tls,
        "login": ", ".join(login.replace("_", " ") for login in provider.logins),
        "a day": shown(provider.messages_per_day),
        "a minute": shown(provider.messages_per_minute),
        "connections": shown(provider.connections),
        "bytes": shown(provider.size_bytes),
        "recipients": shown(provider.recipients),
        "recipients a day": shown(provider.recipients_per_day),
    }


apps = {"providers": app}
