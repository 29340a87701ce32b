"""What the program makes is its user's alone from the first instant, every directory on the way as well."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from prx_email_cli.files import create, make_directories

from ..cli.outside import shell
from ..conftest import HELD_TO_MODES, Program

UMASKS = [0o000, 0o002, 0o022, 0o077, 0o277, 0o777]
INIT = "init --provider gmail --user me@gmail.com --password-env P"
SEND = "send --to a@example.org --subject s --body b"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=UMASKS, ids=lambda mask: f"umask {mask:03o}")
def mask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.usefixtures("mask")
class TestWhateverTheUmask:
    def test_every_directory_on_the_way_is_the_owners_alone(self, tmp_path: Path) -> None:
        make_directories(tmp_path / "new" / "mid" / "last")
        assert [mode(tmp_path / name) for name in ("new", "new/mid", "new/mid/last")] == [0o700] * 3

    def test_a_file_is_the_owners_alone_and_can_be_opened_again(self, tmp_path: Path) -> None:
        os.close(create(tmp_path / "file"))
        assert mode(tmp_path / "file") == 0o600


@pytest.mark.parametrize("mask", ["000", "002", "277"])
def test_the_commands_make_every_directory_private(program: Program, mask: str) -> None:
    program.wrapper = HELD_TO_MODES
    held = " ".join(HELD_TO_MODES)
    home = program.home
    assert shell(program, f"umask {mask}; {held} prx-email --config a/b/c/config.toml {INIT}").status == 0
    program.config.write_text(program.config.read_text().replace('"outbox.db"', '"d/e/f/outbox.db"'))
    assert shell(program, f"umask {mask}; {held} prx-email {SEND}").status == 0
    assert shell(program, f"umask {mask}; {held} prx-email drain").status == 75
    made = {path.relative_to(home).as_posix(): mode(path) for root in ("a", "d") for path in home.glob(f"{root}/**/*")}
    directories = {"a/b", "a/b/c", "d/e", "d/e/f", "d/e/f/outbox.db.runs"}
    assert {name: bits for name, bits in made.items() if bits != 0o600} == dict.fromkeys(directories, 0o700)
    assert [mode(home / name) for name in ("a", "d")] == [0o700] * 2


def test_a_directory_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there").chmod(0o755)
    make_directories(tmp_path / "there" / "new")
    assert (mode(tmp_path / "there"), mode(tmp_path / "there" / "new")) == (0o755, 0o700)


def test_a_directory_may_be_named_by_a_link_and_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real").mkdir()
    make_directories(Path("link/new"))
    make_directories(Path())
    assert mode(tmp_path / "real" / "new") == 0o700


@pytest.mark.parametrize("name", ["file", "file/new", "dangling", "dangling/new"])
def test_what_is_in_the_way_is_an_error_and_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(OSError, match=str(tmp_path)):
        make_directories(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dangling", "file"]


def test_a_new_file_is_never_one_that_a_link_names(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("victim")
    with pytest.raises(FileExistsError):
        create(tmp_path / "link")
    assert not (tmp_path / "victim").exists()
