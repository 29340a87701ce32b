"""All selected rows of the matrix are played at once, before the first of them is judged."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from ..support.certs import Certificates
from ..support.postgres import MISSING, programs
from .campaign import Campaign, Outbox, play_all
from .places import Row
from .stores import KINDS, MEMORY, POSTGRESQL


@pytest.fixture(scope="session")
def campaign(request: pytest.FixtureRequest, certificates: Certificates) -> Campaign:
    """What was observed of each row that this session is about."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    rows = [
        (call.params["row"], call.params["kind"])
        for call in calls
        if call is not None and isinstance(call.params.get("row"), Row)
    ]
    return play_all(list(dict.fromkeys(rows)), certificates)


@pytest.fixture(params=[MEMORY, POSTGRESQL])
def outbox_at(request: pytest.FixtureRequest) -> Iterator[Callable[[int], Outbox]]:
    """Make an empty outbox with an account for the server on this port."""
    if request.param == POSTGRESQL and programs() is None:
        pytest.skip(MISSING)
    with ExitStack() as open_:
        yield lambda port: Outbox(open_.enter_context(KINDS[request.param]()), port)
