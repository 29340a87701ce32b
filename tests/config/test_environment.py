"""PRX_EMAIL_URL gives an account without a config file, beside one, and never shows its password."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..conftest import Answer, Program
from ..support.mailhost import MailHost

PASSWORD = "p@ss/w%rd\u00e9-very-secret"
ENCODED = "p%40ss%2Fw%25rd%C3%A9-very-secret"
URL = f"smtps://user%40example.com:{ENCODED}@smtp.example.com/?from=you+tag@example.com"
SEND = ("send", "--to", "a@example.org", "--subject", "s", "--body", "b")


@pytest.fixture
def bare(program: Program) -> Program:
    """The command without any config."""
    program.config.unlink()
    del program.environment["PRX_EMAIL_CONFIG"]
    return program


def check_secret(answer: Answer) -> None:
    for shown in (PASSWORD, ENCODED, "very-secret"):
        assert shown not in answer.out + answer.err


def test_send_and_drain_work_without_a_config(bare: Program) -> None:
    with MailHost() as host:
        environment = {"PRX_EMAIL_URL": f"smtp://localhost:{host.port}", "PRX_EMAIL_FROM": "Ops <ops@example.com>",
                       "PRX_EMAIL_OUTBOX": str(bare.home / "box" / "o.db")}  # fmt: skip
        assert bare.run(*SEND, **environment).status == 0
        assert bare.run("drain", **environment) == Answer(0, "", "")
        row = bare.run("show", "1", "--json", **environment).data
        assert (row["status"], row["account"]) == ("sent", "env")
    assert (bare.home / "box" / "o.db").exists()


def test_prx_sendmail_needs_no_config_either(bare: Program) -> None:
    environment = {"PRX_EMAIL_URL": URL, "PRX_EMAIL_OUTBOX": str(bare.home / "o.db")}
    letter = "Subject: s\n\nb\n"
    assert bare.run("sendmail", "a@example.org", text=letter, **environment) == Answer(0, "", "")
    assert bare.run("show", "1", "--json", **environment).data["account"] == "env"
    wrong = bare.run("sendmail", "a@example.org", text=letter, PRX_EMAIL_URL="smtps://u:very-secret@/")
    assert wrong.status != 0
    assert "very-secret" not in wrong.out + wrong.err


@pytest.mark.parametrize("words", [("account", "show"), ("account", "list"), ("config", "check"), ("config", "path"),
                                   ("doctor", "--offline"), ("cron",), ("status",), (), ("list",)])  # fmt: skip
def test_every_command_works_and_shows_no_password(words: tuple[str, ...], bare: Program) -> None:
    for json in ((), ("--json",)) if words else ((),):
        answer = bare.run(*words, *json, PRX_EMAIL_URL=URL)
        assert "no such config" not in answer.err
        assert answer.status == 0 or words == ("doctor", "--offline"), answer
        check_secret(answer)


def test_is_decoded_as_urls_are(bare: Program) -> None:
    account = bare.run("account", "show", "--json", PRX_EMAIL_URL=URL).data
    assert (account["user"], account["from"]) == ("user@example.com", "you+tag@example.com")
    assert (account["host"], account["port"], account["tls"]) == ("smtp.example.com", 465, "implicit")
    url = "smtp+starttls://u:p@[2001:db8::1]:2587?from=a@example.com"
    account = bare.run("account", "show", "--json", PRX_EMAIL_URL=url).data
    assert (account["host"], account["port"], account["tls"]) == ("2001:db8::1", 2587, "starttls")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        (f"http://u:{ENCODED}@h/", "does not begin with one of smtps://"),
        (f"u:{ENCODED}@h", "does not begin with one of"),
        (f"smtp://u:{ENCODED}@smtp.example.com", "in clear"),
        (f"smtps://u:{ENCODED}@h:99999/?from=a@b.c", "has no port"),
        (f"smtps://u:{ENCODED}@h:x/?from=a@b.c", "has no port"),
        (f"smtps://u:{ENCODED}@/?from=a@b.c", "names no host"),
        (f"smtps://u:{PASSWORD}@h/?from=a@b.c", "two hexadecimal digits"),
        ("smtps://u:very-secret/@h/?from=a@b.c", "a # or a path"),
        ("smtps://u:very-secret#@h/?from=a@b.c", "a # or a path"),
        ("smtps://u:very-secret?@h/?from=a@b.c", "has no port"),
        ("smtps://u:very-secret[@h/?from=a@b.c", "is not a URL"),
        ("smtps://u:very secret@h/?from=a@b.c", "has a space"),
        ("smtps://u:very-secret%FF@h/?from=a@b.c", "not UTF-8"),
        ("smtps://u:very-secret%0A@h/?from=a@b.c", "line break"),
        (f"smtps://:{ENCODED}@h/?from=a@b.c", "without a user"),
        ("smtps://u@h/?from=a@b.c", "without a password"),
        (f"smtps://u:{ENCODED}@h/", "gives no From address"),
        (f"smtps://u:{ENCODED}@h/?form=a@b.c", "something else behind the ?"),
    ],
)
def test_a_wrong_one_names_the_variable_and_never_the_password(url: str, problem: str, bare: Program) -> None:
    for json in ((), ("--json",)):
        answer = bare.run("list", *json, PRX_EMAIL_URL=url)
        assert answer.status == 78, answer
        assert "PRX_EMAIL_URL: " in answer.out + answer.err
        assert problem in answer.out + answer.err
        assert "very" not in answer.out + answer.err


def test_comes_from_a_private_file(bare: Program) -> None:
    secret = bare.home / "url"
    secret.write_text(URL + "\n")
    secret.chmod(0o644)
    assert bare.run("account", "show", PRX_EMAIL_URL_FILE=str(secret)).status == 77
    secret.chmod(0o600)
    assert bare.run("account", "show", "--json", PRX_EMAIL_URL_FILE=str(secret)).data["name"] == "env"
    assert bare.run("list", PRX_EMAIL_URL_FILE=str(secret), PRX_EMAIL_URL=URL).status == 78
    missing = bare.run("list", PRX_EMAIL_URL_FILE="/no/such/file")
    assert (missing.status, "PRX_EMAIL_URL_FILE" in missing.err) == (78, True)


def test_beside_a_file_the_file_wins(program: Program) -> None:
    accounts = program.run("account", "list", "--json", PRX_EMAIL_URL=URL).data
    assert [one["name"] for one in accounts] == ["work", "env"]
    assert program.run(*SEND, PRX_EMAIL_URL=URL, PRX_EMAIL_OUTBOX="other.db").status == 0
    assert program.show(1)["account"] == "work"
    program.config.write_text(program.config.read_text().replace("accounts.work", "accounts.env"))
    assert program.run("account", "show", "env", "--json", PRX_EMAIL_URL=URL).data["host"] == "localhost"


def test_a_file_that_is_named_and_missing_is_an_error_all_the_same(bare: Program) -> None:
    assert bare.run("--config", "missing.toml", "list", PRX_EMAIL_URL=URL).status == 78
    assert bare.run("list", PRX_EMAIL_URL=URL, PRX_EMAIL_CONFIG="missing.toml").status == 78


def test_needs_no_home_if_the_outbox_is_named(bare: Program) -> None:
    outbox = str(bare.home / "o.db")
    del bare.environment["HOME"]
    assert bare.run(*SEND, PRX_EMAIL_URL=URL, PRX_EMAIL_OUTBOX=outbox).status == 0


def test_secret_commands_do_not_get_it_and_a_job_does(program: Program) -> None:
    told = program.home / "told"
    script = program.home / "secret"
    script.write_text(f"#!/bin/sh\nenv > {told}\necho pw\n")
    script.chmod(0o700)
    program.configure(smtp='user = "ops@example.com"', auth=f'password_command = ["{script}"]')
    program.send()
    program.run("drain", PRX_EMAIL_URL=URL)
    assert "PRX_EMAIL_CONFIG" in told.read_text()
    assert "PRX_EMAIL_URL" not in told.read_text()
    job = ("run", "--to", "a@example.org", "--pass-through", "--", "printenv", "PRX_EMAIL_URL")
    assert program.run(*job, PRX_EMAIL_URL=URL).out == URL + "\n"


def test_without_a_file_no_two_processes_make_the_same_message_id(bare: Program, tmp_path: Path) -> None:
    environment = {"PRX_EMAIL_URL": URL, "PRX_EMAIL_OUTBOX": str(tmp_path / "o.db")}
    assert bare.run(*SEND, **environment).status == 0
    domains = {bare.run("export", "1", **environment).out.split("@", 1)[1].split(">")[0] for _ in range(2)}
    assert len(domains) == 2


@pytest.mark.parametrize("url", ["mysql://u:very-secret@h/db", "postgresqll://u:very-secret@h/db", "sqlite:///very.db"])
def test_an_outbox_by_a_url_of_another_kind_is_refused_and_makes_no_file(program: Program, url: str) -> None:
    program.config.write_text(program.config.read_text().replace('path = "outbox.db"\n', ""))
    answer = program.run(*SEND, PRX_EMAIL_OUTBOX=url)
    assert answer.status == 78
    assert "PRX_EMAIL_OUTBOX: does not begin with postgresql://" in answer.err
    assert "very" not in answer.err
    assert not list(program.home.glob("*:*"))
