"""TLS and login: when anything about them is wrong, nothing is sent, and the error says what to do."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from prx_email_cli.smtp.failure import SessionFailed

from ..conftest import Program
from ..support.certs import CertificateKind, Certificates
from ..support.faults import Fault
from ..support.mailhost import MailHost
from ..support.scripted import ScriptedServer
from .courier import PASSWORD, USER, account_for, hand_over, open_session

PLAIN_PAYLOAD = base64.b64encode(f"\0{USER}\0{PASSWORD}".encode()).decode()
SECRET_FORMS = [
    PASSWORD,
    base64.b64encode(PASSWORD.encode()).decode().rstrip("="),
    PLAIN_PAYLOAD.rstrip("="),
    quote(PASSWORD),
    quote(PASSWORD, safe=""),
    json.dumps(PASSWORD)[1:-1],
]
USERS = {USER: PASSWORD}
Serve = Callable[[Certificates], ScriptedServer]


@dataclass(frozen=True)
class Trouble:
    """A server with which something is wrong, how the account is set up, and what the error must say."""

    serve: Serve
    tls: str
    code: str
    cause: str
    fix: str
    trusts: str = "ca.pem"
    password: str = PASSWORD


def server_with(certificate: CertificateKind, tls: Any) -> Serve:
    return lambda certificates: ScriptedServer(tls=tls, context=certificates.server_context(certificate), auth=USERS)


def starttls_with(fault: Fault) -> Serve:
    return lambda certificates: ScriptedServer(
        [fault], tls="starttls", context=certificates.server_context(), auth=USERS
    )


def old(tls: Any) -> Serve:
    return lambda certificates: ScriptedServer(tls=tls, context=certificates.old_tls_context(), auth=USERS)


def good_offering(*mechanisms: str, users: dict[str, str] | None = USERS) -> Serve:
    return lambda certificates: ScriptedServer(
        tls="implicit", context=certificates.server_context(), auth=users, auth_mechanisms=mechanisms
    )


TROUBLES: dict[str, Trouble] = {}
for mode in ("implicit", "starttls"):
    TROUBLES |= {
        f"{mode}, a CA that is not trusted": Trouble(
            server_with("untrusted", mode), mode, "network", "certificate is not valid", "smtp.tls_ca_file"
        ),
        f"{mode}, another CA is trusted": Trouble(
            server_with("valid", mode), mode, "network", "certificate is not valid", "smtp.tls_ca_file", "other-ca.pem"
        ),
        f"{mode}, another host's certificate": Trouble(
            server_with("wrong_host", mode), mode, "network", "Hostname mismatch", "smtp.host"
        ),
        f"{mode}, only a common name": Trouble(
            server_with("cn_only", mode), mode, "network", "Hostname mismatch", "smtp.host"
        ),
        f"{mode}, an expired certificate": Trouble(
            server_with("expired", mode), mode, "network", "certificate has expired", "renew"
        ),
        f"{mode}, nothing newer than TLS 1.1": Trouble(old(mode), mode, "network", "no TLS 1.2 or newer", "TLS 1.2"),
        f"{mode}, a wrong password": Trouble(
            server_with("valid", mode), mode, "auth", "login refused: 535", "smtp.user", password="wr0ng-秘密/+ %"
        ),
    }
TROUBLES |= {
    "STARTTLS is not offered": Trouble(
        lambda _: ScriptedServer(auth=USERS), "starttls", "network", "does not offer STARTTLS", 'tls = "implicit"'
    ),
    "STARTTLS is refused": Trouble(
        starttls_with(Fault("starttls", "454 4.7.0 TLS not available")), "starttls", "provider", "454 4.7.0", "next run"
    ),
    "a reply is injected before the handshake": Trouble(
        starttls_with(Fault("starttls", "220 go\r\n250 injected")), "starttls", "provider", "in clear", "port"
    ),
    "garbage instead of the handshake": Trouble(
        lambda certificates: ScriptedServer(
            [Fault("handshake", "garbage")], tls="implicit", context=certificates.server_context(), auth=USERS
        ),
        "implicit",
        "network",
        "does not speak TLS",
        'tls = "starttls"',
    ),
    "hung up instead of the handshake": Trouble(
        starttls_with(Fault("handshake", "close")), "starttls", "network", "(?i)TLS|connection", "port"
    ),
    "implicit TLS on a port that speaks in clear": Trouble(
        lambda _: ScriptedServer(auth=USERS), "implicit", "network", "does not speak TLS", 'tls = "starttls"'
    ),
    "no login is offered": Trouble(good_offering(users=None), "implicit", "auth", "offers no login", "smtp.auth"),
    "no login for passwords is offered": Trouble(
        good_offering("XOAUTH2"), "implicit", "auth", "offers no login that a password fits.*XOAUTH2", "smtp.auth"
    ),
}  # fmt: skip
each_trouble = pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES.keys())


def account_settings(trouble: Trouble, certificates: Certificates) -> dict[str, Any]:
    return {"tls": trouble.tls, "tls_ca_file": certificates.directory / trouble.trusts}


def check_nothing_was_sent(server: ScriptedServer) -> None:
    lines = [(command.line.upper(), command.over_tls) for command in server.commands]
    assert server.messages == []
    assert not [line for line, _ in lines if line.startswith(("MAIL", "RCPT", "DATA"))]
    assert not [line for line, over_tls in lines if "AUTH" in line and not over_tls]
    in_clear = "\n".join(command.line for command in server.commands if not command.over_tls)
    check_no_secret(in_clear)


def check_no_secret(text: str, *more: str) -> None:
    for form in (*SECRET_FORMS, *more):
        assert form not in text


def stored_bytes(program: Program) -> str:
    """Everything in the program's home but the config, as one text."""
    files = [file for file in program.home.rglob("*") if file.is_file() and file != program.config]
    assert program.outbox in files
    return "\n".join(file.read_bytes().decode("utf-8", "surrogateescape") for file in files)


def configure(program: Program, port: int, settings: dict[str, Any], password: str) -> None:
    smtp = "".join(f"{name} = {json.dumps(str(value))}\n" for name, value in settings.items())
    secret = f"password = {json.dumps(password, ensure_ascii=False)}"
    program.configure(port, smtp=f'{smtp}user = "{USER}"', auth=secret)


@each_trouble
def test_the_commands_tell_cause_and_fix_and_the_message_waits(
    trouble: Trouble, certificates: Certificates, program: Program
) -> None:
    with trouble.serve(certificates) as server:
        configure(program, server.port, account_settings(trouble, certificates), trouble.password)
        store = program.store()  # keeps the write-ahead log from being folded in and deleted
        test = program.call("account", "test")
        send = program.call("send", "--now", "--to", "a@x.org", "--subject", "s", "--body", "b", "--json")
        check_nothing_was_sent(server)
        assert server.connections == 2
        row = store.row(1)
        stored = stored_bytes(program)
        store.close()
    assert test.status == 75
    assert test.err.startswith("error: ")
    assert re.search(trouble.cause, test.err)
    assert trouble.fix in test.err.partition("hint: ")[2]
    assert send.status == 75
    assert (send.json["ok"], send.json["error"]["code"]) == (False, trouble.code)
    assert (send.data["status"], send.data["retries"]) == ("failed", 1)
    assert (row.status, row.retries, row.gave_up, row.held, row.uncertain) == ("failed", 1, None, False, False)
    assert trouble.fix in (row.last_error or "")
    assert [attempt.outcome for attempt in row.attempts] == ["deferred"]
    for text in (test.out, test.err, send.out, send.err, stored):
        check_no_secret(text, trouble.password)


def test_a_client_that_waits_for_a_greeting_where_tls_is_due_is_told_of_the_other_mode(
    certificates: Certificates,
) -> None:
    with ScriptedServer(tls="implicit", context=certificates.server_context()) as server:
        account = account_for(server.port, tls="starttls", tls_ca_file=certificates.ca_file, timeout_seconds=0.3)
        with pytest.raises(SessionFailed, match="timeout") as failed:
            open_session(account)
        check_nothing_was_sent(server)
    assert "implicit" in failed.value.hint


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_a_password_in_any_script_logs_in(tls: Any, mechanism: str, certificates: Certificates) -> None:
    context = certificates.server_context()
    with ScriptedServer(tls=tls, context=context, auth=USERS, auth_mechanisms=[mechanism]) as server:
        account = account_for(server.port, password=PASSWORD, tls=tls, tls_ca_file=certificates.ca_file)
        session = open_session(account)
        assert str(session.profile.tls) in ("TLSv1.2", "TLSv1.3")
        assert hand_over(session).error is None
        session.close()
        assert [(message.user, message.over_tls) for message in server.messages] == [(USER, True)]
        assert server.violations == []
        assert sum("AUTH" in command.line for command in server.commands) == 1
        check_nothing_was_said_in_clear_but_the_opening(server)


def check_nothing_was_said_in_clear_but_the_opening(server: ScriptedServer) -> None:
    verbs = [command.line.split(" ")[0].upper() for command in server.commands if not command.over_tls]
    assert verbs in ([], ["EHLO", "STARTTLS"])


@pytest.mark.parametrize("tls", ["implicit", "starttls"])
def test_a_well_behaved_provider_takes_login_and_message(
    tls: Any, certificates: Certificates, program: Program
) -> None:
    with MailHost(tls=tls, context=certificates.server_context(), users=USERS) as host:
        configure(program, host.port, {"tls": tls, "tls_ca_file": certificates.ca_file}, PASSWORD)
        test = program.call("account", "test")
        assert (test.status, test.err) == (0, "")
        assert f" as {USER}" in test.out
        assert program.call("send", "--now", "--to", "a@x.org", "--subject", "s", "--body", "b").status == 0
        assert [(message.user, message.over_tls) for message in host.messages] == [(USER, True)]
        check_no_secret(test.out)
        check_no_secret(stored_bytes(program))


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_a_server_that_repeats_the_secret_does_not_get_it_shown_or_stored(
    mechanism: str, certificates: Certificates, program: Program
) -> None:
    echo = Fault("auth", f"535 5.7.8 no such login: {PASSWORD} {PLAIN_PAYLOAD} {quote(PASSWORD, safe='')}")
    context = certificates.server_context()
    server = ScriptedServer([echo], tls="implicit", context=context, auth=USERS, auth_mechanisms=[mechanism])
    with server:
        configure(program, server.port, {"tls": "implicit", "tls_ca_file": certificates.ca_file}, PASSWORD)
        answers = [
            program.call("account", "test"),
            program.call("account", "test", "--json"),
            program.call("send", "--now", "--to", "a@x.org", "--subject", "s", "--body", "b"),
            program.call("show", "1"),
            program.call("show", "1", "--json"),
            program.call("drain", "--verbose", "--now-ts", "9999999999"),
        ]
        assert server.happened
    forms = () if mechanism == "LOGIN" else (PLAIN_PAYLOAD,)
    for answer in answers:
        assert "***" in answer.out + answer.err
        for form in (PASSWORD, quote(PASSWORD, safe=""), json.dumps(PASSWORD)[1:-1], *forms):
            assert form not in answer.out + answer.err
    assert PASSWORD not in stored_bytes(program)


def test_the_secret_is_not_in_the_process_list(certificates: Certificates, program: Program) -> None:
    context = certificates.server_context()
    with ScriptedServer([Fault("auth", "pause")], tls="implicit", context=context, auth=USERS) as server:
        configure(program, server.port, {"tls": "implicit", "tls_ca_file": certificates.ca_file}, PASSWORD)
        process = program.start("account", "test")
        server.wait_for(lambda: server.happened, timeout=60)
        proc = Path(f"/proc/{process.pid}")
        seen = b"\n".join((proc / name).read_bytes() for name in ("cmdline", "environ"))
        server.release()
        process.communicate(timeout=60)
    assert b"account\0test" in seen
    check_no_secret(seen.decode("utf-8", "surrogateescape"))
    assert process.returncode == 0
