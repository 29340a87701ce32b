"""``prx-email send --batch``: one JSON request a line, a thousand to a transaction."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO

import typer

from prx_email_cli.cli.context import Invocation, clock
from prx_email_cli.cli.inputs import open_input
from prx_email_cli.cli.output import error_object, put, put_json, report_error, safe, say
from prx_email_cli.config.settings import Settings
from prx_email_cli.delivery.answering import request_submission
from prx_email_cli.errors import ConfigError, Exit, NotFound, PrxEmailError, StorageError, ValidationError
from prx_email_cli.mail.request import request_from_json
from prx_email_cli.outbox.model import NewMessage, Submitted
from prx_email_cli.outbox.sqlite import SqliteStore

LINES_PER_TRANSACTION = 1000
FILES_PER_TRANSACTION = 100  # attachments stay open until their message is stored


@dataclass
class _Report:
    """What has been acknowledged and refused so far, by line number."""

    as_json: bool
    messages: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    enqueued: int = 0

    def acknowledge(self, lines: list[int], submitted: list[Submitted]) -> None:
        """These are durable now, but for those that failed while they were stored."""
        for line, result in zip(lines, submitted, strict=True):
            if result.error is not None:
                self.refuse(line, result.error)
                continue
            self.enqueued += not result.duplicate
            if self.as_json:
                self.messages.append({"line": line, "outbox_id": result.outbox_id, "duplicate": result.duplicate})
            else:
                put(str(result.outbox_id))

    def refuse(self, line: int, error: PrxEmailError) -> None:
        """This line was not enqueued."""
        self.errors.append({"line": line, **error_object(error.code, error.message, error.hint)})
        if not self.as_json:
            say(f"line {line}: {safe(error.message)}" + (f" ({safe(error.hint)})" if error.hint else ""))

    def finish(self, broken: StorageError | None = None) -> None:
        """Tell the end, also when the outbox failed on the way: what was acknowledged until then stays so."""
        error = status = None
        if self.errors:
            error = error_object("validation", f"{len(self.errors)} lines were refused")
            status = Exit.REFUSED_INPUT
        if broken is not None:
            error = error_object(broken.code, broken.message, broken.hint)
            status = broken.exit_code
        if self.as_json:
            put_json(self._data(), error)
        elif broken is not None:
            report_error(broken, as_json=False)
        if status is not None:
            raise typer.Exit(status)

    def _data(self) -> dict[str, Any]:
        return {
            "enqueued": self.enqueued,
            "refused": len(self.errors),
            "messages": self.messages,
            "errors": self.errors,
        }


@dataclass(frozen=True)
class _Chunk:
    lines: list[int]
    messages: list[NewMessage]


def send_batch(this: Invocation, name: str, account: str | None, now_ts: int | None, failure_mode: str | None) -> None:
    """Enqueue every good line; report every bad one with its number.

    While one thousand is being written, the next is composed.
    """
    settings = this.settings()
    report = _Report(this.json)
    if failure_mode is not None:
        say("note: --batch attempts nothing, so --failure-mode has no effect here")
    broken = None
    with open_input(name) as stream, this.store(settings) as store:
        compose = partial(_message, store=store, settings=settings, account=account, tick=clock(now_ts))
        try:
            _enqueue_all(_chunks(stream, compose, report), store, report)
        except StorageError as error:
            broken = error
    report.finish(broken)


def _enqueue_all(chunks: Iterator[_Chunk], store: SqliteStore, report: _Report) -> None:
    """Write each chunk in a thread of its own while the next is composed; acknowledge it once it is durable."""
    with ThreadPoolExecutor(1) as writer:
        writing: tuple[_Chunk, Future[list[Submitted]]] | None = None
        try:
            for chunk in chunks:
                if writing is not None:
                    done, writing = writing, None
                    report.acknowledge(done[0].lines, done[1].result())
                writing = chunk, writer.submit(store.submit, chunk.messages)
        finally:
            if writing is not None:
                report.acknowledge(writing[0].lines, writing[1].result())


def _chunks(stream: BinaryIO, compose: Callable[[bytes], NewMessage], report: _Report) -> Iterator[_Chunk]:
    chunk = _Chunk([], [])
    open_files = 0
    for number, line in enumerate(stream, 1):
        if line.isspace():
            continue
        try:
            message = compose(line)
        except (ValidationError, ConfigError, NotFound) as error:
            report.refuse(number, error)
            continue
        chunk.lines.append(number)
        chunk.messages.append(message)
        open_files += message.may_fail
        if len(chunk.lines) == LINES_PER_TRANSACTION or open_files == FILES_PER_TRANSACTION:
            yield chunk
            chunk, open_files = _Chunk([], []), 0
    yield chunk


def _message(
    line: bytes, store: SqliteStore, settings: Settings, account: str | None, tick: Callable[[], int]
) -> NewMessage:
    try:
        document = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValidationError(f"not a line of JSON: {error}") from None
    request = request_from_json(document)
    if request.account is None:
        request = request._replace(account=account)
    return request_submission(store, request, settings, tick())
