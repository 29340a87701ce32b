"""``prx-email send``: compose and enqueue."""

from typing import TYPE_CHECKING, Any

import typer

from prx_email_cli.cli import options
from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.inputs import Bodies, read_text, shown_name
from prx_email_cli.cli.output import put, put_json, say, work_is_done
from prx_email_cli.cli.render import send_result
from prx_email_cli.cli.times import schedule_of
from prx_email_cli.cli.undrained import warn_undrained
from prx_email_cli.errors import NotPermitted, ValidationError
from prx_email_cli.outbox.lifecycle import Priority, Status
from prx_email_cli.submission.caller import caller
from prx_email_cli.submission.draft import empty
from prx_email_cli.submission.request import Request, read_json, request_from_json
from prx_email_cli.submission.spool import Spool
from prx_email_cli.submission.submit import prepare, submit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from prx_email_cli.cli.batch import Asked
    from prx_email_cli.config.settings import Settings
    from prx_email_cli.outbox.messages import NewMessage, Submitted
    from prx_email_cli.outbox.store import Store
    from prx_email_cli.submission.reply import Answer

_BESIDE_A_REQUEST = {
    "request", "account", "at", "within", "expires_in", "now", "now_ts", "failure_mode", "preview", "as_json",
}  # fmt: skip

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
    allow_empty: options.AllowEmpty = False,
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
    merge: options.Merge = None,
    check: options.CheckBatch = False,
    atomic: options.Atomic = False,
    key_from: options.KeyFrom = None,
    rejected: options.Rejected = None,
    preview: options.Preview = False,
    first: options.First = None,
    now_ts: options.NowTs = None,
    failure_mode: options.FailureMode = None,
    as_json: options.Json = False,
) -> None:
    """Put a message into the outbox, durably, and print its id.

    With --batch, options such as --from and --at hold for each line that does not say it.
    Example: id=$(df -h | prx-email send --to ops@example.com --subject "Disks of $(hostname)")
    Example: prx-email send --merge people.csv --subject 'Invoice {{ number }}' --body-file text.txt --preview 3
    """
    options.refuse_two_times(at, within, now=now)
    _refuse_mixture(ctx.params)
    typed = Request(
        to=tuple(to or ()), cc=tuple(cc or ()), bcc=tuple(bcc or ()), subject=subject or "", html_file=html,
        attach=tuple(attach or ()), attach_stored=tuple(attach_stored or ()), headers=tuple(header or ()),
        account=account, sender=sender, reply_to=tuple(reply_to or ()), idempotency_key=idempotency_key, now_ts=now_ts,
        failure_mode=failure_mode, priority=Priority(priority) if priority else None, at=at, within=within,
        expires_in=expires_in, typed=True, allow_empty=allow_empty or None,
    )  # fmt: skip
    this, bodies = invocation(ctx), Bodies(body, body_file, html, requests=request or batch or merge)
    this.enqueues_by = _named(ctx.params)
    if batch is not None or merge is not None:
        from prx_email_cli.cli.batch import Asked, send_batch  # on use

        asked = Asked(batch or "-", bodies.put_into(typed), check, atomic, key_from, rejected, first)
        return send_batch(this, asked if merge is None else _merging(merge, asked, body_file))
    settings = this.settings()
    asking = _from_file(request, typed, settings) if request is not None else _from_options(bodies, typed, settings)
    return send_request(this, settings, asking, now=now)


def _named(given: "Mapping[str, Any]") -> str:
    """Name the command for the records, with the option that says where the message comes from."""
    return next((f"send --{name}" for name in ("batch", "merge", "request") if given.get(name) is not None), "send")


def _refuse_mixture(given: "Mapping[str, Any]") -> None:
    """Raise BadParameter for options that cannot be given together.  given: by the names of send's parameters."""
    used = {name for name, value in given.items() if value not in (None, False, [], ())}
    many = used & {"batch", "merge"}
    if len(used & {"batch", "merge", "request"}) > 1:
        raise typer.BadParameter("use only one of --request, --batch and --merge")
    if "batch" in used and used & {"to", "idempotency_key", "now"}:
        raise typer.BadParameter("--to, --idempotency-key and --now cannot be given with --batch (see --key-from)")
    if "merge" in used and "now" in used:
        raise typer.BadParameter("--now cannot be given with --merge: prx-email drain delivers what was stored")
    if not many and used & {"check", "atomic", "key_from", "rejected"}:
        raise typer.BadParameter("--check, --atomic, --key-from and --rejected need --batch or --merge")
    if "first" in used and not (many and "preview" in used):
        raise typer.BadParameter("--preview N and --first need --preview and --batch or --merge")
    if "request" in used and used - _BESIDE_A_REQUEST:
        why = "options of a message but its times cannot be given with --request: write them into its file"
        raise typer.BadParameter(why)


def _merging(file: str, asked: "Asked", body_file: str | None) -> "Asked":
    """Make of what is asked of a batch the same of the table *file*."""
    from prx_email_cli.cli.merge import defaults_of, reader_of  # on use
    from prx_email_cli.submission.merge import Names  # on use

    names = Names(body_file or "--body", asked.defaults.html_file or "--html")
    reads = reader_of(file, asked.defaults, names)
    return asked._replace(file=file, defaults=defaults_of(asked.defaults), reads=reads)


def _from_options(bodies: Bodies, typed: Request, settings: "Settings") -> Request:
    """Read the bodies; the account and the headers are checked before stdin is read.

    Raises ConfigError, ValidationError.
    """
    if bodies.awaits_stdin:
        settings.account(typed.account)
        if not (typed.to and typed.subject):
            raise empty(typed, to=bool(typed.to), subject=bool(typed.subject))
    return bodies.put_into(typed)


def send_request(this: Invocation, settings: "Settings", request: "Request", *, now: bool) -> None:
    """Enqueue *request* and print its id; with *now*, attempt it at once."""
    if request.in_reply_to_message_id is None:
        return enqueue_and_answer(this, settings, request, now=now)
    from prx_email_cli.submission.reply import answer_known  # on use

    with this.store(settings) as store:
        answer = answer_known(store, request, settings)
    return enqueue_and_answer(this, settings, answer, now=now)


def enqueue_and_answer(this: Invocation, settings: "Settings", asked: "Request | Answer", *, now: bool) -> None:
    """Store a message and print its id, of a duplicate the earlier one; with *now*, attempt it."""
    if this.preview and now:
        raise typer.BadParameter("use only one of --now and --preview")
    request, reply = (asked, None) if isinstance(asked, Request) else asked
    tick = this.clock(settings, request.now_ts)
    with Spool() as spool:
        message = prepare(request, settings, schedule_of(request, tick()), spool, reply)
        if this.preview:
            from prx_email_cli.cli.preview import preview  # on use

            preview(this, message)
            return
        message = message._replace(caller=caller(this.enqueues_by))
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
                put_json(_stored(store, message, submitted))
            else:
                put(str(submitted.outbox_id))
                warn_undrained(this, store, tick())


def _stored(store: "Store", message: "NewMessage", submitted: "Submitted") -> dict[str, Any]:
    """Make the JSON object of a message that was just stored, or of the earlier one with its key.

    Of an earlier one that the outbox's role may not read, no more than its id.
    """
    answer = {"outbox_id": submitted.outbox_id, "duplicate": submitted.duplicate}
    if not submitted.duplicate:
        return {
            **answer, "status": Status.PENDING, "retries": 0, "provider_message_id": None,
            "next_attempt_at": message.schedule.due_at, "message_id": None,
        }  # fmt: skip
    try:
        return {**send_result(store.row(submitted.outbox_id)), **answer}
    except NotPermitted:
        return answer


def _from_file(name: str, typed: "Request", settings: "Settings") -> "Request":
    """Read the request in a JSON file, and complete it from the command line."""
    if typed.account is not None:
        settings.account(typed.account)
    try:
        document = read_json(read_text(name))
    except (ValueError, RecursionError) as error:
        raise ValidationError(f"{shown_name(name)}: not JSON: {error}", hint="it must be one JSON object") from None
    from prx_email_cli.submission.defaults import completion  # on use

    request, complete = request_from_json(document), completion(typed)
    return request if complete is None else complete(request)


apps = {"send": app}
