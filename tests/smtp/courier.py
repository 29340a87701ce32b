"""What every test of a delivery needs: an account, a session with its server, and a message to hand over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

from prx_email_cli.config.settings import Account, Smtp, check_settings
from prx_email_cli.delivery.handing_over import envelope_of, outcome_of
from prx_email_cli.outbox.lifecycle import Outcome, RecipientStatus
from prx_email_cli.outbox.messages import Claimed, Target
from prx_email_cli.smtp.credentials import login_of
from prx_email_cli.smtp.session import Session, SessionFactory
from prx_email_cli.smtp.transaction import Transaction

USER, PASSWORD = "ops@example.com", "Pa55-wörd/秘密 +%"
CONTENT = b"Subject: hello\r\n\r\ntext\r\n"


def account_for(port: int, *, password: str | None = None, **smtp: Any) -> Account:
    """An account whose server listens on *port* of localhost; in clear, unless *smtp* says otherwise.

    Its patience may be shorter than a config can ask for.
    """
    table: dict[str, Any] = {
        "host": "localhost",
        "port": port,
        "tls": "none",
        "timeout_seconds": 60,
        "data_timeout_seconds": 60,
        **{name: str(value) if isinstance(value, Path) else value for name, value in smtp.items()},
    }
    if password is not None:
        table |= {"user": USER, "auth": {"password": password}}
    short = {name: table.pop(name) for name in ("timeout_seconds", "data_timeout_seconds") if table[name] < 1}
    document = {"accounts": {"work": {"from": "ops@example.com", "smtp": table}}}
    account = check_settings(document, Path("/nowhere/config.toml")).accounts["work"]
    return Account(**{**vars(account), "smtp": Smtp(**{**vars(account.smtp), **short})})


def open_session(account: Account) -> Session:
    """A logged-in session.  Raises SessionFailed."""
    return SessionFactory(account, login_of(account)).open()


@contextmanager
def session_with(port: int, **smtp: Any) -> Iterator[Session]:
    """A session that is closed at the end, whatever became of it."""
    session = open_session(account_for(port, **smtp))
    try:
        yield session
    finally:
        session.close()


def message_to(*recipients: str, content: bytes = CONTENT, size: int | None = None) -> Claimed:
    """A claimed message, number 7, on its first attempt."""
    return Claimed(
        outbox_id=7,
        account="work",
        retries=0,
        next_attempt_at=0,
        first_due_at=0,
        expires_at=None,
        uncertain=False,
        message_id="<outbox-7-0@prx-email.local>",
        sender="ops@example.com",
        subject="hello",
        needs_smtputf8=False,
        size_bytes=len(content) if size is None else size,
        started_at=0,
        targets=[Target(number, address, RecipientStatus.PENDING) for number, address in enumerate(recipients)],
        others=[],
        head=content,
    )


def hand_over(session: Session, claimed: Claimed | None = None, rest: Iterable[bytes] = ()) -> Outcome:
    """What came of handing *claimed* (by default one to a@example.org) over."""
    claimed = claimed or message_to("a@example.org")
    envelope = envelope_of(claimed, chain((claimed.head or b"",), rest))
    return outcome_of(session.carry_out(Transaction(envelope, session.profile, session.patience)))
