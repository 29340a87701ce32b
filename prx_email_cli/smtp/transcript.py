"""Record what is said in a session or transaction, for ``show``."""

from prx_email_cli.smtp.replies import Reply


class Transcript:
    """The dialogue of a session or transaction, up to MAX_LINES lines.

    Its callers mask what follows AUTH.
    """

    MAX_LINES = 400

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._dropped = 0

    def client(self, line: str) -> None:
        """Record a command."""
        self._note(f"C: {line}")

    def server(self, reply: Reply) -> None:
        """Record a reply."""
        self._note(f"S: {reply}")

    def event(self, text: str) -> None:
        """Record an event: a connection opened or lost, TLS agreed, content sent."""
        self._note(f"-- {text}")

    def take(self) -> str:
        """Return what was recorded since the last call, lines joined by LF."""
        lines, self._lines = self._lines, []
        if self._dropped:
            lines.append(f"-- {self._dropped} more lines")
            self._dropped = 0
        return "\n".join(lines)

    def _note(self, line: str) -> None:
        if len(self._lines) < self.MAX_LINES:
            self._lines.append(line)
        else:
            self._dropped += 1
