"""Writing config files: private from their first instant, replaced whole, and with what is already there kept."""

import fcntl
import os
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

from prx_email_cli.config.settings import CONFIG_SECONDS, MAX_CONFIG_BYTES
from prx_email_cli.errors import ConfigError
from prx_email_cli.files import check_unchangeable, create, make_directories, put_in_place, read_bounded, sync_directory

_ROOT = 0


def refuse_existing(file: Path) -> None:
    """Refuse a place for a new config before a person is asked anything in vain.

    Raises ConfigError when there is such a file, ChangeableByOthers when others could replace it there.
    """
    if os.path.lexists(file):
        raise _exists(file)
    check_unchangeable(file)


def refuse_known(file: Path, name: str) -> None:
    """Raises ConfigError when the config *file* has an account *name*, or cannot be added to at all.

    Raises ChangeableByOthers, as ``add_account`` does.
    """
    with _locked(file, file.resolve()) as text:
        _refuse_known(_parsed(text, file), name, file)


def write_new_config(file: Path, document: dict[str, Any]) -> None:
    """Write *document* as TOML to *file*, mode 0600.

    Raises ConfigError when it exists or cannot be written, ChangeableByOthers when others could replace it there.
    """
    import tomli_w

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
    """What ``add_account`` did besides.  default_account: set for the one that was alone before.  backup: the file as
    it was, where it had to be written anew, without its comments."""

    default_account: str | None = None
    backup: Path | None = None


def add_account(file: Path, name: str, account: dict[str, Any], *, replace: bool = False) -> Added:
    """Add ``[accounts.NAME]`` to the config *file*; every other line of it stays, comments included.

    replace: put it in the place of one that is there; comments are lost then, and the old file is kept as a backup.
    Raises ConfigError, having changed nothing, when the account exists or the file cannot be read or written, and
    ChangeableByOthers when others could have written it.
    """
    import tomli_w

    real = file.resolve()
    with _locked(file, real) as old:
        document = _parsed(old, file)
        accounts = _accounts(document, file)
        if not replace:
            _refuse_known(document, name, file)
        default = _only_one(document, accounts, name)
        first = {"default_account": default} if default is not None else {}
        wanted = {**first, **document, "accounts": {**accounts, name: account}}
        text = _appended(old, tomli_w.dumps(first), tomli_w.dumps({"accounts": {name: account}}))
        if _reads_as(text, wanted):
            _replace(real, text)
            return Added(default)
        backup = _backed_up(real)
        try:
            _replace(real, tomli_w.dumps(wanted))
        except BaseException:
            backup.unlink()
            raise
        return Added(default, backup)


def _backed_up(file: Path) -> Path:
    """A second name for the file as it is now, one that nothing has yet."""
    for number in count():
        backup = file.with_name(f"{file.name}.bak{number or ''}")
        with suppress(FileExistsError):
            os.link(file, backup)
            os.chmod(backup, 0o600)
            return backup
    raise AssertionError("numbers end")


def _only_one(document: dict[str, Any], accounts: dict[str, Any], new: str) -> str | None:
    """The account that was the default because it was alone, and would be so no more."""
    if len(accounts) != 1 or new in accounts or "default_account" in document:
        return None
    return next(iter(accounts))


def _appended(old: str, top: str, bottom: str) -> str:
    """*old* with something before and after it, in its own kind of line ends."""
    end = "\r\n" if "\r\n" in old else "\n"
    return top.replace("\n", end) + old.rstrip(" \t\r\n") + end + end + bottom.replace("\n", end)


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


def _accounts(document: dict[str, Any], file: Path) -> dict[str, Any]:
    accounts = document.get("accounts", {})
    if not isinstance(accounts, dict):
        raise ConfigError(f"{file}: accounts must be a table", hint="write each account as [accounts.NAME]")
    return accounts


@contextmanager
def _locked(file: Path, real: Path) -> Iterator[str]:
    """The text of *file*, while nobody else adds to it."""
    try:
        lock = os.open(real.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            data, status = read_bounded(real, MAX_CONFIG_BYTES, CONFIG_SECONDS)
            # What others have written would be the user's own afterwards.  What root writes stays its owner's.
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
    except (ValueError, RecursionError) as error:  # of tomllib, and of numbers and tables without end
        raise ConfigError(f"{file}: not valid TOML: {error}", hint="correct the line it names") from None


def _reads_as(text: str, wanted: dict[str, Any]) -> bool:
    """Whether *text* says just that: what is appended may clash with an inline table, say."""
    with suppress(ValueError, RecursionError):
        return tomllib.loads(text) == wanted
    return False


def _replace(file: Path, text: str) -> None:
    """Put *text* in the place of *file* at once, mode 0600, with its owner."""
    with _written_aside(file, text) as new:
        with suppress(FileNotFoundError, PermissionError):
            before = file.stat()
            os.chown(new, before.st_uid, before.st_gid)
        put_in_place(new, file)


@contextmanager
def _written_aside(file: Path, text: str) -> Iterator[Path]:
    """A new file beside *file* with *text* in it, on the disk and mode 0600; gone at the end, unless renamed."""
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
