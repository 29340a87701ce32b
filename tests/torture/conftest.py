"""How big the campaigns are, and the field on which they take place.

By environment: TORTURE_KILLS and TORTURE_MESSAGES (at random instants), TORTURE_ROUNDS (over the named points),
TORTURE_SEED.  The defaults are the short run's, in which a database, after the file, has a smaller part.
"""

import os
import random
from collections.abc import Iterator

import pytest

from ..conftest import ON_POSTGRES, Program
from ..support.scripted import ScriptedServer
from .field import Field


def size(name: str, default: int) -> int:
    """A number from the environment."""
    return int(os.environ.get(f"TORTURE_{name}", default))


def is_long(name: str) -> bool:
    """Whether the size of this name was given, or only this kind of outbox has its turn: then nothing is left out."""
    return ON_POSTGRES or f"TORTURE_{name}" in os.environ


@pytest.fixture
def rng() -> random.Random:
    """Chance with a seed that is printed."""
    seed = size("SEED", random.SystemRandom().randrange(1_000_000))
    print(f"\nTORTURE_SEED={seed}")
    return random.Random(seed)


@pytest.fixture
def field(program: Program) -> Iterator[Field]:
    """An outbox with two accounts; the server of ``plain`` offers no PIPELINING."""
    with ScriptedServer() as work, ScriptedServer(pipelining=False) as plain:
        yield Field(program, {"work": work, "plain": plain})
