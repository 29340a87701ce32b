"""Define every error raised on purpose: its stable code, its exit status, and a hint on what to do."""

from enum import IntEnum
from typing import ClassVar


class Exit(IntEnum):
    """Exit statuses, as ``sysexits.h`` numbers them."""

    OK = 0
    USAGE = 2
    REFUSED_INPUT = 65
    NO_INPUT = 66
    NO_USER = 67
    GAVE_UP = 69
    BUG = 70
    STORAGE = 74
    TRY_LATER = 75
    READABLE_BY_OTHERS = 77
    CONFIG = 78


class PrxEmailError(Exception):
    """Base of every error raised on purpose.

    message: what is wrong, and of what.  hint: what to do next, "" when the message says it.  code: the stable name in
    JSON output.  exit_code: what a command ends with that raises it.
    """

    exit_code: ClassVar[Exit] = Exit.BUG
    code: str = "internal"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class ValidationError(PrxEmailError):
    """A request or an option cannot be accepted; nothing was stored."""

    exit_code, code = Exit.REFUSED_INPUT, "validation"


def as_ours(error: Exception) -> PrxEmailError:
    """Return the PrxEmailError for an *error* that one message caused, for which only that message is refused."""
    if isinstance(error, PrxEmailError):
        return error
    if isinstance(error, UnicodeError):
        return ValidationError(
            "the message has text that is not valid Unicode", hint="convert it to UTF-8, with iconv for example"
        )
    if isinstance(error, OverflowError):
        return ValidationError("the message has a number that is too large", hint="give times in Unix seconds")
    bug = PrxEmailError(f"this is a bug in prx-email: {type(error).__name__}: {error}", hint="report it")
    bug.__cause__ = error
    return bug


class NoSuchUser(ValidationError):
    """A recipient is a local name that stands for no address."""

    exit_code = Exit.NO_USER


class InputNotFound(PrxEmailError):
    """A file named on the command line does not exist or cannot be read."""

    exit_code, code = Exit.NO_INPUT, "validation"


class NotFound(PrxEmailError):
    """No outbox message has this id."""

    exit_code, code = Exit.NO_INPUT, "not_found"


class NotAllowedForStatus(PrxEmailError):
    """The message's status does not allow what was asked: a sent message is never retried, for example."""

    exit_code, code = Exit.REFUSED_INPUT, "retry_not_allowed_for_status"


class RetryNotDue(PrxEmailError):
    """The message's next attempt is still to come."""

    exit_code, code = Exit.TRY_LATER, "retry_not_due"


class LimitUsedUp(PrxEmailError):
    """The account has used up the limits in its config for now."""

    exit_code, code = Exit.TRY_LATER, "provider"


class ConnectionsInUse(PrxEmailError):
    """Other drains, maybe on other machines, have all connections that the account may have at once."""

    exit_code, code = Exit.TRY_LATER, "provider"

    def __init__(self, account: str, most: int) -> None:
        super().__init__(
            f"other drains use all {most} connections that account {account} may have at once",
            hint="a drain sends what is due; for more, raise smtp.connections if the provider allows it",
        )


class ConfigError(PrxEmailError):
    """The config is missing, malformed or contradictory; the message names file and key."""

    exit_code, code = Exit.CONFIG, "config"


class ReadableByOthers(PrxEmailError):
    """A file that holds secrets or mail is open to group or others."""

    exit_code, code = Exit.READABLE_BY_OTHERS, "config"


class ChangeableByOthers(ReadableByOthers):
    """Another user can change a file that the program would obey: the config, a program it names, the outbox."""


class NeedsRoot(PrxEmailError):
    """Only root can do what was asked for."""

    exit_code, code = Exit.READABLE_BY_OTHERS, "config"


class StorageError(PrxEmailError):
    """The outbox could not be read or written; nothing was acknowledged."""

    exit_code, code = Exit.STORAGE, "storage"


class OutboxDamaged(StorageError):
    """The outbox's file, or a value in it, is not as it was written."""


class MessageUnreadable(StorageError):
    """A damaged message can be neither sent nor given up."""


class OutboxBusy(StorageError):
    """Another process held the outbox's lock longer than the busy timeout."""

    exit_code = Exit.TRY_LATER


class OutboxAway(StorageError):
    """The server that keeps the outbox cannot be reached, or it ended the session."""


class NotPermitted(StorageError):
    """The role under which the outbox's database is used may not do that."""


class RestoredBackup(StorageError):
    """The outbox is older than what it has delivered; nothing is sent from it until a person accepts it."""

    exit_code = Exit.TRY_LATER


class OutboxMoved(StorageError):
    """The outbox was taken to another machine: here nothing is stored in it, changed in it or sent from it."""

    code = "moved"


class ClaimLost(StorageError):
    """A finished attempt was not recorded: this run no longer has the claim.  Nothing was changed."""


class ResultNotRecorded(StorageError):
    """A finished attempt could not be recorded in the outbox; the message says whether it was delivered."""


class LockUnreadable(PrxEmailError):
    """The lock of a run cannot be opened, so it may still be alive; its messages stay as they are."""

    exit_code, code = Exit.STORAGE, "storage"


class Unwell(PrxEmailError):
    """``doctor`` found a fault that stops no command yet: a backlog, or a wrong clock."""

    exit_code, code = Exit.TRY_LATER, "unwell"


class JobRunning(PrxEmailError):
    """A job with the same lock is still running; this one was not run."""

    exit_code, code = Exit.TRY_LATER, "locked"


class AccountUnusable(PrxEmailError):
    """No session with the account's server could be opened; ``code`` is network, auth or provider."""

    exit_code = Exit.TRY_LATER

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(message, hint=hint)
        self.code = code
