"""``account login`` in a browser: who may answer, what the answer is worth, and what is never told."""

import base64
import contextlib
import hashlib
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from ...conftest import Program
from ...support.oauth_server import OAuthServer, Refusal
from ...support.scripted import ScriptedServer
from .field import (
    USER,
    Running,
    address_of,
    assert_one_object,
    assert_secret,
    confidential,
    get,
    kept_tokens,
    log_in,
    oauth_table,
    steps,
    token_files,
    write_config,
)

LOGIN = ("account", "login", "--no-browser")


class TestALoginThatSucceeds:
    def test_keeps_private_tokens_and_ends_with_a_tried_login(
        self, account: Program, oauth: OAuthServer, mail: ScriptedServer
    ) -> None:
        answer = log_in(account)
        assert answer.status == 0, answer
        assert ["ok", "login"] in steps(answer)
        (file,) = token_files(account)
        assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
        kept = kept_tokens(account)
        assert ([kept["access_token"]], [kept["refresh_token"]]) == (oauth.issued, oauth.refresh_tokens)
        assert not {"MAIL", "RCPT", "DATA"} & {command.line.split()[0].upper() for command in mail.commands}
        assert_secret(oauth, answer.out, answer.err)

    def test_is_enough_for_the_drains_that_follow(
        self, account: Program, oauth: OAuthServer, mail: ScriptedServer
    ) -> None:
        assert log_in(account).status == 0
        asked = len(oauth.requests)
        for _ in range(2):
            account.send()
            drained = account.run("drain")
            assert (drained.status, drained.out, drained.err) == (0, "", "")
        assert [message.user for message in mail.messages] == [USER, USER]
        assert len(oauth.requests) == asked

    def test_proves_by_pkce_that_it_is_the_one_who_asked(self, account: Program, oauth: OAuthServer) -> None:
        assert [log_in(account).status, log_in(account).status] == [0, 0]
        asked = [one.query for one in oauth.requests if one.path == "/authorize"]
        given = [one.form for one in oauth.requests if one.path == "/token"]
        for query, form in zip(asked, given, strict=True):
            digest = hashlib.sha256(form["code_verifier"].encode()).digest()
            assert query["code_challenge"] == base64.urlsafe_b64encode(digest).decode().rstrip("=")
            assert (query["code_challenge_method"], query["login_hint"]) == ("S256", USER)
            assert query["redirect_uri"] == form["redirect_uri"]
        for values in ([query["state"] for query in asked], [form["code_verifier"] for form in given]):
            assert len({*values}) == 2
            assert min(map(len, values)) >= 43  # 256 bits, RFC 7636 section 7.1

    def test_shows_a_confidential_clients_secret_to_the_token_endpoint_alone(
        self, owner: Program, oauth: OAuthServer, mail: ScriptedServer
    ) -> None:
        write_config(owner, mail, confidential(oauth))
        answer = log_in(owner)
        assert answer.status == 0, answer
        shown = [one.path for one in oauth.requests if oauth.client_secret in str([one.query, one.form, one.headers])]
        assert shown == ["/token"]
        assert_secret(oauth, answer.out, answer.err)

    def test_has_one_object_on_stdout_with_json_and_the_address_on_stderr(
        self, account: Program, oauth: OAuthServer
    ) -> None:
        answer = log_in(account, "--json")
        assert answer.status == 0, answer
        assert_one_object(answer)
        assert (answer.json["ok"], answer.data["account"], answer.data["login"]) == (True, "work", "XOAUTH2")
        assert oauth.authorize_url in answer.err
        assert_secret(oauth, answer.out, answer.err)

    def test_replaces_the_tokens_of_the_last_one(self, account: Program) -> None:
        assert log_in(account).status == 0
        before = kept_tokens(account)
        assert log_in(account).status == 0
        after = kept_tokens(account)
        assert {before["access_token"], before["refresh_token"]}.isdisjoint(after.values())

    def test_warns_when_the_server_gives_no_refresh_token(self, account: Program, oauth: OAuthServer) -> None:
        oauth.issue_refresh_token = False
        answer = log_in(account)
        assert answer.status == 0, answer
        assert "warning" in answer.err
        assert "no refresh token" in answer.err

    def test_of_an_application_as_itself_asks_nobody(
        self, owner: Program, oauth: OAuthServer, mail: ScriptedServer
    ) -> None:
        write_config(owner, mail, confidential(oauth, grant="client_credentials"))
        answer = owner.run("account", "login")
        assert answer.status == 0, answer
        assert [one.form["grant_type"] for one in oauth.requests] == ["client_credentials"]
        assert ("http" in answer.err, "warning" in answer.err) == (False, False)
        assert_secret(oauth, answer.out, answer.err)

    def test_comes_back_to_the_port_and_host_that_were_registered(
        self, owner: Program, oauth: OAuthServer, mail: ScriptedServer
    ) -> None:
        write_config(owner, mail, oauth_table(oauth, redirect_host="localhost"))
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        assert log_in(owner, "--port", str(port)).status == 0
        assert oauth.requests[0].query["redirect_uri"] == f"http://localhost:{port}"


class TestWhileItWaits:
    def test_strangers_do_not_end_the_waiting(self, account: Program, oauth: OAuthServer) -> None:
        with Running(account, *LOGIN) as login:
            address = address_of(login)
            home = address.query["redirect_uri"]
            answers = [
                get(home),
                get(home, code="stolen"),
                address.back(state="", code="stolen"),
                address.back(state=address.query["state"][:-1], code="stolen"),
                address.back(state="\N{PERFORMING ARTS}", code="stolen"),
                address.back(state="another", error="access_denied"),
                address.back(),
                address.back(code=""),
                get(f"{home}/favicon.ico", state=address.query["state"], code="stolen"),
            ]
            assert [answer.status_code for answer in answers] == [400] * 8 + [404]
            assert login.process.poll() is None
            assert get(address.url).status_code == 200
            answer = login.end()
        assert answer.status == 0, answer
        assert "stolen" not in answer.out + answer.err
        assert oauth.count("authorization_code") == 1

    def test_connections_that_say_nothing_hold_nobody_up(self, account: Program) -> None:
        with Running(account, *LOGIN) as login, contextlib.ExitStack() as ahead:
            address = address_of(login)
            for beginning in (b"", b"", b"", b"GET /?sta", b"GET / HTTP/1.1\r\nHost: x\r\n"):
                idle = ahead.enter_context(socket.create_connection(("127.0.0.1", address.port)))
                idle.sendall(beginning)
            assert get(address.url).status_code == 200
            assert login.end().status == 0

    def test_it_listens_on_127_0_0_1_alone(self, account: Program) -> None:
        own = {str(found[4][0]) for found in socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)}
        with Running(account, *LOGIN) as login:
            port = address_of(login).port
            for host in {"127.0.0.2", "::1", *own} - {"127.0.0.1"}:
                with pytest.raises(OSError):  # noqa: PT011 - refused, unreachable, no such family
                    socket.create_connection((host, port), timeout=5).close()
            socket.create_connection(("127.0.0.1", port), timeout=5).close()

    def test_the_process_list_shows_no_secret(self, owner: Program, oauth: OAuthServer, mail: ScriptedServer) -> None:
        write_config(owner, mail, confidential(oauth))
        with Running(owner, *LOGIN) as login:
            address = address_of(login)
            listed = Path(f"/proc/{login.process.pid}/cmdline").read_text()
            get(address.url)
            assert login.end().status == 0
        assert "account" in listed
        assert_secret(oauth, listed, address.url)

    def test_nobody_comes(self, account: Program, oauth: OAuthServer) -> None:
        answer = account.run(*LOGIN, "--timeout", "1", "--json")
        assert answer.status == 75, answer
        assert "within 1 s" in answer.json["error"]["message"]
        assert "--timeout" in answer.json["error"]["hint"]  # nothing is wrong with the network
        assert_one_object(answer)
        assert (oauth.requests, token_files(account)) == ([], [])

    def test_control_c_ends_it(self, account: Program) -> None:
        with Running(account, *LOGIN) as login:
            port = address_of(login).port
            login.process.send_signal(signal.SIGINT)
            answer = login.end()
        assert answer.status == 130, answer
        assert "Traceback" not in answer.err
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=5)
        assert token_files(account) == []


class TestALoginThatFails:
    def test_because_it_was_refused_says_who_can_help(
        self, account: Program, oauth: OAuthServer, mail: ScriptedServer
    ) -> None:
        oauth.deny = True
        answer = log_in(account)
        assert (answer.status, answer.out) == (75, ""), answer
        assert "access_denied" in answer.err
        assert "administrator" in answer.err
        assert ([one.path for one in oauth.requests], token_files(account)) == (["/authorize"], [])
        assert mail.connections == 0

    def test_tells_the_servers_words_harmlessly(self, account: Program) -> None:
        with Running(account, *LOGIN) as login:
            address_of(login).back(error="server_error\x1b]0;x\x07", error_description="\x1b[31mno\nhint: rm \u202e")
            answer = login.end()
        assert (answer.status, answer.out) == (75, ""), answer
        assert not {"\x1b", "\x07", "\u202e"} & {*answer.err}
        assert r"\x1b[31mno\nhint: rm" in answer.err

    def test_because_the_code_is_of_another_login(
        self, account: Program, oauth: OAuthServer, mail: ScriptedServer
    ) -> None:
        """Somebody hands over a code of theirs, or one they have seen: without its verifier it is nothing."""
        with Running(account, *LOGIN) as attacked, Running(account, *LOGIN) as attacker:
            foreign = dict(address_of(attacker).query)
            mine = address_of(attacked)
            foreign["redirect_uri"] = mine.query["redirect_uri"]
            foreign["state"] = mine.query["state"]
            assert get(oauth.authorize_url, **foreign).status_code == 200
            answer = attacked.end()
        assert (answer.status, answer.out) == (75, ""), answer
        assert "invalid_grant" in answer.err
        assert (oauth.issued, token_files(account), mail.connections) == ([], [], 0)

    def test_because_a_made_up_code_came(self, account: Program, oauth: OAuthServer) -> None:
        with Running(account, *LOGIN, "--json") as login:
            address_of(login).back(code="made-up-code")
            answer = login.end()
        assert (answer.status, answer.json["error"]["code"]) == (75, "auth"), answer
        assert_one_object(answer)
        assert token_files(account) == []
        assert_secret(oauth, answer.out, answer.err)

    def test_keeps_the_client_secret_that_the_server_repeats(
        self, owner: Program, oauth: OAuthServer, mail: ScriptedServer
    ) -> None:
        oauth.refuse = Refusal("invalid_client", f"no such secret: {oauth.client_secret}", 401)
        write_config(owner, mail, confidential(oauth))
        answer = log_in(owner)
        assert answer.status == 75
        assert "client_secret" in answer.err  # the hint
        assert "***" in answer.err
        assert_secret(oauth, answer.out, answer.err)

    def test_leaves_the_tokens_that_were_there(self, account: Program, oauth: OAuthServer) -> None:
        assert log_in(account).status == 0
        before = kept_tokens(account)
        oauth.deny = True
        assert log_in(account).status == 75
        assert kept_tokens(account) == before
        assert account.run("account", "test").status == 0

    def test_as_somebody_else_says_that_the_account_does_not_work(self, account: Program, oauth: OAuthServer) -> None:
        oauth.user = "somebody.else@example.com"
        answer = log_in(account)
        assert answer.status == 75, answer
        assert steps(answer)[-1] == ["FAIL", "login"]
        assert "535" in answer.err
        assert "smtp.user" in answer.err
        assert_secret(oauth, answer.out, answer.err)
        as_json = log_in(account, "--json")
        assert (as_json.status, as_json.json["error"]["code"]) == (75, "auth")
        assert_one_object(as_json)

    def test_because_the_port_is_taken_names_it_and_the_option(self, account: Program) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            answer = account.run(*LOGIN, "--port", port)
        assert (answer.status, answer.out, "http" in answer.err) == (75, "", False), answer
        assert port in answer.err
        assert "--port" in answer.err.partition("hint: ")[2]

    @pytest.mark.parametrize(
        ("options", "change", "words"),
        [
            ((), {"authorize_url": None}, ("authorize_url", "--device")),
            (("--device",), {"device_url": None}, ("device_url", "without --device")),
            ((), {"client_secret_env": "NOT_SET"}, ("NOT_SET",)),
            ((), {"password": "secret"}, ("[accounts.work.smtp.auth.oauth]",)),
            ((), {"oauth_token_env": "TOKEN"}, ("[accounts.work.smtp.auth.oauth]",)),
            ((), {}, ("[accounts.work.smtp.auth.oauth]",)),
        ],
        ids=str,
    )
    def test_of_an_account_that_lacks_something_says_what_and_asks_nobody(
        self, options: tuple[str, ...], change: dict[str, Any], words: tuple[str, ...],
        owner: Program, oauth: OAuthServer, mail: ScriptedServer,
    ) -> None:  # fmt: skip
        has_table = {*change} & {"authorize_url", "device_url", "client_secret_env"}
        write_config(owner, mail, oauth_table(oauth, **change) if has_table else change)
        answer = owner.run(*LOGIN, *options, "--json")
        assert (answer.status, answer.json["error"]["code"], answer.err) == (78, "config", ""), answer
        assert all(word in str(answer.json["error"]) for word in words), answer
        assert (oauth.requests, mail.connections) == ([], 0)

    def test_because_no_tokens_can_be_kept_asks_nobody(self, account: Program) -> None:
        """A person's consent is not to be wasted."""
        (account.home / ".local").write_text("no directory\n")
        answer = account.run(*LOGIN, "--timeout", "1")
        assert (answer.status, answer.out, "http" in answer.err) == (78, "", False), answer
        assert ".local" in answer.err
