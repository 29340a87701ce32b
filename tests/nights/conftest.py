"""The stages: a server that takes logins, one that speaks TLS, or one with an authorization server beside it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from ..cli.setup.field import mail_for, oauth_table, write_config
from ..conftest import Program
from ..support.certs import Certificates
from ..support.oauth_server import OAuthServer
from ..support.scripted import ScriptedServer
from .night import Night
from .stage import Stage


@pytest.fixture
def stage(program: Program, certificates: Certificates, night: Night) -> Iterator[Stage]:
    if night.of_files and program.url is not None:
        pytest.skip("this is about an outbox in a file")
    program.environment["PYTHON_KEYRING_BACKEND"] = "keyrings.alt.file.PlaintextKeyring"
    with ExitStack() as stack:
        yield _oauth(stack, program) if night.scene == "oauth" else _password(stack, program, certificates, night)


def _password(stack: ExitStack, program: Program, certificates: Certificates, night: Night) -> Stage:
    stages: list[Stage] = []
    context = certificates.server_context() if night.scene == "tls" else None
    server = ScriptedServer(
        auth=lambda user, secret: not stages or stages[0].takes(user, secret),
        tls="implicit" if context else None, context=context,
    )  # fmt: skip
    stages.append(stage := Stage(program, stack.enter_context(server), stack))
    stage.certificates, stage.context = certificates, context
    stage.configure()
    program.run("account", "set-password", "work", text="right\n")
    return stage


def _oauth(stack: ExitStack, program: Program) -> Stage:
    oauth = stack.enter_context(OAuthServer())
    server = stack.enter_context(mail_for(oauth))
    stage = Stage(program, server, stack)
    stage.oauth, stage.now = oauth, int(time.time())  # by which tokens expire
    write_config(program, server, oauth_table(oauth))
    stage.log_in()
    return stage
