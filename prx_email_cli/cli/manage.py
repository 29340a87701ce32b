"""``prx-email hold``, ``release``, ``cancel``, ``resolve`` and ``prune``: decisions of a person."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.options import Json, NowTs, OnlyAccount
from prx_email_cli.cli.output import put, put_json, say, say_error, work_is_done
from prx_email_cli.cli.times import clock, duration_seconds
from prx_email_cli.errors import PrxEmailError, RestoredBackup, StorageError

if TYPE_CHECKING:
    from prx_email_cli.outbox.sqlite.store import SqliteStore

hold_app, release_app, cancel_app, resolve_app, prune_app = (typer.Typer(add_completion=False) for _ in range(5))

Ids = Annotated[list[int] | None, typer.Argument(metavar="[ID...]", help="Outbox ids.")]
All = Annotated[bool, typer.Option("--all", help="Every message (of --account) instead of ids.")]


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
    _on_ids_or_all(
        invocation(ctx), ids, everything, account, "held",
        lambda store, outbox_id: store.hold(outbox_id, now), lambda store: _hold_all(store, account, now),
    )  # fmt: skip


@release_app.command()
def release(
    ctx: typer.Context, ids: Ids = None, everything: All = False, account: OnlyAccount = None, as_json: Json = False
) -> None:
    """Let drains take these held messages again.

    Example: prx-email release --all
    """
    _on_ids_or_all(
        invocation(ctx), ids, everything, account, "released",
        lambda store, outbox_id: store.release(outbox_id), lambda store: store.release_all(account),
    )  # fmt: skip


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
        raise typer.BadParameter("say either --sent or --not-sent")
    now = clock(now_ts)()
    word = "resolved as sent" if sent else "resolved as not sent"
    _on_ids(invocation(ctx), [outbox_id], word, lambda store, it: store.resolve(it, now, sent=sent))


@prune_app.command()
def prune(
    ctx: typer.Context,
    older_than: Annotated[
        str,
        typer.Option("--older-than", metavar="DURATION", help="Only messages that ended over 30d ago, for example."),
    ],
    everything: Annotated[bool, typer.Option("--all", help="Delete their records, too.")] = False,
    now_ts: NowTs = None,
    as_json: Json = False,
) -> None:
    """Delete the content of messages that were sent or given up long ago; their records stay.

    Example: prx-email prune --older-than 30d
    """
    this = invocation(ctx)
    age = duration_seconds(older_than, "--older-than")
    settings = this.settings()
    now = clock(now_ts)()
    with this.store(settings) as store:
        count = store.prune(now - age, now, records=everything)
    work_is_done(f"{count} pruned")
    if this.json:
        put_json({"pruned": count})
    else:
        put(f"{count} pruned")


def _hold_all(store: "SqliteStore", account: str | None, now: int) -> list[int]:
    restored = _is_restored(store)
    held = store.hold_all(account, now)
    if restored and account is None:
        say("note: the restored backup is accepted: release what is truly unsent; new mail is delivered again")
    elif restored:
        say("note: the outbox is a restored backup, and nothing is delivered until it is accepted: hold --all does it")
    return held


def _is_restored(store: "SqliteStore") -> bool:
    try:
        store.refuse_restored()
    except RestoredBackup:
        return True
    except PrxEmailError:  # although its mark cannot be read, messages can be held
        pass
    return False


def _on_ids_or_all(
    this: Invocation,
    ids: list[int] | None,
    everything: bool,
    account: str | None,
    word: str,
    one: "Callable[[SqliteStore, int], None]",
    everyone: "Callable[[SqliteStore], list[int]]",
) -> None:
    if bool(ids) == everything:
        raise typer.BadParameter("name ids, or say --all")
    if not everything and account is not None:
        raise typer.BadParameter("--account goes with --all")
    if ids:
        _on_ids(this, ids, word, one)
        return
    settings = this.settings()
    if account is not None:
        settings.account(account)
    with this.store(settings) as store:
        changed = everyone(store)
    work_is_done(f"{len(changed)} {word}")
    if this.json:
        put_json([{"outbox_id": outbox_id, "error": None} for outbox_id in changed])
    else:
        put(f"{len(changed)} {word}")


def _on_ids(this: Invocation, ids: list[int], word: str, change: "Callable[[SqliteStore, int], None]") -> None:
    """Change each message; a refused one does not stop the others, and its exit status is the command's."""
    settings = this.settings()
    results: list[dict[str, Any]] = []
    refused: PrxEmailError | None = None
    with this.store(settings) as store:
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
                work_is_done(f"{', '.join(str(one['outbox_id']) for one in results if not one['error'])} {word}")
                if not this.json:
                    put(f"{outbox_id} {word}")
    if this.json:
        put_json(results, next((result["error"] for result in results if result["error"]), None))
    if refused is not None:
        raise typer.Exit(refused.exit_code)


apps = {"hold": hold_app, "release": release_app, "cancel": cancel_app, "resolve": resolve_app, "prune": prune_app}
