"""The examples for unattended use: what they call exists, what they name is documented, and no secret is in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ..conftest import Program

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
UNITS = sorted((EXAMPLES / "systemd").iterdir())
DOCKERFILE = (EXAMPLES / "docker" / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((EXAMPLES / "docker" / "compose.yaml").read_text())
MACHINES = yaml.safe_load((EXAMPLES / "docker" / "compose-postgres.yaml").read_text())
LOGROTATE = (EXAMPLES / "prx-email.logrotate").read_text()
PROGRAMS = ("prx-email", "prx-sendmail")


def unit(name: str) -> dict[str, list[str]]:
    """The settings of a unit, each with its values in order."""
    settings: dict[str, list[str]] = {}
    for line in (EXAMPLES / "systemd" / name).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            settings.setdefault(key, []).append(value)
    return settings


def command_lines() -> Iterator[str]:
    """Every command line of this program in the examples; comments count."""
    for file in UNITS:
        for line in file.read_text().splitlines():
            if line.startswith("Exec") and "prx-email" in line:
                yield line.partition("=")[2]
    for line in (EXAMPLES / "prx-email.cron").read_text().splitlines():
        if line.startswith("*"):
            yield line.split(None, 6)[6]
    words = re.findall(r"^(?:    )?(?:CMD|ENTRYPOINT) (\[.*\])$", DOCKERFILE, re.MULTILINE)
    check, entrypoint, command = (yaml.safe_load(one) for one in words)
    yield from (shlex.join(check), shlex.join([*entrypoint, *command]))
    yield shlex.join([*entrypoint, *COMPOSE["services"]["mail"]["command"]])
    for service in MACHINES["services"].values():
        if "command" in service:
            yield shlex.join([*entrypoint, *service["command"]])
    for file in (EXAMPLES / "docker").iterdir():
        yield from re.findall(r"exec (?:-i )?(?:mail|drain-1) (prx-email .*)$", file.read_text(), re.MULTILINE)


def test_there_is_something_to_check() -> None:
    assert len(UNITS) == 5
    assert len(list(command_lines())) >= 8


@pytest.mark.parametrize("line", sorted(set(command_lines())))
def test_a_command_line_is_one_that_the_program_takes(line: str, program: Program) -> None:
    name, *words = shlex.split(line)
    assert name == "prx-email"
    answer = program.call(*words, "--help")
    assert answer.status == 0, answer
    assert "Usage:" in answer.out


def test_each_variable_is_documented() -> None:
    named = set()
    for file in (*UNITS, *(EXAMPLES / "docker").iterdir(), EXAMPLES / "prx-email.cron"):
        named |= set(re.findall(r"PRX_EMAIL_[A-Z_]+", file.read_text()))
    documented = (ROOT / "docs/environment.md").read_text() + (ROOT / "docs/configuration.md").read_text()
    assert named >= {"PRX_EMAIL_URL_FILE", "PRX_EMAIL_OUTBOX"}
    assert {name for name in named if name not in documented} == set()


def test_each_example_is_told_of_on_the_page() -> None:
    page = (ROOT / "docs" / "unattended.md").read_text()
    files = [EXAMPLES / "prx-email.cron", EXAMPLES / "prx-email.logrotate", *(EXAMPLES / "docker").iterdir(), *UNITS]
    assert {file.name for file in files if file.name not in page} == set()


@pytest.mark.parametrize("name", ["prx-email-drain", "prx-email-follow", "prx-email-listen"])
def test_a_service_has_the_shared_outbox_and_few_rights(name: str) -> None:
    settings = unit(f"{name}.service")
    assert settings["User"] == ["prx-email"]
    assert settings["StateDirectory"] == ["prx-email"]
    assert settings["StateDirectoryMode"] == ["0711"], (
        "as install-system makes it: whoever drops mail must pass through"
    )
    for only in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices", "MemoryDenyWriteExecute"):
        assert settings[only] == ["yes"]
    assert settings["ProtectSystem"] == ["strict"]
    assert settings["CapabilityBoundingSet"] == [""]
    assert "PrivateUsers" not in settings, "the owner of a dropped file, or a client's user, would be unknown"
    assert ("PrivateNetwork" in settings) is (name == "prx-email-listen")


def test_the_units_belong_together() -> None:
    assert unit("prx-email-listen.service")["Requires"] == ["prx-email-listen.socket"]
    assert unit("prx-email-listen.socket")["Accept"] == ["no"]
    assert unit("prx-email-drain.timer")["WantedBy"] == ["timers.target"]
    for name in ("follow", "listen"):
        settings = unit(f"prx-email-{name}.service")
        assert (settings["Type"], settings["ExecReload"]) == (["notify"], ["kill -HUP $MAINPID"])
        assert settings["WatchdogSec"] == ["2min"]
    assert "69" in unit("prx-email-drain.service")["SuccessExitStatus"][0]


def test_the_image_runs_as_nobody_of_importance_and_has_no_secret_in_a_layer() -> None:
    user = re.findall(r"^USER (.*)$", DOCKERFILE, re.MULTILINE)
    assert user == ["10025:10025"]
    assert "STOPSIGNAL SIGTERM" in DOCKERFILE
    assert not re.search(r"^(ARG|ENV) .*(URL|PASSWORD|TOKEN)", DOCKERFILE, re.MULTILINE)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {".*", "examples", "tests"} <= set(ignored)
    needed = [ROOT / "pyproject.toml", ROOT / "README.md", ROOT / "LICENSE", ROOT / "prx_email_cli"]
    assert all(file.exists() and file.name not in ignored for file in needed)


def test_the_compose_file_gives_the_account_as_a_secret_and_lets_only_its_network_in(program: Program) -> None:
    mail: dict[str, Any] = COMPOSE["services"]["mail"]
    mounts = {one["target"]: one for one in mail["volumes"] if one["type"] == "bind"}
    assert all(one["read_only"] for one in mounts.values())
    variables = mail["environment"]
    assert set(mounts) == {variables["PRX_EMAIL_CONFIG"], variables["PRX_EMAIL_URL_FILE"]}
    assert mail["read_only"]
    assert mail["cap_drop"] == ["ALL"]
    assert "ports" not in mail
    (build, dockerfile) = (mail["build"]["context"], mail["build"]["dockerfile"])
    assert (EXAMPLES / "docker" / build / dockerfile).resolve() == (EXAMPLES / "docker" / "Dockerfile").resolve()
    (network,) = COMPOSE["networks"].values()
    text = (EXAMPLES / "docker" / mounts[variables["PRX_EMAIL_CONFIG"]]["source"]).read_text()
    assert network["ipam"]["config"][0]["subnet"] in text
    program.config.write_text(text)
    url = program.home / "url"
    url.write_text("smtps://user:password@smtp.example.com/?from=ops@example.com\n")
    url.chmod(0o600)
    assert program.run("config", "check", PRX_EMAIL_URL_FILE=str(url)).status == 0
    every = {name for of in COMPOSE["services"].values() for name in of.get("networks", [])}
    assert every == set(COMPOSE["networks"])


def test_the_compose_file_for_machines_has_two_of_each_that_share_a_database_and_no_volume(program: Program) -> None:
    services: dict[str, Any] = MACHINES["services"]
    machines = {name: one for name, one in services.items() if name != "database"}
    assert [one["command"][0] for one in machines.values()] == ["listen", "listen", "drain", "drain"]
    own = [mount["source"] for one in services.values() for mount in one["volumes"] if mount["type"] == "volume"]
    assert sorted(own) == sorted(set(own)) == sorted(MACHINES["volumes"])
    for one in machines.values():
        mounts = {mount["target"]: mount for mount in one["volumes"] if mount["type"] == "bind"}
        assert all(mount["read_only"] for mount in mounts.values())
        assert {one["environment"]["PRX_EMAIL_CONFIG"], one["environment"]["PRX_EMAIL_URL_FILE"]} < set(mounts)
        assert one["environment"]["PRX_EMAIL_OUTBOX"] == "postgresql://mail@database/outbox"
        assert (one["read_only"], one["cap_drop"]) == (True, ["ALL"])
        assert one["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert all("ports" not in one and "secrets" not in one for one in services.values())
    assert all("healthcheck" in one for name, one in services.items() if not name.startswith("drain"))


def test_the_config_for_machines_finds_the_database_and_its_password(program: Program) -> None:
    text = (EXAMPLES / "docker" / "config-postgres.toml").read_text()
    password = MACHINES["services"]["database"]["environment"]["POSTGRES_PASSWORD_FILE"]
    assert f'password_file = "{password}"' in text
    (network,) = MACHINES["networks"].values()
    assert network["ipam"]["config"][0]["subnet"] in text
    secrets = {name: program.home / name for name in ("url", "password")}
    secrets["url"].write_text("smtps://user:password@smtp.example.com/?from=ops@example.com\n")
    secrets["password"].write_text("secret\n")
    for secret in secrets.values():
        secret.chmod(0o600)
    program.config.write_text(text.replace(password, str(secrets["password"])))
    environment = {
        "PRX_EMAIL_URL_FILE": str(secrets["url"]), "PRX_EMAIL_OUTBOX": "postgresql://mail@database/outbox",
    }  # fmt: skip
    answer = program.run("config", "check", **environment)
    assert answer.status == 0, answer
    assert "[listen,postgres]" in DOCKERFILE


def test_rotating_needs_no_signal_and_no_copy() -> None:
    body = [line.strip() for line in LOGROTATE.splitlines() if line.startswith("    ")]
    assert {"nocreate", "delaycompress", "su prx-email prx-email"} <= set(body)
    assert not {"copytruncate", "postrotate"} & set(body)
