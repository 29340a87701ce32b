"""``keyring = true``: the password lies in the system's keyring, and without one nothing happens to the mail."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from typing import Any

import pytest
from keyrings.alt.file import PlaintextKeyring  # type: ignore[import-untyped]

from ..cli.outside import assert_error, stored
from ..conftest import Answer, Program
from ..support.faults import Fault
from ..support.mailhost import MailHost
from ..support.scripted import ScriptedServer

USER, SECRET = "ops@example.com", "correct horse/battery ü秘"
FILE_BACKEND, NO_BACKEND = "keyrings.alt.file.PlaintextKeyring", "keyring.backends.fail.Keyring"
WITHOUT_LIBRARY = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "keyring":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from prx_email_cli.cli.main import main
main()
"""


@pytest.fixture
def keyring_program(program: Program) -> Program:
    """A program whose account takes its password from a keyring in the test's home, which is empty yet."""
    program.environment |= {
        "PYTHON_KEYRING_BACKEND": FILE_BACKEND,
        "XDG_DATA_HOME": str(program.home / "data"),
        "XDG_CONFIG_HOME": str(program.home / "config"),
    }
    configure(program, 9)
    return program


def configure(program: Program, port: int, auth: str = "keyring = true") -> None:
    program.configure(port, smtp=f'user = "{USER}"', auth=auth)


def keep(program: Program, service: str = "prx-email/work", user: str = USER, password: str = SECRET) -> None:
    """Put a password into the keyring, with the keyring library's own means."""
    ring = PlaintextKeyring()
    ring.file_path = str(program.home / "data" / "python_keyring" / ring.filename)
    ring.set_password(service, user, password)


def without_library(program: Program, *arguments: str) -> Answer:
    """Run the command where ``import keyring`` fails."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_LIBRARY, *arguments], env=program.environment, cwd=program.home,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return Answer(done.returncode, done.stdout, done.stderr)


def check_refused(program: Program, *words: str) -> None:
    """The account is not usable for want of a password; no server is asked and no message is touched."""
    with ScriptedServer(auth={USER: SECRET}) as server:
        configure(program, server.port)
        program.send()
        before = stored(program)
        answer = program.run("account", "test", "--json")
        assert_error(answer, 78, "accounts.work.smtp.auth.keyring: ", *words, code="config")
        assert [step["name"] for step in answer.data["steps"]] == ["secret"]
        drain = program.run("drain")
        assert_error(drain, 78, *words)
        assert stored(program) == before
        assert server.connections == 0


class TestAPasswordInTheKeyring:
    def test_logs_in(self, keyring_program: Program) -> None:
        keep(keyring_program)
        with MailHost(users={USER: SECRET}) as host:
            configure(keyring_program, host.port)
            keyring_program.send()
            drain = keyring_program.run("drain")
            assert (drain.status, drain.out, drain.err) == (0, "", "")
            assert [message.user for message in host.messages] == [USER]
            test = keyring_program.run("account", "test")
        assert (test.status, test.err) == (0, "")
        assert "keyring" in test.out
        assert SECRET not in test.out

    def test_is_masked_in_what_a_server_repeats(self, keyring_program: Program) -> None:
        keep(keyring_program)
        with ScriptedServer([Fault("auth", f"535 5.7.8 no: {SECRET}")], auth={USER: "x"}) as server:
            configure(keyring_program, server.port)
            answer = keyring_program.run("account", "test")
        assert answer.status == 75
        assert "535 5.7.8 no: ***" in answer.err
        assert "horse" not in answer.out + answer.err

    def test_is_not_shown_with_the_account(self, keyring_program: Program) -> None:
        keep(keyring_program)
        for option in ((), ("--json",)):
            answer = keyring_program.run("account", "show", *option)
            assert answer.status == 0
            assert "keyring" in answer.out
            assert "horse" not in answer.out

    def test_is_read_anew_by_every_command(self, keyring_program: Program) -> None:
        with MailHost(users={USER: "the new one"}) as host:
            configure(keyring_program, host.port)
            keep(keyring_program)
            assert keyring_program.run("account", "test").status == 75
            keep(keyring_program, password="the new one")
            assert keyring_program.run("account", "test").status == 0

    def test_is_not_looked_for_where_nobody_asked(self, keyring_program: Program) -> None:
        keep(keyring_program)
        with MailHost(users={USER: "another"}) as host:
            for auth in ('password = "another"', 'keyring = false\npassword = "another"'):
                configure(keyring_program, host.port, auth)
                answer = without_library(keyring_program, "account", "test")
                assert (answer.status, answer.err) == (0, "")


class TestNoPassword:
    def test_in_the_keyring_is_told_with_the_command_that_keeps_one(self, keyring_program: Program) -> None:
        check_refused(keyring_program, f"no password for {USER}", "prx-email account set-password work", "cron")

    @pytest.mark.parametrize(
        ("service", "user"),
        [("prx-email/other", USER), ("prx-email/work", "other@example.com")],
    )
    def test_is_taken_from_anybody_elses_entry(self, service: str, user: str, keyring_program: Program) -> None:
        keep(keyring_program, service, user)
        answer = keyring_program.run("account", "test")
        assert answer.status == 78
        assert "no password" in answer.err

    def test_that_is_empty_is_used(self, keyring_program: Program) -> None:
        keep(keyring_program, password="")
        answer = keyring_program.run("account", "test")
        assert answer.status == 78
        assert "the password is empty" in answer.err

    def test_can_be_had_without_a_keyring(self, keyring_program: Program) -> None:
        keyring_program.environment["PYTHON_KEYRING_BACKEND"] = NO_BACKEND
        check_refused(keyring_program, "the keyring does not work here", "password_file or password_command", "cron")

    @pytest.mark.parametrize("backend", ["no_such_module.Keyring", "keyrings.alt.file.NoSuchKeyring"])
    def test_can_be_had_from_a_keyring_that_is_not_installed(self, backend: str, keyring_program: Program) -> None:
        keyring_program.environment["PYTHON_KEYRING_BACKEND"] = backend
        answer = keyring_program.run("account", "test", "--json")
        assert_error(answer, 78, "accounts.work.smtp.auth.keyring: the keyring", code="config")

    @pytest.mark.parametrize("head", ["", "[prx-2Demail_2Fwork]\n"])
    def test_can_be_had_from_a_damaged_keyring_nor_is_it_shown(self, head: str, keyring_program: Program) -> None:
        """What a backend says of its own file may repeat it."""
        keep(keyring_program)
        (file,) = (keyring_program.home / "data").rglob("*.cfg")
        encoded = base64.b64encode(SECRET.encode()).decode()
        file.write_text(f"{head}{encoded}\n")
        answer = keyring_program.run("account", "test", "--json")
        assert encoded not in answer.out + answer.err
        assert_error(answer, 78, "accounts.work.smtp.auth.keyring: the keyring", code="config")

    def test_can_be_had_without_the_library_and_the_extra_is_named(self, keyring_program: Program) -> None:
        keep(keyring_program)
        keyring_program.send()
        before = stored(keyring_program)
        for command in (("account", "test"), ("drain",)):
            answer = without_library(keyring_program, *command)
            assert answer.status == 78
            assert "accounts.work.smtp.auth.keyring: this installation cannot use a keyring" in answer.err
            assert "pip install 'prx-email-cli[keyring]'" in answer.err
        assert stored(keyring_program) == before

    def test_of_one_account_keeps_the_others_from_sending(self, keyring_program: Program) -> None:
        keep(keyring_program, "prx-email/other", "other@example.com")
        with MailHost(users={"other@example.com": SECRET}) as host:
            configure(keyring_program, host.port)
            text = keyring_program.config.read_text()
            other = text[text.index("[accounts.work]") :].replace("accounts.work", "accounts.other")
            other = other.replace(USER, "other@example.com")
            keyring_program.config.write_text(text + other)
            waiting, leaving = keyring_program.send("--account", "work"), keyring_program.send("--account", "other")
            assert keyring_program.run("drain").status == 78
            assert len(host.messages) == 1
        assert keyring_program.show(leaving)["status"] == "sent"
        row: Any = keyring_program.show(waiting)
        assert (row["status"], row["retries"], row["attempts"]) == ("pending", 0, [])


class TestTheConfig:
    @pytest.mark.parametrize("beside", ['password = "x"', 'oauth_token = "x"'])
    def test_has_it_from_exactly_one_place(self, beside: str, program: Program) -> None:
        configure(program, 9, f"keyring = true\n{beside}")
        assert_error(program.run("account", "show"), 78, "smtp.auth", "keyring", beside.split()[0], "exactly one")

    def test_has_a_user_to_look_for(self, program: Program) -> None:
        program.configure(auth="keyring = true")
        assert_error(program.run("account", "show"), 78, "smtp.user", "keyring")

    @pytest.mark.parametrize("value", ['"true"', "1"])
    def test_says_true_or_false(self, value: str, program: Program) -> None:
        configure(program, 9, f"keyring = {value}")
        assert_error(program.run("account", "show"), 78, "smtp.auth.keyring", "true or false")


def test_doctor_tells_of_a_keyring_that_does_not_work(keyring_program: Program) -> None:
    keyring_program.environment["PYTHON_KEYRING_BACKEND"] = NO_BACKEND
    answer = keyring_program.run("doctor", "--json")
    (check,) = (check for check in json.loads(answer.out)["data"]["checks"] if check["name"] == "secret")
    assert (answer.status, check["result"]) == (78, "failed")
    assert "the keyring does not work here" in check["detail"]
