"""A person's machine without a config, and the two servers that an OAuth login needs."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ...conftest import Program
from ...support.oauth_server import OAuthServer
from ...support.scripted import ScriptedServer
from .field import mail_for, oauth_table, write_config

_NOT_OURS = ("XDG_", "PYTHON_KEYRING_", "TERM", "DISPLAY", "WAYLAND_")  # the last three would bring browsers along
PLAINTEXT = "keyrings.alt.file.PlaintextKeyring"


def clean_owner(home: Path) -> Program:
    """The installed command in *home*, without a config and with a keyring that works, whatever this machine has."""
    owner = Program(home)
    owner.environment = {
        name: value
        for name, value in owner.environment.items()
        if not name.startswith(_NOT_OURS) and not name.lower().endswith("_proxy")
    }
    owner.environment |= {"PYTHON_KEYRING_BACKEND": PLAINTEXT, "BROWSER": os.devnull, "LC_ALL": "C.UTF-8"}
    return owner


@pytest.fixture
def owner(tmp_path: Path) -> Program:
    """The installed command in a home with nothing in it."""
    return clean_owner(tmp_path)


@pytest.fixture
def oauth() -> Iterator[OAuthServer]:
    """An authorization server where everybody agrees at once."""
    with OAuthServer() as server:
        yield server


@pytest.fixture
def mail(oauth: OAuthServer) -> Iterator[ScriptedServer]:
    """The mail server that goes with ``oauth``."""
    with mail_for(oauth) as server:
        yield server


@pytest.fixture
def account(owner: Program, oauth: OAuthServer, mail: ScriptedServer) -> Program:
    """An account that waits for its first login."""
    write_config(owner, mail, oauth_table(oauth))
    return owner
