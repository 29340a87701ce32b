"""The messages in files, Maildirs and pipes named on the command line, and a bar that shows how far it is."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prx_email_cli.cli.inputs import open_input
from prx_email_cli.errors import InputNotFound, ValidationError
from prx_email_cli.mail.mbox import is_maildir, maildir_files, messages_in
from prx_email_cli.mail.received import KnownMessage, known_message


def messages_of(name: str) -> Iterator[tuple[str, bytes]]:
    """Each message in *name* (a message, an mbox, a Maildir, - for stdin) with a word on where it was.

    Raises InputNotFound, also for a directory that is no Maildir.
    """
    path = Path(name)
    if name != "-" and path.is_dir():
        if not is_maildir(path):
            raise InputNotFound(f"{name} is a directory, but no Maildir", hint="a Maildir has cur, new and tmp in it")
        for file in maildir_files(path):
            for data in _messages_in(str(file)):
                yield str(file), data
        return
    for number, data in enumerate(_messages_in(name), 1):
        yield f"{'stdin' if name == '-' else name}: message {number}", data


def only_message(name: str) -> KnownMessage:
    """The one message in *name*, - for stdin.  Raises InputNotFound, ValidationError."""
    found = [data for _, data in zip(range(2), messages_of(name), strict=False)]
    if len(found) != 1:
        raise ValidationError(
            f"{name} holds {'no message' if not found else 'more than one message'}",
            hint="give one message; prx-email import takes many",
        )
    return known_message(found[0][1])


def _messages_in(name: str) -> Iterator[bytes]:
    with open_input(name) as stream:
        try:
            yield from messages_in(stream)
        except OSError as error:
            raise InputNotFound(f"cannot read {name}: {error.strerror}", hint="check the file and its disk") from None


def total_bytes(names: list[str]) -> int | None:
    """Size of all files together, None when one of them is no regular file."""
    paths = [Path(name) for name in names]
    return sum(path.stat().st_size for path in paths) if all(path.is_file() for path in paths) else None


@contextmanager
def import_bar(total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr with count and rate; gives a function to be called with the size of each message read."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("importing"), BarColumn(), TextColumn("{task.fields[count]} messages"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("importing", total=total, count=0)
        count = 0

        def advance(size: int) -> None:
            nonlocal count
            count += 1
            bar.update(task, advance=size, count=count)

        yield advance
