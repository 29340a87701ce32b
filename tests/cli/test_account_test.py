"""``account test`` step by step: what was done, what was found, and where and why it ended."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from ..checks.ways import MARKS, both_ways, lines_of_checks
from ..conftest import Answer, Program
from ..support.certs import HOSTILE_SUBJECT, CertificateKind, Certificates
from ..support.faults import Fault
from ..support.scripted import ScriptedServer, refusing_port
from .outside import assert_error, serving

USER, SECRET = "ops@example.com", "correct-horse/ü"
USERS = {USER: SECRET}
LOGIN = {"smtp": f'user = "{USER}"', "auth": f"password = {json.dumps(SECRET, ensure_ascii=False)}"}
FIND, CONNECT = ["secret", "address"], ["secret", "address", "connection"]
IN_CLEAR = [*CONNECT, "tls"]
NOT_SMTP = b"HTTP/1.1 400 Bad Request\r\n\r\n"


def told(answer: Answer) -> list[list[str]]:
    """The mark and the name in each line for a person."""
    return [[mark, name] for mark, name, _ in lines_of_checks(answer.out)]


def try_both_ways(program: Program) -> tuple[Answer, Any]:
    """The answer for a person, and the object for a script that must say the same."""
    person, script = both_ways(program, "account", "test")
    assert person.status == script.status
    assert told(person) == [[MARKS[step["result"]], step["name"]] for step in script.data["steps"]]
    assert person.out.splitlines()[0] == f"work: {script.data['host']}:{script.data['port']}"
    assert (script.err, script.json["ok"]) == ("", script.status == 0)
    return person, script.json


@contextmanager
def account_server(program: Program, *faults: Fault, **options: Any) -> Iterator[ScriptedServer]:
    """The account's server, in clear unless *options* say otherwise."""
    with ScriptedServer(faults, auth=USERS, **options) as server:
        tls = options.get("tls") or "none"
        program.configure(server.port, smtp=f'{LOGIN["smtp"]}\ntls = "{tls}"', auth=LOGIN["auth"])
        yield server


class End(NamedTuple):
    """How a try ends: the steps that were well, the one that was not, and what is said of it."""

    well: list[str]
    failed: str
    status: int
    code: str
    cause: str
    fix: str


def check_end(program: Program, end: End) -> None:
    """The answer to a script says *end* and nothing beyond it."""
    answer = program.run("account", "test", "--json")
    assert_error(answer, end.status, code=end.code)
    error, steps = answer.json["error"], answer.data["steps"]
    assert [(step["result"], step["name"]) for step in steps] == [
        *(("ok", name) for name in end.well), ("failed", end.failed)
    ]  # fmt: skip
    assert re.search(end.cause, error["message"]), error
    assert re.search(end.fix, error["hint"]), error
    assert (steps[-1]["detail"], steps[-1]["fix"]) == (error["message"], error["hint"])
    assert not [form for form in (SECRET, json.dumps(SECRET)[1:-1]) if form in answer.out]


@pytest.mark.parametrize("place", ["secret", "starttls", "login"])
def test_a_person_is_told_of_a_failure_as_a_script_is(place: str, program: Program) -> None:
    with account_server(program, Fault("auth", f"535 5.7.8 \x1b[31m[bold]no: {SECRET}")) as server:
        tls = 'tls = "starttls"\n' if place == "starttls" else ""
        auth = 'password_env = "NOT_SET"' if place == "secret" else LOGIN["auth"]
        program.configure(server.port, smtp=f"{tls}{LOGIN['smtp']}", auth=auth)
        person, script = try_both_ways(program)
    error = {name: escaped(text) for name, text in script["error"].items()}
    assert person.status == {"secret": 78, "starttls": 75, "login": 75}[place]
    assert person.err == f"error: {error['message']}\nhint: {error['hint']}\n"
    assert told(person)[-1] == ["FAIL", {"starttls": "tls"}.get(place, place)]
    assert SECRET not in person.out + person.err + json.dumps(script, ensure_ascii=False)
    assert "\x1b" not in person.out + person.err
    assert (r"\x1b[31m[bold]no: ***" in person.err) == (place == "login")


def escaped(text: str) -> str:
    """*text* as a terminal gets it."""
    return text.replace("\x1b", r"\x1b")


class TestAFailure:
    """Names its step, its cause and its fix; the steps before it were well and none follows."""

    def test_at_the_secret_comes_before_the_network_is_touched(self, program: Program) -> None:
        with ScriptedServer() as server:
            program.configure(server.port, smtp=LOGIN["smtp"], auth='password_env = "NOT_SET"')
            check_end(program, End([], "secret", 78, "config", "NOT_SET is not set", "export NOT_SET"))
            program.configure(server.port, smtp=LOGIN["smtp"], auth='oauth_token = "ya29.abc"\noauth_expires_at = 1')
            check_end(program, End(FIND, "login", 75, "auth", "token expired at 1970-01-01", "oauth_token"))
            assert server.connections == 0

    def test_at_a_secret_that_others_can_read_is_77(self, program: Program) -> None:
        (program.home / "secret").write_text(SECRET)
        (program.home / "secret").chmod(0o640)
        program.configure(smtp=LOGIN["smtp"], auth='password_file = "secret"')
        check_end(program, End([], "secret", 77, "config", "readable by others", "chmod 600"))

    @pytest.mark.parametrize("host", ["no-such-host.invalid", "a..example", f"{'a' * 64}.example"])
    def test_at_a_host_that_nobody_knows(self, host: str, program: Program) -> None:
        program.configure(smtp=f'host = "{host}"\ntls = "starttls"')
        check_end(program, End(["secret"], "address", 75, "network", f"cannot find {re.escape(host)}", "smtp.host"))

    @pytest.mark.parametrize("tls", ["none", "starttls", "implicit"])
    def test_at_a_refused_connection(self, tls: str, program: Program) -> None:
        with refusing_port() as port:
            program.configure(port, smtp=f'tls = "{tls}"')
            check_end(program, End(FIND, "connection", 75, "network", f"localhost:{port}.*refused", "smtp.port"))

    @pytest.mark.parametrize(
        ("tls", "kind", "cause", "fix"),
        [
            ("starttls", "untrusted", "certificate is not valid", "tls_ca_file"),
            ("implicit", "untrusted", "certificate is not valid", "tls_ca_file"),
            ("starttls", "wrong_host", "Hostname mismatch", "smtp.host"),
            ("implicit", "expired", "certificate has expired", "renew"),
        ],
    )
    def test_at_the_certificate(
        self, tls: Any, kind: CertificateKind, cause: str, fix: str, program: Program, certificates: Certificates
    ) -> None:
        with account_server(program, tls=tls, context=certificates.server_context(kind)) as server:
            program.configure(server.port, smtp=f'tls = "{tls}"\ntls_ca_file = "{certificates.ca_file}"')
            check_end(program, End(CONNECT, "tls", 75, "network", cause, fix))

    @pytest.mark.parametrize(
        ("tls", "cause", "fix"),
        [
            ("starttls", "does not offer STARTTLS", 'tls = "implicit"'),
            ("implicit", "does not speak TLS", 'tls = "starttls"'),
        ],
    )
    def test_at_a_server_without_the_tls_that_is_due(self, tls: str, cause: str, fix: str, program: Program) -> None:
        with account_server(program) as server:
            program.configure(server.port, smtp=f'tls = "{tls}"')
            check_end(program, End(CONNECT, "tls", 75, "network", cause, fix))
            assert not any("AUTH" in command.line for command in server.commands)

    @pytest.mark.parametrize(
        ("tls", "fault", "code", "cause", "fix"),
        [
            ("starttls", Fault("starttls", "454 4.7.0 TLS not available"), "provider", "454 4.7.0 TLS not", "next run"),
            ("starttls", Fault("handshake", "close"), "network", "TLS|connection", "port"),
            ("implicit", Fault("handshake", "close"), "network", "TLS|connection", "port"),
        ],
    )
    def test_at_tls_that_the_server_refuses_or_breaks_off(
        self, tls: Any, fault: Fault, code: str, cause: str, fix: str, program: Program, certificates: Certificates
    ) -> None:
        with account_server(program, fault, tls=tls, context=certificates.server_context()):
            check_end(program, End(CONNECT, "tls", 75, code, cause, fix))

    @pytest.mark.parametrize(
        ("fault", "code", "cause", "fix"),
        [
            (Fault("greeting", "554 5.3.2 not for you"), "provider", "refused the session: 554 5.3.2 not", "provider"),
            (Fault("greeting", "421 4.3.2 closing"), "provider", "refused the session: 421 4.3.2 closing", "provider"),
            (Fault("ehlo", "550 5.7.1 I do not like your name"), "provider", "550 5.7.1 I do not like", "provider"),
            (Fault("greeting", "garbage", raw=NOT_SMTP), "provider", "not an SMTP reply", "may be no SMTP server"),
            (Fault("greeting", "garbage", raw=b"\x00\xff\xfe\x1b[31m\r\n"), "provider", "not an SMTP reply", "SMTP"),
            (Fault("greeting", "timeout"), "network", "timeout", "smtp.port"),
        ],
        ids=["554", "421", "EHLO", "HTTP", "binary", "silence"],
    )
    def test_at_the_greeting(self, fault: Fault, code: str, cause: str, fix: str, program: Program) -> None:
        with account_server(program, fault):
            if fault.manner == "timeout":
                text = program.config.read_text().replace("timeout_seconds = 60", "timeout_seconds = 1")
                program.config.write_text(text)
            check_end(program, End(IN_CLEAR, "greeting", 75, code, cause, fix))

    def test_at_a_login_that_is_refused(self, program: Program, certificates: Certificates) -> None:
        refusal = Fault("auth", "535 5.7.8 wrong user or password")
        with account_server(program, refusal, tls="implicit", context=certificates.server_context()):
            trust = f'tls_ca_file = "{certificates.ca_file}"\ntls ='
            program.config.write_text(program.config.read_text().replace("tls =", trust))
            well = [*CONNECT, "tls", "certificate", "greeting"]
            check_end(program, End(well, "login", 75, "auth", "login refused: 535 5.7.8", "smtp.user"))

    def test_at_a_server_without_a_login_for_passwords(self, program: Program) -> None:
        with account_server(program, auth_mechanisms=["XOAUTH2"]):
            well = [*IN_CLEAR, "greeting"]
            check_end(program, End(well, "login", 75, "auth", "offers no login that a password fits", "OAUTH|XOAUTH2"))


@pytest.fixture
def ipv6() -> str:
    """This machine's IPv6 address, where it has one."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no ::1 on this machine")
    return "::1"


def tried_over_tls(program: Program, certificates: Certificates, kind: CertificateKind) -> tuple[Answer, Any]:
    """The answers when the server has such a certificate."""
    with account_server(program, tls="implicit", context=certificates.server_context(kind)) as server:
        smtp = f'tls = "implicit"\ntls_ca_file = "{certificates.ca_file}"'
        program.configure(server.port, smtp=f"{smtp}\n{LOGIN['smtp']}", auth=LOGIN["auth"])
        return try_both_ways(program)


class TestASuccess:
    @pytest.mark.parametrize("tls", ["starttls", "implicit"])
    def test_shows_every_step_and_what_was_found(self, tls: Any, program: Program, certificates: Certificates) -> None:
        with account_server(program, tls=tls, context=certificates.server_context(), size=12_345_678) as server:
            smtp = f'{LOGIN["smtp"]}\ntls = "{tls}"\ntls_ca_file = "{certificates.ca_file}"\nmessages_per_minute = 30'
            program.configure(server.port, smtp=smtp, auth=LOGIN["auth"], account='provider = "gmail"')
            person, script = try_both_ways(program)
            server.wait_for(lambda: server.open_connections == 0)
            verbs = [command.line.split()[0].upper() for command in server.commands]
        assert "AUTH" in verbs
        assert not {"MAIL", "RCPT", "DATA"} & {*verbs}
        assert verbs[-1] == "QUIT"
        data = script["data"]
        names = ["secret", "address", "connection", "tls", "certificate", "greeting", "login", "limits"]
        assert [step["name"] for step in data["steps"]] == names
        assert (person.status, person.err, script["error"]) == (0, "", None)
        assert "127.0.0.1" in data["addresses"]
        assert data["peer"] == f"127.0.0.1:{server.port}"
        assert (data["tls_version"], data["login"], data["size_limit"]) == ("TLSv1.3", "PLAIN", 12_345_678)
        assert set(data["extensions"]) >= {"size", "pipelining", "8bitmime", "auth", "enhancedstatuscodes"}
        agreed = (data["peer"], data["tls_version"], data["cipher"], data["certificate"]["subject"], f"PLAIN as {USER}")
        limits = ("12,345,678 bytes", "30 messages a minute", "4 connections", "documents 500 messages a day")
        for fact in (*agreed, "PIPELINING", *limits):
            assert fact in person.out
        assert SECRET not in person.out

    @pytest.mark.parametrize(
        ("provider", "smtp", "shown", "documented"),
        [
            ("ses", "", None, "the provider documents 200 recipients a day"),
            ("ses", "recipients_per_day = 50_000", "50,000 recipients a day", None),
            ("outlook", "", "10,000 recipients a day", None),
            ("icloud", "", "1,000 recipients a day", "the provider documents 1,000 messages a day"),
        ],
    )
    def test_tells_limits_that_count_recipients_as_such(
        self, provider: str, smtp: str, shown: str | None, documented: str | None, program: Program
    ) -> None:
        with account_server(program) as server:
            program.configure(server.port, account=f'provider = "{provider}"', smtp=f'tls = "none"\n{smtp}')
            holding, _, known = program.run("account", "test").out.partition("; ")
        assert ("recipients a day" in holding) == (shown is not None)
        assert shown is None or shown in holding
        assert known.strip().startswith(documented) if documented else "documents" not in known

    def test_shows_whose_certificate_it_is_and_until_when(self, program: Program, certificates: Certificates) -> None:
        person, script = tried_over_tls(program, certificates, "valid")
        shown = script["data"]["certificate"]
        assert shown["names"] == ["localhost", "127.0.0.1"]
        assert shown["sha256"] == certificates.fingerprint()
        assert shown["expires_at"] > 1_900_000_000
        (line,) = (line for line in person.out.splitlines() if " certificate " in line)
        for fact in (shown["subject"], shown["issuer"]):
            assert fact in line
        assert re.search(r"valid for [\d,]+ more days", line)

    def test_warns_of_a_certificate_that_ends_tomorrow_and_goes_on(
        self, program: Program, certificates: Certificates
    ) -> None:
        person, script = tried_over_tls(program, certificates, "ends_tomorrow")
        assert (person.status, person.err) == (0, "")
        unwell = [step for step in script["data"]["steps"] if step["result"] != "ok"]
        assert [(step["name"], step["result"]) for step in unwell] == [("certificate", "warning")]
        assert "1 more day" in unwell[0]["detail"]
        assert unwell[0]["fix"]
        assert f"fix: {unwell[0]['fix']}" in person.out
        assert told(person)[-2:] == [["ok", "login"], ["ok", "limits"]]

    def test_of_a_relay_on_this_machine_says_that_it_needs_neither_tls_nor_login(self, program: Program) -> None:
        with serving(program):
            person, script = try_both_ways(program)
        assert (person.status, person.err) == (0, "")
        assert [name for _, name in told(person)] == [*IN_CLEAR, "greeting", "login", "limits"]
        data = script["data"]
        assert (data["tls_version"], data["cipher"], data["certificate"], data["login"]) == (None, None, None, None)

    def test_over_ipv6_shows_the_address_that_answered(self, program: Program, ipv6: str) -> None:
        with ScriptedServer(host=ipv6) as server:
            program.configure(server.port, smtp=f'host = "{ipv6}"')
            person, script = try_both_ways(program)
            assert server.peers == [ipv6, ipv6]
        assert (script["data"]["addresses"], script["data"]["peer"]) == ([ipv6], f"[{ipv6}]:{server.port}")
        assert f"[{ipv6}]:{server.port}" in person.out

    def test_cannot_be_used_by_a_certificate_to_move_the_cursor(
        self, program: Program, certificates: Certificates
    ) -> None:
        person, script = tried_over_tls(program, certificates, "hostile")
        assert script["data"]["certificate"]["subject"] == HOSTILE_SUBJECT
        assert not set("\x1b\x07") & set(person.out + person.err)
        assert r"\x1b[31mred\x07" in person.out

    def test_changes_nothing_on_disk(self, program: Program) -> None:
        with account_server(program):
            before = sorted(program.home.rglob("*"))
            assert program.run("account", "test").status == 0
            assert sorted(program.home.rglob("*")) == before
        assert not Path(program.outbox).exists()
