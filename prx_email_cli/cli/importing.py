"""``prx-email import``: learn messages, so that they can be answered."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prx_email_cli.cli.context import Invocation, clock, invocation, on_terminal
from prx_email_cli.cli.options import AccountName, Json, NowTs
from prx_email_cli.cli.output import error_object, put, put_json, report_error, safe, say, work_is_done
from prx_email_cli.errors import InputNotFound, PrxEmailError, ValidationError

if TYPE_CHECKING:
    from prx_email_cli.mail.received import KnownMessage
    from prx_email_cli.outbox.sqlite.store import SqliteStore

MESSAGES_PER_TRANSACTION = 1000

app = typer.Typer(add_completion=False)


@app.command("import")
def import_messages(
    ctx: typer.Context,
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="A message (.eml), an mbox or a Maildir; - for stdin.")
    ],
    account: AccountName = None,
    now_ts: NowTs = None,
    as_json: Json = False,
) -> None:
    """Learn messages, so that reply can answer them; those it knows already stay as they are.

    Example: prx-email import ~/Maildir saved.mbox letter.eml
    """
    import sys

    from prx_email_cli.cli.incoming_files import import_bar, total_bytes

    if files.count("-") > 1:
        raise typer.BadParameter("stdin can be read only once")
    this = invocation(ctx)
    settings = this.settings()
    import_run = Import(settings.account(account).name, clock(now_ts))
    watched = on_terminal(sys.stderr)
    with this.store(settings) as store, import_bar(total_bytes(files)) if watched else nullcontext() as advance:
        import_run.take(store, files, advance or _nothing)
    work_is_done(f"{import_run.imported} imported")
    _tell(this, import_run)


class Import:
    """One import: where it writes to and what has come of it so far."""

    def __init__(self, account: str, tick: Callable[[], int]) -> None:
        self.imported = self.known_already = self.skipped = 0
        self.unread: list[PrxEmailError] = []
        self._account, self._tick = account, tick

    def take(self, store: "SqliteStore", files: list[str], advance: Callable[[int], None]) -> None:
        """Learn every usable message in *files*, a thousand to a transaction; while one is written the next is read."""
        from concurrent.futures import Future, ThreadPoolExecutor
        from itertools import islice

        messages = self._messages(files, advance)
        with ThreadPoolExecutor(1) as writer:
            writing: tuple[int, Future[int]] | None = None
            while True:
                batch = list(islice(messages, MESSAGES_PER_TRANSACTION))
                if writing is not None:
                    self._count(writing[0], writing[1].result())
                if not batch:
                    return
                writing = len(batch), writer.submit(store.learn, self._account, batch, self._tick())

    def _skip(self, where: str, reason: str) -> None:
        self.skipped += 1
        say(f"skipped: {safe(where)}: {safe(reason)}")

    def _count(self, learned: int, new: int) -> None:
        self.imported += new
        self.known_already += learned - new

    def _messages(self, files: list[str], advance: Callable[[int], None]) -> "Iterator[KnownMessage]":
        """Whatever can be learned; the rest is told of on stderr and stops nothing."""
        from prx_email_cli.cli.incoming_files import messages_of
        from prx_email_cli.mail.received import known_message

        for name in files:
            try:
                for where, data in messages_of(name):
                    advance(len(data))
                    try:
                        yield known_message(data)
                    except ValidationError as error:
                        self._skip(where, error.message)
                    except Exception as error:  # noqa: BLE001 - one message never keeps the others from being learned
                        self._skip(where, f"it cannot be understood ({type(error).__name__})")
            except InputNotFound as error:
                self.unread.append(error)


def _nothing(size: int) -> None:
    """Nobody watches."""


def _tell(this: Invocation, done: Import) -> None:
    counts: dict[str, Any] = {
        "imported": done.imported, "known_already": done.known_already, "skipped": done.skipped,
    }  # fmt: skip
    errors = done.unread
    if this.json:
        put_json(counts, error_object(errors[0].code, errors[0].message, errors[0].hint) if errors else None)
    else:
        put(f"{done.imported} imported, {done.known_already} known already, {done.skipped} skipped")
        for error in errors:
            report_error(error, as_json=False)
    if errors:
        raise typer.Exit(errors[0].exit_code)


apps = {"import": app}
