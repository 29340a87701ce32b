"""Whatever bytes a client sends, one reader's message is stored, or nothing is."""

from __future__ import annotations

import os
import random
import re
import socket

import pytest

from ..conftest import Program
from .conftest import Listener, content, stored_id

SEEDS = range(int(os.environ.get("LISTEN_SEEDS", "150")))
ENVELOPE = (b"MAIL FROM:<a@example.com>\r\n", b"RCPT TO:<b@example.org>\r\n", b"DATA\r\n")
SMUGGLED = b"MAIL FROM:<evil@example.com>\r\nRCPT TO:<victim@example.org>\r\nDATA\r\n"
HEAD = b"From: a@example.com\r\nSubject: s\r\nDate: d\r\nMIME-Version: 1.0\r\nMessage-ID: <m@example.com>\r\n\r\n"
PIECES = [
    b"text", b"\r\n", b"\r\n", b"\r\n.\r\n", b"\r.\r\n", b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r\n.\r", b".", b"..",
    b"\r\r\n.\r\r\n", b"\r", b"\n", b"\0", b"\r\n..\r\n", b"x" * 997, SMUGGLED, b"QUIT\r\n", b"RSET\r\n", b"\xc3\xa4",
    b"EHLO x\r\n", b"AUTH PLAIN =\r\n", b"STARTTLS\r\n", b"BDAT 5 LAST\r\n", b"MAIL FROM:<\r\n", b"\xff\xfe\r\n",
    b"NOOP\r\n" * 3,
]  # fmt: skip
END = re.compile(rb"\r\n\.\r\n")


def reference(sent: bytes) -> bytes | None:
    """What RFC 5321 makes of the bytes that follow 354; None without an end."""
    whole = b"\r\n" + sent
    end = END.search(whole)
    if end is None:
        return None
    return re.sub(rb"(?<=\r\n)\.", b"", whole[: end.start() + 2])[2:]


def is_ambiguous(message: bytes) -> bool:
    return bool(re.search(rb"(?<!\r)\n|\r(?!\n)|\0", message))


def in_chunks(random_: random.Random, data: bytes) -> list[bytes]:
    cuts = sorted(random_.randrange(len(data) + 1) for _ in range(random_.randrange(4)))
    return [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def rest(connection: socket.socket) -> bytes:
    """All that is answered until the server hangs up."""
    said = b""
    try:
        while data := connection.recv(65536):
            said += data
    except ConnectionResetError:  # it hung up on what came behind
        pass
    return said


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """One server for all seeds: it must outlive them."""
    program = Program(tmp_path_factory.mktemp("smuggling"))
    program.configure()
    with Listener(program, "--listen", "127.0.0.1:0") as listener:
        yield listener
        status, err = listener.stop()
    assert status == 0
    assert "Traceback" not in err
    assert "bug" not in err


@pytest.mark.parametrize("seed", SEEDS)
def test_a_content_ends_where_the_standard_says_and_is_stored_whole_or_not_at_all(shared: Listener, seed: int) -> None:
    chance = random.Random(seed)
    sent = HEAD + b"".join(chance.choices(PIECES, k=chance.randrange(12)))
    if chance.random() < 0.7:
        sent += b"\r\n.\r\n" + b"".join(chance.choices(PIECES, k=chance.randrange(4)))
    before = {row["outbox_id"] for row in shared.program.call("list", "--json", "--limit", "100000").data}
    client = shared.raw()
    for line in ENVELOPE:
        client.ask(line.decode().strip())
    try:
        for chunk in in_chunks(chance, sent):
            client.send(chunk)
        client.sock.shutdown(socket.SHUT_WR)
    except OSError:  # it has hung up
        pass
    replies = rest(client.sock).decode()
    message = reference(sent)
    acknowledged = [stored_id(line) for line in replies.splitlines() if "queued as" in line]
    after = {row["outbox_id"] for row in shared.program.call("list", "--json", "--limit", "100000").data}
    assert after - before == {*acknowledged}
    if message is None:
        assert acknowledged == []
    elif is_ambiguous(message):
        assert replies.startswith("550 5.6")
    else:
        assert replies.startswith("250 2.0.0 Ok: queued as ")
        stored = content(shared.program, acknowledged[0]).partition(b"From: ")[2]
        assert b"From: " + stored == message or "quoted-printable" in stored.decode("latin1")


@pytest.mark.parametrize("end", [b"\n.\n", b"\n.\r\n", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\r\r\n.\r\r\n"])
def test_what_only_some_take_for_the_end_is_none(listener: Listener, program: Program, end: bytes) -> None:
    client = listener.raw()
    for line in ENVELOPE:
        client.ask(line.decode().strip())
    client.send(HEAD + b"first" + end + SMUGGLED + HEAD + b"second\r\n.\r\n")
    assert client.reply().startswith("550 5.6.11")
    assert program.call("list", "--json").data == []
    assert client.code("NOOP") == 250


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"Subject: s\n\ntext\n", b"text\r\n"),
        (b"Subject: s\n\ntext", b"text\r\n"),
        (b"Subject: s\n\ntext\n\n", b"text\r\n\r\n"),
        (b"Subject: s\n\n..\n..x\n", b".\r\n.x\r\n"),
    ],
)
def test_unix_text_is_taken_as_its_lines(listener: Listener, program: Program, sent: bytes, kept: bytes) -> None:
    """As ``curl --upload-file`` and smtplib with bytes send it."""
    client = listener.raw()
    for line in ENVELOPE:
        client.ask(line.decode().strip())
    client.send(sent + b"\r\n.\r\n")
    assert content(program, stored_id(client.reply())).partition(b"\r\n\r\n")[2] == kept


@pytest.mark.parametrize("text", [b".\n", b"a\n.\n", b"a\n.x\n", b"a\n.\nb", b"a\n\n.", b"a\n.\r\nb"])
def test_unix_text_in_which_a_dot_begins_a_line_is_refused(listener: Listener, program: Program, text: bytes) -> None:
    """Some take it for the end of the content, and some for a dot of the text."""
    client = listener.raw()
    for line in ENVELOPE:
        client.ask(line.decode().strip())
    client.send(b"Subject: s\n\n" + text + b"\r\n.\r\n")
    assert client.reply().startswith("550 5.6.11")
    assert program.call("list", "--json").data == []


@pytest.mark.parametrize("line", [b"NOOP\n", b"NO\rOP\r\n", b"NOOP\r\r\n", b"\0NOOP\r\n"])
def test_a_command_that_does_not_end_with_cr_lf_is_refused(listener: Listener, line: bytes) -> None:
    client = listener.raw()
    client.send(line)
    assert client.reply().startswith("500 5.5.2")


def test_a_content_sent_before_the_go_ahead_is_neither_content_nor_commands(
    listener: Listener, program: Program
) -> None:
    client = listener.raw()
    client.send(b"".join(ENVELOPE) + HEAD + b"x\r\n.\r\n" + SMUGGLED)
    assert b"503 5.5.0" in rest(client.sock)
    assert program.call("list", "--json").data == []


def test_a_half_message_is_nothing(listener: Listener, program: Program) -> None:
    client = listener.raw()
    for line in ENVELOPE:
        client.ask(line.decode().strip())
    client.send(HEAD + b"half\r\n")
    client.sock.close()
    again = listener.raw()
    assert again.code("NOOP") == 250
    assert program.call("list", "--json").data == []


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_are_answered_or_hung_up_on(shared: Listener, seed: int) -> None:
    chance = random.Random(seed)
    client = shared.connect()
    client.reply()
    try:
        client.send(chance.randbytes(chance.randrange(20_000)) + b"\r\n")
        client.sock.shutdown(socket.SHUT_WR)
    except OSError:
        pass
    assert {line[:1] for line in rest(client.sock).splitlines()} <= {b"5", b"4"}
