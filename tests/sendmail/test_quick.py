"""The quick way stores what the full way would, to the byte, and leaves to it whatever is not as usual.

A few hundred examples here; SENDMAIL_QUICK=10000 makes as many.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import sys
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from prx_email_cli.config.settings import Settings, load_settings
from prx_email_cli.outbox.open import open_store
from prx_email_cli.sendmail import flags, quick
from prx_email_cli.sendmail.enqueue import enqueue
from prx_email_cli.sendmail.known import Known, packed, unpacked
from prx_email_cli.sendmail.remember import values_of

NOW = 1_900_000_000
CRLF = b"\r\n"
EXAMPLES = int(os.environ.get("SENDMAIL_QUICK", "150"))
CONFIG = """
default_account = "work"
[outbox]
path = "OUTBOX"
max_recipients = 4
[accounts.work]
from = "Ops & Co <ops@example.com>"
smtp.host = "mail.example.com"
[accounts.home]
from = "me@Home.example"
smtp.host = "mail.home.example"
[sendmail]
default_domain = "example.net"
[sendmail.aliases]
root = ["ops@example.com", "Second <second@EXAMPLE.com>", "www"]
www = "web@example.com"
pipe = "|cat"
circle = "round"
round = "circle"
"""
CRON = (
    "From: root (Cron Daemon)\nTo: root\nSubject: Cron <root@host> run-parts /etc/cron.daily\nMIME-Version: 1.0\n"
    "Content-Type: text/plain; charset=UTF-8\nContent-Transfer-Encoding: 8bit\nX-Cron-Env: <SHELL=/bin/sh>\n\n"
    "caf\u00e9\n"
)
TAKEN = [
    (["-ti"], "From: a@example.org\nTo: b@example.org, C of D <c@example.org>\nBcc: d@example.org\nSubject: s\n\nx\n"),
    (["-oi", "-f", "me@example.org", "a@example.org"], "Subject: s\n\nx\n"),
    (["-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t"], CRON),
    (["-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root"], CRON),
    (["-i", "-FCron Daemon", "root,a@example.org"], "Subject: s\n\nx\n"),
    (["-FO'Neil, A. \"x\\y", "www"], "Subject: s\nFrom: www\n\nx\n"),
    (["nobody"], "a body and no header\n"),
    (["-i", "root"], "From root Sun Mar 17 10:00:00 2030\nSubject: s\n folded\t one\nX:\n\n"),
    (["root"], "Subject: s\r\n\r\nx\r\n.\r\nnot this\r\n"),
    (["-f", "<>", "-N", "never", "-R", "hdrs", "-V", "id=1", "a@example.org"], "Message-ID: <own@x>\n\nx"),
    (["-t"], "From: Me <ME@home.EXAMPLE>\nDate: Sun, 17 Mar 2030 10:00 +0000\nTo: root\nCc: a@B.example\nCc:\n\nx\n"),
    (["root"], b"Subject: s\n\n\xff\n"),
    (["-t"], 'From: "Me, too (x)" <me@home.example>\nTo: "A" <a@example.org>\n\nx\n'),
    (["root"], b"Content-Type: text/plain\nSubject: s\n\ng\xc3\xbc\n"),
    (["-f", "root", "a@example.org", "A@example.org", "a@EXAMPLE.org"], "\nx\n"),
]  # fmt: skip
LEFT = [
    (["root"], ""), (["root"], "X: \u00fc\n\nx\n"), (["root"], b"Subject: s\n\n" + b"x" * 999 + b"\n"),
    (["root"], b"Subject: s\n\n\0\n"), (["root"], b"Subject: s\n\nx\ry\n"), (["-t"], "Resent-To: root\n\nx\n"),
    (["-t"], 'To: "A" <a@example.org>, b@example.org\n\nx\n'), (["-t"], 'To: "A\\\\"" <a@example.org>\n\nx\n'),
    (["pipe"], "\nx\n"), (["circle"], "\nx\n"), (["a@"], "\nx\n"), (["root"], "Subject: =?utf-8?q?x?=\n\nx\n"),
    (["root"], "Subject:\n\nx\n"), (["root"], "Subject: a\nSubject: b\n\nx\n"), (["-t"], "Subject: s\n\nx\n"),
    (["root"], "Received: x\n" * 51 + "\nx\n"), (["-f", "x@y@z", "root"], "\nx\n"), (["-F\u00fc", "root"], "\nx\n"),
    (["a@example.org,b@example.org,c@example.org,d@example.org,e@example.org"], "\nx\n"),
    (["root"], b"\n" + b"x\n" * 200_000), (["a@1.2.3.4"], "\nx\n"), (["\u00fc@example.org"], "\nx\n"),
    (['"a b"@example.org'], "\nx\n"), (["root"], "From: Me <me@home.example> (x)\n\nx\n"),
]  # fmt: skip


class Ways:
    """Both ways, each into a copy of the same outbox."""

    def __init__(self, directory: Path) -> None:
        self._new = directory / "new.db"
        self._quick, self._full = self._settings(directory, "quick"), self._settings(directory, "full")
        open_store(self._quick.outbox).close()
        self._quick.outbox.path.rename(self._new)
        self.begin()
        self.before = self._rows(self._quick)
        self.known = Known(unpacked(packed(values_of(self._quick))))

    @staticmethod
    def _settings(directory: Path, name: str) -> Settings:
        file = directory / f"{name}.toml"
        file.write_text(CONFIG.replace("OUTBOX", str(directory / f"{name}.db")))
        file.chmod(0o600)
        return load_settings(file)

    def begin(self) -> None:
        """Make both outboxes new."""
        for one in (self._quick, self._full):
            shutil.copy(self._new, one.outbox.path)

    def compare(self, words: list[str], data: bytes) -> bool:
        """Give both the same; tell whether the quick way took it."""
        call = flags.parse(words)
        outbox_id = quick.enqueue(call, self.known, [data], NOW)
        if outbox_id is None:
            assert self._rows(self._quick) == self.before
            return False
        assert enqueue(call, self._full, [data], NOW) == outbox_id
        assert self._rows(self._quick) == self._rows(self._full)
        self.begin()
        return True

    def stored(self) -> dict[str, list[Any]]:
        """All rows that the quick way's outbox has."""
        return self._rows(self._quick)

    @staticmethod
    def _rows(one: Settings) -> dict[str, list[Any]]:
        with closing(sqlite3.connect(one.outbox.path)) as connection:
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in tables}


@pytest.fixture
def ways(tmp_path: Path) -> Ways:
    return Ways(tmp_path)


def as_bytes(text: str | bytes) -> bytes:
    """The message as a program writes it."""
    return text.encode() if isinstance(text, str) else text


@pytest.mark.parametrize(("words", "text"), TAKEN, ids=range(len(TAKEN)))
def test_what_programs_commonly_send_is_taken_quickly_and_stored_alike(
    ways: Ways, words: list[str], text: str | bytes
) -> None:
    assert ways.compare(words, as_bytes(text))


@pytest.mark.parametrize(("words", "text"), LEFT, ids=range(len(LEFT)))
def test_what_is_not_plain_is_left_and_nothing_is_stored(ways: Ways, words: list[str], text: str | bytes) -> None:
    assert not ways.compare(words, as_bytes(text))


LOCAL = st.sampled_from(["root", "ROOT", "www", "nobody", "pipe", "circle", "a.b", "no-such-name-0", "*", "x y"])
ADDRESS = st.sampled_from(
    ["a@example.org", "A@Example.ORG", "me@home.example", "OPS@example.com", "ops@EXAMPLE.com", "a.b@c", "a..b@c.d",
     ".a@b.c", "a@b.c.", "a@-b.c", "a@b-.c", "a@b.1", "a@[127.0.0.1]", "a@b@c", "@b", "a@", "a b@c.d",
     "!#$%&'*+/=?@x.y", "a@b_c.d", "x" * 64 + "@b.c", "x" * 65 + "@b.c", "a@" + "y" * 63 + ".z", "a@" + "y" * 64 + ".z",
     "a@" + "y." * 124 + "z", "a@" + "y." * 130 + "z"]
)  # fmt: skip
NAME = st.sampled_from(
    ["", "Name", "Name of Me", "J. Doe", ".x", "a.", "=?utf-8?q?x?=", '"Quoted, name"', "O'Neil", "(comment)", "a\\b",
     "x" * 50, "  two  spaces ", "\u00fc", "a\tb", "Name: group", "a;b", "(root) x", "root (Cron Daemon)", "()", "(",
     "(a=b)"]
)  # fmt: skip
PIECE = st.one_of(
    LOCAL, ADDRESS, st.builds("{} <{}>".format, NAME, ADDRESS), st.builds("{} ({})".format, ADDRESS, NAME),
    st.builds("{} ({})".format, LOCAL, NAME), st.builds("<{}>".format, st.one_of(LOCAL, ADDRESS)), NAME,
    st.text("a@b.<>(),;: \"\\r\n", max_size=12),
)  # fmt: skip
LIST = st.builds(
    lambda pieces, by: by.join(pieces), st.lists(PIECE, max_size=3), st.sampled_from([", ", ",", ",\n ", ";", " "])
)  # fmt: skip
FIELD_NAME = st.sampled_from(
    ["From", "from", "To", "Cc", "Bcc", "Subject", "Date", "MIME-Version", "Content-Type", "Message-ID", "Received",
     "Content-Transfer-Encoding", "Resent-To", "Resent-Bcc", "X-Any", "X y", "", "To ", " To", "X\u00fc", "From x"]
)  # fmt: skip
TEXT = st.sampled_from(["s", "", "1.0", "<own@x>", "a\n b", "=?utf-8?q?=C3=BC?=", "\x07", "a \t  b", "8bit"])
FIELD = st.builds(
    "{}{}{}\n".format, FIELD_NAME, st.sampled_from([":", ": ", " : ", ":\n ", ":\t", ""]), st.one_of(LIST, TEXT)
)  # fmt: skip
PLAIN_FIELD = st.sampled_from(
    ["From: Me <me@home.example>\n", "From: root (Cron Daemon)\n", "From: www\n",
     'From: "Me <x>, (y)" <me@home.example>\n', "To: root, a@example.org\n",
     "Cc: A <a@B.c>\n",
     "Bcc: b@example.org,\n www\n", "Subject: s\n", "subject:  a\n\tb\n", "Date: any\n", "MIME-Version: 1.0\n",
     "Content-Type: text/plain; charset=UTF-8\n", "Content-Transfer-Encoding: 8bit\n", "Message-ID: <own@x>\n", "To:\n",
     "X-Any: \n"]
)  # fmt: skip
WORD = st.one_of(PIECE, LIST, st.sampled_from(["-fName <a@b.c>", "-Fx\x01y", "-F" + "n" * 40, "-V", "-N", "-f"]))
PLAIN_WORD = st.sampled_from(
    ["-t", "-i", "-oi", "-ti", "-fme@example.org", "-f<>", "-froot", "-FCron Daemon", "-FA. B", "-F", "-Nnever",
     "-Rfull",
     "-NSUCCESS,failure", "-Va+b=c", "-B8BITMIME", "-oem", "-v", "root", "a@example.org,www", "b@EXAMPLE.org"]
)  # fmt: skip
BODY = st.one_of(
    st.sampled_from([b"", b"x\n", b"x", b"a\n.\nb\n", b"\n\n", b"a\r\nb\r\n", b"x\r", b"\r\n.\r\n", b"x" * 998 + b"\n",
                     b"x" * 999 + b"\n", b"g\xc3\xbc\n", b"\xc3", b"\xff\n", b"\0", b"From x\n", b"\x1b[m\n"]),
    st.binary(max_size=40),
)  # fmt: skip
HEAD = st.builds(
    lambda mbox, fields, end: (mbox + "".join(fields) + end).encode(),
    st.sampled_from(["", "", "", "From x Sun\n", ">From x\n", " folded\n", "\n", "\ufeff"]),
    st.lists(st.one_of(PLAIN_FIELD, PLAIN_FIELD, PLAIN_FIELD, PLAIN_FIELD, PLAIN_FIELD, FIELD), max_size=6),
    st.sampled_from(["\n", "\n", "\n", "", "no field\n"]),
)  # fmt: skip


@pytest.fixture(scope="module")
def all_ways(tmp_path_factory: pytest.TempPathFactory) -> Ways:
    return Ways(tmp_path_factory.mktemp("ways"))


@settings(max_examples=EXAMPLES)
@given(st.lists(st.one_of(PLAIN_WORD, PLAIN_WORD, PLAIN_WORD, PLAIN_WORD, WORD), max_size=4), HEAD, BODY, st.booleans())
def test_whatever_the_quick_way_takes_is_stored_as_by_the_full_way(
    all_ways: Ways, words: list[str], head: bytes, body: bytes, crlf: bool
) -> None:
    data = head + body
    with suppress(flags.UsageError):
        event(f"taken: {all_ways.compare([*words, 'root'], data.replace(CRLF[1:], CRLF) if crlf else data)}")


@settings(max_examples=EXAMPLES // 3)
@given(st.lists(st.sampled_from(["-ti", "-f", "me@x.example", "a@example.org", "root"]), max_size=3), st.text(
    "FromTo:;,<>@. \t\n()\"\\=?xy", max_size=40), BODY)  # fmt: skip
def test_so_is_any_text(all_ways: Ways, words: list[str], head: str, body: bytes) -> None:
    with suppress(flags.UsageError):
        event(f"taken: {all_ways.compare([*words, 'root'], b'To: ' + head.encode() + CRLF + body)}")


class Killed:
    """Kills the process at one line of what stores quickly, counted as they run."""

    def __init__(self, at: int) -> None:
        self._left = at

    def __call__(self, frame: Any, what: str, argument: object) -> Killed | None:
        if what == "line":
            self._left -= 1
            if self._left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return self if frame.f_code.co_filename.endswith("sqlite/quick.py") else None


def killed(ways: Ways, at: int) -> int:
    """Store a message in a child that is killed at this line; return how it ended."""
    ways.begin()
    child = os.fork()
    if child == 0:
        status = 99
        try:
            sys.settrace(Killed(at))
            status = int(quick.enqueue(flags.parse(["root"]), ways.known, [b"Subject: s\n\nx\n"], NOW) != 1)
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of a fork beside threads
def test_a_kill_at_any_line_leaves_the_whole_message_or_none_and_all_before_exit_0(tmp_path: Path) -> None:
    ways = Ways(tmp_path)
    assert killed(ways, at=100_000) == 0
    whole, at, found = ways.stored(), 0, list[dict[str, list[Any]]]()
    while killed(ways, at) == -signal.SIGKILL:
        found.append(ways.stored())
        at += 2
    assert ways.stored() == whole
    assert len(found) > 30
    assert found == sorted(found, key=lambda rows: rows == whole)
    assert all(rows in (whole, ways.before) for rows in found)
    assert found[-1] == whole
