"""``doctor`` on the accounts: each is tried, whatever became of the others, and no server's word is trusted."""

import base64
import json
import re
from typing import Any

import pytest

from ..conftest import Program
from ..support.certs import Certificates
from ..support.faults import Fault
from ..support.scripted import ScriptedServer, refusing_port
from .healthy import SECRET, USER, account_table, check_only, configure, drained, examined, not_ok
from .ways import MARKS, both_ways, lines_of_checks

USERS = {USER: SECRET}
LOGIN = {"smtp": f'user = "{USER}"', "auth": f"password = {json.dumps(SECRET, ensure_ascii=False)}"}
TRY_LATER, CONFIG = 75, 78


def of_account(told: Any, name: str) -> list[tuple[str, str]]:
    """The checks of one account."""
    return [
        (check["name"], check["result"])
        for check in told["data"]["checks"]
        if check["group"].startswith(f"account {name}: localhost:")
    ]


class TestABrokenAccount:
    def test_does_not_hide_the_others(self, program: Program, server: ScriptedServer) -> None:
        with refusing_port() as port:
            more = account_table("secretless", server.port, 'user = "x"\nauth = {password_env = "NOT_SET"}')
            more += account_table("strange", server.port, 'tls = "starttls"') + account_table("good", server.port)
            configure(program, port, more=more)
            drained(program)
            told = examined(program)
            assert server.connections == 2
        assert of_account(told, "work")[-1] == ("connection", "failed")
        assert of_account(told, "secretless") == [("secret", "failed")]
        assert of_account(told, "strange")[-1] == ("tls", "failed")
        good = of_account(told, "good")
        assert [name for name, _ in good] == [
            *("secret", "address", "connection", "tls", "greeting", "login", "limits")
        ]
        assert {result for _, result in good} == {"ok"}
        assert "(and 2 more)" in told["error"]["message"]

    @pytest.mark.parametrize("first", ["secretless", "unreachable"])
    def test_that_comes_first_decides_the_exit_status(self, first: str, program: Program) -> None:
        with refusing_port() as port:
            secretless = 'user = "x"\nauth = {password_env = "NOT_SET"}'
            tables = {"secretless": account_table("a", port, secretless), "unreachable": account_table("b", port)}
            order = sorted(tables, key=lambda name: name != first)
            domain = '[outbox]\npath = "outbox.db"\nmessage_id_domain = "x.example"\n'
            program.config.write_text(domain + "".join(tables[name] for name in order))
            program.config.chmod(0o600)
            drained(program)
            told = examined(program)
        failures = {"secretless": (CONFIG, "config", "secret"), "unreachable": (TRY_LATER, "network", "connection")}
        status, code, name = failures[first]
        assert (told["status"], told["error"]["code"]) == (status, code)
        assert told["error"]["message"].startswith(f"{name}: ")
        assert len(not_ok(told)) == 2

    def test_comes_after_whatever_is_wrong_with_the_machine(self, program: Program) -> None:
        with refusing_port() as port:
            program.configure(port)
            drained(program)
            told = examined(program)
        assert not_ok(told) == [("message_id_domain", "warning"), ("connection", "failed")]
        assert (told["status"], told["error"]["code"]) == (CONFIG, "config")


def test_a_certificate_that_ends_tomorrow_is_told(program: Program, certificates: Certificates) -> None:
    with ScriptedServer(tls="implicit", context=certificates.server_context("ends_tomorrow")) as server:
        configure(program, server.port, smtp=f'tls = "implicit"\ntls_ca_file = "{certificates.ca_file}"')
        drained(program)
        check_only(program, "certificate", "warning", TRY_LATER, "1 more day", "renew")


def test_tls_none_beyond_this_machine_is_told(program: Program) -> None:
    with ScriptedServer(host="127.0.0.2") as server:
        configure(program, server.port, smtp='host = "127.0.0.2"\ntls = "none"\nallow_plaintext = true')
        drained(program)
        check_only(program, "tls", "warning", CONFIG, "in clear", "starttls")


def test_no_mail_is_sent_and_nothing_is_left_open(healthy: Program, server: ScriptedServer) -> None:
    healthy.send()
    assert examined(healthy)["ok"] is True
    server.wait_for(lambda: server.open_connections == 0)
    assert [command.line.split()[0].upper() for command in server.commands] == ["EHLO", "QUIT"]
    assert server.messages == []


def ageless(detail: str) -> str:
    """*detail* without the time, how long ago something was and how much room there is, which differ a moment later."""
    return re.sub(r"\d\d:\d\d:\d\d|[\d,]+ (?:s|MiB)\b", "some", detail)


def test_a_person_and_a_script_are_told_the_same(program: Program, certificates: Certificates) -> None:
    tls: Any = {"tls": "implicit", "context": certificates.server_context("ends_tomorrow")}
    with ScriptedServer(auth=USERS, **tls) as server, refusing_port() as port:
        smtp = f'{LOGIN["smtp"]}\ntls = "implicit"\ntls_ca_file = "{certificates.ca_file}"'
        configure(program, server.port, smtp=smtp, auth=LOGIN["auth"], more=account_table("gone", port))
        drained(program)
        person, script = both_ways(program, "doctor")
    checks = script.data["checks"]
    told = [[MARKS[check["result"]], check["name"], ageless(check["detail"])] for check in checks]
    assert [[mark, name, ageless(detail)] for mark, name, detail in lines_of_checks(person.out)] == told
    fixes = re.findall(r"^ +fix: (.*)$", person.out, re.MULTILINE)
    assert fixes == [check["fix"] for check in checks if check["result"] != "ok"]
    heads = [line for line in person.out.splitlines() if not line.startswith(" ")]
    assert heads == list(dict.fromkeys(check["group"] for check in checks))
    assert heads == ["machine", f"outbox {program.outbox_name}", f"account work: localhost:{server.port}",
                     f"account gone: localhost:{port}"]  # fmt: skip
    assert person.err == f"2 of {len(checks)} checks are not well\n"
    assert person.status == script.status == TRY_LATER


class TestWhatAServerSays:
    def test_is_escaped(self, program: Program) -> None:
        words = "535 5.7.8 \x1b[31m[bold]go\x07 \x1b]0;title\x07\u202eaway"
        with ScriptedServer([Fault("auth", words)], auth=USERS) as server:
            configure(program, server.port, **LOGIN)
            drained(program)
            person, script = both_ways(program, "doctor")
        assert not set("\x1b\x07\u202e") & set(person.out + person.err + script.out)
        assert r"\x1b[31m[bold]go\x07" in person.out
        assert "\x1b[31m[bold]go\x07" in script.json["error"]["message"]

    def test_in_its_certificate_is_escaped(self, program: Program, certificates: Certificates) -> None:
        with ScriptedServer(tls="implicit", context=certificates.server_context("hostile")) as server:
            configure(program, server.port, smtp=f'tls = "implicit"\ntls_ca_file = "{certificates.ca_file}"')
            drained(program)
            person = program.run("doctor")
        assert person.status == 0
        assert not set("\x1b\x07") & set(person.out + person.err)
        assert r"\x1b[31mred\x07" in person.out

    @pytest.mark.parametrize("auth", ["password", "oauth_token"])
    def test_of_our_secret_is_masked(self, auth: str, program: Program) -> None:
        secret = SECRET if auth == "password" else "ya29.a-secret-token/+="
        forms = [secret, base64.b64encode(secret.encode()).decode().rstrip("="), json.dumps(secret)[1:-1]]
        with ScriptedServer(
            [Fault("auth", f"535 5.7.8 I do not know {secret} {forms[1]}")],
            auth=USERS,
            auth_mechanisms=["PLAIN", "XOAUTH2"],
        ) as server:
            configure(program, server.port, smtp=LOGIN["smtp"], auth=f"{auth} = {json.dumps(secret)}")
            drained(program)
            person, script = both_ways(program, "doctor")
            assert server.happened
        assert (person.status, script.status) == (TRY_LATER, TRY_LATER)
        for answer in (person, script):
            assert "I do not know ***" in answer.out
            assert not [form for form in forms if form in answer.out + answer.err]


def test_secrets_are_not_shown_when_all_is_well(program: Program) -> None:
    with ScriptedServer(auth=USERS) as server:
        configure(program, server.port, **LOGIN)
        drained(program)
        person, script = both_ways(program, "doctor")
    assert (person.status, script.status) == (0, 0)
    assert not [form for form in (SECRET, "horse", json.dumps(SECRET)[1:-1]) if form in person.out + script.out]
