"""What was composed is what arrives: the installed command through real servers, byte for byte."""

import shutil
import time
from email import message_from_bytes, policy
from pathlib import Path

import pytest

from prx_email_cli.outbox.messages import ClaimOne
from prx_email_cli.outbox.sqlite.store import SqliteStore

from ..conftest import Program
from .servers import DOMAIN, SIZE_LIMIT, MailServer

pytestmark = pytest.mark.interop

ALICE = f"alice@{DOMAIN}"
BODIES = {
    "dots": "plain\n.\n..two\n.\n\n.leading\n",
    "unicode": "Grüße aus Köln, 日本語, 😀\n\nund noch eine Zeile\n",
    "long line": "x" * 2000 + "\n",
    "blanks and From": "trailing blanks  \t\n\nFrom the start of a line\n= equals =20\n",
    "no newline at the end": "the last line has no end",
}


def configure(program: Program, server: MailServer) -> None:
    """One account, at this server in clear."""
    program.configure(server.port, smtp='host = "127.0.0.1"')


def composed(program: Program, outbox_id: int) -> bytes:
    """The content that waits in the outbox, read from a copy of it so that nothing changes."""
    copy = program.home / "copy"
    copy.mkdir()
    for file in program.home.glob("outbox.db*"):
        if file.is_file():
            shutil.copy(file, copy / file.name)
    store = SqliteStore(copy / "outbox.db", message_id_domain="prx-email.local")
    now = int(time.time())
    with store.start_run(now) as run:
        claimed = run.claim_by_id(ClaimOne(outbox_id, now, force=True))
        content = b"".join([claimed.head or b"", *run.content(claimed)])
    store.close()
    return content


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_the_received_bytes_are_the_composed_ones(program: Program, server: MailServer, body: str) -> None:
    """Servers add trace headers in front and store LF for CRLF; nothing else differs."""
    configure(program, server)
    outbox_id = program.send(to=ALICE, subject="Prüfbericht, with a long tail " + "und mehr " * 20, body=body)
    content = composed(program, outbox_id)

    assert program.run("drain").status == 0

    [received] = server.wait_for(1)
    message_id = program.show(outbox_id)["message_id"]
    on_the_wire = f"Message-ID: {message_id}\r\n".encode() + content
    if not on_the_wire.endswith(b"\r\n"):
        on_the_wire += b"\r\n"
    assert received.data.endswith(b"\n" + on_the_wire.replace(b"\r\n", b"\n"))


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_the_received_message_says_what_was_asked_for(program: Program, server: MailServer, body: str) -> None:
    """Headers and text as a mail reader shows them."""
    configure(program, server)
    subject = "Grüße & <b>more</b> " + "word " * 30
    outbox_id = program.send(to=f"Alice Ä. <{ALICE}>", subject=subject.strip(), body=body)
    assert program.run("drain").status == 0

    [received] = server.wait_for(1)
    message = message_from_bytes(received.data, policy=policy.default)
    row = program.show(outbox_id)
    assert (row["status"], row["retries"], row["recipients"][0]["status"]) == ("sent", 0, "accepted")
    assert message.get_all("Message-ID") == [row["message_id"]]
    assert str(message["Subject"]) == subject.strip()
    assert str(message["From"]) == "Ops <ops@example.com>"
    assert [address.addr_spec for address in message["To"].addresses] == [ALICE]
    assert [address.display_name for address in message["To"].addresses] == ["Alice Ä."]
    assert (received.sender, received.recipient) == ("ops@example.com", ALICE)
    text = message.get_payload(decode=True)
    assert isinstance(text, bytes)
    assert _lines(text) == _lines(body.encode())


def test_an_oversized_message_is_given_up_without_being_sent(program: Program, server: MailServer) -> None:
    """All three servers announce SIZE."""
    configure(program, server)
    body = program.home / "large.txt"
    body.write_text("0123456789abcdef\n" * (SIZE_LIMIT // 10))
    answer = program.run("send", "--to", ALICE, "--subject", "large", "--body-file", str(body))
    outbox_id = int(answer.out)
    small = program.send(to=ALICE, subject="small")

    drained = program.run("drain")

    assert drained.status == 69
    assert str(SIZE_LIMIT) in drained.err
    row = program.show(outbox_id)
    assert row["status"] == "failed"
    assert row["gave_up"]
    assert "SIZE" in row["last_error"]
    assert [one["status"] for one in row["recipients"]] == ["refused"]
    assert [line for line in row["attempts"][0]["dialogue"].splitlines() if "MAIL FROM" in line or "DATA" in line] == []
    assert program.show(small)["status"] == "sent"
    assert [b"\nSubject: small\n" in received.data for received in server.wait_for(1)] == [True]


def test_an_address_that_is_not_ascii(program: Program, server: MailServer) -> None:
    """Delivered where SMTPUTF8 is offered, given up with that reason where it is not."""
    configure(program, server)
    recipient = f"jürgen@{DOMAIN}"
    outbox_id = program.send(to=recipient, subject="Grüße", body="für dich\n")

    drained = program.run("drain")

    row = program.show(outbox_id)
    if server.supports_smtputf8:
        assert (drained.status, row["status"]) == (0, "sent")
        [received] = server.wait_for(1)
        assert received.recipient == recipient
        assert [str(message_from_bytes(received.data, policy=policy.default)["To"])] == [recipient]
    else:
        assert drained.status == 69
        assert "SMTPUTF8" in drained.err
        assert "SMTPUTF8" in row["last_error"]
        assert row["gave_up"]
        assert server.received() == []


def test_a_message_with_nothing_special_after_an_impossible_one(program: Program, server: MailServer) -> None:
    """What one message needs does not spoil the connection for the next."""
    configure(program, server)
    program.send(to=f"ü@{DOMAIN}")
    plain = program.send(to=ALICE)
    program.run("drain")
    assert program.show(plain)["status"] == "sent"
    assert ALICE in [received.recipient for received in server.wait_for(1 + server.supports_smtputf8)]


def _lines(text: bytes) -> bytes:
    """LF line ends, and one at the end: on the wire the last line has one as well."""
    return text.replace(b"\r\n", b"\n").removesuffix(b"\n") + b"\n"


def test_nothing_is_left_of_the_copies(tmp_path: Path) -> None:
    """`composed` reads a copy: the outbox itself is as it was."""
    program = Program(tmp_path)
    program.configure()
    outbox_id = program.send()
    assert b"Subject: hello\r\n" in composed(program, outbox_id)
    row = program.show(outbox_id)
    assert (row["status"], row["retries"], row["attempts"]) == ("pending", 0, [])
