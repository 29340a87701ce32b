"""Where a password may come from, and that it is never shown on its way."""

from __future__ import annotations

import base64
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prx_email_cli.config import secrets
from prx_email_cli.config.secrets import password_of
from prx_email_cli.config.settings import check_settings
from prx_email_cli.errors import ConfigError, ReadableByOthers
from prx_email_cli.files import is_open
from prx_email_cli.redaction import forget_all, redact, remember

PRINT = "import sys; sys.stdout.write(sys.argv[1])"
SECRETS = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="*<>"), min_size=4, max_size=40
).filter(str.strip)


def password(**auth: Any) -> str | None:
    smtp = {"host": "h.example", "user": "ops", "auth": auth}
    document = {"accounts": {"work": {"from": "a@b.c", "smtp": smtp}}}
    return password_of(check_settings(document, Path("/nowhere/config.toml")).accounts["work"])


def refusal(**auth: Any) -> ConfigError:
    with pytest.raises(ConfigError) as refused:
        password(**auth)
    assert f"accounts.work.smtp.auth.{next(iter(auth))}: " in refused.value.message
    assert refused.value.exit_code == 78
    return refused.value


@pytest.fixture(autouse=True)
def _no_secret_known_before() -> None:
    forget_all()


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.touch(0o600)
    return file


def test_the_password_may_stand_in_the_config_or_not_at_all() -> None:
    assert password(password="pass wörd") == "pass wörd"
    assert password() is None


def test_the_password_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_SECRET", " kept as it is ")
    assert password(password_env="MAIL_SECRET") == " kept as it is "
    monkeypatch.delenv("MAIL_SECRET")
    refused = refusal(password_env="MAIL_SECRET")
    assert "MAIL_SECRET is not set" in refused.message
    assert "cron" in refused.hint


@pytest.mark.parametrize(("content", "expected"), [(b"pw1234", "pw1234"), (b"pw1234\n", "pw1234"),
                                                   (b"pw1234\r\nuser: x\n", "pw1234"), ("pwörd".encode(), "pwörd"),
                                                   (b" pw \n", " pw ")])  # fmt: skip
def test_the_password_may_be_a_files_first_line(secret_file: Path, content: bytes, expected: str) -> None:
    secret_file.write_bytes(content)
    assert password(password_file=str(secret_file)) == expected


def test_the_password_may_be_a_commands_first_line_of_output_which_is_not_shown(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert password(password_command=[sys.executable, "-c", PRINT, "pw1234\nlogin: x\n"]) == "pw1234"
    assert password(password_command=[sys.executable, "-c", "import sys; print(repr(sys.stdin.read()))"]) == "''"
    assert capfd.readouterr() == ("", "")


def test_the_command_is_run_without_a_shell(tmp_path: Path) -> None:
    hostile = f"$HOME; touch {tmp_path}/made `id` * ~"
    assert password(password_command=[sys.executable, "-c", PRINT, hostile]) == hostile
    assert list(tmp_path.iterdir()) == []


def test_a_failing_commands_output_is_not_shown_but_its_complaint_is(capfd: pytest.CaptureFixture[str]) -> None:
    script = "import sys; print('half-a-secret'); sys.stderr.write('locked\\n'); sys.exit(3)"
    refused = refusal(password_command=[sys.executable, "-c", script])
    assert "ended with status 3" in refused.message
    shown = capfd.readouterr()
    assert "half-a-secret" not in refused.message + refused.hint + shown.out + shown.err
    assert shown.err == "locked\n"


def test_a_command_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    assert "command not found: no-such-command" in refusal(password_command=["no-such-command"]).message
    assert f"cannot run {tmp_path}" in refusal(password_command=[str(tmp_path)]).message


def test_a_command_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "COMMAND_TIMEOUT_SECONDS", 0.2)
    script = "import threading; threading.Event().wait()"
    assert "no answer from" in refusal(password_command=[sys.executable, "-c", script]).message


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o666])
def test_a_password_file_that_others_can_read_is_refused(secret_file: Path, mode: int) -> None:
    secret_file.write_text("hunter2secret")
    secret_file.chmod(mode)
    with pytest.raises(ReadableByOthers) as refused:
        password(password_file=str(secret_file))
    assert (refused.value.exit_code, refused.value.hint) == (77, f"chmod 600 {secret_file}")


@pytest.mark.parametrize("place", ["none", "fifo", ".", "/dev/zero", "/dev/null", "/dev/full"])
def test_what_is_no_file_is_refused_and_not_waited_for(place: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    words = "No such file" if place == "none" else f"{tmp_path / place} is not a regular file"
    assert words in refusal(password_file=str(tmp_path / place)).message


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n"])
def test_an_empty_password_is_refused(secret_file: Path, content: bytes) -> None:
    secret_file.write_bytes(content)
    assert "the password is empty" in refusal(password_file=str(secret_file)).message
    script = f"import sys; sys.stdout.buffer.write({content!r})"
    assert "the password is empty" in refusal(password_command=[sys.executable, "-c", script]).message


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"a\rb1234", "line break or NUL"), (b"a\0b1234", "line break or NUL"), (b"\xff\xfeb1234", "not UTF-8")],
)
def test_a_password_that_is_no_line_of_text_is_refused_unseen(secret_file: Path, content: bytes, words: str) -> None:
    secret_file.write_bytes(content)
    refused = refusal(password_file=str(secret_file))
    assert words in refused.message
    assert "b1234" not in refused.message


@settings(max_examples=150, deadline=None)
@given(SECRETS)
def test_a_known_secret_is_masked_in_every_form(secret: str) -> None:
    remember(secret)
    encoded = base64.b64encode(secret.encode()).decode()
    for form in (secret, encoded, encoded.rstrip("="), quote(secret), quote(secret, safe=""), repr(secret)[1:-1]):
        shown = redact(f"before <{form}> after")
        assert form not in shown
        assert "***" in shown


def test_what_password_of_returns_is_masked_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAIL_SECRET", "correct horse/battery")
    password(password_env="MAIL_SECRET")
    for shown in ("correct horse/battery", "correct%20horse/battery", "correct%20horse%2Fbattery"):
        assert redact(f"535 no such password: {shown}") == "535 no such password: ***"


def test_the_longer_of_two_secrets_is_masked_whole() -> None:
    remember("overlap")
    remember("overlapping-secret")
    assert redact("it is overlapping-secret") == "it is ***"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to groups")
@pytest.mark.parametrize(
    ("file_mode", "directory_mode", "refused"),
    [(0o640, 0o750, False), (0o600, 0o700, False), (0o660, 0o750, True), (0o644, 0o750, True), (0o640, 0o755, True),
     (0o640, 0o770, True), (0o640, 0o700, True)],
)  # fmt: skip
def test_root_may_let_the_one_group_that_its_directory_is_for_read_a_secret(
    secret_file: Path, file_mode: int, directory_mode: int, refused: bool
) -> None:
    group = 64_100
    secret_file.write_text("hunter2secret")
    os.chown(secret_file, 0, group)
    secret_file.chmod(file_mode)
    os.chown(secret_file.parent, 0, group)
    secret_file.parent.chmod(directory_mode)
    assert is_open(secret_file, secret_file.stat()) is refused
    os.chown(secret_file, 0, group + 1)
    assert is_open(secret_file, secret_file.stat()) is (file_mode != 0o600)
