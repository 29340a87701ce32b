"""An acknowledged send and a recorded ``sent`` survive a power cut at any instant.

The method: strace notes what real commands ask of the file system, and ``disk.Disk`` plays it again, call by call.  At
every fsync, acknowledgment and recorded result the power is cut: the files are written anew with only what was durable
then (``strict``), with everything (``written``), and, also at other calls, with some sectors of some unsynced
writes and some unsynced names in any order (``torn``).  SQLite must open each of them, find it in order, and find in it
every message whose id had been printed, whole, and ``sent`` for every message that a drain had reported as sent.

It covers the content of database, write-ahead log and rollback journal, their creation and removal, and the directories
made on the way, in a stricter world than most file systems are: a new name is lost until its own directory is synced.
It relies on fsync being honest and on sectors of 512 bytes being written whole or not at all; it says nothing about
disks that lie or decay.  The shared-memory file (-shm) is not part of it: it is rebuilt from the log.  The lock files
of runs need not survive: a run does not survive a power cut either.
"""

import json
import random
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from prx_email_cli.outbox.sqlite.high_water import HighWater

from ..conftest import Program
from ..support.scripted import ScriptedServer
from .conftest import size
from .disk import Disk
from .field import RUNNER
from .trace import Call, need_strace, record

_SENT = re.compile(rb"\boutbox_id=(\d+) .*\boutcome=sent\b")
_STORED = re.compile(rb"^stored as (\d+)$")  # by prx-sendmail -v
_RUNS = ".runs"
TORN = 2  # images of chance to one of each other kind


@pytest.fixture(autouse=True)
def _strace() -> None:
    need_strace()


class Promises:
    """What the commands have said so far: ids on stdout, results in the log on stderr."""

    def __init__(self) -> None:
        self.acknowledged: set[int] = set()
        self.sent: set[int] = set()

    def hear(self, call: Call) -> bool:
        """Whether *call* says something new."""
        before = len(self.acknowledged) + len(self.sent)
        for line in call.data.splitlines():
            if call.path == "1" and line.isdigit():
                self.acknowledged.add(int(line))
            elif call.path == "2" and (stored := _STORED.match(line)):
                self.acknowledged.add(int(stored[1]))
            elif call.path == "2" and (found := _SENT.search(line)):
                self.sent.add(int(found[1]))
        return len(self.acknowledged) + len(self.sent) > before


class Cut(NamedTuple):
    """An image of the disk after a power cut, and how it came about."""

    how: str
    after: Call
    files: dict[str, bytes]


def _cuts(disk: Disk, call: Call, *, boundary: bool, rng: random.Random) -> Iterator[Cut]:
    if boundary:
        yield Cut("strict", call, disk.strict())
        yield Cut("written", call, disk.written())
    if boundary or rng.random() < 0.2:
        for _ in range(TORN):
            yield Cut("torn", call, disk.torn(rng))


class _Checker:
    """Opens images of the disk; the same image is looked at once."""

    def __init__(self, outbox: Path, directory: Path) -> None:
        self._outbox, self._copy = str(outbox), directory / "image.db"
        self._seen: set[int] = set()
        self._mark = HighWater(self._copy)
        self._mark.file.parent.mkdir()
        self.images = self.marks = 0

    def check(self, cut: Cut, promises: Promises) -> None:
        """SQLite opens what the cut left, and every promise holds in it."""
        image = {path.removeprefix(self._outbox): content for path, content in cut.files.items() if _RUNS not in path}
        mark = cut.files.get(f"{self._outbox}{_RUNS}/{self._mark.file.name}", b"")
        key = hash((frozenset(image.items()), mark, len(promises.acknowledged), len(promises.sent)))
        if key in self._seen:
            return
        self._seen.add(key)
        self.images += 1
        for end in ("", "-wal", "-shm", "-journal"):
            Path(f"{self._copy}{end}").unlink(missing_ok=True)
        for suffix, content in image.items():
            Path(f"{self._copy}{suffix}").write_bytes(content)
        self._mark.file.write_bytes(mark)
        self._mark.file.chmod(0o600)
        with closing(sqlite3.connect(self._copy)) as connection:
            connection.execute("PRAGMA synchronous = OFF")
            self._look(connection, cut, promises)

    def _look(self, connection: sqlite3.Connection, cut: Cut, promises: Promises) -> None:
        where = f"{cut.how} after {cut.after.name} {Path(cut.after.path).name} ({cut.after.ended})"
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)], where
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE name = 'outbox'")}
        status = dict(connection.execute(_WHOLE)) if tables else {}
        lost = promises.acknowledged - set(status)
        assert not lost, f"{where}: acknowledged and lost: {sorted(lost)}"
        forgotten = {outbox_id for outbox_id in promises.sent if status.get(outbox_id) != "sent"}
        assert not forgotten, f"{where}: recorded as sent and forgotten: {sorted(forgotten)}"
        for mark in self._mark.marks():
            self.marks += 1
            (ledger,) = connection.execute("SELECT identity, generation FROM ledger")
            assert ledger[0] == mark.identity, where
            assert ledger[1] >= mark.generation, f"{where}: looks like a restored backup"


_WHOLE = """
SELECT id, status FROM outbox
 WHERE EXISTS (SELECT 1 FROM recipient WHERE outbox_id = outbox.id)
   AND size_bytes = (SELECT sum(length(data)) FROM content
                      WHERE content.id >= outbox.id * 65536 AND content.id < (outbox.id + 1) * 65536)
"""


def _batch(count: int, body: str = "text\n") -> str:
    return "".join(
        json.dumps({"to": "a@example.org", "subject": f"m-{number}", "body_text": body}) + "\n"
        for number in range(count)
    )


class _Cutter:
    """Commands one after the other, or some side by side, and the power cut all along.

    There is nothing in *root* but what the program makes for its outbox.
    """

    def __init__(self, program: Program, root: Path, rng: random.Random, *, runner: str = "") -> None:
        self._program, self._rng, self.runner = program, rng, runner
        images = program.home / "images"
        images.mkdir()
        self._disk = Disk(str(root))
        self._checker = _Checker(program.outbox, images)
        self.promises = Promises()
        self.calls = 0

    def run(self, *commands: tuple[str, ...], text: str = "") -> None:
        """Run them, then play what they did with a cut at every boundary."""
        trace = self._program.home / "trace"
        for call in record(self._program, trace, *commands, text=text, runner=self.runner):
            said = call.name == "write" and self.promises.hear(call)
            if self._disk.concerns(call):
                self._disk.apply(call)
            elif not said:
                continue
            self.calls += 1
            boundary = said or call.name in ("fsync", "fdatasync", "unlink")
            for cut in _cuts(self._disk, call, boundary=boundary, rng=self._rng):
                self._checker.check(cut, self.promises)
        trace.unlink()

    def __str__(self) -> str:
        return (
            f"{self.calls} calls, {self._checker.images} images, {self._checker.marks} marks, "
            f"{len(self.promises.acknowledged)} acknowledged, "
            f"{len(self.promises.sent)} recorded as sent: all there"
        )


def _cutter(program: Program, server: ScriptedServer, outbox: str, rng: random.Random, runner: str = "") -> _Cutter:
    """A cutter for an outbox at this path; only its first directory exists."""
    program.configure(server.port)
    program.outbox = program.home / outbox
    program.config.write_text(program.config.read_text().replace("outbox.db", outbox))
    root = program.home / Path(outbox).parts[0]
    root.mkdir()
    return _Cutter(program, root, rng, runner=runner)


DRAIN = ("drain", "--verbose", "--connections", "3")
SEND = ("send", "--to", "a@example.org", "--subject", "hello", "--body", "text")
BATCH = ("send", "--batch", "-")
SENDMAIL = ("-v", "-i", "a@example.org")  # of the module below
SENDMAIL_RUNNER = "-m prx_email_cli.sendmail"


def test_what_was_acknowledged_or_recorded_survives_a_power_cut_at_any_instant(
    program: Program, rng: random.Random
) -> None:
    with ScriptedServer() as server:
        cutter = _cutter(program, server, "box/outbox.db", rng)
        for _ in range(size("ROUNDS", 1)):
            cutter.run(SEND)
            cutter.run(SEND)
            cutter.run(BATCH, text=_batch(12))
            cutter.run(DRAIN)
            cutter.run(DRAIN, SEND, BATCH, DRAIN, text=_batch(8))
            cutter.run(DRAIN)
    print(f"power cut: {cutter}")
    assert len(cutter.promises.acknowledged) == len(cutter.promises.sent) == 23 * size("ROUNDS", 1)


def test_also_while_the_log_is_copied_into_the_database_and_begun_anew(program: Program, rng: random.Random) -> None:
    with ScriptedServer() as server:
        often = f"-u {RUNNER} - 1"
        program.environment["TORTURE_CHECKPOINT_PAGES"] = "12"
        cutter = _cutter(program, server, "box/outbox.db", rng, runner=often)
        for _ in range(size("ROUNDS", 1)):
            cutter.run(BATCH, text=_batch(10))
            cutter.run(DRAIN, BATCH, text=_batch(5, "A longer text.\n" * 600))
            cutter.run(DRAIN)
    print(f"power cut, early checkpoints: {cutter}")
    assert len(cutter.promises.acknowledged) == len(cutter.promises.sent) == 15 * size("ROUNDS", 1)


def test_what_prx_sendmail_stores_quickly_survives_too(program: Program, rng: random.Random) -> None:
    with ScriptedServer() as server:
        cutter = _cutter(program, server, "box/outbox.db", rng, runner=SENDMAIL_RUNNER)
        known = program.home / ".cache" / "prx-email" / "sendmail"
        deadline = time.monotonic() + 60
        calls = 0
        while not known.exists():  # the config is believed to stay once it is a moment old
            assert time.monotonic() < deadline
            cutter.run(SENDMAIL, text="Subject: first\n\ntext\n")
            calls += 1
        for _ in range(size("ROUNDS", 1)):
            cutter.runner = SENDMAIL_RUNNER
            cutter.run(SENDMAIL, text="Subject: hello\n\ntext\n")
            cutter.run(SENDMAIL, SENDMAIL, SENDMAIL, text="Subject: hello\n\n" + "A longer text.\n" * 2000)
            cutter.runner = ""
            cutter.run(DRAIN)
            cutter.runner = SENDMAIL_RUNNER
            cutter.run(SENDMAIL, SENDMAIL, text="Subject: hello\n\ntext\n")
            calls += 6
    print(f"power cut, prx-sendmail: {cutter}")
    assert len(cutter.promises.acknowledged) == calls


@pytest.mark.parametrize("dies_first", [False, True])
def test_the_first_send_survives_also_in_directories_that_it_or_one_that_died_made(
    dies_first: bool, program: Program, rng: random.Random
) -> None:
    with ScriptedServer() as server:
        cutter = _cutter(program, server, "var/data/deep/outbox.db", rng, runner=f"{RUNNER} 'before an fsync' 1")
        if dies_first:
            cutter.run(SEND)
            assert program.outbox.parent.exists()
            assert cutter.promises.acknowledged == set(), "it was to die before it could acknowledge anything"
        cutter.runner = ""
        cutter.run(SEND)
    print(f"power cut, new directories: {cutter}")
    assert len(cutter.promises.acknowledged) == 1


def test_the_method_notices_a_missing_fsync(program: Program, rng: random.Random) -> None:
    with ScriptedServer() as server:
        cutter = _cutter(program, server, "box/outbox.db", rng, runner=f"-u {RUNNER} - 1")
        program.environment["TORTURE_SYNCHRONOUS"] = "NORMAL"
        with pytest.raises(AssertionError, match="acknowledged and lost"):
            cutter.run(BATCH, text=_batch(5))
