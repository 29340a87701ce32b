"""Report what became of the lines of a batch: ids on stdout, complaints and a summary on stderr, or one JSON object."""

from typing import Any, NamedTuple

import typer

from prx_email_cli.cli.output import put, put_json, report_error, say, work_is_done
from prx_email_cli.cli.render import error_object, masked, safe
from prx_email_cli.errors import Exit, PrxEmailError, StorageError, ValidationError
from prx_email_cli.outbox.messages import NewMessage, Submitted

MOST_LINES_SHOWN = 10
MOST_COMPLAINTS = 1000  # that are known again


class NotJson(ValidationError):
    """A line of a batch is no JSON."""


class Lines(NamedTuple):
    """Some numbers of lines, or of what *unit* names: the first of them, and how many there are."""

    first: list[int]
    total: int = 0
    unit: str = "line"

    def with_one(self, number: int) -> "Lines":
        """Return these and one more."""
        if self.total < MOST_LINES_SHOWN:
            self.first.append(number)
        return self._replace(total=self.total + 1)

    def __str__(self) -> str:
        if self.total == 1:
            return f"{self.unit} {self.first[0]}"
        more = self.total - len(self.first)
        return f"{self.unit}s {', '.join(map(str, self.first))}" + (f" and {more} more" if more else "")


class Report:
    """What has been acknowledged and refused so far, by number.

    unit: what is numbered, line or row.  check, atomic: the options of these names.
    """

    def __init__(self, unit: str = "line", *, as_json: bool, check: bool, atomic: bool) -> None:
        self._unit = unit
        self._as_json, self._check, self._atomic = as_json, check, atomic
        self._messages: list[dict[str, Any]] = []
        self._errors: list[dict[str, Any]] = []
        self._refused = Lines([], unit=unit)
        self._again: dict[tuple[str, str], tuple[int, Lines]] = {}  # by complaint: who had it first, and who else
        self._good = self._stored = self._duplicates = 0

    @property
    def refused(self) -> int:
        """How many lines are refused."""
        return self._refused.total

    def accept(self, count: int, *, duplicates: int = 0) -> None:
        """Report that so many lines are good, and not stored."""
        self._good += count
        self._duplicates += duplicates

    def acknowledge(self, lines: list[int], submitted: list[Submitted]) -> None:
        """Report the messages of these *lines* as stored, except the refused ones."""
        ids = []
        for line, result in zip(lines, submitted, strict=True):
            if result.error is not None:
                self.refuse(line, result.error)
                continue
            self._good += 1
            self._duplicates += result.duplicate
            self._stored += not result.duplicate
            if self._as_json:
                self._messages.append({self._unit: line, "outbox_id": result.outbox_id, "duplicate": result.duplicate})
            else:
                ids.append(str(result.outbox_id))
        work_is_done(f"stored {self._stored} messages")
        if ids:
            put("\n".join(ids))

    def preview(self, lines: list[int], messages: list[NewMessage]) -> None:
        """Print the messages of these *lines*, which are not stored."""
        from prx_email_cli.cli.preview import preview_batch, preview_object  # on use

        if self._as_json:
            found = zip(lines, messages, strict=True)
            self._messages += [{self._unit: line, **preview_object(message)} for line, message in found]
        else:
            preview_batch(self._unit, lines, messages)

    def refuse(self, line: int, error: PrxEmailError) -> None:
        """Report that this line was refused; the same complaint about another line is only counted."""
        message = masked(error.message)
        self._refused = self._refused.with_one(line)
        if self._as_json:
            self._errors.append({self._unit: line, **error_object(error.code, message, error.hint)})
            return
        complaint = ("not JSON", "") if isinstance(error, NotJson) else (message, error.hint)
        if complaint in self._again:
            first, others = self._again[complaint]
            self._again[complaint] = first, others.with_one(line)
            return
        if len(self._again) < MOST_COMPLAINTS:
            self._again[complaint] = line, Lines([], unit=self._unit)
        say(f"{self._unit} {line}: {safe(message)}" + (f" ({safe(error.hint)})" if error.hint else ""))

    def finish(self, broken: StorageError | None = None) -> None:
        """Print the totals.  Raises typer.Exit with the exit status of a failure.

        broken: the error that ended the batch; what was acknowledged before it stays stored.
        """
        error = status = None
        if self._refused.total:
            hint = f"data.errors says why, {self._unit} by {self._unit}" + (
                "; nothing was stored" if self._atomic else ""
            )
            error = error_object("validation", f"{self._unit}s refused: {self._refused.total}", hint)
            status = Exit.REFUSED_INPUT
        if broken is not None:
            error = error_object(broken.code, broken.message, broken.hint)
            status = broken.exit_code
        if self._as_json:
            put_json(self._data(), error)
        else:
            if broken is not None:
                report_error(broken, as_json=False)
            self._summarise()
        if status is not None:
            raise typer.Exit(status)

    def _summarise(self) -> None:
        for (what, _), (first, others) in self._again.items():
            if others.total:
                say(f"{others}: " + ("not JSON either" if what == "not JSON" else f"the same as {self._unit} {first}"))
        if self._good or self._refused.total:
            say(self._summary())

    def _summary(self) -> str:
        new = self._good - self._duplicates
        if self._check:
            parts = [f"{new} would be queued"]
        else:
            undone = self._atomic and self._stored < new
            parts = [f"{self._stored} queued" + (" (--atomic)" if undone else "")]
        if self._duplicates:
            parts.append(f"{self._duplicates} already stored")
        if self._refused.total:
            parts.append(f"{self._refused.total} refused: {self._refused}")
        return ", ".join(parts)

    def _data(self) -> dict[str, Any]:
        return {
            "enqueued": self._stored,
            "duplicates": self._duplicates,
            "refused": self._refused.total,
            f"{self._unit}s": self._good + self._refused.total,
            "messages": self._messages,
            "errors": self._errors,
        }
