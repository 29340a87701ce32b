"""``doctor --offline``: all that can be looked at without asking a server."""

import pytest

from ..conftest import Program
from ..support.scripted import ScriptedServer
from .healthy import USER, configure


def offline(program: Program) -> tuple[int, dict[str, list[str]]]:
    """The exit status, and the names of the checks by the first word of their group."""
    answer = program.run("doctor", "--offline", "--json")
    groups: dict[str, list[str]] = {}
    for check in answer.data["checks"]:
        groups.setdefault(check["group"].split()[0], []).append(check["name"])
    return answer.status, groups


def test_asks_no_server_and_checks_all_else(healthy: Program, server: ScriptedServer) -> None:
    status, groups = offline(healthy)
    assert status == 0
    assert groups == {
        "machine": ["config", "permissions", "clock", "message_id_domain", "disk"],
        "outbox": ["database", "recorded times", "messages", "cron"],
        "account": ["secret"],
    }
    assert server.connections == 0


def test_is_well_where_the_server_is_down_and_the_doctor_is_not(healthy: Program, server: ScriptedServer) -> None:
    server.stop()
    assert offline(healthy)[0] == 0
    assert healthy.run("doctor").status == 75


@pytest.mark.parametrize(
    ("smtp", "auth", "name", "word"),
    [
        (f'user = "{USER}"', 'password_env = "NOT_SET"', "secret", "NOT_SET"),
        ('tls = "starttls"\ntls_ca_file = "none.pem"', "", "tls", "none.pem"),
    ],
)
def test_finds_a_missing_secret_and_an_unreadable_certificate(
    smtp: str, auth: str, name: str, word: str, healthy: Program, server: ScriptedServer
) -> None:
    configure(healthy, server.port, smtp=smtp, auth=auth)
    answer = healthy.run("doctor", "--offline", "--json")
    (check,) = (check for check in answer.data["checks"] if check["result"] != "ok")
    assert (answer.status, check["name"]) == (78, name)
    assert word in check["detail"]
