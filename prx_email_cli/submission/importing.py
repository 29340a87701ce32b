"""Import messages from files, mboxes, Maildirs and pipes, so that they can be answered."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from prx_email_cli.errors import InputNotFound, PrxEmailError, ValidationError
from prx_email_cli.mail.mbox import is_maildir, maildir_files, messages_in
from prx_email_cli.mail.received import KnownMessage, known_message

if TYPE_CHECKING:
    from prx_email_cli.outbox.store import Store

MESSAGES_PER_TRANSACTION = 1000

Opener = Callable[[str], BinaryIO]


class Watcher:
    """Hears how an import gets on; this one ignores it."""

    def read(self, size: int) -> None:
        """Note that a message of *size* bytes was read."""

    def skipped(self, where: str, reason: str) -> None:
        """Note that the message at *where* cannot be imported."""


class Import:
    """One import into *account*'s known messages, and what has come of it so far.

    unread: errors of inputs that could not be read to their end.
    """

    def __init__(self, account: str, clock: Callable[[], int], watcher: Watcher) -> None:
        self.imported = self.known_already = self.skipped = 0
        self.unread: list[PrxEmailError] = []
        self._account, self._clock, self._watcher = account, clock, watcher

    def take(self, store: "Store", inputs: list[str], opener: Opener) -> None:
        """Learn each usable message of *inputs*, a thousand to a transaction; while one is written the next is read.

        opener: opens an input for reading.  Raises StorageError.
        """
        messages = self._messages(inputs, opener)
        with ThreadPoolExecutor(1) as writer:
            writing: tuple[int, Future[int]] | None = None
            while True:
                batch = list(islice(messages, MESSAGES_PER_TRANSACTION))
                if writing is not None:
                    self._count(writing[0], writing[1].result())
                if not batch:
                    return
                writing = len(batch), writer.submit(store.learn, self._account, batch, self._clock())

    def _count(self, learned: int, new: int) -> None:
        self.imported += new
        self.known_already += learned - new

    def _messages(self, inputs: list[str], opener: Opener) -> Iterator[KnownMessage]:
        """Read what can be learned; the rest is told to the watcher and stops nothing."""
        for name in inputs:
            try:
                for where, data in messages_of(name, opener):
                    self._watcher.read(len(data))
                    try:
                        yield known_message(data)
                    except ValidationError as error:
                        self._skip(where, error.message)
                    except Exception as error:  # noqa: BLE001 - one message never keeps the others from being learned
                        self._skip(where, f"it cannot be understood ({type(error).__name__})")
            except InputNotFound as error:
                self.unread.append(error)

    def _skip(self, where: str, reason: str) -> None:
        self.skipped += 1
        self._watcher.skipped(where, reason)


def messages_of(name: str, opener: Opener) -> Iterator[tuple[str, bytes]]:
    """Read each message in *name* (a message, an mbox, a Maildir, - for stdin), with a word on where it was.

    Raises InputNotFound, also for a directory that is no Maildir.
    """
    path = Path(name)
    if name != "-" and path.is_dir():
        if not is_maildir(path):
            raise InputNotFound(f"{name} is a directory, but no Maildir", hint="a Maildir has cur, new and tmp in it")
        for file in maildir_files(path):
            for data in _messages_in(str(file), opener):
                yield str(file), data
        return
    for number, data in enumerate(_messages_in(name, opener), 1):
        yield f"{'stdin' if name == '-' else name}: message {number}", data


def only_message(name: str, opener: Opener) -> KnownMessage:
    """Read the one message in *name*, - for stdin.  Raises InputNotFound, ValidationError."""
    found = [data for _, data in zip(range(2), messages_of(name, opener), strict=False)]
    if len(found) != 1:
        raise ValidationError(
            f"{'stdin' if name == '-' else name} holds {'no message' if not found else 'more than one message'}",
            hint="give one message; prx-email import takes many",
        )
    return known_message(found[0][1])


def _messages_in(name: str, opener: Opener) -> Iterator[bytes]:
    with opener(name) as stream:
        try:
            yield from messages_in(stream)
        except OSError as error:
            raise InputNotFound(f"cannot read {name}: {error.strerror}", hint="check the file and its disk") from None
