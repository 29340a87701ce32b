"""``prx-email drain``: deliver what is due."""

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import TYPE_CHECKING, Annotated

import typer

from prx_email_cli.children import relay_stderr
from prx_email_cli.cli import interrupts
from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.options import FailureMode, Json, NowTs, OnlyAccount
from prx_email_cli.cli.output import (
    on_terminal,
    put_beside_stderr,
    put_json,
    say,
    say_error,
    tell_losses,
    wait_for_no_reader,
    work_is_done,
)
from prx_email_cli.cli.render import error_object, masked, moment, safe
from prx_email_cli.cli.times import clock
from prx_email_cli.config.sendmail import drop_of
from prx_email_cli.delivery.run import DeliveringRun, DrainOptions, Environment
from prx_email_cli.errors import ConfigError, Exit, PrxEmailError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from prx_email_cli.cli.attempt_log import AttemptLog
    from prx_email_cli.cli.attendant import Beside
    from prx_email_cli.cli.hangups import Hangups
    from prx_email_cli.cli.telling import Voices
    from prx_email_cli.config.settings import Settings
    from prx_email_cli.delivery.report import DrainReport
    from prx_email_cli.outbox.messages import Finished
    from prx_email_cli.outbox.store import Store

app = typer.Typer(add_completion=False)
MOST_TOLD_A_DAY = 10  # under cron, of what was refused from the drop directory
_DIGITS = re.compile(r"\d+")  # of ids and times, in warnings that are about the same


@app.command()
def drain(
    ctx: typer.Context,
    account: OnlyAccount = None,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=1, metavar="N", help="Attempt at most N messages; by default every due one."),
    ] = None,
    connections: Annotated[
        int | None,
        typer.Option(
            "--connections", min=1, max=100, metavar="N", help="Connections for each account; by default the config's."
        ),
    ] = None,
    follow: Annotated[
        bool,
        typer.Option("--follow", help="Stay, and deliver each message when it becomes due; SIGHUP reloads the config."),
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print only storage errors.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print one line on stderr for each attempt.")
    ] = False,
    now_ts: NowTs = None,
    failure_mode: FailureMode = None,
    as_json: Json = False,
) -> None:
    """Deliver every due message, then exit.  Several drains may run at once.

    Example (crontab): * * * * * prx-email drain
    """
    this = invocation(ctx)

    def load() -> "Settings":
        settings = this.settings()
        if account is not None:
            settings.account(account)
        return settings

    with _hangups() if follow else nullcontext() as hangups:  # before the config is read: none is missed
        settings = this.settings()
        options = DrainOptions(account, limit, connections, failure_mode)
        talk = _Talk(this, quiet=quiet, verbose=verbose, follows=follow)
        deliveries = _Deliveries(settings, options, talk, now_ts)
        with (
            this.store(settings) as store,
            interrupts.stopping() as stop,
            talk.beside(store, clock(now_ts, store.clock)),
        ):
            if account is not None:
                settings.account(account)
            if hangups is None:
                report = deliveries.drain(store, stop)
            else:
                from prx_email_cli.cli.attendant import Attendant, Reloading  # on use

                reloading = Reloading(load, settings.outbox, hangups, says_so=not quiet)
                report = deliveries.stay(store, stop, Attendant(reloading, stop))
    status = talk.result(report)
    if status:
        raise typer.Exit(status)


def _hangups() -> "AbstractContextManager[Hangups]":
    from prx_email_cli.cli.hangups import counted  # on use

    return counted()


def follow_beside(this: Invocation, settings: "Settings", stop: threading.Event, beside: "Beside") -> None:
    """Deliver as ``drain --follow`` does until *stop* is set, beside what else the process does.

    beside: by which that gives it other settings, and sees whether it goes on.
    """
    talk = _Talk(this, quiet=False, verbose=False, follows=True)
    deliveries = _Deliveries(settings, DrainOptions(), talk)
    with this.store(settings) as store, talk.beside(store, clock(None, store.clock)):
        deliveries.stay(store, stop, beside)


class _Deliveries:
    """Delivers from an outbox, once or until stopped, and reports what was done."""

    def __init__(self, settings: "Settings", options: "DrainOptions", talk: "_Talk", now_ts: int | None = None) -> None:
        self._settings, self._options, self._talk, self._now_ts = settings, options, talk, now_ts
        self._rehearsed = now_ts is not None
        self._attempted: Callable[[Finished], None] = lambda finished: None
        self._attendant: Beside | None = None

    def drain(self, store: "Store", stop: threading.Event) -> "DrainReport":
        """Deliver every due message once, and report it."""

        def count_due() -> int:
            now = clock(self._now_ts, store.clock)()
            return sum(store.count_due(name, now) for name in store.accounts_due(now))

        faults = [] if self._rehearsed or self._options.failure_mode else self._dropped()
        with self._run(store, stop) as run, self._talk.progress(count_due):
            report = run.drain(self._options)
        report.config_errors += faults
        self._tell(store, report)
        return report

    def stay(self, store: "Store", stop: threading.Event, attendant: "Beside") -> "DrainReport":
        """Deliver until *stop* is set, also from an outbox that replaces this one, and give the last report."""
        from prx_email_cli.cli.dropping import Following  # on use
        from prx_email_cli.cli.following import Absence, Teller  # on use
        from prx_email_cli.cli.following import follow as follow_outbox  # on use

        self._attendant, absence = attendant, Absence(self._settings.outbox)

        with Following(self._settings, stop) as dropped:

            def attend(owed_seconds: float, run: "DeliveringRun | None") -> "Settings | None":
                if run is not None:
                    absence.note(run.store, owed_seconds)
                    if run.store.cut_off():  # it waits for the server, and no longer than for a minute
                        owed_seconds = 0.0
                settings = attendant.attend(owed_seconds, None if run is None or absence.told else run.report)
                if settings is not None:
                    self._settings = dropped.settings = settings
                if settings is not None and run is not None:
                    self._attempted = self._talk.listener(settings, run.report.run_id)
                return settings

            def deliver(store: "Store", stop: threading.Event) -> "DrainReport":
                with self._run(store, stop) as run, Teller(lambda report: self._tell(store, report)) as teller:

                    def on_round(report: "DrainReport") -> None:
                        attendant.round_ends(report)
                        teller.tell(report)

                    report = run.follow(self._options, on_round, lambda owed_seconds: attend(owed_seconds, run))
                    on_round(report)
                return report

            return follow_outbox(store, absence, stop, deliver, lambda: attend(0.0, None))

    def _dropped(self) -> list[PrxEmailError]:
        """Store what was left in the drop directory, where there is one; return what keeps files there."""
        try:
            if drop_of(self._settings.sendmail, self._settings.outbox.path) is None:
                return []
        except ConfigError as fault:
            return [fault]
        from prx_email_cli.cli.dropping import take_dropped  # on use

        return take_dropped(self._settings, self._talk.voices.on("dropped", MOST_TOLD_A_DAY))

    @contextmanager
    def _run(self, store: "Store", stop: threading.Event) -> "Iterator[DeliveringRun]":
        tick = clock(self._now_ts, store.clock)
        with store.start_run(tick()) as run:
            self._attempted = self._talk.listener(self._settings, run.run_id)
            around = Environment(tick, stop=stop, on_finished=lambda finished: self._attempted(finished))
            yield DeliveringRun(store, self._settings, run, around)

    def _tell(self, store: "Store", report: "DrainReport") -> None:
        now = clock(self._now_ts, store.clock)()
        self._talk.afterwards(report)
        if self._rehearsed:
            self._talk.notes(report)
        if report.gave_up:
            from prx_email_cli.cli.given_up import tell_given_up  # on use

            tell_given_up(store, self._settings, now, self._talk.voices_unless_quiet())
        events = store.take_untold(now)
        if events:
            from prx_email_cli.cli.account_events import tell_accounts  # on use

            tell_accounts(store, self._settings, now, events, self._talk.voices_unless_quiet())
        if not self._rehearsed and self._options.failure_mode is None:  # a rehearsal does not show that cron works
            from prx_email_cli.cli.starter import what_started  # on use

            store.note_drain(store.clock(), what_started(follows=self._attendant is not None))
            if self._settings.outbox.keep_content is not None or self._settings.outbox.keep_records is not None:
                from prx_email_cli.cli.tidying import tidy  # on use

                tidy(store, self._settings.outbox, now, self._talk.voices.on("tidy"))


class _Talk:
    """Prints what a drain did: given-up messages under cron, progress and a summary on a terminal."""

    def __init__(self, this: Invocation, *, quiet: bool, verbose: bool, follows: bool) -> None:
        self._json = this.json
        self._quiet = quiet
        self._verbose = verbose
        self._follows = follows
        self._terminal = on_terminal(sys.stderr)
        self._watched = self._terminal and not quiet and not this.json
        self._advance: Callable[[], None] = lambda: None
        self._log: AttemptLog | None = None
        self._failed = False
        wait_for_no_reader()
        if not this.json:
            tell_losses(put_beside_stderr)

    @contextmanager
    def beside(self, store: "Store", tick: Callable[[], int]) -> "Iterator[None]":
        """Speak while the block drains *store*; under cron, an error that was told within a day ends it silently."""
        self._store, self._tick = store, tick
        if not self._terminal:
            relay_stderr(self._relayed)
        try:
            yield
        except typer.Exit:
            raise
        except Exception as error:
            if self._freely or self._json:
                raise
            status = error.exit_code if isinstance(error, PrxEmailError) else Exit.BUG
            if self.voices.may_tell(f"{type(error).__name__}: {error}", unsure=True):
                raise
            raise typer.Exit(status) from None
        finally:
            relay_stderr()

    @cached_property
    def _freely(self) -> bool:
        """Whether it speaks as often as there is something to say, since cron mails nothing of that."""
        if self._terminal or self._verbose or self._follows:
            return True
        from prx_email_cli.cli.starter import is_mailed  # on use

        return not is_mailed()

    @cached_property
    def voices(self) -> "Voices":
        """Print what the drain has to tell."""
        from prx_email_cli.cli.telling import Voices  # on use

        of_mail_freely = self._terminal or self._verbose
        return Voices(self._store, self._tick, freely=self._freely, of_mail_freely=of_mail_freely)

    def voices_unless_quiet(self) -> "Voices | None":
        """Return what prints given-up messages and what becomes of accounts, if anything does."""
        return None if self._quiet else self.voices

    def _relayed(self) -> "AbstractContextManager[int | None]":
        """Give a descriptor for the stderr of a command that prints a secret, None for ours."""
        if self._freely:
            return nullcontext()
        from prx_email_cli.cli.notify import relayed  # on use

        return relayed(self.voices.on("secret command"))

    def listener(self, settings: "Settings", run_id: str) -> "Callable[[Finished], None]":
        """Make the function that each worker thread calls after an attempt."""
        if not self._verbose and settings.log.file is None:
            self._log = None
            return lambda finished: self._bar_only()
        from prx_email_cli.cli.attempt_log import AttemptLog  # on use

        if self._log is None:
            tell_losses(lambda text: self._log is not None and self._log.note(text))
        log = self._log = AttemptLog(settings.log, run_id, self._about_log, verbose=self._verbose)

        def attempted(finished: "Finished") -> None:
            with self._telling():
                log.write(finished)
                self._advance()

        return attempted

    def _about_log(self, text: str) -> None:
        self.voices.on("log")(text)

    def _bar_only(self) -> None:
        with self._telling():
            self._advance()

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn the first error in reporting an attempt into a warning, and ignore the others."""
        try:
            yield
        except Exception as error:  # noqa: BLE001
            if not self._failed:
                self._failed = True
                text = f"an attempt could not be reported: {type(error).__name__}: {safe(masked(str(error)))}"
                self.voices.on("report")(f"warning: {text}")

    @contextmanager
    def progress(self, count_due: Callable[[], int]) -> Iterator[None]:
        """Show a progress bar while the block runs, if stderr is a terminal."""
        if not self._watched or self._verbose:
            yield
            return
        from prx_email_cli.cli.progress import delivery_bar  # on use

        with delivery_bar(count_due()) as advance:
            self._advance = advance
            yield
        self._advance = lambda: None

    def afterwards(self, report: "DrainReport") -> None:
        """Print faults of the config and results that could not be recorded."""
        for error in report.config_errors:
            say_error(masked(error.message), masked(error.hint), self.voices.on(error.message))
        for warning in report.warnings:
            self.voices.on(_DIGITS.sub("", warning))(f"warning: {safe(warning)}")
        if report.left_alone and (self._watched or self._verbose):
            from prx_email_cli.cli.standing import why_left_alone  # on use

            for name, left in report.left_alone.items():
                say(why_left_alone(name, left))

    def notes(self, report: "DrainReport") -> None:
        """Print which messages only a rehearsal's clock would have given up."""
        for note in () if self._quiet else report.notes:
            say(f"note: {safe(note)}")

    def result(self, report: "DrainReport") -> int:
        """Print the report and return the exit status."""
        error, status = _judgement(report)
        work_is_done("the drain is done")
        if self._json:
            from prx_email_cli.cli.drained import report_object  # on use

            put_json(report_object(report), error)
        elif self._watched:
            say(
                f"{report.sent} sent, {report.failed} failed, of which {report.gave_up} given up; "
                f"{report.still_due} still due"
            )
        return status


def _judgement(report: "DrainReport") -> tuple[dict[str, str] | None, int]:
    if report.config_errors:
        first = report.config_errors[0]
        return error_object(first.code, first.message, first.hint), first.exit_code
    if report.gave_up:
        return error_object(
            "provider", f"messages given up: {report.gave_up}", "prx-email list --gave-up shows them"
        ), Exit.GAVE_UP
    if report.failed:
        code = report.error_code or "provider"
        return error_object(
            code, f"attempts failed for now: {report.failed}", "prx-email list --status failed shows them"
        ), Exit.TRY_LATER
    resting = {name: left.state for name, left in report.left_alone.items() if left.rests}
    for name, state in resting.items():
        text = f"account {name} rests until {moment(state.rests_until)}: {state.detail}"
        hint = f"prx-email account test {name} tells whether it works again"
        return error_object(state.error or "provider", text, hint), Exit.TRY_LATER
    return None, Exit.OK


apps = {"drain": app}
