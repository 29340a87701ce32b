"""Answer a shell that completes a command line; ``cli.completion`` has the scripts that ask.

The first line says what kind of word is wanted: file, dir or plain.  The others are candidates, each with what is said
of it behind a tab.  Nothing is written, no secret is fetched, and whatever is wrong only means fewer candidates.
"""

import os
import re
import shlex
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

# Typer's own module, with which it completes: its public face has no answer without scripts that evaluate it.
from typer._click.shell_completion import CompletionItem, ShellComplete

from prx_email_cli.cli.arguments import CONFIG
from prx_email_cli.cli.context import Invocation
from prx_email_cli.cli.render import safe

if TYPE_CHECKING:
    from prx_email_cli.outbox.views import Filter

VARIABLE = "_PRX_EMAIL_COMPLETE"
MOST_IDS, MOST_SEARCHED = 50, 1000
_LONGEST_TEXT = 60
_WITHOUT_QUOTES = re.compile(r"[\w@%+,./-][\w@%+=:,./-]*", re.ASCII)  # what no shell takes for anything but itself
_CHOICES = re.compile(r"[a-z]+(?:\|[a-z]+)+")
_STATUSES = ("pending", "sending", "sent", "failed")
_FORMATS = ("table", "tsv", "csv", "jsonl")
_TLS_MODES = ("implicit", "starttls", "none")


class _Completer(ShellComplete):
    """Finds by typer's own rules what a word on the command line is, and what it may be."""

    name = "any"
    source_template = ""

    def source_vars(self) -> dict[str, Any]:
        return {}

    def get_completion_args(self) -> tuple[list[str], str]:
        raise NotImplementedError

    def format_completion(self, item: CompletionItem) -> str:
        return f"{item.value}\t{_said(item.help)}" if item.help else str(item.value)


def complete(app: typer.Typer, shell: str) -> int:
    """Print what the last word of the command line may be; return 0.  shell: which one asks."""
    try:
        lines = list(_answer(app, shell, sys.argv[1:]))
    except Exception:  # a shell that completes has no place for an error
        if os.environ.get("PRX_EMAIL_DEBUG") == "1":
            raise
        lines = []
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
    return 0


def _answer(app: typer.Typer, shell: str, words: list[str]) -> Iterator[str]:
    if shell != "zsh":
        words = [_unquoted(word) for word in words]  # zsh does it itself
    if shell == "bash":
        words = _without_breaks(words)
    *before, incomplete = words or [""]
    root: Any = typer.main.get_command(app)
    _teach(root, described=shell != "bash")
    completer = _Completer(root, {}, "prx-email", VARIABLE)
    found = completer.get_completions(_config_first(before), incomplete)
    yield next((item.type for item in found if item.type in ("file", "dir")), "plain")
    option, is_joined, _ = incomplete.partition("=")
    prefix = f"{option}=" if is_joined and option.startswith("--") else ""
    for item in found:
        value = str(item.value)
        if item.type == "plain" and _WITHOUT_QUOTES.fullmatch(value):
            item.value = prefix + value
            yield completer.format_completion(item)


def _unquoted(word: str) -> str:
    """Return a word as the shell will pass it on; one whose quotes are open still, without them."""
    try:
        return "".join(shlex.split(word))
    except ValueError:
        return word.replace("\\", "").lstrip("'\"")


def _without_breaks(words: list[str]) -> list[str]:
    """Leave out the ``=`` between an option and its value, which are words of their own to bash."""
    if words and words[-1] == "=":
        words = [*words[:-1], ""]
    return [word for at, word in enumerate(words) if word != "=" or not (at and words[at - 1].startswith("--"))]


def _config_first(words: list[str]) -> list[str]:
    """Move ``--config FILE`` to the front, where typer wants it."""
    for at, word in enumerate(words):
        if word == CONFIG and at + 1 < len(words):
            return [*words[at : at + 2], *words[:at], *words[at + 2 :]]
        if word.startswith(f"{CONFIG}="):
            return [word, *words[:at], *words[at + 1 :]]
    return words


def _said(text: str) -> str:
    """Write a description in one short line without anything that a terminal obeys."""
    shown = safe(" ".join(text.split()))
    return shown if len(shown) <= _LONGEST_TEXT else f"{shown[: _LONGEST_TEXT - 3]}..."


def _teach(root: Any, *, described: bool) -> None:
    """Let each parameter of each command that is loaded answer for itself.

    described: commands are wanted with what they do, for which all of them must be loaded.
    """
    load = root.get_command

    def get_command(ctx: Any, name: str) -> Any:
        command = load(ctx, name)
        if command is not None:
            for words, leaf in _leaves(name, command):
                for parameter in leaf.params:
                    parameter.shell_complete = partial(_candidates, _Asked(words, parameter))
        return command

    root.get_command = get_command
    for parameter in root.params:
        parameter.shell_complete = partial(_candidates, _Asked("", parameter))
    if not described:
        options = root.shell_complete
        root.shell_complete = lambda ctx, incomplete: [
            *(CompletionItem(name) for name in root.list_commands(ctx) if name.startswith(incomplete)),
            *(options(ctx, incomplete) if incomplete.startswith("-") else ()),
        ]


def _leaves(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    yield name, command
    for inner, leaf in getattr(command, "commands", {}).items():
        yield f"{name} {inner}", leaf


class _Asked(NamedTuple):
    """A parameter of the command that *command* names, "" for the root."""

    command: str
    parameter: Any


def _candidates(asked: _Asked, ctx: Any, incomplete: str) -> list[CompletionItem]:
    """Return what the value of a parameter may be, as far as it is typed."""
    metavar = (asked.parameter.metavar or "").strip("[]").removesuffix("...").rstrip("]")
    if metavar == "DIR":
        return [CompletionItem(incomplete, type="dir")]
    if metavar.startswith("FILE") or (asked.command == "run" and metavar == "COMMAND"):
        return [CompletionItem(incomplete, type="file")]
    return [item for item in _possible(asked, metavar, ctx, incomplete) if str(item.value).startswith(incomplete)]


def _possible(asked: _Asked, metavar: str, ctx: Any, incomplete: str) -> Iterable[CompletionItem]:
    name = asked.parameter.name
    if _CHOICES.fullmatch(metavar):
        return map(CompletionItem, metavar.split("|"))
    if metavar == "ID":
        return _ids(asked.command, ctx, incomplete)
    if metavar == "NAME" and name == "provider":
        return _providers()
    if _is_account(asked.command, name, metavar):
        return _accounts(ctx)
    if metavar == "COMMAND":
        return map(CompletionItem, ctx.find_root().command.list_commands(None))
    words = {"STATUS": _STATUSES, "MODE": _TLS_MODES, "FORMAT": _FORMATS}.get(metavar, ())
    return map(CompletionItem, words)


def _is_account(command: str, name: str, metavar: str) -> bool:
    """Tell whether a parameter takes the name of an account that there is."""
    if metavar != "NAME" or command in ("init", "account add"):
        return False
    return name == "account" or (name == "name" and command.startswith("account "))


def _providers() -> Iterator[CompletionItem]:
    from prx_email_cli.config.providers import NAMES  # on use

    return map(CompletionItem, NAMES)


def _accounts(ctx: Any) -> Iterator[CompletionItem]:
    accounts = _invocation(ctx).settings().accounts
    for name, account in accounts.items():
        yield CompletionItem(name, help=f"{account.sender or account.smtp.user or ''} by {account.host}")


def _ids(command: str, ctx: Any, incomplete: str) -> Iterator[CompletionItem]:
    """Yield the newest messages that the command can do something with, and that are not named yet."""
    from prx_email_cli.outbox.open import open_store  # on use

    settings = _invocation(ctx).settings()
    if incomplete and not incomplete.isdecimal():
        return
    named = {str(value) for values in ctx.params.values() if isinstance(values, (list, tuple)) for value in values}
    store = open_store(settings.outbox.replace(busy_timeout_seconds=0), create=False)
    try:
        many = MOST_SEARCHED if incomplete else MOST_IDS + len(named)
        rows = store.rows(replace(_fitting(command), limit=many))
    finally:
        store.close()
    found = (row for row in rows if str(row.outbox_id).startswith(incomplete) and str(row.outbox_id) not in named)
    for row, _ in zip(found, range(MOST_IDS), strict=False):
        to = row.to[0] if row.to else ""
        yield CompletionItem(
            str(row.outbox_id), help=f"{'given up' if row.gave_up else row.status} {to}: {row.subject}"
        )


def _fitting(command: str) -> "Filter":
    """Return the filter of the messages that the command is for."""
    from prx_email_cli.outbox.lifecycle import Status  # on use
    from prx_email_cli.outbox.views import Fact, Filter  # on use

    ended = (Fact.SENT, Fact.CANCELLED)
    fitting = {
        "retry": Filter(statuses=(Status.FAILED,), without=(Fact.CANCELLED,)),
        "hold": Filter(without=(*ended, Fact.HELD, Fact.GAVE_UP)),
        "release": Filter(held=True),
        "cancel": Filter(without=(*ended, Fact.GAVE_UP)),
        "resolve": Filter(uncertain=True),
        "dismiss": Filter(gave_up=True, without=(Fact.CANCELLED, Fact.DISMISSED)),
        "edit": Filter(without=(Fact.SENT, Fact.SENDING)),
    }
    return fitting.get(command, Filter())


def _invocation(ctx: Any) -> Invocation:
    named = ctx.find_root().params.get("config")  # as it was typed: a shell that completes expands nothing
    return Invocation(Path(named).expanduser() if named else None)
