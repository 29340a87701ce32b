"""``prx-email send``: compose and enqueue."""

import sys
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from prx_email_cli.cli.context import Invocation, clock, invocation, on_terminal
from prx_email_cli.cli.options import AccountName, FailureMode, Json, NowTs
from prx_email_cli.cli.output import put, put_json, say

if TYPE_CHECKING:
    from prx_email_cli.mail.request import Request

app = typer.Typer(add_completion=False)


@app.command()
def send(
    ctx: typer.Context,
    to: Annotated[
        list[str] | None, typer.Option("--to", metavar="ADDRESS", help="Repeatable, or comma-separated.")
    ] = None,
    cc: Annotated[list[str] | None, typer.Option("--cc", metavar="ADDRESS", help="Copies that everybody sees.")] = None,
    bcc: Annotated[list[str] | None, typer.Option("--bcc", metavar="ADDRESS", help="Copies that nobody sees.")] = None,
    subject: Annotated[str, typer.Option("--subject", "-s", help="The subject.")] = "",
    body: Annotated[str | None, typer.Option("--body", metavar="TEXT", help="The text itself.")] = None,
    body_file: Annotated[
        str | None, typer.Option("--body-file", metavar="FILE", help="Take the text from FILE, - for stdin.")
    ] = None,
    sender: Annotated[str | None, typer.Option("--from", metavar="ADDRESS", help="Instead of the account's.")] = None,
    reply_to: Annotated[list[str] | None, typer.Option("--reply-to", metavar="ADDRESS")] = None,
    account: AccountName = None,
    at: Annotated[str | None, typer.Option("--at", metavar="ISO8601", help="Not before this time.")] = None,
    within: Annotated[str | None, typer.Option("--in", metavar="2h", help="Not before this long from now.")] = None,
    expires_in: Annotated[
        str | None, typer.Option("--expires-in", metavar="1d", help="Give up when it is not sent by then.")
    ] = None,
    now: Annotated[bool, typer.Option("--now", help="Attempt delivery at once, and tell how it went.")] = False,
    batch: Annotated[
        str | None, typer.Option("--batch", metavar="FILE", help="One JSON request a line, - for stdin.")
    ] = None,
    now_ts: NowTs = None,
    failure_mode: FailureMode = None,
    as_json: Json = False,
) -> None:
    """Put a message into the outbox, durably, and print its id.

    Example: id=$(df -h | prx-email send --to ops@example.com --subject "Disks of $(hostname)")
    """
    if sum((at is not None, within is not None, now)) > 1:
        raise typer.BadParameter("use only one of --at, --in and --now")
    this = invocation(ctx)
    if batch is not None:
        if any((to, cc, bcc, subject, body, body_file, sender, reply_to, at, within, expires_in, now)):
            raise typer.BadParameter("--batch takes everything from its lines")
        from prx_email_cli.cli.batch import send_batch

        return send_batch(this, batch, account, now_ts, failure_mode)
    from prx_email_cli.mail.request import Request

    request = Request(
        to=tuple(to or ()), cc=tuple(cc or ()), bcc=tuple(bcc or ()), subject=subject, body_text=_text(body, body_file),
        account=account, sender=sender, reply_to=tuple(reply_to or ()), now_ts=now_ts, failure_mode=failure_mode,
    )  # fmt: skip
    return _send_one(this, request, _Times(at, within, expires_in), now)


class _Times(NamedTuple):
    """When a message is due and when it expires, as typed."""

    at: str | None
    within: str | None
    expires_in: str | None

    def resolve(self, now: int) -> tuple[int | None, int | None]:
        """Unix seconds of both.  Raises ValidationError."""
        if not any(self):
            return None, None
        from prx_email_cli.cli.when import due_time, expiry

        due_at = due_time(self.at, self.within, now)
        return due_at, expiry(self.expires_in, due_at, now)


def _send_one(this: Invocation, request: "Request", times: _Times, now: bool) -> None:
    from prx_email_cli.delivery.submission import submission

    settings = this.settings()
    tick = clock(request.now_ts)
    due_at, expires_at = times.resolve(tick())
    message = submission(request, settings, tick(), due_at, expires_at)
    with this.store(settings) as store:
        (outbox_id,) = store.enqueue([message])
        if now:
            from prx_email_cli.cli.retry import attempt_now

            attempt_now(this, store, settings, outbox_id, tick, request.failure_mode)
            return
        if request.failure_mode is not None:
            say("note: without --now nothing is attempted, so --failure-mode has no effect here")
        if this.json:
            from prx_email_cli.cli.results import send_result

            put_json(send_result(store.row(outbox_id)))
        else:
            put(str(outbox_id))


def _text(body: str | None, body_file: str | None) -> str:
    """The text from ``--body``, ``--body-file``, or stdin when something is piped in."""
    if body is not None and body_file is not None:
        raise typer.BadParameter("use only one of --body and --body-file")
    if body is not None:
        return body
    if body_file is None and on_terminal(sys.stdin):
        return ""
    from prx_email_cli.cli.inputs import read_text

    return read_text(body_file or "-")


apps = {"send": app}
