"""Progress bars on stderr, for a drain, an import and a batch on a terminal."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from prx_email_cli.cli.output import on_terminal


class _Rate(ProgressColumn):
    """Messages per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.finished_speed or task.speed or 0:.0f}/s")


@contextmanager
def delivery_bar(total: int) -> Iterator[Callable[[], None]]:
    """Show the bar, and give a function that any thread calls after an attempt."""
    columns = (TextColumn("delivering"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("delivering", total=total)
        yield lambda: bar.advance(task)


@contextmanager
def import_bar(files: list[str]) -> Iterator[Callable[[int], None]]:
    """Show the bar, and give a function to call with the size of each message read."""
    paths = [Path(name) for name in files]
    total = sum(path.stat().st_size for path in paths) if all(path.is_file() for path in paths) else None
    columns = (TextColumn("importing"), BarColumn(), TextColumn("{task.fields[count]} messages"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("importing", total=total, count=0)
        count = 0

        def advance(size: int) -> None:
            nonlocal count
            count += 1
            bar.update(task, advance=size, count=count)

        yield advance


@contextmanager
def batch_bar(total: int | None) -> Iterator[Callable[[int, int | None], None]]:
    """Show the bar, and give a function to call with the number of further messages and the bytes read so far.

    total: the bytes to read, None when that is not known.
    """
    columns = (TextColumn("composing"), BarColumn(), TextColumn("{task.fields[count]} messages"), TimeRemainingColumn())
    beside = on_terminal(sys.stdout)  # ids that go elsewhere must not be drawn above the bar
    with Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=beside) as bar:
        task = bar.add_task("composing", total=total, count=0)
        done = 0

        def advance(count: int, position: int | None) -> None:
            nonlocal done
            done += count
            bar.update(task, completed=position or 0, count=done)

        yield advance


@contextmanager
def change_bar(verb: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show the bar, and give a function to call with the number of messages done."""
    columns = (TextColumn(verb), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(verb, total=total)
        yield lambda done: bar.advance(task, done)


@contextmanager
def copy_line() -> Iterator[Callable[[str, int], None]]:
    """Show a line, and give a function to call with what is being done and how many further rows of that are done."""
    columns = (TextColumn("{task.description}"), TextColumn("{task.completed:,.0f} rows"), _Rate())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("copying", total=None)
        doing = ""

        def tell(now: str, rows: int) -> None:
            nonlocal doing
            if now != doing:
                doing = now
                bar.reset(task, total=None, description=now)
            bar.advance(task, rows)

        yield tell
