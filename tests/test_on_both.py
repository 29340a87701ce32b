"""Of every command, one test at least runs on both kinds of outbox wherever the tests run."""

import ast
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from . import conftest
from .support.postgres import programs

HERE = Path(__file__).parent
# Of each, the words by which a test uses it.
COMMANDS = {
    name: f'"{name}"'
    for name in (
        "reply", "import", "drain", "retry", "hold", "release", "cancel", "resolve", "edit", "export", "pause",
        "prune", "list", "log", "top", "stats", "status", "check", "doctor", "--follow", "--batch",
    )
} | {
    "send": "program.send(", "show": ".show(", "notify": "hook(program", "prx-sendmail": "sendmail(",
    "merge": "PEOPLE", "listen": "Listener", "the drop directory": "shared.drop",
}  # fmt: skip


def sources() -> Iterator[str]:
    """The text of each test that is marked on_both, or whose class or module is."""
    for file in sorted(HERE.rglob("test_*.py")):
        text = file.read_text()
        if "mark.on_both" in text:
            yield from _marked(ast.parse(text), text)


def _marked(within: ast.Module | ast.ClassDef, text: str) -> Iterator[str]:
    everything = any(isinstance(one, ast.Assign) and "mark.on_both" in ast.unparse(one) for one in within.body)
    for one in within.body:
        if isinstance(one, ast.FunctionDef | ast.ClassDef):
            marks = any("mark.on_both" in ast.unparse(decorator) for decorator in one.decorator_list)
            if marks or everything:
                yield ast.get_source_segment(text, one) or ""
            elif isinstance(one, ast.ClassDef):
                yield from _marked(one, text)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_is_used_by_a_test_that_runs_on_both_kinds_of_outbox(name: str) -> None:
    assert any(COMMANDS[name] in source for source in sources())


def test_a_run_without_the_server_says_at_its_end_that_this_half_did_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    reporter = cast(pytest.TerminalReporter, SimpleNamespace(write_line=said.append))
    conftest.pytest_terminal_summary(reporter)
    assert said == [] or programs() is None
    monkeypatch.setattr(conftest, "programs", lambda: None)
    said.clear()
    conftest.pytest_terminal_summary(reporter)
    (line,) = said
    assert "PostgreSQL did not run" in line
    assert "apt-get install postgresql" in line
