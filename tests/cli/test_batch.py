"""``send --batch``: a thousand lines to a transaction, every good line kept, every bad one named."""

import json
import os
import re
import resource
import sqlite3
import struct
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Answer, Program
from .outside import NOW, assert_error, rows, stored


def line(**changed: Any) -> str:
    """A good request but for what is *changed*."""
    return json.dumps({"to": "a@example.org", "subject": "hello", "body_text": "text\n"} | changed) + "\n"


def batch(program: Program, *lines: str, options: tuple[str, ...] = ()) -> Answer:
    return program.run("send", "--batch", "-", *options, text="".join(lines))


def test_the_ids_come_in_the_order_of_the_lines(program: Program) -> None:
    answer = batch(program, *(line(subject=f"number {number}") for number in range(1, 6)))
    assert (answer.status, answer.out, answer.err) == (0, "1\n2\n3\n4\n5\n", "5 queued\n")
    assert [row["subject"] for row in rows(program)] == [f"number {number}" for number in range(1, 6)]


def test_a_file_works_as_well(program: Program) -> None:
    (program.home / "batch.jsonl").write_text(line() + "\n" + line().rstrip("\n"))
    assert program.run("send", "--batch", "batch.jsonl").out == "1\n2\n"


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_nothing_to_enqueue_is_no_error(text: str, program: Program) -> None:
    answer = batch(program, text)
    assert (answer.status, answer.out, answer.err) == (0, "", "")


def test_a_missing_file_is_66(program: Program) -> None:
    assert_error(program.run("send", "--batch", "missing.jsonl"), 66, "missing.jsonl")


def test_options_that_belong_into_the_lines_are_a_wrong_command_line(program: Program) -> None:
    assert program.run("send", "--batch", "-", "--to", "a@example.org", text=line()).status == 2
    assert not any(stored(program).values())


def test_a_request_says_everything_that_the_contract_lists(program: Program) -> None:
    request = line(to=["a@example.org", "b@example.org"], cc="c@example.org", bcc=["d@example.org"], account="work",
                   now_ts=NOW, failure_mode=None)  # fmt: skip
    assert batch(program, request).status == 0
    row = program.show(1)
    assert [(r["address"][0], r["kind"]) for r in row["recipients"]] == [
        *zip("abcd", ["to", "to", "cc", "bcc"], strict=True)
    ]
    assert (row["account"], row["created_at"], row["next_attempt_at"]) == ("work", NOW, NOW)


class TestABadLine:
    BAD = (
        ("this is not JSON\n", "JSON"),
        ("[1, 2]\n", "object"),
        (line(subjekt="x"), "subjekt"),
        (line(to=5), "to"),
        (line(to=["a@example.org", 5]), "to"),
        (line(subject=["x"]), "subject"),
        (line(body_text=True), "body_text"),
        (line(now_ts="5"), "now_ts"),
        (line(now_ts=True), "now_ts"),
        (line(now_ts=-1), "now_ts"),
        (line(failure_mode="solar flare"), "failure_mode"),
        (line(account="nobody"), "nobody"),
        (line(to="nobody"), "nobody"),
        (line(body_text=""), "to/subject/body_text cannot be empty"),
        (line(body_text="\ud800"), ""),
        ("[" * 100_000 + "\n", ""),
    )

    @pytest.mark.on_both
    def test_is_reported_and_the_good_ones_are_kept(self, program: Program) -> None:
        lines = [text for bad, _ in self.BAD for text in (line(), bad)] + [line()]
        answer = batch(program, *lines)
        assert answer.status == 65
        assert answer.out == "".join(f"{number}\n" for number in range(1, len(self.BAD) + 2))
        assert len(rows(program)) == len(self.BAD) + 1
        *told, summary = answer.err.splitlines()
        for number, (_, words) in enumerate(self.BAD, 1):
            (said,) = [one for one in told if str(2 * number) in re.findall(r"\d+", one.split(":")[0])]
            assert words in said or said.endswith("not JSON either") or "the same as" in said, said
        assert summary.startswith(f"{len(self.BAD) + 1} queued, {len(self.BAD)} refused: lines 2, 4, 6, 8, ")

    def test_is_reported_in_json_too(self, program: Program) -> None:
        answer = batch(program, line(), "nonsense\n", "\n", line(), options=("--json",))
        assert (answer.status, answer.json["ok"], answer.json["error"]["code"]) == (65, False, "validation")
        assert [(told["line"], told["outbox_id"]) for told in answer.data["messages"]] == [(1, 1), (4, 2)]
        assert [error["line"] for error in answer.data["errors"]] == [2]
        assert answer.data["errors"][0].keys() >= {"line", "code", "message", "hint"}

    def test_with_a_clock_beyond_all_calendars_spoils_no_other(self, program: Program) -> None:
        answer = batch(program, line(), line(now_ts=10**30), line(now_ts=10**14), line())
        assert (answer.status, answer.out) == (65, "1\n2\n"), answer

    def test_that_is_not_utf_8_spoils_no_other(self, program: Program) -> None:
        (program.home / "batch.jsonl").write_bytes(
            line().encode() + b'{"to": "caf\xe9@example.org"}\n' + line().encode()
        )
        answer = program.run("send", "--batch", "batch.jsonl")
        assert (answer.status, answer.out) == (65, "1\n2\n"), answer
        assert "line 2" in answer.err

    HIDDEN = ("a\nb", "a\rb", "a\r\nBcc: b@example.org", "end\n", "\nstart", "a\0b", "a\tb\x0b", "a\x1bb", "a\x7fb",
              "a\x85b", "a\u2028b", "a\u2029b", "a\ud800b", "=?utf-8?b?YQpi?=", "=?utf-8?q?a=0D=0ABcc:_b?=",
              "=?us-ascii?q?a=00b?=", "=?iso-8859-1?q?a=85b?=", "=?utf-8?q?a=E2=80=A8b?=",
              "x =?UTF-8?Q?a=0Ab?= y")  # fmt: skip
    NO_ADDRESS = ("", " ", "a", "@example.org", "a@", "a@b@c.org", "a b@example.org", "a@ex ample", "-oQueue",
                  "a@example.org,", "a@example.org,,b@example.org", "<a@example.org", "a@example.org>", "a@-b.org",
                  "a..b@example.org", ".a@example.org", "a.@example.org", "a@b..org", "a@[1.2.3]",
                  "x" * 65 + "@example.org", "a@" + "x" * 64 + ".org", "a@example.org b@example.org",
                  "group: a@example.org", "a\0@example.org", "a@example.org\r\nRCPT TO:<b@example.org>",
                  "a@exa\u2028mple.org", "a@example.org\n")  # fmt: skip

    @pytest.mark.parametrize("field", ["to", "cc", "bcc", "subject"])
    def test_with_a_control_character_in_a_header_is_never_enqueued(self, field: str, program: Program) -> None:
        values = self.HIDDEN if field == "subject" else tuple(f'"{text}" <a@example.org>' for text in self.HIDDEN)
        self._none_is_enqueued(field, values, program)

    def test_with_a_line_break_hidden_by_the_charset_of_an_encoded_word_is_never_enqueued(
        self, program: Program
    ) -> None:
        self._none_is_enqueued("subject", ("=?utf-7?q?a+AAo-b?=", "=?utf-16?b?//5hAAoAYgA=?="), program)

    @pytest.mark.parametrize("field", ["to", "cc", "bcc"])
    def test_with_an_address_that_is_none_is_never_enqueued(self, field: str, program: Program) -> None:
        self._none_is_enqueued(field, self.NO_ADDRESS if field == "to" else self.NO_ADDRESS[2:], program)

    def _none_is_enqueued(self, field: str, values: tuple[str, ...], program: Program) -> None:
        answer = batch(program, *(line(**{field: value}) for value in values), options=("--json",))
        assert [values[told["line"] - 1] for told in answer.data["messages"]] == []
        assert (answer.status, len(answer.data["errors"]), rows(program)) == (65, len(values), [])


class TestThousands:
    @pytest.mark.of_files
    def test_make_one_transaction_each(self, program: Program) -> None:
        assert program.run("stats").status == 0
        with closing(sqlite3.connect(program.outbox)) as onlooker:  # as long as it is there, the log is kept
            onlooker.execute("SELECT * FROM outbox").fetchall()
            before = len(commits(program))
            answer = batch(program, *(line() for _ in range(2500)))
            made = len(commits(program)) - before
        assert answer.out == "".join(f"{number}\n" for number in range(1, 2501))
        assert made == 3

    @pytest.mark.of_files
    @pytest.mark.parametrize("as_json", [False, True])
    def test_that_no_longer_fit_on_the_disk_are_not_acknowledged(self, as_json: bool, program: Program) -> None:
        def limit_files() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (8_000_000, resource.RLIM_INFINITY))

        (program.home / "batch.jsonl").write_text(line(body_text="x" * 2000) * 5000)
        process = program.start("send", "--batch", "batch.jsonl", *["--json"] * as_json, preexec_fn=limit_files)
        answer = Answer(0, *process.communicate(timeout=60))
        check_only_the_stored_are_acknowledged(Answer(process.returncode, answer.out, answer.err), program, as_json)

    @pytest.mark.of_files
    def test_that_meet_a_full_disk_are_not_acknowledged(self, small_disk: Path, program: Program) -> None:
        program.configure()
        program.config.write_text(program.config.read_text().replace('"outbox.db"', f'"{small_disk / "outbox.db"}"'))
        program.outbox = small_disk / "outbox.db"
        answer = batch(program, *(line(body_text="x" * 2000) for _ in range(5000)))
        check_only_the_stored_are_acknowledged(answer, program, as_json=False)


def check_only_the_stored_are_acknowledged(answer: Answer, program: Program, as_json: bool) -> None:
    assert answer.status == 74, answer
    assert "Traceback" not in answer.out + answer.err
    there = [row["outbox_id"] for row in rows(program)]
    assert there in ([*range(1, 1001)], [*range(1, 2001)], [*range(1, 3001)])
    if as_json:
        assert (answer.json["ok"], answer.json["error"]["code"]) == (False, "storage")
        assert answer.data is not None, "what was stored is not told of: who repeats the batch doubles it"
        assert [message["outbox_id"] for message in answer.data["messages"]] == there
    else:
        assert [int(word) for word in answer.out.split()] == there
        assert answer.err.startswith("error: ")
    with closing(sqlite3.connect(program.outbox)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM recipient").fetchone() == (len(there),)


def commits(program: Program) -> list[int]:
    """Pages of the database after each transaction in SQLite's log (sqlite.org/fileformat2.html#walformat)."""
    log = program.outbox.with_name("outbox.db-wal").read_bytes()
    page_size, salt = struct.unpack(">8xI4x8s", log[:24]) if log else (4096, b"")
    frames = (log[at : at + 24] for at in range(32, len(log), page_size + 24))
    return [
        size
        for _, size, frame_salt in (struct.unpack(">II8s8x", frame) for frame in frames)
        if size and frame_salt == salt
    ]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB; skipped where this user may not mount one."""
    directory = tmp_path / "disk"
    directory.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "prx-email-test", str(directory)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a file system")
    yield directory
    subprocess.run(["umount", str(directory)], check=True)
