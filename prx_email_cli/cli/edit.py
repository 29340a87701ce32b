"""``prx-email edit``: correct messages that were not delivered."""

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from prx_email_cli.cli.changing import Change, Wish, change
from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.options import Json, NowTs
from prx_email_cli.cli.selection import DryRun, Selection, Yes, not_empty, takes_selection
from prx_email_cli.cli.times import Times, duration_seconds
from prx_email_cli.errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from prx_email_cli.config.settings import Settings
    from prx_email_cli.outbox.decisions import Decided
    from prx_email_cli.outbox.editing import Edit
    from prx_email_cli.outbox.store import Store
    from prx_email_cli.outbox.views import Filter

    _GoOn = Callable[[Store, Settings, Sequence[Decided]], None]

app = typer.Typer(add_completion=False)


@app.command()
@takes_selection(but=("account", "sender"))
def edit(
    ctx: typer.Context,
    selection: Selection,
    only_account: Annotated[
        str | None,
        typer.Option("--only-account", metavar="NAME", callback=not_empty, help="Only messages of this account."),
    ] = None,
    only_from: Annotated[
        str | None,
        typer.Option(
            "--only-from",
            metavar="PATTERN",
            callback=not_empty,
            help="Only with an envelope sender like it: * and ? are wildcards, else a part.",
        ),
    ] = None,
    replace: Annotated[
        list[str] | None,
        typer.Option("--replace", metavar="OLD=NEW", help="Put another address in a recipient's place; repeatable."),
    ] = None,
    account: Annotated[
        str | None, typer.Option("--account", metavar="NAME", help="Send through this account instead.")
    ] = None,
    sender: Annotated[str | None, typer.Option("--from", metavar="ADDRESS", help="From this address instead.")] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="ISO8601", help="Attempt no earlier than at this time.")
    ] = None,
    expires_in: Annotated[
        str | None, typer.Option("--expires-in", metavar="DURATION", help="Give up if not sent within 1d from now.")
    ] = None,
    retry: Annotated[bool, typer.Option("--retry", help="Attempt what was edited at once.")] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    now_ts: NowTs = None,
    as_json: Json = False,
) -> None:
    """Correct messages that are not delivered; what recipients have received stays.

    To, Cc and From change with the envelope, but for mail that came whole. A given-up message waits for a retry.
    Example: prx-email edit 42 --replace bob@exmaple.org=bob@example.org --retry
    """
    if not replace and (account, sender, at, expires_in) == (None,) * 4:
        raise typer.BadParameter("give what to change: --replace, --account, --from, --at or --expires-in")
    if retry and at is not None:
        raise typer.BadParameter("use only one of --at and --retry")
    this, selection = invocation(ctx), selection._replace(account=only_account, sender=only_from)
    selection.check()
    settings = this.settings()
    tick = this.clock(settings, now_ts)
    wish = Wish(selection, yes, dry_run, tick())
    correction = _correction(settings, replace or [], account, sender)._replace(
        now=wish.now,
        due_at=None if at is None else Times(at, None, None).resolve(wish.now).due_at,
        expires_at=None if expires_in is None else wish.now + duration_seconds(expires_in, "--expires-in"),
        at_once=retry,
    )
    go_on = _retry(this, tick, many=not selection.ids) if retry else None
    wanted, carry_out = partial(_wanted, wish), partial(_edit, correction)
    change(this, settings, wish, Change("edit", "edited", wanted, carry_out, go_on=go_on))


def _correction(settings: "Settings", replace: "Sequence[str]", account: str | None, sender: str | None) -> "Edit":
    """Check what is to be changed.  Raises ValidationError, ConfigError."""
    from prx_email_cli.mail.addresses import parse_mailbox  # on use
    from prx_email_cli.mail.readdressing import parse_replacement  # on use
    from prx_email_cli.outbox.editing import Edit  # on use

    replaced = dict(map(parse_replacement, replace))
    if len(replaced) < len(replace):
        raise ValidationError("--replace: one address is to be replaced twice", hint="name each old address once")
    if account is not None:
        settings.account(account)
    senders = {name: parse_mailbox(one.sender, "from") for name, one in settings.accounts.items() if one.sender}
    mailbox = None if sender is None else parse_mailbox(sender, "--from")
    return Edit(0, replaced, account, mailbox, senders)


def _wanted(wish: Wish, store: "Store") -> "Filter":
    from prx_email_cli.outbox.views import Fact  # on use

    return wish.selection.filter(store, wish.now, [Fact.SENT, Fact.SENDING, Fact.CANCELLED])


def _edit(correction: "Edit", store: "Store", ids: "Sequence[int]") -> "Iterator[list[Decided]]":
    return store.edit(ids, correction)


def _retry(this: Invocation, tick: "Callable[[], int]", *, many: bool) -> "_GoOn":
    """Return what attempts the messages that were edited, and tells what became of all."""

    def go_on(store: "Store", settings: "Settings", decided: "Sequence[Decided]") -> None:
        from prx_email_cli.cli.retry import Attempts, attempt_and_tell  # on use
        from prx_email_cli.delivery.attempt import RetryOptions  # on use

        attempt_and_tell(this, Attempts(store, settings, tick), decided, RetryOptions(wakes=True, many=many))

    return go_on


apps = {"edit": app}
