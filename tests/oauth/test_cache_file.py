"""The file that tokens are kept in: private, whole at every instant, and no trap for whoever reads it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prx_email_cli.config.settings import Account
from prx_email_cli.errors import ConfigError, ReadableByOthers
from prx_email_cli.oauth.tokens import TokenCache
from prx_email_cli.smtp.credentials import TokenLogin
from prx_email_cli.smtp.failure import SessionFailed

from ..cli.outside import assert_error, shell
from ..conftest import Program
from ..support.oauth_server import OAuthServer
from .field import (
    USER,
    account_table,
    account_with,
    cache_of,
    check_kept_secret,
    check_untouched,
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
    told,
)

OLD = "at-that-was-kept-0123456789"
GOOD: dict[str, Any] = {
    "access_token": OLD, "expires_at": 9_999_999_999, "refresh_token": None, "scope": None,
}  # fmt: skip
DYING = Path(__file__).with_name("dying.py")


@pytest.fixture
def account(oauth: OAuthServer) -> Account:
    """An account that can renew its tokens."""
    return account_with(renewed_by(oauth, given_by(oauth).refresh))


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o7777


class TestItsPlace:
    def test_is_the_state_directory_and_nobody_elses_to_read(
        self, account: Account, tmp_path: Path, oauth: OAuthServer
    ) -> None:
        token = TokenLogin(account).secret()
        (file,) = (tmp_path / ".local/state/prx-email/tokens").glob("*.json")
        assert json.loads(file.read_text())["access_token"] == token
        assert (mode_of(file), mode_of(file.parent), file.stat().st_nlink) == (0o600, 0o700, 1)
        assert all(mode_of(other) == 0o600 for other in file.parent.iterdir())
        assert leftovers(tmp_path) == []

    def test_is_as_private_under_any_umask(self, oauth: OAuthServer, program: Program) -> None:
        with mail_server_of(oauth) as server:
            configure(program, server.port, renewed_by(oauth, given_by(oauth).refresh))
            assert shell(program, "umask 0; prx-email account test").status == 0
        for path in (program.home / ".local/state/prx-email/tokens").iterdir():
            assert (mode_of(path), mode_of(path.parent)) == (0o600, 0o700)

    def test_follows_xdg(self, account: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
        TokenLogin(account).secret()
        assert list((tmp_path / "elsewhere/prx-email/tokens").glob("*.json"))

    def test_is_the_same_for_two_accounts_of_the_same_login(self, oauth: OAuthServer, program: Program) -> None:
        auth = renewed_by(oauth, given_by(oauth).refresh)
        with mail_server_of(oauth) as one, mail_server_of(oauth) as two:
            tables = {"one": account_table(auth, one.port), "two": account_table(auth, two.port)}
            first, second = configure_accounts(program, tables).values()
            assert cache_of(first).file == cache_of(second).file
            for name in tables:
                enqueue(program, 1, name)
            assert program.call("drain").status == 0
            assert (len(one.messages), len(two.messages)) == (1, 1)
        assert oauth.count("refresh_token") == 1

    @pytest.mark.parametrize(
        "change",
        [{"user": "other@example.com"}, {"client_id": "c2"}, {"token_url": "https://x.example/t"}, {"scope": "other"},
         {"grant": "client_credentials", "client_secret": "cs-1234"}],
        ids=str,
    )  # fmt: skip
    def test_is_another_one_for_another_login(self, change: dict[str, str], oauth: OAuthServer) -> None:
        of_oauth = {key: value for key, value in change.items() if key != "user"}
        other = account_with(renewed_by(oauth, "rt-1234", **of_oauth), user=change.get("user", USER))
        assert cache_of(other).file != cache_of(account_with(renewed_by(oauth, "rt-1234"))).file

    def test_does_not_depend_on_where_a_secret_comes_from(
        self, oauth: OAuthServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MAIL_TOKEN", "rt-1234")
        named = account_with({"oauth": {**renewed_by(oauth)["oauth"], "refresh_token_env": "MAIL_TOKEN"}})
        inline = account_with(renewed_by(oauth, "rt-1234"))
        assert cache_of(named).file == cache_of(inline).file

    @settings(max_examples=100, deadline=None)
    @given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=400))
    def test_is_in_its_directory_whatever_the_user_is_called(self, user: str) -> None:
        auth = {"oauth": {"client_id": "c", "token_url": "https://x.example/t", "refresh_token": "rt-1234"}}
        file = TokenCache(account_with(auth, user=user), None, Path("/state")).file
        assert file.parent == Path("/state/tokens")
        assert len(file.name.encode()) < 200
        assert not set(file.name) & set("/\\ '\"$`*?;|&<>()")


SPOILT: dict[str, bytes] = {
    "nothing": b"",
    "half of it": json.dumps(GOOD).encode()[:50],
    "zeros": bytes(65_536),
    "no text": b"\xff\xfe\x80",
    "null": b"null",
    "a list": b"[]",
    "another object": b'{"access_token": "at-0123456789"}',
    "lists in lists": b"[" * 100_000,
    "objects in objects": b'{"a":' * 50_000,
    "two megabytes": json.dumps({**GOOD, "scope": "x" * 2_000_000}).encode(),
    "a number of 9,000 digits": json.dumps(GOOD).replace("9999999999", "9" * 9000).encode(),
    "a token that is a number": json.dumps({**GOOD, "access_token": 5}).encode(),
    "an empty token": json.dumps({**GOOD, "access_token": ""}).encode(),
    "a token with ^A": json.dumps({**GOOD, "access_token": f"{OLD}\x01\x01user=root"}).encode(),
    "a token with a space": json.dumps({**GOOD, "access_token": f"{OLD} x"}).encode(),
    "a token of half a character": json.dumps({**GOOD, "access_token": f"{OLD}\ud800"}).encode(),
    "an end in words": json.dumps({**GOOD, "expires_at": "never"}).encode(),
    "an end without end": json.dumps(GOOD).replace("9999999999", "1e999").encode(),
    "an end that is no number": json.dumps(GOOD).replace("9999999999", "NaN").encode(),
    "a refresh token that is a list": json.dumps({**GOOD, "refresh_token": ["rt-1"]}).encode(),
}


@pytest.mark.parametrize("name", SPOILT)
def test_what_this_program_did_not_write_counts_as_nothing(name: str, account: Account, oauth: OAuthServer) -> None:
    file = keep(account, OLD)
    file.write_bytes(SPOILT[name])
    assert TokenLogin(account).secret() == oauth.issued[-1]
    assert oauth.count("refresh_token") == 1
    tokens = kept(account)
    assert tokens is not None
    assert tokens.access_token == oauth.issued[-1]


Spoil = Callable[[Path], object]


def _into_link(file: Path) -> None:
    file.rename(file.with_name("target"))
    file.symlink_to("target")


def _into_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()


def _into_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


def _parent_into_file(levels: int) -> Spoil:
    def spoil(file: Path) -> None:
        parent = file.parents[levels]
        parent.rename(parent.with_name("away"))
        parent.touch(0o600)

    return spoil


TRAPS: dict[str, tuple[Spoil, int]] = {
    "readable by the group": (lambda file: file.chmod(0o640), 77),
    "readable by others": (lambda file: file.chmod(0o604), 77),
    "writable by others": (lambda file: file.chmod(0o602), 77),
    "a symbolic link": (_into_link, 78),
    "a directory": (_into_directory, 78),
    "a FIFO": (_into_fifo, 78),
    "a file in place of its directory": (_parent_into_file(0), 78),
    "a file in place of prx-email's": (_parent_into_file(1), 78),
    "a file in place of the state directory": (_parent_into_file(2), 78),
}


def test_in_a_directory_that_others_can_change_nobody_is_asked_for_a_first_token(
    account: Account, oauth: OAuthServer
) -> None:
    """What comes would be theirs, and a provider that rotates gives it once."""
    place = cache_of(account).file.parent
    place.mkdir(parents=True)
    place.chmod(0o777)
    login = TokenLogin(account)
    with pytest.raises(ReadableByOthers) as refused:
        login.check_place()
    assert (refused.value.exit_code, str(place) in refused.value.message) == (77, True)
    with pytest.raises(SessionFailed, match="writable by others"):
        login.secret()
    assert ([file for file in place.iterdir() if file.suffix != ".lock"], oauth.requests) == ([], [])


@pytest.mark.parametrize("ends_in", [3600, 0], ids=["good", "expired"])
@pytest.mark.parametrize("name", TRAPS)
def test_a_file_that_cannot_be_trusted_is_refused_before_anybody_is_asked(
    name: str, ends_in: int, account: Account, oauth: OAuthServer
) -> None:
    spoil, status = TRAPS[name]
    file = keep(account, OLD, ends_in=ends_in)
    spoil(file)
    with pytest.raises((ConfigError, ReadableByOthers)) as refused:
        TokenLogin(account).secret()
    assert refused.value.exit_code == status
    assert str(file) in refused.value.message
    assert refused.value.hint
    assert oauth.requests == []
    check_kept_secret(refused.value.message + refused.value.hint, OLD)


@pytest.mark.parametrize(
    "name",
    [
        "readable by others",
        "a directory",
        # a database's flight records are in that directory, too, and told of first
        pytest.param("a file in place of prx-email's", marks=pytest.mark.of_files),
    ],
)
def test_the_commands_say_so_and_touch_no_message(name: str, oauth: OAuthServer, program: Program) -> None:
    spoil, status = TRAPS[name]
    with mail_server_of(oauth) as server:
        file = keep(configure(program, server.port, renewed_by(oauth, given_by(oauth).refresh)), OLD)
        enqueue(program)
        spoil(file)
        drain, test = program.call("drain"), program.call("account", "test", "--json")
        assert server.connections == 0
    assert_error(drain, status, str(file), "hint: ")
    assert_error(test, status, str(file), code="config")
    assert oauth.requests == []
    check_untouched(program)
    check_kept_secret(told(drain) + told(test), OLD)


@pytest.mark.parametrize("name", ["readable by others", "a symbolic link"])
def test_another_accounts_mail_leaves_all_the_same(name: str, oauth: OAuthServer, program: Program) -> None:
    given = given_by(oauth)
    with refusing_every_token() as broken, mail_server_of(oauth) as good:
        tables = {
            "broken": account_table(renewed_by(oauth, given.refresh), broken.port),
            "good": account_table({"oauth_token": given.access}, good.port),
        }
        file = keep(configure_accounts(program, tables)["broken"], OLD)
        TRAPS[name][0](file)
        enqueue(program, 1, "broken")
        enqueue(program, 20, "good")
        assert program.call("drain").status == TRAPS[name][1]
        assert (len(good.messages), broken.connections) == (20, 0)


def _plant(name: str, kind: str) -> Spoil:
    def spoil(file: Path) -> None:
        path = file.with_suffix(name)
        path.unlink(missing_ok=True)
        victim = file.with_name("victim")
        victim.write_text("untouched")
        if kind == "directory":
            path.mkdir()
            (path / "full").touch()
        elif kind == "link":
            path.symlink_to(victim.name)
        else:
            os.mkfifo(path)

    return spoil


def _token_or_failure(account: Account) -> str | SessionFailed:
    try:
        return TokenLogin(account).secret()
    except SessionFailed as failed:
        return failed


@pytest.mark.parametrize("kind", ["directory", "link", "fifo"])
@pytest.mark.parametrize("name", [".new", ".lock"])
def test_what_was_planted_beside_it_is_replaced_or_refused(
    name: str, kind: str, account: Account, oauth: OAuthServer, tmp_path: Path
) -> None:
    file = keep(account, OLD, ends_in=0)
    before = file.read_bytes()
    _plant(name, kind)(file)
    token = _token_or_failure(account)
    if isinstance(token, SessionFailed):
        assert str(file.parent) in token.message
        assert oauth.requests == []
        assert file.read_bytes() == before
    else:
        assert oauth.valid(token) == USER
        assert mode_of(file) == 0o600
        assert not file.is_symlink()
    assert file.with_name("victim").read_text() == "untouched"


class TestADiskThatFails:
    def test_is_found_out_before_the_server_is_asked(self, oauth: OAuthServer, program: Program) -> None:
        """What a server rotates is lost where it cannot be written down."""
        oauth.rotate = True
        with mail_server_of(oauth) as server:
            file = keep(configure(program, server.port, renewed_by(oauth, given_by(oauth).refresh)), OLD, ends_in=0)
            before = file.read_bytes()
            answer = shell(program, "ulimit -f 32; prx-email account test --json")  # 16 or 32 KiB
            assert server.connections == 0
            assert_error(answer, 78, str(file), "File too large", code="config")
            assert oauth.requests == []
            assert (file.read_bytes(), leftovers(program.home)) == (before, [])
            assert program.call("account", "test").status == 0

    def test_while_the_answer_is_written_leaves_the_old_file(self, oauth: OAuthServer, program: Program) -> None:
        oauth.token_bytes = 400_000  # more than the room that was made for it
        with mail_server_of(oauth) as server:
            file = keep(configure(program, server.port, renewed_by(oauth, given_by(oauth).refresh)), OLD, ends_in=0)
            before = file.read_bytes()
            answer = shell(program, "ulimit -f 256; prx-email account test --json")
            assert server.connections == 0
        assert_error(answer, 75, str(file), code="auth")
        assert (file.read_bytes(), leftovers(program.home)) == (before, [])


def test_what_is_written_is_on_the_disk_before_it_has_the_name_and_the_name_afterwards(account: Account) -> None:
    called: list[str] = []

    def note(frame: FrameType, event: str, function: Any) -> None:
        if event == "c_call" and function in (os.fsync, os.rename, os.replace):
            called.append(function.__name__)

    sys.setprofile(note)
    try:
        keep(account, OLD)
    finally:
        sys.setprofile(None)
    assert called == ["fsync", "replace", "fsync"]


class TestKillMinusNine:
    def test_at_any_step_of_a_write_leaves_the_old_file_or_the_new_one(self, program: Program) -> None:
        configure(
            program, 9, {"oauth": {"client_id": "c", "token_url": "https://x.example/t", "refresh_token": "rt-1"}}
        )
        done = subprocess.run(
            [sys.executable, "-W", "error", str(DYING), str(program.config)], env=program.environment, text=True,
            capture_output=True, check=False, timeout=60,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert set(done.stdout.strip()) == {"o", "n"}
        assert done.stdout.strip() == "".join(sorted(done.stdout.strip(), reverse=True))  # never back to the old one
        assert len(done.stdout) > 40
        assert leftovers(program.home) == []

    def test_while_the_server_thinks_keeps_the_old_token_and_the_lock_is_free(
        self, oauth: OAuthServer, program: Program
    ) -> None:
        given = given_by(oauth)
        with mail_server_of(oauth) as server:
            account = configure(program, server.port, renewed_by(oauth, given.refresh))
            file = keep(account, OLD, ends_in=0)
            before = file.read_bytes()
            oauth.hang = True
            process = program.start("account", "test")
            oauth.wait_for(lambda: oauth.requests, timeout=60)
            process.kill()
            process.communicate(timeout=60)
            assert file.read_bytes() == before
            oauth.hang = False
            started = time.monotonic()
            assert program.call("account", "test").status == 0
            assert time.monotonic() - started < 60
        assert leftovers(program.home) == []
