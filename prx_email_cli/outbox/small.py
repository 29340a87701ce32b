"""Define a small message that comes whole, and where it goes.  Cheap to import, unlike ``messages``."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_BYTES = 128 * 1024  # of a content that is small


class SmallMessage:
    """What is stored of a message; see ``NewMessage``.

    recipients: their addresses, all in ASCII.  content: at most MOST_BYTES, with CRLF line ends.  created_at: Unix
    seconds, when it is due as well.  caller: as ``Caller``.  eight_bit, wishes: as ``Esmtp``.
    """

    def __init__(self, created_at: int, caller: tuple[str, int, str, str]) -> None:
        self.created_at, self.caller = created_at, caller
        self.account = self.sender = self.subject = ""
        self.recipients: Sequence[str] = ()
        self.content = b""
        self.own_message_id: str | None = None
        self.eight_bit = False
        self.wishes: tuple[str | None, str | None, str | None] = (None, None, None)


class SmallOutbox:
    """An outbox that a config names, and whose path was found safe.

    path: as the config has it.  real_path: without symbolic links.  owners: the users who may own its files.
    """

    def __init__(self, path: str, real_path: str, patience_seconds: float, owners: tuple[int, ...]) -> None:
        self.path, self.real_path = path, real_path
        self.patience_seconds, self.owners = patience_seconds, owners
