"""The content as DATA wants it: dots stuffed, an end of its own, in writes of bounded size."""

from __future__ import annotations

from hypothesis import example, given, settings
from hypothesis import strategies as st

from prx_email_cli.smtp.content import END_OF_DATA, WRITE_BYTES, data_writes


def unstuffed(data: bytes) -> bytes:
    return (b"\r\n" + data).replace(b"\r\n.", b"\r\n")[2:]


BYTES = st.lists(
    st.sampled_from([b".", b"\r", b"\n", b"\r\n", b"\r\n.\r\n", b"..", b"", b"a", b"\r.", b"x" * 70_000]), max_size=12
)


@settings(max_examples=400, deadline=None)
@given(BYTES)
@example([])
@example([b"."])
@example([b"\r", b"\n", b"."])
@example([b"\r\n", b".", b"\r\n"])
@example([b"a\r", b"\n.", b"\r", b"\n"])
@example([b"\r\n.\r", b"\n"])
def test_dot_stuffing_is_undone_by_every_server_however_the_content_is_cut(pieces: list[bytes]) -> None:
    writes = list(data_writes(pieces))
    joined = b"".join(pieces)
    data = b"".join(write for write, _ in writes)
    assert data.endswith(END_OF_DATA)
    content = unstuffed(data.removesuffix(END_OF_DATA))
    assert content == (joined if joined.endswith(b"\r\n") or not joined else joined + b"\r\n")
    assert (b"\r\n" + data).index(b"\r\n.\r\n") == len(data) + 2 - len(b"\r\n.\r\n"), "the only final dot is the last"
    assert [last for _, last in writes] == [False] * (len(writes) - 1) + [True]
    assert all(len(write) <= WRITE_BYTES + len(b"\r\n" + END_OF_DATA) for write, _ in writes)
