"""``account`` and ``init``: a config that works, and secrets that stay where they are."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Program
from ..support.mailhost import MailHost
from .outside import assert_error, shell

SECRET = "correct horse % battery ü"
INLINE = f"password = {json.dumps(SECRET, ensure_ascii=False)}"


def assert_kept(*texts: str) -> None:
    """The secret is in none of *texts*."""
    assert not any(SECRET in text or "horse" in text for text in texts), texts


class TestShow:
    @pytest.mark.parametrize("options", [(), ("--json",)])
    @pytest.mark.parametrize("auth", [INLINE, f'password_command = ["echo", "{SECRET}"]'], ids=["itself", "command"])
    def test_never_prints_the_secret(self, auth: str, options: tuple[str, ...], program: Program) -> None:
        program.configure(2525, smtp='user = "ops"', auth=auth)
        for command in ("show", "list"):
            answer = program.run("account", command, *options)
            assert (answer.status, answer.err) == (0, "")
            assert_kept(answer.out)
            assert "2525" in answer.out

    def test_has_what_provider_and_defaults_filled_in(self, program: Program) -> None:
        program.config.write_text(
            '[accounts.home]\nprovider = "fastmail"\n[accounts.home.smtp]\nuser = "me@fastmail.com"\n'
        )
        data: Any = program.run("account", "show", "--json").data
        told = {key: data[key] for key in ("name", "from", "host", "port", "tls", "connections")}
        assert told == {"name": "home", "from": "me@fastmail.com", "host": "smtp.fastmail.com", "port": 465,
                        "tls": "implicit", "connections": 4}  # fmt: skip

    def test_asks_for_a_name_when_there_is_no_default(self, program: Program) -> None:
        second = program.config.read_text().partition("[accounts.work]")[2].replace("accounts.work", "accounts.home")
        program.config.write_text(program.config.read_text() + "[accounts.home]" + second)
        assert_error(program.run("account", "show"), 78, "work", "home", "default_account")
        program.config.write_text('default_account = "home"\n' + program.config.read_text())
        assert program.run("account", "show", "--json").data["name"] == "home"


def test_list_has_a_line_for_each(program: Program) -> None:
    answer = program.run("account", "list")
    assert (answer.status, answer.out.count("\n"), answer.out.split("\t")[0]) == (0, 1, "work")
    assert [account["name"] for account in program.run("account", "list", "--json").data] == ["work"]


@pytest.mark.parametrize("source", ["password", "password_env", "password_command", "password_file"])
def test_test_logs_in_with_the_password_wherever_it_comes_from(source: str, program: Program) -> None:
    (program.home / "password").write_text(f"{SECRET}\nand a second line\n")
    (program.home / "password").chmod(0o600)
    auth = {
        "password": INLINE, "password_env": 'password_env = "SECRET"',
        "password_file": 'password_file = "password"',
        "password_command": f"password_command = {json.dumps(['cat', str(program.home / 'password')])}",
    }[source]  # fmt: skip
    with MailHost(users={"ops": SECRET}) as host:
        program.configure(host.port, smtp='user = "ops"', auth=auth)
        program.environment["SECRET"] = SECRET
        answer = program.run("account", "test")
        assert (answer.status, answer.err) == (0, "")
        program.send("--now")
        assert [message.user for message in host.messages] == ["ops"]
    assert_kept(answer.out)


class TestInit:
    @pytest.fixture
    def fresh(self, program: Program) -> Program:
        """Without a config."""
        program.config.unlink()
        return program

    LOCAL = ("init", "--host", "localhost", "--port", "2525", "--tls", "none", "--outbox", "o.db",
             "--from", "Ops <ops@example.com>")  # fmt: skip

    def test_writes_what_sends_and_drains(self, fresh: Program) -> None:
        with MailHost() as host:
            options = [word if word != "2525" else str(host.port) for word in self.LOCAL]
            answer = fresh.run(*options)
            assert (answer.status, answer.out) == (0, "")
            assert fresh.send() == 1
            assert fresh.run("drain").status == 0
            (message,) = host.messages
        domain = tomllib.loads(fresh.config.read_text())["outbox"]["message_id_domain"]
        assert message.message_id == f"<outbox-1-0@{domain}>"
        assert (message.mail_from, (fresh.home / "o.db").exists()) == ("ops@example.com", True)

    def test_writes_mode_0600_whatever_the_umask(self, fresh: Program) -> None:
        answer = shell(
            fresh,
            "umask 0; prx-email --config new/config.toml init --provider gmail --user me@gmail.com --password-env P",
        )
        assert answer.status == 0, answer
        made = fresh.home / "new" / "config.toml"
        assert (made.stat().st_mode & 0o777, made.parent.stat().st_mode & 0o777) == (0o600, 0o700)

    def test_makes_a_random_domain_so_that_no_two_outboxes_share_message_ids(self, fresh: Program) -> None:
        domains = set()
        for name in ("one.toml", "two.toml"):
            assert fresh.run("--config", name, *self.LOCAL).status == 0
            domains.add(tomllib.loads((fresh.home / name).read_text())["outbox"]["message_id_domain"])
        assert len(domains) == 2
        assert all(re.fullmatch(r"[0-9a-f]{8}\.prx-email\.local", domain) for domain in domains)

    def test_never_overwrites(self, program: Program) -> None:
        before = program.config.read_bytes()
        assert_error(program.run(*self.LOCAL), 78, str(program.config))
        assert_error(program.run(*self.LOCAL, "--json"), 78, code="config")
        assert program.config.read_bytes() == before

    def test_does_not_follow_a_dangling_link(self, fresh: Program) -> None:
        fresh.config.symlink_to("elsewhere.toml")
        assert fresh.run(*self.LOCAL).status == 78
        assert not (fresh.home / "elsewhere.toml").exists()

    def test_answers_in_json(self, fresh: Program) -> None:
        answer = fresh.run(*self.LOCAL, "--account", "relay", "--json")
        assert (answer.status, answer.json["ok"], answer.err) == (0, True, "")
        assert fresh.run("account", "show", "--json").data["name"] == "relay"

    @pytest.mark.parametrize(
        ("words", "status"),
        [
            ([], 2),  # neither provider nor host, and nobody to ask
            (["--host", "localhost", "--port", "0", "--from", "a@example.com"], 2),
            (["--provider", "gmial", "--user", "a@example.com"], 78),
            (["--host", "localhost", "--tls", "ssl", "--from", "a@example.com"], 78),
            (["--host", "mail.example.com", "--tls", "none", "--from", "a@example.com"], 78),
            (["--host", "", "--from", "a@example.com"], 78),
            (["--host", "localhost", "--from", "nobody"], 78),
            (["--host", "localhost", "--from", "a@b@example.com"], 78),
            (["--host", "localhost", "--from", "x\nBcc: y@example.com <a@example.com>"], 78),
            (["--host", "localhost"], 78),  # from whom?
            (["--host", "localhost", "--from", "a@example.com", "--password-env", "P"], 78),  # whose password?
        ],
    )
    def test_refuses_nonsense_before_writing(self, words: list[str], status: int, fresh: Program) -> None:
        answer = fresh.run("init", *words)
        assert (answer.status, answer.out, "Traceback" in answer.err) == (status, "", False), answer
        assert not fresh.config.exists()

    def test_into_a_place_that_cannot_be_written_says_so(self, fresh: Program) -> None:
        (fresh.home / "file").touch()
        assert_error(fresh.run("--config", str(Path("file") / "config.toml"), *self.LOCAL), 78, "file/config.toml")
