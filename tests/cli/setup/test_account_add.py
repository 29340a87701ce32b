"""``account add``: one account more, and nothing less, whatever the file looked like before."""

import os
import tomllib
from pathlib import Path
from typing import Any

import pytest

from ...conftest import Program
from ..outside import assert_error
from .field import assert_one_object

NEW = ("--provider", "fastmail", "--user", "me@fastmail.com", "--password-env", "P")
TABLE = {"provider": "fastmail", "smtp": {"user": "me@fastmail.com", "auth": {"password_env": "P"}}}
OLD = """\
# My accounts.  Ünïcode, and a tab:\t.
[outbox]
path = "o.db"   # not the default

# The one at work
[accounts.work]
from = "Ops <ops@example.com>"
smtp = { host = "mail.example.com", port = 587 }

[unknown.table]   # of a newer version
key = [1, 2,
  3] # three
"""
INLINE = (
    '# mine\naccounts = { work = { from = "a@example.com", smtp.host = "mail.example.com" } }\nzz = 1\n\n[aa]\nb = 2\n'
)

# What stands before an account, what is the account's, and what stands after it.
AROUND = (
    """\
# mine
[outbox] # o
path = "o.db"

[accounts.home] # h
from = "h@example.com"
smtp = { host = "h" }

# about work
""",
    """\
[accounts.work] # w
# inside
from = '''
[accounts.home]
'''

# inside, too
[accounts.work.smtp]
host = "w" # x
""",
    """\

# about unknown
[unknown]
key = [1, # one
  2]
a.b = 1 # the end""",
)
HOWEVER_IT_WAS_WRITTEN = {
    "inline": (
        '[accounts]\nhome = {smtp.host="h"} # h\nwork = {a=1} # w\n',
        '[accounts]\nhome = {smtp.host="h"} # h\n',
    ),
    "dotted": (
        '# h\naccounts.home.smtp.host="h"\naccounts.work.from="a@b.c"\n[z] # z\n',
        '# h\naccounts.home.smtp.host="h"\n[z] # z\n',
    ),
    "dotted in accounts": (
        '[accounts]\nwork.from="a@b.c"\n# h\nhome.smtp.host="h"\n[z]\n',
        '[accounts]\n# h\nhome.smtp.host="h"\n[z]\n',
    ),
    "in two places": (
        '[accounts."work".smtp]\n[accounts.home]\n# h\n[ accounts . work ]\nfrom="a@b.c"\n#z',
        "[accounts.home]\n# h\n",
    ),
}


@pytest.fixture
def mine(owner: Program) -> Program:
    """An owner with a config by hand, which others may read."""
    owner.config.write_text(OLD)
    owner.config.chmod(0o644)
    return owner


def add(owner: Program, name: str, *options: str) -> Any:
    """Add an account; how that ended."""
    return owner.run("account", "add", name, *NEW, *options)


def accounts_of(owner: Program) -> dict[str, Any]:
    """The accounts' tables."""
    accounts: dict[str, Any] = tomllib.loads(owner.config.read_text())["accounts"]
    return accounts


def names_beside(file: Path) -> list[str]:
    """What else is in the directory of *file*."""
    return sorted(other.name for other in file.parent.iterdir() if other.name != file.name)


class TestTheFile:
    def test_keeps_every_line_it_had(self, mine: Program) -> None:
        answer = add(mine, "home")
        assert (answer.status, answer.out, "warning" in answer.err) == (0, "", False), answer
        text = mine.config.read_text()
        assert OLD in text
        wanted = {**tomllib.loads(OLD), "default_account": "work"}
        wanted["accounts"] = {**wanted["accounts"], "home": TABLE}
        assert tomllib.loads(text) == wanted
        assert (mine.config.stat().st_mode & 0o777, names_beside(mine.config)) == (0o600, [])

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
    def test_keeps_its_owner(self, mine: Program) -> None:
        os.chown(mine.config, 4711, 4712)
        assert add(mine, "home").status == 0
        status = mine.config.stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o777) == (4711, 4712, 0o600)

    @pytest.mark.parametrize(
        "target", ["dotfiles/real.toml", "{home}/dotfiles/real.toml"], ids=["relative", "absolute"]
    )
    def test_that_is_a_link_stays_one(self, target: str, mine: Program) -> None:
        real = mine.home / "dotfiles" / "real.toml"
        real.parent.mkdir()
        mine.config.rename(real)
        mine.config.symlink_to(target.format(home=mine.home))
        assert add(mine, "home").status == 0
        assert add(mine, "home", "--replace").status == 0
        assert os.readlink(mine.config) == target.format(home=mine.home)
        assert {*accounts_of(mine)} == {"work", "home"}
        assert (real.stat().st_mode & 0o777, names_beside(real)) == (0o600, ["real.toml.bak"])

    def test_keeps_its_line_ends(self, mine: Program) -> None:
        old = OLD.replace("\n", "\r\n").encode()
        mine.config.write_bytes(old)
        assert add(mine, "home").status == 0
        assert old.rstrip() in mine.config.read_bytes()
        assert {*accounts_of(mine)} == {"work", "home"}

    def test_with_all_accounts_in_one_inline_table_gets_tables_and_keeps_its_comments(self, mine: Program) -> None:
        mine.config.write_text(INLINE)
        answer = add(mine, "home")
        assert (answer.status, answer.out, "warning" in answer.err) == (0, "", False), answer
        old = tomllib.loads(INLINE)
        after = mine.config.read_text()
        wanted = {**old, "default_account": "work", "accounts": {**old["accounts"], "home": TABLE}}
        assert tomllib.loads(after) == wanted
        assert after.startswith('default_account = "work"\n# mine\nzz = 1\n\n[aa]\nb = 2\n')
        assert (mine.config.stat().st_mode & 0o777, names_beside(mine.config)) == (0o600, [])

    def test_whose_other_lines_would_change_is_78_and_stays(self, mine: Program) -> None:
        text = 'accounts = { work = { from = "a@example.com", smtp.password_command = [ # why\n"a"] } }\n'
        mine.config.write_text(text)
        assert_error(add(mine, "home"), 78, "config.toml", "'home'", "[accounts.NAME]")
        assert (mine.config.read_text(), names_beside(mine.config)) == (text, [])

    def test_may_have_no_account_yet(self, owner: Program) -> None:
        owner.config.write_text("[outbox]\nbase_backoff_seconds = 7 # seven")
        assert add(owner, "home").status == 0
        assert owner.config.read_text().startswith("[outbox]\nbase_backoff_seconds = 7 # seven\n\n")
        assert "default_account" not in owner.config.read_text()
        assert owner.run("account", "show", "--json").data["name"] == "home"

    @pytest.mark.parametrize(
        "text", ["accounts = 3\n", 'accounts = "home"\n', "accounts = [1, 2]\n", "[[accounts]]\na = 1\n"]
    )
    def test_whose_accounts_are_no_tables_is_78(self, text: str, owner: Program) -> None:
        owner.config.write_text(text)
        assert_error(add(owner, "new", "--json"), 78, "accounts", code="config")
        assert owner.config.read_text() == text

    @pytest.mark.parametrize("content", [b"[accounts\n", b"caf\xe9 = 1\n", b"\0"], ids=repr)
    def test_that_cannot_be_read_is_78_and_stays(self, content: bytes, owner: Program) -> None:
        owner.config.write_bytes(content)
        assert_error(add(owner, "home"), 78, "config.toml")
        assert (owner.config.read_bytes(), names_beside(owner.config)) == (content, [])

    def test_that_is_missing_is_78_and_init_is_proposed(self, owner: Program) -> None:
        assert_error(add(owner, "home"), 78, "prx-email init")
        assert list(owner.home.iterdir()) == []


class TestANameThatIsTaken:
    def test_is_refused(self, mine: Program) -> None:
        assert_error(add(mine, "work", "--json"), 78, "'work'", "--replace", code="config")
        assert (mine.config.read_text(), mine.config.stat().st_mode & 0o777) == (OLD, 0o644)

    def test_is_replaced_when_asked_for_and_the_old_file_kept(self, mine: Program) -> None:
        answer = add(mine, "work", "--replace")
        backup = mine.home / "config.toml.bak"
        assert (answer.status, answer.out, str(backup) in answer.err) == (0, "", True), answer
        old = tomllib.loads(OLD)
        assert tomllib.loads(mine.config.read_text()) == {**old, "accounts": {"work": TABLE}}
        assert (backup.read_text(), backup.stat().st_mode & 0o777) == (OLD, 0o600)
        assert names_beside(mine.config) == ["config.toml.bak"]

    @pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["LF", "CRLF"])
    def test_is_replaced_in_its_place_and_every_other_line_stays(self, end: str, mine: Program) -> None:
        before, old, after = AROUND
        mine.config.write_bytes((before + old + after).replace("\n", end).encode())
        assert add(mine, "work", "--replace").status == 0
        text = mine.config.read_bytes().decode()
        new = text.removeprefix(before.replace("\n", end)).removesuffix(after.replace("\n", end))
        assert len(new) == len(text) - len((before + after).replace("\n", end))
        assert tomllib.loads(new) == {"accounts": {"work": TABLE}}
        assert new.count("\n") == new.count(end)
        assert (mine.home / "config.toml.bak").read_bytes().decode() == (before + old + after).replace("\n", end)

    @pytest.mark.parametrize(("old", "kept"), HOWEVER_IT_WAS_WRITTEN.values(), ids=HOWEVER_IT_WAS_WRITTEN)
    def test_is_replaced_however_it_was_written(self, old: str, kept: str, mine: Program) -> None:
        mine.config.write_text(old)
        assert add(mine, "work", "--replace").status == 0
        text = mine.config.read_text()
        before = tomllib.loads(old)
        assert tomllib.loads(text) == {**before, "accounts": {**before["accounts"], "work": TABLE}}
        assert kept in text

    def test_with_replace_a_new_one_is_merely_added(self, mine: Program) -> None:
        assert add(mine, "home", "--replace").status == 0
        assert OLD in mine.config.read_text()
        assert names_beside(mine.config) == []


class TestTheDefault:
    def test_becomes_the_one_that_was_alone(self, mine: Program) -> None:
        mine.config.write_text(OLD.partition("[unknown")[0])
        answer = add(mine, "home")
        assert "default_account is work" in answer.err
        shown = mine.run("account", "show", "--json")
        assert (shown.status, shown.data["name"]) == (0, "work"), shown

    def test_that_is_set_stays(self, mine: Program) -> None:
        mine.config.write_text(f'default_account = "work"\n{OLD}')
        for name in ("home", "third"):
            assert "default_account" not in add(mine, name).err
        assert tomllib.loads(mine.config.read_text())["default_account"] == "work"

    @pytest.mark.parametrize("options", [(), ("--replace",)])
    def test_is_left_open_where_it_was(self, options: tuple[str, ...], mine: Program) -> None:
        """Two accounts and no default: whichever it took would be a guess."""
        mine.config.write_text(f'{OLD}[accounts.home]\nfrom = "a@example.com"\n')
        answer = add(mine, "home" if options else "third", *options)
        assert (answer.status, "default_account" in answer.err) == (0, False), answer
        assert "default_account" not in tomllib.loads(mine.config.read_text())


@pytest.mark.parametrize(
    "name", ["a.b", "Büro", "two words", '"quoted"', "[x]", "\x1b[31mred", "line\nbreak", "-", "", "日本"], ids=ascii
)
def test_a_name_of_any_letters_is_kept_or_refused(name: str, mine: Program) -> None:
    answer = mine.run("account", "add", *NEW, "--", name)
    assert answer.status in (0, 65, 78), answer
    assert "\x1b" not in answer.err
    assert accounts_of(mine).get(name) == (TABLE if answer.status == 0 else None)


def test_answers_in_json(mine: Program) -> None:
    answer = add(mine, "home", "--json")
    assert answer.status == 0, answer
    assert_one_object(answer)
    assert answer.data == {"config": str(mine.config), "account": "home"}


class TestAtTheSameTime:
    @pytest.mark.parametrize("old", [OLD, INLINE], ids=["tables", "inline"])
    def test_all_land(self, old: str, mine: Program) -> None:
        mine.config.write_text(old)
        names = [f"n{number}" for number in range(10 if old == OLD else 5)]
        running = [mine.start("account", "add", name, *NEW) for name in names]
        ends = [(process.communicate(timeout=60), process.returncode) for process in running]
        assert [status for _, status in ends] == [0] * len(names), ends
        assert {*accounts_of(mine)} == {"work", *names}
        assert {"config.toml.bak"} >= {*names_beside(mine.config)}

    @pytest.mark.parametrize("words", [("account", "add", "home"), ("init",)], ids=" ".join)
    def test_of_one_name_one_wins(self, words: tuple[str, ...], owner: Program) -> None:
        if "add" in words:
            owner.config.write_text(OLD)
        users = [f"u{number}@fastmail.com" for number in range(5)]
        running = {user: owner.start(*words, *NEW, "--user", user) for user in users}
        ends = {user: (process.communicate(timeout=60), process.returncode) for user, process in running.items()}
        assert sorted(status for _, status in ends.values()) == [0, 78, 78, 78, 78]
        (winner,) = [user for user, (_, status) in ends.items() if status == 0]
        assert accounts_of(owner)["home" if "add" in words else "default"]["smtp"]["user"] == winner
        assert names_beside(owner.config) == []


def test_no_backup_takes_the_place_of_another(mine: Program) -> None:
    before = mine.config.read_bytes()
    theirs = mine.config.with_name(f"{mine.config.name}.bak")
    theirs.write_text("a backup of their own")
    for _ in range(2):
        assert add(mine, "work", "--replace").status == 0
    assert theirs.read_text() == "a backup of their own"
    first = mine.config.with_name(f"{mine.config.name}.bak1")
    assert (first.read_bytes(), first.stat().st_mode & 0o777) == (before, 0o600)
    assert mine.config.with_name(f"{mine.config.name}.bak2").exists()
