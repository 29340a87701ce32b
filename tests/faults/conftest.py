"""All selected rows of the matrix are played at once, before the first of them is judged."""

import pytest

from ..support.certs import Certificates
from .campaign import Campaign, play_all
from .places import Row


@pytest.fixture(scope="session")
def campaign(request: pytest.FixtureRequest, certificates: Certificates) -> Campaign:
    """What was observed of each row that this session is about."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    rows = [call.params["row"] for call in calls if call is not None and isinstance(call.params.get("row"), Row)]
    return play_all(list(dict.fromkeys(rows)), certificates)
