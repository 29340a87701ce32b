"""Edits of a config: any file keeps what it had, and a kill leaves the old file or the new."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tomli_w
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from prx_email_cli.config.edit import add_account, remove_account, set_default_account
from prx_email_cli.config.toml_text import statements
from prx_email_cli.errors import ConfigError

from . import killed_edit
from .killed_edit import ACCOUNT, CHANGES

# What people write, one statement or table a piece: the order of the pieces is free, and not every text of them parses.
PIECES = [
    "# a comment", "  # an indented one with [accounts.new] in it", "", "\t", "#", '# ünï"code" \\ """',
    "# ends in a blank ",
    "# ends in a no-break space\u00a0", 'default_account = "work"', "unknown = 1979-05-27T07:32:00Z # a date",
    "numbers = [1, # one\n  2,\n] # both", 'text = """\n[accounts.new]\n# no comment\n"""', "literal = '''a\\b\n'''",
    "a.b.c = 1", "a.b.d = {e = 1, f = [{}]}", "float = 1e6", '"quoted key" = true', "'' = ''",
    "[outbox]", 'path = "o.db"', "[ accounts . work ]", "[accounts.work]", '[accounts."two words"]', "[accounts]",
    'from = "a@example.com"', "[accounts.work.smtp]", 'host = "mail.example.com"', "smtp = { port = 587 }",
    "accounts = {}", 'accounts = { work = { from = "a@example.com" } }', 'accounts.work.from = "a@example.com"',
    'accounts = { new = { from = "b@example.com" }, work = {} } # all', "new.a = [ # gone\n]",
    'accounts.new = { from = "b@example.com" } # inline', "work.smtp.port = 25 # dotted", "[accounts.new.smtp] # in",
    "[[unknown_list]]", "[[accounts.work.list]]", "[unknown.table]", "[accounts.new]", "[accounts.old]", "[z]",
]  # fmt: skip
TEXTS = st.lists(st.sampled_from(PIECES), max_size=12, unique=True)
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab. é\n", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
DOCUMENTS = st.dictionaries(st.sampled_from(["accounts", "outbox", "x", "default_account", "a.b"]), VALUES, max_size=4)


def parsed(text: str) -> dict[str, Any] | None:
    """What *text* says; None when it is no TOML, or not of a config that may get an account."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return None
    return document if isinstance(document.get("accounts", {}), dict) else None


def with_account(old: dict[str, Any], name: str) -> dict[str, Any]:
    """What a config has to say once the account is added."""
    accounts = old.get("accounts", {})
    alone = {"default_account": next(iter(accounts))} if len(accounts) == 1 and name not in accounts else {}
    return {**alone, **old, "accounts": {**accounts, name: ACCOUNT}}


def comments_outside(text: str, name: str) -> list[str]:
    """The comments of *text* in lines of their own, but for those between two lines of the account *name*."""
    comments: list[str] = []
    waiting: list[str] = []
    inside = False
    for statement in statements(text):
        if statement.path:
            was_inside, inside = inside, statement.path[:2] == ("accounts", name)
            comments += [] if was_inside and inside else waiting
            waiting = []
        if not (statement.path and inside):
            waiting += [comment.rstrip("\r") for comment, _ in statement.comments]
    return comments + waiting


class TestAnyConfig:
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
    @given(TEXTS, st.sampled_from(["\n", "\r\n"]), st.booleans())
    @example(["accounts = {}"], "\n", False)
    @example(["# a comment", "[accounts.work]", "# ends in a no-break space\u00a0"], "\n", False)
    @example(["[accounts.work]", "smtp = { port = 587 }", "# ends in a blank "], "\r\n", True)
    @example(['accounts.work.from = "a@example.com"'], "\n", True)
    @example(["[accounts.new]", 'from = "a@example.com"', "# a comment", "[outbox]"], "\r\n", True)
    @example(["[accounts]", "work.smtp.port = 25 # dotted", "new.a = [ # gone\n]", "# a comment"], "\n", True)
    @example(['accounts = { new = { from = "b@example.com" }, work = {} } # all', "[z]"], "\n", False)
    def test_of_pieces_that_people_write_says_the_same_and_has_the_account(
        self, tmp_path_factory: pytest.TempPathFactory, pieces: list[str], line_end: str, ended: bool
    ) -> None:
        text = "\n".join(pieces).replace("\n", line_end) + line_end * ended
        old = parsed(text)
        assume(old is not None)
        assert old is not None
        self._add(tmp_path_factory.mktemp("config") / "config.toml", text.encode(), old)

    @settings(max_examples=60, deadline=None)
    @given(DOCUMENTS, st.lists(st.text("ab#[] é", max_size=5), min_size=1), st.booleans())
    def test_of_any_values_and_comments_likewise(
        self, tmp_path_factory: pytest.TempPathFactory, document: dict[str, Any], comments: list[str], known: bool
    ) -> None:
        if known:
            document = {**document, "accounts": {"old": {"a.b": [{"c": 1}]}, "new": document, "z": {}}}
        lines = tomli_w.dumps(document).splitlines(keepends=True)  # it never writes texts of several lines
        text = "".join(f"# {comments[at % len(comments)]}\n{line}" for at, line in enumerate(lines))
        old = parsed(text)
        assume(old is not None)
        assert old is not None
        self._add(tmp_path_factory.mktemp("config") / "config.toml", text.encode(), old)

    def _add(self, file: Path, content: bytes, old: dict[str, Any]) -> None:
        file.write_bytes(content)
        file.chmod(0o640)
        known = "new" in old.get("accounts", {})
        try:
            added = add_account(file, "new", ACCOUNT, replace=known)
        except ConfigError:
            assert file.read_bytes() == content
            assert "accounts = {" in content.decode()  # with a comment inside, say
            return
        after = file.read_bytes()
        assert tomllib.loads(after.decode()) == with_account(old, "new")
        assert file.stat().st_mode & 0o777 == 0o600
        if known:
            backup = file.with_name("config.toml.bak")
            assert (added.backup, backup.read_bytes()) == (backup, content)
            assert sorted(file.parent.iterdir()) == [file, backup]
        else:
            assert (added.backup, [*file.parent.iterdir()]) == (None, [file])
            assert b"accounts = {" in content or content.rstrip(b" \t\r\n") in after
        assert comments_outside(after.decode(), "new") == comments_outside(content.decode(), "new")


class TestAnyConfigWithAnAccountTooMany:
    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
    @given(TEXTS, st.sampled_from(["\n", "\r\n"]), st.booleans())
    @example(['accounts = { new = { from = "b@example.com" }, work = {} } # all', "[z]"], "\n", False)
    @example(["[accounts]", "work.smtp.port = 25 # dotted", "new.a = [ # gone\n]", "# a comment"], "\n", True)
    @example(["[accounts.work]", "", "[accounts.new]", 'from = "a@example.com"', "# a comment", "[z]"], "\r\n", True)
    @example(["[accounts.work]", "[accounts.new]", "# ends in a no-break space\u00a0"], "\n", False)
    def test_says_the_same_without_it_or_stays_as_it_is(
        self, tmp_path_factory: pytest.TempPathFactory, pieces: list[str], line_end: str, ended: bool
    ) -> None:
        text = "\n".join(["[accounts.new.smtp]", *pieces] if "new" not in "".join(pieces) else pieces)
        content = (text.replace("\n", line_end) + line_end * ended).encode()
        old = parsed(content.decode())
        assume(old is not None and "new" in old.get("accounts", {}))
        assert old is not None
        file = tmp_path_factory.mktemp("config") / "config.toml"
        file.write_bytes(content)
        left = {name: table for name, table in old["accounts"].items() if name != "new"}
        try:
            removed = remove_account(file, "new")
        except ConfigError:
            assert file.read_bytes() == content
            assert not left or "accounts = {" in content.decode()
            return
        assert tomllib.loads(file.read_bytes().decode()) == {**old, "accounts": left}
        assert (removed.backup.read_bytes(), removed.default_account) == (content, None)
        assert comments_outside(file.read_bytes().decode(), "new") == comments_outside(content.decode(), "new")

    @settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
    @given(TEXTS, st.sampled_from(["\n", "\r\n"]), st.booleans())
    @example(['default_account = "work"', "# a comment", "[accounts.work]"], "\r\n", True)
    def test_says_the_same_with_another_default(
        self, tmp_path_factory: pytest.TempPathFactory, pieces: list[str], line_end: str, ended: bool
    ) -> None:
        content = ("\n".join([*pieces]).replace("\n", line_end) + line_end * ended).encode()
        old = parsed(content.decode())
        assume(old is not None and old.get("accounts"))
        assert old is not None
        file = tmp_path_factory.mktemp("config") / "config.toml"
        file.write_bytes(content)
        name = next(iter(old["accounts"]))
        set_default_account(file, name)
        after = file.read_bytes().decode()
        assert tomllib.loads(after) == {**old, "default_account": name}
        assert comments_outside(after, "") == comments_outside(content.decode(), "")


class Left(NamedTuple):
    """What a killed change left.  names: of the directory."""

    text: str | None
    mode: int | None
    names: list[str]
    killed: bool


class TestKilled:
    @pytest.mark.parametrize("change", CHANGES)
    def test_at_any_step_it_leaves_the_old_config_or_the_new(self, change: str, tmp_path: Path) -> None:
        command = [sys.executable, "-W", "error", killed_edit.__file__, str(tmp_path), change]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        lives = [Left(**json.loads(line)) for line in done.stdout.splitlines()]
        assert len(lives) > 5
        assert not lives[-1].killed
        new = lives[-1].text
        assert new is not None
        assert tomllib.loads(new)["accounts"]["new"] == ACCOUNT
        old = CHANGES[change][0]
        for life in lives:
            assert life.text in (old, new)
            assert life.text == old or life.mode == 0o600
            self._assert_others_private(life.names)
            if change in ("replace", "remove") and life.text == new:
                assert "config.toml.bak" in life.names

    def _assert_others_private(self, names: list[str]) -> None:
        """What a kill leaves besides may lie around, but is hidden and never in the way of the next change."""
        assert all(name.startswith(".config.toml.") for name in {*names} - {"config.toml", "config.toml.bak"})
