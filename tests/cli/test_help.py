"""What ``--help`` says of each command: in 80 columns, with an example, and in the words of docs/glossary.md."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from prx_email_cli.cli.main import app

from ..conftest import Program

GLOSSARY = Path(__file__).parents[2] / "docs" / "glossary.md"
COLUMNS = 80
ENDS = (".", ")", "]")


@cache
def commands() -> dict[str, Any]:
    """Every command and group by its words on the command line; "" is the root."""
    root: Any = typer.main.get_command(app)
    found = {"": root}
    for name in root.list_commands(None):
        command = found[name] = root.get_command(None, name)
        found |= {f"{name} {inner}": leaf for inner, leaf in getattr(command, "commands", {}).items()}
    return found


def parameters(command: Any) -> list[Any]:
    """The options and arguments of *command*, but for ``--help``."""
    return [parameter for parameter in command.params if parameter.name != "help"]


each_command = pytest.mark.parametrize("words", commands(), ids=lambda words: words or "prx-email")


@each_command
def test_fits_80_columns_without_a_broken_word_and_has_an_example(words: str, program: Program) -> None:
    answer = program.run(*words.split(), "--help", COLUMNS=str(COLUMNS))
    assert (answer.status, answer.err) == (0, "")
    assert max(map(len, answer.out.splitlines())) <= COLUMNS
    assert "…" not in answer.out
    assert not re.search(r"<[a-z]", answer.out)  # the name of a type, which typer shows beside an argument's metavar
    assert f"prx-email {words}".strip() in " ".join(answer.out.split("Example", 1)[1].split())
    shown = {word for line in answer.out.splitlines() for word in re.sub("[│╭╮╰╯─]", " ", line).split()}
    command = commands()[words]
    texts = [command.help, *(parameter.help for parameter in parameters(command))]
    names = [name for parameter in parameters(command) for name in parameter.opts if name.startswith("-")]
    metavars = [parameter.metavar for parameter in parameters(command) if parameter.metavar]
    assert {word for text in [*texts, *names, *metavars] for word in text.split()} - shown == set()


@each_command
def test_tells_of_each_option_what_it_does_and_what_it_takes(words: str) -> None:
    for parameter in parameters(commands()[words]):
        name = parameter.opts[0]
        assert parameter.help, name
        assert parameter.help[0].isupper() or parameter.help.startswith(("argv", "pending")), (name, parameter.help)
        assert parameter.help.endswith(ENDS), (name, parameter.help)
        assert parameter.metavar or getattr(parameter, "is_flag", False), name


@each_command
def test_says_first_what_the_command_does(words: str) -> None:
    first = commands()[words].help.split("\n\n")[0]
    assert first[0].isupper()
    assert first.endswith(".")


# What stands for something that has a name; "state" is said of a directory alone.
NEUTRAL = ("whoever", "whatever", "state", "what is told", "something", "somebody", "nobody")


def glossary() -> list[str]:
    """The words that docs/glossary.md explains."""
    rows = [line.split("|")[1].strip() for line in GLOSSARY.read_text().splitlines() if line.startswith("| ")]
    return rows[1:]


def said() -> str:
    """Every help text, in lower case."""
    found = commands().values()
    return "\n".join(
        text for command in found for text in [command.help, *(parameter.help for parameter in parameters(command))]
    ).lower()


class TestTheGlossary:
    def test_has_each_word_once_and_the_readme_leads_to_it(self) -> None:
        words = glossary()
        assert len(words) == len({*words}) > 15
        assert "docs/glossary.md" in (GLOSSARY.parents[1] / "README.md").read_text()

    @pytest.mark.parametrize("word", glossary())
    def test_explains_words_that_the_program_or_its_pages_use(self, word: str) -> None:
        pages = [page.read_text().lower() for page in GLOSSARY.parent.glob("*.md") if page != GLOSSARY]
        assert word.lower() in said() or any(word.lower() in page for page in pages)

    def test_names_the_options_and_keys_as_they_are(self, program: Program) -> None:
        options = {name for command in commands().values() for parameter in command.params for name in parameter.opts}
        program.send()
        assert program.run("retry", "1", "--failure-mode", "network").status == 75
        row = program.show(1)
        keys = {*row, *row["attempts"][0]}
        quoted = re.findall(r"`([^`]+)`", GLOSSARY.read_text())
        assert {word for word in quoted if word.startswith("--")} <= options
        assert {word for word in quoted if "_" in word} <= keys


@pytest.mark.parametrize("word", NEUTRAL)
def test_no_help_text_says(word: str) -> None:
    assert re.findall(rf".*\b{word}\b.*", said()) == []


def test_what_list_and_show_print_is_called_as_in_their_json(program: Program) -> None:
    program.send()
    columns = program.run("list").out.splitlines()[0].split("\t")
    names = [line[:16].strip() for line in program.run("show", "1").out.splitlines() if not line.startswith(" ")]
    row = program.show(1)
    same = {"id": "outbox_id", "size": "size_bytes", "accepted with": "provider_message_id",
            "command": "commands"}  # fmt: skip
    for name in {*columns, *names} - {"", "recipients", "timeline"}:
        key = same.get(name, name.replace(" ", "_"))
        assert key in row or f"{key}_at" in row, name
