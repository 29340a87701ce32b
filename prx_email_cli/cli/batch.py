"""``prx-email send --batch``: one JSON request a line, a thousand to a transaction."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from prx_email_cli.cli.batch_report import NotJson, Report
from prx_email_cli.cli.context import Invocation
from prx_email_cli.cli.inputs import open_input
from prx_email_cli.cli.output import say
from prx_email_cli.cli.times import Times, clock, schedule_of
from prx_email_cli.config.settings import Settings
from prx_email_cli.errors import StorageError, ValidationError, as_ours
from prx_email_cli.outbox.messages import Content, NewMessage
from prx_email_cli.submission.request import Request, read_json, request_from_json
from prx_email_cli.submission.spool import MEMORY_BYTES, Spool
from prx_email_cli.submission.submit import prepare

if TYPE_CHECKING:
    from prx_email_cli.cli.rejected import RejectedLines
    from prx_email_cli.outbox.store import Store

LINES_PER_TRANSACTION = 1000
_PASSED_AT_ONCE, MOST_PASSED_BYTES = 1 << 20, 1 << 30
BYTES_AT_ONCE = 8 * 1024 * 1024  # of contents, where attachments make the messages long


class Asked(NamedTuple):
    """What the command line asks for: the batch's file, defaults for all lines, and the options of these names."""

    file: str
    defaults: Request
    check: bool = False
    atomic: bool = False
    key_from: str | None = None
    rejected: str | None = None


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
        self.clock = clock(asked.defaults.now_ts)
        self.complete = self._completion()
        self.stream = opened.enter_context(open_input(asked.file))
        self.report = Report(as_json=this.json, check=asked.check, atomic=asked.atomic)
        self.preview = this.preview
        self.rejected: RejectedLines | None = None
        if asked.rejected is not None:
            from prx_email_cli.cli.rejected import RejectedLines  # on use

            self.rejected = opened.enter_context(RejectedLines(asked.rejected, self.stream))
        self.spool = opened.enter_context(Spool(0 if asked.atomic and not asked.check else MEMORY_BYTES))
        self._this, self._opened = this, opened
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
        if defaults == Request(typed=True) and self.asked.key_from is None:
            return None
        from prx_email_cli.submission.defaults import check_defaults, completion  # on use

        check_defaults(defaults)
        if defaults.has_times:
            Times(defaults.at, defaults.within, defaults.expires_in).resolve(self.clock())
        filled = completion(defaults._replace(now_ts=None, failure_mode=None))
        if self.asked.key_from is None:
            return filled
        from prx_email_cli.submission.keys import KeyTemplate  # on use

        template = KeyTemplate(self.asked.key_from, self.settings)
        return template.keyed if filled is None else lambda request: template.keyed(filled(request))

    def compose(self, only_copy: list[bytes]) -> NewMessage:
        """Compose the message of the one line in *only_copy*, and take the line out of it.

        Raises ValidationError and other errors of this line, and StorageError of the outbox.
        """
        try:
            line = only_copy.pop().decode()
            document = read_json(line)
        except (ValueError, RecursionError) as error:
            raise NotJson(
                f"not JSON: {error}", hint="each line must be one JSON object; jq -c makes such lines"
            ) from None
        del line
        request = request_from_json(document)
        if self.complete is not None:
            request = self.complete(request)
        schedule = schedule_of(request, self.clock())
        if request.in_reply_to_message_id is None:
            return prepare(request, self.settings, schedule, self.spool)
        from prx_email_cli.submission.reply import answer_known  # on use

        request, reply = answer_known(self.store, request, self.settings)
        return prepare(request, self.settings, schedule, self.spool, reply)

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
        say("note: --batch attempts nothing, so --failure-mode has no effect here")
    if this.preview:
        asked = asked._replace(check=True)
    broken = None
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


def _longest_line(settings: Settings) -> int:
    """Compute the most bytes that a line with one message has, each character escaped by JSON."""
    return 2 * settings.attachments.policy.max_message_bytes + (1 << 20)


def _lines(stream: BinaryIO, longest: int, skipped: Callable[[bytes], None] | None) -> Iterator[list[bytes]]:
    """Yield each line of *stream* in a list of its own, from which the caller takes it.

    The list is empty for a line over *longest* bytes, which is given to *skipped* piece by piece; one over
    MOST_PASSED_BYTES is the last.
    """
    while line := stream.readline(longest + 1):
        held = [line]
        fits = len(line) <= longest
        del line  # a long one is kept once, in the list
        if fits:
            yield held
            continue
        if skipped is not None:
            skipped(held[0])
        held.clear()
        passed, rest = 0, b""
        while not rest.endswith(b"\n") and passed < MOST_PASSED_BYTES and (rest := stream.readline(_PASSED_AT_ONCE)):
            passed += len(rest)
            if skipped is not None:
                skipped(rest)
        if skipped is not None and not rest.endswith(b"\n"):
            skipped(b"\n")
        yield held
        if passed >= MOST_PASSED_BYTES:
            return


def _chunks(batch: _Batch) -> Iterator[_Chunk]:
    chunk = _Chunk([], [], [])
    number = size = 0
    keeps_lines = batch.rejected is not None
    skipped = None if batch.rejected is None else batch.rejected.write
    for held in _lines(batch.stream, _longest_line(batch.settings), skipped):
        number += 1
        if not held:
            batch.refuse(number, _too_long(), None)
            continue
        line = held.pop()
        if line.isspace():
            continue
        as_it_was = line if keeps_lines else None
        if number == 1:
            line = line.removeprefix(BOM_UTF8)
        only_copy = [line]  # so that a long line is freed while it is parsed
        del line
        try:
            message = batch.compose(only_copy)
        except StorageError:
            yield chunk  # the lines before it are stored all the same
            raise
        except Exception as error:  # noqa: BLE001 - no error of one line stops the others
            batch.refuse(number, error, as_it_was)
            continue
        chunk.lines.append(number)
        chunk.messages.append(message)
        size += message.content.size_bytes
        if as_it_was is not None:
            chunk.raw.append(as_it_was)
            size += len(as_it_was)
        if len(chunk.lines) == LINES_PER_TRANSACTION or size > BYTES_AT_ONCE:
            yield chunk
            chunk, size = _Chunk([], [], []), 0
    yield chunk


def _too_long() -> ValidationError:
    return ValidationError(
        "the line is longer than the longest message allowed", hint="put each request on a line of its own"
    )
