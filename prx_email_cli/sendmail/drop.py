"""Leave a message in the drop directory of an outbox that this user cannot open; cheap to import."""

import errno
import os

from prx_email_cli.submission.drop_file import BEGUN, MODE, READY, Sum, head, new_token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prx_email_cli.config.settings import Settings
    from prx_email_cli.sendmail.flags import Call

ENV_DROP = "PRX_EMAIL_DROP"
SYSTEM_DROP = "/var/lib/prx-email/drop"
MOST_BYTES = 1 << 30  # the outbox's own limit is in its config, which this user cannot read


def instead_of_outbox(settings: "Settings") -> str | None:
    """Return the drop directory for a user who can read the config and not write the outbox; else None."""
    return None if settings.outbox.url is not None or _is_writable(str(settings.outbox.path)) else usable(settings)


def usable(settings: "Settings | None" = None) -> str | None:
    """Name the drop directory: the environment's, the config's, else the system's.  None if it takes no files."""
    own = None
    if settings is not None:
        from prx_email_cli.config.sendmail import drop_path  # on use

        own = str(drop_path(settings.sendmail, settings.outbox.path))
    directory = os.environ.get(ENV_DROP) or own or SYSTEM_DROP
    return directory if os.path.isdir(directory) and os.access(directory, os.W_OK | os.X_OK) else None


def _is_writable(path: str) -> bool:
    """Tell whether the outbox at *path* can be written, or made."""
    if os.access(path, os.R_OK | os.W_OK):
        return True
    while True:
        above = os.path.dirname(path)
        if os.path.exists(path):
            return False
        if os.path.isdir(above):
            return os.access(above, os.W_OK | os.X_OK)
        if above == path:
            return False
        path = above


def leave(said: "Iterable[tuple[str, str]]", directory: str, chunks: "Iterable[bytes]") -> str:
    """Write the message that *chunks* are into *directory*, durably, and return the file's name.

    said: names and values for the file's head.  Raises StorageError, and ValidationError for more than MOST_BYTES.
    """
    token = new_token()
    begun, ready = (os.path.join(directory, start + token) for start in (BEGUN, READY))
    try:
        descriptor = os.open(begun, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
        named = begun
        try:
            os.fchmod(descriptor, MODE)  # whatever the umask
            _write(descriptor, _whole(head(said), chunks))
            os.fsync(descriptor)
            os.rename(begun, ready)
            named = ready
            _sync_name(descriptor, directory)
        except BaseException:
            _remove(named)
            raise
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _not_stored(directory, error) from None
    return READY + token


def said_by(call: "Call", command: str) -> "Iterator[tuple[str, str]]":
    """Yield what a file says of a message that was called for so.  command: of this program, and who called it."""
    for recipient in call.recipients:
        yield "recipient", recipient
    if call.from_headers:
        yield "from_headers", ""
    one_each = {
        "sender": call.sender, "full_name": call.full_name, "notify": call.notify, "returns": call.returns,
        "envelope_id": call.envelope_id, "command": command,
    }  # fmt: skip
    for name, value in one_each.items():
        if value is not None:
            yield name, value


def _whole(begin: bytes, chunks: "Iterable[bytes]") -> "Iterator[bytes]":
    counted = Sum()
    yield counted.add(begin)
    for chunk in chunks:
        if counted.size > MOST_BYTES:
            from prx_email_cli.errors import ValidationError  # on use

            raise ValidationError("message exceeds size limit", hint="a drop directory takes 1 GiB at most")
        yield counted.add(chunk)
    yield counted.trailer()


def _write(descriptor: int, chunks: "Iterable[bytes]") -> None:
    for chunk in chunks:
        left = memoryview(chunk)
        while left:
            left = left[os.write(descriptor, left) :]


def _sync_name(descriptor: int, directory: str) -> None:
    """Make the file's new name survive a power cut.

    Only those who may list the directory can sync it.  For all others the file is synced once more: ext4, XFS and Btrfs
    then commit the change of its name with it.
    """
    try:
        directory_descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        os.fsync(descriptor)
        return
    try:
        os.fsync(directory_descriptor)
    finally:
        os.close(directory_descriptor)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return  # half a file is set aside by a drain in a day


def _not_stored(directory: str, error: OSError) -> Exception:
    from prx_email_cli.errors import StorageError  # on use

    hint = "free some space there" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "ask whoever runs the outbox"
    return StorageError(
        f"the message cannot be left in {directory}: {error.strerror}; nothing was stored", hint=f"{hint}; try again"
    )
