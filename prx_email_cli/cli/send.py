"""``prx-email send``: compose and enqueue."""

from typing import TYPE_CHECKING

import typer

from prx_email_cli.cli import options
from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.inputs import Bodies, read_text, shown_name
from prx_email_cli.cli.output import put, put_json, say, work_is_done
from prx_email_cli.cli.render import send_result
from prx_email_cli.cli.times import Times, clock
from prx_email_cli.errors import ValidationError
from prx_email_cli.outbox.lifecycle import Priority
from prx_email_cli.submission.draft import empty
from prx_email_cli.submission.request import Request, read_json, request_from_json
from prx_email_cli.submission.spool import Spool
from prx_email_cli.submission.submit import prepare, submit

if TYPE_CHECKING:
    from prx_email_cli.config.settings import Settings
    from prx_email_cli.submission.reply import Answer

app = typer.Typer(add_completion=False)


@app.command()
def send(
    ctx: typer.Context,
    to: options.To = None,
    cc: options.Cc = None,
    bcc: options.Bcc = None,
    subject: options.Subject = None,
    body: options.Body = None,
    body_file: options.BodyFile = None,
    html: options.Html = None,
    attach: options.Attach = None,
    attach_stored: options.AttachStored = None,
    header: options.Header = None,
    sender: options.Sender = None,
    reply_to: options.ReplyTo = None,
    account: options.AccountName = None,
    at: options.At = None,
    within: options.Within = None,
    expires_in: options.ExpiresIn = None,
    priority: options.Importance = None,
    idempotency_key: options.IdempotencyKey = None,
    now: options.AttemptNow = False,
    request: options.RequestFile = None,
    batch: options.Batch = None,
    now_ts: options.NowTs = None,
    failure_mode: options.FailureMode = None,
    as_json: options.Json = False,
) -> None:
    """Put a message into the outbox, durably, and print its id.

    Example: id=$(df -h | prx-email send --to ops@example.com --subject "Disks of $(hostname)")
    """
    options.refuse_two_times(at, within, now=now)
    this = invocation(ctx)
    times = Times(at, within, expires_in)
    typed = (to, cc, bcc, subject, body, body_file, html, attach, attach_stored, header, sender, reply_to, priority)
    if batch is not None:
        if any(value not in (None, False, []) for value in (*typed, request, idempotency_key, *times, now)):
            raise typer.BadParameter("options of a message cannot be given with --batch: write them into its lines")
        from prx_email_cli.cli.batch import send_batch  # on use

        return send_batch(this, batch, account, now_ts, failure_mode)
    if request is not None:
        if any(value not in (None, []) for value in (*typed, idempotency_key)):
            why = "options of a message but its times cannot be given with --request: write them into its file"
            raise typer.BadParameter(why)
        settings = this.settings()
        if account is not None:
            settings.account(account)
        return send_request(this, settings, _from_file(request, account, now_ts, failure_mode), times, now=now)
    bodies, settings = Bodies(body, body_file, html), this.settings()
    if bodies.awaits_stdin:
        _check_before_reading(settings, account, complete=bool(to and subject))
    asked = Request(
        to=tuple(to or ()), cc=tuple(cc or ()), bcc=tuple(bcc or ()), subject=subject or "",
        body_text=bodies.text(), body_html=bodies.html(), html_file=html, attach=tuple(attach or ()),
        attach_stored=tuple(attach_stored or ()), headers=tuple(header or ()), account=account, sender=sender,
        reply_to=tuple(reply_to or ()), idempotency_key=idempotency_key, now_ts=now_ts, failure_mode=failure_mode,
        priority=Priority(priority or Priority.NORMAL),
    )  # fmt: skip
    return send_request(this, settings, asked, times, now=now)


def _check_before_reading(settings: "Settings", account: str | None, *, complete: bool) -> None:
    """Check the account and the headers before stdin is read.  Raises ConfigError, ValidationError."""
    settings.account(account)
    if not complete:
        raise empty()


def send_request(this: Invocation, settings: "Settings", request: "Request", times: Times, *, now: bool) -> None:
    """Enqueue *request* and print its id; with *now*, attempt it at once."""
    if request.in_reply_to_message_id is None:
        return enqueue_and_answer(this, settings, request, times, now=now)
    from prx_email_cli.submission.reply import answer_known  # on use

    with this.store(settings) as store:
        answer = answer_known(store, request, settings)
    return enqueue_and_answer(this, settings, answer, times, now=now)


def enqueue_and_answer(
    this: Invocation, settings: "Settings", asked: "Request | Answer", times: Times, *, now: bool
) -> None:
    """Store a message and print its id, of a duplicate the earlier one; with *now*, attempt it."""
    request, reply = (asked, None) if isinstance(asked, Request) else asked
    tick = clock(request.now_ts)
    with Spool() as spool:
        message = prepare(request, settings, times.resolve(tick()), spool, reply)
        with this.store(settings) as store:
            submitted = submit(store, message)
            spool.clear()
            work_is_done(f"stored as {submitted.outbox_id}")
            if now and not submitted.duplicate:
                from prx_email_cli.cli.retry import Attempts, attempt_now  # on use

                attempts = Attempts(store, settings, tick)
                attempt_now(this, attempts, submitted.outbox_id, request.failure_mode)
                return
            if request.failure_mode is not None and not now:
                say("note: without --now nothing is attempted, so --failure-mode has no effect here")
            if this.json:
                put_json({**send_result(store.row(submitted.outbox_id)), "duplicate": submitted.duplicate})
            else:
                put(str(submitted.outbox_id))


def _from_file(name: str, account: str | None, now_ts: int | None, failure_mode: str | None) -> "Request":
    """Read the request in a JSON file, and complete it from the command line."""
    try:
        document = read_json(read_text(name))
    except (ValueError, RecursionError) as error:
        raise ValidationError(f"{shown_name(name)}: not JSON: {error}", hint="it must be one JSON object") from None
    request = request_from_json(document)
    return request._replace(
        account=request.account or account,
        now_ts=request.now_ts if request.now_ts is not None else now_ts,
        failure_mode=request.failure_mode or failure_mode,
    )


apps = {"send": app}
