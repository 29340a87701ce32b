"""Get at secrets, wherever the config says that they come from."""

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prx_email_cli.children import answer_of
from prx_email_cli.config.settings import Account
from prx_email_cli.config.table import Table
from prx_email_cli.errors import ConfigError, ReadableByOthers
from prx_email_cli.files import check_program, check_unchangeable, is_open
from prx_email_cli.redaction import remember

COMMAND_TIMEOUT_SECONDS = 60
_MAX_SECRET_BYTES = 64 * 1024


def password_of(account: Account) -> str | None:
    """The account's password, None for one that has no password.

    Raises ConfigError when it is missing or its command fails, ReadableByOthers when its file is open to others.
    Whatever is returned is from then on masked by ``redact``.
    """
    auth, place = account.smtp.auth, f"accounts.{account.name}.smtp.auth"
    if auth.keyring:
        from prx_email_cli.config.keyring_store import stored_password

        where = f"{place}.keyring"
        return remember(_checked(stored_password(account, where), "password", where))
    return secret_in(auth, "password", place)


def secret_in(table: Table, name: str, place: str) -> str | None:
    """The secret *name* of *table* (at *place*) from wherever the config says it comes; None when it says nothing.

    Raises and remembers as ``password_of``.
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
        raise ConfigError(f"{where}: the {what} is not UTF-8 text")
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
    """First line of the command's output; its stderr is shown to the user as it comes, its output never."""
    check_program(argv[0])
    try:
        done = answer_of(argv, _MAX_SECRET_BYTES, COMMAND_TIMEOUT_SECONDS)
    except FileNotFoundError:
        raise ConfigError(
            f"{where}: command not found: {argv[0]}", hint="give its full path: cron has a short PATH"
        ) from None
    except TimeoutError:
        raise ConfigError(
            f"{where}: no answer from {argv[0]} within {COMMAND_TIMEOUT_SECONDS} s", hint="it must not ask questions"
        ) from None
    except OSError as error:
        raise ConfigError(f"{where}: cannot run {argv[0]}: {error.strerror}") from None
    if done.status and len(done.output) <= _MAX_SECRET_BYTES:
        raise ConfigError(f"{where}: {argv[0]} ended with status {done.status}", hint="run it by hand and see")
    return _first_line(done.output, what, where)


def _from_file(path: Path, what: str, where: str) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ConfigError(f"{where}: {path}: {error.strerror}", hint="check the path and its owner") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise ConfigError(f"{where}: {path} is not a regular file")
    with open(descriptor, "rb") as stream:
        if is_open(path, status):
            raise ReadableByOthers(f"{path} holds a {what} and is readable by others", hint=f"chmod 600 {path}")
        check_unchangeable(path)
        return _first_line(stream.read(_MAX_SECRET_BYTES + 1), what, where)


def _first_line(output: bytes, what: str, where: str) -> str:
    if len(output) > _MAX_SECRET_BYTES:
        raise ConfigError(f"{where}: there is no end to what should be the {what}", hint="it is one short line")
    try:
        return output.split(b"\n", 1)[0].rstrip(b"\r").decode()
    except UnicodeDecodeError:
        raise ConfigError(f"{where}: the {what} is not UTF-8 text") from None


_SOURCES: dict[str, Callable[[Any, str, str], str]] = {
    "": _inline,
    "_env": _from_environment,
    "_command": _from_command,
    "_file": _from_file,
}
