"""Compares what commands print with ``--json`` with the schemas that the program publishes of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import typer
from jsonschema import Draft202012Validator

from prx_email_cli.cli.answers.commands import ANSWERS, EVENTS, answer_schema, event_schema
from prx_email_cli.cli.main import app

_DAMAGED = "tests/damage/"
MOST_CHARACTERS = 100_000  # of an answer: a long list has the same rows again and again


@cache
def validator(command: str) -> Draft202012Validator:
    """The published schema of *command*, or of the notify event of that name."""
    return Draft202012Validator(event_schema(command) if command in EVENTS else answer_schema(command))


@cache
def commands() -> dict[str, Any]:
    """Every command by its words."""
    return dict(_commands(typer.main.get_command(app), ""))


def _commands(command: Any, words: str) -> Iterator[tuple[str, Any]]:
    inner = command.list_commands(None) if hasattr(command, "list_commands") else []
    if not inner:
        yield words, command
    for name in inner:
        yield from _commands(command.get_command(None, name), f"{words} {name}".strip())


def command_of(arguments: Sequence[str]) -> str | None:
    """The command that *arguments* call; None for one that cannot be told."""
    words = [word for word in arguments if not word.startswith("-")]
    found = [name for name in commands() if words[: name.count(" ") + 1] == name.split()]
    return found[0] if found else None


def faults(command: str, document: Any) -> list[str]:
    """What in *document* is not as published, the most telling first."""
    found = list(validator(command).iter_errors(document))
    return sorted({_told(inner) for one in found for inner in _deepest(one)})


def _deepest(error: Any) -> Iterator[Any]:
    """The errors of the alternative that fits best, which is the one that fails deepest inside."""
    if not error.context:
        yield error
        return
    by_branch: dict[int, list[Any]] = {}
    for one in error.context:
        by_branch.setdefault(one.schema_path[0], []).append(one)
    best = max(by_branch.values(), key=lambda branch: (min(len(one.absolute_path) for one in branch), -len(branch)))
    for one in best:
        yield from _deepest(one)


def _told(error: Any) -> str:
    return f"{'.'.join(map(str, error.absolute_path)) or 'the answer'}: {error.message[:300]}"


def assert_as_published(arguments: Sequence[str], out: str) -> None:
    """An answer to ``--json`` is as the schema of the command says; anything else is no matter.

    Where a word of the outbox was damaged, it is shown as it stands.
    """
    if _DAMAGED in os.environ.get("PYTEST_CURRENT_TEST", "") or "--json" not in arguments or len(out) > MOST_CHARACTERS:
        return
    command = command_of(arguments)
    if command is None:
        return
    try:
        document = json.loads(out)
    except ValueError:
        return
    if isinstance(document, dict) and "ok" in document:
        assert command in ANSWERS, f"{command} has no schema: add it to prx_email_cli/cli/answers"
        found = faults(command, document)
        assert not found, f"{command}: {found}; say what is new in prx_email_cli/cli/answers, then make docs"
