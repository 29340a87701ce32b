"""``prx-email send --batch``: one JSON request a line, a thousand to a transaction."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO

import typer

from prx_email_cli.cli.context import Invocation
from prx_email_cli.cli.inputs import open_input
from prx_email_cli.cli.output import put, put_json, report_error, say, work_is_done
from prx_email_cli.cli.render import error_object, masked, safe
from prx_email_cli.cli.times import clock
from prx_email_cli.config.settings import Settings
from prx_email_cli.errors import Exit, PrxEmailError, StorageError, ValidationError, as_ours
from prx_email_cli.outbox.messages import NewMessage, Schedule, Submitted
from prx_email_cli.submission.request import read_json, request_from_json
from prx_email_cli.submission.spool import Spool
from prx_email_cli.submission.submit import prepare

if TYPE_CHECKING:
    from prx_email_cli.outbox.store import Store

LINES_PER_TRANSACTION = 1000
_PASSED_AT_ONCE, MOST_PASSED_BYTES = 1 << 20, 1 << 30
BYTES_AT_ONCE = 8 * 1024 * 1024  # of contents, where attachments make the messages long


@dataclass
class _Report:
    """What has been acknowledged and refused so far, by line number."""

    as_json: bool
    messages: list[dict[str, Any]] = field(default_factory=list)
    errors: list[dict[str, Any]] = field(default_factory=list)
    enqueued: int = 0

    def acknowledge(self, lines: list[int], submitted: list[Submitted]) -> None:
        """Report the messages of these *lines* as stored, except the refused ones."""
        ids = []
        for line, result in zip(lines, submitted, strict=True):
            if result.error is not None:
                self.refuse(line, result.error)
                continue
            self.enqueued += not result.duplicate
            if self.as_json:
                self.messages.append({"line": line, "outbox_id": result.outbox_id, "duplicate": result.duplicate})
            else:
                ids.append(str(result.outbox_id))
        work_is_done(f"stored {self.enqueued} messages")
        if ids:
            put("\n".join(ids))

    def refuse(self, line: int, error: PrxEmailError) -> None:
        """Report that this line was refused."""
        message = masked(error.message)
        self.errors.append({"line": line, **error_object(error.code, message, error.hint)})
        if not self.as_json:
            say(f"line {line}: {safe(message)}" + (f" ({safe(error.hint)})" if error.hint else ""))

    def finish(self, broken: StorageError | None = None) -> None:
        """Print the totals.  Raises typer.Exit with the exit status of a failure.

        broken: the error of the outbox that ended the batch; what was acknowledged before it stays stored.
        """
        error = status = None
        if self.errors:
            error = error_object(
                "validation", f"lines refused: {len(self.errors)}", "data.errors says why, line by line"
            )
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


@dataclass(frozen=True)
class _Composer:
    """Composes the message of each line.  account: of the lines that name none."""

    store: Store
    settings: Settings
    account: str | None
    clock: Callable[[], int]
    spool: Spool

    def compose(self, only_copy: list[bytes]) -> NewMessage:
        """Compose the message of the one line in *only_copy*, and take the line out of it.

        Raises ValidationError and other errors of this line, and StorageError of the outbox.
        """
        try:
            line = only_copy.pop().decode()
            document = read_json(line)
        except (ValueError, RecursionError) as error:
            raise ValidationError(f"not JSON: {error}", hint="each line must be one JSON object") from None
        del line
        request = request_from_json(document)
        if request.account is None and self.account is not None:
            request = request._replace(account=self.account)
        schedule = Schedule.at_once(self.clock() if request.now_ts is None else request.now_ts)
        if request.in_reply_to_message_id is None:
            return prepare(request, self.settings, schedule, self.spool)
        from prx_email_cli.submission.reply import answer_known  # on use

        request, reply = answer_known(self.store, request, self.settings)
        return prepare(request, self.settings, schedule, self.spool, reply)


def send_batch(this: Invocation, name: str, account: str | None, now_ts: int | None, failure_mode: str | None) -> None:
    """Enqueue every good line; report every bad one with its number.

    A second thread for storing would gain nothing: it takes Python's lock at every row.
    """
    settings = this.settings()
    if account is not None:
        settings.account(account)
    report = _Report(this.json)
    if failure_mode is not None:
        say("note: --batch attempts nothing, so --failure-mode has no effect here")
    broken = None
    with open_input(name) as stream, this.store(settings) as store, Spool() as spool:
        composer = _Composer(store, settings, account, clock(now_ts), spool)
        try:
            for chunk in _chunks(_lines(stream, _longest_line(settings)), composer.compose, report):
                report.acknowledge(chunk.lines, store.submit(chunk.messages))
                spool.clear()
        except StorageError as error:
            broken = error
    report.finish(broken)


def _longest_line(settings: Settings) -> int:
    """Compute the most bytes that a line with one message has, each character escaped by JSON."""
    return 2 * settings.attachments.policy.max_message_bytes + (1 << 20)


def _lines(stream: BinaryIO, longest: int) -> Iterator[list[bytes]]:
    """Yield each line of *stream* in a list of its own, from which the caller takes it.

    The list is empty for a line over *longest* bytes, which is skipped; one over MOST_PASSED_BYTES is the last.
    """
    while line := stream.readline(longest + 1):
        held = [line]
        fits = len(line) <= longest
        del line  # a long one is kept once, in the list
        if fits:
            yield held
            continue
        held.clear()
        passed = 0
        while (rest := stream.readline(_PASSED_AT_ONCE)) and not rest.endswith(b"\n") and passed < MOST_PASSED_BYTES:
            passed += len(rest)
        yield held
        if passed >= MOST_PASSED_BYTES:
            return


def _chunks(
    lines: Iterator[list[bytes]], compose: Callable[[list[bytes]], NewMessage], report: _Report
) -> Iterator[_Chunk]:
    chunk = _Chunk([], [])
    number = size = 0
    for held in lines:
        number += 1
        if not held:
            too_long = ValidationError(
                "the line is longer than the longest message allowed", hint="put each request on a line of its own"
            )
            report.refuse(number, too_long)
            continue
        line = held.pop()
        if line.isspace():
            continue
        if number == 1:
            line = line.removeprefix(BOM_UTF8)
        only_copy = [line]  # so that a long line is freed while it is parsed
        del line
        try:
            message = compose(only_copy)
        except StorageError:
            yield chunk  # the lines before it are stored all the same
            raise
        except Exception as error:  # noqa: BLE001 - no error of one line stops the others
            report.refuse(number, as_ours(error))
            continue
        chunk.lines.append(number)
        chunk.messages.append(message)
        size += message.content.size_bytes
        if len(chunk.lines) == LINES_PER_TRANSACTION or size > BYTES_AT_ONCE:
            yield chunk
            chunk, size = _Chunk([], []), 0
    yield chunk
