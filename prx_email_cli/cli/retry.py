"""``prx-email retry``: deliver chosen messages now."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.options import FailureMode, Json, NowTs
from prx_email_cli.cli.output import put, put_json, report_error, say, say_error, wait_for_no_reader, work_is_done
from prx_email_cli.cli.render import error_object, exit_status, safe, send_result
from prx_email_cli.cli.times import clock
from prx_email_cli.errors import Exit, PrxEmailError, StorageError

if TYPE_CHECKING:
    from prx_email_cli.config.settings import Settings
    from prx_email_cli.outbox.sqlite.store import SqliteStore
    from prx_email_cli.outbox.views import Row

app = typer.Typer(add_completion=False)


@app.command()
def retry(
    ctx: typer.Context,
    ids: Annotated[list[int], typer.Argument(metavar="ID...", min=1, help="Outbox ids.")],
    force: Annotated[bool, typer.Option("--force", help="Retry even if not due or held.")] = False,
    now_ts: NowTs = None,
    failure_mode: FailureMode = None,
    as_json: Json = False,
) -> None:
    """Deliver these messages now if they are due; given-up ones, too.

    Example: prx-email retry 42
    """
    this = invocation(ctx)
    settings = this.settings()
    tick = clock(now_ts)
    with this.store(settings) as store, _courier(store, settings, tick) as attempt:
        if len(ids) == 1:
            attempt(ids[0], force=force, failure_mode=failure_mode)
            work_is_done(f"attempted {ids[0]}")
            _tell_one(this, store.row(ids[0]))
            return
        _retry_several(this, store, lambda outbox_id: attempt(outbox_id, force=force, failure_mode=failure_mode), ids)


def attempt_now(
    this: Invocation, store: "SqliteStore", settings: "Settings", outbox_id: int, tick: Callable[[], int],
    failure_mode: str | None,
) -> None:  # fmt: skip
    """Attempt a message that was just stored, after printing its id: it stays stored if this fails."""
    if not this.json:
        put(str(outbox_id))
    try:
        with _courier(store, settings, tick) as attempt:
            attempt(outbox_id, failure_mode=failure_mode)
    except PrxEmailError as error:
        report_error(error, as_json=this.json, data=send_result(store.row(outbox_id)))
        raise typer.Exit(error.exit_code) from None
    _tell_one(this, store.row(outbox_id), say_id=False)


class _Attempt(Protocol):
    """Attempts one message; raises as ``Retry.attempt`` does."""

    def __call__(self, outbox_id: int, *, force: bool = False, failure_mode: str | None = None) -> None: ...


@contextmanager
def _courier(store: "SqliteStore", settings: "Settings", tick: Callable[[], int]) -> Iterator[_Attempt]:
    """Start a run, and give a function that attempts a message, logs it and reports it if given up."""
    from prx_email_cli.cli.attempt_log import AttemptLog
    from prx_email_cli.cli.given_up import tell_given_up
    from prx_email_cli.delivery.retry import Retry
    from prx_email_cli.outbox.sqlite.runs import Runs

    wait_for_no_reader()
    runs = Runs(store.path)
    with runs.start(tick()) as run:
        courier = Retry(store, settings, run, tick)
        for error in courier.recover(runs):
            say(f"warning: {safe(error.message)}")
        log = AttemptLog(settings.log, run.run_id, verbose=False)

        def attempt(outbox_id: int, *, force: bool = False, failure_mode: str | None = None) -> None:
            finished = courier.attempt(outbox_id, force=force, failure_mode=failure_mode)
            log.write(finished)
            if finished.settled.gave_up:
                tell_given_up(store, settings, tick(), say_so=False, only=outbox_id)

        yield attempt


def _tell_one(this: Invocation, row: "Row", *, say_id: bool = True) -> None:
    if this.json:
        put_json(send_result(row), _error_of(row))
    elif row.status == "failed":
        say(f"error: outbox message {row.outbox_id}: {safe(row.last_error)}")
        say(f"hint: {_what_next(row)}")
    elif say_id:
        put(f"{row.outbox_id} {row.status}")
    status = exit_status(row)
    if status:
        raise typer.Exit(status)


def _retry_several(this: Invocation, store: "SqliteStore", attempt: Callable[[int], None], ids: list[int]) -> None:
    """Attempt each message; a refused one does not stop the rest, and the worst exit status is the command's."""
    results: list[dict[str, Any]] = []
    worst = int(Exit.OK)
    for outbox_id in ids:
        error = None
        try:
            attempt(outbox_id)
            work_is_done(f"attempted {', '.join(map(str, ids[: len(results) + 1]))}")
            row = store.row(outbox_id)
            error, status = _error_of(row), exit_status(row)
            results.append({**send_result(row), "error": error})
        except StorageError:
            raise
        except PrxEmailError as refused:
            error, status = error_object(refused.code, refused.message, refused.hint), int(refused.exit_code)
            results.append({"outbox_id": outbox_id, "error": error})
        if not this.json:
            if error is None:
                put(f"{outbox_id} sent")
            else:
                say_error(f"outbox message {outbox_id}: {error['message']}", error["hint"])
        worst = worst if worst and worst != Exit.TRY_LATER else status or worst
    if this.json:
        failed = [result for result in results if result["error"]]
        put_json(results, failed[0]["error"] if failed else None)
    if worst:
        raise typer.Exit(worst)


def _error_of(row: "Row") -> dict[str, str] | None:
    if row.status != "failed":
        return None
    return error_object(row.error_code or "provider", row.last_error or "", _what_next(row))


def _what_next(row: "Row") -> str:
    if row.gave_up:
        return f"given up ({row.gave_up}): no drain takes it again; prx-email show {row.outbox_id} tells why"
    from prx_email_cli.cli.render import moment

    return f"deferred: due again at {moment(row.next_attempt_at)}; prx-email show {row.outbox_id} tells more"


apps = {"retry": app}
