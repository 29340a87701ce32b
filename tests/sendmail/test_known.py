"""The quick way is taken when all is as usual, and never on the word of what somebody else could have written."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from prx_email_cli.config.settings import load_settings
from prx_email_cli.outbox.sqlite import storing
from prx_email_cli.outbox.sqlite.schema import MIGRATIONS
from prx_email_cli.sendmail.remember import SETTLED_SECONDS, SETTLED_SECONDS_OF_A_COARSE_CLOCK, Look

from .conftest import Ended, Sendmail, addresses

pytestmark = pytest.mark.of_files

COMMON = [
    (["-t", "-i"], "To: a@example.org\nSubject: s\n\nx\n"), (["-oi", "-f", "me@example.org", "a@example.org"], "x\n"),
    (["-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root"], "From: root (Cron Daemon)\nSubject: s\n\n\u00fc\n"),
]  # fmt: skip
# What takes as long to import as a third of a call, or longer.
HEAVY = {
    "argparse", "ast", "collections.abc", "contextlib", "dataclasses", "datetime",
    "email", "enum", "hashlib", "inspect", "ipaddress",
    "json", "logging", "pathlib", "platformdirs", "re", "rich", "shutil", "socket", "sqlite3", "ssl", "subprocess",
    "tempfile", "threading", "tomllib", "typer", "typing", "urllib", "yagmail", "prx_email_cli.config",
    "prx_email_cli.errors", "prx_email_cli.files", "prx_email_cli.mail", "prx_email_cli.outbox.sqlite.store",
}  # fmt: skip
SCRIPT = """
import sys
before = set(sys.modules)
from prx_email_cli.sendmail.main import run
status = run(sys.argv[1:])
print(*sorted(set(sys.modules) - before))
sys.stdout.flush()
import os
os._exit(status)
"""


class Calls:
    """Calls the drop-in in a process of its own, and tells what that imported."""

    def __init__(self, sendmail: Sendmail) -> None:
        self.sendmail = sendmail
        self.config = sendmail.program.config
        self.cache = sendmail.program.home / ".cache" / "prx-email" / "sendmail"
        self.settle()

    def settle(self) -> None:
        """Wait until the config is so old that it is believed to stay as it is, if its time stays."""
        deadline = time.monotonic() + 30
        settled = SETTLED_SECONDS_OF_A_COARSE_CLOCK if os.stat(self.config).st_ctime % 1 == 0 else SETTLED_SECONDS
        while time.time() < os.stat(self.config).st_ctime + settled and time.monotonic() < deadline:
            time.sleep(0.02)

    def __call__(self, *words: str, text: str = "Subject: s\n\nbody\n", **environment: str) -> Ended:
        return self.sendmail.called([sys.executable, "-c", SCRIPT, *words], text, **environment)

    def imported(self, *words: str, text: str = "Subject: s\n\nbody\n", **environment: str) -> set[str]:
        """The names of the modules that a call imports, which must succeed."""
        ended = self(*words, text=text, **environment)
        assert (ended.status, ended.err) == (0, "")
        return set(ended.out.split())

    def is_quick(self, **environment: str) -> bool:
        """Whether a plain call takes the quick way."""
        return "prx_email_cli.config.settings" not in self.imported("a@example.org", **environment)


@pytest.fixture
def calls(sendmail: Sendmail) -> Calls:
    sendmail.alias('aliases.root = "ops@example.com"')
    return Calls(sendmail)


@pytest.fixture
def known(calls: Calls) -> Calls:
    """After a first call."""
    assert not calls.is_quick()
    assert calls.is_quick()
    return calls


@pytest.mark.parametrize(("words", "text"), COMMON)
def test_the_calls_of_programs_import_nearly_nothing(known: Calls, words: list[str], text: str) -> None:
    imported = known.imported(*words, text=text)
    assert {name for name in imported if {name, name.partition(".")[0]} & HEAVY} == set()
    assert len(imported) < 40
    assert not [one for one in HEAVY if one.startswith("prx_") and any(name.startswith(one) for name in imported)]


def test_what_is_known_is_no_secret_and_only_the_users(known: Calls) -> None:
    assert (known.cache.stat().st_mode & 0o777, known.cache.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [one.name for one in known.cache.parent.iterdir()] == ["sendmail"]


def test_a_changed_config_counts_at_once(known: Calls) -> None:
    text = known.config.read_text().replace('root = "ops@example.com"', 'root = "new@example.com"')
    known.config.write_text(text)
    assert known("root").status == 0
    assert addresses(known.sendmail.last()) == ["new@example.com"]
    known.settle()
    known.is_quick()
    assert known.is_quick()
    assert known("root").status == 0
    assert addresses(known.sendmail.last()) == ["new@example.com"]


def test_a_config_of_the_same_size_and_time_in_its_place_counts_at_once(known: Calls) -> None:
    was = known.config.stat()
    other = known.config.with_name("other")
    other.write_text(known.config.read_text().replace("ops@example.com", "ops@example.org"))
    other.chmod(0o600)
    os.utime(other, ns=(was.st_atime_ns, was.st_mtime_ns))
    other.replace(known.config)
    assert known("root").status == 0
    assert addresses(known.sendmail.last()) == ["ops@example.org"]


@pytest.mark.parametrize(("age", "is_known"), [(0.02, False), (3.0, True)])
def test_a_config_that_was_just_written_is_not_believed_to_stay(
    known: Calls, monkeypatch: pytest.MonkeyPatch, age: float, is_known: bool
) -> None:
    for name, value in known.sendmail.program.environment.items():
        monkeypatch.setenv(name, value)
    known.cache.unlink()
    settings = load_settings(known.config)
    Look(None, known.config.stat().st_ctime + age).remember(settings)
    assert known.cache.exists() == is_known


def test_a_changed_file_of_aliases_counts_at_once(sendmail: Sendmail) -> None:
    aliases = sendmail.program.home / "aliases"
    aliases.write_text("root: a@example.org\nother: root, b@example.org\npipe: |cat\n")
    sendmail.alias(f'aliases_file = "{aliases}"')
    calls = Calls(sendmail)
    assert not calls.is_quick()
    assert "prx_email_cli.config.settings" not in calls.imported("other")
    assert addresses(sendmail.last()) == ["a@example.org", "b@example.org"]
    assert (calls("pipe").status, calls("nobody").status) == (67, 67)
    aliases.write_text("root: c@example.org\nother: root, b@example.org\n")
    assert calls("other").status == 0
    assert addresses(sendmail.last()) == ["c@example.org", "b@example.org"]


def test_what_becomes_open_to_others_is_refused_as_ever(known: Calls) -> None:
    for file, mode in (
        (known.sendmail.program.outbox, 0o644),
        (known.config, 0o622),
        (known.sendmail.program.home, 0o777),
    ):
        was = file.stat().st_mode & 0o7777
        file.chmod(mode)
        refused = known("a@example.org")
        assert (refused.status, "by others" in refused.err) == (77, True)
        file.chmod(was)
    assert known("a@example.org").status == 0


def _open_to_others(cache: Path) -> None:
    cache.chmod(0o640)


def _in_an_open_directory(cache: Path) -> None:
    cache.parent.chmod(0o770)


def _symbolic_link(cache: Path) -> None:
    cache.rename(cache.with_name("moved"))
    cache.symlink_to("moved")


def _second_name(cache: Path) -> None:
    os.link(cache, cache.with_name("second"))


def _anothers(cache: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    os.chown(cache, 65_534, 65_534)


def _damaged(cache: Path) -> None:
    data = bytearray(cache.read_bytes())
    data[len(data) // 2] ^= 1
    cache.write_bytes(data)


def _cut_off(cache: Path) -> None:
    cache.write_bytes(cache.read_bytes()[:100])


def _empty(cache: Path) -> None:
    cache.write_bytes(b"")


def _directory(cache: Path) -> None:
    cache.unlink()
    cache.mkdir(0o700)


def _pipe(cache: Path) -> None:
    cache.unlink()
    os.mkfifo(cache, 0o600)


@pytest.mark.parametrize(
    "change",
    [_open_to_others, _in_an_open_directory, _symbolic_link, _second_name, _anothers, _damaged, _cut_off, _empty,
     _directory, _pipe],
)  # fmt: skip
def test_a_file_that_others_could_have_written_or_that_is_damaged_is_not_believed(
    known: Calls, change: Callable[[Path], None]
) -> None:
    change(known.cache)
    assert not known.is_quick()


def test_another_environment_is_another_config(known: Calls) -> None:
    other = known.config.with_name("other.toml")
    other.write_text(known.config.read_text().replace("outbox.db", "other.db"))
    other.chmod(0o600)
    assert known("a@example.org", PRX_EMAIL_CONFIG=str(other)).status == 0
    assert other.with_name("other.db").exists()
    assert not known.is_quick(PRX_EMAIL_OUTBOX=str(known.config.with_name("third.db")))


def test_without_a_place_for_the_file_mail_goes_the_full_way(known: Calls) -> None:
    assert not known.is_quick(XDG_CACHE_HOME="relative")
    assert not known.is_quick(XDG_CACHE_HOME="/proc/none")
    assert known.is_quick()


def test_an_outbox_that_is_gone_moved_or_of_another_program_is_the_full_ways(known: Calls) -> None:
    outbox = known.sendmail.program.outbox
    with closing(sqlite3.connect(outbox)) as connection:
        connection.execute('UPDATE ledger SET moved_to = \'["left", "/x", 1, "me"]\'')
        connection.commit()
    refused = known("a@example.org")
    assert (refused.status, "moved to another machine" in refused.err) == (75, True)
    outbox.unlink()
    assert not known.is_quick()
    assert known.sendmail.stored() == [1]
    outbox.write_bytes(b"no database" * 1000)
    assert known("a@example.org").status == 75


def test_a_locked_outbox_is_waited_for_once_and_ends_with_75(known: Calls) -> None:
    known.config.write_text(known.config.read_text().replace("[outbox]", "[outbox]\nbusy_timeout_seconds = 1"))
    known.settle()
    assert not known.is_quick()
    with known.sendmail.program.locked():
        refused = known("a@example.org")
        assert (refused.status, "is locked by another process" in refused.err) == (75, True)
        assert "the message was not stored" in refused.err
    assert known.is_quick()


def test_a_full_disk_ends_with_75_and_nothing_is_stored(known: Calls) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))"  # as a quota: the log grows
    script = SCRIPT.replace("status = run", f"{limit}; status = run")
    text = "Subject: s\n\n" + "line\n" * 15_000
    ended = known.sendmail.called([sys.executable, "-c", script, "a@example.org"], text)
    assert (ended.status, "nothing was stored" in ended.err or "not stored" in ended.err) == (75, True)
    assert known.sendmail.stored() == [1, 2]
    assert known("a@example.org", text=text).status == 0
    assert known.sendmail.stored() == [1, 2, 3]


def test_input_that_ends_with_an_error_is_not_half_a_message(known: Calls) -> None:
    script = SCRIPT.replace("status = run", "import os; os.dup2(os.open('.', os.O_RDONLY), 0); status = run")
    ended = known.sendmail.called([sys.executable, "-c", script, "a@example.org"], "")
    assert ended.status == 66
    assert "standard input cannot be read" in ended.err


def test_a_message_that_is_not_plain_is_read_from_its_beginning(known: Calls) -> None:
    text = "Subject: \u00fc\n\n" + "line\n" * 100_000 + "last\n"
    assert known("a@example.org", text=text).status == 0
    assert known.sendmail.content(known.sendmail.stored()[-1]).endswith(b"line\r\nlast\r\n")


def test_the_numbers_of_the_quick_way_are_those_of_the_schema() -> None:
    assert len(MIGRATIONS) == storing.SCHEMA
