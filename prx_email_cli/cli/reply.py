"""``prx-email reply``: answer a known message, in its thread."""

from typing import TYPE_CHECKING, Annotated

import typer

from prx_email_cli.cli import options
from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.inputs import Bodies, open_input
from prx_email_cli.cli.output import say
from prx_email_cli.cli.send import enqueue_and_answer
from prx_email_cli.outbox.lifecycle import Priority, Status
from prx_email_cli.submission.reply import Manner, Parent, answer, find_parent, sent_parent
from prx_email_cli.submission.request import Request

if TYPE_CHECKING:
    from prx_email_cli.config.settings import Settings

MOST_ID = 2**63 - 1  # of SQLite's

app = typer.Typer(add_completion=False)


@app.command()
def reply(
    ctx: typer.Context,
    message_id: Annotated[
        str | None, typer.Argument(metavar="[ID]", help="Message to answer: its Message-ID, or its outbox id.")
    ] = None,
    parent: Annotated[
        str | None,
        typer.Option("--parent", metavar="FILE", help="Import and answer the message in this file; - for stdin."),
    ] = None,
    everyone: Annotated[
        bool, typer.Option("--all", help="Send a copy to the other recipients of the message.")
    ] = False,
    quote: Annotated[bool, typer.Option("--quote", help="Quote the text of the message below the answer.")] = False,
    cc: options.Cc = None,
    bcc: options.Bcc = None,
    subject: Annotated[
        str, typer.Option("--subject", "-s", metavar="TEXT", help='Subject; by default "Re: " and that of the message.')
    ] = "",
    body: options.Body = None,
    body_file: options.BodyFile = None,
    allow_empty: options.AllowEmpty = False,
    html: options.Html = None,
    attach: options.Attach = None,
    attach_stored: options.AttachStored = None,
    sender: options.Sender = None,
    account: options.AccountName = None,
    at: options.At = None,
    within: options.Within = None,
    expires_in: options.ExpiresIn = None,
    priority: options.Importance = None,
    idempotency_key: options.IdempotencyKey = None,
    now: options.AttemptNow = False,
    preview: options.Preview = False,
    now_ts: options.NowTs = None,
    failure_mode: options.FailureMode = None,
    as_json: options.Json = False,
) -> None:
    """Answer an imported or sent message in its thread, and print the outbox id.

    A message of this outbox is answered by the account that it has; --account names another.
    Example: prx-email reply 20260801.4711@example.com --quote --body "Done."
    """
    if (message_id is None) == (parent is None):
        raise typer.BadParameter("give either ID or --parent")
    options.refuse_two_times(at, within, now=now)
    this, bodies = invocation(ctx), Bodies(body, body_file, html, parent=parent)
    this.enqueues_by, settings = "reply", this.settings()
    account, known = (
        _learned_parent(this, settings, account, parent, this.clock(settings, now_ts)())
        if parent is not None
        else _known_parent(this, settings, account, message_id or "")
    )
    request = bodies.put_into(Request(
        cc=tuple(cc or ()), bcc=tuple(bcc or ()), subject=subject, html_file=html, attach=tuple(attach or ()),
        attach_stored=tuple(attach_stored or ()), account=account, sender=sender, idempotency_key=idempotency_key,
        now_ts=now_ts, failure_mode=failure_mode, priority=Priority(priority) if priority else None, at=at,
        within=within, expires_in=expires_in, typed=True, allow_empty=allow_empty or None,
    ))  # fmt: skip
    answered = answer(request, settings.account(account), known, Manner(everyone=everyone, quote=quote))
    enqueue_and_answer(this, settings, answered, now=now)


def _known_parent(
    this: Invocation, settings: "Settings", account: str | None, text: str
) -> "tuple[str | None, Parent]":
    """Find the message to answer among the known and the sent messages, and the account that answers.

    text: a Message-ID, or an outbox id, whose message has an account.  Raises NotFound.
    """
    with this.store(settings) as store:
        if not (text.isascii() and text.isdecimal()):
            return account, find_parent(store, settings.account(account).name, text)
        row = store.row(min(int(text[:20]), MOST_ID))
        if row.status != Status.SENT:
            say(f"note: {row.outbox_id} is not sent yet: the answer names the Message-ID that it has now")
        return account if account is not None else row.account, sent_parent(store, row.outbox_id)


def _learned_parent(
    this: Invocation, settings: "Settings", account: str | None, file: str, now: int
) -> "tuple[str | None, Parent]":
    """Import the one message in *file*, to be answered by *account*.  Raises InputNotFound, ValidationError."""
    name = settings.account(account).name
    from prx_email_cli.submission.importing import only_message  # on use

    known = only_message(file, open_input)
    if not this.preview:
        with this.store(settings) as store:
            store.learn(name, [known], now)
    return account, Parent(known)


apps = {"reply": app}
