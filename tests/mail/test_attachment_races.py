"""Somebody who may write in the store swaps names while files are read from it: no read ever gets what lies outside."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from time import monotonic

import pytest

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.attachment_files import open_stored

from .attaching import INSIDE, SECRET, secret_beside_store

READS = 1500
PATIENCE = 60  # seconds for both outcomes to be seen, on a machine that is busy with other things
Swap = Callable[[Path, Path, Path], None]


def a_file_for_a_link(store: Path, outside: Path, spare: Path) -> None:
    spare.symlink_to(outside / "report.txt")
    spare.replace(store / "report.txt")
    spare.write_bytes(INSIDE)
    spare.replace(store / "report.txt")


def a_directory_for_a_link(store: Path, outside: Path, spare: Path) -> None:
    (store / "sub").rename(spare)
    (store / "sub").symlink_to(outside / "sub")
    (store / "sub").unlink()
    spare.rename(store / "sub")


def a_file_for_a_hard_link(store: Path, outside: Path, spare: Path) -> None:
    os.link(outside / "report.txt", spare)
    spare.replace(store / "report.txt")
    spare.write_bytes(INSIDE)
    spare.replace(store / "report.txt")


def a_hard_link_that_comes_and_goes(store: Path, outside: Path, spare: Path) -> None:
    (store / "report.txt").rename(spare)
    for _ in range(20):
        os.link(outside / "report.txt", store / "report.txt")
        (store / "report.txt").unlink()
    spare.rename(store / "report.txt")


def a_directory_that_is_moved_out_and_back(store: Path, outside: Path, spare: Path) -> None:
    """Whoever climbs out of it by ``..`` finds himself outside."""
    (store / "sub").rename(outside / "deep")
    (outside / "deep").rename(store / "sub")


@contextmanager
def swapping(swap: Swap, store: Path, outside: Path, spare: Path) -> Iterator[None]:
    """Swap without end in the background."""
    stop = Event()

    def work() -> None:
        while not stop.is_set():
            swap(store, outside, spare)

    thread = Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def patiently() -> Iterator[None]:
    """Again and again, but not for ever."""
    end = monotonic() + PATIENCE
    while monotonic() < end:
        yield


def outcome(read: Callable[[], bytes]) -> str:
    try:
        data = read()
    except (ValidationError, OSError):
        return "refused"
    assert data in (INSIDE, SECRET, b"")  # empty: the file was caught before the swap had written it
    return {SECRET: "secret"}.get(data, "inside")


@pytest.mark.parametrize(
    ("swap", "path"),
    [
        (a_file_for_a_link, "report.txt"),
        (a_directory_for_a_link, "sub/report.txt"),
        (a_file_for_a_hard_link, "report.txt"),
        (a_hard_link_that_comes_and_goes, "report.txt"),
        (a_directory_that_is_moved_out_and_back, "sub/report.txt"),
    ],
)
def test_a_swap_at_any_instant_never_shows_the_secret(swap: Swap, path: str, tmp_path: Path) -> None:
    store, outside = secret_beside_store(tmp_path)
    seen: Counter[str] = Counter()
    with swapping(swap, store, outside, tmp_path / "spare"):
        for _ in patiently():
            seen[outcome(lambda: b"".join(open_stored(store, path, 1000)))] += 1
            if seen.total() >= READS and seen["inside"] and seen["refused"]:
                break
    assert seen["secret"] == 0
    assert min(seen["inside"], seen["refused"]) > 0, seen


def test_the_same_swap_defeats_a_check_by_name(tmp_path: Path) -> None:
    """So that the test above is known to race: resolving first and opening after is not enough."""
    store, outside = secret_beside_store(tmp_path)

    def checked_by_name() -> bytes:
        if not (store / "report.txt").resolve().is_relative_to(store.resolve()):
            raise OSError("escapes")
        return (store / "report.txt").read_bytes()

    with swapping(a_file_for_a_link, store, outside, tmp_path / "spare"):
        assert any(outcome(checked_by_name) == "secret" for _ in patiently())
