"""Files of the user's own: what can be attached, what cannot, and that nothing ever blocks or grows without end."""

import gc
import os
import socket
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.address_grammar import Mailbox
from prx_email_cli.mail.attachments import attachment_from_file
from prx_email_cli.mail.compose import Draft, compose
from prx_email_cli.mail.mime import Attachment

from ..conftest import HELD_TO_MODES, Program
from .attaching import content, descriptors_given_back, open_descriptors, policy, told

TEXT = "text/plain"
needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs Linux's /proc")


@pytest.fixture(autouse=True)
def _descriptors_are_given_back() -> Iterator[None]:
    with descriptors_given_back():
        yield


def attach(path: str | Path, size: int = 1000, content_type: str | None = TEXT) -> Attachment:
    return attachment_from_file(str(path), content_type, policy(size=size))


def refusal(path: str | Path, size: int = 1000) -> str:
    """Why it is refused already when it is opened."""
    with pytest.raises(ValidationError) as refused:
        attach(path, size)
    return told(refused.value)


def refusal_in_reading(attachment: Attachment) -> str:
    with pytest.raises(ValidationError) as refused:
        content(attachment)
    assert list(attachment.chunks) == []
    return told(refused.value)


def test_a_file_is_named_as_its_path_ends_and_read_as_it_is(tmp_path: Path) -> None:
    data = bytes(range(256)) * 3
    (tmp_path / "été 2026.pdf").write_bytes(data)
    (tmp_path / "link.png").symlink_to("été 2026.pdf")
    made = attach(tmp_path / "été 2026.pdf", content_type=None)
    assert (made.filename, made.content_type, content(made)) == ("été 2026.pdf", "application/pdf", data)
    made = attach(tmp_path / "link.png", content_type=None)
    assert (made.filename, made.content_type, content(made)) == ("link.png", "image/png", data)


def test_a_backslash_in_a_name_parts_a_path_for_whoever_receives_it(tmp_path: Path) -> None:
    (tmp_path / "..\\autoexec.txt").write_bytes(b"x")
    assert attach(tmp_path / "..\\autoexec.txt").filename == "autoexec.txt"


def test_a_file_is_opened_at_once_and_read_later(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"then")
    made = attach(tmp_path / "x.txt")
    (tmp_path / "x.txt").unlink()
    assert content(made) == b"then"
    assert content(made) == b""


def test_an_attachment_that_nobody_reads_keeps_no_descriptor(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"x" * 500_000)
    before = open_descriptors()
    unread, half_read = attach(tmp_path / "x.txt", 10**6), attach(tmp_path / "x.txt", 10**6)
    next(iter(half_read.chunks))
    assert open_descriptors() == before + 2
    del unread, half_read
    gc.collect()
    assert open_descriptors() == before


@pytest.mark.parametrize("size", [0, 1, 1000])
def test_the_limit_belongs_to_what_is_allowed(size: int, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"x" * size)
    assert content(attach(tmp_path / "x.txt", size)) == b"x" * size
    if size:
        assert refusal(tmp_path / "x.txt", size - 1).startswith("attachment exceeds size limit")


def test_a_huge_sparse_file_is_refused_without_reading_it(tmp_path: Path) -> None:
    with open(tmp_path / "x.txt", "wb") as file:
        file.truncate(1 << 40)
    assert refusal(tmp_path / "x.txt").startswith("attachment exceeds size limit")


def test_a_file_that_grows_while_it_is_read_is_held_to_the_limit(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"x" * 1000)
    made = attach(tmp_path / "x.txt", 1000)
    with open(tmp_path / "x.txt", "ab") as file:
        file.write(b"y")
    assert refusal_in_reading(made).startswith("attachment exceeds size limit")


def test_a_file_that_never_stops_growing_is_given_up_at_the_limit(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"x" * 300_000)
    made = attach(tmp_path / "x.txt", 2_000_000)
    read = 0
    with open(tmp_path / "x.txt", "ab", buffering=0) as file:
        with pytest.raises(ValidationError, match="exceeds size limit"):  # noqa: PT012 - which of them raises is no matter
            for chunk in made.chunks:
                read += len(chunk)
                file.write(b"y" * 300_000)
    assert 1_000_000 < read <= 2_000_000


def socket_at(path: Path) -> None:
    here = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{here}/{path.name}")  # the path itself may be longer than a socket's may be
    os.close(here)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (Path.mkdir, "it is a directory"),
        (os.mkfifo, "it is a pipe"),
        pytest.param(socket_at, "it is a socket", marks=needs_proc),
        (lambda path: path.symlink_to("/dev/zero"), "it is a device"),
        (lambda path: path.symlink_to("/dev/null"), "it is a device"),
        (lambda path: path.symlink_to("/dev/tty"), "it is a device"),
        (lambda path: path.symlink_to("nowhere"), "No such file"),
        (lambda path: path.symlink_to(path), "symbolic links"),
        (lambda path: None, "No such file"),
    ],
)
def test_what_is_no_regular_file_is_refused_at_once(make: Callable[[Path], None], why: str, tmp_path: Path) -> None:
    make(tmp_path / "x.txt")
    message = refusal(tmp_path / "x.txt")
    assert message.startswith("attachment cannot be read: ")
    assert why in message


def test_a_pipe_with_a_writer_keeps_what_was_written(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"data")
    assert "it is a pipe" in refusal(f"/dev/fd/{reader}")
    assert os.read(reader, 10) == b"data"
    os.close(reader)
    os.close(writer)


def test_a_file_without_the_right_to_read_it_is_refused(program: Program) -> None:
    (program.home / "x.txt").write_bytes(b"x")
    (program.home / "x.txt").chmod(0)
    program.wrapper = HELD_TO_MODES
    process = program.start("send", "--to", "a@example.org", "--subject", "s", "--body", "b", "--attach", "x.txt")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (65, "")
    assert "Permission denied" in err


@pytest.mark.parametrize("path", ["", "x.txt/", "no/such.txt", "x" * 5000])
def test_a_path_that_leads_nowhere_is_refused(path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.txt").write_bytes(b"x")
    assert refusal(path).startswith(("attachment cannot be read: ", "attachment file name is longer"))


@needs_proc
def test_a_file_of_proc_that_claims_to_be_empty_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.txt").symlink_to("/proc/self/status")
    assert b"VmPeak" in content(attach(tmp_path / "x.txt", 1 << 20))
    assert refusal_in_reading(attach(tmp_path / "x.txt", 10)).startswith("attachment exceeds size limit")


@needs_proc
def test_an_error_in_reading_is_a_clear_one() -> None:
    assert "attachment cannot be read: /proc/self/mem: " in refusal_in_reading(attach("/proc/self/mem"))


def test_25_mib_pass_through_with_hardly_any_memory(tmp_path: Path) -> None:
    size = 25 << 20
    assert peak_of(lambda: attach(sparse(tmp_path, size), size).chunks) < 1 << 20


def test_so_they_do_as_part_of_a_message(tmp_path: Path) -> None:
    size = 4 << 20
    ops = Mailbox("", "ops@example.com")

    def message() -> Iterable[bytes]:
        attachments = [attach(sparse(tmp_path, size), size)]
        return compose(Draft(ops, [ops], "s", "b\n", 0, [], [], [], attachments=attachments)).chunks

    assert peak_of(message) < 2 << 20


def sparse(directory: Path, size: int) -> Path:
    with open(directory / "x.pdf", "wb") as file:
        file.truncate(size)
    return directory / "x.pdf"


def peak_of(make: Callable[[], Iterable[bytes]]) -> int:
    """Most memory in use, in bytes, while all that *make* makes is read."""
    tracemalloc.start()
    try:
        assert sum(map(len, make())) >= 4 << 20
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
