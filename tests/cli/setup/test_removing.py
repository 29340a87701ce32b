"""``account remove`` and ``account default``: the accounts change, and nothing else in the file."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from ...conftest import Program
from ...support.oauth_server import OAuthServer
from ...support.scripted import ScriptedServer
from ..outside import assert_error
from .field import log_in, oauth_table, token_files, write_config

MAIL = 'from = "a@example.com"\nsmtp.host = "mail.example.com"'
INNER = f"{{ {MAIL} }}".replace("\n", ", ")
THREE = f"""\
# My accounts.
default_account = "work"  # the usual one

[outbox]
path = "outbox.db"

# at work
[accounts.work]  # w
{MAIL}

# at home
[accounts.home]
{MAIL}

[accounts."two words"]
{MAIL}
"""
TWO = f"""\
[outbox]
path = "outbox.db"

[accounts.work]
{MAIL}

[accounts.home]
{MAIL}
"""


@pytest.fixture
def mine(owner: Program) -> Program:
    owner.config.write_text(THREE)
    owner.config.chmod(0o600)
    return owner


def document(owner: Program) -> Any:
    return tomllib.loads(owner.config.read_text())


def backups(owner: Program) -> list[Path]:
    return sorted(owner.home.glob("config.toml.bak*"))


class TestRemove:
    def test_takes_the_account_and_leaves_every_other_line(self, mine: Program) -> None:
        answer = mine.run("account", "remove", "home")
        assert (answer.status, answer.out) == (0, ""), answer
        assert mine.config.read_text() == THREE.replace(f"[accounts.home]\n{MAIL}\n", "")
        (backup,) = backups(mine)
        assert (backup.read_text(), backup.stat().st_mode & 0o777) == (THREE, 0o600)
        assert str(backup) in answer.err

    def test_of_the_last_one_in_the_file_leaves_no_blank_lines(self, mine: Program) -> None:
        assert mine.run("account", "remove", "two words").status == 0
        assert mine.config.read_text() == THREE.partition('\n[accounts."two')[0]

    @pytest.mark.parametrize(
        "text",
        [
            f"accounts = {{ work = {INNER}, home = {INNER} }}\n",
            f"[accounts]\nwork = {INNER}\nhome = {INNER}\n",
            "".join(
                f'accounts.{name}.from = "a@b.org"\naccounts.{name}.smtp.host = "h"\n' for name in ("work", "home")
            ),
            TWO.replace("\n", "\r\n"),
        ],
        ids=["inline", "in a table", "dotted", "CRLF"],
    )
    def test_takes_it_however_it_was_written(self, text: str, owner: Program) -> None:
        owner.config.write_bytes(text.encode())
        owner.config.chmod(0o600)
        answer = owner.run("account", "remove", "home")
        assert answer.status == 0, answer
        assert {*document(owner)["accounts"]} == {"work"}
        assert owner.config.read_bytes().count(b"\r\n") in (0, owner.config.read_bytes().count(b"\n"))
        assert owner.run("config", "check").status == 0

    def test_of_an_unknown_account_is_78(self, mine: Program) -> None:
        assert_error(mine.run("account", "remove", "nobody"), 78, "no account 'nobody'", "two words")
        assert_error(mine.run("account", "remove", "nobody", "--force"), 78, "no account 'nobody'")
        assert (mine.config.read_text(), backups(mine)) == (THREE, [])

    def test_of_the_default_one_wants_another_default_first(self, mine: Program) -> None:
        assert_error(mine.run("account", "remove", "work"), 78, "the default account", "account default NAME")
        assert (mine.config.read_text(), backups(mine)) == (THREE, [])
        assert mine.run("account", "default", "home").status == 0
        assert mine.run("account", "remove", "work").status == 0
        assert mine.run("config", "check").status == 0

    def test_of_the_default_one_makes_the_only_one_left_the_default(self, mine: Program) -> None:
        assert mine.run("account", "remove", "home").status == 0
        answer = mine.run("account", "remove", "work", "--json")
        assert (answer.status, answer.data["default_account"]) == (0, "two words")
        assert document(mine)["default_account"] == "two words"
        assert "# the usual one" in mine.config.read_text()

    def test_of_the_only_one_is_78(self, owner: Program) -> None:
        owner.config.write_text(f"[accounts.work]\n{MAIL}\n")
        assert_error(owner.run("account", "remove", "work"), 78, "the only account")
        assert {*document(owner)["accounts"]} == {"work"}

    @pytest.mark.parametrize("kind", ["due", "later", "held"])
    def test_of_one_with_unsent_messages_is_65_unless_forced(self, kind: str, mine: Program) -> None:
        outbox_id = mine.send("--account", "home", *(("--in", "1d") if kind == "later" else ()))
        if kind == "held":
            assert mine.run("hold", str(outbox_id)).status == 0
        assert_error(mine.run("account", "remove", "home"), 65, "1 message waits", "list --account home")
        assert mine.config.read_text() == THREE
        assert mine.run("account", "remove", "home", "--force").status == 0
        assert {*document(mine)["accounts"]} == {"work", "two words"}

    def test_of_one_whose_messages_are_over_is_no_loss(self, mine: Program) -> None:
        assert mine.run("cancel", str(mine.send("--account", "home"))).status == 0
        mine.send("--account", "work")
        assert mine.run("account", "remove", "home").status == 0

    def test_of_what_makes_the_config_wrong_is_forced(self, mine: Program) -> None:
        mine.config.write_text(THREE.replace(f"[accounts.home]\n{MAIL}", "[accounts.home]\nfrom = 3"))
        assert_error(mine.run("account", "remove", "home"), 78, "accounts.home")
        assert mine.run("account", "remove", "home", "--force").status == 0
        assert mine.run("config", "check").status == 0

    def test_deletes_the_password_in_the_keyring(self, mine: Program) -> None:
        mine.config.write_text(f'{THREE}smtp.user = "u"\nsmtp.auth.keyring = true\n')
        assert mine.run("account", "set-password", "two words", text="hunter2\n").status == 0
        (kept,) = mine.home.rglob("*.cfg")
        assert "\nu = " in kept.read_text()
        assert mine.run("account", "remove", "two words").status == 0
        assert "\nu = " not in kept.read_text()

    def test_deletes_its_tokens_unless_another_account_has_the_same(
        self, owner: Program, oauth: OAuthServer, mail: ScriptedServer
    ) -> None:
        write_config(owner, mail, oauth_table(oauth))
        found = document(owner)
        table = found["accounts"]["work"]
        found["accounts"] = dict.fromkeys(("work", "same", "other"), table)
        owner.config.write_text(tomli_w.dumps({"default_account": "other", **found}))
        assert log_in(owner, "work").status == 0
        assert len(token_files(owner)) == 1
        assert owner.run("account", "remove", "work").status == 0
        assert len(token_files(owner)) == 1
        assert owner.run("account", "add", "plain", "--host", "mail.example.com", "--from", "a@example.com").status == 0
        assert owner.run("account", "remove", "same").status == 0
        assert len(token_files(owner)) == 1
        answer = owner.run("account", "remove", "other")
        assert answer.status == 0, answer
        assert token_files(owner) == []


class TestDefault:
    def test_is_printed_without_a_name(self, mine: Program) -> None:
        assert mine.run("account", "default").out == "work\n"
        assert mine.run("account", "default", "--json").data == {"default_account": "work"}

    def test_is_changed_in_its_line_alone(self, mine: Program) -> None:
        answer = mine.run("account", "default", "two words")
        assert (answer.status, answer.out) == (0, "two words\n"), answer
        assert mine.config.read_text() == THREE.replace('"work"  # the', '"two words"  # the')
        assert mine.config.stat().st_mode & 0o777 == 0o600

    def test_becomes_the_first_line_where_there_was_none(self, owner: Program) -> None:
        owner.config.write_text(TWO)
        assert_error(owner.run("account", "default"), 78, "no default_account")
        assert owner.run("account", "default", "home").status == 0
        assert owner.config.read_text() == f'default_account = "home"\n{TWO}'
        assert owner.run("account", "show", "--json").data["name"] == "home"

    def test_is_an_account_that_there_is(self, mine: Program) -> None:
        assert_error(mine.run("account", "default", "nobody"), 78, "no account 'nobody'", "two words")
        assert mine.config.read_text() == THREE

    def test_that_was_wrong_is_mended(self, mine: Program) -> None:
        mine.config.write_text(THREE.replace('"work"  #', '"gone"  #'))
        assert mine.run("config", "check").status == 78
        assert mine.run("account", "default", "home").status == 0
        assert mine.run("config", "check").status == 0
