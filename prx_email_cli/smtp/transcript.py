"""What is said in a session or an attempt, kept for ``show``."""

from prx_email_cli.smtp.replies import Reply


class Transcript:
    """The dialogue of a session or attempt, one line each way; AUTH payloads are never in it."""

    MAX_LINES = 400

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._dropped = 0

    def client(self, line: str) -> None:
        """Note what we said."""
        self._note(f"C: {line}")

    def server(self, reply: Reply) -> None:
        """Note what the server answered."""
        self._note(f"S: {reply}")

    def event(self, text: str) -> None:
        """Note something that is neither: a connection opened or lost, TLS agreed."""
        self._note(f"-- {text}")

    def take(self) -> str:
        """Everything noted since the last time, lines joined by LF."""
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
