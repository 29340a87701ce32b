"""The table of providers: what every entry promises, and that docs/providers.md says the same."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from prx_email_cli.config import providers
from prx_email_cli.config.providers import ALIASES, NAMES, PROVIDERS, Provider, provider_named

PAGE = (Path(__file__).parents[2] / "docs/providers.md").read_text()
SNIPPETS = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
PORTS = {"implicit": {465, 2465}, "starttls": {587, 2587}, "none": {25}}
LOGINS = {"password": "password", "app_password": "app password", "oauth": "OAuth", "none": "none"}
DATE = re.compile(r"20\d\d-\d\d")
ADDRESS = re.compile(r"[a-z0-9-]+\.(?:com|net|org|io|ai)\b|RFC \d+")

each_provider = pytest.mark.parametrize(("name", "provider"), PROVIDERS.items(), ids=PROVIDERS)


def limits(provider: Provider) -> tuple[int | None, ...]:
    return (
        provider.connections,
        provider.messages_per_minute,
        provider.messages_per_day,
        provider.recipients_per_day,
        provider.recipients,
        provider.size_bytes,
    )


def tables() -> Iterator[str]:
    """Both tables as docs/providers.md must have them."""
    yield "| Name | Service | Server | TLS | Login, the preferred one first |\n|---|---|---|---|---|\n" + "".join(
        f"| `{name}` | {p.title} | `{p.host}:{p.port}` | {p.tls} | {', '.join(LOGINS[login] for login in p.logins)} |\n"
        for name, p in PROVIDERS.items()
    )
    head = (
        "| Name | Connections | Messages a minute | Messages a day | Recipients a day | Recipients a message"
        " | Message size |\n"
    )
    yield f"{head}|---|---|---|---|---|---|---|\n" + "".join(
        f"| `{name}` | {' | '.join(cells(provider))} |\n" for name, provider in PROVIDERS.items()
    )


def cells(provider: Provider) -> Iterator[str]:
    *counts, size = limits(provider)
    yield from (f"{count:,}" if count else "-" for count in counts)
    yield f"{size / 1_048_576:.3g} MB" if size else "-"


@each_provider
def test_server_logins_and_limits_fit_together(name: str, provider: Provider) -> None:
    """Mail leaves this machine encrypted only, and an OAuth preset is named where OAuth is offered and nowhere else."""
    assert (provider.tls == "none") == (provider.host in ("localhost", "127.0.0.1", "::1"))
    assert provider.port in PORTS[provider.tls]
    assert provider.logins
    assert set(provider.logins) <= set(LOGINS)
    assert len(set(provider.logins)) == len(provider.logins)
    assert "none" not in provider.logins or provider.logins == ("none",)
    assert (provider.oauth in ("google", "microsoft")) == ("oauth" in provider.logins)
    assert provider.oauth is None or "oauth" in provider.logins
    assert all(limit is None or limit > 0 for limit in limits(provider))


@each_provider
def test_the_explanation_is_two_lines_that_a_terminal_can_show(name: str, provider: Provider) -> None:
    assert len(provider.explanation) == 2
    for line in provider.explanation:
        assert 0 < len(line) <= 100
        assert line.isascii()
        assert line.isprintable()
        assert line == line.strip()


def test_a_provider_is_found_by_each_of_its_names_and_by_no_other() -> None:
    assert set(ALIASES.values()) <= set(PROVIDERS)
    assert not set(ALIASES) & set(PROVIDERS)
    assert list(NAMES) == [*PROVIDERS, *ALIASES]
    assert all(provider_named(name) is PROVIDERS[ALIASES.get(name, name)] for name in NAMES)
    assert provider_named("office365") is PROVIDERS["outlook"]
    assert [provider_named(name) for name in (None, "", "nobody", "GMAIL ")] == [None] * 4


def test_the_table_costs_no_further_import() -> None:
    tree = ast.parse(inspect.getsource(providers))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    assert [ast.unparse(node) for node in imports] == ["from enum import StrEnum", "from typing import NamedTuple"]


@each_provider
def test_every_entry_says_where_and_when_it_was_read(name: str, provider: Provider) -> None:
    source = inspect.getsource(providers)
    entry = source[source.index(f'    "{name}": Provider(') :].partition("\n    ),\n")[0]
    comments = " ".join(re.findall(r"^ *# (.*)$", entry, re.MULTILINE))
    assert ADDRESS.search(comments)
    assert DATE.search(comments)


def test_the_pages_tables_are_current() -> None:
    for table in tables():
        assert f"\n\n{table}\n" in PAGE, f"docs/providers.md must have this table:\n{table}"


@each_provider
def test_the_page_has_a_section_with_an_example_for_every_provider_and_names_every_alias(
    name: str, provider: Provider
) -> None:
    assert f'provider = "{name}"' in PAGE.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert all(f"`{alias}`" in PAGE for alias, meant in ALIASES.items() if meant == name)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=range(len(SNIPPETS)))
def test_every_example_is_toml_for_a_known_provider(snippet: str) -> None:
    accounts = tomllib.loads(snippet)["accounts"]
    assert all(account["provider"] in NAMES for account in accounts.values())


def test_the_page_keeps_to_120_columns() -> None:
    assert max(len(line) for line in PAGE.splitlines()) <= 120
