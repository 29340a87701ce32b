"""``prx-email top``: a live view of accounts, runs and what happens."""

import os
import select
import sys
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from prx_email_cli.cli.columns import terminal_width
from prx_email_cli.cli.context import invocation
from prx_email_cli.cli.options import Json, NowTs
from prx_email_cli.cli.output import is_read, on_terminal, put_json
from prx_email_cli.cli.render import safe
from prx_email_cli.cli.standing import this_person
from prx_email_cli.cli.top_frame import MOST_IN_HAND, MOST_LATEST, Line, Look, frame, look_object
from prx_email_cli.errors import PrxEmailError, ValidationError
from prx_email_cli.outbox.accounts import EVERY_ACCOUNT, AccountState
from prx_email_cli.outbox.history import Span

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console, RenderableType

    from prx_email_cli.config.settings import Settings
    from prx_email_cli.outbox.store import Store

EVERY_SECONDS, LEAST_SECONDS = 1.0, 0.3  # between two looks: where nothing changes, and where much does
_SHARE = 10  # a look may take one part in so many of the time
_HOUR_EVERY_SECONDS = 10
_PAUSES, _RESUMES = "p pauses all accounts   q quits", "p resumes all accounts   q quits"

app = typer.Typer(add_completion=False)


@app.command()
def top(
    ctx: typer.Context,
    once: Annotated[bool, typer.Option("--once", help="Print what would be shown, once; also where no terminal is.")]
    = False,
    now_ts: NowTs = None,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Watch accounts, runs and what they have in hand, and what happens.  Keys: p pauses all or resumes, q quits.

    --json prints what would be shown, once.
    Example: prx-email top
    """
    this = invocation(ctx)
    settings = this.settings()
    tick = this.clock(settings, now_ts)
    if not once and not this.json:
        _check_terminal()
    with this.store(settings) as store:
        viewer = _Viewer(store, settings, tick)
        if this.json:
            put_json(look_object(viewer.look()))
        elif once:
            _console(width=terminal_width()).print(_drawn(frame(viewer.look(), terminal_width())))
        else:
            _watch(store, viewer)


def _check_terminal() -> None:
    """Raise ValidationError where nothing can be shown live."""
    moves = os.environ.get("TERM", "dumb") not in ("dumb", "unknown")
    if not (moves and on_terminal(sys.stdout) and on_terminal(sys.stdin)):
        hint = "prx-email status tells how things are; prx-email top --once prints one frame"
        raise ValidationError("top needs a terminal that can move its cursor", hint=hint)


class _Viewer:
    """Looks at the outbox, and pauses or resumes."""

    def __init__(self, store: "Store", settings: "Settings", tick: "Callable[[], int]") -> None:
        self._store, self._settings, self._tick = store, settings, tick
        self._an_hour: dict[str, int] = {}
        self._hour_at = -_HOUR_EVERY_SECONDS

    def look(self) -> Look:
        """Look once."""
        store, now = self._store, self._tick()
        states, figures = store.account_states(), store.figures(now)
        if not 0 <= now - self._hour_at < _HOUR_EVERY_SECONDS:  # the count of an hour takes longer than all else
            self._an_hour, self._hour_at = store.delivered(now - 3600), now
        names = sorted({*self._settings.accounts, *figures, *(name for name in states if name != EVERY_ACCOUNT)})
        return Look(
            now, names, states, figures, store.delivered(now - 60), self._an_hour, store.living_runs(),
            store.in_hand(MOST_IN_HAND), store.log(Span(most=MOST_LATEST), now).entries,
        )  # fmt: skip

    def pause_or_resume(self) -> str:
        """Pause all accounts, or resume them if they are paused; say why that failed, "" if it did not."""
        now = self._tick()
        self._store.acting = this_person()
        try:
            everyone = self._store.account_states().get(EVERY_ACCOUNT)
            if everyone is not None and everyone.is_paused(now):
                self._store.resume(EVERY_ACCOUNT, now, alone=True)
            else:
                self._store.pause(AccountState(EVERY_ACCOUNT, paused_at=now, paused_by=self._store.acting))
        except PrxEmailError as error:
            return f"error: {safe(error.message)}"
        return ""


def _watch(store: "Store", viewer: _Viewer) -> None:
    """Show frames until q is pressed or the terminal is gone."""
    from rich.live import Live  # on use

    from prx_email_cli.cli.watching import changes  # on use

    console, trouble, seen_at, took = _console(), "", 0.0, 0.0
    with _keys() as keys, Live(console=console, screen=True, auto_refresh=False) as live:
        for _ in changes(store, EVERY_SECONDS, keys):
            pressed = _pressed(keys)
            if pressed is None or "q" in pressed.lower():
                return
            if "p" in pressed.lower():
                trouble = viewer.pause_or_resume()
            if not pressed and time.monotonic() < seen_at + max(LEAST_SECONDS, _SHARE * took):
                continue
            began = time.monotonic()
            look = viewer.look()
            keys_now = _RESUMES if look.everyone.is_paused(look.now) else _PAUSES
            live.update(_drawn(frame(look, console.width, console.height, trouble or keys_now)), refresh=True)
            seen_at = time.monotonic()
            took = seen_at - began
            if not is_read():
                return


def _drawn(lines: list[Line]) -> "RenderableType":
    from rich.text import Text  # on use

    return Text("\n", no_wrap=True, overflow="crop").join(Text(line.text, line.style) for line in lines)


def _console(**options: int) -> "Console":
    from rich.console import Console  # on use

    return Console(file=sys.stdout, highlight=False, **options)  # type: ignore[arg-type]


@contextmanager
def _keys() -> Iterator[int]:
    """Let keys be read one by one, without their echo, and give the terminal back as it was."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        now = termios.tcgetattr(descriptor)
        now[6][termios.VSUSP] = b"\0"  # stopped, it would leave the terminal to the shell as it is
        termios.tcsetattr(descriptor, termios.TCSADRAIN, now)
        yield descriptor
    finally:
        with suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _pressed(descriptor: int) -> str | None:
    """Read the keys that were pressed; None when the terminal is gone."""
    if not select.select([descriptor], [], [], 0)[0]:
        return ""
    try:
        data = os.read(descriptor, 1024)
    except OSError:
        return None
    return data.decode("utf-8", "replace") if data else None


apps = {"top": app}
