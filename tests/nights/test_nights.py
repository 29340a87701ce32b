"""Every night is told, explained, mended by the commands that were named, and all that can arrive arrives once."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from . import NIGHTS
from .document import FILE, rewritten
from .night import Night
from .stage import Stage


@pytest.mark.on_both
@pytest.mark.parametrize("night", NIGHTS, ids=lambda night: night.title)
def test_a_night_is_told_and_explained_and_mended_by_what_it_names(stage: Stage, night: Night) -> None:
    night.play(stage)
    stage.run("prx-email status")
    assert said(night.told, stage.heard), f"not told: {night.told}\n{stage.heard}"
    shown = " ".join(stage.run(f"prx-email show {night.message}").out.split())
    assert said(night.explained, shown), f"not explained: {night.explained}\n{shown}"
    night.put_right(stage)
    for command in night.mend:
        assert mentions(stage.heard, command), f"not named: {command}\n{stage.heard}"
        answer = stage.run(command, night.stdin)
        assert answer.status == 0, answer
    night.then(stage)
    stage.now += night.sleeps
    stage.drain()
    assert stage.arrived == Counter(night.arrives)
    stage.heard = ""
    assert "a person is wanted" not in stage.run("prx-email status").out.replace("messages wait and nothing", "")


def test_the_page_has_the_nights_as_they_are_played() -> None:
    page = FILE.read_text(encoding="utf-8")
    assert rewritten(page) == page, "make docs writes it"


def said(words: str, text: str) -> bool:
    """Tell whether *words* are in *text*; … stands for anything."""
    pattern = ".*?".join(re.escape(part.strip()) for part in words.split("…"))
    return re.search(pattern.replace(r"\ ", r"\s+"), text) is not None


def mentions(text: str, command: str) -> bool:
    """Tell whether *text* names the command, if with other words in place of what a person is to put in."""
    words = [re.escape(word) if "=" not in word else r"\S+=\S+" for word in command.split()]
    return re.search(r"\s+".join(words), text) is not None
