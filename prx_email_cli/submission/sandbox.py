"""Render Jinja templates that reach nothing of this program, and that end."""

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError, UndefinedError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from prx_email_cli.errors import ValidationError

PROCESSOR_SECONDS = 5.0  # for the templates of one row
MOST_COUNT = 100_000  # in what multiplies a text: 'x' * 100000, name|center(100000)
_MOST_BITS = 4096
_LOADING = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)


class TooSlow(ValidationError):
    """The templates of one row take too long."""


class _Environment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox without anything but what a template is given, in which no operation makes a huge value."""

    intercepted_binops = frozenset(["*", "**", "%"])

    def __init__(self, *, autoescape: bool) -> None:
        # Not optimised: what is constant is worked out when it is rendered, under the limits.
        super().__init__(
            undefined=StrictUndefined, autoescape=autoescape, keep_trailing_newline=True, optimized=False, cache_size=0
        )
        self.globals.clear()  # a column that is missing is undefined, whatever its name
        self.filters = {name: _limited(function) for name, function in self.filters.items()}

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805 - as Jinja calls it
        _check_counts([*args, *kwargs.values()])
        return super().call(__context, __obj, *args, **kwargs)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "%":
            _check_format(left)
        elif isinstance(left, int) and isinstance(right, int):
            bits = left.bit_length() * max(right, 0) if operator == "**" else left.bit_length() + right.bit_length()
            if bits > _MOST_BITS:
                raise SecurityError("the number is too large")
        else:
            _check_counts([left, right])
        return super().call_binop(context, operator, left, right)


def _limited(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)  # with the marks by which Jinja passes more arguments
    def limited(*args: Any, **kwargs: Any) -> Any:
        given = args[1:] if not hasattr(function, "jinja_pass_arg") else args[2:]
        _check_counts([*given, *kwargs.values()])
        if function.__name__ == "do_format":
            _check_format(args[0])
        return function(*args, **kwargs)

    return limited


def _check_counts(values: list[Any]) -> None:
    if any(isinstance(value, int) and abs(value) > MOST_COUNT for value in values):
        raise SecurityError(f"a count of more than {MOST_COUNT} is not possible here")


def _check_format(text: Any) -> None:
    """Raise SecurityError for a ``%`` format whose width is huge, or is an argument."""
    if isinstance(text, str):
        digits = "".join(letter if letter.isdigit() else " " for letter in text).split()
        if "*" in text or any(len(number) > len(str(MOST_COUNT)) for number in digits):
            raise SecurityError("the format makes too long a text")


class Template:
    """One text with its name in errors; ``{{``, ``{%`` and ``{#`` begin what is replaced."""

    def __init__(self, text: str, what: str, *, html: bool = False) -> None:
        """Compile *text*; in *html* what is filled in is escaped.  Raises ValidationError."""
        self.text, self._what = text, what
        self.is_constant = not any(mark in text for mark in ("{{", "{%", "{#"))
        if self.is_constant:
            return
        environment = _Environment(autoescape=html)
        try:
            self._tree = environment.parse(text)
            loading = next(iter(self._tree.find_all(_LOADING)), None)
            if loading is not None:
                raise TemplateSyntaxError("no other template can be loaded here", loading.lineno)
            self._template = environment.from_string(self._tree)
        except TemplateSyntaxError as error:
            raise ValidationError(
                f"{self._named(error.lineno)}: {error.message}",
                hint="{{ name }} stands for a cell; a column that is no word is written {{ row['First name'] }}",
            ) from None
        except (RecursionError, MemoryError, ValueError, SyntaxError):
            raise ValidationError(f"{what}: the template is too large or too deep", hint="divide it") from None

    def literal(self) -> str:
        """Join what of the text is not replaced."""
        if self.is_constant:
            return self.text
        return "".join(node.data for node in self._tree.find_all(nodes.TemplateData))

    def render(self, cells: Mapping[str, str], most: int) -> str:
        """Fill in the cells of one row, all of which are in ``row`` too, whatever their names.

        Raises ValidationError for a name that is unknown, for more than *most* characters, and for whatever else fails.
        """
        if self.is_constant:
            return self.text
        parts: list[str] = []
        size = 0
        try:
            for part in self._template.generate({**cells, "row": dict(cells)}):
                size += len(part)
                if size > most:
                    raise SecurityError(f"it makes more than {most} characters")
                parts.append(part)
        except TooSlow:
            raise
        except Exception as error:  # noqa: BLE001 - a template can raise anything
            raise self._failed(error, cells) from None
        return "".join(parts)

    def _failed(self, error: Exception, cells: Mapping[str, str]) -> ValidationError:
        hint = ""
        if isinstance(error, UndefinedError):
            names = [name if name.isidentifier() and name != "row" else f"row[{name!r}]" for name in cells]
            hint = f"columns: {', '.join(names[:20])}" + (f" and {len(names) - 20} more" if len(names) > 20 else "")
        elif isinstance(error, TypeError | ValueError):
            hint = "every cell is text; {{ number|int }} makes a number of it, {{ price|float }} one with a fraction"
        text = str(error) or type(error).__name__
        return ValidationError(f"{self._named(_line_of(error))}: {text}", hint=hint)

    def _named(self, line: int | None) -> str:
        return self._what if line is None or "\n" not in self.text.strip("\n") else f"{self._what}, line {line}"


def _line_of(error: Exception) -> int | None:
    """Find the line of the template where *error* was raised; Jinja has put it into the traceback."""
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


@contextmanager
def time_limit() -> Iterator[None]:
    """Raise TooSlow in the block once it has used the processor for PROCESSOR_SECONDS."""
    if threading.current_thread() is not threading.main_thread():  # which alone gets signals
        yield
        return
    before = signal.signal(signal.SIGVTALRM, _on_alarm)
    signal.setitimer(signal.ITIMER_VIRTUAL, PROCESSOR_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _on_alarm(number: int, frame: Any) -> None:
    raise TooSlow(
        f"the templates take more than {PROCESSOR_SECONDS:g} s for one row", hint="look for a loop within a loop"
    )
