"""Passwords in the system's keyring, through the keyring library (an extra: many servers have no keyring)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from prx_email_cli.config.deadline import within
from prx_email_cli.config.settings import Account
from prx_email_cli.errors import ConfigError

TIMEOUT_SECONDS = 60  # as for a command; it may be asking somebody who is not there to unlock it
_HINT = "unlock it, or use password_file or password_command: servers and cron often have no keyring"


def stored_password(account: Account, where: str) -> str:
    """The account's password.  where: the config's key, for errors.  Raises ConfigError when there is none."""
    with _keyring(where) as keyring:
        password = within(TIMEOUT_SECONDS, lambda: keyring.get_password(*_entry(account)))
    if password is None:
        raise ConfigError(
            f"{where}: the keyring has no password for {account.smtp.user}",
            hint=f"prx-email account set-password {account.name}; cron may not see your session's keyring",
        )
    return str(password)


def store_password(account: Account, password: str) -> str:
    """Keep the account's password; the name of the keyring that has it now.  Raises ConfigError."""
    with _keyring("keyring") as keyring:
        keyring.set_password(*_entry(account), password)
        kept, name = keyring.get_password(*_entry(account)), str(keyring.get_keyring().name)
    if kept != password:
        raise ConfigError(f"the keyring did not keep the password ({name})", hint=_HINT)
    return name


def forget_password(account: Account) -> bool:
    """Delete the account's password; whether there was one.  Raises ConfigError."""
    with _keyring("keyring") as keyring:
        if keyring.get_password(*_entry(account)) is None:
            return False
        keyring.delete_password(*_entry(account))
        return True


def _entry(account: Account) -> tuple[str, str]:
    """Service and user name of the keyring's entry: two accounts on one server may share a login, not a password."""
    return f"prx-email/{account.name}", account.smtp.user or ""


@contextmanager
def _keyring(where: str) -> Iterator[Any]:
    try:
        import keyring
    except ImportError:
        raise ConfigError(
            f"{where}: this installation cannot use a keyring", hint="pip install 'prx-email-cli[keyring]'"
        ) from None
    from keyring.errors import KeyringError

    try:
        yield keyring
    except TimeoutError:
        raise ConfigError(f"{where}: no answer from the keyring within {TIMEOUT_SECONDS} s", hint=_HINT) from None
    except KeyringError as error:
        raise ConfigError(f"{where}: the keyring does not work here: {error}", hint=_HINT) from None
    except Exception as error:  # noqa: BLE001 - backends let through whatever meets them, with their files' content in it
        raise ConfigError(f"{where}: the keyring failed ({type(error).__name__})", hint=_HINT) from None
