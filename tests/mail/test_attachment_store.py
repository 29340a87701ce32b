"""The attachment store: nothing outside it is ever read, whatever the path says."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prx_email_cli.errors import ChangeableByOthers, ValidationError
from prx_email_cli.mail.attachment_files import open_stored
from prx_email_cli.mail.attachments import attachment_from_store

from .attaching import ESCAPES, INSIDE, content, descriptors_given_back, policy, secret_beside_store, told

TEXT = "text/plain"


@pytest.fixture(autouse=True)
def _descriptors_are_given_back() -> Iterator[None]:
    with descriptors_given_back():
        yield


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return secret_beside_store(tmp_path)[0]


def read(store: Path | None, path: str, size: int = 1000) -> bytes:
    return content(attachment_from_store(path, None, TEXT, policy(store, size=size)))


def refusal(store: Path | None, path: str, size: int = 1000) -> str:
    with pytest.raises(ValidationError) as refused:
        read(store, path, size)
    return told(refused.value)


@pytest.mark.parametrize("path", ["report.txt", "sub/report.txt", "./report.txt", "sub//./report.txt"])
def test_a_file_of_the_store_is_read(path: str, store: Path) -> None:
    assert read(store, path) == INSIDE


def test_it_is_named_as_its_path_ends_unless_it_is_given_a_name(store: Path) -> None:
    assert attachment_from_store("sub/report.txt", None, None, policy(store)).filename == "report.txt"
    assert attachment_from_store("sub/report.txt", "日報.txt", None, policy(store)).filename == "日報.txt"
    with pytest.raises(ValidationError, match="is a path"):
        attachment_from_store("sub/report.txt", "../x.txt", None, policy(store))


def test_without_a_store_there_is_none() -> None:
    assert refusal(None, "report.txt").startswith("attachment store not configured")
    assert refusal(None, "/etc/passwd").startswith("attachment store not configured")


@pytest.mark.parametrize(
    "path",
    [
        "../outside/report.txt", "..", "sub/../report.txt", "sub/../../outside/report.txt", "sub/..", "./..",
        "/etc/passwd", "//etc/passwd", "/", "", ".", "./", "report.txt\0", "sub/\0/report.txt", "x" * 256,
        f"{'é' * 128}/report.txt", "sub/" * 1100 + "report.txt", "\ud800", "x" * 100_000,
    ],
)  # fmt: skip
def test_a_path_that_does_not_name_a_file_below_the_root_is_refused(path: str, store: Path) -> None:
    assert refusal(store, path).startswith(ESCAPES)


def test_an_absolute_path_is_refused_also_when_it_leads_inside(store: Path) -> None:
    assert refusal(store, str(store / "report.txt")).startswith(ESCAPES)


@pytest.mark.parametrize(
    ("name", "target", "path"),
    [
        ("link.txt", "../outside/report.txt", "link.txt"),
        ("link.txt", "report.txt", "link.txt"),
        ("link.txt", "nowhere", "link.txt"),
        ("link.txt", "link.txt", "link.txt"),
        ("link", "../outside", "link/report.txt"),
        ("link", "sub", "link/report.txt"),
        ("link", "..", "link/outside/report.txt"),
        ("link", "/", "link/etc/passwd"),
        ("sub/link", "../../outside", "sub/link/sub/report.txt"),
        ("link", "/proc/self/fd/0", "link"),
        ("link", "/dev/zero", "link"),
    ],
)
def test_no_symbolic_link_in_the_store_is_followed(name: str, target: str, path: str, store: Path) -> None:
    (store / name).symlink_to(target)
    message = refusal(store, path)
    assert message.startswith(ESCAPES)
    assert "symbolic link" in message


def test_a_root_that_is_itself_a_link_is_where_the_operator_wants_it(store: Path, tmp_path: Path) -> None:
    (tmp_path / "configured").symlink_to("store")
    assert read(tmp_path / "configured", "sub/report.txt") == INSIDE
    assert refusal(tmp_path / "configured", "../outside/report.txt").startswith(ESCAPES)


@pytest.mark.parametrize("root", ["missing", "store/report.txt"])
def test_a_root_that_is_no_directory_is_an_error_of_its_own(root: str, store: Path, tmp_path: Path) -> None:
    message = refusal(tmp_path / root, "report.txt")
    assert message.startswith("attachment store cannot be opened: ")
    assert "[attachments.store]" in message


def test_a_file_with_a_second_name_which_may_be_outside_is_refused(store: Path, tmp_path: Path) -> None:
    os.link(tmp_path / "outside" / "report.txt", store / "linked.txt")
    message = refusal(store, "linked.txt")
    assert message.startswith(ESCAPES)
    assert "hard link" in message
    (tmp_path / "outside" / "report.txt").unlink()
    assert content(attachment_from_store("linked.txt", None, None, policy(store)))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (Path.mkdir, "it is a directory"),
        (os.mkfifo, "it is a pipe"),
        (lambda path: None, "No such file"),
    ],
)
def test_what_is_no_regular_file_is_refused_at_once(make: Callable[[Path], None], why: str, store: Path) -> None:
    make(store / "x.txt")
    message = refusal(store, "x.txt")
    assert message.startswith("attachment cannot be read: x.txt: ")
    assert why in message


@pytest.mark.parametrize("path", ["sub", "sub/", "report.txt/", "report.txt/x", "missing/x", "report.txt/."])
def test_what_is_not_there_cannot_be_read(path: str, store: Path) -> None:
    assert refusal(store, path).startswith("attachment cannot be read: ")


def test_the_size_limit_holds_there_too(store: Path) -> None:
    assert read(store, "report.txt", len(INSIDE)) == INSIDE
    assert refusal(store, "report.txt", len(INSIDE) - 1).startswith("attachment exceeds size limit")


def test_a_file_that_is_replaced_between_opening_and_reading_is_the_one_that_was_opened(store: Path) -> None:
    opened = open_stored(store, "report.txt", 1000)
    (store / "new").write_bytes(b"new")
    (store / "new").replace(store / "report.txt")
    assert b"".join(opened) == INSIDE
    assert read(store, "report.txt") == b"new"


def test_a_directory_moved_away_leads_to_nothing_outside(store: Path, tmp_path: Path) -> None:
    (store / "sub").rename(tmp_path / "moved")
    (store / "sub").symlink_to("../outside/sub")
    assert refusal(store, "sub/report.txt").startswith(ESCAPES)


@pytest.fixture(scope="module")
def riddled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store full of ways out."""
    store, outside = secret_beside_store(tmp_path_factory.mktemp("riddled"))
    (store / "out").symlink_to(outside)
    (store / "sub" / "up").symlink_to("../..")
    (store / "link.txt").symlink_to(outside / "report.txt")
    os.link(outside / "report.txt", store / "hard.txt")
    return store


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["..", ".", "", "sub", "report.txt", "outside", "store", "out", "up", "link.txt", "hard.txt", "~"]
        ),
        max_size=7,
    ).map("/".join)
)
@example("out/report.txt")
@example("sub/up/outside/report.txt")
def test_no_path_reads_anything_but_what_the_store_holds(riddled: Path, path: str) -> None:
    try:
        assert read(riddled, path) == INSIDE
    except ValidationError as refused:
        told(refused)


class TestTheWayToTheRoot:
    """Whoever can put another directory in its place could have every file read, and mailed."""

    def test_is_nobody_elses_to_change(self, store: Path) -> None:
        store.parent.chmod(0o777)
        with pytest.raises(ChangeableByOthers) as refused:
            read(store, "report.txt")
        assert (refused.value.exit_code, str(store.parent) in refused.value.message) == (77, True)
        store.parent.chmod(0o1777)
        assert read(store, "report.txt") == INSIDE

    def test_is_all_that_counts(self, store: Path) -> None:
        """Others may well put files into the root: that is what it is for."""
        store.chmod(0o777)
        (store / "report.txt").chmod(0o666)
        assert read(store, "report.txt") == INSIDE
        if os.geteuid() == 0:
            os.chown(store, 12345, 12345)
            os.chown(store / "report.txt", 12345, 12345)
            assert read(store, "report.txt") == INSIDE
