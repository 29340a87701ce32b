"""Hold the SMTP dialogue of ``sendmail -bs`` on standard input and output: for the outbox, or a drop directory."""

import socket
import time
from collections.abc import Callable, Iterator

from prx_email_cli.config.settings import Settings
from prx_email_cli.errors import as_ours
from prx_email_cli.listen.desk import Desk, Letter, Surroundings, has_wide_headers
from prx_email_cli.listen.stdio import speak, speak_at
from prx_email_cli.sendmail.drop import leave
from prx_email_cli.sendmail.local import Local
from prx_email_cli.submission.caller import LOCALHOST, by_parent, called_by_parent

_COMMAND = "sendmail -bs"


def speak_to_outbox(settings: Settings, say: Callable[[str], None]) -> None:
    """Store what comes in the outbox.  say: prints a line for the operator.  Raises StorageError."""
    speak(settings, say, caller=called_by_parent(_COMMAND), qualify=Local(settings.sendmail).addresses)


def speak_dropping(directory: str, say: Callable[[str], None]) -> None:
    """Leave what comes in the drop directory, for a user who may not use the outbox."""
    speak_at(_DropDesk(directory, say))


class _DropDesk(Desk):
    """Leaves messages in a drop directory; it knows no config, so that limits are those by default."""

    def __init__(self, directory: str, say: Callable[[str], None]) -> None:
        around = Surroundings((), None, None, socket.gethostname(), say, _at_localhost)
        super().__init__(Settings(), around)
        self._directory = directory

    def now(self) -> float:
        """Return the time."""
        return time.time()

    async def accept(self, letter: Letter) -> str:
        """Leave a message, one for each wish of notifications; return the reply: 250 only once all are durable."""
        groups: dict[str | None, list[str]] = {}
        for one in letter.recipients:
            groups.setdefault(one.notify, []).append(one.address)
        command, names = by_parent(_COMMAND), []
        try:
            for notify, recipients in groups.items():
                said = _said(letter, recipients, notify, command)
                names.append(leave(said, self._directory, [letter.received, letter.content]))
        except Exception as error:  # noqa: BLE001 - the client must hear of it
            return self.refusal(as_ours(error))
        return f"250 2.0.0 Ok: left as {' '.join(names)}"


def _said(letter: Letter, recipients: list[str], notify: str | None, command: str) -> Iterator[tuple[str, str]]:
    """Yield what the file says of its message."""
    for recipient in recipients:
        yield "recipient", recipient
    one_each = {
        "sender": letter.mail.sender, "notify": notify, "returns": letter.mail.returns,
        "envelope_id": letter.mail.envelope_id, "command": command,
        "utf8": "" if letter.mail.utf8 and has_wide_headers(letter.content) else None,
    }  # fmt: skip
    for name, value in one_each.items():
        if value is not None:
            yield name, value


def _at_localhost(name: str) -> list[str]:
    """Return the address of a local name until the file is taken in, as a Qualify."""
    return [] if "@" in name else [f"{name}@{LOCALHOST}"]
