"""``init`` and ``account add`` on a terminal: few questions, each asked until it is answered, and an account tried."""

import re
import shlex
import sys
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from prx_email_cli.config.providers import PROVIDERS

from ...conftest import COMMAND, Program
from ...support.scripted import ScriptedServer
from ...support.terminal import CTRL_C, CTRL_D, Terminal
from .field import USER

SECRET = "correct horse % battery ü"
ADDRESS, NAME, WAY, PASSWORD = "Your address (From)", "Login name", "Way of login", "Password of"
BY_PASSWORD = ((WAY, "password"), (PASSWORD, SECRET))
PORT, TLS = "Port [", "TLS ["
PROVIDER = "Provider, or the host name of your own server"
_REFUSING_BROWSER = """
import sys, urllib.parse, urllib.request
asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(sys.argv[1]).query))
answer = urllib.parse.urlencode({"state": asked["state"], "error": "access_denied"})
urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked["redirect_uri"] + "?" + answer)
"""
WITH_APP_PASSWORD = [name for name, provider in PROVIDERS.items() if "app_password" in provider.logins]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    """A mail server with one user."""
    with ScriptedServer(auth={USER: SECRET}) as server:
        yield server


def here(server: ScriptedServer) -> str:
    """The options with which any provider's server is ours."""
    return f"--host localhost --port {server.port} --tls none"


def at_terminal(owner: Program, command: str) -> Terminal:
    """``prx-email COMMAND`` on a terminal."""
    return Terminal([*COMMAND, *shlex.split(command)], env=owner.environment, cwd=owner.home)


def converse(owner: Program, command: str, *answers: tuple[str, str], status: int = 0) -> str:
    """Answer each question of ``prx-email COMMAND`` in turn, until it ends with *status*; all that was shown."""
    with at_terminal(owner, command) as terminal:
        for question, answer in answers:
            terminal.answer(question, answer)
        assert terminal.end() == status
    assert "horse" not in terminal.screen or "Command" in dict(answers)  # a command is typed to be seen
    return terminal.screen


def written(owner: Program, name: str = "default") -> Any:
    """The account's table, from a file that is its owner's alone."""
    assert owner.config.stat().st_mode & 0o777 == 0o600
    return tomllib.loads(owner.config.read_text())["accounts"][name]


def logins(server: ScriptedServer) -> int:
    """How many AUTHs there were; and no mail was sent with them."""
    verbs = [command.line.split(" ")[0].upper() for command in server.commands]
    assert "MAIL" not in verbs
    return verbs.count("AUTH")


class TestInit:
    def test_asks_for_server_address_and_login_and_tries_them(self, owner: Program, server: ScriptedServer) -> None:
        with at_terminal(owner, f"init --port {server.port} --tls none") as terminal:
            listed = terminal.answer(PROVIDER, "localhost")
            terminal.answer(ADDRESS, f"Ops <{USER}>")
            assert USER in terminal.answer(NAME, "")
            terminal.answer(WAY, "password")
            terminal.answer(PASSWORD, SECRET)
            assert terminal.end() == 0
        assert all(f"  {name} " in listed and provider.title in listed for name, provider in PROVIDERS.items())
        assert "horse" not in terminal.screen
        assert "ok    login" in terminal.screen
        assert written(owner) == {
            "from": f"Ops <{USER}>",
            "smtp": {
                "host": "localhost", "port": server.port, "tls": "none", "user": USER, "auth": {"password": SECRET},
            },
        }  # fmt: skip
        assert logins(server) == 1
        assert owner.run("account", "test").status == 0

    def test_asks_for_no_login_where_there_is_none(self, owner: Program) -> None:
        with ScriptedServer() as server:
            converse(owner, f"init --port {server.port} --tls none", (PROVIDER, "relay"), (ADDRESS, USER))
            assert server.connections == 1
        assert written(owner) == {
            "provider": "relay", "from": USER, "smtp": {"port": server.port, "tls": "none"},
        }  # fmt: skip

    def test_asks_for_no_login_name_that_is_everybodys(self, owner: Program) -> None:
        with ScriptedServer(auth={"apikey": SECRET}) as server:
            with at_terminal(owner, f"init --provider sendgrid {here(server)}") as terminal:
                terminal.answer(ADDRESS, USER)
                asked = terminal.answer(WAY, "")
                terminal.answer(PASSWORD, SECRET)
                assert terminal.end() == 0
            assert logins(server) == 1
        assert NAME not in asked
        assert "user" not in written(owner)["smtp"]

    def test_names_the_address_once_when_it_is_the_login_name_too(self, owner: Program, server: ScriptedServer) -> None:
        converse(
            owner,
            f"init --provider fastmail {here(server)}",
            (ADDRESS, USER),
            (NAME, ""),
            (WAY, ""),
            (PASSWORD, SECRET),
        )
        assert ("from" in written(owner), written(owner)["smtp"]["user"]) == (False, USER)

    def test_keeps_every_letter_of_a_password(self, owner: Program) -> None:
        with ScriptedServer(auth={USER: f" {SECRET} "}) as server:
            converse(owner, f"init --user {USER} {here(server)}", (WAY, "password"), (PASSWORD, f" {SECRET} "))

    def test_can_take_the_password_from_a_variable(self, owner: Program, server: ScriptedServer) -> None:
        owner.environment["MY_PASSWORD"] = SECRET
        screen = converse(
            owner, f"init --user {USER} {here(server)}", (WAY, "env"), ("Name of the variable", "MY_PASSWORD")
        )
        assert written(owner)["smtp"]["auth"] == {"password_env": "MY_PASSWORD"}
        assert "cron" in screen

    def test_can_take_the_password_from_a_command(self, owner: Program, server: ScriptedServer) -> None:
        converse(
            owner,
            f"init --user {USER} {here(server)}",
            (WAY, "command"),
            ("Command", "printf 'unfinished"),
            ("Command", "#'"),
            ("Command", f"printf %s '{SECRET}'"),
        )
        assert written(owner)["smtp"]["auth"] == {"password_command": ["printf", "%s", SECRET]}

    def test_can_put_the_password_into_the_keyring(self, owner: Program, server: ScriptedServer) -> None:
        converse(owner, f"init --user {USER} {here(server)}", (WAY, "keyring"), (PASSWORD, SECRET))
        assert written(owner)["smtp"]["auth"] == {"keyring": True}
        assert "horse" not in owner.config.read_text()

    def test_says_how_to_go_on_when_there_is_no_keyring(self, owner: Program, server: ScriptedServer) -> None:
        owner.environment["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
        screen = converse(owner, f"init --user {USER} {here(server)}", (WAY, "keyring"), (PASSWORD, SECRET), status=78)
        if owner.config.exists():  # then init would only refuse to begin again
            assert "prx-email account set-password default" in screen

    def test_can_log_in_by_oauth_and_says_what_is_left_to_do(self, owner: Program, server: ScriptedServer) -> None:
        (owner.home / "browser.py").write_text(_REFUSING_BROWSER)
        owner.environment["BROWSER"] = shlex.join([sys.executable, "-I", str(owner.home / "browser.py")]) + " %s"
        screen = converse(
            owner,
            f"init --provider gmail --user {USER} {here(server)}",
            (WAY, "oauth"),
            ("client id", "an-id"),
            ("(empty: it has none)", SECRET),
            status=75,
        )
        assert "accounts.google.com" in screen
        assert "prx-email account login default" in screen
        assert written(owner)["smtp"]["auth"] == {"oauth": {"client_id": "an-id", "client_secret": SECRET}}
        assert server.connections == 0

    @pytest.mark.parametrize("provider", WITH_APP_PASSWORD)
    def test_explains_app_passwords_in_two_lines(self, provider: str, owner: Program) -> None:
        with at_terminal(owner, f"init --provider {provider} --user {USER}") as terminal:
            assert terminal.give_up(WAY, CTRL_C) != 0
            before = terminal.screen
        first, second = PROVIDERS[provider].explanation
        assert before.startswith(f"  {first}\n  {second}\n")

    def test_says_what_failed_and_keeps_what_it_wrote(self, owner: Program, server: ScriptedServer) -> None:
        screen = converse(
            owner, f"init --user {USER} {here(server)}", (WAY, "password"), (PASSWORD, "battery staple"), status=75
        )
        assert "535" in screen
        assert "prx-email account test default" in screen
        assert f"--config {owner.config} drain" in screen
        assert "staple" not in screen
        assert written(owner)["smtp"]["auth"] == {"password": "battery staple"}

    def test_asks_nothing_when_there_is_a_config_already(self, owner: Program) -> None:
        owner.config.write_text("# mine\n")
        screen = converse(owner, "init", status=78)
        assert ("Provider" in screen, "account add" in screen) == (False, True)
        assert owner.config.read_text() == "# mine\n"

    def test_asks_nothing_with_json(self, owner: Program) -> None:
        converse(owner, "init --json", status=2)
        assert not owner.config.exists()


class TestAServerOfOnesOwn:
    """No provider tells its port and its TLS."""

    @pytest.mark.parametrize(
        ("answered", "port", "shown", "offered"),
        [
            ("mail.example.com", "", "[587]", "[starttls]"),
            ("mail.example.com", "465", "[587]", "[implicit]"),
            ("192.0.2.7", "2525", "[587]", "[starttls]"),
        ],
    )
    def test_is_asked_for_port_and_tls_with_what_is_usual(
        self, answered: str, port: str, shown: str, offered: str, owner: Program
    ) -> None:
        with at_terminal(owner, "init") as terminal:
            terminal.answer(PROVIDER, answered)
            terminal.answer(f"Port {shown}", port)
            terminal.answer(f"TLS {offered}", "")
            assert terminal.give_up(ADDRESS, CTRL_C) != 0

    @pytest.mark.parametrize("way", ["answer", "option"])
    def test_may_be_given_with_its_port(self, way: str, owner: Program, server: ScriptedServer) -> None:
        place = f"localhost:{server.port}"
        first = ((PROVIDER, place),) if way == "answer" else ()
        command = f"init --user {USER}" + (f" --host {place}" if way == "option" else "")
        screen = converse(owner, command, *first, (TLS, "none"), *BY_PASSWORD)
        assert "Port [" not in screen
        smtp = written(owner)["smtp"]
        assert (smtp["host"], smtp["port"], smtp["tls"]) == ("localhost", server.port, "none")

    def test_is_asked_again_when_the_answers_make_no_sense(self, owner: Program) -> None:
        with at_terminal(owner, "init") as terminal:
            for wrong in ("mail.example.com:0", "mail.example.com:70000", "mail.example.com:smtp", "two words:25"):
                terminal.answer(PROVIDER, wrong)
            terminal.answer(PROVIDER, "mail.example.com")
            for wrong in ("0", "65536", "smtp", "-1", "٣"):
                terminal.answer(PORT, wrong)
            terminal.answer(PORT, "26")
            terminal.answer(TLS, "ssl")
            terminal.answer(TLS, "none")
            assert terminal.give_up(TLS, CTRL_C) != 0
            assert "in clear" in terminal.screen
        assert not owner.config.exists()

    def test_of_a_provider_is_not_asked_for(self, owner: Program) -> None:
        with at_terminal(owner, "init --provider fastmail") as terminal:
            assert terminal.give_up(ADDRESS, CTRL_C) != 0
            assert "Port" not in terminal.screen

    def test_ends_with_the_next_command_and_the_line_of_the_crontab(
        self, owner: Program, server: ScriptedServer
    ) -> None:
        screen = converse(owner, f"init --user {USER} {here(server)}", *BY_PASSWORD)
        (following,) = re.findall(r"^next: prx-email (.+?)\r?$", screen, re.MULTILINE)
        assert f"--config {owner.config} drain" in screen.partition("next: ")[2]
        answer = owner.run(*shlex.split(following))
        assert answer.status == 0, answer
        assert [message.mail_from for message in server.messages] == [USER]


class TestAWrongAnswer:
    def test_to_the_way_of_login_is_asked_again(self, owner: Program, server: ScriptedServer) -> None:
        converse(
            owner, f"init --user {USER} {here(server)}", (WAY, "pasword"), (WAY, ""), (PASSWORD, ""), (PASSWORD, SECRET)
        )

    def test_to_the_address_is_asked_again(self, owner: Program, server: ScriptedServer) -> None:
        with at_terminal(owner, f"init {here(server)}") as terminal:
            for wrong in ("nobody", "", "   ", "a@b@example.com", "a@example.com, b@example.com"):
                terminal.answer(ADDRESS, wrong)
            terminal.answer(ADDRESS, USER)
            terminal.answer(NAME, "")
            terminal.answer(WAY, "password")
            terminal.answer(PASSWORD, SECRET)
            assert terminal.end() == 0

    def test_to_the_login_name_is_asked_again(self, owner: Program, server: ScriptedServer) -> None:
        converse(
            owner,
            f"init --from 'Ops <ops@example.net>' {here(server)}",
            (NAME, "\x16\x07ops"),
            (NAME, USER),
            *BY_PASSWORD,
        )
        assert written(owner)["smtp"]["user"] == USER

    def test_that_is_blank_is_none(self, owner: Program, server: ScriptedServer) -> None:
        converse(owner, f"init --from 'Ops <{USER}>' {here(server)}", (NAME, "   "), *BY_PASSWORD)

    def test_to_the_provider_is_asked_again(self, owner: Program) -> None:
        with at_terminal(owner, "init") as terminal:
            for wrong in ("", "   ", "two words", "http://mail.example.com", "gmial"):
                terminal.answer("rovider", wrong)
            terminal.answer("rovider", "fastmail")
            assert terminal.give_up(ADDRESS, CTRL_C) != 0
        assert not owner.config.exists()

    def test_moves_no_cursor(self, owner: Program, server: ScriptedServer) -> None:
        """Ctrl-V takes the next key as it is: so a paste may bring an escape sequence along."""
        with at_terminal(owner, f"init {here(server)}") as terminal:
            terminal.answer(ADDRESS, "\x16\x1b]0;owned\x16\x07ops@example.com")
            assert terminal.give_up("", CTRL_D) != 0  # whatever it asks next
        assert "owned" in terminal.screen
        assert not any(escape in terminal.screen for escape in ("\x1b]", "\x07"))
        assert not owner.config.exists()


class TestGivingUp:
    @pytest.mark.parametrize("key", [CTRL_C, CTRL_D], ids=["Ctrl-C", "Ctrl-D"])
    @pytest.mark.parametrize("question", [PROVIDER, PORT, TLS, ADDRESS, PASSWORD])
    def test_writes_nothing_and_shows_no_traceback(self, question: str, key: str, owner: Program) -> None:
        answers = {
            PROVIDER: "localhost",
            PORT: "25",
            TLS: "none",
            ADDRESS: USER,
            NAME: "",
            WAY: "password",
            PASSWORD: SECRET,
        }
        with at_terminal(owner, "init") as terminal:
            for asked in answers:
                if asked == question:
                    break
                terminal.answer(asked, answers[asked])
            assert terminal.give_up(question, key) != 0
        assert "Traceback" not in terminal.screen
        assert list(owner.home.iterdir()) == []


class TestAccountAdd:
    def test_asks_likewise_and_leaves_the_rest_as_it_is(self, owner: Program, server: ScriptedServer) -> None:
        before = '# mine\n[accounts.old] # first\nfrom = "a@example.com"\nsmtp.host = "mail.example.com"\n'
        owner.config.write_text(before)
        screen = converse(owner, f"account add new {here(server)}", (ADDRESS, USER), (NAME, ""), *BY_PASSWORD)
        assert before in owner.config.read_text()
        assert tomllib.loads(owner.config.read_text())["default_account"] == "old"
        assert "default_account is old" in screen
        assert written(owner, "new")["smtp"]["auth"] == {"password": SECRET}
        assert logins(server) == 1

    def test_asks_nothing_for_a_name_that_is_taken(self, owner: Program) -> None:
        owner.config.write_text('[accounts.old]\nfrom = "a@example.com"\n')
        before = owner.config.read_bytes()
        screen = converse(owner, "account add old", status=78)
        assert ("Provider" in screen, "--replace" in screen) == (False, True)
        assert owner.config.read_bytes() == before


def test_three_commands_on_a_fresh_machine_send_mail(owner: Program) -> None:
    home = owner.home / "fresh"
    home.mkdir()
    owner.environment["HOME"] = str(home)
    del owner.environment["PRX_EMAIL_CONFIG"]
    with ScriptedServer() as server:
        converse(owner, f"init --port {server.port} --tls none", (PROVIDER, "relay"), (ADDRESS, USER))
        assert owner.send() == 1
        assert owner.run("drain").status == 0
        (message,) = server.messages
    files = sorted(file for file in home.rglob("*") if file.is_file())
    assert [str(file.relative_to(home)) for file in files if file.suffix in (".toml", ".db")] == [
        ".config/prx-email/config.toml", ".local/share/prx-email/outbox.db",
    ]  # fmt: skip
    assert [file.stat().st_mode & 0o077 for file in files] == [0] * len(files)
    domain = tomllib.loads(files[0].read_text())["outbox"]["message_id_domain"]
    assert re.fullmatch(r"[0-9a-f]{8}\.prx-email\.local", domain)
    assert (message.mail_from, message.message_id) == (USER, f"<outbox-1-0@{domain}>")
