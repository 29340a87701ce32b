"""Store what all connections accept: many messages to a commit, by one thread."""

import threading
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

from prx_email_cli.errors import OutboxAway, OutboxBusy, PrxEmailError, StorageError, as_ours
from prx_email_cli.outbox.messages import NewMessage
from prx_email_cli.outbox.open import open_store

if TYPE_CHECKING:
    from prx_email_cli.config.outbox import OutboxSettings
    from prx_email_cli.outbox.store import Store

MOST_MESSAGES, MOST_BYTES = 500, 64 << 20  # of one commit

Answer = list[int] | PrxEmailError


class Job(NamedTuple):
    """What one client sent: its messages (one, but for recipients with different wishes), and who wants the answer.

    Without messages it asks whether the clerk is alive.
    answer: takes the outbox ids, or an error, in the clerk's thread.
    """

    messages: list[NewMessage]
    answer: Callable[[Answer], None]


class Clerk:
    """A context manager: a thread with the outbox open.  Raises StorageError when it cannot be opened."""

    def __init__(self, outbox: "OutboxSettings", answered: Callable[[], None] = lambda: None) -> None:
        self._settings = outbox
        self._answered = answered
        self._store: Store = open_store(outbox)
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="clerk")

    def __enter__(self) -> "Clerk":
        self._thread.start()
        return self

    def __exit__(self, *details: object) -> None:
        self._jobs.put(None)
        self._thread.join()
        self._store.close()

    def now(self) -> float:
        """Return the time by the outbox's clock."""
        return self._store.clock()

    def put(self, job: Job) -> None:
        """Have *job* stored; its answer is called once that is durable or has failed."""
        self._jobs.put(job)

    def _work(self) -> None:
        while (first := self._jobs.get()) is not None:
            jobs, ended = self._waiting(first)
            for job, answer in zip(jobs, self._stored(jobs), strict=True):
                job.answer(answer)
            self._answered()
            if ended:
                return

    def _waiting(self, first: Job) -> tuple[list[Job], bool]:
        """Return *first* and the jobs that wait behind it, as many as go into a commit; whether it was the last."""
        jobs, size = [first], _size(first)
        while len(jobs) < MOST_MESSAGES and size < MOST_BYTES:
            try:
                job = self._jobs.get_nowait()
            except Empty:
                break
            if job is None:
                return jobs, True
            jobs.append(job)
            size += _size(job)
        return jobs, False

    def _stored(self, jobs: Sequence[Job]) -> list[Answer]:
        """Store the messages of *jobs* in one commit; one by one if that fails, so that none suffers from another."""
        try:
            return self._commit(jobs)
        except Exception as error:  # noqa: BLE001 - the clients must hear of it, and the clerk goes on
            known = as_ours(error)
            if len(jobs) == 1 or isinstance(known, OutboxBusy | OutboxAway):
                return [known for _ in jobs]
        return [self._stored([job])[0] for job in jobs]

    def _commit(self, jobs: Sequence[Job]) -> list[Answer]:
        self._follow()
        messages = [message for job in jobs for message in job.messages]
        submitted = iter(self._store.submit(messages) if messages else ())
        answers: list[Answer] = []
        for job in jobs:
            mine = [next(submitted) for _ in job.messages]
            error = next((one.error for one in mine if one.error is not None), None)
            answers.append(error or [one.outbox_id for one in mine])
        if self._store.replaced():
            raise _replaced()
        return answers

    def _follow(self) -> None:
        """Go on with the outbox that is at the path by now.  Raises StorageError while there is none."""
        if self._store.replaced():
            try:
                successor = open_store(self._settings, create=False)
            except PrxEmailError:
                raise _replaced() from None
            self._store.close()
            self._store = successor


def _replaced() -> StorageError:
    return StorageError("the outbox's file was removed or replaced", hint="the client will try again")


def _size(job: Job) -> int:
    return sum(message.content.size_bytes for message in job.messages)
