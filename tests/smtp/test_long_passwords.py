"""A command line of over 512 octets is refused by servers, so a long password waits for a challenge."""

from __future__ import annotations

from base64 import b64encode

import pytest

from prx_email_cli.smtp.failure import SessionFailed

from ..conftest import Program
from ..support.scripted import ScriptedServer
from .courier import USER, account_for, open_session

LONGEST_AT_ONCE = 512 - len("AUTH PLAIN \r\n")
"""Octets of base64."""


def payload(password: str) -> str:
    return b64encode(f"\0{USER}\0{password}".encode()).decode()


def logged_in_with(password: str, *mechanisms: str) -> list[str]:
    """The lines of the client's login."""
    with ScriptedServer(auth={USER: password}, auth_mechanisms=mechanisms or ["PLAIN"]) as server:
        open_session(account_for(server.port, password=password)).close()
        assert server.violations == []
        lines = [command.line for command in server.commands]
    start = next(index for index, line in enumerate(lines) if line.startswith("AUTH"))
    return [line for line in lines[start:] if line.upper() != "QUIT"]


@pytest.mark.parametrize(
    ("password", "fits"),
    [*(("p" * length, len(payload("p" * length)) <= LONGEST_AT_ONCE) for length in range(350, 366)),
     ("p" * 340, True), ("p" * 370, False), ("秘" * 130, False)],
    ids=lambda value: f"{len(value.encode())} octets" if isinstance(value, str) else "",
)  # fmt: skip
def test_plain_uses_the_initial_response_just_where_its_octets_fit(password: str, fits: bool) -> None:
    whole = payload(password)
    assert logged_in_with(password) == ([f"AUTH PLAIN {whole}"] if fits else ["AUTH PLAIN", whole])


def test_login_never_says_a_secret_in_a_command() -> None:
    assert logged_in_with("p" * 900, "LOGIN")[0] == "AUTH LOGIN"


def test_a_long_password_that_is_refused_is_told_as_any_other_and_never_shown() -> None:
    password = "Tr0ub4dor-" * 45
    with ScriptedServer(auth=lambda *_: False, auth_mechanisms=["PLAIN"]) as server:
        with pytest.raises(SessionFailed, match="login refused: 535") as failed:
            open_session(account_for(server.port, password=password))
    assert payload(password) not in failed.value.dialogue
    assert payload(password)[:40] not in failed.value.dialogue
    assert "C: AUTH PLAIN ***" in failed.value.dialogue


def test_a_password_of_400_characters_sends(program: Program) -> None:
    password = "x" * 400
    with ScriptedServer(auth={USER: password}, auth_mechanisms=["PLAIN"]) as server:
        program.configure(server.port, smtp=f'user = "{USER}"', auth=f'password = "{password}"')
        assert program.call("account", "test").status == 0
        program.send("--now")
        assert [message.user for message in server.messages] == [USER]
