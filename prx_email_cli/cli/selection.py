"""Take ids, or options that select messages, on the command lines of several commands."""

import inspect
import re
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from prx_email_cli.cli.options import MOST_ROWS
from prx_email_cli.cli.output import say
from prx_email_cli.cli.render import safe
from prx_email_cli.cli.times import duration_seconds, unix_time
from prx_email_cli.errors import NotFound, ValidationError
from prx_email_cli.outbox.lifecycle import Status

if TYPE_CHECKING:
    from prx_email_cli.config.settings import Settings
    from prx_email_cli.outbox.store import Store
    from prx_email_cli.outbox.views import Fact, Filter

_DURATION = re.compile(r"(?:\d+[smhdwy])+")


def _check_status(values: list[str] | None) -> list[str] | None:
    if not {*(values or ())} <= {"pending", "sending", "sent", "failed"}:
        raise typer.BadParameter("must be pending, sending, sent or failed")
    return values


def not_empty(value: str | None) -> str | None:
    """Refuse an empty value, which would mean every message, or none."""
    if value is not None and not value.strip():
        raise typer.BadParameter("is empty: the script's variable may be unset")
    return value


def _flag(name: str, help_text: str) -> Any:
    return Annotated[bool, typer.Option(name, help=help_text)]


def _text(name: str, metavar: str, help_text: str) -> Any:
    return Annotated[str | None, typer.Option(name, metavar=metavar, callback=not_empty, help=help_text)]


def _number(name: str, help_text: str) -> Any:
    return Annotated[int | None, typer.Option(name, metavar="N", min=1, help=help_text)]


Ids = Annotated[list[int] | None, typer.Argument(metavar="[ID...]", help="Outbox ids.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask, also on a terminal.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only list the messages; change nothing.")]
_STATUS = typer.Option(
    "--status", metavar="STATUS", callback=_check_status, help="Only pending, sending, sent or failed; repeatable."
)
_OPTIONS: dict[str, tuple[Any, Any]] = {
    "account": (_text("--account", "NAME", "Only this account; by default every account."), None),
    "status": (Annotated[list[str] | None, _STATUS], None),
    "due": (_flag("--due", "Only messages that a drain would take now."), False),
    "gave_up": (_flag("--gave-up", "Only messages that were given up."), False),
    "uncertain": (_flag("--uncertain", "Only messages that may have been accepted."), False),
    "held": (_flag("--held", "Only messages that are held."), False),
    "to": (
        _text("--to", "PATTERN", "Only with a recipient like it: any case, * and ? are wildcards, else a part."),
        None,
    ),
    "sender": (
        _text("--from", "PATTERN", "Only with an envelope sender like it: * and ? are wildcards, else a part."),
        None,
    ),
    "subject": (
        _text("--subject", "PATTERN", "Only with a subject like it: * and ? are wildcards, else a part of it."),
        None,
    ),
    "error": (
        _text("--error", "PATTERN", "Only with a last error like it: * and ? are wildcards, else a part of it."),
        None,
    ),
    "cause": (_number("--cause", "Only messages that failed by this cause of status."), None),
    "since": (_text("--since", "TIME", "Only messages stored since 2h ago, for example, or an ISO 8601 time."), None),
    "until": (_text("--until", "TIME", "Only messages stored until then."), None),
    "limit": (_number("--limit", "At most N messages, the newest."), None),
    "everything": (_flag("--all", "Every message; other options narrow it."), False),
}
_NAMES = {"sender": "--from", "everything": "--all"}


class Selection(NamedTuple):
    """Which messages a command is for: *ids*, or what the other fields say as the options of their names do."""

    ids: Sequence[int] = ()
    account: str | None = None
    status: list[str] | None = None
    due: bool = False
    gave_up: bool = False
    uncertain: bool = False
    held: bool = False
    to: str | None = None
    sender: str | None = None
    subject: str | None = None
    error: str | None = None
    cause: int | None = None
    since: str | None = None
    until: str | None = None
    limit: int | None = None
    everything: bool = False

    def check(self) -> None:
        """Raise BadParameter unless there are either ids or options that select."""
        given = [name for name, value in zip(self._fields, self, strict=True) if value not in (None, False, [], ())]
        options = [f"{_NAMES.get(name, f'--{name}')}".replace("_", "-") for name in given if name != "ids"]
        if self.ids and options:
            raise typer.BadParameter(f"give ids or {options[0]}, not both")
        if not self.ids and options in ([], ["--limit"]):
            raise typer.BadParameter("give ids, or select messages: --all, --account, --gave-up or --to, for example")

    @property
    def is_everything(self) -> bool:
        """Whether every message (of the account) is meant."""
        return self.everything and self._replace(account=None, everything=False) == NOTHING

    def filter(self, store: "Store", now: int, without: "Sequence[Fact]" = ()) -> "Filter":
        """Return what the store is asked for.  Raises NotFound when there is no such cause.

        without: what is left out, unless it was asked for by name.
        """
        from prx_email_cli.outbox.views import Fact, Filter  # on use

        asked = {Fact.HELD: self.held, Fact.GAVE_UP: self.gave_up or self.cause is not None}
        asked |= {Fact(status): True for status in self.status or () if status in (Fact.SENT, Fact.SENDING)}
        return Filter(
            statuses=tuple(map(Status, self.status or ())), account=self.account, due_at=now if self.due else None,
            gave_up=self.gave_up, held=self.held, uncertain=self.uncertain,
            limit=min(self.limit or MOST_ROWS, MOST_ROWS), recipient=_as_stored(self.to),
            sender=_as_stored(self.sender), subject=self.subject, error=self.error,
            failures=() if self.cause is None else _of_cause(store, self.cause),
            since=moment_meant(self.since, "--since", now), until=moment_meant(self.until, "--until", now),
            without=tuple(fact for fact in without if not asked.get(fact)), whole=self.everything,
        )  # fmt: skip

    def find(self, store: "Store", settings: "Settings", wanted: "Filter") -> list[int]:
        """Return the ids of the messages that match, and say so if not every message was looked at.

        Raises ConfigError for an account that neither the outbox nor the config knows.
        """
        found = store.ids(wanted)
        if not found and self.account is not None:
            settings.account(self.account)
        tell_bounds(store, wanted)
        return found


NOTHING = Selection()


def tell_bounds(store: "Store", wanted: "Filter") -> bool:
    """Say so if not every message was looked at; tell whether that is so."""
    from prx_email_cli.outbox.views import MOST_SEARCHED, Filter  # on use

    stored = store.count(Filter(account=wanted.account)) if wanted.is_bounded else 0
    if stored is not None and stored <= MOST_SEARCHED:
        return False
    say(f"note: only the newest {MOST_SEARCHED} messages were searched: --all searches all")
    return True


def takes_selection(
    *, ids: bool = True, but: Sequence[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a command take the options that select, as its argument *selection*.

    ids: it takes ids, too.  but: the names of fields for which it has options of its own.
    """
    options = {**({"ids": (Ids, None)} if ids else {}), **_OPTIONS}
    taken = {name: option for name, option in options.items() if name not in but}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**values: Any) -> None:
            chosen = {name: values.pop(name) for name in taken}
            selection = NOTHING._replace(**{**chosen, "ids": tuple(chosen.get("ids") or ())})
            command(selection=selection, **values)

        own = inspect.signature(command)
        parameters = [one for one in own.parameters.values() if one.name != "selection"]
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        mine = [inspect.Parameter(name, kind, default=default, annotation=annotation)
                for name, (annotation, default) in taken.items()]  # fmt: skip
        every = [*parameters[:1], *mine, *parameters[1:]]
        run.__signature__ = own.replace(parameters=every)  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in every} | {"return": None}
        return run

    return decorate


def _of_cause(store: "Store", number: int) -> Any:
    """Return the failures of a cause by the number that ``status`` shows, and say which it is.  Raises NotFound."""
    from prx_email_cli.checks.causes import grouped  # on use

    groups = grouped(store.failures())
    if number > len(groups):
        raise NotFound(f"there is no cause {number}", hint="prx-email status shows the causes with their numbers")
    cause, failures = groups[number - 1]
    what = "given up" if cause.gave_up else "waiting"
    say(f"cause {number}: {cause.many} {what} on {safe(cause.account)}: {safe(cause.example)}")
    return tuple(failures)


def _as_stored(pattern: str | None) -> str | None:
    """Write the domain at the end of a pattern of addresses as addresses are stored, in punycode; wildcards stay."""
    if pattern is None or pattern.isascii() or "@" not in pattern:
        return pattern
    import idna  # on use

    local, _, domain = pattern.rpartition("@")
    try:
        labels = [label if label.isascii() else idna.encode(label, uts46=True).decode() for label in domain.split(".")]
    except idna.IDNAError:  # a wildcard in such a label, for example
        return pattern
    return f"{local}@{'.'.join(labels)}"


def moment_meant(text: str | None, option: str, now: int) -> int | None:
    """Read a time, or how long ago it was.  Raises ValidationError."""
    if text is None:
        return None
    if _DURATION.fullmatch(text):
        return now - duration_seconds(text, option)
    try:
        return unix_time(text, option)
    except ValidationError as error:
        error.hint += "; or 2h for two hours ago"
        raise
