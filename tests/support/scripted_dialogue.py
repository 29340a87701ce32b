"""One connection of a `ScriptedServer`: a correct SMTP dialogue that asks the plan at every place."""

from __future__ import annotations

import re
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from .faults import Addresses, Fault, FaultPlan, Place, Visit
from .manners import perform
from .record import Command, Happened, Received, Record, has_bare_newlines
from .scripted_auth import MAX_AUTH_OCTETS, AuthCancelledError, explain_refusal, present_credentials
from .wire import ConversationOverError, Wire

TlsMode = Literal["implicit", "starttls"]
Users = Mapping[str, str] | Callable[[str, str], bool]
"""{user: secret}, or what tells whether a user and a secret belong together."""
HOST_NAME = "scripted.test"

_PATH = re.compile(r'(?:FROM|TO):\s*<((?:"(?:\\.|[^"\\])*"|[^<>"])*)>((?: \S+)*)', re.IGNORECASE)


@dataclass(frozen=True)
class Settings:
    """What the server offers and insists on; the keywords of `ScriptedServer`."""

    pipelining: bool = True
    size: int | None = None
    eightbitmime: bool = True
    smtputf8: bool = False
    extensions: tuple[str, ...] = ()
    tls: TlsMode | None = None
    context: ssl.SSLContext | None = None
    auth: Users | None = None
    auth_mechanisms: tuple[str, ...] = ("PLAIN", "LOGIN")
    challenges: tuple[str, ...] | None = None
    fragments: bool = False
    data_without_recipients: Literal["refuse", "accept"] = "refuse"
    max_recipients: int | None = None


@dataclass
class Transaction:
    """From MAIL to the reply to the final dot."""

    sender: str
    params: list[str]
    recipients: list[str] = field(default_factory=list)
    attempts: int = 0

    def addresses(self) -> Addresses:
        return tuple(self.recipients)


class Dialogue:
    """Speaks with one client until it leaves, is told to, or a fault ends it."""

    def __init__(
        self, wire: Wire, settings: Settings, plan: FaultPlan, record: Record, released: threading.Event
    ) -> None:
        self._wire = wire
        self._settings = settings
        self._plan = plan
        self._record = record
        self._released = released
        self._number = record.note_connection()
        self._greeted = False
        self._user: str | None = None
        self._transaction: Transaction | None = None
        self._commands: dict[str, Callable[[str], None]] = {
            "EHLO": self._ehlo,
            "HELO": self._helo,
            "STARTTLS": self._starttls,
            "AUTH": self._auth,
            "MAIL": self._mail,
            "RCPT": self._rcpt,
            "DATA": self._data,
            "RSET": self._rset,
            "NOOP": lambda _: self._wire.say("250 2.0.0 ok"),
            "VRFY": lambda _: self._wire.say("252 2.5.0 cannot tell"),
            "QUIT": self._quit,
        }

    def run(self) -> None:
        """Return when the connection is over, for whatever reason the network or the plan had."""
        try:
            self._open()
            while True:
                self._obey(self._read_command())
        except (ConversationOverError, OSError):
            pass
        finally:
            self._wire.close()
            self._record.note_disconnection()

    # --- asking the plan

    def _answer(self, place: Place, good_reply: str, addresses: Addresses = (), position: int = 0) -> bool:
        """Reply as the plan says, else with *good_reply*.  True when the client was told yes."""
        fault = self._plan.take(Visit(place, addresses, position))
        if fault is None:
            self._wire.say(good_reply)
            return good_reply[:1] in ("2", "3")
        return self._misbehave(fault, good_reply)

    def _misbehave(self, fault: Fault, good_reply: str) -> bool:
        self._record.note_fault(Happened(self._number, fault))
        return perform(fault, self._wire, good_reply, self._released)

    # --- opening

    def _open(self) -> None:
        self._answer("connect", "")
        if self._settings.tls == "implicit":
            self._shake_hands()
        if not self._answer("greeting", f"220 {HOST_NAME} ESMTP"):
            self._refuse_all()

    def _shake_hands(self) -> None:
        self._answer("handshake", "")
        assert self._settings.context is not None
        self._wire.start_tls(self._settings.context)

    def _refuse_all(self) -> None:
        """After a greeting of refusal only QUIT is honoured (RFC 5321 section 3.1)."""
        while not self._read_command().upper().startswith("QUIT"):
            self._wire.say("503 5.5.1 no service here")
        self._quit("")

    def _read_command(self) -> str:
        raw = self._wire.read_line()
        line = raw.decode("utf-8", "surrogateescape").rstrip("\r\n")
        self._record.note_command(Command(self._number, line, self._wire.over_tls))
        if not raw.endswith(b"\r\n"):
            self._record.note_violation(f"a bare LF ends {line!r}")
        if self._wire.pending and not self._settings.pipelining:
            self._record.note_violation(f"pipelined after {line!r}, which was not offered")
        return line

    def _obey(self, line: str) -> None:
        verb, _, argument = line.partition(" ")
        command = self._commands.get(verb.upper())
        if command is None:
            self._wire.say("500 5.5.2 unknown command")
        else:
            command(argument.strip())

    # --- session

    def _ehlo(self, _argument: str) -> None:
        self._transaction = None
        lines = [HOST_NAME, *self._capabilities()]
        inner = [f"250-{line}" for line in lines[:-1]]
        self._greeted = self._answer("ehlo", "\r\n".join([*inner, f"250 {lines[-1]}"])) or self._greeted

    def _helo(self, _argument: str) -> None:
        self._transaction = None
        self._greeted = self._answer("ehlo", f"250 {HOST_NAME}") or self._greeted

    def _capabilities(self) -> list[str]:
        offered = self._settings
        lines = ["PIPELINING"] if offered.pipelining else []
        lines += [f"SIZE {offered.size}"] if offered.size is not None else []
        lines += ["8BITMIME"] if offered.eightbitmime else []
        lines += ["SMTPUTF8"] if offered.smtputf8 else []
        lines += ["STARTTLS"] if self._tls_missing() else []
        if offered.auth is not None and not self._tls_missing():
            lines.append(" ".join(["AUTH", *offered.auth_mechanisms]))
        return [*lines, "ENHANCEDSTATUSCODES", *offered.extensions]

    def _tls_missing(self) -> bool:
        return self._settings.tls == "starttls" and not self._wire.over_tls

    def _starttls(self, _argument: str) -> None:
        if not self._tls_missing():
            self._wire.say("502 5.5.1 STARTTLS is not offered")
        elif self._answer("starttls", "220 2.0.0 go ahead"):
            self._shake_hands()
            self._greeted, self._transaction = False, None  # RFC 3207: the client starts anew

    def _auth(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        if initial and len(f"AUTH {argument}\r\n") > MAX_AUTH_OCTETS:
            self._record.note_violation(f"an AUTH command of over {MAX_AUTH_OCTETS} octets")
            self._wire.say("500 5.5.6 line too long")
            return
        if refusal := self._auth_refusal(mechanism.upper()):
            self._wire.say(refusal)
            return
        try:
            user, secret = present_credentials(mechanism.upper(), initial, self._ask)
        except AuthCancelledError:
            self._wire.say("501 5.5.2 cancelled")
            return
        if self._knows(user, secret):
            verdict = "235 2.7.0 welcome"
        else:
            for violation in explain_refusal(mechanism.upper(), self._ask, self._settings.challenges):
                self._record.note_violation(violation)
            verdict = "535 5.7.8 wrong user or password"
        if self._answer("auth", verdict):
            self._user = user

    def _knows(self, user: str, secret: str) -> bool:
        users = self._settings.auth
        assert users is not None
        return users(user, secret) if callable(users) else users.get(user) == secret

    def _auth_refusal(self, mechanism: str) -> str:
        if self._settings.auth is None or not self._greeted:
            return "503 5.5.1 AUTH is not offered"
        if self._tls_missing():
            return "538 5.7.11 encryption required"
        if self._user is not None or self._transaction is not None:
            return "503 5.5.1 not now"
        return "" if mechanism in self._settings.auth_mechanisms else "504 5.5.4 unknown mechanism"

    def _ask(self, challenge: str) -> str:
        self._wire.say(f"334 {challenge}")
        return self._read_command()

    def _rset(self, _argument: str) -> None:
        self._transaction = None
        self._answer("rset", "250 2.0.0 forgotten")

    def _quit(self, _argument: str) -> None:
        self._answer("quit", "221 2.0.0 bye")
        self._wire.part()
        raise ConversationOverError

    # --- one message

    def _mail(self, argument: str) -> None:
        found = _PATH.fullmatch(argument)
        params = found[2].split() if found else []
        if refusal := self._mail_refusal(params):
            self._wire.say(refusal)
        elif found is None:
            self._wire.say("501 5.5.4 syntax: MAIL FROM:<address>")
        elif not found[1].isascii() and "SMTPUTF8" not in map(str.upper, params):
            self._wire.say("553 5.6.7 that address needs SMTPUTF8")
        elif self._answer("mail", "250 2.1.0 sender ok", (found[1],)):
            self._transaction = Transaction(found[1], params)

    def _mail_refusal(self, params: list[str]) -> str:
        offered = self._settings
        if not self._greeted or self._transaction is not None:
            return "503 5.5.1 nested MAIL, or no EHLO"
        if self._tls_missing():
            return "530 5.7.0 STARTTLS first"
        if offered.auth is not None and self._user is None:
            return "530 5.7.0 authentication required"
        known = {"SIZE": offered.size is not None, "BODY": offered.eightbitmime, "SMTPUTF8": offered.smtputf8}
        known |= dict.fromkeys(("RET", "ENVID"), "DSN" in offered.extensions)
        for name, _, value in (param.upper().partition("=") for param in params):
            if not known.get(name):
                return f"555 5.5.4 {name} is not offered"
            if name == "SIZE" and offered.size and value.isdigit() and int(value) > offered.size:
                return "552 5.3.4 message too big"
        return ""

    def _rcpt(self, argument: str) -> None:
        transaction, found = self._transaction, _PATH.fullmatch(argument)
        if transaction is None:
            self._wire.say("503 5.5.1 MAIL first")
            return
        transaction.attempts += 1
        if found is None:
            self._wire.say("501 5.5.4 syntax: RCPT TO:<address>")
        elif not found[1].isascii() and "SMTPUTF8" not in map(str.upper, transaction.params):
            self._wire.say("553 5.6.7 that address needs SMTPUTF8")
        elif len(transaction.recipients) == self._settings.max_recipients:
            self._wire.say("452 4.5.3 too many recipients")
        elif self._answer("rcpt", "250 2.1.5 recipient ok", (found[1],), transaction.attempts):
            transaction.recipients.append(found[1])

    def _data(self, _argument: str) -> None:
        transaction = self._transaction
        if self._wire.pending:
            self._record.note_violation("content before the reply to DATA")
        if transaction is None:
            self._wire.say("503 5.5.1 MAIL first")
        elif not transaction.recipients and self._settings.data_without_recipients == "refuse":
            self._wire.say("554 5.5.1 no valid recipients")
        elif self._answer("data", "354 go ahead", transaction.addresses()):
            self._take_content(transaction)

    def _take_content(self, transaction: Transaction) -> None:
        fault = self._plan.take(Visit("during_data", transaction.addresses()))
        answered = False
        if fault is not None:
            self._wire.await_bytes(fault.after_bytes)
            self._misbehave(fault, "")
            answered = fault.manner not in ("fragments", "pause")  # those two have nothing to say here
        raw = self._wire.read_content()
        self._transaction = None
        if not answered:  # else the premature reply was the only one
            self._judge(transaction, raw)

    def _judge(self, transaction: Transaction, raw: bytes) -> None:
        """The reply to the final dot.  Recorded first: a test may look as soon as its client returns."""
        content = (b"\r\n" + raw).replace(b"\r\n.", b"\r\n")[2:]
        refusal = self._content_refusal(transaction, content)
        fault = self._plan.take(Visit("after_dot", transaction.addresses()))
        judged = fault is None or fault.manner in (
            "fragments",
            "pause",
        )  # the reply is then this server's own
        acknowledged = not refusal if judged else fault is not None and fault.consents
        if acknowledged or not transaction.recipients or (fault is not None and fault.delivered):
            bare = has_bare_newlines(raw)
            self._record.note_message(self._received(transaction, content, acknowledged, bare))
        reply = refusal or f"250 2.0.0 queued as {self._number}-{len(self._record.messages)}"
        if fault is None:
            self._wire.say(reply)
        else:
            self._misbehave(fault, reply)
        if acknowledged:
            self._answer("idle", "", transaction.addresses())

    def _content_refusal(self, transaction: Transaction, content: bytes) -> str:
        if not transaction.recipients:
            return "554 5.5.1 no valid recipients"
        too_big = self._settings.size and len(content) > self._settings.size  # 0: no limit is known (RFC 1870)
        return "552 5.3.4 message too big" if too_big else ""

    def _received(self, transaction: Transaction, content: bytes, acknowledged: bool, bare: bool) -> Received:
        return Received(
            mail_from=transaction.sender,
            recipients=transaction.recipients,
            content=content,
            acknowledged=acknowledged,
            connection=self._number,
            mail_params=transaction.params,
            bare_newlines=bare,
            over_tls=self._wire.over_tls,
            user=self._user,
        )
