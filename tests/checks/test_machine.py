"""``doctor`` on the machine: config, permissions, clock, domain, notify command, log and disk."""

import json
import os
import shutil
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from prx_email_cli.checks.machine import check_machine
from prx_email_cli.config.settings import load_settings

from ..conftest import COMMAND, HELD_TO_MODES, Program
from ..support.scripted import ScriptedServer
from .healthy import SECRET, check_only, configure, examined, not_ok, unwell

YEAR_2001 = 1_000_000_000


def test_all_is_well_and_every_check_says_so(program: Program, healthy: Program, server: ScriptedServer) -> None:
    configure(program, server.port, more='[notify]\ncommand = ["cat"]\n[log]\nfile = "attempts.log"')
    told = examined(healthy)
    assert told["status"] == 0
    assert [check["name"] for check in told["data"]["checks"]] == [
        *("config", "permissions", "clock", "message_id_domain", "notify", "log", "disk"),
        *("database", "recorded times", "messages", "cron"),
        *("secret", "address", "connection", "tls", "greeting", "login", "limits"),
    ]
    assert not (program.home / "attempts.log").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [("[accounts.x]\nform = 1", ('did you mean "from"?',)), (None, ("no such config file", "prx-email init"))],
    ids=["wrong", "missing"],
)
def test_an_unreadable_config_ends_the_checks(text: str | None, words: tuple[str, ...], healthy: Program) -> None:
    healthy.config.unlink()
    if text is not None:
        healthy.config.write_text(text)
    check_only(healthy, "config", "failed", 78, str(healthy.config), *words)
    assert len(examined(healthy)["data"]["checks"]) == 1


def test_a_config_with_a_secret_that_others_can_read_is_77(healthy: Program) -> None:
    configure(healthy, 9, smtp='user = "ops"', auth=f"password = {json.dumps(SECRET)}")
    healthy.config.chmod(0o644)
    check_only(healthy, "config", "failed", 77, "readable by others", "chmod 600")


class TestPermissions:
    @pytest.mark.of_files
    @pytest.mark.parametrize("mode", [0o640, 0o604])
    def test_of_an_outbox_that_others_can_read_are_77(self, mode: int, healthy: Program) -> None:
        healthy.outbox.chmod(mode)
        told = examined(healthy)
        assert (told["status"], told["error"]["code"]) == (77, "config")
        assert not_ok(told) == [("permissions", "failed"), ("database", "failed")]
        assert f"chmod go= {healthy.outbox}" in told["error"]["hint"]
        assert healthy.outbox.stat().st_mode & 0o777 == mode

    @pytest.mark.of_files
    @pytest.mark.parametrize("end", ["-wal", "-shm"])
    def test_of_the_databases_log_are_looked_at_too(self, end: str, healthy: Program) -> None:
        with closing(healthy.store()):  # keeps both files there
            file = Path(f"{healthy.outbox}{end}")
            file.chmod(0o644)
            check_only(healthy, "permissions", "failed", 77, str(file), "chmod go=")

    @pytest.mark.of_files
    @pytest.mark.parametrize(
        ("name", "mode", "fix"), [("outbox.db.runs", 0o755, "chmod go="), ("config.toml", 0o622, "chmod go-w")]
    )
    def test_of_what_lies_beside_it_are_looked_at_too(self, name: str, mode: int, fix: str, healthy: Program) -> None:
        (healthy.home / name).chmod(mode)
        check_only(healthy, "permissions", "failed", 77, name, fix)

    def test_of_a_config_without_secrets_may_let_others_read(self, healthy: Program) -> None:
        healthy.config.chmod(0o644)
        assert unwell(healthy) == []


def test_the_domain_of_everybody_who_chose_none_is_told_with_one_that_nobody_else_has(
    healthy: Program, server: ScriptedServer
) -> None:
    healthy.configure(server.port)
    check_only(healthy, "message_id_domain", "warning", 78, "prx-email.local", "the same Message-IDs")
    fixes = [examined(healthy)["error"]["hint"] for _ in range(2)]
    assert fixes[0] != fixes[1]
    healthy.configure(server.port, outbox=fixes[0].removeprefix("set [outbox] "))
    assert unwell(healthy) == []


def test_a_clock_that_shows_a_time_before_this_program_was_written_is_told(healthy: Program) -> None:
    checks = {check.name: check for check in check_machine(load_settings(healthy.config), YEAR_2001)}
    assert (checks["clock"].result, checks["clock"].exit) == ("warning", 75)
    assert "2001-09-" in checks["clock"].detail
    assert "NTP" in checks["clock"].fix


class TestTheNotifyCommand:
    def test_that_nobody_knows_is_told(self, healthy: Program, server: ScriptedServer) -> None:
        configure(healthy, server.port, more='[notify]\ncommand = ["no-such-command", "-x"]')
        check_only(healthy, "notify", "failed", 78, "no-such-command", "full path")

    def test_that_cannot_be_executed_is_told(self, healthy: Program, server: ScriptedServer) -> None:
        hook = healthy.home / "hook.sh"
        hook.write_text("#!/bin/sh\n")
        configure(healthy, server.port, more=f'[notify]\ncommand = ["{hook}"]')
        check_only(healthy, "notify", "failed", 78, str(hook))
        hook.chmod(0o700)
        assert unwell(healthy) == []

    def test_is_not_run(self, healthy: Program, server: ScriptedServer) -> None:
        configure(healthy, server.port, more=f'[notify]\ncommand = ["touch", "{healthy.home}/run"]')
        assert unwell(healthy) == []
        assert not (healthy.home / "run").exists()


class TestTheLog:
    @pytest.mark.parametrize(
        "place",
        [
            "missing/attempts.log",
            "config.toml/attempts.log",
            pytest.param("outbox.db.runs", marks=pytest.mark.of_files),
        ],
    )
    def test_that_cannot_be_written_is_told(self, place: str, healthy: Program, server: ScriptedServer) -> None:
        """Its directory is missing or none, or there is a directory in its place."""
        configure(healthy, server.port, more=f'[log]\nfile = "{place}"')
        check_only(healthy, "log", "failed", 78, place)

    def test_in_a_directory_that_is_not_ours_is_told(self, healthy: Program, server: ScriptedServer) -> None:
        (healthy.home / "closed").mkdir(mode=0o500)
        configure(healthy, server.port, more='[log]\nfile = "closed/attempts.log"')
        healthy.wrapper = HELD_TO_MODES
        check_only(healthy, "log", "failed", 78, "closed/attempts.log", "owner")

    def test_that_is_there_already_is_left_as_it_is(self, healthy: Program, server: ScriptedServer) -> None:
        (healthy.home / "attempts.log").write_text("kept\n")
        configure(healthy, server.port, more='[log]\nfile = "attempts.log"')
        assert unwell(healthy) == []
        assert (healthy.home / "attempts.log").read_text() == "kept\n"


@pytest.mark.of_files
class TestTheDisk:
    def test_with_no_room_for_a_few_of_the_largest_messages_is_told(
        self, healthy: Program, server: ScriptedServer
    ) -> None:
        size = shutil.disk_usage(healthy.home).total
        configure(healthy, server.port, more=f"[attachments.policy]\nmax_message_bytes = {size}")
        check_only(healthy, "disk", "warning", 74, "MiB free", str(healthy.home))

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount one")
    @pytest.mark.parametrize(("size", "well"), [("64m", False), ("400m", True)])
    def test_is_the_one_that_holds_the_outbox(
        self, size: str, well: bool, healthy: Program, server: ScriptedServer
    ) -> None:
        if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
            pytest.skip("this root may not")
        (healthy.home / "small").mkdir()
        text = healthy.config.read_text().replace('"outbox.db"', '"small/not/yet/there/outbox.db"')
        healthy.config.write_text(text)
        script = f"mount -t tmpfs -o size={size} none small && exec {' '.join(COMMAND)} doctor --json"
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script], env=healthy.environment, cwd=healthy.home, text=True,
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip
        checks = {check["name"]: check for check in json.loads(done.stdout)["data"]["checks"]}
        assert checks["disk"]["result"] == ("ok" if well else "warning"), done
        assert done.returncode == (0 if well else 74)
        assert f"{size[:-1]} MiB free" in checks["disk"]["detail"]
