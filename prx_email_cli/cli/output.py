"""Print data on stdout and messages on stderr; a stream that cannot be written stops no work."""

import errno
import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

from prx_email_cli.cli.outlet import PATIENCE_SECONDS, DataOutlet, TalkOutlet
from prx_email_cli.cli.render import error_object, masked, safe, safe_lines
from prx_email_cli.errors import Exit, PrxEmailError

if TYPE_CHECKING:
    from prx_email_cli.checks.check import Check

_MARKS = {"ok": "ok", "warning": "WARN", "failed": "FAIL"}
_NUMBERS = ("id", "retries")  # columns that are aligned to the right


class _State:
    done: str | None = None
    places: list[Callable[[str], bool]] = []  # noqa: RUF012 - there is one state


def on_terminal(stream: Any) -> bool:
    """Tell whether *stream* is a terminal; one that was closed, which is None, is not."""
    return stream is not None and bool(stream.isatty())


def say(text: str) -> None:
    """Print one line on stderr."""
    _write(sys.stderr, text)


def put(text: str) -> None:
    """Print one line on stdout."""
    _write(sys.stdout, text)


def put_bytes(pieces: Iterable[bytes]) -> None:
    """Print a message's bytes on stdout as they are; on a terminal, as lines that are safe to look at."""
    stream = sys.stdout
    if isinstance(stream, DataOutlet) and not on_terminal(stream):
        for piece in pieces:
            stream.write_bytes(piece)
        return
    text = b"".join(pieces).decode("utf-8", "backslashreplace")
    put(safe_lines(text.replace("\r\n", "\n").rstrip("\n")))


def put_at_once(text: str) -> bool:
    """Print one line on stdout at once; False when that failed."""
    put(text)
    return is_read()


def is_read() -> bool:
    """Write what was printed on stdout now; False when that failed."""
    return not _is_lost()


def _write(stream: TextIO | None, text: str) -> None:
    if stream is not None:
        with suppress(OSError, ValueError):  # of a stream that is not ours
            stream.write(text + "\n")


def work_is_done(what: str) -> None:
    """Note that the work is done, so that an answer which cannot be written is no failure.

    what: the result in a few words, for the warning then.
    """
    _State.done = what


def wait_for_no_reader() -> None:
    """Wait only a few seconds for a reader of stdout from now on."""
    if isinstance(sys.stdout, DataOutlet):
        sys.stdout.wait_at_most(PATIENCE_SECONDS)


def tell_losses(place: Callable[[str], bool]) -> None:
    """Register a *place* where to report, once, that stderr could not be written.

    It returns False when it failed, and then the next one is tried.
    """
    _State.places.append(place)


def finish(status: int) -> int:
    """Write the rest of both streams, and return the exit status.

    It is *status*, or 74 for a success without work done whose answer could not be written.
    """
    data, talk = sys.stdout, sys.stderr
    if isinstance(data, DataOutlet):
        data.finish()
        if data.lost_lines:
            status = _without_answer(status, data)
    if isinstance(talk, TalkOutlet):
        talk.finish()
        if talk.lost_lines:
            lines = "1 line" if talk.lost_lines == 1 else f"{talk.lost_lines} lines"
            _tell_elsewhere(f"warning: {lines} could not be written: {talk.why()}")
            if isinstance(data, DataOutlet):
                data.finish()
    return status


def _without_answer(status: int, data: DataOutlet) -> int:
    if _State.done is not None:
        say(f"warning: {_State.done}, but {data.why()}")
        return status
    if data.trouble is None or data.trouble.errno != errno.EPIPE:  # a reader like head closes the pipe on purpose
        say(f"{'warning' if status else 'error'}: {data.why()}")
    return status or Exit.STORAGE


def _tell_elsewhere(text: str) -> None:
    any(place(text) for place in _State.places)


def put_json(data: Any, error: dict[str, str] | None = None, **beside: Any) -> None:
    """Print an answer as one JSON object, whose ``ok`` is true without *error*; *beside*: other members of it."""
    import json  # on use

    put(json.dumps({"ok": error is None, "data": data, "error": error, **beside}, ensure_ascii=True))
    if error is not None and _is_lost():
        say_error(error["message"], error["hint"])


def _is_lost() -> bool:
    """Write stdout now; True when that fails."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    return isinstance(sys.stdout, DataOutlet) and bool(sys.stdout.lost_lines)


def put_beside_stderr(text: str) -> bool:
    """Print *text* on stdout; False if that fails, or if stdout is the same file as stderr."""
    try:
        if os.path.sameopenfile(1, 2):
            return False
    except OSError:
        return False
    return put_at_once(text)


def report_error(error: PrxEmailError, *, as_json: bool, data: Any = None) -> None:
    """Print an error that ends the command."""
    message, hint = masked(error.message), masked(error.hint)
    if as_json:
        put_json(data, error_object(error.code, message, hint))
        return
    say_error(message, hint)


def say_error(message: str, hint: str, tell: Callable[[str], None] = say) -> None:
    """Print an error and its hint, if it has one, by *tell*."""
    tell(f"error: {safe(message)}")
    if hint:
        tell(f"hint: {safe(hint)}")


def put_tabbed(lines: list[dict[str, str]]) -> None:
    """Print tab-separated columns under one header line."""
    put("\t".join(lines[0]))
    for line in lines:
        put("\t".join(safe(value) for value in line.values()))


def put_table(lines: list[dict[str, str]]) -> None:
    """Print a table on a terminal; elsewhere tab-separated columns under one header line."""
    if not on_terminal(sys.stdout):
        put_tabbed(lines)
        return
    from rich.console import Console  # on use
    from rich.table import Table  # on use
    from rich.text import Text  # on use

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in lines[0]:
        table.add_column(name, justify="right" if name in _NUMBERS else "left", overflow="fold")
    for line in lines:
        table.add_row(*(Text(safe(value)) for value in line.values()))
    Console().print(table)


def put_check(check: "Check", *, brief: bool = False) -> None:
    """Print a check's result, detail and fix; with *brief* its result alone."""
    from prx_email_cli.cli.colour import Tone, painted  # on use

    tones = {"ok": Tone.GOOD, "warning": Tone.WAITS, "failed": Tone.BAD}
    mark = painted(f"{_MARKS[check.result]:<5}", tones[check.result])
    if brief:
        put(f"  {mark} {check.name}")
        return
    put(f"  {mark} {check.name:<18} {safe(masked(check.detail))}")
    if check.fix:
        put(f"  {'':<5} {'':<18} fix: {safe(masked(check.fix))}")
