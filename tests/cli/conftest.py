"""The servers that the account ``work`` sends through."""

from collections.abc import Iterator

import pytest

from ..conftest import Program
from ..support.faults import Fault
from ..support.mailhost import MailHost
from ..support.scripted import ScriptedServer
from .outside import REFUSED, serving


@pytest.fixture
def host(program: Program) -> Iterator[MailHost]:
    """A server that takes everything."""
    with MailHost() as host:
        program.configure(host.port)
        yield host


@pytest.fixture
def refusing(program: Program) -> Iterator[ScriptedServer]:
    """A server that refuses one address for good."""
    with serving(program, Fault("rcpt", "550 5.1.1 no such user", address=REFUSED)) as server:
        yield server
