"""The page that people read says what the rules say."""

from .document import FILE, page
from .places import Manner, Place


def test_the_page_is_current() -> None:
    assert FILE.read_text(encoding="utf-8") == page(), "run: python -m tests.faults.document"


def test_the_page_has_every_place_and_every_manner() -> None:
    text = page()
    assert all(f"\n## {place}\n" in text for place in Place)
    assert all(f"\n| {manner} |" in text for manner in Manner)
