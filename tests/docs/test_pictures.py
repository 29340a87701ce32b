"""The pictures of the README show what the program prints now."""

import pytest

from .pictures import PICTURES, pictures, words_of


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    """The pictures as they would be drawn now."""
    return pictures()


@pytest.mark.parametrize("file", ["demo.svg", "show.svg", "status.svg", "top.svg"])
def test_a_picture_is_current(file: str, drawn: dict[str, str]) -> None:
    assert words_of((PICTURES / file).read_text(encoding="utf-8")) == words_of(drawn[file]), "run make docs"
    assert (PICTURES.parents[1] / "README.md").read_text().count(f"docs/pictures/{file}") == 1


def test_they_are_the_same_each_time(drawn: dict[str, str]) -> None:
    again = pictures()
    assert {*again} == {file.name for file in PICTURES.glob("*.svg")} == {*drawn}
    for file, picture in drawn.items():
        assert words_of(again[file]) == words_of(picture)
