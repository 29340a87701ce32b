"""Machines on one database share the tokens of OAuth: one renews them, all use them, and the database reads none."""

from __future__ import annotations

import base64
import time
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
import tomli_w

from prx_email_cli.config.outbox import OutboxSettings
from prx_email_cli.config.settings import Account, check_settings
from prx_email_cli.oauth.server import Tokens
from prx_email_cli.oauth.shared import SharedTokens, vault_for
from prx_email_cli.outbox.open import open_store

from ..conftest import Program
from ..support.oauth_server import OAuthServer
from ..support.postgres import MISSING, programs, the_server
from .field import USER, account_table, given_by, mail_server_of, renewed_by

KEY, OTHER_KEY = (base64.b64encode(bytes([byte]) * 32).decode() for byte in (1, 2))


class Field(NamedTuple):
    """Machines with homes of their own, on one database."""

    tmp_path: Path
    url: str

    def machine(self, number: int, port: int, auth: Any, key: str | None = KEY) -> tuple[Program, Account]:
        home = self.tmp_path / f"machine{number}"
        home.mkdir(exist_ok=True)
        program = Program(home)
        outbox = {"url": self.url} if key is None else {"url": self.url, "token_key": key}
        document = {"outbox": outbox, "accounts": {"work": account_table(auth, port, user=USER)}}
        program.config.write_text(tomli_w.dumps(document))
        program.config.chmod(0o600)
        return program, check_settings(document, program.config).accounts["work"]

    def rows(self) -> list[tuple[str, bytes]]:
        """What the database has."""
        with psycopg.connect(self.url) as connection:
            return [(name, bytes(sealed)) for name, sealed in connection.execute("SELECT * FROM oauth_token")]

    def keep(self, account: Account, tokens: Tokens, origin: str | None = None) -> None:
        """Put tokens there, as a run before would have."""
        outbox = OutboxSettings(url=self.url, token_key=KEY)
        store = open_store(outbox)
        vault = vault_for(account, outbox, store.shelf)
        assert vault is not None
        cache: SharedTokens = vault.tokens_of(account, origin)
        with cache.renewing() as renewal:
            renewal.make_room()
            renewal.write(tokens)
        assert cache.read() == tokens
        store.close()


@pytest.fixture
def field(tmp_path: Path) -> Field:
    if programs() is None:
        pytest.skip(MISSING)
    return Field(tmp_path, the_server().new_database())


def test_three_machines_that_need_a_token_at_once_renew_it_once(oauth: OAuthServer, field: Field) -> None:
    oauth.rotate = True  # a second refresh with the same refresh token would fail
    oauth.delay = 0.5
    given = given_by(oauth)
    with mail_server_of(oauth) as server:
        made = [field.machine(number, server.port, renewed_by(oauth, given.refresh)) for number in range(3)]
        field.keep(made[0][1], Tokens("at-that-has-ended", int(time.time()), None), given.refresh)
        running = [program.start("account", "test") for program, _ in made]
        ended = [process.communicate(timeout=120) for process in running]
        assert [process.returncode for process in running] == [0, 0, 0], ended
        assert oauth.count("refresh_token") == 1
        for program, _ in made:
            assert program.run("account", "test").status == 0
            assert list(program.home.rglob("tokens")) == []
        assert oauth.count("refresh_token") == 1
    ((name, sealed),) = field.rows()
    assert name.startswith(USER)
    for secret in (oauth.issued[-1], oauth.refresh_tokens[-1], given.access, given.refresh, KEY):
        assert secret.encode() not in sealed


@pytest.mark.parametrize("command", ["test", "login"])
def test_another_key_is_an_error_and_changes_nothing(oauth: OAuthServer, field: Field, command: str) -> None:
    auth = renewed_by(oauth, None, authorize_url=oauth.authorize_url)
    program, account = field.machine(1, 9, auth, OTHER_KEY)
    field.keep(account, Tokens("at-kept", None, "rt-kept"))
    before = field.rows()
    answer = program.run("account", command, "work")
    assert answer.status == 78
    assert "another token_key" in answer.err
    assert OTHER_KEY not in answer.err + answer.out
    assert (field.rows(), oauth.count("refresh_token")) == (before, 0)
    assert program.run("account", "logout", "work").status == 0
    assert field.rows() == []


@pytest.mark.parametrize(
    "key", ["short", base64.b64encode(bytes(31)).decode(), "not base64 at all, but long enough to be"]
)
def test_what_is_no_key_is_refused_and_not_shown(oauth: OAuthServer, field: Field, key: str) -> None:
    program, _ = field.machine(1, 9, renewed_by(oauth, "rt-x"), key)
    answer = program.run("account", "test", "work")
    assert answer.status == 78
    assert "is no key of 32 bytes in base64" in answer.err
    assert key not in answer.err + answer.out


def test_a_machine_that_dies_while_it_renews_lets_the_next_one_do_so(oauth: OAuthServer, field: Field) -> None:
    given = given_by(oauth)
    with mail_server_of(oauth) as server:
        made = [field.machine(number, server.port, renewed_by(oauth, given.refresh)) for number in range(2)]
        oauth.hang = True
        dying = made[0][0].start("account", "test")
        deadline = time.monotonic() + 60
        while oauth.count("refresh_token") == 0 and dying.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        oauth.hang = False
        dying.kill()
        dying.communicate()
        assert made[1][0].run("account", "test").status == 0
    assert len(field.rows()) == 1


def test_without_a_key_each_machine_keeps_its_own_and_doctor_says_so(oauth: OAuthServer, field: Field) -> None:
    given = given_by(oauth)
    with mail_server_of(oauth) as server:
        program, _ = field.machine(1, server.port, renewed_by(oauth, given.refresh), None)
        assert program.run("account", "test").status == 0
        assert field.rows() == []
        assert "its tokens are on this machine alone" in program.run("doctor", "--offline").out


def test_drains_of_two_machines_send_with_the_token_that_one_got(oauth: OAuthServer, field: Field) -> None:
    oauth.rotate = True
    given = given_by(oauth)
    with mail_server_of(oauth) as server:
        made = [field.machine(number, server.port, renewed_by(oauth, given.refresh))[0] for number in range(2)]
        for program in made:
            program.send()
        drains = [program.start("drain") for program in made]
        assert [(one.communicate(timeout=120)[1], one.returncode) for one in drains] == [("", 0)] * 2
        assert len(server.messages) == 2
    assert oauth.count("refresh_token") == 1


def test_an_account_is_not_removed_while_machines_share_its_tokens(oauth: OAuthServer, field: Field) -> None:
    (program, account), (other, _) = (field.machine(number, 9, renewed_by(oauth, None)) for number in range(2))
    for machine in (program, other):
        config = machine.config.read_text()
        machine.config.write_text(config + "\n" + _again(config).replace("client_id = ", 'client_id = "another" # '))
    field.keep(account, Tokens("access", None, None))
    answer = program.call("account", "remove", "work")
    assert answer.status == 65
    assert "keeps tokens of account work for all machines; nothing was changed" in answer.err
    assert "prx-email account logout work deletes them; --force leaves them to other machines" in answer.err
    assert program.call("account", "remove", "work", "--force").status == 0
    assert len(field.rows()) == 1
    assert other.call("account", "logout", "work").status == 0
    assert field.rows() == []
    assert other.call("account", "remove", "work").status == 0


def test_an_account_is_removed_while_another_one_has_the_same_tokens(oauth: OAuthServer, field: Field) -> None:
    program, account = field.machine(1, 9, renewed_by(oauth, None))
    program.config.write_text(program.config.read_text() + "\n" + _again(program.config.read_text()))
    field.keep(account, Tokens("access", None, None))
    assert program.call("account", "remove", "again").status == 0
    assert len(field.rows()) == 1


def _again(config: str) -> str:
    """The tables of the account once more, under another name."""
    return config[config.index("[accounts.work]") :].replace("accounts.work", "accounts.again")
