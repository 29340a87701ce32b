"""docs/architecture.md: its picture is the imports', and what it and CONTRIBUTING.md name exists."""

import importlib
import re
from pathlib import Path

import pytest

from .picture import FILE, redrawn

PAGE = FILE.read_text(encoding="utf-8")
LAYERS = ("cli", "checks", "delivery", "submission", "outbox", "smtp", "oauth", "mail", "config")
ROOT = FILE.parents[1]
SPAN = re.compile(r"`([^`\n]+)`")
PATH = re.compile(r"(?:tests|docs|prx_email_cli|benchmarks)/[\w./]+")
NAMES = sorted(set(re.findall(rf"`((?:{'|'.join(LAYERS)})\.[\w.]+)`", PAGE)))


def found(name: str) -> object:
    """What a dotted name of the package stands for.  Raises AttributeError, ModuleNotFoundError."""
    parts = name.split(".")
    module = importlib.import_module(f"prx_email_cli.{'.'.join(parts[:2])}")
    for number, part in enumerate(parts[2:], 2):
        if hasattr(module, part):
            thing: object = module
            for attribute in parts[number:]:
                thing = getattr(thing, attribute)
            return thing
        module = importlib.import_module(f"{module.__name__}.{part}")
    return module


def test_the_picture_is_drawn_from_the_imports() -> None:
    assert redrawn(PAGE) == PAGE, "make docs draws it anew"
    assert PAGE.count("-->") > 8


@pytest.mark.parametrize("name", NAMES)
def test_every_name_on_the_page_exists(name: str) -> None:
    found(name)


def test_there_are_names_to_check_and_a_wrong_one_is_noticed() -> None:
    assert len(NAMES) > 25
    with pytest.raises((AttributeError, ModuleNotFoundError)):
        found("outbox.lifecycle.before_attempt")


@pytest.mark.parametrize("file", [FILE, ROOT / "CONTRIBUTING.md"], ids=lambda file: file.name)
def test_every_file_link_and_make_target_that_a_page_for_developers_names_exists(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    spans = SPAN.findall(text)
    assert [span for span in spans if PATH.fullmatch(span) and not (ROOT / span).exists()] == []
    assert [span for span in spans if span.startswith("make ") and span.split()[1] not in targets] == []
    assert [link for link in re.findall(r"\]\(([^)]+)\)", text) if not (file.parent / link).exists()] == []
    assert f"({file.relative_to(ROOT)})" in (ROOT / "README.md").read_text(encoding="utf-8")
