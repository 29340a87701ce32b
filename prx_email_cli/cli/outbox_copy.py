"""``prx-email outbox copy``: take the outbox to another database."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.inputs import password_on_command_line
from prx_email_cli.cli.options import Json, NowTs
from prx_email_cli.cli.output import on_terminal, put, put_json, say, work_is_done
from prx_email_cli.cli.render import safe
from prx_email_cli.cli.standing import this_person
from prx_email_cli.cli.times import clock
from prx_email_cli.errors import ValidationError

if TYPE_CHECKING:
    from prx_email_cli.config.outbox import OutboxSettings
    from prx_email_cli.outbox.transfer import End, Step, Transfer

_PLACE = "a file, sqlite:///FILE or postgresql://USER@HOST/NAME"
_SQLITE = "sqlite://"
_SHOWN_FAULTS = 5

From = Annotated[
    str | None, typer.Option("--from", metavar="PLACE", help=f"What is copied: {_PLACE}; default: the config's outbox.")
]
To = Annotated[
    str | None, typer.Option("--to", metavar="PLACE", help="Where to, new or empty; default: the config's outbox.")
]
Undo = Annotated[bool, typer.Option("--undo", help="Send from the original again, if the copy was not finished.")]
Lost = Annotated[bool, typer.Option("--lost", help="With --undo: the copy is lost for good.")]


def copy(
    ctx: typer.Context,
    source: From = None,
    destination: To = None,
    undo: Undo = False,
    lost: Lost = False,
    now_ts: NowTs = None,
    as_json: Json = False,
) -> None:
    """Copy the outbox into another database or file, which is then used in its place.

    From the first moment on the original stores and sends nothing; the copy does once it is whole and verified. Stop
    the drains first. Broken off, the same command goes on.
    Example: prx-email outbox copy --to postgresql://mail@db.example.com/outbox
    """
    from prx_email_cli.delivery.attempt import retry_policy  # on use
    from prx_email_cli.outbox.open import end_of_copy  # on use

    if (source is None and destination is None and not undo) or (lost and not undo):
        raise typer.BadParameter("name at least one of --from and --to; --lost belongs to --undo")
    this, now = invocation(ctx), clock(now_ts, time.time)()
    settings = this.settings().outbox
    policy = retry_policy(settings)

    def opened(place: str | None, *, create: bool) -> "End":
        end = end_of_copy(_place(place, settings), policy, now_ts, create=create)
        return closers.enter_context(closing(end))

    with ExitStack() as closers:
        original = opened(source, create=False)
        if undo:
            copied = None if destination is None or lost else opened(destination, create=False)
            _undo(this, original, copied, lost=lost)
        else:
            _copy(original, opened(destination, create=True), now, this)


def _copy(original: "End", copied: "End", now: int, this: Invocation) -> None:
    from prx_email_cli.outbox.transfer import Transfer  # on use

    transfer = Transfer(original, copied, now, this_person())
    with _progress() as tell:
        for step in transfer.steps():
            tell(step)
    done = "was copied before" if transfer.was_done else "copied"
    done = f"{done}: {transfer.rows['outbox']} messages from {safe(original.name)} to {safe(copied.name)}"
    work_is_done(done)
    warnings = list(_warnings(transfer, copied, this.settings().outbox.message_id_domain))
    tables = [{"table": table, "copied_rows": rows} for table, rows in transfer.rows.items()]
    if this.json:
        put_json({"original": original.name, "copy": copied.name, "tables": tables,
                  "went_on": transfer.resumed or transfer.was_done, "warnings": warnings})  # fmt: skip
    else:
        put(done)
        for warning in warnings:
            say(f"warning: {safe(warning)}")
        say(f"next: name {safe(copied.name)} in the config of every machine; the original stores and sends no more")


def _undo(this: Invocation, original: "End", copied: "End | None", *, lost: bool) -> None:
    from prx_email_cli.outbox.transfer import undo  # on use

    undo(original, copied, lost=lost)
    work_is_done("the copy is undone")
    if this.json:
        put_json({"original": original.name, "undone": True})
    else:
        put(f"undone: the outbox {safe(original.name)} stores and sends again")
    if lost:
        say("warning: if the copy turns up, never use it: its messages are sent from here")


def _warnings(transfer: "Transfer", copied: "End", domain: str) -> Iterator[str]:
    latest = copied.latest_message_id()
    used = "" if latest is None else latest.rpartition("@")[2].rstrip(">")
    if used and used != domain:
        yield (f"the newest Message-ID is of {used}, and message_id_domain in this config is {domain}: "
               "the copy needs the original's")  # fmt: skip
    if copied.replaced:
        yield (f"{copied.replaced} rows had NUL characters in a text, which PostgreSQL cannot hold: "
               "\\x00 stands for them")  # fmt: skip
    for fault in transfer.faults[:_SHOWN_FAULTS]:
        yield f"damaged in the original, and so in the copy: {fault}"


@contextmanager
def _progress() -> "Iterator[Callable[[Step], None]]":
    """Show on a terminal what is being done; give a function that is told of each step."""
    if not on_terminal(sys.stderr):
        yield lambda step: None
        return
    from prx_email_cli.cli.progress import copy_line  # on use

    with copy_line() as tell:
        yield lambda step: tell(f"{step.doing} {step.table}", step.rows)


def _place(place: str | None, settings: "OutboxSettings") -> "OutboxSettings":
    """Return the settings of an outbox that the command line names; the config's where it names none, or that one.

    Raises ValidationError.
    """
    from prx_email_cli.config.outbox import SCHEMES, holds_secret  # on use

    if place is None:
        return settings
    if not place.startswith(SCHEMES):
        file = Path(place.removeprefix(_SQLITE) if place.startswith(_SQLITE + "/") else place)
        if "://" in place and not place.startswith(_SQLITE + "/"):
            raise ValidationError(f"no outbox can be in {place.partition(':')[0]}:", hint=f"name {_PLACE}")
        own = settings.url is None and settings.path.absolute() == file.absolute()
        return settings if own else settings.replace(url=None, path=file.absolute())
    named = settings.replace(url=place)
    if holds_secret(place):
        raise password_on_command_line(
            "name the URL without it; the password is taken from the config, if it names this database, else from "
            "PGPASSFILE or ~/.pgpass"
        )
    if settings.url is not None and settings.name == named.name:
        return settings
    return named.replace(password=None, password_env=None, password_command=None, password_file=None)
