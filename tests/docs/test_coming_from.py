"""docs/coming-from.md names every setting of the others, and commands and keys that we have."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin

import pytest

from prx_email_cli.config.settings import Account, Settings
from prx_email_cli.config.table import Table
from prx_email_cli.sendmail import flags

from ..conftest import Program
from .test_troubleshooting import FENCE, SPAN, options_of, root

PAGE = (Path(__file__).parents[2] / "docs" / "coming-from.md").read_text(encoding="utf-8")
PROGRAMS = ("msmtp", "nullmailer", "dma", "Postfix as a null client")
# All that msmtp(1) 1.8, nullmailer(7) 2.2 with the pages it names, and dma(8) 0.13 have; of Postfix a null client's.
SETTINGS = {
    "msmtp": """
        defaults account eval host port source_ip proxy_host proxy_port socket timeout protocol domain auth user
        password passwordeval ntlmdomain tls tls_starttls tls_trust_file tls_crl_file tls_fingerprint tls_key_file
        tls_cert_file tls_certcheck tls_priorities tls_host_override tls_min_dh_prime_bits from allow_from_override
        dsn_notify dsn_return set_from_header set_date_header set_msgid_header remove_bcc_headers undisclosed_recipients
        logfile
        logfile_time_format syslog aliases auto_from maildomain
    """,
    "nullmailer": """
        adminaddr allmailfrom bouncelines bounceto defaultdomain defaulthost doublebounceto helohost idhost maxpause me
        pausetime queuelifetime remotes sendtimeout port= user= pass= source= auth-login tls ssl starttls x509certfile=
        x509keyfile= x509cafile= x509crlfile= x509fmtder insecure tls-anon-auth
    """,
    "dma": """
        SMARTHOST PORT ALIASES SPOOLDIR AUTHPATH SECURETRANS STARTTLS FINGERPRINT OPPORTUNISTIC_TLS CERTFILE SECURE
        DEFER FULLBOUNCE MAILNAME MASQUERADE NULLCLIENT EMAIL
    """,
    "Postfix as a null client": """
        relayhost smtp_sasl_auth_enable smtp_sasl_password_maps smtp_sasl_security_options smtp_tls_security_level
        smtp_tls_wrappermode smtp_tls_CAfile myorigin mydestination myhostname mydomain alias_maps alias_database
        canonical_maps smtp_generic_maps maximal_queue_lifetime bounce_queue_lifetime minimal_backoff_time
        maximal_backoff_time queue_run_delay default_destination_concurrency_limit default_destination_rate_delay
        message_size_limit mynetworks inet_interfaces inet_protocols smtp_bind_address smtp_helo_name soft_bounce
        smtpd_relay_restrictions transport_maps sender_dependent_relayhost_maps header_checks delay_warning_time
    """,
}  # fmt: skip
COMMANDS = {
    "msmtp": ("msmtp -t", "msmtpq", "msmtp-queue -r", "msmtp-queue -d", "msmtp --serverinfo", "msmtpd"),
    "nullmailer": ("nullmailer-inject -b", "nullmailer-queue", "nullmailer-send", "mailq"),
    "dma": ("dma -q", "dma -bp"),
    "Postfix as a null client": (
        "postqueue -p", "postqueue -f", "postqueue -i ID", "postsuper -d ID", "postsuper -h ID", "postsuper -r ID",
        "postcat -q ID", "mailq", "newaliases", "postfix flush", "postconf",
    ),
}  # fmt: skip
_KEY = re.compile(r"(smtp|accounts\.NAME|outbox|sendmail|attachments\.policy|listen|log|notify)\.([a-z_.]+)(?: = .+)?")


def section(program: str) -> str:
    """The part of the page about one of the others."""
    return PAGE.split(f"\n## {program}\n")[1].split("\n## ")[0]


def cells(text: str) -> Iterator[tuple[str, str]]:
    """Both cells of each row of the tables in *text*."""
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith("|---"):
            left, right = re.split(r"(?<!\\)\|", line)[1:3]
            yield left, right


def ours() -> list[str]:
    """Every piece of code that speaks of this program."""
    bare = FENCE.sub("", PAGE)
    beside = "\n".join(line for line in bare.splitlines() if not line.startswith("|"))
    return [*SPAN.findall(beside), *(span for _, right in cells(bare) for span in SPAN.findall(right))]


def keys(table: type[Table], before: str = "") -> Iterator[str]:
    """Every key of a table and of those in it, with dots."""
    for name, declared in table.keys.items():
        yield f"{before}{name}"
        kind: Any = declared.kind
        if isinstance(kind, UnionType):
            kind = next(one for one in get_args(kind) if one is not type(None))
        if isinstance(kind, type) and get_origin(kind) is None and issubclass(kind, Table):
            yield from keys(kind, f"{before}{name}.")


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_setting_and_command_of_the_others_is_there(program: str) -> None:
    named = {span for left, _ in cells(section(program)) for span in SPAN.findall(left)}
    assert set(SETTINGS[program].split()) - named == set()
    assert {word for word in COMMANDS[program] if not any(span.startswith(word) for span in named)} == set()


def test_every_row_says_what_is_ours_or_that_there_is_nothing() -> None:
    for left, right in cells(PAGE):
        if right.strip() != "Here":
            words = ("no counterpart", "always", "same flags", "nothing to do", "ignored", "fixed", "SIGHUP", "rights")
            assert SPAN.search(right) or any(word in right for word in words), left


@pytest.mark.parametrize("line", sorted({span for span in ours() if span.startswith("prx-email")}))
def test_each_command_exists_with_its_options(line: str) -> None:
    command, seen = root(), set()
    for word in shlex.split(line)[1:]:
        if word.startswith("--"):
            assert word in options_of(command) | options_of(root()), word
        elif hasattr(command, "get_command"):
            command = command.get_command(None, word) if word != "FILE" else command
            assert command is not None, word
            seen.add(word)
    assert seen or line.startswith("prx-email --config")


def test_each_flag_of_prx_sendmail_exists() -> None:
    lines = [shlex.split(span.split(" <")[0]) for span in ours() if span.startswith("prx-sendmail")]
    assert len(lines) > 8
    for words in lines:
        given = [f"{word}never" if word in ("-N", "-f", "-F") and words[-1] == word else word for word in words[1:]]
        assert flags.parse(given).warnings == (), words


def test_each_key_exists() -> None:
    known = {f"smtp.{name}" for name in keys(Account.keys["smtp"].kind)}
    known |= {f"accounts.NAME.{name}" for name in Account.keys} | set(keys(Settings))
    named = {f"{found[1]}.{found[2]}" for span in ours() if (found := _KEY.fullmatch(span))}
    assert len(named) > 40
    assert named - known == set()
    assert {span.split(".")[0] for span in ours() if re.fullmatch(r"[a-z]+\.[a-z_.]+", span)} <= {
        "smtp", "outbox", "sendmail", "attachments", "listen", "log", "notify", "environment",
    }  # fmt: skip


@pytest.mark.parametrize("program_name", PROGRAMS)
def test_the_config_of_each_is_taken(program_name: str, program: Program) -> None:
    found = re.search(r"```toml\n(.*?)```", section(program_name), re.DOTALL)
    assert found is not None
    text = found[1].replace("/etc/aliases", str(program.home / "aliases"))
    (program.home / "aliases").write_text("root: admin@example.com\n")
    for file in re.findall(r'password_file = "(.+)"', text):
        (program.home / file).write_text("secret\n")
        (program.home / file).chmod(0o600)
    program.config.write_text(text)
    answer = program.run("config", "check", "--json", XDG_DATA_HOME=str(program.home / "data"))
    assert (answer.status, answer.json["ok"]) == (0, True), answer
    offline = program.run("doctor", "--offline", XDG_DATA_HOME=str(program.home / "data"))
    wrong = [line for line in offline.out.splitlines() if line.strip().startswith("FAIL")]
    assert [line for line in wrong if "command not found: pass" not in line] == []
    assert program.run("sendmail", "-bv", "root").out == "root... deliverable: admin@example.com\n"
