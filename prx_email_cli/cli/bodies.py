"""The text and the HTML of a message, from the options that give them or from stdin."""

import sys

import typer

from prx_email_cli.cli.context import on_terminal


class Bodies:
    """Where a message's text and HTML are to come from, as typed.

    stdin is the text only when nothing else can be: no ``--body``, no ``--body-file`` and no HTML to derive it from.
    Else a loop such as ``while read address; do prx-email send ...; done`` would lose its other lines to the first
    message.
    """

    def __init__(self, body: str | None, body_file: str | None, html: str | None, *, parent: str | None = None) -> None:
        if body is not None and body_file is not None:
            raise typer.BadParameter("use only one of --body and --body-file")
        self._body, self._html = body, html
        self.awaits_stdin = body is None and body_file is None and html is None and not on_terminal(sys.stdin)
        if parent == "-" and (body_file == "-" or (body is None and body_file is None and html is None)):
            raise typer.BadParameter("stdin is the parent: give the text with --body or --body-file FILE")
        if [body_file, html, parent].count("-") > 1:
            raise typer.BadParameter("only one of them can come from stdin: --body-file, --html, --parent")
        self._file = "-" if self.awaits_stdin else body_file

    def text(self) -> str:
        """The plain text, "" when there is none.  Raises InputNotFound, ValidationError."""
        return self._body or "" if self._file is None else _read(self._file)

    def html(self) -> str | None:
        """The HTML, None when there is none.  Raises as ``text`` does."""
        return None if self._html is None else _read(self._html)


def _read(name: str) -> str:
    from prx_email_cli.cli.inputs import read_text

    return read_text(name)
