"""Enqueue the mail about a job."""

import hashlib
import os
from collections.abc import Sequence
from typing import NamedTuple

from prx_email_cli.cli.context import Invocation
from prx_email_cli.cli.undrained import warn_undrained
from prx_email_cli.outbox.messages import Schedule, Submitted
from prx_email_cli.submission.caller import caller
from prx_email_cli.submission.request import Request
from prx_email_cli.submission.spool import Spool
from prx_email_cli.submission.submit import prepare, submit


class NewMail(NamedTuple):
    """The mail about a job."""

    to: tuple[str, ...]
    subject: str
    text: str
    account: str | None
    idempotency_key: str | None


def enqueue(this: Invocation, mail: NewMail, command: Sequence[str]) -> Submitted:
    """Store *mail*, or find the earlier one with its idempotency key.

    Two mails are about the same if the *command* is the same: their times always differ.  Raises PrxEmailError.
    """
    settings = this.settings()
    now = this.clock(settings, None)()
    request = Request(
        to=mail.to, subject=mail.subject, body_text=mail.text, account=mail.account, typed=True,
        idempotency_key=mail.idempotency_key, headers=("Auto-Submitted: auto-generated",),  # RFC 3834 section 5
    )  # fmt: skip
    with Spool() as spool:
        message = prepare(request, settings, Schedule.at_once(now), spool)
        if mail.idempotency_key is not None:
            message = message._replace(fingerprint=_fingerprint(message.account, command))
        message = message._replace(caller=caller("run"))
        with this.store(settings) as store:
            submitted = submit(store, message)
            spool.clear()
            if not this.json:
                warn_undrained(this, store, now)
            return submitted


def _fingerprint(account: str, command: Sequence[str]) -> str:
    words = ["run", account, *command]
    return hashlib.sha256(b"\0".join(map(os.fsencode, words))).hexdigest()
