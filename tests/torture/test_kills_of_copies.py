"""Kill ``outbox copy`` at random instants: never do both send, and nothing of the outbox is missing at the end.

TORTURE_COPIES: how many copies are made, each killed until one process of it is quick enough.
"""

from __future__ import annotations

import random
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from prx_email_cli.config.outbox import OutboxSettings
from prx_email_cli.errors import OutboxMoved
from prx_email_cli.outbox.messages import Content
from prx_email_cli.outbox.open import open_store
from prx_email_cli.outbox.store import Store
from prx_email_cli.outbox.views import Filter

from ..conftest import Program
from ..outbox.messages import NOW, new_message
from ..support.postgres import MISSING, programs, the_server
from .conftest import size

MESSAGES, PATIENCE_SECONDS = 300, 120
MOST_KILLS = 12  # of one copy: on a slow machine none would ever be quick enough


def is_open(store: Store) -> bool:
    try:
        store.refuse_restored()
    except OutboxMoved:
        return False
    return True


def assert_at_most_one_sends(places: list[OutboxSettings]) -> None:
    with closing(open_store(places[0])) as one, closing(open_store(places[1])) as other:
        # Before the first mark the other one is an empty outbox.
        assert not (is_open(one) and is_open(other) and other.ids(Filter()))


def lasts(program: Program, words: list[str], seconds: float) -> float | None:
    """Run the command and kill it after so long; return None if it was done before."""
    process = program.start(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(PATIENCE_SECONDS)
        return seconds
    assert process.returncode == 0
    return None


@pytest.mark.parametrize("kinds", ["sqlite-postgres", "postgres-sqlite"])
def test_a_killed_copy_never_leaves_two_that_send_and_is_finished_by_the_next(
    program: Program, rng: random.Random, kinds: str
) -> None:
    if programs() is None:
        pytest.skip(MISSING)
    for number in range(size("COPIES", 1)):
        places = [_place(program.home, kind, f"{number}-{kind}.db") for kind in kinds.split("-")]
        program.url = places[0].url
        program.outbox = places[0].path
        program.configure()
        program.config.write_text(program.config.read_text().replace('"outbox.db"', f'"{program.outbox.name}"'))
        with closing(open_store(places[0])) as store:
            contents = [rng.randbytes(rng.choice((100, 5000, 300_000))) for _ in range(MESSAGES)]
            store.submit([new_message(content=Content.of(one)) for one in contents])
        words = ["outbox", "copy", "--to", places[1].url or str(places[1].path), "--now-ts", str(NOW)]
        for _ in range(MOST_KILLS):
            if lasts(program, words, rng.uniform(0.3, 3)) is None:
                break
            assert_at_most_one_sends(places)
        answer = program.run(*words, "--json")
        assert answer.status == 0, answer
        with closing(open_store(places[0])) as one, closing(open_store(places[1])) as other:
            assert (is_open(one), is_open(other)) == (False, True)
            for outbox_id, content in enumerate(contents, 1):
                assert b"".join(other.exported(outbox_id).content) == content


def _place(home: Path, kind: str, name: str) -> OutboxSettings:
    settings = OutboxSettings()
    return settings.replace(path=home / name) if kind == "sqlite" else settings.replace(url=the_server().new_database())
