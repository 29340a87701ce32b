"""``prx-email retry``: deliver chosen messages now."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from prx_email_cli.cli.attempt_log import AttemptLog
from prx_email_cli.cli.changing import Change, Wish, change, chosen, confirm, list_them, progress, tell_grouped
from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.given_up import tell_given_up
from prx_email_cli.cli.options import FailureMode, Json, NowTs
from prx_email_cli.cli.output import put, put_json, report_error, say, say_error, wait_for_no_reader, work_is_done
from prx_email_cli.cli.render import error_object, exit_status, moment, safe, send_result
from prx_email_cli.cli.selection import DryRun, Selection, Yes, takes_selection
from prx_email_cli.cli.standing import this_person
from prx_email_cli.cli.times import LATEST_TIME, duration_seconds
from prx_email_cli.delivery.attempt import RetryOptions
from prx_email_cli.delivery.run import DeliveringRun, Environment
from prx_email_cli.errors import Exit, NotPermitted, PrxEmailError, ValidationError
from prx_email_cli.outbox.decisions import Decided, Spread
from prx_email_cli.outbox.lifecycle import Status

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prx_email_cli.config.settings import Settings
    from prx_email_cli.outbox.messages import Finished
    from prx_email_cli.outbox.store import Store
    from prx_email_cli.outbox.views import Filter, Row

app = typer.Typer(add_completion=False)


@app.command()
@takes_selection()
def retry(
    ctx: typer.Context,
    selection: Selection,
    force: Annotated[bool, typer.Option("--force", help="Retry even if not due or held.")] = False,
    spread: Annotated[
        str | None,
        typer.Option(
            "--spread", metavar="DURATION", help="Let drains send them, evenly over the next 30m, for example."
        ),
    ] = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    now_ts: NowTs = None,
    failure_mode: FailureMode = None,
    as_json: Json = False,
) -> None:
    """Deliver these messages now if they are due; given-up ones, too.

    A selection leaves out what was sent or cancelled, and uses all connections of an account.
    Example: prx-email retry 42
    """
    if spread is not None and failure_mode is not None:
        raise typer.BadParameter("use only one of --spread and --failure-mode")
    this = invocation(ctx)
    selection.check()
    settings = this.settings()
    tick = this.clock(settings, now_ts)
    wish = Wish(selection, yes, dry_run, tick())
    if spread is not None:
        change(this, settings, wish, _spread(wish, spread, force=force))
        return
    with this.store(settings) as store:
        store.acting = this_person()
        ids = chosen(store, settings, wish, partial(_wanted, wish))
        if dry_run:
            list_them(this, store, ids, wish.now)
            return
        confirm(wish, "retry", len(ids))
        options = RetryOptions(force, failure_mode, wakes=True, many=not selection.ids)
        attempt_and_tell(this, Attempts(store, settings, tick), list(map(Decided, ids)), options)


def attempt_and_tell(this: Invocation, attempts: "Attempts", those: "Sequence[Decided]", options: RetryOptions) -> None:
    """Attempt the messages that were not refused already, and tell what became of all."""
    ids = [one.outbox_id for one in those if one.error is None]
    attempts.refuse(those)
    if ids:
        with progress("retrying", len(ids) if options.many else 0) as advance:
            attempts.make(ids, options, advance)
    every = [one.outbox_id for one in those]
    if options.many:
        _tell_selection(this, attempts, every)
    elif len(every) == 1:
        attempts.raise_refusal(every[0])
        _tell_one(this, attempts.row(every[0]))
    else:
        _tell_several(this, attempts, every)


def _wanted(wish: Wish, store: "Store") -> "Filter":
    from prx_email_cli.outbox.views import Fact  # on use

    return wish.selection.filter(store, wish.now, [Fact.SENT, Fact.SENDING, Fact.CANCELLED])


def _spread(wish: Wish, span: str, *, force: bool) -> Change:
    """Make the change that lets drains send the messages, evenly over a span.  Raises ValidationError."""
    seconds = duration_seconds(span, "--spread")
    if wish.now + seconds > LATEST_TIME:
        raise ValidationError("--spread: the last message would be due after the year 9998", hint="give a shorter one")

    def carry_out(store: "Store", ids: "Sequence[int]") -> "Iterator[list[Decided]]":
        return store.spread(ids, Spread(wish.now, seconds, force))

    return Change("spread", f"spread over {span}", partial(_wanted, wish), carry_out)


def attempt_now(this: Invocation, attempts: "Attempts", outbox_id: int, failure_mode: str | None) -> None:
    """Print the id of a message that was just stored, then attempt it.

    Raises typer.Exit when the attempt fails; the message stays stored.
    """
    if not this.json:
        put(str(outbox_id))
    try:
        attempts.make([outbox_id], RetryOptions(failure_mode=failure_mode))
        attempts.raise_refusal(outbox_id)
    except NotPermitted as error:
        error.hint += f"; message {outbox_id} is stored, and a drain sends it"
        report_error(error, as_json=this.json, data={"outbox_id": outbox_id, "duplicate": False})
        raise typer.Exit(error.exit_code) from None
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
        self._many = False

    def refuse(self, those: "Sequence[Decided]") -> None:
        """Take in which messages were refused before, and why."""
        for outbox_id, error in those:
            if error is not None:
                self._results.setdefault(outbox_id, []).append(error)

    def make(self, ids: list[int], options: RetryOptions, advance: Callable[[int], None] = lambda done: None) -> None:
        """Attempt each of these messages, unless it is refused; call *advance* after each.  Raises StorageError."""
        self._many, self._advance = options.many, advance
        wait_for_no_reader()
        with self._store.start_run(self._tick()) as claims:
            log = AttemptLog(self._settings.log, claims.run_id, verbose=False)
            around = Environment(self._tick, on_finished=log.write)
            run = DeliveringRun(self._store, self._settings, claims, around)
            try:
                run.attempt(ids, self._note, options)
            except KeyboardInterrupt:
                if self._many:
                    say(f"interrupted: {len(self._attempted)} of {len(ids)} attempted")
                raise
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
        self._advance(1)
        if isinstance(result, PrxEmailError):
            return
        if result.settled.gave_up:
            tell_given_up(self._store, self._settings, self._tick(), only=outbox_id)
        self._attempted.append(outbox_id)
        work_is_done(f"attempted {len(self._attempted) if self._many else ', '.join(map(str, self._attempted))}")


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
    results = [_result(attempts, outbox_id) for outbox_id in ids]
    if not this.json:
        for one in results:
            if one.error is None:
                put(f"{one.outbox_id} sent")
            else:
                say_error(f"outbox message {one.outbox_id}: {one.error['message']}", one.error["hint"])
    _end(this, results)


def _tell_selection(this: Invocation, attempts: Attempts, ids: list[int]) -> None:
    """Print how many were sent, and why others were not, those of one reason together."""
    results = [_result(attempts, outbox_id) for outbox_id in ids]
    if not this.json:
        put(f"{sum(one.error is None for one in results)} sent")
        for word in ("failed", "refused"):
            tell_grouped(word, [(one.outbox_id, one.error["message"], one.error["hint"]) for one in results
                                if one.error is not None and one.attempted == (word == "failed")])  # fmt: skip
    _end(this, results)


class _Result(NamedTuple):
    """What became of a message: the object of ``--json``, and the exit status.  error: None if it was sent."""

    outbox_id: int
    shown: dict[str, Any]
    error: dict[str, str] | None
    status: int
    attempted: bool


def _result(attempts: Attempts, outbox_id: int) -> _Result:
    refused = attempts.refusal(outbox_id)
    if refused is None:
        row = attempts.row(outbox_id)
        error = _error_of(row)
        return _Result(outbox_id, {**send_result(row), "error": error}, error, exit_status(row), attempted=True)
    error = error_object(refused.code, refused.message, refused.hint)
    shown = {"outbox_id": outbox_id, "error": error}
    return _Result(outbox_id, shown, error, int(refused.exit_code), attempted=False)


def _end(this: Invocation, results: list[_Result]) -> None:
    """Print the JSON, and end with the worst exit status."""
    worst = int(Exit.OK)
    for one in results:
        worst = worst if worst and worst != Exit.TRY_LATER else one.status or worst
    if this.json:
        put_json([one.shown for one in results], next((one.error for one in results if one.error), None))
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
