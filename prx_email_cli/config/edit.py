"""Write config files: private from the start, replaced whole, other lines kept."""

import fcntl
import os
import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w

from prx_email_cli.config.settings import CONFIG_SECONDS, MAX_CONFIG_BYTES
from prx_email_cli.config.toml_text import statements, without_inline_table, without_table
from prx_email_cli.errors import ConfigError
from prx_email_cli.files import check_unchangeable, create, make_directories, put_in_place, read_bounded, sync_directory

_ROOT = 0


def refuse_existing(file: Path) -> None:
    """Check that a new config can be at *file*, before a person is asked anything.

    Raises ConfigError when there is such a file, ChangeableByOthers when others could replace it there.
    """
    if os.path.lexists(file):
        raise _exists(file)
    check_unchangeable(file)


def refuse_known(file: Path, name: str) -> None:
    """Check that the config *file* can be read and has no account *name*.

    Raises ConfigError, and ChangeableByOthers as ``add_account`` does.
    """
    with _locked(file, file.resolve()) as text:
        _refuse_known(_parsed(text, file), name, file)


def write_new_config(file: Path, document: dict[str, Any]) -> None:
    """Write *document* as TOML to *file*, mode 0600.

    Raises ConfigError when it exists or cannot be written, ChangeableByOthers when others could replace it there.
    """
    refuse_existing(file)
    try:
        make_directories(file.parent)
        with _written_aside(file, tomli_w.dumps(document)) as new:
            os.link(new, file)  # unlike a rename, this fails where there is one
            sync_directory(file.parent)
    except FileExistsError:
        raise _exists(file) from None
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}", hint="check its directory and free space") from None


class Added(NamedTuple):
    """What ``add_account`` did beside adding the account.

    default_account: the account that was alone before and was made the default, None if none was.  backup: the copy of
    the file as it was, None unless an account was replaced.
    """

    default_account: str | None = None
    backup: Path | None = None


def add_account(file: Path, name: str, account: dict[str, Any], *, replace: bool = False) -> Added:
    """Add ``[accounts.NAME]`` to the config *file*; all other lines stay.

    account: its keys and tables.  replace: let it replace an account of that name, and keep the old file as a backup.
    Raises ConfigError, having changed nothing, when the account exists, when the file cannot be read or written, and
    when something else in it would change; ChangeableByOthers when others could have written it.
    """
    real = file.resolve()
    with _locked(file, real) as old:
        document = _parsed(old, file)
        accounts = _accounts(document, file)
        if not replace:
            _refuse_known(document, name, file)
        default = _only_one(document, accounts, name)
        first = {"default_account": default} if default is not None else {}
        wanted = {**first, **document, "accounts": {**accounts, name: account}}
        text = _in_line_ends_of(old, tomli_w.dumps(first)) + _edited(old, name, wanted["accounts"])
        if not _reads_as(text, wanted):
            raise _not_alone(file, name)
        if name in accounts:
            return Added(default, _kept_and_replaced(real, text))
        _replace(real, text)
        return Added(default)


class Removed(NamedTuple):
    """What ``remove_account`` did beside removing the account.

    default_account: the account that is left alone and became the default, None if none did.  backup: the copy of the
    file as it was.
    """

    default_account: str | None
    backup: Path


def remove_account(file: Path, name: str) -> Removed:
    """Remove ``[accounts.NAME]`` from the config *file*; all other lines stay, and the old file is kept as a backup.

    Raises ConfigError, having changed nothing, when there is no such account, when the config would be left without one
    or without its default, and otherwise as ``add_account`` does.
    """
    real = file.resolve()
    with _locked(file, real) as old:
        document = _parsed(old, file)
        _refuse_unknown(document, name, file)
        left = {known: table for known, table in _accounts(document, file).items() if known != name}
        default = _default_without(document, name, left, file)
        first = {"default_account": default} if default is not None else {}
        text = _without(old, name, left)
        if default is not None:
            text = _with_default(text, default)
        if not _reads_as(text, {**document, **first, "accounts": left}):
            raise _not_alone(file, name)
        return Removed(default, _kept_and_replaced(real, text))


def set_default_account(file: Path, name: str) -> None:
    """Make *name* the default account of the config *file*; all other lines stay.

    Raises ConfigError, having changed nothing, when there is no such account, and otherwise as ``add_account`` does.
    """
    real = file.resolve()
    with _locked(file, real) as old:
        document = _parsed(old, file)
        _refuse_unknown(document, name, file)
        text = _with_default(old, name)
        if not _reads_as(text, {**document, "default_account": name}):
            raise _not_alone(file, "default_account")
        if text != old:
            _replace(real, text)


def _default_without(document: dict[str, Any], name: str, left: dict[str, Any], file: Path) -> str | None:
    """Return the new default account once *name* is removed; None if the default stays as it is.

    left: the other accounts.  Raises ConfigError when a person must choose one.
    """
    if not left:
        raise ConfigError(
            f"{file}: {name!r} is the only account; nothing was changed",
            hint="prx-email account add NAME adds another one first",
        )
    if document.get("default_account") != name:
        return None
    if len(left) > 1:
        raise ConfigError(
            f"{file}: {name!r} is the default account; nothing was changed",
            hint=f"prx-email account default NAME makes another one the default: {', '.join(left)}",
        )
    return next(iter(left))


def _without(old: str, name: str, left: dict[str, Any]) -> str:
    """Return the text *old* without the account *name*; the caller checks that the result means what it should."""
    unfolded = without_inline_table(old, "accounts")
    if unfolded is not None:
        return _joined(unfolded, _in_line_ends_of(old, tomli_w.dumps({"accounts": left})), None)
    before, after = without_table(old, ("accounts", name))
    if after is None:
        return before
    if not after.strip():
        return re.sub(r"(?:(?<=\n)[ \t]*\r?\n)+\Z", "", before)
    blank_before = not before.strip() or before.endswith(("\n\n", "\r\n\r\n"))
    return before + (re.sub(r"\A(?:[ \t]*\r?\n)+", "", after) if blank_before else after)


def _with_default(text: str, name: str) -> str:
    """Return *text* with ``default_account = NAME``, in place of such a line or as the first one."""
    line = tomli_w.dumps({"default_account": name}).rstrip("\n")
    parts = []
    found = False
    for statement in statements(text):
        if statement.path == ("default_account",) and not statement.is_header:
            found = True
            comment = "".join(f"  {comment}" for comment, _ in statement.comments).rstrip("\r")
            parts.append(line + comment + statement.text[len(statement.text.rstrip("\r\n")) :])
        else:
            parts.append(statement.text)
    return "".join(parts) if found else line + _line_end(text) + text


def _kept_and_replaced(file: Path, text: str) -> Path:
    """Replace *file* by *text*; return the backup of what it was."""
    backup = _backed_up(file)
    try:
        _replace(file, text)
    except BaseException:
        backup.unlink()
        raise
    return backup


def _not_alone(file: Path, name: str) -> ConfigError:
    return ConfigError(
        f"{file}: {name!r} cannot be written without changing other lines; nothing was changed",
        hint="write every account as a table [accounts.NAME] and try again, or edit the file by hand",
    )


def _edited(old: str, name: str, accounts: dict[str, Any]) -> str:
    """Return the text *old* with the account *name*, in place of one of that name.

    An inline table of all accounts becomes tables.  The caller checks that the result means what it should.
    """
    unfolded = without_inline_table(old, "accounts")
    if unfolded is not None:
        return _joined(unfolded, _in_line_ends_of(old, tomli_w.dumps({"accounts": accounts})), None)
    before, after = without_table(old, ("accounts", name))
    return _joined(before, _in_line_ends_of(old, tomli_w.dumps({"accounts": {name: accounts[name]}})), after)


def _backed_up(file: Path) -> Path:
    """Keep the *file* as it is now under a second, free name; return that."""
    for number in count():
        backup = file.with_name(f"{file.name}.bak{number or ''}")
        with suppress(FileExistsError):
            os.link(file, backup)
            os.chmod(backup, 0o600)
            return backup
    raise AssertionError("numbers end")


def _only_one(document: dict[str, Any], accounts: dict[str, Any], new: str) -> str | None:
    """Return the account that is the default because it is alone; else None."""
    if len(accounts) != 1 or new in accounts or "default_account" in document:
        return None
    return next(iter(accounts))


def _joined(before: str, new: str, after: str | None) -> str:
    """Join the parts of a document, with a blank line before and after *new*.

    after: None when *new* is the end of the document.
    """
    end = _line_end(new)
    if after is None:
        lines = before.rstrip(" \t\r\n")
        lines += before[len(lines) :].partition("\n")[0].rstrip("\r")  # blanks that the last line ends in
        return f"{lines}{end}{end}{new}" if lines.strip() else new
    if after and after.lstrip(" \t")[:1] not in ("\r", "\n"):
        new += end
    return before + new + after


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _in_line_ends_of(old: str, text: str) -> str:
    return text.replace("\n", _line_end(old))


def _exists(file: Path) -> ConfigError:
    return ConfigError(
        f"{file} exists already; nothing was changed",
        hint="prx-email account add NAME adds an account to it; --config FILE names another file",
    )


def _refuse_known(document: dict[str, Any], name: str, file: Path) -> None:
    if name in _accounts(document, file):
        raise ConfigError(
            f"{file} has an account {name!r} already; nothing was changed",
            hint="choose another name, edit the file, or replace the account with --replace",
        )


def _refuse_unknown(document: dict[str, Any], name: str, file: Path) -> None:
    accounts = _accounts(document, file)
    if name not in accounts:
        raise ConfigError(f"{file}: there is no account {name!r}", hint=f"known accounts: {', '.join(accounts)}")


def _accounts(document: dict[str, Any], file: Path) -> dict[str, Any]:
    accounts = document.get("accounts", {})
    if not isinstance(accounts, dict):
        raise ConfigError(f"{file}: accounts must be a table", hint="write each account as [accounts.NAME]")
    return accounts


@contextmanager
def _locked(file: Path, real: Path) -> Iterator[str]:
    """Lock the directory against other changes; yield the text of *file*.

    Raises ConfigError, and ChangeableByOthers when others could have written it.
    """
    try:
        lock = os.open(real.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            data, status = read_bounded(real, MAX_CONFIG_BYTES, CONFIG_SECONDS)
            # What others have written would be the user's own afterwards.  A file that root writes keeps its owner.
            check_unchangeable(file, owner=status.st_uid if os.geteuid() == _ROOT else None)
            yield data.decode()
        finally:
            os.close(lock)
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such config file", hint="prx-email init writes a first one") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: not UTF-8 text", hint="TOML files are UTF-8: save it again as such") from None
    except OSError as error:
        raise ConfigError(f"cannot change {file}: {error.strerror}", hint="check its directory and owner") from None


def _parsed(text: str, file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also for endless numbers and nested tables
        raise ConfigError(f"{file}: not valid TOML: {error}", hint="correct the line it names") from None


def _reads_as(text: str, wanted: dict[str, Any]) -> bool:
    """Tell whether *text* parses to exactly the *wanted* tables."""
    with suppress(ValueError, RecursionError):
        return tomllib.loads(text) == wanted
    return False


def _replace(file: Path, text: str) -> None:
    """Replace *file* by *text* in one step, mode 0600, with the owner of the old file."""
    with _written_aside(file, text) as new:
        with suppress(FileNotFoundError, PermissionError):
            before = file.stat()
            os.chown(new, before.st_uid, before.st_gid)
        put_in_place(new, file)


@contextmanager
def _written_aside(file: Path, text: str) -> Iterator[Path]:
    """Write *text* to a new file beside *file*, mode 0600 and synced; yield its path.

    It is removed at the end, unless it was renamed.
    """
    new = file.with_name(f".{file.name}.{os.urandom(4).hex()}")
    descriptor = create(new)
    try:
        with open(descriptor, "wb") as stream:
            stream.write(text.encode())
            stream.flush()
            os.fsync(descriptor)
        yield new
    finally:
        new.unlink(missing_ok=True)
