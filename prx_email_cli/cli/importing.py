"""``prx-email import``: learn messages, so that reply can answer them."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Annotated, Any

import typer

from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.inputs import open_input
from prx_email_cli.cli.options import AccountName, Json, NowTs
from prx_email_cli.cli.output import on_terminal, put, put_json, report_error, say, work_is_done
from prx_email_cli.cli.render import error_object, safe
from prx_email_cli.submission.importing import Import, Watcher

app = typer.Typer(add_completion=False)


@app.command("import")
def import_messages(
    ctx: typer.Context,
    files: Annotated[
        list[str], typer.Argument(metavar="FILE...", help="Message (.eml), mbox or Maildir; - for stdin.")
    ],
    account: AccountName = None,
    now_ts: NowTs = None,
    as_json: Json = False,
) -> None:
    """Import messages, so that reply can answer them; known messages stay as they are.

    Example: prx-email import ~/Maildir saved.mbox letter.eml
    """
    if files.count("-") > 1:
        raise typer.BadParameter("stdin can be read only once")
    this = invocation(ctx)
    settings = this.settings()
    name, tick = settings.account(account).name, this.clock(settings, now_ts)
    with this.store(settings) as store, _watching(files) as watcher:
        done = Import(name, tick, watcher)
        done.take(store, files, open_input)
    work_is_done(f"{done.imported} imported")
    _tell(this, done)


@contextmanager
def _watching(files: list[str]) -> "Iterator[Watcher]":
    """Print on stderr which messages are skipped, and on a terminal show a bar."""

    class Telling(Watcher):
        def skipped(self, where: str, reason: str) -> None:
            say(f"skipped: {safe(where)}: {safe(reason)}")

        def read(self, size: int) -> None:
            advance(size)

    with _bar(files) as advance:
        yield Telling()


def _bar(files: list[str]) -> AbstractContextManager[Callable[[int], None]]:
    if not on_terminal(sys.stderr):
        return nullcontext(lambda size: None)
    from prx_email_cli.cli.progress import import_bar  # on use

    return import_bar(files)


def _tell(this: Invocation, done: "Import") -> None:
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
