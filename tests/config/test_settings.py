"""Loading a config: defaults, what providers and ports imply, and errors that name file, key and fix."""

from __future__ import annotations

from pathlib import Path

import pytest

from prx_email_cli.config import paths
from prx_email_cli.config.edit import write_new_config
from prx_email_cli.config.outbox import OutboxSettings
from prx_email_cli.config.paths import default_config_file, default_outbox_file
from prx_email_cli.config.settings import Account, Settings, load_settings
from prx_email_cli.errors import ConfigError, ReadableByOthers

EXAMPLE = Path(__file__).parents[2] / "config.example.toml"
MINIMAL = '[accounts.work]\nfrom = "ops@example.com"\n[accounts.work.smtp]\nhost = "smtp.example.com"\n'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def load(file: Path, text: str, mode: int = 0o600) -> Settings:
    file.write_text(text)
    file.chmod(mode)
    return load_settings(file)


def account(file: Path, smtp: str, head: str = 'from = "ops@example.com"') -> Account:
    return load(file, f"[accounts.work]\n{head}\n[accounts.work.smtp]\n{smtp}\n").accounts["work"]


def refusal(file: Path, text: str) -> ConfigError:
    with pytest.raises(ConfigError) as refused:
        load(file, text)
    assert refused.value.exit_code == 78
    assert str(file) in refused.value.message
    return refused.value


def test_the_example_config_loads(tmp_path: Path) -> None:
    settings = load(tmp_path / "copy.toml", EXAMPLE.read_text())
    assert settings.accounts
    assert settings.account(None).host


def test_what_is_left_out_has_the_documented_default(file: Path) -> None:
    settings = load(file, MINIMAL)
    outbox, attachments, smtp = settings.outbox, settings.attachments, settings.accounts["work"].smtp
    assert outbox.path == default_outbox_file()
    assert (outbox.base_backoff_seconds, outbox.give_up_after_hours) == (5, 120)
    assert (outbox.on_uncertain, outbox.message_id_domain) == ("retry", "prx-email.local")
    assert attachments.policy.max_size_bytes == 26_214_400
    assert attachments.policy.allowed_content_types == (
        "application/pdf", "image/jpeg", "image/png", "text/plain", "application/zip",
    )  # fmt: skip
    assert (attachments.store.enabled, attachments.store.dir) == (False, None)
    assert (smtp.timeout_seconds, smtp.data_timeout_seconds) == (60, 600)
    assert (smtp.port, smtp.tls, smtp.auth.kinds) == (587, "starttls", [])
    assert settings.accounts["work"].connections == 4


def test_every_key_is_read(file: Path) -> None:
    settings = load(
        file,
        """
        default_account = "b"
        [outbox]
        path = "/tmp/other.db"
        base_backoff_seconds = 7
        give_up_after_hours = 24
        on_uncertain = "hold"
        message_id_domain = "3f2a91bc.prx-email.local"
        [attachments.policy]
        max_size_bytes = 1000
        allowed_content_types = ["text/plain"]
        [attachments.store]
        enabled = true
        dir = "/srv/store"
        [accounts.a]
        provider = "gmail"
        [accounts.a.smtp]
        user = "me@gmail.com"
        [accounts.b]
        from = "Ops <ops@example.com>"
        [accounts.b.smtp]
        host = "smtp.example.com"
        port = 2525
        user = "ops"
        tls = "implicit"
        tls_ca_file = "/etc/ca.pem"
        timeout_seconds = 9
        data_timeout_seconds = 99
        connections = 2
        helo_name = "box.example.com"
        [accounts.b.smtp.auth]
        password = "secret"
        """,
    )
    outbox, smtp = settings.outbox, settings.account(None).smtp
    assert (outbox.path, outbox.base_backoff_seconds, outbox.give_up_after_hours) == (Path("/tmp/other.db"), 7, 24)
    assert (outbox.on_uncertain, outbox.message_id_domain) == ("hold", "3f2a91bc.prx-email.local")
    assert settings.attachments.policy.allowed_content_types == ("text/plain",)
    assert (settings.attachments.store.enabled, settings.attachments.store.dir) == (True, Path("/srv/store"))
    assert (smtp.host, smtp.port, smtp.user, smtp.tls) == ("smtp.example.com", 2525, "ops", "implicit")
    assert (smtp.tls_ca_file, smtp.timeout_seconds, smtp.data_timeout_seconds) == (Path("/etc/ca.pem"), 9, 99)
    assert (smtp.connections, smtp.helo_name, smtp.auth.password) == (2, "box.example.com", "secret")
    assert settings.account("a").sender == "me@gmail.com"


@pytest.mark.parametrize(
    ("provider", "host", "port", "tls"),
    [
        ("gmail", "smtp.gmail.com", 465, "implicit"),
        ("outlook", "smtp.office365.com", 587, "starttls"),
        ("yahoo", "smtp.mail.yahoo.com", 465, "implicit"),
        ("fastmail", "smtp.fastmail.com", 465, "implicit"),
    ],
)
def test_a_provider_fills_host_port_and_tls(file: Path, provider: str, host: str, port: int, tls: str) -> None:
    found = account(file, 'user = "me@example.com"', f'provider = "{provider}"')
    assert (found.host, found.port, found.smtp.tls) == (host, port, tls)


def test_what_is_written_wins_over_the_provider(file: Path) -> None:
    own_port = account(file, 'user = "me@example.com"\nport = 587', 'provider = "gmail"')
    assert (own_port.host, own_port.port, own_port.smtp.tls) == ("smtp.gmail.com", 587, "starttls")
    own_host = account(file, 'user = "me@example.com"\nhost = "relay.example.com"\nport = 465', 'provider = "outlook"')
    assert (own_host.host, own_host.port, own_host.smtp.tls) == ("relay.example.com", 465, "implicit")


def test_a_providers_documented_connection_limit_is_kept(file: Path) -> None:
    assert account(file, 'user = "me@example.com"', 'provider = "outlook"').connections == 3
    assert account(file, 'user = "me@example.com"\nconnections = 10', 'provider = "outlook"').connections == 3
    assert account(file, 'user = "me@example.com"\nconnections = 1', 'provider = "outlook"').connections == 1


@pytest.mark.parametrize(
    ("written", "port", "tls"),
    [
        ("", 587, "starttls"),
        ("port = 465", 465, "implicit"),
        ("port = 587", 587, "starttls"),
        ("port = 25", 25, "starttls"),
        ('tls = "implicit"', 465, "implicit"),
        ('tls = "starttls"', 587, "starttls"),
        ('port = 2465\ntls = "implicit"', 2465, "implicit"),
        ('port = 465\ntls = "starttls"', 465, "starttls"),
    ],
)
def test_port_and_tls_imply_each_other(file: Path, written: str, port: int, tls: str) -> None:
    found = account(file, f'host = "smtp.example.com"\n{written}')
    assert (found.port, found.smtp.tls) == (port, tls)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_clear_text_is_allowed_on_loopback(file: Path, host: str) -> None:
    assert account(file, f'host = "{host}"\nport = 25\ntls = "none"').smtp.tls == "none"


@pytest.mark.parametrize("host", ["smtp.example.com", "10.0.0.1", "localhost.example.com", "0.0.0.0"])
def test_clear_text_elsewhere_needs_consent(file: Path, host: str) -> None:
    text = f'{MINIMAL.replace("smtp.example.com", host)}port = 25\ntls = "none"\n'
    refused = refusal(file, text)
    assert "accounts.work.smtp.tls" in refused.message
    assert "allow_plaintext" in refused.hint
    assert load(file, text + "allow_plaintext = true\n").accounts["work"].smtp.tls == "none"


@pytest.mark.parametrize("second", ['password_env = "X"', 'password_command = ["x"]', 'password_file = "x"'])
def test_two_secrets_are_refused(file: Path, second: str) -> None:
    text = f'{MINIMAL}user = "ops"\n[accounts.work.smtp.auth]\npassword = "hunter2secret"\n{second}\n'
    refused = refusal(file, text)
    assert "accounts.work.smtp.auth has password and password_" in refused.message
    assert "exactly one" in refused.hint
    assert "hunter2secret" not in refused.message + refused.hint


def test_from_is_the_user_when_that_is_an_address(file: Path) -> None:
    assert account(file, 'host = "h.example"\nuser = "me@example.com"', "").sender == "me@example.com"


@pytest.mark.parametrize(
    ("text", "key", "nearest"),
    [
        ("acounts = 1\n" + MINIMAL, "acounts", "accounts"),
        (MINIMAL + '[outbox]\npaht = "x"\n', "outbox.paht", "path"),
        (MINIMAL + "prot = 465\n", "accounts.work.smtp.prot", "port"),
        (MINIMAL + "[accounts.work.smtp.auth]\npasword = 'x'\n", "accounts.work.smtp.auth.pasword", "password"),
        (MINIMAL + "[attachments.polcy]\n", "attachments.polcy", "policy"),
        (MINIMAL + "timeout_second = 1\n", "accounts.work.smtp.timeout_second", "timeout_seconds"),
        ('[accounts.work]\nform = "a@b.c"\n', "accounts.work.form", "from"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(file: Path, text: str, key: str, nearest: str) -> None:
    refused = refusal(file, text)
    assert f"{key} is not a known key" in refused.message
    assert refused.hint == f'did you mean "{nearest}"?'


def test_an_unknown_key_that_resembles_nothing_is_answered_with_all_known_ones(file: Path) -> None:
    assert "default_account" in refusal(file, "zzzzzz = 1\n" + MINIMAL).hint


@pytest.mark.parametrize(
    ("addition", "key", "fix"),
    [
        ('port = "587"', "accounts.work.smtp.port", "port = 10"),
        ("port = true", "accounts.work.smtp.port", "port = 10"),
        ("port = 587.0", "accounts.work.smtp.port", "port = 10"),
        ("user = 5", "accounts.work.smtp.user", 'user = "text"'),
        ('allow_plaintext = "yes"', "accounts.work.smtp.allow_plaintext", "allow_plaintext = true"),
        ("tls_ca_file = 1", "accounts.work.smtp.tls_ca_file", "tls_ca_file ="),
        ("[accounts.work.smtp.auth]\npassword_command = 'pass x'", "accounts.work.smtp.auth.password_command", '["'),
        ("[accounts.work.smtp.auth]\npassword_command = []", "accounts.work.smtp.auth.password_command", '["'),
        ("auth = 1", "accounts.work.smtp.auth", "[accounts.work.smtp.auth]"),
        ('tls = "ssl"', "accounts.work.smtp.tls", "implicit, starttls, none"),
        ("[outbox]\non_uncertain = 'drop'", "outbox.on_uncertain", "retry, hold"),
        ("port = 0", "accounts.work.smtp.port", "from 1 to 65535"),
        ("port = 65536", "accounts.work.smtp.port", "from 1 to 65535"),
        ("timeout_seconds = 0", "accounts.work.smtp.timeout_seconds", "from 1"),
        ("[outbox]\nbase_backoff_seconds = -5", "outbox.base_backoff_seconds", "from 1"),
        ('helo_name = "a\\r\\nb"', "accounts.work.smtp.helo_name", "line breaks"),
        ('user = "a\\u0000b"', "accounts.work.smtp.user", "control character"),
        ('user = ""', "accounts.work.smtp.user", "leave the key out"),
        ("[attachments.policy]\nallowed_content_types = [1]", "attachments.policy.allowed_content_types", '["'),
        ("helo_name = 5", "accounts.work.smtp.helo_name", 'helo_name = "text"'),
        ("[outbox]\ngive_up_after_hours = -1", "outbox.give_up_after_hours", "1 or more"),
        ("[outbox]\nmessage_id_domain = 'a b>'", "outbox.message_id_domain", ""),
        ("[outbox]\nurl = 'mysql://me:secret@host/db'", "outbox.url", "postgresql://"),
        ("[outbox]\npath = 'o.db'\nurl = 'postgresql://host/db'", "outbox.url", "exactly one"),
        ("[outbox]\nurl = 'postgresql://h/d'\npassword_env = 'A'\npassword_file = 'b'", "outbox.password_file", "one"),
        ("[outbox]\nothers_wait_seconds = -1", "outbox.others_wait_seconds", "0 or more"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key_and_the_fix(file: Path, addition: str, key: str, fix: str) -> None:
    refused = refusal(file, MINIMAL + addition + "\n")
    assert f": {key} " in refused.message
    assert fix in refused.message + refused.hint


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[accounts.work]\nfrom = "a@b.c"\n[accounts.work.smtp]\nhost = ""\n', "accounts.work.smtp.host is empty"),
        ('[accounts.work]\nfrom = "a@b.c"\n', "accounts.work.smtp.host is missing"),
        (MINIMAL.replace("ops@example.com", "nobody"), "accounts.work.from"),
        (MINIMAL.replace("ops@example.com", "a@b@c.org"), "accounts.work.from"),
        (MINIMAL.replace("ops@example.com", "Ops <ops@example.com"), "accounts.work.from"),
        ("", "no account is configured"),
        ("accounts = 5", "accounts must be a table"),
        ("[accounts]\nwork = 5", "accounts.work must be a table"),
        ('[accounts.work]\nprovider = "gmial"\n', "accounts.work.provider must be one of"),
        (MINIMAL + '[accounts.work.smtp.auth]\npassword_env = "X"\n', "accounts.work.smtp.user is missing"),
        ('[accounts.work.smtp]\nhost = "h.example"\nuser = "me"\n', "accounts.work.from is missing"),
        ("this is not toml", "not valid TOML"),
        (MINIMAL + MINIMAL, "not valid TOML"),
        ("a = ", "not valid TOML"),
        ("\0", "not valid TOML"),
        ('default_account = "home"\n' + MINIMAL, "there is no account 'home'"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(file: Path, text: str, says: str) -> None:
    refused = refusal(file, text)
    assert says in refused.message
    assert refused.hint


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("password = 271828182", "accounts.work.smtp.auth.password has the wrong type"),
        ('password = "271828182', "line 6"),
    ],
)
def test_a_secret_in_a_broken_line_is_not_shown(file: Path, line: str, says: str) -> None:
    refused = refusal(file, f"{MINIMAL}[accounts.work.smtp.auth]\n{line}\n")
    assert says in refused.message
    assert "271828" not in refused.message + refused.hint


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('url = ["postgresql://u:271828182@h/db"]', "outbox.url has the wrong type"),
        ('path = "postgresql://u:271828182@h/db"', "outbox.path is a URL, and must be a path"),
        ('url = "mysql://u:271828182@h/db"', "outbox.url does not begin with postgresql://"),
    ],
)
def test_a_url_in_a_wrong_place_is_not_shown(file: Path, line: str, says: str) -> None:
    refused = refusal(file, f"[outbox]\n{line}\n{MINIMAL}")
    assert says in refused.message
    assert "271828" not in refused.message + refused.hint


def test_two_databases_never_have_one_name() -> None:
    urls = ("postgresql://u@/db?host=/one", "postgresql://u@/db?host=/two", "postgresql://?service=one",
            "postgresql://?service=two", "postgresql://u@h/db", "postgresql://u@h/db?port=6432")  # fmt: skip
    names = [OutboxSettings(url=url).name for url in urls]
    assert names == list(urls)
    with_more = OutboxSettings(url="postgresql://u:secret@h/db?sslmode=require&host=/s&password=secret")
    assert with_more.name == "postgresql://u@h/db?host=/s"
    assert "secret" not in repr(with_more)


def test_a_file_that_is_not_there_not_text_or_not_a_file_is_refused(file: Path) -> None:
    with pytest.raises(ConfigError, match="no such config file") as missing:
        load_settings(file)
    assert "prx-email init" in missing.value.hint
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_settings(file)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(file.parent)


def test_which_account_is_asked_when_there_are_several_and_no_default(file: Path) -> None:
    two = MINIMAL + MINIMAL.replace("work", "home")
    with pytest.raises(ConfigError, match="no default_account") as refused:
        load(file, two).account(None)
    assert "work, home" in refused.value.hint
    assert load(file, 'default_account = "home"\n' + two).account(None).name == "home"
    assert load(file, MINIMAL).account(None).name == "work"


def test_relative_paths_are_relative_to_the_config(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    settings = load(file, '[outbox]\npath = "data/outbox.db"\n' + MINIMAL + 'tls_ca_file = "ca.pem"\n')
    assert settings.outbox.path == file.parent / "data/outbox.db"
    assert settings.accounts["work"].smtp.tls_ca_file == file.parent / "ca.pem"


def test_a_tilde_is_the_home_directory(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    settings = load(file, '[outbox]\npath = "~/mail/outbox.db"\n' + MINIMAL)
    assert settings.outbox.path == Path("/home/somebody/mail/outbox.db")
    monkeypatch.setenv("PRX_EMAIL_CONFIG", "~/c.toml")
    assert default_config_file() == Path("/home/somebody/c.toml")


def test_the_systems_config_is_for_those_who_may_read_it_and_have_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, system = tmp_path / "own/prx-email/config.toml", tmp_path / "system.toml"
    monkeypatch.setattr(paths, "SYSTEM_CONFIG", system)
    monkeypatch.delenv("PRX_EMAIL_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "own"))
    assert default_config_file() == own
    system.write_text("")
    assert default_config_file() == system
    own.parent.mkdir(parents=True)
    own.symlink_to("nowhere")  # a person sees to it what that is to be
    assert default_config_file() == own
    own.unlink()
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    monkeypatch.setenv("HOME", "")
    assert default_config_file() == system
    system.unlink()
    with pytest.raises(ConfigError):
        default_config_file()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o666, 0o660, 0o777])
def test_a_config_with_a_secret_that_others_can_read_is_refused(file: Path, mode: int) -> None:
    text = MINIMAL + 'user = "ops"\n[accounts.work.smtp.auth]\npassword = "hunter2secret"\n'
    with pytest.raises(ReadableByOthers) as refused:
        load(file, text, mode)
    assert (refused.value.exit_code, refused.value.hint) == (77, f"chmod 600 {file}")
    assert "hunter2secret" not in refused.value.message
    settings = load(file, text, 0o400)
    assert settings.accounts["work"].smtp.auth.password == "hunter2secret"
    assert "hunter2secret" not in repr(settings)
    by_all = load(file, text.replace('password = "', 'password_env = "'), 0o644)
    assert by_all.accounts["work"].smtp.auth.kinds == ["password_env"]


def test_a_new_config_is_private_from_the_start_and_never_overwrites(tmp_path: Path) -> None:
    file = tmp_path / "new" / "config.toml"
    document = {"accounts": {"work": {"from": "a@b.c", "smtp": {"host": "h.example"}}}}
    write_new_config(file, document)
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert load_settings(file).accounts["work"].host == "h.example"
    with pytest.raises(ConfigError, match="exists already; nothing was changed"):
        write_new_config(file, {})
    assert load_settings(file).accounts["work"].host == "h.example"
