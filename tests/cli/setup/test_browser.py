"""The browser that ``account login`` opens by itself: Python's ``webbrowser``, and what BROWSER names."""

import os
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ...conftest import Program
from ...support.oauth_server import OAuthServer
from .field import Running, address_of, assert_one_object, assert_secret, get

_STAY = """
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
os.dup2(1, 2)
signal.alarm(180)
signal.pause()
"""
_SCRIPT = """
import os, pathlib, signal, sys, urllib.request
here = pathlib.Path(__file__)
here.with_suffix(".argv").write_text("\\0".join(sys.argv[1:]))
here.with_suffix(".pid").write_text(str(os.getpid()))
{before}
urllib.request.build_opener(urllib.request.ProxyHandler({{}})).open(sys.argv[-1], timeout=10).read()
{after}
"""


class Browser:
    """A program that goes where it is told."""

    def __init__(self, owner: Program) -> None:
        self._script = owner.home / "browser.py"
        self._environment = owner.environment

    def install(self, *, before: str = "", after: str = "", how: str = "%s") -> None:
        """Name it in BROWSER; *before* and *after*: Python to run around its one request."""
        self._script.write_text(_SCRIPT.format(before=before, after=after))
        self._environment["BROWSER"] = shlex.join([sys.executable, "-I", str(self._script)]) + f" {how}"

    @property
    def opened(self) -> list[str]:
        """What it was told, [] when it never ran."""
        argv = self._script.with_suffix(".argv")
        return argv.read_text().split("\0") if argv.exists() else []

    def close(self) -> None:
        """End it, should it still run."""
        pid = self._script.with_suffix(".pid")
        if pid.exists() and f"{self._script}\0".encode() in _command_line(int(pid.read_text())):
            os.kill(int(pid.read_text()), signal.SIGKILL)


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.fixture
def browser(owner: Program) -> Iterator[Browser]:
    browser = Browser(owner)
    yield browser
    browser.close()


@pytest.mark.parametrize("how", ["%s", "%s &"], ids=["waited for", "in the background"])
def test_is_opened_with_the_address_and_nothing_else(
    how: str, account: Program, browser: Browser, oauth: OAuthServer
) -> None:
    browser.install(how=how)
    answer = account.run("account", "login")
    assert answer.status == 0, answer
    (url,) = browser.opened
    assert url in answer.err  # for those who have it open elsewhere
    assert_secret(oauth, url, answer.out, answer.err)


def test_is_not_opened_when_told_so(account: Program, browser: Browser) -> None:
    browser.install()
    assert account.run("account", "login", "--no-browser", "--timeout", "1").status == 75
    assert browser.opened == []


@pytest.mark.parametrize("browser", ["/nowhere/no-such-browser", "unfinished ' %s", "false %s", ""], ids=str)
def test_that_cannot_be_opened_leaves_the_address_to_be_opened_by_hand(browser: str, account: Program) -> None:
    account.environment["BROWSER"] = browser
    with Running(account, "account", "login") as login:
        assert get(address_of(login).url).status_code == 200
        assert login.end().status == 0


def test_does_not_write_into_the_answer(account: Program, browser: Browser) -> None:
    """xdg-open's browsers do: "Opening in existing browser session."""
    browser.install(before="print('Opening in existing browser session.', flush=True)")
    answer = account.run("account", "login", "--json")
    assert answer.status == 0, answer
    assert_one_object(answer)


def test_that_stays_open_holds_nothing_up(account: Program, browser: Browser) -> None:
    browser.install(after=_STAY)
    with Running(account, "account", "login") as login:
        assert login.end().status == 0


def test_that_never_gets_there_does_not_outlast_the_timeout(account: Program, browser: Browser) -> None:
    browser.install(before=_STAY)
    with Running(account, "account", "login", "--timeout", "1") as login:
        assert login.end().status == 75


def test_is_opened_by_no_module_of_the_directory_we_are_in(account: Program, oauth: OAuthServer) -> None:
    """It may be anybody's: /tmp, or an archive that was unpacked."""
    (account.home / "webbrowser.py").write_text("open('planted', 'w').close()\n")
    account.environment["BROWSER"] = "true %s"
    with Running(account, "account", "login") as login:
        assert get(address_of(login).url).status_code == 200
        assert login.end().status == 0
    assert not (account.home / "planted").exists()
