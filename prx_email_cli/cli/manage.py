"""``prx-email hold``, ``release``, ``cancel``, ``resolve`` and ``dismiss``: change messages by hand."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from prx_email_cli.cli.changing import Change, Wish, change
from prx_email_cli.cli.context import invocation
from prx_email_cli.cli.options import Json, NowTs
from prx_email_cli.cli.output import say
from prx_email_cli.cli.selection import DryRun, Selection, Yes, takes_selection
from prx_email_cli.errors import PrxEmailError, RestoredBackup
from prx_email_cli.outbox.decisions import Decision

if TYPE_CHECKING:
    from prx_email_cli.outbox.store import Store

hold_app, release_app, cancel_app, resolve_app, dismiss_app = (typer.Typer(add_completion=False) for _ in range(5))

_Everyone = Callable[["Store", str | None, int], list[int]]


class _Deed(NamedTuple):
    """What a command does.  without: facts of messages that a selection leaves out; only: narrows a selection."""

    decision: Decision
    verb: str
    done: str
    without: Sequence[str] = ()
    only: Callable[[Selection], Selection] = lambda selection: selection
    everyone: _Everyone | None = None


@hold_app.command()
@takes_selection()
def hold(
    ctx: typer.Context, selection: Selection, yes: Yes = False, dry_run: DryRun = False, now_ts: NowTs = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Keep drains from taking these messages until they are released.

    A selection leaves out what is sent, held or given up already.
    hold --all also accepts a restored backup: mail stored from then on is delivered again.
    Example: prx-email hold 42 43
    """
    without = ("sent", "held", "gave_up")
    deed = _Deed(Decision.HOLD, "hold", "held", without, everyone=_hold_all)
    _make(ctx, Wish(selection, yes, dry_run), now_ts, deed)


@release_app.command()
@takes_selection()
def release(
    ctx: typer.Context, selection: Selection, yes: Yes = False, dry_run: DryRun = False, now_ts: NowTs = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Let drains take these held messages again.

    Example: prx-email release --all
    """
    deed = _Deed(
        Decision.RELEASE, "release", "released", only=lambda one: one._replace(held=True), everyone=_release_all
    )
    _make(ctx, Wish(selection, yes, dry_run), now_ts, deed)


@cancel_app.command()
@takes_selection()
def cancel(
    ctx: typer.Context, selection: Selection, yes: Yes = False, dry_run: DryRun = False, now_ts: NowTs = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Give these messages up: no drain takes them again.  Their records stay.

    A selection leaves out what is sent or given up already.
    Example: prx-email cancel --subject 'Invoice *' --to '*@example.org'
    """
    deed = _Deed(Decision.CANCEL, "cancel", "cancelled", ("sent", "gave_up"))
    _make(ctx, Wish(selection, yes, dry_run), now_ts, deed)


@resolve_app.command()
@takes_selection()
def resolve(
    ctx: typer.Context,
    selection: Selection,
    sent: Annotated[bool, typer.Option("--sent", help="It arrived: mark it as sent.")] = False,
    not_sent: Annotated[
        bool, typer.Option("--not-sent", help="It did not arrive: send it again, as a new message.")
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    now_ts: NowTs = None,
    as_json: Json = False,
) -> None:
    """Decide whether messages with an uncertain outcome were sent.

    Example: prx-email resolve 42 --not-sent
    """
    if sent == not_sent:
        raise typer.BadParameter("give either --sent or --not-sent")
    done = "resolved as sent" if sent else "resolved as not sent"
    deed = _Deed(Decision.SENT if sent else Decision.NOT_SENT, done.replace("resolved", "resolve"), done,
                 only=lambda one: one._replace(uncertain=True))  # fmt: skip
    _make(ctx, Wish(selection, yes, dry_run), now_ts, deed)


@dismiss_app.command()
@takes_selection()
def dismiss(
    ctx: typer.Context, selection: Selection, yes: Yes = False, dry_run: DryRun = False, now_ts: NowTs = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Note that these failures were seen: they count no more in status, check and doctor.

    The messages stay given up; a retry counts them again if it fails.  A selection leaves out what was cancelled.
    Example: prx-email dismiss --gave-up --error 'no such user'
    """
    deed = _Deed(Decision.DISMISS, "dismiss", "dismissed", ("sending", "cancelled", "dismissed"),
                 only=lambda one: one._replace(gave_up=True))  # fmt: skip
    _make(ctx, Wish(selection, yes, dry_run), now_ts, deed)


def _make(ctx: typer.Context, wish: Wish, now_ts: int | None, deed: _Deed) -> None:
    from prx_email_cli.outbox.views import Fact  # on use

    this, selection, everyone = invocation(ctx), wish.selection, deed.everyone
    selection.check()
    settings = this.settings()
    now = this.clock(settings, now_ts)()
    change(this, settings, wish._replace(now=now), Change(
        deed.verb, deed.done,
        wanted=lambda store: deed.only(selection).filter(store, now, [Fact(one) for one in deed.without]),
        carry_out=lambda store, ids: store.decide(deed.decision, ids, now),
        everyone=None if everyone is None else lambda store: everyone(store, selection.account, now),
    ))  # fmt: skip


def _hold_all(store: "Store", account: str | None, now: int) -> list[int]:
    restored = _is_restored(store)
    held = store.hold_all(account, now)
    if restored and account is None:
        say("note: the restored backup is accepted: release what was not sent; new mail is delivered again")
    elif restored:
        say(
            "note: the outbox is a restored backup, and nothing is delivered until it is accepted: "
            "hold --all without --account does it"
        )
    return held


def _release_all(store: "Store", account: str | None, now: int) -> list[int]:
    return store.release_all(account, now)


def _is_restored(store: "Store") -> bool:
    try:
        store.refuse_restored()
    except RestoredBackup:
        return True
    except PrxEmailError:  # messages can be held without the high-water mark
        pass
    return False


apps = {"hold": hold_app, "release": release_app, "cancel": cancel_app, "resolve": resolve_app, "dismiss": dismiss_app}
