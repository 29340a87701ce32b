"""No secret is told: on no stream, in no file but those that are for it, in no traceback, log or list of processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Answer, Program
from ..support.faults import Fault
from ..support.oauth_server import OAuthServer, Refusal
from .field import (
    account_table,
    challenge,
    check_kept_secret,
    configure,
    configure_accounts,
    enqueue,
    everything_stored,
    forms_of,
    given_by,
    keep,
    mail_server_of,
    renewed_by,
    told,
    xoauth2,
)

CLIENT_SECRET = "cs/a secret+of the=client %41&0123456789"
STALE = "at-stale-0123456789/abcdefghijkl+mnopqrstuvwxyz="
LOOKS = [("show", "1"), ("show", "1", "--json"), ("list", "--json")]


@pytest.fixture
def oauth() -> Iterator[OAuthServer]:
    """Every refresh brings a new refresh token, and the client has a secret of all kinds of characters."""
    with OAuthServer(client_secret=CLIENT_SECRET) as server:
        server.rotate = True
        yield server


def login_of(oauth: OAuthServer, refresh: str) -> dict[str, Any]:
    return renewed_by(oauth, refresh, client_id=oauth.confidential_client_id, client_secret=CLIENT_SECRET)


def secrets_of(oauth: OAuthServer) -> list[str]:
    """All there is: what the server gave, what SMTP carried, and what the config has."""
    payloads = [xoauth2(token) for token in (*oauth.issued, STALE)]
    return [*oauth.issued, *oauth.refresh_tokens, *payloads, CLIENT_SECRET, STALE]


def look(program: Program, *commands: tuple[str, ...], **environment: str) -> str:
    """What these commands say."""
    return "".join(told(program.call(*command, **environment)) for command in commands)


def test_the_search_finds_every_form() -> None:
    for form in forms_of(CLIENT_SECRET[: len(CLIENT_SECRET) // 2]):
        with pytest.raises(AssertionError):
            check_kept_secret(f"before {form} after", CLIENT_SECRET)
    for before in ("", "1", "22"):
        with pytest.raises(AssertionError):
            check_kept_secret(challenge(f"{before}{STALE}"), STALE)
    check_kept_secret("nothing of that kind", CLIENT_SECRET, STALE)


def test_when_all_goes_well(oauth: OAuthServer, program: Program) -> None:
    given = given_by(oauth, confidential=True)
    with mail_server_of(oauth) as server:
        account = configure(program, server.port, login_of(oauth, given.refresh), log={"file": "log"})
        keep(account, STALE)
        enqueue(program)
        said = look(program, ("drain", "--verbose"), ("account", "test"), ("account", "show", "--json"), *LOOKS)
        assert len(server.messages) == 3
        assert oauth.count("refresh_token") == 1
        check_kept_secret(b"".join(message.content for message in server.messages).decode(), *secrets_of(oauth))
    check_kept_secret(said, *secrets_of(oauth))
    check_kept_secret(everything_stored(program), *secrets_of(oauth))
    assert (program.home / "log").exists()


def test_when_the_mail_server_repeats_them(oauth: OAuthServer, program: Program) -> None:
    given = given_by(oauth, confidential=True)
    said = f"535 5.7.8 {given.access} {xoauth2(given.access)} {given.refresh} {CLIENT_SECRET}"
    with mail_server_of(oauth, faults=[Fault("auth", said)]) as server:
        auth = login_of(oauth, given.refresh)
        account = configure(program, server.port, auth, log={"file": "log", "format": "json"})
        keep(account, given.access)
        enqueue(program)
        shown = look(program, ("drain", "--verbose"), *LOOKS)
        for options in ((), ("--json",)):
            keep(account, given.access)  # whoever repeats a token that this process never had is beyond all masking
            shown += look(program, ("account", "test", *options))
    check_kept_secret(shown, given.access, xoauth2(given.access), given.refresh, CLIENT_SECRET)
    check_kept_secret(everything_stored(program), given.access, xoauth2(given.access), given.refresh, CLIENT_SECRET)
    assert "***" in shown
    assert "***" in (program.home / "log").read_text()


def test_when_the_authorization_server_repeats_them(oauth: OAuthServer, program: Program) -> None:
    given = given_by(oauth, confidential=True)
    oauth.refuse = Refusal("invalid_grant", f"{given.refresh} of {CLIENT_SECRET}, formerly {STALE}")
    with mail_server_of(oauth) as server:
        account = configure(program, server.port, login_of(oauth, given.refresh), log={"file": "log"})
        keep(account, STALE, ends_in=0)
        enqueue(program)
        shown = look(program, ("drain", "--verbose"), ("account", "test", "--json"), *LOOKS)
    check_kept_secret(shown, *secrets_of(oauth))
    check_kept_secret(everything_stored(program), *secrets_of(oauth))
    assert "invalid_grant: *** of ***" in shown


def test_when_the_next_process_shows_what_the_last_one_stored(oauth: OAuthServer, program: Program) -> None:
    """Whoever runs ``show`` has read no secret: it has to be masked before it is stored."""
    given = given_by(oauth, confidential=True)
    oauth.refuse = Refusal("invalid_grant", given.refresh)
    with mail_server_of(oauth) as server:
        configure(program, server.port, login_of(oauth, given.refresh))
        enqueue(program, 2)
        program.call("drain")
        configure(program, server.port, {})
    check_kept_secret(look(program, LOOKS[0], LOOKS[1]) + everything_stored(program), given.refresh)


@pytest.mark.parametrize("trouble", ["refused", "unreadable", "spoilt", "no token"])
def test_while_debugging(trouble: str, oauth: OAuthServer, program: Program) -> None:
    given = given_by(oauth, confidential=True)
    auth = login_of(oauth, given.refresh)
    if trouble == "no token":
        auth["oauth_token"] = f"{STALE}\u00e9"
    with mail_server_of(oauth) as server:
        file = keep(configure(program, server.port, auth), STALE, ends_in=0)
        enqueue(program)
        if trouble == "refused":
            oauth.refuse = Refusal("invalid_grant", f"{given.refresh} {CLIENT_SECRET}")
        elif trouble == "unreadable":
            file.chmod(0o644)
        elif trouble == "spoilt":
            file.unlink()
            file.mkdir()
        shown = look(program, ("drain",), ("doctor",), PRX_EMAIL_DEBUG="1")
    check_kept_secret(shown, *secrets_of(oauth))


def run_script(program: Program, script: str, *arguments: str, **environment: str) -> Answer:
    """Run *script*, which runs the program, with these arguments."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], env={**program.environment, **environment}, cwd=program.home,
        text=True, capture_output=True, check=False, timeout=60,
    )  # fmt: skip
    return Answer(done.returncode, done.stdout, done.stderr)


BREAKING = """
import smtplib

def broken(wire, mechanism, dialogue, **options):
    raise RuntimeError(f"cannot send {dialogue()!r}")

smtplib.SMTP.auth = broken
from prx_email_cli.cli.main import main
main()
"""


@pytest.mark.parametrize("debug", ["0", "1"])
def test_in_the_message_of_an_error_that_nobody_foresaw(debug: str, oauth: OAuthServer, program: Program) -> None:
    given = given_by(oauth, confidential=True)
    with mail_server_of(oauth) as server:
        configure(program, server.port, login_of(oauth, given.refresh))
        enqueue(program, 1)
        answer = run_script(program, BREAKING, "drain", PRX_EMAIL_DEBUG=debug)
    assert answer.status == 70
    assert "auth=Bearer ***" in answer.err
    assert ("Traceback" in answer.err) == (debug == "1")
    check_kept_secret(told(answer) + everything_stored(program), *secrets_of(oauth))


LOGGING = """
import logging
logging.basicConfig(level=logging.DEBUG, filename="debug.log", format="%(name)s %(message)s %(args)s")
from prx_email_cli.cli.main import main
main()
"""


@pytest.mark.parametrize("well", [True, False])
def test_in_the_logs_of_every_library(well: bool, oauth: OAuthServer, program: Program) -> None:
    given = given_by(oauth, confidential=True)
    with mail_server_of(oauth) as server:
        account = configure(program, server.port, login_of(oauth, given.refresh))
        keep(account, STALE)
        enqueue(program, 1)
        if not well:
            oauth.refuse = Refusal("invalid_grant", f"{given.refresh} {CLIENT_SECRET}")
        answer = run_script(program, LOGGING, "drain", "-v")
    logged = (program.home / "debug.log").read_text()
    assert answer.status == (0 if well else 75), answer
    assert "POST /token" in logged  # so they do log
    check_kept_secret(logged + told(answer), *secrets_of(oauth))


def process_seen(pid: int) -> dict[str, str]:
    """What everybody may read of a process, and its environment."""
    proc = Path(f"/proc/{pid}")
    return {name: (proc / name).read_bytes().decode("utf-8", "surrogateescape") for name in ("cmdline", "environ")}


def test_in_the_list_of_processes_while_a_token_is_got(oauth: OAuthServer, program: Program) -> None:
    given = given_by(oauth, confidential=True)
    with mail_server_of(oauth) as server:
        configure(program, server.port, login_of(oauth, given.refresh))
        oauth.hang = True
        process = program.start("account", "test")
        oauth.wait_for(lambda: oauth.requests, timeout=60)
        seen = process_seen(process.pid)
        tasks = [file.read_text() for file in Path(f"/proc/{process.pid}/task").glob("*/comm")]
        oauth.close()
        process.communicate(timeout=60)
    assert "account\0test" in seen["cmdline"]
    check_kept_secret("".join([*seen.values(), *tasks]), *secrets_of(oauth))


def test_in_the_list_of_processes_while_a_token_is_shown(oauth: OAuthServer, program: Program) -> None:
    given = given_by(oauth, confidential=True)
    with mail_server_of(oauth, faults=[Fault("auth", "pause")]) as server:
        keep(configure(program, server.port, login_of(oauth, given.refresh)), given.access)
        process = program.start("account", "test")
        server.wait_for(lambda: server.happened, timeout=60)
        seen = process_seen(process.pid)
        server.release()
        process.communicate(timeout=60)
    assert process.returncode == 0
    check_kept_secret("".join(seen.values()), *secrets_of(oauth))


COMMAND = """
import json, os, sys
with open("/proc/self/environ", "rb") as environ, open("/proc/self/cmdline", "rb") as cmdline:
    seen = {"environ": environ.read().decode(), "cmdline": cmdline.read().decode()}
numbers = [int(name) for name in os.listdir("/proc/self/fd")]
seen["open"] = [os.readlink(f"/proc/self/fd/{n}") for n in numbers if n > 2 and os.path.lexists(f"/proc/self/fd/{n}")]
with open(sys.argv[1], "w") as file:
    json.dump(seen, file)
print("at-printed-0123456789")
"""


def test_to_a_command_that_prints_a_token_of_another_account(oauth: OAuthServer, program: Program) -> None:
    """It runs after the other account's secrets have been read, and gets what the caller had and nothing more."""
    given = given_by(oauth, confidential=True)
    seen_file = program.home / "seen"
    with mail_server_of(oauth) as other, mail_server_of(oauth) as server:
        tables = {
            "other": account_table(login_of(oauth, given.refresh), other.port),
            "work": account_table(
                {"oauth_token_command": [sys.executable, "-I", "-c", COMMAND, str(seen_file)]}, server.port
            ),
        }
        configure_accounts(program, tables)
        for name in tables:
            enqueue(program, 1, name)
        program.call("drain")
        assert len(other.messages) == 1
    seen = json.loads(seen_file.read_text())
    given_by_caller = {f"{name}={value}" for name, value in program.environment.items()}
    assert {entry for entry in seen["environ"].split("\0") if entry} <= given_by_caller
    check_kept_secret(seen["environ"] + seen["cmdline"], *secrets_of(oauth))
    assert [name for name in seen["open"] if not name.startswith("/proc/")] == []


def test_when_it_is_in_the_environment(program: Program) -> None:
    program.environment["PRX_EMAIL_SMTP_OAUTH_TOKEN"] = STALE
    configure(program, 9, {})
    enqueue(program)
    shown = look(program, ("drain", "-v"), ("doctor", "--json"), ("show", "1"))
    check_kept_secret(shown + everything_stored(program), STALE)
