"""Other processes, none of which outlives its test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .processes import Other, Start


@pytest.fixture
def start() -> Iterator[Start]:
    """Start another process: `start(program, *arguments)`."""
    started: list[Other] = []

    def start_one(program: str, *arguments: object) -> Other:
        started.append(Other(program, *arguments))
        return started[-1]

    yield start_one
    for other in started:
        other.kill()
