"""Plays rows of the matrix: a server, an outbox with a few messages, one drain, and another one later."""

import gc
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from prx_email_cli.config.settings import Settings, check_settings
from prx_email_cli.delivery.report import DrainReport
from prx_email_cli.delivery.run import DeliveringRun, DrainOptions, Environment
from prx_email_cli.outbox.messages import Addressee, Content, NewMessage, Schedule
from prx_email_cli.outbox.store import Store

from ..support.certs import Certificates
from ..support.faults import UNBUFFERABLE
from ..support.record import Received
from ..support.scripted import ScriptedServer
from .places import FIRST, SECOND, Row
from .rules import FIRST_DELAY_SECONDS, After, AtLast
from .stores import DOMAIN, KINDS

NOW = 1_800_000_000
USER, PASSWORD = "ops@example.com", "correct horse"
FORERUNNER, SUBJECT, OTHER = "forerunner", "subject", "other"
WAITING_AT_ONCE, OTHERS_AT_ONCE = 36, 3
PATIENCE_SECONDS = 60  # the client's, where its patience is not what is tried


@dataclass(frozen=True)
class Played:
    """What was observed.

    connections: how many the first drain opened.  attempts: outcome and `uncertain` of each one by then.
    """

    after: After
    at_last: AtLast
    happened: int
    violations: list[str]
    connections: int
    last_error: str
    attempts: list[tuple[str | None, bool]]
    forerunner: str
    warnings: list[str]


class Outbox:
    """An empty outbox with an account for one server; its clock stands still until it is moved.

    smtp: more keys of the account.
    """

    def __init__(self, store: Store, port: int, *, patience: int = PATIENCE_SECONDS, **smtp: object) -> None:
        self.settings = _settings({"port": port, **smtp}, patience)
        self.now = NOW
        self.store = store

    def add(self, name: str, *recipients: str, large: bool = False) -> int:
        """Enqueue one message; it is due after those that were added before it."""
        message = NewMessage(
            account="work",
            sender="ops@example.com",
            recipients=[Addressee(address) for address in recipients],
            subject=name,
            content=_content(name, large),
            schedule=Schedule.at_once(self.now),
        )
        return self.store.submit([message])[0].outbox_id

    def let_rest(self) -> None:
        """Wait until the account has rested, if its server refused it."""
        for state in self.store.account_states().values():
            self.now = max(self.now, state.rests_until or 0)

    def drain(self, connections: int = 1) -> DrainReport:
        """One drain over so many connections at once."""
        with self.store.start_run(self.now) as run:
            delivering = DeliveringRun(self.store, self.settings, run, Environment(lambda: self.now))
            return delivering.drain(DrainOptions(connections=connections))


class Campaign(NamedTuple):
    """What was observed of each row on an outbox of each kind.

    left_open: sockets and files, for the garbage collector to find.
    """

    played: dict[tuple[Row, str], Played | Exception]
    left_open: list[str]


def play_all(rows: list[tuple[Row, str]], certificates: Certificates) -> Campaign:
    """Every row, many at a time; those in which the client only waits take no turn from the others."""

    def play_one(row: Row, kind: str) -> Played | Exception:
        try:
            return play(row, kind, certificates)
        except Exception as error:
            return error

    with _noting_what_is_left_open() as left_open:
        with ThreadPoolExecutor(WAITING_AT_ONCE) as waiting, ThreadPoolExecutor(OTHERS_AT_ONCE) as others:
            jobs = {one: (waiting if one[0].patience else others).submit(play_one, *one) for one in rows}
        return Campaign({one: job.result() for one, job in jobs.items()}, left_open)


@contextmanager
def _noting_what_is_left_open() -> Iterator[list[str]]:
    """A list of the warnings, which are errors here, that finalisers could tell to nobody."""
    found: list[str] = []
    before, sys.unraisablehook = sys.unraisablehook, lambda unraisable: found.append(str(unraisable.exc_value))
    try:
        yield found
        gc.collect()
    finally:
        sys.unraisablehook = before


def play(row: Row, kind: str, certificates: Certificates) -> Played:
    """One row on an outbox of this kind."""
    scene = row.scene
    server = ScriptedServer(
        [*scene.before, row.fault],
        pipelining=row.pipelining,
        tls=scene.tls or None,  # type: ignore[arg-type]
        context=certificates.server_context() if scene.tls else None,
        auth={USER: PASSWORD} if scene.login else None,
    )
    smtp: dict[str, object] = {"user": USER, "auth": {"password": PASSWORD}} if scene.login else {}
    if scene.tls:
        smtp |= {"tls": scene.tls, "tls_ca_file": str(certificates.ca_file)}
    with KINDS[kind]() as store, server:
        outbox = Outbox(store, server.port, patience=row.patience or PATIENCE_SECONDS, **smtp)
        forerunner = outbox.add(FORERUNNER, "zero@example.org") if scene.forerunner else None
        subject = outbox.add(SUBJECT, FIRST, SECOND, large=scene.large)
        other = outbox.add(OTHER, "third@example.org")
        report = outbox.drain()
        after = _after(outbox, server, subject, other)
        row_then, connections, said = outbox.store.row(subject), server.connections, len(server.commands)
        outbox.now += FIRST_DELAY_SECONDS if after.due_in is None else after.due_in
        outbox.let_rest()
        outbox.drain()
        return Played(
            after=after,
            at_last=_at_last(outbox, server, subject, other, said),
            happened=sum(happened.fault == row.fault for happened in server.happened),
            violations=server.violations,
            connections=connections,
            last_error=row_then.last_error or "",
            attempts=[(attempt.outcome, attempt.uncertain) for attempt in row_then.attempts],
            forerunner=_of_forerunner(outbox, forerunner) if forerunner else "sent",
            warnings=report.warnings,
        )


def copies(server: ScriptedServer, name: str) -> list[Received]:
    """What the server stored of one of the messages, whether or not it said so."""
    return [message for message in server.messages if b"\r\nSubject: " + name.encode() in message.content[:500]]


def _after(outbox: Outbox, server: ScriptedServer, subject: int, other: int) -> After:
    row = outbox.store.row(subject)
    return After(
        status=row.status,
        recipients=_statuses(outbox, subject),
        uncertain=row.uncertain,
        gave_up=row.gave_up is not None,
        error=row.error_code,
        retries=row.retries,
        due_in=None if row.next_attempt_at is None else row.next_attempt_at - outbox.now,
        others=_of_other(outbox, other),
        copies=len(copies(server, SUBJECT)),
    )


def _at_last(outbox: Outbox, server: ScriptedServer, subject: int, other: int, said: int) -> AtLast:
    named = [command.line for command in server.commands[said:]]
    return AtLast(
        status=outbox.store.row(subject).status,
        recipients=_statuses(outbox, subject),
        others=_of_other(outbox, other),
        addressed=tuple(address for address in (FIRST, SECOND) if f"RCPT TO:<{address}>" in named),
        message_ids=tuple(_retries_in(copy.message_id, subject) for copy in copies(server, SUBJECT)),
    )


def _of_forerunner(outbox: Outbox, forerunner: int) -> str:
    first = outbox.store.row(forerunner).attempts[0]
    return "uncertain" if first.uncertain else str(first.outcome)


def _of_other(outbox: Outbox, other: int) -> str:
    row = outbox.store.row(other)
    return "untouched" if row.status == "pending" and row.retries == 0 and not row.attempts else row.status


def _statuses(outbox: Outbox, outbox_id: int) -> tuple[str, str]:
    first, second = outbox.store.row(outbox_id).recipients
    return first.status, second.status


def _retries_in(message_id: str, outbox_id: int) -> int:
    """The last number in ``<outbox-ID-RETRIES@DOMAIN>``, -1 for any other Message-ID."""
    left, _, domain = message_id.removeprefix("<").removesuffix(">").partition("@")
    prefix = f"outbox-{outbox_id}-"
    return int(left.removeprefix(prefix)) if left.startswith(prefix) and domain == DOMAIN else -1


@cache
def _content(name: str, large: bool) -> Content:
    head = f"From: <ops@example.com>\r\nTo: somebody\r\nSubject: {name}\r\n\r\n.a dot first\r\n".encode()
    return Content.of(head + (b"x" * 76 + b"\r\n") * (UNBUFFERABLE // 76 if large else 0))


def _settings(smtp: dict[str, object], patience: int) -> Settings:
    patient = {"timeout_seconds": patience, "data_timeout_seconds": patience}
    account = {"from": "Ops <ops@example.com>", "smtp": {"host": "127.0.0.1", "tls": "none", **patient, **smtp}}
    outbox = {"path": "outbox.db", "message_id_domain": DOMAIN}
    return check_settings({"outbox": outbox, "accounts": {"work": account}}, Path("/nowhere/config.toml"))
