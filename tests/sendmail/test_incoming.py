"""A line of one dot ends a message, wherever its pieces are cut, and nothing else does."""

import os
import threading
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prx_email_cli.sendmail.incoming import pieces, until_dot

PARTS = st.lists(st.sampled_from([b".", b"\n", b"\r\n", b"\r", b"a", b"..", b"\n.\n", b"\r\n.\r\n"]), max_size=12)


def as_lines(data: bytes) -> bytes:
    """What stands before the first line of one dot, found line by line."""
    kept = b""
    for line in data.splitlines(keepends=True) if b"\r" not in data.replace(b"\r\n", b"") else data.split(b"\n"):
        if line in (b".\n", b".\r\n", b"."):
            return kept
        kept += line
    return data


@given(PARTS, st.lists(st.integers(0, 40)))
def test_the_cuts_of_the_input_mean_nothing(parts: list[bytes], cuts: list[int]) -> None:
    data = b"".join(parts)
    places = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    cut = [data[begin:end] for begin, end in pairwise(places)]
    assert b"".join(until_dot(cut)) == b"".join(until_dot([data]))
    if b"\r" not in data.replace(b"\r\n", b""):
        assert b"".join(until_dot([data])) == as_lines(data)


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        (b"a\n.\nb\n", b"a\n"), (b"a\r\n.\r\nb", b"a\r\n"), (b".\n", b""), (b"a\n.", b"a\n"), (b"a\n.\r", b"a\n"),
        (b"a\n..\nb\n", b"a\n..\nb\n"), (b"a.\nb\n", b"a.\nb\n"), (b"a\n.b\n", b"a\n.b\n"), (b"", b""), (b"a", b"a"),
    ],
)  # fmt: skip
def test_only_a_dot_alone_on_its_line_ends_it(data: bytes, kept: bytes) -> None:
    assert b"".join(until_dot([data])) == kept
    assert b"".join(until_dot([data[at : at + 1] for at in range(len(data))])) == kept


def test_nothing_is_read_behind_the_dot() -> None:
    def endless() -> Iterator[bytes]:
        yield b"a\n.\n"
        raise AssertionError

    assert b"".join(until_dot(endless())) == b"a\n"


def test_a_pipe_that_does_not_wait_is_waited_for() -> None:
    read, write = os.pipe()
    os.set_blocking(read, False)

    def feed() -> None:
        os.write(write, b"one")
        os.close(write)

    timer = threading.Timer(0.2, feed)
    timer.start()
    assert b"".join(pieces(read)) == b"one"
    timer.join()
    os.close(read)
