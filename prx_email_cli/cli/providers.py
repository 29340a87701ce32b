"""``prx-email providers``: list the known mail providers."""

import sys
from shutil import get_terminal_size
from textwrap import wrap
from typing import Any

import typer

from prx_email_cli.cli.context import invocation
from prx_email_cli.cli.options import Json
from prx_email_cli.cli.output import on_terminal, put, put_json, put_table
from prx_email_cli.config.providers import ALIASES, PROVIDERS, Provider

_UNITS = {
    "a day": "messages a day", "a minute": "messages a minute", "connections": "connections",
    "bytes": "bytes a message", "recipients": "recipients a message", "recipients a day": "recipients a day",
}  # fmt: skip
app = typer.Typer(add_completion=False)


@app.command()
def providers(ctx: typer.Context, as_json: Json = False) -> None:
    """List the names for --provider, and each provider's documented limits; - for none.

    Example: prx-email providers
    """
    if invocation(ctx).json:
        put_json([{"name": name, "aliases": _aliases(name), **_object(row)} for name, row in PROVIDERS.items()])
        return
    lines = [_line(name, provider) for name, provider in PROVIDERS.items()]
    width = get_terminal_size().columns
    if on_terminal(sys.stdout) and width < _width(lines):
        for line in lines:
            _put_block(line, width)
    else:
        put_table(lines)


def _width(lines: list[dict[str, str]]) -> int:
    """Return how many columns the table takes."""
    widths = (max(len(name), *(len(line[name]) for line in lines)) for name in lines[0])
    return sum(widths) + 2 * (len(lines[0]) - 1)


def _put_block(line: dict[str, str], width: int) -> None:
    """Print a provider on a few lines, broken between words."""
    limits = [f"{line[name]} {unit}" for name, unit in _UNITS.items() if line[name] != "-"]
    put(line["name"])
    for text in (f"{line['server']} {line['tls']}", f"login: {line['login']}", ", ".join(limits)):
        for part in wrap(text, max(width - 2, 20), break_long_words=False, break_on_hyphens=False):
            put(f"  {part}")


# As the same is called elsewhere in the answers of commands.
_CALLED = {"recipients": "recipients_per_message", "size_bytes": "size_limit", "oauth": "preset"}


def _aliases(name: str) -> list[str]:
    return [alias for alias, meant in ALIASES.items() if meant == name]


def _object(provider: Provider) -> dict[str, Any]:
    values = {_CALLED.get(name, name): value for name, value in provider._asdict().items()}
    return {**values, "explanation": list(provider.explanation), "logins": list(provider.logins)}


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
