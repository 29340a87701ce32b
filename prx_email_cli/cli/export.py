"""``prx-email export``: messages as their next attempts would send them."""

from base64 import b64encode
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prx_email_cli.cli.context import invocation
from prx_email_cli.cli.options import Json, NowTs
from prx_email_cli.cli.output import put, put_bytes, put_json, say
from prx_email_cli.cli.render import safe
from prx_email_cli.cli.selection import Selection, takes_selection
from prx_email_cli.errors import NotFound, StorageError

if TYPE_CHECKING:
    from prx_email_cli.outbox.messages import Exported
    from prx_email_cli.outbox.store import Store

app = typer.Typer(add_completion=False)


@app.command()
@takes_selection()
def export(
    ctx: typer.Context,
    selection: Selection,
    eml: Annotated[bool, typer.Option("--eml", help="Print the bytes of one message; the default for one.")] = False,
    mbox: Annotated[bool, typer.Option("--mbox", help="Print an mbox; the default for several messages.")] = False,
    maildir: Annotated[
        Path | None, typer.Option("--maildir", metavar="DIR", help="Write each into this Maildir, and print its file.")
    ] = None,
    now_ts: NowTs = None,
    as_json: Json = False,
) -> None:
    """Print messages as their next attempts would send them, with the Message-ID.

    A sent message is printed as it was sent last. Hidden recipients are in no header: show tells them.
    Example: prx-email export 42 > 42.eml
    """
    if sum((eml, mbox, maildir is not None)) > 1:
        raise typer.BadParameter("use only one of --eml, --mbox and --maildir")
    selection.check()
    this = invocation(ctx)
    settings = this.settings()
    now = this.clock(settings, now_ts)()
    with this.store(settings) as store:
        ids = list(dict.fromkeys(selection.ids)) or selection.find(store, settings, selection.filter(store, now))[::-1]
        if eml and len(ids) > 1:
            raise typer.BadParameter("--eml is for one message: use --mbox or --maildir for several")
        found = _exported(store, ids, pruned_are_left_out=not selection.ids)  # before the first is printed
        files = _delivered(maildir, found) if maildir is not None else None
        if this.json:
            put_json([_object(one, files) for one in found])
        elif files is not None:
            for file in files.values():
                put(safe(file))
        elif mbox or len(found) != 1:
            from prx_email_cli.mail.mbox import as_mbox  # on use

            for one in found:
                put_bytes(as_mbox(one.pieces(), one.sender, one.created_at))
        else:
            put_bytes(found[0].pieces())


def _exported(store: "Store", ids: Sequence[int], *, pruned_are_left_out: bool) -> "list[Exported]":
    """Return the messages; say how many have no content any more, if these are left out.  Raises NotFound."""
    found, pruned = [], 0
    for outbox_id in ids:
        try:
            found.append(store.exported(outbox_id))
        except NotFound:
            if not pruned_are_left_out:
                raise
            pruned += 1
    if pruned:
        say(f"note: {pruned} left out, because their content was deleted")
    elif not found:
        say("no messages")
    return found


def _delivered(directory: Path, messages: "list[Exported]") -> dict[int, Path]:
    """Write *messages* into a Maildir, and return the file of each.  Raises StorageError."""
    from prx_email_cli.mail.maildir import deliver  # on use

    try:
        return {one.outbox_id: deliver(directory, one.pieces()) for one in messages}
    except OSError as error:
        raise StorageError(
            f"cannot write into the Maildir {directory}: {error.strerror}", hint="name a directory that you can write"
        ) from None


def _object(message: "Exported", files: dict[int, Path] | None) -> dict[str, Any]:
    """Make the JSON object of a message, with its file if it was written into one, else with its bytes."""
    where = {"file": str(files[message.outbox_id])} if files is not None else {
        "base64": b64encode(b"".join(message.pieces())).decode()}  # fmt: skip
    return {"outbox_id": message.outbox_id, "message_id": message.message_id, "sender": message.sender, **where}


apps = {"export": app}
