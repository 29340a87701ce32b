"""A full file system: what cannot be stored is not acknowledged, and once there is space again nothing is missing."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Program
from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from ..support.small_disk import NoDisk, SmallDisk
from .field import Field


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[SmallDisk]:
    """A small file system; mounting it needs root, and ``max_page_count`` stands in for it elsewhere."""
    try:
        disk = SmallDisk(tmp_path / "small")
    except NoDisk as error:
        pytest.skip(f"no tmpfs without root: {error}")
    yield disk
    disk.unmount()


def _on(tmpfs: SmallDisk, program: Program, server: ScriptedServer) -> Field:
    """A field whose outbox is on the small file system."""
    field = Field(program, {"work": server})
    program.config.write_text(program.config.read_text().replace('"outbox.db"', f'"{tmpfs.outbox}"'))
    program.outbox = tmpfs.outbox
    return field


def _send_until_full(field: Field, **environment: Any) -> None:
    """Enqueue batch after batch; the one that does not fit is refused with 74 and acknowledges nothing."""
    for _ in range(1000):
        tokens, text = field.lines(50, large_every=5)
        ended = field.run("send", "--batch", "-", text=text, **environment)
        field.acknowledge(tokens, ended.out)
        if ended.status != 0:
            break
    assert (ended.status, ended.out) == (74, ""), ended
    assert "full" in ended.err or "space" in ended.err, ended


def test_a_drain_that_cannot_record_what_it_sent_exits_74_and_the_next_one_records_it_and_sends_nothing_twice(
    tmpfs: SmallDisk, program: Program
) -> None:
    on_the_wire = 4
    with ScriptedServer([Fault("after_dot", "pause", times=on_the_wire)]) as server:
        field = _on(tmpfs, program, server)
        field.send(100)
        drain = field.start("drain", "--connections", str(on_the_wire))
        server.wait_for(lambda: len(server.messages) == on_the_wire, 60)
        tmpfs.fill()
        server.release()
        ended = field.end(drain)
        assert ended.status == 74, ended
        assert "nothing was stored" not in ended.err
        sending = {outbox_id for (outbox_id,) in field.query("SELECT id FROM outbox WHERE status = 'sending'")}
        told = {int(outbox_id) for outbox_id in re.findall(r"outbox message (\d+) was delivered \(", ended.err)}
        assert told, "the disk was not full enough to matter"
        assert told <= sending, "beside what was claimed ahead and not begun"
        assert "prx-email resolve ID --sent" in ended.err
        assert field.query("PRAGMA integrity_check") == [("ok",)]

        tmpfs.free()
        field.finish("--connections", "3")
        tally = field.tally()
        print(f"\nfull file system, drain: {tally}")
        tally.check()
        assert (tally.doubled, tally.recoveries) == (0, 0), "the flight record knew the answers"


def test_a_database_at_its_limit_behaves_like_a_full_disk(program: Program) -> None:
    with ScriptedServer() as server:
        field = Field(program, {"work": server})
        field.send(50, large_every=5)
        (pages,) = field.query("PRAGMA page_count")[0]
        _send_until_full(field, TORTURE_MAX_PAGES=str(pages + 400))
        assert dict(field.query("SELECT id, subject FROM outbox")) == field.acknowledged
        assert field.query("PRAGMA integrity_check") == [("ok",)]
        (pages,) = field.query("PRAGMA page_count")[0]

        ended = field.run("drain", "--connections", "4", TORTURE_MAX_PAGES=str(pages))
        assert ended.status == 74, ended

        field.finish("--connections", "3")
        tally = field.tally()
        print(f"\ndatabase at its limit: {tally}")
        tally.check()
