"""Every test has a state directory of its own, an authorization server, and no secret known from another test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from prx_email_cli.redaction import forget_all

from ..support.oauth_server import OAuthServer


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith(("PRX_EMAIL_", "XDG_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    forget_all()


@pytest.fixture
def oauth() -> Iterator[OAuthServer]:
    """An authorization server that does all as it should."""
    with OAuthServer() as server:
        yield server
