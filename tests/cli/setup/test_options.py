"""The options of ``init`` and ``account add``: each lands in its key, and contradictions are refused at once."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from prx_email_cli.cli.account_options import option_types

from ...conftest import Program
from ...support.scripted import ScriptedServer
from ..outside import assert_error
from .conftest import clean_owner
from .field import USER, assert_one_object


def each(option: str, *words: str) -> list[str]:
    """*option* before each of *words*."""
    return [part for word in words for part in (option, word)]


WHO = ("--provider", "gmail", "--user", USER)
OAUTH = (*WHO, "--oauth-client-id", "id")
AUTH = ("smtp", "auth")
CLIENT = (*AUTH, "oauth")
# Of each option: a command line that has it, and what stands where in the account's table then.
LANDS: dict[str, tuple[tuple[str, ...], tuple[str, ...], Any]] = {
    "provider": (WHO, ("provider",), "gmail"),
    "host": ((*WHO, "--host", "mail.example.com"), ("smtp", "host"), "mail.example.com"),
    "port": ((*WHO, "--port", "2525"), ("smtp", "port"), 2525),
    "tls": ((*WHO, "--tls", "starttls"), ("smtp", "tls"), "starttls"),
    "tls_ca_file": ((*WHO, "--tls-ca-file", "ca.pem"), ("smtp", "tls_ca_file"), "{here}/ca.pem"),
    "user": (WHO, ("smtp", "user"), USER),
    "sender": ((*WHO, "--from", "Ops <o@example.com>"), ("from",), "Ops <o@example.com>"),
    "password_env": ((*WHO, "--password-env", "P"), (*AUTH, "password_env"), "P"),
    "password_file": ((*WHO, "--password-file", "sub/p"), (*AUTH, "password_file"), "{here}/sub/p"),
    "password_command": (
        (*WHO, *each("--password-command", "pass", "-c", "$HOME")), (*AUTH, "password_command"), ["pass", "-c", "$HOME"]
    ),
    "keyring": ((*WHO, "--keyring"), (*AUTH, "keyring"), True),
    "oauth_token_env": ((*WHO, "--oauth-token-env", "T"), (*AUTH, "oauth_token_env"), "T"),
    "oauth_token_command": (
        (*WHO, *each("--oauth-token-command", "oama", "access")), (*AUTH, "oauth_token_command"), ["oama", "access"]
    ),
    "oauth_client_id": (OAUTH, (*CLIENT, "client_id"), "id"),
    "oauth_client_secret_env": ((*OAUTH, "--oauth-client-secret-env", "S"), (*CLIENT, "client_secret_env"), "S"),
    "oauth_client_secret_file": (
        (*OAUTH, "--oauth-client-secret-file", "~/s"), (*CLIENT, "client_secret_file"), "{home}/s"
    ),
    "oauth_tenant": ((*OAUTH, "--oauth-tenant", "common-ground"), (*CLIENT, "tenant"), "common-ground"),
}  # fmt: skip
CONTRADICTIONS = [
    (*WHO, "--password-env", "P", "--password-file", "f"),
    (*WHO, "--keyring", "--password-command", "pass"),
    (*WHO, "--keyring", "--oauth-client-id", "id"),
    (*WHO, "--oauth-token-env", "T", "--oauth-token-command", "oama"),
    (*WHO, "--oauth-token-command", "oama", "--oauth-client-id", "id"),
    (*OAUTH, "--password-env", "P"),
    (*OAUTH, "--oauth-client-secret-env", "S", "--oauth-client-secret-file", "f"),
    (*WHO, "--oauth-client-secret-env", "S"),  # of which client?
    (*WHO, "--oauth-tenant", "t"),
    ("--provider", "fastmail", "--user", USER, "--oauth-client-id", "id"),  # it has no OAuth
    ("--provider", "fastmail", "--from", USER, "--password-env", "P"),  # whose password?
    (*WHO, "--tls", "none"),  # in clear across the Internet
]


def working(home: Path) -> Program:
    """Somebody who works in a folder that is neither the home nor the config's."""
    owner = clean_owner(home)
    owner.config = home / "etc" / "config.toml"
    owner.environment["PRX_EMAIL_CONFIG"] = str(owner.config)
    return owner


@pytest.fixture
def work(tmp_path: Path) -> Program:
    """A fresh one."""
    return working(tmp_path)


def test_there_is_a_line_for_each() -> None:
    assert {*LANDS} == {*option_types()}


@pytest.mark.parametrize("option", LANDS)
def test_each_lands_in_its_key(option: str, work: Program) -> None:
    words, place, wanted = LANDS[option]
    answer = work.run("init", "--account", "new", "--json", *words)
    assert answer.status == 0, answer
    found = tomllib.loads(work.config.read_text())["accounts"]["new"]
    for key in place:
        found = found[key]
    assert found == (wanted.format(here=work.home, home=work.home) if isinstance(wanted, str) else wanted)


@pytest.mark.parametrize("words", CONTRADICTIONS, ids=" ".join)
def test_a_contradiction_is_refused_before_anything_is_written(words: tuple[str, ...], work: Program) -> None:
    assert_error(work.run("init", "--account", "new", "--json", *words), 78, code="config")
    assert list(work.home.iterdir()) == []


def test_what_no_option_says_is_left_to_the_provider(work: Program) -> None:
    assert work.run("init", *WHO, "--password-env", "P").status == 0
    account = tomllib.loads(work.config.read_text())["accounts"]["default"]
    assert account == {"provider": "gmail", "smtp": {"user": USER, "auth": {"password_env": "P"}}}


def test_a_contradiction_is_refused_before_anything_is_added(work: Program) -> None:
    assert work.run("init", *WHO, "--password-env", "P").status == 0
    before = work.config.read_bytes()
    assert_error(work.run("account", "add", "new", *CONTRADICTIONS[0]), 78, "password_env", "password_file")
    assert_error(work.run("account", "add", "default", "--replace", *CONTRADICTIONS[0]), 78)
    assert (work.config.read_bytes(), [file.name for file in work.config.parent.iterdir()]) == (before, ["config.toml"])


@pytest.mark.parametrize("secret", ["--password", "--client-secret", "--oauth-client-secret", "--oauth-token"])
def test_no_option_takes_a_secret_itself(secret: str, work: Program) -> None:
    """Everybody's ps would show it."""
    answer = work.run("init", *WHO, secret, "hunter2")
    assert (answer.status, "hunter2" in answer.err, work.config.exists()) == (2, False, False), answer


class TestTest:
    def test_tries_the_account_at_the_end(self, work: Program) -> None:
        work.environment["P"] = "hunter2"
        words = ("--host", "localhost", "--tls", "none", "--user", USER, "--password-env", "P", "--test")
        with ScriptedServer(auth={USER: "hunter2"}) as server:
            answer = work.run("init", *words, "--port", str(server.port), "--json")
            assert (answer.status, answer.data["login"]) == (0, "PLAIN"), answer
            assert_one_object(answer)
            work.environment["P"] = "wrong"
            answer = work.run("account", "add", "other", *words, "--port", str(server.port), "--json")
            assert (answer.status, answer.json["error"]["code"]) == (75, "auth"), answer
            assert_one_object(answer)
        assert "written but does not work yet" in answer.err
        assert {*tomllib.loads(work.config.read_text())["accounts"]} == {"default", "other"}

    def test_is_not_done_unless_asked_for(self, work: Program) -> None:
        with ScriptedServer() as server:
            answer = work.run(
                "init", "--host", "localhost", "--port", str(server.port), "--tls", "none", "--from", USER
            )
            assert (answer.status, answer.out, server.connections) == (0, "", 0), answer
        assert "account test default" in answer.err


class TestHostWithPort:
    @pytest.mark.parametrize(
        ("text", "host", "port"),
        [
            ("mail.example.com:465", "mail.example.com", 465), ("192.0.2.7:25", "192.0.2.7", 25),
            ("[2001:db8::7]:465", "2001:db8::7", 465), ("[2001:db8::7]", "2001:db8::7", None),
            ("2001:db8::7", "2001:db8::7", None), ("mail.example.com", "mail.example.com", None),
        ],
    )  # fmt: skip
    def test_is_taken_apart(self, text: str, host: str, port: int | None, work: Program) -> None:
        assert work.run("init", "--host", text, "--from", USER).status == 0
        smtp = tomllib.loads(work.config.read_text())["accounts"]["default"]["smtp"]
        assert (smtp["host"], smtp.get("port")) == (host, port)

    @pytest.mark.parametrize("words", [("h:70000",), ("h:0",), ("h:25", "--port", "26")])
    def test_that_is_none_or_says_another_port_than_the_option_is_refused(
        self, words: tuple[str, ...], work: Program
    ) -> None:
        assert work.run("init", "--from", USER, "--host", *words).status == 2
        assert not work.config.exists()

    def test_may_say_the_same_port_as_the_option(self, work: Program) -> None:
        assert work.run("init", "--from", USER, "--host", "h:26", "--port", "26").status == 0


def test_the_next_command_names_the_config_that_was_named(work: Program) -> None:
    file = work.home / "my config.toml"
    answer = work.run("--config", str(file), "init", *WHO, "--password-env", "P")
    assert f"next: prx-email --config '{file}' account test default\n" in answer.err
    assert f"--config '{file}' drain\n" in answer.err
    assert "cron does not know your variable P" in answer.err
