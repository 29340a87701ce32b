"""``prx-email send --batch`` and ``--merge``: many messages from one file, a thousand to a transaction."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from prx_email_cli.cli.batch_lines import Entry, JsonLines, Source
from prx_email_cli.cli.batch_report import Report
from prx_email_cli.cli.context import Invocation
from prx_email_cli.cli.inputs import open_input
from prx_email_cli.cli.output import on_terminal, say
from prx_email_cli.cli.times import Times, schedule_of
from prx_email_cli.config.settings import Settings
from prx_email_cli.errors import StorageError, as_ours
from prx_email_cli.outbox.hashing import expect_much
from prx_email_cli.outbox.messages import Content, NewMessage
from prx_email_cli.submission.caller import caller
from prx_email_cli.submission.request import Request
from prx_email_cli.submission.spool import MEMORY_BYTES, Spool
from prx_email_cli.submission.submit import prepare

if TYPE_CHECKING:
    from prx_email_cli.cli.rejected import RejectedLines
    from prx_email_cli.outbox.store import Store

LINES_PER_TRANSACTION = 1000
BYTES_AT_ONCE = 8 * 1024 * 1024  # of contents, where attachments make the messages long


class Asked(NamedTuple):
    """What the command line asks for: the batch's file, defaults for all lines, and the options of these names.

    reads: makes the source of the messages from the open file.
    """

    file: str
    defaults: Request
    check: bool = False
    atomic: bool = False
    key_from: str | None = None
    rejected: str | None = None
    first: int | None = None
    reads: Callable[[BinaryIO, Settings], Source] = JsonLines


class _Chunk(NamedTuple):
    """Good lines, by number, and their messages; with --rejected also as they were."""

    lines: list[int]
    messages: list[NewMessage]
    raw: list[bytes]


class _Batch:
    """What the lines of one batch have in common."""

    def __init__(self, this: Invocation, asked: Asked, settings: Settings, opened: ExitStack) -> None:
        """Check the options and open the files.  Raises errors that are no line's."""
        self.asked, self.settings = asked, settings
        self.clock, self.caller = this.clock(settings, asked.defaults.now_ts), caller(this.enqueues_by)
        self.complete = self._completion()
        self.stream = opened.enter_context(open_input(asked.file))
        self.source = asked.reads(self.stream, settings)
        self.keyed = self._keying()
        self.report = Report(self.source.unit, as_json=this.json, check=asked.check, atomic=asked.atomic)
        self.preview = this.preview
        self.rejected: RejectedLines | None = None
        if asked.rejected is not None:
            from prx_email_cli.cli.rejected import RejectedLines  # on use

            kept = RejectedLines(asked.rejected, self.stream, self.source.heading, self.source.line_end)
            self.rejected = opened.enter_context(kept)
        self.spool = opened.enter_context(Spool(0 if asked.atomic and not asked.check else MEMORY_BYTES))
        self._this, self._opened = this, opened
        self._advance: Callable[[int, int | None], None] | None = None
        self._store: Store | None = None if asked.check else self._open_store()

    @property
    def store(self) -> Store:
        """The outbox, opened when it is first needed."""
        if self._store is None:
            self._store = self._open_store()
        return self._store

    def _open_store(self) -> Store:
        return self._opened.enter_context(self._this.store(self.settings))

    def _completion(self) -> Callable[[Request], Request] | None:
        """Make the function that completes each request; None when there is nothing to add."""
        defaults = self.asked.defaults
        if defaults == Request(typed=True):
            return None
        from prx_email_cli.submission.defaults import check_defaults, completion  # on use

        check_defaults(defaults)
        if defaults.has_times:
            Times(defaults.at, defaults.within, defaults.expires_in).resolve(self.clock())
        return completion(defaults._replace(now_ts=None, failure_mode=None))

    def _keying(self) -> Callable[[Request, Mapping[str, str]], Request] | None:
        """Make the function that gives each request its key; None without --key-from."""
        if self.asked.key_from is None:
            return None
        from prx_email_cli.submission.keys import KeyTemplate  # on use

        return KeyTemplate(self.asked.key_from, self.settings, self.source.columns).keyed

    def entries(self) -> Iterator[Entry]:
        """Yield what is to be composed: each message of the file, or the first ones."""
        skipped = None if self.rejected is None else self.rejected.write
        return islice(self.source.entries(keep=self.rejected is not None, skipped=skipped), self.asked.first)

    def compose(self, entry: Entry) -> NewMessage:
        """Compose the message of *entry*, and note who enqueues it.

        Raises ValidationError and other errors of this line, and StorageError of the outbox.
        """
        request = entry.request()
        if self.complete is not None:
            request = self.complete(request)
        if self.keyed is not None:
            request = self.keyed(request, entry.cells)
        schedule = schedule_of(request, self.clock())
        if request.in_reply_to_message_id is None:
            return prepare(request, self.settings, schedule, self.spool)._replace(caller=self.caller)
        from prx_email_cli.submission.reply import answer_known  # on use

        request, reply = answer_known(self.store, request, self.settings)
        return prepare(request, self.settings, schedule, self.spool, reply)._replace(caller=self.caller)

    def warn_undrained(self) -> None:
        """Say, if messages were to be stored, that messages are due and nothing drains."""
        if not self.asked.check and not self._this.json and self._store is not None:
            from prx_email_cli.cli.undrained import warn_undrained  # on use

            warn_undrained(self._this, self._store, self.clock())

    def show_progress(self, count: int) -> None:
        """Show on a terminal that so many more messages of a long batch are done, and how far its file is read."""
        if not on_terminal(sys.stderr):
            return
        regular = stat.S_ISREG(os.fstat(self.stream.fileno()).st_mode)
        if self._advance is None:
            from prx_email_cli.cli.progress import batch_bar  # on use

            total = os.fstat(self.stream.fileno()).st_size if regular else None
            self._advance = self._opened.enter_context(batch_bar(total))
        self._advance(count, self.stream.tell() if regular else None)

    def refuse(self, number: int, error: Exception, line: bytes | None) -> None:
        """Report this line as refused, and keep it as it was if that is asked for."""
        self.report.refuse(number, as_ours(error))
        if self.rejected is not None and line is not None:
            self.rejected.add(line)


def send_batch(this: Invocation, asked: Asked) -> None:
    """Enqueue every good line; report every bad one with its number.

    A second thread for storing would gain nothing: it takes Python's lock at every row.
    """
    settings = this.settings()
    if asked.defaults.account is not None:
        settings.account(asked.defaults.account)
    if asked.defaults.failure_mode is not None:
        say("note: a batch attempts nothing, so --failure-mode has no effect here")
    if this.preview:
        asked = asked._replace(check=True)
    broken = None
    expect_much()
    with ExitStack() as opened:
        batch = _Batch(this, asked, settings, opened)
        try:
            if asked.check or asked.atomic:
                _judge_together(batch)
            else:
                _store_in_chunks(batch)
        except StorageError as error:
            broken = error
        unwritten = batch.rejected.close() if batch.rejected is not None else None
        batch.warn_undrained()
    batch.report.finish(broken or unwritten)


def _store_in_chunks(batch: _Batch) -> None:
    for chunk in _chunks(batch):
        submitted = batch.store.submit(chunk.messages)
        batch.report.acknowledge(chunk.lines, submitted)
        if batch.rejected is not None:
            for line, result in zip(chunk.raw, submitted, strict=True):
                if result.error is not None:
                    batch.rejected.add(line)
        batch.spool.clear()


def _judge_together(batch: _Batch) -> None:
    """Read all lines, and then store all of them, or none if one is refused or with --check.

    Once it is clear that nothing will be stored, only what has an idempotency key is kept: that may be another's.
    """
    kept = _Chunk([], [], [])
    raws: list[Content] = []
    with Spool(0) as spool:
        for chunk in _chunks(batch):
            if batch.preview:
                batch.report.preview(chunk.lines, chunk.messages)
            hopeless = batch.asked.check or batch.report.refused > 0
            for at, (number, message) in enumerate(zip(chunk.lines, chunk.messages, strict=True)):
                if hopeless and message.idempotency_key is None:
                    batch.report.accept(1)
                    continue
                kept.lines.append(number)
                kept.messages.append(message._replace(content=_NO_CONTENT) if hopeless else message)
                if chunk.raw:
                    raws.append(spool.hold([chunk.raw[at]]))
            if batch.asked.check:
                batch.spool.clear()
        rehearsal = batch.asked.check or batch.report.refused > 0
        answers = batch.store.submit_together(kept.messages, rehearsal=rehearsal) if kept.messages else []
        if not rehearsal and all(answer.error is None for answer in answers):
            batch.report.acknowledge(kept.lines, answers)
            return
        for at, answer in enumerate(answers):
            if answer.error is None:
                batch.report.accept(1, duplicates=int(answer.duplicate))
            else:
                batch.refuse(kept.lines[at], answer.error, b"".join(raws[at].pieces) if raws else None)


_NO_CONTENT = Content.of(b"")


def _chunks(batch: _Batch) -> Iterator[_Chunk]:
    chunk = _Chunk([], [], [])
    size = 0
    for entry in batch.entries():
        try:
            message = batch.compose(entry)
        except StorageError:
            yield chunk  # the lines before it are stored all the same
            raise
        except Exception as error:  # noqa: BLE001 - no error of one line stops the others
            batch.refuse(entry.number, error, entry.raw)
            continue
        chunk.lines.append(entry.number)
        chunk.messages.append(message)
        size += message.content.size_bytes
        if entry.raw is not None:
            chunk.raw.append(entry.raw)
            size += len(entry.raw)
        if len(chunk.lines) == LINES_PER_TRANSACTION or size > BYTES_AT_ONCE:
            yield chunk
            batch.show_progress(len(chunk.lines))
            chunk, size = _Chunk([], [], []), 0
    yield chunk
