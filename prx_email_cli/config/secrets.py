"""Read secrets from the config, the environment, a command, a file or the keyring."""

import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from prx_email_cli.children import answer_of
from prx_email_cli.config.settings import Account
from prx_email_cli.config.table import Table
from prx_email_cli.errors import ConfigError, ReadableByOthers
from prx_email_cli.files import check_program, check_unchangeable, is_open
from prx_email_cli.redaction import remember

COMMAND_TIMEOUT_SECONDS = 60
KEYRING_TIMEOUT_SECONDS = 60  # it may wait for a person to unlock it
_UNLOCK = "unlock it, or use password_file or password_command: servers and cron often have no keyring"
_MAX_SECRET_BYTES = 64 * 1024
T = TypeVar("T")


def password_of(account: Account) -> str | None:
    """Return the account's password, None when the config names none.

    ``redact`` masks it from then on.  Raises ConfigError when it is missing or its command fails, ReadableByOthers when
    its file is open to others.
    """
    auth, place = account.smtp.auth, f"accounts.{account.name}.smtp.auth"
    if auth.keyring:
        where = f"{place}.keyring"
        return remember(_checked(stored_password(account, where), "password", where))
    return secret_in(auth, "password", place)


def secret_in(table: Table, name: str, place: str) -> str | None:
    """Return the secret *name* of *table*; None when the table names no source of it.

    place: the table's dotted name, for errors.  Masks the secret and raises as ``password_of``.
    """
    what = name.replace("_", " ").replace("oauth token", "OAuth token")
    for suffix, read in _SOURCES.items():
        value = getattr(table, name + suffix)
        if value is not None:
            where = f"{place}.{name}{suffix}"
            return remember(_checked(read(value, what, where), what, where))
    return None


def _checked(secret: str, what: str, where: str) -> str:
    if not secret:
        raise ConfigError(f"{where}: the {what} is empty", hint="check where it comes from")
    if not secret.isascii() and secret != secret.encode("utf-8", "replace").decode():  # from the environment
        raise ConfigError(f"{where}: the {what} is not UTF-8 text", hint="store it as UTF-8")
    if any(c in secret for c in "\r\n\0"):
        raise ConfigError(f"{where}: the {what} contains a line break or NUL", hint="store it on one line")
    return secret


def _inline(secret: str, what: str, where: str) -> str:
    return secret


def _from_environment(name: str, what: str, where: str) -> str:
    if name not in os.environ:
        raise ConfigError(
            f"{where}: the environment variable {name} is not set",
            hint=f"export {name}; note that cron does not read your shell's profile",
        )
    return os.environ[name]


def _from_command(argv: tuple[str, ...], what: str, where: str) -> str:
    """Return the first line that the command prints; its stderr goes to the user."""
    check_program(argv[0])
    try:
        done = answer_of(argv, _MAX_SECRET_BYTES, COMMAND_TIMEOUT_SECONDS)
    except FileNotFoundError:
        raise ConfigError(
            f"{where}: command not found: {argv[0]}", hint="give its full path: cron has a short PATH"
        ) from None
    except TimeoutError:
        raise ConfigError(
            f"{where}: no answer from {argv[0]} within {COMMAND_TIMEOUT_SECONDS} s",
            hint="it must print the secret without asking for anything",
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{where}: cannot run {argv[0]}: {error.strerror}", hint="name a program that you may run"
        ) from None
    if done.status and len(done.output) <= _MAX_SECRET_BYTES:
        raise ConfigError(
            f"{where}: {argv[0]} ended with status {done.status}",
            hint="run it by hand: it must print the secret and end with status 0",
        )
    return _first_line(done.output, what, where)


def secret_from_file(path: Path, what: str, where: str) -> str:
    """Return the first line of a private file.  Raises ConfigError, ReadableByOthers, ChangeableByOthers."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(f"{where}: {path}: {error.strerror}", hint="check the path and its owner") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise ConfigError(f"{where}: {path} is not a regular file", hint="name a regular file")
    with open(descriptor, "rb") as stream:
        if is_open(path, status):
            raise ReadableByOthers(f"{path} holds a {what} and is readable by others", hint=f"chmod 600 {path}")
        check_unchangeable(path)
        return _first_line(stream.read(_MAX_SECRET_BYTES + 1), what, where)


def _first_line(output: bytes, what: str, where: str) -> str:
    if len(output) > _MAX_SECRET_BYTES:
        raise ConfigError(
            f"{where}: the {what} is longer than {_MAX_SECRET_BYTES >> 10} KiB",
            hint="check its source: it is one short line",
        )
    try:
        return output.split(b"\n", 1)[0].rstrip(b"\r").decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: the {what} is not UTF-8 text", hint="store it as UTF-8") from None


_SOURCES: dict[str, Callable[[Any, str, str], str]] = {
    "": _inline,
    "_env": _from_environment,
    "_command": _from_command,
    "_file": secret_from_file,
}


def stored_password(account: Account, where: str) -> str:
    """Return the account's password from the keyring.

    where: the config's key, for errors.  Raises ConfigError if the keyring has none or does not work.
    """
    with _keyring(where) as keyring:
        password = within(KEYRING_TIMEOUT_SECONDS, lambda: keyring.get_password(*_entry(account)))
    if password is None:
        raise ConfigError(
            f"{where}: the keyring has no password for {account.smtp.user}",
            hint=f"prx-email account set-password {account.name}; cron may not see your session's keyring",
        )
    return str(password)


def store_password(account: Account, password: str) -> str:
    """Store the account's password in the keyring; return the keyring's name.

    Raises ConfigError.
    """
    with _keyring("keyring") as keyring:
        keyring.set_password(*_entry(account), password)
        kept, name = keyring.get_password(*_entry(account)), str(keyring.get_keyring().name)
    if kept != password:
        raise ConfigError(f"the keyring did not keep the password ({name})", hint=_UNLOCK)
    return name


def forget_password(account: Account) -> bool:
    """Delete the account's password from the keyring; False when there was none.

    Raises ConfigError.
    """
    with _keyring("keyring") as keyring:
        if keyring.get_password(*_entry(account)) is None:
            return False
        keyring.delete_password(*_entry(account))
        return True


def _entry(account: Account) -> tuple[str, str]:
    """Return service and user of the account's entry in the keyring.

    The service names the account: two accounts may have the same user and different passwords.
    """
    return f"prx-email/{account.name}", account.smtp.user or ""


@contextmanager
def _keyring(where: str) -> Iterator[Any]:
    try:
        import keyring  # on use: optional
    except ImportError:
        raise ConfigError(
            f"{where}: this installation cannot use a keyring", hint="pip install 'prx-email-cli[keyring]'"
        ) from None
    from keyring.errors import KeyringError  # on use

    try:
        yield keyring
    except TimeoutError:
        raise ConfigError(
            f"{where}: no answer from the keyring within {KEYRING_TIMEOUT_SECONDS} s", hint=_UNLOCK
        ) from None
    except KeyringError as error:
        raise ConfigError(f"{where}: the keyring does not work here: {error}", hint=_UNLOCK) from None
    except Exception as error:  # noqa: BLE001 - backends raise anything, with content of their files in the text
        raise ConfigError(f"{where}: the keyring failed ({type(error).__name__})", hint=_UNLOCK) from None


def within(seconds: float, work: Callable[[], T]) -> T:
    """Call *work* in a thread; return what it returns, or raise what it raises.

    Raises TimeoutError after so many *seconds*; the work then goes on, and its result is dropped.
    """
    ended: SimpleQueue[tuple[list[T], BaseException | None]] = SimpleQueue()

    def run() -> None:
        try:
            ended.put(([work()], None))
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            ended.put(([], error))

    threading.Thread(target=run, daemon=True).start()
    try:
        given, error = ended.get(timeout=seconds)
    except Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return given[0]
