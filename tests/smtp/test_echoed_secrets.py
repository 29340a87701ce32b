"""A server that repeats the password or token, as a reply or as none: it reaches no stream, log or database."""

from __future__ import annotations

import random
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ..conftest import Program
from ..support.echoes import ECHOES, pieces_in

USER = "ops@example.com"
PASSWORD = "c0rrect-Horse/b4ttery+St&ple%9"
TOKEN = "ya29.a0AfH6SMBx-4_kQ7Zp~9vTnJ2LrWc8Ys1DgEuKhFo3"
FORMS = {name: echo for name, echo in ECHOES.items() if "\n" not in echo(PASSWORD)}
Answer = Callable[[str, str], str]  # the place and what the client said there, to what is answered


class Parrot:
    """A server that greets and logs in as told, and answers as *answer* says."""

    def __init__(self, answer: Answer, mechanisms: str = "PLAIN") -> None:
        self._answer = answer
        self._mechanisms = mechanisms
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def close(self) -> None:
        """End accepting before the descriptor is free: else a later server may get it, and this one answers there."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join(timeout=60)
        if self._accepting.is_alive():
            raise RuntimeError("the parrot does not end")
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        good = {"greeting": "220 parrot", "ehlo": f"250-parrot\r\n250 AUTH {self._mechanisms}", "data": "354 go"}
        challenge = True
        with connection, connection.makefile("rwb") as stream:
            place, line = "greeting", ""
            while True:
                reply = self._answer(place, line)
                if not reply and place == "login" and challenge and self._mechanisms == "LOGIN":
                    reply, challenge = "334 UGFzc3dvcmQ6", False
                if place != "content":
                    stream.write(f"{reply or good.get(place, '250 ok')}\r\n".encode())
                    stream.flush()
                heard = stream.readline()
                if not heard:
                    return
                line = heard.decode().rstrip("\r\n")
                place = self._place_of(line, place)

    @staticmethod
    def _place_of(line: str, before: str) -> str:
        word = line.split(" ")[0].lower()
        known = {"ehlo", "helo", "auth", "mail", "rcpt", "data", "rset", "quit"}
        return (
            word if word in known else "login" if before in ("auth", "login") else "dot" if line == "." else "content"
        )


@contextmanager
def parrot(answer: Answer, mechanisms: str = "PLAIN") -> Iterator[Parrot]:
    server = Parrot(answer, mechanisms)
    try:
        yield server
    finally:
        server.close()


def all_that_is_told(program: Program, port: int, auth: str) -> str:
    """Everything that a drain and those who look afterwards say, and every octet that they leave behind."""
    program.configure(port, smtp=f'user = "{USER}"', auth=auth)
    with program.config.open("a") as config:
        config.write('[log]\nfile = "log"\nformat = "json"\n')
    program.send()
    reader = sqlite3.connect(program.outbox)
    reader.execute("SELECT count(*) FROM sqlite_master").fetchall()  # while it is open, the -wal stays
    said = ""
    for command in (["drain", "-v"], ["account", "test", "--json"], ["show", "1"], ["show", "1", "--json"], ["list"]):
        answer = program.call(*command)
        assert answer.status != 70, answer
        said += answer.out + answer.err
    stored = [file for file in program.home.rglob("*") if file.is_file() and file != program.config]
    assert {"outbox.db", "outbox.db-wal", "log"} <= {file.name for file in stored}
    said += "".join(file.read_bytes().decode("latin-1") for file in stored)
    reader.close()
    return said


def check(program: Program, answer: Answer, mechanisms: str = "PLAIN", secret: str = PASSWORD) -> str:
    auth = f'oauth_token = "{secret}"' if mechanisms.startswith(("X", "O")) else f"password = '{secret}'"
    with parrot(answer, mechanisms) as server:
        said = all_that_is_told(program, server.port, auth)
    assert pieces_in(said, secret, 6) == []
    return said


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER"])
@pytest.mark.parametrize("beginning", ["ECHO ", "", "535 5.7.8 no ", "454-4.7.0 ", "334 ", "235 welcome "])
def test_after_auth(beginning: str, mechanism: str, program: Program) -> None:
    secret = TOKEN if mechanism in ("XOAUTH2", "OAUTHBEARER") else PASSWORD

    def answer(place: str, line: str) -> str:
        if place == "login" or (place == "auth" and mechanism != "LOGIN"):
            return f"{beginning}{secret} {line}" + ("\r\n454 4.7.0 later" if "-" in beginning else "")
        return "334 VXNlcm5hbWU6" if place == "auth" else ""

    check(program, answer, mechanism, secret)


@pytest.mark.parametrize("seed", range(8))
def test_in_any_form_cut_anywhere_at_any_place(seed: int, program: Program) -> None:
    chance = random.Random(seed)

    def answer(place: str, line: str) -> str:
        if place not in ("auth", "mail", "rcpt", "data", "dot", "ehlo", "rset") or chance.random() < 0.4:
            return "235 welcome" if place == "auth" else ""
        echo = FORMS[chance.choice([*FORMS])](PASSWORD)
        start = chance.randrange(len(echo))
        said = echo[start : chance.randrange(start, len(echo) + 1)]
        if place == "ehlo":
            return f"250-parrot\r\n250-{said}\r\n250 AUTH PLAIN"
        return f"{chance.choice(['235 ', '250 ', '354 ', '451 ', '535 5.7.8 ', '550 ', 'ECHO ', ''])}{said}"

    check(program, answer)


@pytest.mark.parametrize("place", ["auth", "mail", "dot"])
@pytest.mark.parametrize("length", [28, 37, 46, 55])
def test_where_a_length_limit_cuts_it(length: int, place: str, program: Program) -> None:
    """What is no reply is shown in part, and that part may end within the secret."""

    def answer(where: str, _line: str) -> str:
        if where == place:
            return f"{'x' * length}{PASSWORD}"
        return "235 ok" if where == "auth" else ""

    assert "not an SMTP reply" in check(program, answer)


def test_in_a_reply_of_several_lines(program: Program) -> None:
    half = len(PASSWORD) // 2

    def answer(place: str, _line: str) -> str:
        return f"535-5.7.8 {PASSWORD[:half]}\r\n535 {PASSWORD[half:]}" if place == "auth" else ""

    assert "535 5.7.8 ***" in check(program, answer)


def test_a_name_that_is_part_of_the_password_breaks_nothing(program: Program) -> None:
    """What the server offers is read as it is, whatever the password has in common with it."""

    def answer(place: str, _line: str) -> str:
        return {"auth": "235 2.7.0 ok", "ehlo": "250-parrot\r\n250-SIZE 1000000\r\n250 AUTH PLAIN"}.get(place, "")

    with parrot(answer) as server:
        said = all_that_is_told(program, server.port, "password = 'AUTHPLAINSIZE1000000'")
    assert "PLAIN as ops@example.com" in said


def test_what_is_no_reply_and_no_secret_is_still_shown_outside_of_a_login(program: Program) -> None:
    assert "not an SMTP reply: 'HTTP/1.1 400" in check(
        program, lambda place, _line: "HTTP/1.1 400 Bad Request" if place == "ehlo" else ""
    )


def test_the_user_name_is_no_secret(program: Program) -> None:
    said = check(program, lambda place, _line: f"535 5.7.8 {USER} may not" if place == "auth" else "")
    assert f"535 5.7.8 {USER} may not" in said
