"""``[..smtp.auth.oauth]``: what presets fill in, what must be there, and what is refused before anything is sent."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from prx_email_cli.config.auth import OAuth
from prx_email_cli.config.oauth_servers import PRESETS
from prx_email_cli.config.settings import Account, check_settings, load_settings
from prx_email_cli.errors import ConfigError, ReadableByOthers
from prx_email_cli.smtp.credentials import login_of

from ..cli.outside import assert_error
from ..conftest import Program
from ..support.oauth_server import OAuthServer
from .field import (
    USER,
    account_with,
    check_kept_secret,
    check_untouched,
    configure,
    enqueue,
    mail_server_of,
    renewed_by,
)

PAGE = (Path(__file__).parents[2] / "docs/providers.md").read_text()
MICROSOFT = "https://login.microsoftonline.com/{}/oauth2/v2.0/{}"


def account_of(provider: str | None, oauth: dict[str, Any], **auth: Any) -> Account:
    smtp: dict[str, Any] = {"user": USER, "auth": {**auth, "oauth": oauth}}
    if provider is None:
        smtp["host"] = "smtp.example.com"
    document = {"accounts": {"work": {"smtp": smtp, **({"provider": provider} if provider else {})}}}
    return check_settings(document, Path("/nowhere/config.toml")).accounts["work"]


def oauth_of(provider: str | None, **oauth: Any) -> OAuth:
    """The complete table."""
    found = account_of(provider, {"client_id": "c1", **oauth}).smtp.auth.oauth
    assert found is not None
    return found


def addresses(oauth: OAuth) -> list[str | None]:
    return [oauth.token_url, oauth.authorize_url, oauth.device_url, oauth.revoke_url]


class TestPresets:
    @pytest.mark.parametrize("how", [{"provider": "gmail"}, {"provider": "google"}, {"preset": "google"}])
    def test_google_has_its_documented_addresses(self, how: dict[str, str]) -> None:
        oauth = oauth_of(how.get("provider"), **{key: value for key, value in how.items() if key == "preset"})
        assert addresses(oauth) == [
            "https://oauth2.googleapis.com/token",
            "https://accounts.google.com/o/oauth2/v2/auth",
            "https://oauth2.googleapis.com/device/code",
            "https://oauth2.googleapis.com/revoke",
        ]
        assert (oauth.scope, oauth.grant) == ("https://mail.google.com/", "refresh_token")
        assert oauth.authorize_extra["access_type"] == "offline"

    @pytest.mark.parametrize("provider", ["outlook", "office365", "microsoft365", "hotmail"])
    @pytest.mark.parametrize("tenant", [None, "consumers", "00000000-0000-0000-0000-000000000000"])
    def test_microsoft_has_its_documented_addresses_with_the_tenant(self, tenant: str | None, provider: str) -> None:
        oauth = oauth_of(provider, **({"tenant": tenant} if tenant else {}))
        names = ["token", "authorize", "devicecode"]
        assert addresses(oauth) == [*(MICROSOFT.format(tenant or "common", name) for name in names), None]
        assert oauth.scope == "https://outlook.office.com/SMTP.Send offline_access"
        assert oauth.redirect_host == "localhost"
        assert oauth.authorize_extra == {}

    def test_microsoft_has_another_scope_for_an_application(self) -> None:
        oauth = oauth_of("outlook", grant="client_credentials", client_secret="cs-1234")
        assert oauth.scope == "https://outlook.office365.com/.default"

    @pytest.mark.parametrize("field", ["token_url", "authorize_url", "device_url", "revoke_url", "scope"])
    @pytest.mark.parametrize("preset", PRESETS)
    def test_what_the_config_says_itself_stays(self, preset: str, field: str) -> None:
        own = oauth_of(None, preset=preset, **{field: "https://own.example.com/x"})
        filled = oauth_of(None, preset=preset)
        assert getattr(own, field) == "https://own.example.com/x"
        others = {"token_url", "authorize_url", "device_url", "revoke_url", "scope", "redirect_host"} - {field}
        assert [getattr(own, other) for other in others] == [getattr(filled, other) for other in others]

    def test_a_token_url_of_ones_own_takes_nothing_of_the_provider(self) -> None:
        """Else a login would go to the provider, and its code to somebody else."""
        oauth = oauth_of("gmail", token_url="https://own.example.com/token")
        assert addresses(oauth) == ["https://own.example.com/token", None, None, None]
        assert oauth.scope is None

    def test_a_preset_goes_before_the_providers(self) -> None:
        assert oauth_of("gmail", preset="microsoft").token_url == MICROSOFT.format("common", "token")

    @pytest.mark.parametrize("preset", PRESETS)
    def test_every_address_is_https(self, preset: str) -> None:
        assert all(url.startswith("https://") for url in addresses(oauth_of(None, preset=preset)) if url)

    def test_a_provider_without_oauth_needs_a_token_url(self) -> None:
        with pytest.raises(ConfigError, match=r"oauth\.token_url is missing") as refused:
            oauth_of("fastmail")
        assert "google or microsoft" in refused.value.hint

    def test_every_example_of_the_manual_is_complete(self) -> None:
        texts = [text for text in re.findall(r"^```toml\n(.*?)^```$", PAGE, re.M | re.S) if "auth.oauth]" in text]
        assert len(texts) >= 4
        for text in texts:
            (account,) = check_settings(tomllib.loads(text), Path("/nowhere/config.toml")).accounts.values()
            assert account.smtp.auth.oauth is not None
            assert account.smtp.auth.oauth.token_url
            assert account.smtp.auth.oauth.scope


def refused(problem: str, **auth: Any) -> ConfigError:
    """Why an account with this ``[..smtp.auth]`` is refused; the secrets are not told."""
    with pytest.raises(ConfigError, match=problem) as failed:
        account_with(auth)
    assert failed.value.exit_code == 78
    assert "/nowhere/config.toml: accounts.work.smtp" in failed.value.message
    check_kept_secret(failed.value.message + failed.value.hint, "hunter2hunter2", "at-0123456789", "cs-0123456789")
    return failed.value


TOKEN, PASSWORD, SECRET = "at-0123456789", "hunter2hunter2", "cs-0123456789"
OWN: dict[str, Any] = {"client_id": "c1", "token_url": "https://x.example/token"}


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("oauth_expires_at belongs to no token", {"oauth_expires_at": 1}),
    ("oauth_expires_at belongs to no token", {"oauth_expires_at": 1, "oauth": OWN}),
    ("oauth_expires_at belongs to no token", {"oauth_expires_at": 1, "oauth_token_command": ["x"]}),
    ("oauth_expires_at belongs to no token", {"oauth_expires_at": 1, "password": PASSWORD}),
    *(("oauth_expires_at must be", {"oauth_expires_at": end, "oauth_token": TOKEN}) for end in (-1, "soon", 1.5, True)),
    *((rf"oauth\.{key} must be one of", {"oauth": {**OWN, key: "something"}})
      for key in ("preset", "grant", "redirect_host")),
    *((rf"oauth\.{key} has the wrong type", {"oauth": {**OWN, key: [SECRET]}})
      for key in ("client_secret", "refresh_token")),
]  # fmt: skip


class TestContradictions:
    @pytest.mark.parametrize(("problem", "auth"), REFUSED)
    def test_and_values_of_no_sense_are_refused_unseen(self, problem: str, auth: dict[str, Any]) -> None:
        refused(problem, **auth)

    @pytest.mark.parametrize(
        "auth",
        [
            {"password": PASSWORD, "oauth": OWN},
            {"password_env": "P", "oauth": OWN},
            {"keyring": True, "oauth": OWN},
            {"password": PASSWORD, "oauth_token": TOKEN},
            {"keyring": True, "oauth_token_env": "T"},
            {"oauth_token": TOKEN, "oauth_token_env": "T"},
            {"oauth_token_command": ["x"], "oauth_token_file": "f"},
            {"oauth_token_command": ["x"], "oauth": OWN},
            {"oauth_token": TOKEN, "oauth_token_env": "T", "oauth": OWN},
            {"password": PASSWORD, "oauth_token": TOKEN, "oauth": OWN},
        ],
        ids=lambda auth: " and ".join(auth),
    )
    def test_of_two_logins_are_refused(self, auth: dict[str, Any]) -> None:
        failed = refused(r"accounts\.work\.smtp\.auth has ", **auth)
        for name in auth:
            assert name in failed.message

    @pytest.mark.parametrize("name", ["client_secret", "refresh_token"])
    @pytest.mark.parametrize("other", ["_env", "_command", "_file"])
    def test_of_two_sources_are_refused(self, other: str, name: str) -> None:
        table = {**OWN, name: SECRET, f"{name}{other}": ["x"] if other == "_command" else "x"}
        refused(rf"oauth\.{name}{other} is set, and so is {name}", oauth=table)

    def test_a_client_id_is_needed(self) -> None:
        assert "docs/providers.md" in refused(r"client_id is missing", oauth={"token_url": "https://x.example/"}).hint

    def test_an_application_needs_a_secret(self) -> None:
        refused(r"client_secret is missing", oauth={**OWN, "grant": "client_credentials"})
        for source in ("client_secret", "client_secret_env", "client_secret_file"):
            account_with({"oauth": {**OWN, "grant": "client_credentials", source: "x"}})

    def test_a_misspelt_key_is_refused_without_its_value(self) -> None:
        failed = refused("client_secrte is not a known key", oauth={**OWN, "client_secrte": SECRET})
        assert 'did you mean "client_secret"' in failed.hint

    def test_a_user_is_needed(self) -> None:
        document = {"accounts": {"work": {"from": USER, "smtp": {"host": "h.example", "auth": {"oauth": OWN}}}}}
        with pytest.raises(ConfigError, match=r"smtp\.user is missing"):
            check_settings(document, Path("/nowhere/config.toml"))

    def test_a_user_beyond_ascii_is_refused(self) -> None:
        for auth in ({"oauth": OWN}, {"oauth_token": TOKEN}, {"oauth_token_command": ["x"]}):
            with pytest.raises(ConfigError, match="letters beyond ASCII"):
                account_with(auth, user="öps@example.com")


class TestAddresses:
    @pytest.mark.parametrize("name", ["token_url", "authorize_url", "device_url", "revoke_url"])
    @pytest.mark.parametrize(
        "url",
        [
            "http://login.example.com/token",
            "http://127.0.0.1.example.com/token",
            "http://localhost.example.com/token",
            "http://localhost@login.example.com/token",
            "http://login.example.com\\@localhost/token",
            "http://login.example.com#@localhost/token",
            "http://login.example.com?@localhost/token",
            "http://10.0.0.1/token",
            "http://[::2]/token",
            "http://[::1/token",
            "ftp://localhost/token",
            "file:///etc/passwd",
            "//login.example.com/token",
            "login.example.com/token",
            "https://",
            "https:login.example.com",
            "https://:443/token",
        ],
    )
    def test_where_secrets_would_travel_in_clear_are_refused(self, url: str, name: str) -> None:
        refused(rf"oauth\.{name} is not an https address", oauth={**OWN, name: url})

    @pytest.mark.parametrize(
        "url",
        ["https://login.example.com/t", "HTTPS://LOGIN.example.com/t", "http://127.0.0.1:1/t", "http://localhost/t",
         "http://LOCALHOST:8080/t", "http://[::1]:80/t", "https://127.0.0.1/t"],
    )  # fmt: skip
    def test_under_tls_or_on_this_machine_are_taken(self, url: str) -> None:
        oauth = account_with({"oauth": {**OWN, "token_url": url}}).smtp.auth.oauth
        assert oauth is not None
        assert oauth.token_url == url


class TestWithoutARefreshToken:
    def test_a_login_is_asked_for_and_no_message_touched(self, oauth: OAuthServer, program: Program) -> None:
        with mail_server_of(oauth) as server:
            configure(program, server.port, renewed_by(oauth))
            enqueue(program)
            drain, test = program.call("drain"), program.call("account", "test", "--json")
            assert server.connections == 0
        assert_error(drain, 78, f"there is no token for {USER}", "hint: prx-email account login work")
        assert_error(test, 78, "there is no token", "prx-email account login work", code="config")
        assert oauth.requests == []
        check_untouched(program)

    @pytest.mark.parametrize(
        ("source", "words"),
        [
            ({"refresh_token_env": "NOT_THERE"}, "NOT_THERE is not set"),
            ({"refresh_token_file": "/not/there"}, "No such file"),
            ({"refresh_token_command": ["false"]}, "ended with status 1"),
            ({"refresh_token_command": ["no-such-command"]}, "command not found"),
            ({"refresh_token_command": ["true"]}, "the refresh token is empty"),
            ({"client_secret_command": ["true"], "refresh_token": "rt-1234"}, "the client secret is empty"),
        ],
    )
    def test_from_where_it_should_come_the_config_is_wrong(
        self, source: dict[str, Any], words: str, oauth: OAuthServer
    ) -> None:
        with pytest.raises(ConfigError, match=words) as failed:
            login_of(account_with(renewed_by(oauth, **source)))
        assert f"accounts.work.smtp.auth.oauth.{next(iter(source))}: " in failed.value.message
        assert oauth.requests == []


@pytest.mark.parametrize("name", ["client_secret", "refresh_token"])
def test_a_config_that_others_can_read_must_not_have_a_secret_inside(name: str, program: Program) -> None:
    configure(program, 9, {"oauth": {**OWN, name: SECRET}})
    load_settings(program.config)
    program.config.chmod(0o640)
    with pytest.raises(ReadableByOthers) as failed:
        load_settings(program.config)
    assert failed.value.exit_code == 77
    configure(program, 9, {"oauth": {**OWN, f"{name}_env": "MAIL_SECRET"}})
    program.config.chmod(0o644)
    load_settings(program.config)


def test_settings_never_show_their_secrets() -> None:
    account = account_with({"oauth_token": TOKEN, "oauth": {**OWN, "client_secret": SECRET, "refresh_token": SECRET}})
    check_kept_secret(repr(account) + str(account.smtp.auth), TOKEN, SECRET)
