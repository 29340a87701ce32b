"""Nights on which the machine is at fault: its disk, its clock, its cron, its files."""

from __future__ import annotations

import pytest

from ..restore.backups import backup, restore
from ..support.faults import Fault
from ..support.postgres import the_server
from ..support.small_disk import NoDisk, SmallDisk
from .night import Night
from .stage import DAY, HOUR, Stage

A = "a@example.org"


def nothing_drains(stage: Stage) -> None:
    stage.send("one")
    stage.now += 3 * HOUR


def clock_ahead(stage: Stage) -> None:
    stage.send("one")
    stage.misbehave(Fault("rcpt", "451 4.3.0 busy"))
    stage.now += 30 * DAY
    stage.drain()
    stage.misbehave()
    stage.now -= 30 * DAY
    stage.drain(1)


def config_open_to_others(stage: Stage) -> None:
    stage.configure(auth='password = "right"')
    stage.send("one")
    stage.program.config.chmod(0o644)
    stage.drain()


def closes_config(stage: Stage) -> None:
    stage.program.config.chmod(0o600)


def run_killed(stage: Stage) -> None:
    stage.misbehave(Fault("data", "timeout"))
    stage.send("one")
    drain = stage.program.start("drain", "--now-ts", str(stage.now))
    stage.server.wait_for(lambda: any(one.line.startswith("DATA") for one in stage.server.commands))
    drain.kill()
    drain.communicate()
    stage.misbehave()


def disk_full(stage: Stage) -> None:
    try:
        disk = SmallDisk(stage.home / "small")
    except NoDisk as error:
        pytest.skip(f"no small disk without root: {error}")
    stage.stack.callback(disk.unmount)
    stage.configure()
    stage.program.config.write_text(stage.program.config.read_text().replace('"outbox.db"', f'"{disk.outbox}"'))
    stage.send("one")
    disk.fill()
    refused = stage.run("prx-email send --to b@example.org --subject two --body text")
    assert refused.status == 74, refused  # not acknowledged, so it is the caller's still
    stage.drain()
    stage.disk = disk


def space_again(stage: Stage) -> None:
    assert stage.disk is not None
    stage.disk.free()


def restored_backup(stage: Stage) -> None:
    stage.send("one", "two")
    if stage.program.url is None:
        copy = backup(stage.program)
        stage.drain()
        restore(stage.program, copy)
    else:
        dumped = the_server().copy_of(stage.program.url)
        stage.drain()
        stage.program.url = dumped
        stage.configure()
    stage.send("three")
    stage.drain(1)


def releases_unsent(stage: Stage) -> None:
    # Its id is 3 in a file; a restored database numbers far ahead.
    newest = max(row["outbox_id"] for row in stage.program.run("list", "--json").data)
    stage.run(f"prx-email release {newest}")


NIGHTS = (
    Night(
        "Nothing drains: no cron line, or cron is not running",
        "a person is wanted: messages wait and nothing drains",
        "no drain",
        nothing_drains,
        ("prx-email cron", "prx-email drain"),
        "put the line that `prx-email cron` prints into the crontab",
    ),
    Night(
        "The clock was a month ahead, and is right again",
        "",
        "prx-email retry 1",
        clock_ahead,
        ("prx-email retry 1 --force",),
    ),
    Night(
        "The config is open to others",
        "holds a password and is readable by others (mode 0644)",
        "",
        config_open_to_others,
        deed="what the hint says: `chmod 600 FILE`",
        put_right=closes_config,
    ),
    Night(
        "The disk is full",
        "error: the outbox … hint: free some space",
        "",
        disk_full,
        deed="make room; what was refused was not acknowledged, so its sender still has it",
        put_right=space_again,
        of_files=True,
    ),
    Night(
        "A backup was restored",
        "restored backup: messages sent since the backup look due again",
        "",
        restored_backup,
        ("prx-email hold --all",),
        afterwards="release what was not sent yet: `prx-email release 3`",
        then=releases_unsent,
        arrives={("one", A): 1, ("two", A): 1, ("three", A): 1},
    ),
    Night(
        "A drain was killed in the middle of a message",
        "a person is wanted: … a drain died with 1 in hand (the next prx-email drain settles what became of them)",
        "",
        run_killed,
        ("prx-email drain",),
    ),
)
