"""Make a request for each row of a table, from the options of ``send`` as templates."""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.addresses import parse_mailboxes
from prx_email_cli.submission.draft import empty
from prx_email_cli.submission.request import Request
from prx_email_cli.submission.sandbox import Template, TooSlow, time_limit

_TO_COLUMNS = ("to", "email", "e-mail")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_TYPE_OPTION = ";type="


class Names(NamedTuple):
    """What errors call the templates of the text and of the HTML: the files that they came from."""

    text: str = "--body"
    html: str = "--html"


class _Addresses:
    """The template of an address option, into which no cell brings a further address."""

    def __init__(self, text: str, what: str) -> None:
        self._template, self._what = Template(text, f"--{what}"), what
        self._most = _QUOTED.sub("", self._template.literal()).count(",") + 1

    def render(self, cells: Mapping[str, str], most: int) -> str:
        rendered = self._template.render(cells, most)
        if self._template.is_constant or not rendered.strip():
            return rendered.strip()
        found = len(parse_mailboxes([rendered], self._what))
        if found > self._most:
            raise ValidationError(
                f"{self._what}: {found} addresses where the template has {self._most}",
                hint=f"one cell holds one address: make a column for each, and give --{self._what} for each column",
            )
        return rendered


class _Path:
    """The template of a file to attach, whose cells lead neither out of its directory nor to another type."""

    def __init__(self, text: str, option: str) -> None:
        from prx_email_cli.mail.attachments import split_attach_option  # on use

        path, content_type = split_attach_option(text) if option == "--attach" else (text, None)
        self._path, self._option = Template(path, option), option
        self._type = "" if content_type is None else f"{_TYPE_OPTION}{content_type}"
        directory = re.split(r"\{[{%#]", path)[0].rpartition("/")
        self._directory = os.path.normpath(directory[0] or "/") if directory[1] else None
        self._may_be_none = "{%" in path

    def render(self, cells: Mapping[str, str], most: int) -> str | None:
        path = self._path.render(cells, most).strip()
        if self._path.is_constant:
            return path + self._type
        if not path:
            if self._may_be_none:
                return None
            raise ValidationError(
                f"{self._option}: no file", hint="{% if file %}{{ file }}{% endif %} attaches nothing where it is empty"
            )
        if self._option == "--attach" and _TYPE_OPTION in path:
            raise ValidationError(f"{self._option}: a cell says {_TYPE_OPTION}", hint="write it in the option itself")
        if self._directory is not None and not _is_below(path, self._directory):
            raise ValidationError(
                f"{self._option}: {path[:200]} is not in {self._directory}", hint="a cell names a file in it"
            )
        return path + self._type


def _is_below(path: str, directory: str) -> bool:
    return os.path.normpath(path).startswith(directory.rstrip("/") + "/") or directory == "."


class Merge:
    """The templates of all options; what is not one, such as --account, is left to the batch."""

    def __init__(self, typed: Request, columns: Sequence[str], names: Names, most: int) -> None:
        """Compile the templates.  Raises ValidationError, also when a message would have no recipient or no text.

        most: characters that one of them may make.
        """
        to = typed.to or (_to_column(columns),)
        has_text = bool(typed.body_text.strip()) or typed.body_html is not None or bool(typed.allow_empty)
        if not typed.subject or not has_text:
            raise empty(typed, subject=bool(typed.subject), text=has_text)
        self._most = most
        self._too_slow: ValidationError | None = None
        self._html_file = typed.html_file
        self._addresses = {
            name: [_Addresses(text, what) for text in texts]
            for name, what, texts in (
                ("to", "to", to), ("cc", "cc", typed.cc), ("bcc", "bcc", typed.bcc),
                ("reply_to", "reply-to", typed.reply_to),
            )
        }  # fmt: skip
        self._texts = {
            name: Template(text, what, html=name == "body_html")
            for name, what, text in (
                ("subject", "--subject", typed.subject), ("body_text", names.text, typed.body_text),
                ("body_html", names.html, typed.body_html), ("sender", "--from", typed.sender),
                ("idempotency_key", "--idempotency-key", typed.idempotency_key),
            )
            if text is not None
        }  # fmt: skip
        self._headers = [Template(text, "--header") for text in typed.headers]
        self._attach = [_Path(text, "--attach") for text in typed.attach]
        self._attach_stored = [_Path(text, "--attach-stored") for text in typed.attach_stored]

    def request(self, cells: Mapping[str, str]) -> Request:
        """Fill in the cells of one row.  Raises ValidationError; when one row takes too long, for all after it too."""
        if self._too_slow is not None:
            raise self._too_slow
        try:
            request = self._filled(cells)
        except TooSlow as error:
            self._too_slow = error
            raise
        if request.idempotency_key is not None and not request.idempotency_key.strip():
            raise ValidationError("--idempotency-key is empty", hint="make it of a column that has no empty cells")
        return request

    def _filled(self, cells: Mapping[str, str]) -> Request:
        with time_limit():
            addresses: dict[str, Any] = {
                name: tuple(text for each in several if (text := each.render(cells, self._most)))
                for name, several in self._addresses.items()
            }
            texts: dict[str, Any] = {name: one.render(cells, self._most) for name, one in self._texts.items()}
            return Request(
                **addresses, **texts, html_file=self._html_file, typed=True,
                headers=tuple(one.render(cells, self._most) for one in self._headers),
                attach=self._files(self._attach, cells), attach_stored=self._files(self._attach_stored, cells),
            )  # fmt: skip

    def _files(self, paths: list[_Path], cells: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(path for one in paths if (path := one.render(cells, self._most)) is not None)


def _to_column(columns: Sequence[str]) -> str:
    """Make the template of the column with the recipients.  Raises ValidationError when there is none."""
    named = {name.lower(): name for name in columns}
    found = next((named[name] for name in _TO_COLUMNS if name in named), None)
    if found is None:
        raise ValidationError(
            "no --to, and no column to or email",
            hint=f"write --to '{{{{ {columns[0] if columns[0].isidentifier() else 'address'} }}}}', for example",
        )
    return "{{ row[" + repr(found) + "] }}"
