"""docs/troubleshooting.md quotes the program: messages, commands, codes and statuses are those of the sources."""

from __future__ import annotations

import ast
import errno
import os
import re
import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer

from prx_email_cli.cli.main import app
from prx_email_cli.config.settings import Settings, Smtp
from prx_email_cli.config.table import Table
from prx_email_cli.errors import AccountUnusable, Exit, PrxEmailError
from prx_email_cli.smtp.replies import Category, Reply, Scope, judge

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGE = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
SOURCES = sorted((ROOT / "prx_email_cli").rglob("*.py"))

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
LINK = re.compile(r"\]\(([^)]+)\)")
SPAN = re.compile(r"`([^`\n]+)`")
LABEL = re.compile(r"(?:error|hint|warning|note|Invalid value): ")
CHECKED = re.compile(r"(?:WARN|FAIL) +(\S+(?: \S+)?)  +")
FILE_AND_KEY = re.compile(r"(?:…:? )+")
ROW = re.compile(r"^\| (.+) \|$", re.MULTILINE)

LEAST_FIXED_LETTERS = 5  # of a message without its label, or it would match anything
MOST_FREE_WORDS = 2  # where a message has a variable part; more of them must be another message, or in one
LEAST_INNER_LETTERS = 10
OTHERS_WORDS = (  # the system's, SQLite's, OpenSSL's and a mail server's
    *(os.strerror(number) for number in (errno.ENETUNREACH, errno.EADDRNOTAVAIL)),
    "database or disk is full",
    "disk I/O error",
    "unable to open database file",
    "attempt to write a readonly database",
    "database disk image is malformed",
    "file is not a database",
    "unable to get local issuer certificate",
    "self-signed certificate",
    "Hostname mismatch, certificate is not valid for",
    "IP address mismatch, certificate is not valid for",
    "certificate has expired",
    "certificate is not yet valid",
)
INTERRUPTED = [130, 143]
SHELL_OPERATORS = {"|", "<", ">", "&&", ";"}


class Message(NamedTuple):
    """A text in the sources.  pattern: it, with any text where it has a variable part.  whole: it, when it has none."""

    pattern: re.Pattern[str]
    whole: str | None
    letters: int


def texts_in(source: str) -> Iterator[ast.Constant | ast.JoinedStr]:
    """Every string in *source* but its docstrings."""
    tree = ast.parse(source)
    pieces = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) not in pieces | docstrings and (
            isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
        ):
            yield node


def fixed_parts(text: ast.Constant | ast.JoinedStr) -> list[str | None]:
    """The pieces of a string, None for each variable part."""
    parts = text.values if isinstance(text, ast.JoinedStr) else [text]
    return [str(part.value) if isinstance(part, ast.Constant) else None for part in parts]


@cache
def messages() -> list[Message]:
    found: dict[str, Message] = {}
    for module in SOURCES:
        for text in texts_in(module.read_text(encoding="utf-8")):
            fixed = fixed_parts(text)
            words = "".join(filter(None, fixed))
            letters = sum(map(str.isalpha, LABEL.sub("", words)))
            if letters >= LEAST_FIXED_LETTERS:
                pattern = "".join("(.*?)" if part is None else re.escape(part) for part in fixed)
                whole = None if None in fixed else words
                found[pattern] = Message(re.compile(pattern, re.DOTALL), whole, letters)
    return list(found.values())


def is_printed(line: str) -> bool:
    """Whether the program has a message that may read like *line*, in which … is what varies."""
    label = LABEL.match(line) or CHECKED.match(line)
    return any(is_message(text) for text in {line, line[label.end() :] if label else line})


def is_message(text: str) -> bool:
    without_place = text[place.end() :] if (place := FILE_AND_KEY.match(text)) else text
    if any(is_said(candidate) for candidate in {text, without_place}):
        return True
    bracketed = re.fullmatch(r"(.*) \((.*)\)", text)
    return bracketed is not None and is_message(bracketed[1]) and is_free(bracketed[2])


def is_said(text: str) -> bool:
    for message in messages():
        found = message.pattern.fullmatch(text)
        if found and all(is_free(variable) for variable in found.groups()):
            return True
        if message.whole is not None and "…" not in text and len(text) > LEAST_FIXED_LETTERS and text in message.whole:
            return True
    return False


def is_free(variable: str) -> bool:
    """Whether *variable* may stand in a variable part: a few words, or somebody else's, or another message."""
    if len(re.findall(r"[A-Za-z]{2,}", variable)) <= MOST_FREE_WORDS or variable.startswith(OTHERS_WORDS):
        return True
    inner = (message for message in messages() if message.letters >= LEAST_INNER_LETTERS)
    return any(message.pattern.search(variable) for message in inner)


def quoted_lines() -> Iterator[str]:
    for language, block in FENCE.findall(PAGE):
        if language == "text":
            yield from block.splitlines()
    yield from (span for span in spans(PAGE) if LABEL.match(span))


def errors_raised() -> Iterator[str]:
    """A pattern for each error that the sources raise with words on the spot; of a config's key, what follows it."""
    kinds = {kind.__name__ for kind in error_classes()}
    for module in SOURCES:
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            at = 1 if called.endswith("place.error") or called.startswith("Place(") else 0 if called in kinds else None
            if isinstance(node, ast.Call) and at is not None and len(node.args) > at:
                text = node.args[at]
                if isinstance(text, ast.JoinedStr | ast.Constant):
                    yield "".join(".*" if part is None else re.escape(part) for part in fixed_parts(text))


def spans(text: str) -> list[str]:
    return SPAN.findall(FENCE.sub("", text))


def sections(text: str) -> dict[str, str]:
    """The text under each heading, by the anchor that GitHub gives it; up to the next heading of any level."""
    bare = FENCE.sub(lambda block: re.sub(r"[^\n]", " ", block[0]), text)  # a # in a block is no heading
    headings = list(HEADING.finditer(bare))
    ends = [*(heading.start() for heading in headings[1:]), len(text)]
    return {anchor(found[1]): text[found.end() : end] for found, end in zip(headings, ends, strict=True)}


def anchor(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def rows(section: str) -> list[list[str]]:
    """The cells of each row of the tables in *section*, without heads and rules."""
    table = [line.split(" | ") for line in ROW.findall(section)]
    return [
        cells for cells in table if not cells[0].startswith(("Status", "Check", "Answer", "Reason", "Question", "---"))
    ]


def error_classes() -> Iterator[type[PrxEmailError]]:
    waiting = [PrxEmailError]
    while waiting:
        kind = waiting.pop()
        waiting += [inner for inner in kind.__subclasses__() if inner.__module__.startswith("prx_email_cli.")]
        yield kind


def codes() -> set[str]:
    return {kind.code for kind in error_classes()} | set(Category)


def commands_on_the_page() -> Iterator[str]:
    yield from (span for span in spans(PAGE) if "prx-email " in span and not LABEL.match(span))
    for language, block in FENCE.findall(PAGE):
        if language == "sh":
            yield from (line for line in block.splitlines() if line)


@cache
def root() -> Any:
    return typer.main.get_command(app)


def options_of(command: Any) -> set[str]:
    return {"-h", "--help"} | {name for part in command.params for name in (*part.opts, *part.secondary_opts)}


def every_option() -> set[str]:
    found: set[str] = set()
    waiting = [root()]
    while waiting:
        command = waiting.pop()
        found |= options_of(command)
        if hasattr(command, "list_commands"):
            waiting += [command.get_command(None, name) for name in command.list_commands(None)]
    return found


def setting_names(table: type[Table]) -> set[str]:
    """Every key of *table* and of the tables in it, by its last name."""
    found = set(table.keys)
    for declared in table.keys.values():
        for kind in (declared.kind, *getattr(declared.kind, "__args__", ())):
            if isinstance(kind, type) and issubclass(kind, Table):
                found |= setting_names(kind)
    return found


def checks_of_doctor() -> set[str]:
    """The names of the checks, as the sources give them."""
    names = {"connection", "tls", "greeting", "login"}  # the steps at which a session can fail
    for file in ("checks/machine.py", "checks/outbox.py", "checks/drop.py", "checks/account.py", "cli/doctor.py"):
        for node in ast.walk(ast.parse((ROOT / "prx_email_cli" / file).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("ok", "warning", "failed"):
                names |= {str(part.value) for part in node.args[:1] if isinstance(part, ast.Constant)}
    return names


def test_there_is_something_to_check() -> None:
    assert len(set(quoted_lines())) > 200
    assert len(messages()) > 400
    assert len(set(commands_on_the_page())) > 30


@pytest.mark.parametrize("line", sorted(set(quoted_lines())))
def test_a_quoted_message_is_one_of_the_programs(line: str) -> None:
    assert is_printed(line)


@pytest.mark.parametrize(
    "line",
    [
        "error: the frobnicator … is jammed",
        "error: …: no such config directory",
        "error: outbox message …: the moon was too low",
        "hint: frobnicate it",
        "WARN  cron               the last drain started … s ago",
    ],
)
def test_a_message_that_the_program_does_not_have_is_noticed(line: str) -> None:
    assert not is_printed(line)


def test_every_error_that_the_program_raises_is_quoted() -> None:
    page = {LABEL.sub("", CHECKED.sub("", line)) for line in quoted_lines()}
    raised = set(errors_raised())
    assert len(raised) > 100
    missing = [error for error in raised if not any(re.fullmatch(rf"(?:.* )?{error}(?: .*)?", line) for line in page)]
    assert missing == []


def test_no_two_headings_share_an_anchor() -> None:
    headings = HEADING.findall(FENCE.sub("", PAGE))
    assert len(sections(PAGE)) == len(headings)


def test_every_error_code_has_a_section_and_no_other_has() -> None:
    headings = re.findall(r"^### `(\w+)`$", PAGE, re.MULTILINE)
    assert sorted(headings) == sorted(codes())


def test_each_codes_section_and_row_name_its_exit_statuses() -> None:
    by_status = {cells[0]: cells[1] for cells in rows(sections(PAGE)["exit-statuses"])}
    for kind in error_classes():
        if kind.code in codes() and not issubclass(kind, AccountUnusable):
            assert str(int(kind.exit_code)) in sections(PAGE)[kind.code], kind.__name__
            assert f"`{kind.code}`" in by_status[str(int(kind.exit_code))], kind.__name__
    for code in Category:
        assert f"`{code}`" in by_status[str(int(Exit.TRY_LATER))]


def test_every_exit_status_is_named() -> None:
    named = [int(cells[0]) for cells in rows(sections(PAGE)["exit-statuses"])]
    assert sorted(named) == sorted([*map(int, Exit), *INTERRUPTED])


@pytest.mark.parametrize("line", sorted(set(commands_on_the_page())))
def test_a_command_exists_with_its_options(line: str) -> None:
    words = shlex.split(line, comments=True)
    program = [Path(word).name for word in words].index("prx-email")
    command, waiting = root(), words[program + 1 :]
    while waiting and waiting[0] not in SHELL_OPERATORS:
        word = waiting.pop(0)
        if word.startswith("-"):
            assert word in options_of(command), word
        elif hasattr(command, "get_command"):
            inner = command.get_command(None, word)
            assert inner is not None, f"no command {word}"
            command = inner


def test_an_option_on_its_own_is_some_commands() -> None:
    assert {span.split()[0] for span in spans(PAGE) if span.startswith("--")} <= every_option()


def test_a_setting_exists() -> None:
    known = setting_names(Settings)
    for span in spans(PAGE):
        if span.startswith("smtp."):
            assert span.removeprefix("smtp.") in setting_names(Smtp), span
        elif setting := re.fullmatch(r"(?:\[[\w.]+\] )?([a-z_.]+) = .+|\[[\w.]+\] ([a-z_]+)", span):
            assert (setting[1] or setting[2]).removeprefix("smtp.") in known, span


def test_the_table_of_doctors_checks_has_each_of_them() -> None:
    table = [cells[0].strip("`") for cells in rows(sections(PAGE)["what-doctor-says"])]
    assert sorted(table) == sorted(checks_of_doctor())
    quoted = {found[1] for line in quoted_lines() if (found := CHECKED.match(line))}
    assert quoted <= set(table)


def test_the_answers_that_let_an_account_rest_are_those_of_the_rules() -> None:
    first = sections(PAGE)["throttling-and-quotas"].split("Nothing is given up")[0]
    answers = re.findall(r"\b(\d{3})(?: (\d\.\d\.\d+))?", first)
    assert len(answers) > 5
    for code, enhanced in answers:
        assert judge(Reply(int(code), enhanced), Scope.MESSAGE).scope is Scope.ACCOUNT, (code, enhanced)
    assert judge(Reply(554, "5.2.0 SubmissionQuotaExceeded"), Scope.MESSAGE).scope is Scope.ACCOUNT
    assert "SubmissionQuotaExceeded" in first


def test_what_a_provider_answers_stands_in_its_own_section_too() -> None:
    provider_sections = sections((DOCS / "providers.md").read_text(encoding="utf-8"))
    table = rows(sections(PAGE)["what-providers-answer"])
    assert len(table) > 10
    for answer, _, link in table:
        (target,) = LINK.findall(link)
        assert answer in provider_sections[target.removeprefix("providers.md#")], answer


@pytest.mark.parametrize("target", sorted(set(LINK.findall(PAGE))))
def test_a_link_leads_somewhere(target: str) -> None:
    file, _, place = target.partition("#")
    there = (DOCS / file).resolve() if file else DOCS / "troubleshooting.md"
    assert there.is_file()
    assert not place or place in sections(there.read_text(encoding="utf-8"))
