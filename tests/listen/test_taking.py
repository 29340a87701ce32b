"""A client that does all right: its mail is durable before it is told so, and stays as it was."""

from __future__ import annotations

import os
import smtplib
import socket
from pathlib import Path

import pytest

from ..conftest import Program
from ..support.raw_client import RawClient
from ..support.scripted import ScriptedServer
from .conftest import MESSAGE, Listener, content, stored_id

EXTENSIONS = ("PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8", "DSN")


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def hand_in(client: RawClient, message: bytes = MESSAGE, *, mail: str = "", rcpt: str = "") -> str:
    """Give one message; the reply to its dot."""
    assert client.ask(f"MAIL FROM:<a@example.com>{mail}").startswith("250 ")
    assert client.ask(f"RCPT TO:<b@example.org>{rcpt}").startswith("250 ")
    assert client.ask("DATA").startswith("354 ")
    client.send(message + b".\r\n")
    return client.reply()


@pytest.mark.on_both
def test_a_client_is_told_the_id_of_what_is_in_the_outbox(listener: Listener, program: Program) -> None:
    outbox_id = stored_id(hand_in(listener.raw()))
    row = program.show(outbox_id)
    assert (row["status"], row["from"], row["to"], row["subject"]) == (
        "pending", "a@example.com", ["b@example.org"], "hello"
    )  # fmt: skip
    stored = content(program, outbox_id)
    assert stored.endswith(b"\r\n\r\ntext\r\n")
    assert b"\r\nReceived: from client.example ([127.0.0.1])\r\n\tby " in stored
    assert b" with ESMTP;" in stored
    assert row["enqueued_by"]["host"] == "127.0.0.1"
    assert "from 127.0.0.1" in program.call("show", str(outbox_id)).out


def test_many_messages_and_recipients_go_over_one_connection(listener: Listener, program: Program) -> None:
    with listener.client() as client:
        for number in range(3):
            client.sendmail("a@example.com", [f"b{number}@example.org", "c@example.org"], MESSAGE)
    assert [program.show(number)["to"] for number in (1, 2, 3)] == [
        [f"b{number}@example.org", "c@example.org"] for number in range(3)
    ]


def test_what_it_offers(listener: Listener) -> None:
    with listener.client() as client:
        client.ehlo()
        assert {name for name in EXTENSIONS if not client.has_extn(name)} == set()
        assert not client.has_extn("AUTH")
        assert int(client.esmtp_features["size"]) > 1 << 20


def test_a_pipelined_envelope_is_answered_command_by_command(listener: Listener, program: Program) -> None:
    client = listener.raw()
    client.say("MAIL FROM:<>", "RCPT TO:<b@example.org>", "RCPT TO:<nonsense>", "DATA")
    assert [client.reply()[:3] for _ in range(4)] == ["250", "250", "553", "354"]
    client.send(MESSAGE + b".\r\nMAIL FROM:<a@example.com>\r\nQUIT\r\n")
    row = program.show(stored_id(client.reply()))
    assert row["to"] == ["b@example.org"]
    assert client.reply().startswith("250 ")
    assert client.reply().startswith("221 ")


def test_helo_is_enough(listener: Listener, program: Program) -> None:
    client = listener.connect()
    client.reply()
    assert client.ask("HELO old").startswith("250 ")
    outbox_id = stored_id(hand_in(client))
    assert b" with SMTP;" in content(program, outbox_id)


@pytest.mark.parametrize("text", [b"", b"\r\n", b".\r\n", b"..\r\n", b".x\r\n", b"a\r\n.\r\nb\r\n", b"\r\n.\r\n"])
def test_dots_and_empty_lines_come_as_the_client_meant_them(listener: Listener, program: Program, text: bytes) -> None:
    with listener.client() as client:
        client.ehlo()
        client.mail("a@example.com")
        client.rcpt("b@example.org")
        code, answer = client.data(b"From: a@example.com\r\nSubject: s\r\n\r\n" + text)
    assert code == 250
    assert content(program, stored_id(answer)).partition(b"\r\n\r\n")[2] == text


def test_its_own_message_id_and_eight_bits_stay_on_the_way_out(listener: Listener, program: Program) -> None:
    message = "Message-ID: <own@x.example>\r\nFrom: a@example.com\r\nDate: x\r\nMIME-Version: 1.0\r\n" \
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGrüße\r\n"  # fmt: skip
    outbox_id = stored_id(hand_in(listener.raw(), message.encode(), mail=" BODY=8BITMIME"))
    with ScriptedServer() as server:
        program.configure(server.port)
        assert program.run("drain").status == 0
    assert server.messages[0].content.endswith(message.encode())
    assert program.show(outbox_id)["message_id"] == "<own@x.example>"


def test_wishes_of_notifications_go_on_to_a_server_that_knows_them(listener: Listener, program: Program) -> None:
    client = listener.raw()
    assert client.ask("MAIL FROM:<a@example.com> RET=hdrs ENVID=Qq+2B1").startswith("250 ")
    assert client.ask("RCPT TO:<b@example.org> NOTIFY=success,FAILURE ORCPT=rfc822;b@example.org").startswith("250 ")
    assert client.ask("RCPT TO:<c@example.org> NOTIFY=NEVER").startswith("250 ")
    client.ask("DATA")
    client.send(MESSAGE + b".\r\n")
    assert client.reply().endswith("queued as 1 2")
    with ScriptedServer(extensions=["DSN"]) as server:
        program.configure(server.port, smtp="connections = 1")
        assert program.run("drain").status == 0
    said = [one.line for one in server.commands if one.line.startswith(("MAIL", "RCPT"))]
    assert said[0].endswith(" RET=HDRS ENVID=Qq+2B1")
    assert {line for line in said if line.startswith("RCPT")} == {
        "RCPT TO:<b@example.org> NOTIFY=SUCCESS,FAILURE", "RCPT TO:<c@example.org> NOTIFY=NEVER"
    }  # fmt: skip


@pytest.mark.of_files
def test_a_unix_socket_beside_the_outbox_is_the_default_and_only_the_owners(program: Program) -> None:
    path = program.home / "listen.sock"
    with Listener(program) as listener:
        assert Path(listener.address) == path
        assert path.stat().st_mode & 0o777 == 0o600
        with listener.unix() as connected, connected.makefile("rb") as lines:
            assert lines.readline().startswith(b"220 ")
            connected.sendall(b"EHLO x\r\n")
            while not lines.readline().startswith(b"250 "):
                pass
            connected.sendall(b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n")
            assert [lines.readline()[:3] for _ in range(3)] == [b"250", b"250", b"354"]
            connected.sendall(MESSAGE + b".\r\n")
            outbox_id = stored_id(lines.readline().decode().strip())
        caller = program.show(outbox_id)["enqueued_by"]
        assert caller["uid"] == os.getuid()
        second = program.run("listen")
        assert (second.status, "another process does" in second.err) == (78, True)
        assert listener.stop() == (0, "")
    assert not path.exists()


@pytest.mark.of_files
def test_a_socket_that_a_killed_one_left_is_replaced_and_another_file_is_not(program: Program) -> None:
    with Listener(program):
        pass
    assert (program.home / "listen.sock").exists()
    with Listener(program) as listener:
        assert listener.stop()[0] == 0
    (program.home / "listen.sock").write_text("a file")
    answer = program.run("listen")
    assert (answer.status, "no socket" in answer.err) == (78, True)
    assert (program.home / "listen.sock").read_text() == "a file"


def test_it_ends_at_once_while_clients_are_idle_and_tells_them(listener: Listener) -> None:
    client = listener.raw()
    assert listener.stop() == (0, "")
    assert client.reply().startswith("421 ")


def test_it_ends_after_the_message_that_is_under_way(listener: Listener, program: Program) -> None:
    client = listener.raw()
    client.ask("MAIL FROM:<a@example.com>")
    client.ask("RCPT TO:<b@example.org>")
    client.ask("DATA")
    client.send(MESSAGE[:20])
    listener.process.terminate()
    while is_listening(listener.port):
        pass
    client.send(MESSAGE[20:] + b".\r\n")
    outbox_id = stored_id(client.reply())
    assert client.reply().startswith("421 ")
    assert listener.process.wait(timeout=30) == 0
    assert program.show(outbox_id)["status"] == "pending"


def test_a_message_beyond_the_limit_is_refused_beforehand_and_afterwards(program: Program) -> None:
    program.configure()
    with open(program.config, "a") as config:
        config.write("[listen]\nmax_message_bytes = 2000\n")
    with Listener(program, "--listen", "127.0.0.1:0") as listener:
        client = listener.raw()
        assert client.ask("MAIL FROM:<a@example.com> SIZE=2001").startswith("552 ")
        assert hand_in(client, b"Subject: s\r\n\r\n" + b"x" * 70 + b"\r\n").startswith("250 ")
        assert hand_in(client, b"Subject: s\r\n\r\n" + (b"x" * 70 + b"\r\n") * 40).startswith("552 5.3.4")
        assert hand_in(client).startswith("250 ")


def test_smtplib_gets_a_refusal_for_each_bad_recipient(listener: Listener) -> None:
    with listener.client() as client:
        refused = client.sendmail("a@example.com", ["b@example.org", "nobody", "x@-y.example"], MESSAGE)
        assert {name: answer[0] for name, answer in refused.items()} == {"nobody": 553, "x@-y.example": 553}
        with pytest.raises(smtplib.SMTPRecipientsRefused):
            client.sendmail("a@example.com", ["nobody"], MESSAGE)


def test_a_loop_is_refused(listener: Listener) -> None:
    assert hand_in(listener.raw(), b"Received: x\r\n" * 51 + MESSAGE).startswith("554 5.4.6")


def test_a_large_message_is_stored_byte_for_byte(listener: Listener, program: Program) -> None:
    text = b"".join(b"line %d of many\r\n" % number for number in range(200_000))
    outbox_id = stored_id(hand_in(listener.raw(), b"From: a@example.com\r\nSubject: s\r\n\r\n" + text))
    assert content(program, outbox_id).endswith(b"\r\n\r\n" + text)
