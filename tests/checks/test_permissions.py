"""``doctor`` tells everything that others can read or change, not the first of it alone."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Program
from ..files.people import BEN, needs_root
from ..support.scripted import ScriptedServer
from .healthy import SECRET, configure, examined, unwell

pytestmark = pytest.mark.of_files


def faults_told(program: Program) -> list[dict[str, Any]]:
    """The checks of permissions that failed."""
    return [check for check in examined(program)["data"]["checks"] if check["name"] == "permissions"]


def open_directory(program: Program, name: str) -> Path:
    """A directory that others can change."""
    place = program.home / name
    place.mkdir()
    place.chmod(0o777)
    return place


def fixes(program: Program) -> list[str]:
    """What to do about each fault."""
    return [check["fix"] for check in faults_told(program) if check["result"] == "failed"]


def test_of_a_healthy_machine_there_is_nothing_to_tell(healthy: Program) -> None:
    assert [check["result"] for check in faults_told(healthy)] == ["ok"]


def test_every_fault_of_the_outbox_is_told(healthy: Program) -> None:
    runs, journal = healthy.home / "outbox.db.runs", healthy.home / "outbox.db-journal"
    healthy.outbox.chmod(0o640)
    runs.chmod(0o750)
    (runs / "planted").symlink_to("/etc/passwd")
    journal.symlink_to("/etc/passwd")
    assert fixes(healthy) == [
        f"chmod go= {healthy.outbox}", f"chmod go= {runs}", f"rm {journal}", f"rm {runs / 'planted'}",
    ]  # fmt: skip


def test_what_one_command_mends_is_told_once(healthy: Program) -> None:
    """A mode that lets others both read and write, and a directory on the way to several files."""
    healthy.outbox.chmod(0o666)
    assert fixes(healthy) == [f"chmod go= {healthy.outbox}"]
    healthy.outbox.chmod(0o600)
    healthy.home.chmod(0o777)
    assert fixes(healthy) == [f"chmod go-w {healthy.home}"]


def test_of_a_config_that_is_not_obeyed_every_fault_is_told_and_nothing_else_tried(healthy: Program) -> None:
    healthy.config.chmod(0o666)
    healthy.home.chmod(0o777)
    told = examined(healthy)
    assert told["status"] == 77
    assert {check["name"] for check in told["data"]["checks"]} == {"permissions"}
    assert fixes(healthy) == [f"chmod go-w {healthy.home}", f"chmod go-w {healthy.config}"]


class TestWhatTheConfigNames:
    def test_programs_and_secret_files_are_told(self, healthy: Program, server: ScriptedServer) -> None:
        hooks, secrets = open_directory(healthy, "hooks"), open_directory(healthy, "secrets")
        (hooks / "hook").write_text("#!/bin/sh\n")
        (hooks / "hook").chmod(0o700)
        (secrets / "password").write_text(SECRET)
        (secrets / "password").chmod(0o600)
        more = f'[notify]\ncommand = ["{hooks}/hook"]'
        configure(healthy, server.port, smtp='user = "ops"', auth='password_file = "secrets/password"', more=more)
        assert fixes(healthy) == [f"chmod go-w {hooks}", f"chmod go-w {secrets}"]
        assert "can be replaced" in faults_told(healthy)[0]["detail"]

    def test_commands_for_secrets_are_told(self, healthy: Program, server: ScriptedServer) -> None:
        script = healthy.home / "script"
        script.write_text("#!/bin/sh\necho x\n")
        script.chmod(0o777)
        configure(healthy, server.port, smtp='user = "ops"', auth=f'password_command = ["{script}"]')
        assert fixes(healthy) == [f"chmod go-w {script}"]

    def test_the_way_to_the_attachment_store_is_told(self, healthy: Program, server: ScriptedServer) -> None:
        place = open_directory(healthy, "shared")
        (place / "store").mkdir()
        configure(healthy, server.port, more='[attachments.store]\nenabled = true\ndir = "shared/store"')
        assert fixes(healthy) == [f"chmod go-w {place}"]

    def test_what_is_missing_is_no_fault_of_permissions(self, healthy: Program, server: ScriptedServer) -> None:
        more = '[notify]\ncommand = ["/nowhere/hook"]\n[attachments.store]\nenabled = true\ndir = "nowhere"'
        configure(healthy, server.port, more=more)
        assert unwell(healthy) == [("notify", "failed")]


@needs_root
@pytest.mark.parametrize("name", ["outbox.db-wal", "outbox.db.runs", "outbox.db.runs/last-drain"])
def test_what_is_somebody_elses_is_told_with_the_owner(name: str, healthy: Program) -> None:
    file = healthy.home / name
    file.touch(0o600)
    os.chown(file, BEN, BEN)
    assert [check["detail"].split(",")[0] for check in faults_told(healthy)] == [f"{file} belongs to user {BEN}"]
