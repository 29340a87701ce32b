"""The spool holds any content as it came, readable again and again, and tells when there is no room."""

import hashlib
import os
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prx_email_cli.errors import StorageError
from prx_email_cli.submission.spool import MEMORY_BYTES, Spool

from ..cli.outside import rows
from ..conftest import Program


@settings(max_examples=15)
@given(st.lists(st.integers(0, MEMORY_BYTES + 10), max_size=4))
@example([])
@example([MEMORY_BYTES])
@example([MEMORY_BYTES, 1])
@example([3 * MEMORY_BYTES])
def test_content_of_any_size_comes_back_as_it_was_each_time(sizes: list[int]) -> None:
    chunks = [bytes([65 + number]) * size for number, size in enumerate(sizes)]
    whole = b"".join(chunks)
    with Spool() as spool:
        other = spool.hold([b"other" * (MEMORY_BYTES // 4)])
        content = spool.hold(iter(chunks))
        for _ in range(2):
            assert b"".join(content.pieces) == whole
        assert (content.size_bytes, content.digest) == (len(whole), hashlib.sha256(whole).hexdigest())
        assert other.size_bytes == sum(map(len, other.pieces))


def test_what_reading_a_source_raises_passes_through_and_leaves_no_open_file() -> None:
    def breaks_off() -> Iterator[bytes]:
        yield b"x" * 2 * MEMORY_BYTES
        raise ZeroDivisionError

    before = os.listdir("/dev/fd")
    with pytest.raises(ZeroDivisionError), Spool() as spool:
        spool.hold(breaks_off())
    assert os.listdir("/dev/fd") == before


def test_a_temporary_directory_that_is_none_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/nowhere"])
    with Spool() as spool, pytest.raises(StorageError, match="temporary directory"):
        spool.hold([b"x" * (MEMORY_BYTES + 1)])


def test_a_temporary_directory_without_room_is_74_and_keeps_no_other_line_from_being_stored(program: Program) -> None:
    (program.home / "large.txt").write_bytes(b"x" * 8 * MEMORY_BYTES)
    program.configure(outbox=f'[attachments.store]\nenabled = true\ndir = "{program.home}"\n')
    program.wrapper = ["prlimit", f"--fsize={4 * MEMORY_BYTES}"]
    single = program.run(
        "send", "--to", "a@example.org", "--subject", "s", "--body", "b", "--attach", "large.txt", "--json"
    )
    assert (single.status, single.json["error"]["code"]) == (74, "storage")
    assert "temporary directory: File too large; nothing was stored" in single.json["error"]["message"]
    assert "TMPDIR" in single.json["error"]["hint"]

    small = '{"to": "a@example.org", "subject": "small", "body_text": "b"}\n'
    large = '{"to": "a@example.org", "subject": "s", "body_text": "b", "attachment": {"path": "large.txt"}}\n'
    batch = program.run("send", "--batch", "-", text=small + small + large + small)
    assert (batch.status, batch.out) == (74, "1\n2\n")
    assert "TMPDIR" in batch.err
    assert [row["subject"] for row in rows(program)] == ["small", "small"]
