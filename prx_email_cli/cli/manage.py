"""``prx-email hold``, ``release``, ``cancel`` and ``resolve``: change messages by hand."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.options import Json, NowTs, OnlyAccount
from prx_email_cli.cli.output import put, put_json, say, say_error, work_is_done
from prx_email_cli.cli.standing import this_person
from prx_email_cli.cli.times import clock
from prx_email_cli.errors import PrxEmailError, RestoredBackup, StorageError

if TYPE_CHECKING:
    from prx_email_cli.outbox.store import Store

hold_app, release_app, cancel_app, resolve_app = (typer.Typer(add_completion=False) for _ in range(4))

Ids = Annotated[list[int] | None, typer.Argument(metavar="[ID...]", help="Outbox ids.")]
All = Annotated[bool, typer.Option("--all", help="Take every message (of --account) instead of ids.")]


class _Selection(NamedTuple):
    """Which messages to change: these *ids*, or everything of *account* (None: of every account)."""

    ids: list[int] | None
    everything: bool
    account: str | None


class _Change(NamedTuple):
    """How to change one message and all of them; done: the word for the result."""

    done: str
    one: "Callable[[Store, int], None]"
    everyone: "Callable[[Store], list[int]]"


@hold_app.command()
def hold(
    ctx: typer.Context, ids: Ids = None, everything: All = False, account: OnlyAccount = None, now_ts: NowTs = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Keep drains from taking these messages until they are released.

    hold --all also accepts a restored backup: mail stored from then on is delivered again.
    Example: prx-email hold 42 43
    """
    now = clock(now_ts)()
    change = _Change("held", lambda store, it: store.hold(it, now), lambda store: _hold_all(store, account, now))
    _on_selection(invocation(ctx), _Selection(ids, everything, account), change)


@release_app.command()
def release(
    ctx: typer.Context, ids: Ids = None, everything: All = False, account: OnlyAccount = None, now_ts: NowTs = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Let drains take these held messages again.

    Example: prx-email release --all
    """
    now = clock(now_ts)()
    change = _Change(
        "released", lambda store, it: store.release(it, now), lambda store: store.release_all(account, now)
    )
    _on_selection(invocation(ctx), _Selection(ids, everything, account), change)


@cancel_app.command()
def cancel(
    ctx: typer.Context,
    ids: Annotated[list[int], typer.Argument(metavar="ID...", help="Outbox ids.")],
    now_ts: NowTs = None,
    as_json: Json = False,
) -> None:
    """Give these messages up: no drain takes them again.  Their records stay.

    Example: prx-email cancel 42
    """
    now = clock(now_ts)()
    _on_ids(invocation(ctx), ids, "cancelled", lambda store, outbox_id: store.cancel(outbox_id, now))


@resolve_app.command()
def resolve(
    ctx: typer.Context,
    outbox_id: Annotated[int, typer.Argument(metavar="ID", help="Outbox id.")],
    sent: Annotated[bool, typer.Option("--sent", help="It arrived: mark it as sent.")] = False,
    not_sent: Annotated[
        bool, typer.Option("--not-sent", help="It did not arrive: send it again, as a new message.")
    ] = False,
    now_ts: NowTs = None,
    as_json: Json = False,
) -> None:
    """Decide whether a message with an uncertain outcome was sent.

    Example: prx-email resolve 42 --not-sent
    """
    if sent == not_sent:
        raise typer.BadParameter("give either --sent or --not-sent")
    now = clock(now_ts)()
    done = "resolved as sent" if sent else "resolved as not sent"
    _on_ids(invocation(ctx), [outbox_id], done, lambda store, it: store.resolve(it, now, sent=sent))


def _hold_all(store: "Store", account: str | None, now: int) -> list[int]:
    restored = _is_restored(store)
    held = store.hold_all(account, now)
    if restored and account is None:
        say("note: the restored backup is accepted: release what was not sent; new mail is delivered again")
    elif restored:
        say(
            "note: the outbox is a restored backup, and nothing is delivered until it is accepted: "
            "hold --all without --account does it"
        )
    return held


def _is_restored(store: "Store") -> bool:
    try:
        store.refuse_restored()
    except RestoredBackup:
        return True
    except PrxEmailError:  # messages can be held without the high-water mark
        pass
    return False


def _on_selection(this: Invocation, selection: _Selection, change: _Change) -> None:
    """Make *change* to the messages of *selection*."""
    if bool(selection.ids) == selection.everything:
        raise typer.BadParameter("give ids or --all")
    if not selection.everything and selection.account is not None:
        raise typer.BadParameter("give --account only together with --all")
    if selection.ids:
        _on_ids(this, selection.ids, change.done, change.one)
        return
    settings = this.settings()
    if selection.account is not None:
        settings.account(selection.account)
    with this.store(settings) as store:
        store.acting = this_person()
        changed = change.everyone(store)
    work_is_done(f"{len(changed)} {change.done}")
    if this.json:
        put_json([{"outbox_id": outbox_id, "error": None} for outbox_id in changed])
    else:
        put(f"{len(changed)} {change.done}")


def _on_ids(this: Invocation, ids: list[int], done: str, change: "Callable[[Store, int], None]") -> None:
    """Change each message; the first refusal gives the exit status and stops no other."""
    settings = this.settings()
    results: list[dict[str, Any]] = []
    refused: PrxEmailError | None = None
    with this.store(settings) as store:
        store.acting = this_person()
        for outbox_id in ids:
            error = None
            try:
                change(store, outbox_id)
            except StorageError:
                raise
            except PrxEmailError as problem:
                refused = refused or problem
                error = {"code": problem.code, "message": problem.message, "hint": problem.hint}
                if not this.json:
                    say_error(f"outbox message {outbox_id}: {problem.message}", problem.hint)
            results.append({"outbox_id": outbox_id, "error": error})
            if error is None:
                work_is_done(f"{', '.join(str(one['outbox_id']) for one in results if not one['error'])} {done}")
                if not this.json:
                    put(f"{outbox_id} {done}")
    if this.json:
        put_json(results, next((result["error"] for result in results if result["error"]), None))
    if refused is not None:
        raise typer.Exit(refused.exit_code)


apps = {"hold": hold_app, "release": release_app, "cancel": cancel_app, "resolve": resolve_app}
