"""``providers``: what is known of mail providers, for a person, a pipe and a script."""

import re

import pytest

from prx_email_cli.config.providers import ALIASES, PROVIDERS

from ..conftest import COMMAND, Program
from ..support.terminal import Terminal

COLUMNS = ["name", "server", "tls", "login", "a day", "a minute", "connections", "bytes", "recipients",
           "recipients a day"]  # fmt: skip


def test_a_pipe_gets_a_line_for_each_with_tabs_between(program: Program) -> None:
    answer = program.run("providers")
    assert (answer.status, answer.err) == (0, "")
    head, *lines = [line.split("\t") for line in answer.out.splitlines()]
    assert head == COLUMNS
    assert [line[0].split(", ")[0] for line in lines] == list(PROVIDERS)
    assert {len(line) for line in lines} == {len(COLUMNS)}
    assert all(cell and cell == cell.strip() for line in lines for cell in line)
    rows = {line[0]: dict(zip(head, line, strict=True)) for line in lines}
    gmail = rows["gmail, google"]
    assert (gmail["server"], gmail["tls"], gmail["login"]) == ("smtp.gmail.com:465", "implicit", "app password, oauth")
    assert (gmail["a day"], gmail["connections"], gmail["bytes"]) == ("500", "-", "35,882,577")


CALLED = {"oauth": "preset", "size_bytes": "size_limit", "recipients": "recipients_per_message"}


def test_a_script_gets_every_fact_and_null_where_nothing_is_published(program: Program) -> None:
    answer = program.run("providers", "--json")
    assert (answer.status, answer.json["ok"], answer.json["error"], answer.out.count("\n")) == (0, True, None, 1)
    told = {row["name"]: row for row in answer.data}
    assert list(told) == list(PROVIDERS)
    for name, provider in PROVIDERS.items():
        row = told[name]
        assert set(row) == {"name", "aliases", *(CALLED.get(field, field) for field in provider._fields)}
        assert row["aliases"] == [alias for alias, meant in ALIASES.items() if meant == name]
        for field, value in provider._asdict().items():
            assert row[CALLED.get(field, field)] == (list(value) if isinstance(value, tuple) else value)
    assert told["gmail"]["connections"] is None


@pytest.mark.parametrize("option", [(), ("--json",)])
def test_needs_neither_config_nor_outbox_nor_makes_one(option: tuple[str, ...], program: Program) -> None:
    program.config.unlink()
    assert program.run("providers", *option).status == 0
    assert list(program.home.iterdir()) == []


def test_every_name_it_tells_is_taken_by_the_config(program: Program) -> None:
    names = [name for line in program.run("providers").out.splitlines()[1:] for name in line.split("\t")[0].split(", ")]
    tables = "".join(
        f'[accounts.{name}]\nprovider = "{name}"\nfrom = "me@example.com"\n' for name in names if name in PROVIDERS
    )
    program.config.write_text(tables)
    answer = program.run("account", "list", "--json")
    assert answer.status == 0, answer
    assert [(account["host"], account["port"], account["tls"]) for account in answer.data] == [
        (provider.host, provider.port, provider.tls) for provider in PROVIDERS.values()
    ]
    assert set(names) == {*PROVIDERS, *ALIASES}


def test_a_person_gets_a_table_without_tabs(program: Program) -> None:
    with Terminal([*COMMAND, "providers"], env={**program.environment, "TERM": "xterm"}, cwd=program.home) as person:
        assert person.end() == 0
        plain = re.sub(r"\x1b\[[0-9;]*m", "", person.screen)
    assert "\t" not in plain
    head, *lines = plain.splitlines()
    assert re.split(r" {2,}", head.strip()) == COLUMNS
    assert [line.split(",")[0].split()[0] for line in lines if re.match(r"[a-z]", line)] == list(PROVIDERS)


@pytest.mark.parametrize("columns", [50, 80, 100])
def test_a_narrow_terminal_breaks_no_word(columns: int, program: Program) -> None:
    wide = program.run("providers").out
    environment = {**program.environment, "TERM": "xterm", "COLUMNS": str(columns)}
    with Terminal([*COMMAND, "providers"], env=environment, cwd=program.home) as person:
        assert person.end() == 0
        plain = re.sub(r"\x1b\[[0-9;]*m", "", person.screen)
    lines = plain.splitlines()
    assert max(map(len, lines)) <= columns
    assert [line.split(",")[0] for line in lines if line[:1].isalpha()] == list(PROVIDERS)
    told = {word for line in wide.splitlines()[1:] for word in line.replace("\t", " ").split()} - {"-"}
    assert {word.strip(",") for word in told} - {word.strip(",") for word in plain.split()} == set()


def test_refuses_what_it_does_not_know(program: Program) -> None:
    assert program.run("providers", "gmail").status == 2
