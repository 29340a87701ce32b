"""Many processes at once with one login: one of them asks the authorization server, and all of them log in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from prx_email_cli.smtp.credentials import TokenLogin
from prx_email_cli.smtp.failure import SessionFailed

from ..conftest import Answer, Program
from ..support.oauth_server import OAuthServer, Refusal
from ..support.scripted import ScriptedServer
from .field import (
    USER,
    account_table,
    account_with,
    attempts,
    check_one_probe,
    configure,
    configure_accounts,
    enqueue,
    given_by,
    keep,
    kept,
    leftovers,
    mail_server_of,
    refusing_every_token,
    renewed_by,
    sessions_of,
    xoauth2,
)


def run_together(program: Program, *commands: tuple[str, ...]) -> list[Answer]:
    """Start all of *commands* at once and wait for all of them."""
    processes = [program.start(*command) for command in commands]
    ended = [process.communicate(timeout=60) for process in processes]
    return [Answer(process.returncode, *said) for process, said in zip(processes, ended, strict=True)]


@pytest.mark.parametrize(("state", "processes"), [("expired", 10), ("refused", 6)])
def test_many_processes_renew_a_token_once(state: str, processes: int, oauth: OAuthServer, program: Program) -> None:
    oauth.rotate = True  # a second refresh with the same refresh token would fail
    oauth.delay = 0.5
    given = given_by(oauth)
    with mail_server_of(oauth) as server:
        account = configure(program, server.port, renewed_by(oauth, given.refresh))
        keep(account, given.access, ends_in=0 if state == "expired" else 3600)
        oauth.revoke(given.access)
        enqueue(program, 10)
        commands = [("drain",) if number % 2 else ("account", "test") for number in range(processes)]
        answers = run_together(program, *commands)
        assert [answer for answer in answers if answer.status or answer.err] == []
        assert len(set(server.received_message_ids())) == len(server.messages) == 10
        let_in = [attempt for attempt in attempts(server) if attempt == f"XOAUTH2 {xoauth2(oauth.issued[-1])}"]
        refused = [attempt for attempt in attempts(server) if attempt not in let_in]
        assert len(let_in) >= processes / 2  # a drain that finds nothing left to do needs no login
        assert set(refused) <= {f"XOAUTH2 {xoauth2(given.access)}"}
        assert (state == "refused") == bool(refused)
    assert oauth.count("refresh_token") == 1
    tokens = kept(account)
    assert tokens is not None
    assert (tokens.access_token, tokens.refresh_token) == (oauth.issued[-1], oauth.refresh_tokens[-1])
    assert leftovers(program.home) == []


def test_processes_that_were_refused_the_new_token_too_renew_it_once_each_at_most(
    oauth: OAuthServer, program: Program
) -> None:
    given = given_by(oauth)
    with refusing_every_token() as server:
        keep(configure(program, server.port, renewed_by(oauth, given.refresh)), given.access)
        enqueue(program, 3)
        answers = run_together(program, *[("account", "test")] * 3, ("drain",))
        assert {answer.status for answer in answers} == {75}
        assert len(attempts(server)) <= 8
    assert oauth.count("refresh_token") <= 4
    check_one_probe(program, "auth", "535")


@pytest.mark.parametrize("state", ["expired", "absent"])
def test_threads_of_one_process_renew_once_too(state: str, oauth: OAuthServer) -> None:
    oauth.rotate = True
    account = account_with(renewed_by(oauth, given_by(oauth).refresh))
    if state == "expired":
        keep(account, "at-that-has-ended", ends_in=0)
    one = TokenLogin(account)
    logins = [TokenLogin(account) if number % 2 else one for number in range(16)]
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(TokenLogin.secret, logins))
    assert set(found) == {oauth.issued[-1]}
    assert oauth.count("refresh_token") == 1


def test_connections_of_one_drain_that_are_refused_at_once_renew_once(oauth: OAuthServer) -> None:
    oauth.rotate = True
    oauth.delay = 0.2
    given = given_by(oauth)
    with mail_server_of(oauth) as server:
        account = account_with(renewed_by(oauth, given.refresh), server.port)
        keep(account, given.access)
        oauth.revoke(given.access)
        sessions = sessions_of(account)
        with ThreadPoolExecutor(8) as pool:
            for session in list(pool.map(lambda _: sessions.open(), range(8))):
                session.close()
    assert oauth.count("refresh_token") == 1


def test_a_command_for_tokens_serves_many_connections_at_once() -> None:
    with ScriptedServer(auth={USER: "at-fresh-0123"}, auth_mechanisms=["XOAUTH2"]) as server:
        sessions = sessions_of(account_with({"oauth_token_command": ["echo", "at-fresh-0123"]}, server.port))
        with ThreadPoolExecutor(8) as pool:
            for session in list(pool.map(lambda _: sessions.open(), range(24))):
                session.close()
        assert len(attempts(server)) == 24


def test_who_waits_for_a_renewal_that_fails_tries_it_itself(oauth: OAuthServer) -> None:
    oauth.refuse = Refusal("temporarily_unavailable")
    account = account_with(renewed_by(oauth, given_by(oauth).refresh))
    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(TokenLogin(account).secret) for _ in range(4)]
    assert {type(asked.exception()) for asked in asking} == {SessionFailed}
    assert oauth.count("refresh_token") == 4


def test_another_login_does_not_wait(oauth: OAuthServer, program: Program) -> None:
    with OAuthServer() as silent, mail_server_of(oauth) as server, mail_server_of(silent) as other:
        silent.hang = True
        tables = {
            "work": account_table(renewed_by(oauth, given_by(oauth).refresh), server.port),
            "slow": account_table(renewed_by(silent, given_by(silent).refresh), other.port),
        }
        configure_accounts(program, tables)
        waiting = program.start("account", "test", "slow")
        silent.wait_for(lambda: silent.requests, timeout=60)
        assert program.call("account", "test", "work").status == 0
        assert waiting.poll() is None
        silent.close()
        out, _ = waiting.communicate(timeout=60)
        assert "FAIL" in out
