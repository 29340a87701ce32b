"""``account set-password``: from a pipe or from hidden typing into the keyring, and nowhere else."""

from pathlib import Path

import pytest
import tomli_w

from ...conftest import COMMAND, Program
from ...support.scripted import ScriptedServer
from ...support.terminal import CTRL_C, CTRL_D, Terminal
from ..outside import assert_error, shell
from .field import USER, write_config

SECRET = "correct horse % battery ü "
SET = ("account", "set-password")


@pytest.fixture
def account(owner: Program) -> Program:
    """An account whose password lies in the keyring, but does not yet."""
    with ScriptedServer() as server:  # its port is of no use
        write_config(owner, server, {"keyring": True})
    return owner


def assert_works_with(owner: Program, password: str) -> None:
    """The account logs in with *password* and with no other."""
    with ScriptedServer(auth={USER: password}) as server:
        write_config(owner, server, {"keyring": True})
        answer = owner.run("account", "test")
        assert answer.status == 0, answer
        assert password.strip() not in answer.out + answer.err


def keyring_files(owner: Program) -> list[Path]:
    """What the keyring has written."""
    return [file for file in (owner.home / ".local").rglob("*") if file.is_file()]


def assert_nothing_stored(owner: Program) -> None:
    """The keyring was not even opened for writing."""
    assert keyring_files(owner) == []


class TestPipedIn:
    @pytest.mark.parametrize(
        "text", [f"{SECRET}\n", SECRET, f"{SECRET}\r\n", f"{SECRET}\nlogin: somebody\n"], ids=range(4)
    )
    def test_the_first_line_is_the_password(self, text: str, account: Program) -> None:
        before = account.config.read_bytes()
        answer = account.run(*SET, text=text)
        assert (answer.status, answer.out) == (0, ""), answer
        assert "horse" not in answer.err
        assert account.config.read_bytes() == before
        assert_works_with(account, SECRET)

    def test_the_answer_in_json_names_the_keyring(self, account: Program) -> None:
        answer = account.run(*SET, "--json", text=f"{SECRET}\n")
        assert (answer.status, answer.err, answer.data["account"]) == (0, "", "work"), answer
        assert "Plaintext" in answer.data["keyring"]
        assert "horse" not in answer.out

    def test_a_new_one_takes_the_place_of_the_old(self, account: Program) -> None:
        for password in ("old", "new"):
            assert account.run(*SET, text=f"{password}\n").status == 0
        assert_works_with(account, "new")

    @pytest.mark.parametrize("text", ["", "\n", "\r\n", "\nsecond line\n", "a\0b\n"], ids=repr)
    def test_what_is_no_password_is_refused(self, text: str, account: Program) -> None:
        assert_error(account.run(*SET, text=text), 65, "hint: ")
        assert_nothing_stored(account)

    def test_a_stdin_that_is_closed_is_refused(self, account: Program) -> None:
        answer = shell(account, "exec prx-email account set-password <&-")
        assert_error(answer, 66 if answer.status == 66 else 65)
        assert_nothing_stored(account)

    def test_bytes_that_are_no_text_are_refused(self, account: Program) -> None:
        answer = shell(account, r"printf '\377\376\n' | prx-email account set-password")
        assert_error(answer, 65, "UTF-8")
        assert_nothing_stored(account)


class TestOnATerminal:
    def test_typing_is_hidden(self, account: Program) -> None:
        with Terminal([*COMMAND, *SET], env=account.environment, cwd=account.home) as terminal:
            terminal.answer(f"Password of {USER}", SECRET)
            assert terminal.end() == 0
            assert ("horse" in terminal.screen, "stored in" in terminal.screen) == (False, True)
        assert_works_with(account, SECRET)

    def test_an_empty_answer_is_asked_again(self, account: Program) -> None:
        with Terminal([*COMMAND, *SET], env=account.environment, cwd=account.home) as terminal:
            terminal.answer("Password", "")
            terminal.answer("Password", "at last")
            assert terminal.end() == 0
        assert_works_with(account, "at last")

    @pytest.mark.parametrize("key", [CTRL_C, CTRL_D], ids=["Ctrl-C", "Ctrl-D"])
    def test_giving_up_stores_nothing(self, key: str, account: Program) -> None:
        with Terminal([*COMMAND, *SET], env=account.environment, cwd=account.home) as terminal:
            assert terminal.give_up("Password of", key) != 0
            assert "Traceback" not in terminal.screen
        assert_nothing_stored(account)


class TestTheKeyring:
    @pytest.mark.parametrize("auth", [{"password": "p"}, {"password_command": ["pass"]}, {}], ids=str)
    def test_that_the_account_does_not_use_is_not_written(
        self, auth: dict[str, object], owner: Program, mail: ScriptedServer
    ) -> None:
        write_config(owner, mail, auth)
        assert_error(owner.run(*SET, "--json", text=f"{SECRET}\n"), 78, "keyring = true", "work", code="config")
        assert_nothing_stored(owner)

    @pytest.mark.parametrize("backend", ["keyring.backends.fail.Keyring", "no_such_module.Keyring"])
    def test_that_does_not_work_here_is_78_and_names_other_ways(self, backend: str, account: Program) -> None:
        account.environment["PYTHON_KEYRING_BACKEND"] = backend
        for arguments in (SET, ("account", "logout")):
            answer = account.run(*arguments, "--json", text=f"{SECRET}\n")
            assert_error(answer, 78, "keyring", code="config")
            assert "horse" not in answer.out + answer.err
        tried = account.run("account", "test", "--json")
        assert (tried.status, tried.json["error"]["code"]) == (78, "config"), tried
        assert "password_file" in tried.json["error"]["hint"]

    def test_has_a_password_for_each_account_on_the_same_login(self, owner: Program) -> None:
        smtp = {"host": "localhost", "port": 2525, "tls": "none", "user": USER, "auth": {"keyring": True}}
        with ScriptedServer(auth={USER: "two"}) as server:
            accounts = {name: {"smtp": {**smtp, "port": server.port}} for name in ("one", "two")}
            owner.config.write_text(tomli_w.dumps({"default_account": "one", "accounts": accounts}))
            for name in accounts:
                assert owner.run(*SET, name, text=f"{name}\n").status == 0
            assert [owner.run("account", "test", name).status for name in accounts] == [75, 0]
            assert owner.run("account", "logout", "one").status == 0
            assert owner.run("account", "test", "two").status == 0


def test_a_keyring_that_keeps_nothing_is_found_out(account: Program) -> None:
    account.environment["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
    answer = account.run("account", "set-password", "work", "--json", text="correct-horse\n")
    assert (answer.status, answer.json["error"]["code"]) == (78, "config")
    assert "did not keep" in answer.json["error"]["message"]
