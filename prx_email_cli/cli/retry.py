"""``prx-email retry``: deliver chosen messages now."""

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prx_email_cli.cli.attempt_log import AttemptLog
from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.given_up import tell_given_up
from prx_email_cli.cli.options import FailureMode, Json, NowTs
from prx_email_cli.cli.output import put, put_json, report_error, say, say_error, wait_for_no_reader, work_is_done
from prx_email_cli.cli.render import error_object, exit_status, moment, safe, send_result
from prx_email_cli.cli.times import clock
from prx_email_cli.delivery.run import DeliveringRun, Environment
from prx_email_cli.errors import Exit, PrxEmailError
from prx_email_cli.outbox.lifecycle import Status
from prx_email_cli.outbox.messages import ClaimOne

if TYPE_CHECKING:
    from prx_email_cli.config.settings import Settings
    from prx_email_cli.outbox.messages import Finished
    from prx_email_cli.outbox.store import Store
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
    with this.store(settings) as store:
        attempts = Attempts(store, settings, tick)
        attempts.wake(ids, force=force)
        attempts.make(ids, force=force, failure_mode=failure_mode)
        if len(ids) == 1:
            attempts.raise_refusal(ids[0])
            _tell_one(this, store.row(ids[0]))
        else:
            _tell_several(this, attempts, ids)


def attempt_now(this: Invocation, attempts: "Attempts", outbox_id: int, failure_mode: str | None) -> None:
    """Print the id of a message that was just stored, then attempt it.

    Raises typer.Exit when the attempt fails; the message stays stored.
    """
    if not this.json:
        put(str(outbox_id))
    try:
        attempts.make([outbox_id], failure_mode=failure_mode)
        attempts.raise_refusal(outbox_id)
    except PrxEmailError as error:
        report_error(error, as_json=this.json, data=send_result(attempts.row(outbox_id)))
        raise typer.Exit(error.exit_code) from None
    _tell_one(this, attempts.row(outbox_id), say_id=False)


class Attempts:
    """Attempts chosen messages, logs each attempt, and reports given-up messages."""

    def __init__(self, store: "Store", settings: "Settings", tick: Callable[[], int]) -> None:
        self._store, self._settings, self._tick = store, settings, tick
        self._results: dict[int, list[Finished | PrxEmailError]] = {}  # more than one where an id was given twice
        self._attempted: list[int] = []

    def wake(self, ids: list[int], *, force: bool) -> None:
        """End the rest of the accounts of these messages, because a person wants them tried."""
        accounts: set[str] = set()
        for outbox_id in ids:
            with suppress(PrxEmailError):
                accounts.add(self._store.check_claim(ClaimOne(outbox_id, self._tick(), force)))
        for account in accounts:
            self._store.wake(account)

    def make(self, ids: list[int], *, force: bool = False, failure_mode: str | None = None) -> None:
        """Attempt each of these messages, unless it is refused.  Raises StorageError."""
        wait_for_no_reader()
        with self._store.start_run(self._tick()) as claims:
            log = AttemptLog(self._settings.log, claims.run_id, verbose=False)
            around = Environment(self._tick, on_finished=log.write)
            run = DeliveringRun(self._store, self._settings, claims, around)
            try:
                run.attempt(ids, self._note, force=force, failure_mode=failure_mode)
            finally:
                for warning in (*claims.unreadable, *run.report.warnings):
                    say(f"warning: {safe(getattr(warning, 'message', warning))}")

    def refusal(self, outbox_id: int) -> PrxEmailError | None:
        """Return why a message was not attempted, None if it was; call it once for each id given."""
        result = self._results[outbox_id].pop(0)
        return result if isinstance(result, PrxEmailError) else None

    def raise_refusal(self, outbox_id: int) -> None:
        """Raise why a message was not attempted; do nothing if it was."""
        refusal = self.refusal(outbox_id)
        if refusal is not None:
            raise refusal

    def row(self, outbox_id: int) -> "Row":
        """Read the message as it is now."""
        return self._store.row(outbox_id)

    def _note(self, outbox_id: int, result: "Finished | PrxEmailError") -> None:
        self._results.setdefault(outbox_id, []).append(result)
        if isinstance(result, PrxEmailError):
            return
        if result.settled.gave_up:
            tell_given_up(self._store, self._settings, self._tick(), say_so=False, only=outbox_id)
        self._attempted.append(outbox_id)
        work_is_done(f"attempted {', '.join(map(str, self._attempted))}")


def _tell_one(this: Invocation, row: "Row", *, say_id: bool = True) -> None:
    if this.json:
        put_json(send_result(row), _error_of(row))
    elif row.status == Status.FAILED:
        say(f"error: outbox message {row.outbox_id}: {safe(row.last_error)}")
        say(f"hint: {_what_next(row)}")
    elif say_id:
        put(f"{row.outbox_id} {row.status}")
    status = exit_status(row)
    if status:
        raise typer.Exit(status)


def _tell_several(this: Invocation, attempts: Attempts, ids: list[int]) -> None:
    """Print the result of each message; the worst exit status is the command's."""
    results: list[dict[str, Any]] = []
    worst = int(Exit.OK)
    for outbox_id in ids:
        refused = attempts.refusal(outbox_id)
        if refused is None:
            row = attempts.row(outbox_id)
            error, status = _error_of(row), exit_status(row)
            results.append({**send_result(row), "error": error})
        else:
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
    if row.status != Status.FAILED:
        return None
    return error_object(row.error_code or "provider", row.last_error or "", _what_next(row))


def _what_next(row: "Row") -> str:
    if row.gave_up:
        return f"given up ({row.gave_up}): no drain takes it again; prx-email show {row.outbox_id} tells why"
    return f"deferred: due again at {moment(row.next_attempt_at)}; prx-email show {row.outbox_id} tells more"


apps = {"retry": app}
