"""``[outbox] keep_content`` and ``keep_records``: what drains delete by themselves."""

from __future__ import annotations

import time

import pytest

from ..conftest import Program
from ..support.mailhost import MailHost
from .outside import assert_error, rows


def contents(program: Program) -> int:
    return int(program.execute("SELECT count(*) FROM content")[0][0])


def test_a_drain_deletes_what_was_kept_long_enough_after_it_has_delivered(program: Program, host: MailHost) -> None:
    program.configure(host.port, outbox='keep_content = "0s"')
    for _ in range(3):
        program.send()
    program.send("--in", "1d")
    assert program.run("drain").status == 0
    assert contents(program) == 1
    assert [row["status"] for row in rows(program)] == ["sent", "sent", "sent", "pending"]
    assert abs(program.show(1)["pruned_at"] - time.time()) < 3600
    assert "content was dropped" in program.run("show", "1").out


@pytest.mark.on_both
def test_records_go_too_and_nothing_younger(program: Program, host: MailHost) -> None:
    program.configure(host.port, outbox='keep_content = "1h"\nkeep_records = "2h"')
    long_ago = int(time.time()) - 90 * 60
    for at in (long_ago - 3600, long_ago, long_ago + 3600):
        program.send("--now-ts", str(at))
        assert program.run("drain", "--now-ts", str(at)).status == 0
    assert (len(rows(program)), contents(program)) == (3, 3), "a rehearsal deletes nothing"
    assert program.run("drain").status == 0
    assert [row["outbox_id"] for row in rows(program)] == [2, 3]
    assert contents(program) == 1


def test_without_them_everything_is_kept(program: Program, host: MailHost) -> None:
    program.send("--now-ts", "1000")
    assert program.run("drain").status == 0
    assert contents(program) == 1


@pytest.mark.parametrize("value", ["30", "soon", "-1d", "9999999999999y"])
def test_what_is_no_duration_is_a_fault_of_the_config(program: Program, value: str) -> None:
    program.configure(outbox=f'keep_records = "{value}"')
    assert_error(program.run("list"), 78, "outbox.keep_records", "is not a duration", '"30d"')
