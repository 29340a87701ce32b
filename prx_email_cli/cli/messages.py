"""``prx-email messages``: list and show the messages that reply can answer."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prx_email_cli.cli.columns import Cell, put_columns
from prx_email_cli.cli.context import invocation
from prx_email_cli.cli.options import AccountName, Json, Limit, OnlyAccount
from prx_email_cli.cli.output import on_terminal, put, put_json, put_tabbed, say
from prx_email_cli.cli.render import moment, safe, safe_lines
from prx_email_cli.errors import NotFound
from prx_email_cli.mail.headers import decoded_words
from prx_email_cli.mail.received import known_id
from prx_email_cli.mail.reply_headers import mailboxes_in, sent_at

if TYPE_CHECKING:
    from prx_email_cli.outbox.views import Known

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="List and show the messages that reply can answer.\n\nExample: prx-email messages list",
)


@app.command("list")
def list_known(
    ctx: typer.Context,
    account: OnlyAccount = None,
    limit: Limit = 50,
    as_json: Json = False,
) -> None:
    """List the known messages, the newest first.

    Example: prx-email messages list --limit 10
    """
    this = invocation(ctx)
    settings = this.settings()
    with this.store(settings) as store:
        found = store.known_messages(account, limit + 1)
    if account is not None and not found:
        settings.account(account)
    if this.json:
        put_json([_object(known) for known in found[:limit]], cut=len(found) > limit)
        return
    if not found:
        say("no messages")
    elif on_terminal(sys.stdout):
        lines = [{name: Cell(text) for name, text in _line(known).items()} for known in found[:limit]]
        put_columns(lines, ("message id", "from", "subject"))
    else:
        put_tabbed([_line(known) for known in found[:limit]])
    if len(found) > limit:
        say(f"the newest {limit} are shown; --limit N shows more")


@app.command()
def show(
    ctx: typer.Context,
    message_id: Annotated[str, typer.Argument(metavar="MESSAGE_ID", help="Message-ID, with or without < >.")],
    account: AccountName = None,
    as_json: Json = False,
) -> None:
    """Show the headers and the text of one known message.

    Example: prx-email messages show 20260801.4711@example.com
    """
    this = invocation(ctx)
    settings = this.settings()
    name = settings.account(account).name
    wanted = known_id(message_id)
    with this.store(settings) as store:
        known = store.known(name, wanted) if wanted is not None else None
    if known is None:
        raise NotFound(
            f"account {name} does not know the message {message_id}", hint="prx-email messages list shows what it knows"
        )
    if this.json:
        put_json({**_object(known), "text": known.message.text})
        return
    for key, value in _object(known).items():
        if value:
            shown = ", ".join(value) if isinstance(value, list) else moment(value) if isinstance(value, int) else value
            put(f"{key.replace('_', ' '):<16}{safe(shown)}")
    put("")
    put(safe_lines(known.message.text.rstrip("\n")))


def _object(known: "Known") -> dict[str, Any]:
    """Make the JSON object of a known message, without its text; times are Unix seconds."""
    message = known.message
    lists = {"reply_to": message.reply_to, "to": message.recipients, "cc": message.copies}
    return {
        "message_id": message.message_id,
        "account": known.account,
        "from": decoded_words(message.sender),
        **{name: [mailbox.address for mailbox in mailboxes_in(text)] for name, text in lists.items()},
        "subject": decoded_words(message.subject),
        "date": sent_at(message),
        "in_reply_to": message.in_reply_to.split(),
        "references": message.reference_ids.split(),
        "learned_at": known.learned_at,
    }


def _line(known: "Known") -> dict[str, str]:
    values = _object(known)
    return {"message id": values["message_id"], "account": values["account"], "date": moment(values["date"]),
            "from": values["from"], "subject": values["subject"]}  # fmt: skip


apps = {"messages": app}
