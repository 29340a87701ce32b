"""``prx-email run``: run a job, and enqueue one mail when it fails."""

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from prx_email_cli.cli import interrupts, job_options, options
from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.job import Ended, Job, run_job
from prx_email_cli.cli.job_lock import only_one
from prx_email_cli.cli.job_output import Tail
from prx_email_cli.cli.output import on_terminal, put_json, report_error, say, work_is_done
from prx_email_cli.cli.render import error_object, masked, safe_lines
from prx_email_cli.errors import JobRunning, PrxEmailError, as_ours

if TYPE_CHECKING:
    from prx_email_cli.outbox.messages import Submitted

app = typer.Typer(add_completion=False)


class _Mail(NamedTuple):
    """What the options say about the mail."""

    to: tuple[str, ...]
    subject: str | None
    account: str | None
    idempotency_key: str | None
    tail: int


class _Result(NamedTuple):
    """What became of the job and its mail."""

    command: Sequence[str]
    ended: Ended
    tail: Tail
    mail: "Submitted | None" = None
    error: PrxEmailError | None = None


@app.command(context_settings={"allow_interspersed_args": False})
def run(
    ctx: typer.Context,
    command: job_options.Command,
    to: job_options.To = None,
    subject: job_options.Subject = None,
    account: options.AccountName = None,
    idempotency_key: job_options.IdempotencyKey = None,
    on_output: job_options.OnOutput = False,
    tail: job_options.LastLines = 100,
    timeout: job_options.Timeout = None,
    kill_after: job_options.KillAfter = "10s",
    lock: job_options.Lock = None,
    pass_through: job_options.PassThrough = False,
    as_json: options.Json = False,
) -> None:
    """Run a job, and enqueue one mail if it fails: its exit status, duration and last lines.

    Nothing is printed and the job's exit status is passed on, so that cron mails nothing.
    Example (crontab): 0 3 * * * prx-email run --to ops@example.com --lock backup -- backup --all
    """
    this = invocation(ctx)
    if as_json and pass_through:
        raise typer.BadParameter("use only one of --json and --pass-through")
    mail = _Mail(_recipients(to), subject, account, idempotency_key, tail)
    job = Job(command, _seconds(timeout, "--timeout"), _seconds(kill_after, "--kill-after") or 0.0, pass_through)
    try:
        with only_one(lock):
            result = _run(this, job, mail, on_output=on_output)
    except JobRunning as running:
        if this.json or on_terminal(sys.stderr):
            raise
        raise typer.Exit(running.exit_code) from None  # cron would mail what is said
    _answer(this, result)
    if result.ended.signal is not None:
        interrupts.die_of(result.ended.signal)
        raise typer.Exit(128 + result.ended.signal)
    raise typer.Exit(result.ended.status)


def _recipients(to: list[str] | None) -> tuple[str, ...]:
    """Return who gets the mail.  Raises BadParameter for nobody."""
    found = tuple(to or ()) or tuple(filter(None, [os.environ.get("MAILTO")]))
    if not any(one.strip() for one in found):
        raise typer.BadParameter("give --to ADDRESS, or set MAILTO")
    return found


def _seconds(text: str | None, option: str) -> float | None:
    if text is None:
        return None
    from prx_email_cli.cli.times import duration_seconds  # on use

    seconds = duration_seconds(text, option)
    if option == "--timeout" and seconds == 0:
        raise typer.BadParameter("--timeout must be longer than 0s")
    return float(seconds)


def _run(this: Invocation, job: Job, mail: _Mail, *, on_output: bool) -> _Result:
    """Run the job, and enqueue the mail if there is to be one; signals that come meanwhile only reach the job."""
    tail = Tail()
    with interrupts.held_back():
        ended = run_job(job, tail)
        result = _Result(job.command, ended, tail)
        if not ended.failed and not (on_output and tail.size):
            return result
        try:
            return result._replace(mail=_enqueue(this, result, mail))
        except Exception as error:  # noqa: BLE001 - whatever is wrong with the mail, the job's result must be told
            return result._replace(error=as_ours(error))


def _enqueue(this: Invocation, result: _Result, mail: _Mail) -> "Submitted":
    """Store the mail.  Raises PrxEmailError."""
    from prx_email_cli.cli.job_mail import NewMail, enqueue  # on use

    subject = mail.subject or _subject(result)
    asked = NewMail(mail.to, subject, _text(result, mail.tail), mail.account, mail.idempotency_key)
    submitted = enqueue(this, asked, result.command)
    work_is_done(f"the job has run, and its mail is stored as {submitted.outbox_id}")
    return submitted


def _subject(result: _Result) -> str:
    from prx_email_cli.cli.job_report import subject_of  # on use

    return subject_of(result.command, result.ended)


def _text(result: _Result, lines: int) -> str:
    from prx_email_cli.cli.job_report import report_of  # on use

    return report_of(result.command, result.ended, result.tail, lines)


def _answer(this: Invocation, result: _Result) -> None:
    """Print what is to be told: nothing, but for the JSON or a mail that could not be stored."""
    work_is_done("the job has run")
    if result.error is not None:
        if not this.json:
            report_error(result.error, as_json=False)
        say("the mail about this job could not be stored, so here it is:")
        say(safe_lines(masked(_text(result, job_options.MOST_LINES))).rstrip("\n"))
    if this.json:
        put_json(_object(result), _error(result))


def _object(result: _Result) -> dict[str, Any]:
    from prx_email_cli.cli.job_report import signal_name  # on use

    ended, mail = result.ended, result.mail
    return {
        "argv": [os.fsencode(word).decode("utf-8", "backslashreplace") for word in result.command],
        "exit_status": ended.status if ended.signal is None else None,
        "signal": None if ended.signal is None else signal_name(ended.signal),
        "timed_out": ended.timed_out,
        "started_at": int(ended.started_at),
        "duration_seconds": round(ended.seconds, 3),
        "output_bytes": result.tail.size,
        "output_lines": result.tail.lines,
        "outbox_id": None if mail is None else mail.outbox_id,
        "duplicate": mail is not None and mail.duplicate,
    }


def _error(result: _Result) -> dict[str, str] | None:
    if result.error is not None:
        return error_object(result.error.code, masked(result.error.message), masked(result.error.hint))
    if not result.ended.failed:
        return None
    from prx_email_cli.cli.job_report import result_of  # on use

    return error_object("job", f"the job failed: {result_of(result.ended)}")


apps = {"run": app}
