"""Open the outbox that the config names by a URL."""

import os
import re
from contextlib import closing
from typing import TYPE_CHECKING, Any

from prx_email_cli.config.outbox import parts_of
from prx_email_cli.config.paths import default_state_dir
from prx_email_cli.config.secrets import secret_in
from prx_email_cli.errors import ConfigError, StorageError
from prx_email_cli.outbox.digest import content_digest
from prx_email_cli.redaction import from_outside, remember

if TYPE_CHECKING:
    from pathlib import Path

    from prx_email_cli.config.outbox import OutboxSettings
    from prx_email_cli.outbox.lifecycle import RetryPolicy
    from prx_email_cli.outbox.postgres.connection import Where
    from prx_email_cli.outbox.postgres.end import PostgresEnd
    from prx_email_cli.outbox.postgres.store import PostgresStore

_ENCODE = "write each character of user and password but letters and digits as %XX: @ is %40, / is %2F, # is %23"
_INSTALL = "pip install 'prx-email-cli[postgres]'"
_PARAMETERS = "after the ? stand libpq's parameters: sslmode=verify-full&sslrootcert=FILE; a ? of a password is %3F"


def open_store(outbox: "OutboxSettings") -> "PostgresStore":
    """Open the outbox.  Raises what ``where`` and ``connection.connect`` do."""
    place = where(outbox)
    from prx_email_cli.outbox.postgres.store import Patience, PostgresStore  # on use

    patience = Patience(outbox.busy_timeout_seconds, others_wait_seconds=outbox.others_wait_seconds)
    return PostgresStore(place, records(outbox), outbox.message_id_domain, patience)


def end_of(outbox: "OutboxSettings", policy: "RetryPolicy", now: int | None, *, create: bool) -> "PostgresEnd":
    """Open an outbox that is copied, or made by a copy; see ``open.end_of_copy``."""
    if not create:
        _check_is_made(outbox)
    store = open_store(outbox)
    from prx_email_cli.outbox.postgres.end import PostgresEnd  # on use

    return PostgresEnd(store, policy, int(store.clock()) if now is None else now, outbox.busy_timeout_seconds)


def _check_is_made(outbox: "OutboxSettings") -> None:
    """Raise StorageError where the database has no tables yet: it would be made, and its emptiness be copied."""
    place = where(outbox)
    from prx_email_cli.outbox.postgres.connection import connect  # on use
    from prx_email_cli.outbox.postgres.faults import storage_errors  # on use
    from prx_email_cli.outbox.postgres.migrating import state_of  # on use

    ours = connect(place, outbox.busy_timeout_seconds, prepare=False)
    with closing(ours.connection), storage_errors(place.name):
        version = state_of(ours, place.name).version
    if not version:
        raise StorageError(f"there is no outbox in the database {place.name}", hint="check the name of the database")


def records(outbox: "OutboxSettings") -> "Path":
    """Return beside which path this machine keeps its flight records of this database."""
    return default_state_dir() / f"postgresql-{content_digest(outbox.name.encode())[:16]}"


def where(outbox: "OutboxSettings") -> "Where":
    """Return what libpq is to be given.

    Raises ConfigError where psycopg is missing or broken and for a wrong URL, and as ``secrets.secret_in``.
    """
    try:
        from psycopg.conninfo import make_conninfo  # on use
    except ModuleNotFoundError:
        raise ConfigError("[outbox] url needs psycopg, which is not installed", hint=_INSTALL) from None
    except Exception as error:  # noqa: BLE001 - half an installation can raise anything
        said = from_outside(" ".join(str(error).split()))
        raise ConfigError(f"[outbox] url needs psycopg, which does not work here: {said}", hint=_INSTALL) from None
    from prx_email_cli.outbox.postgres.connection import Where  # on use

    parameters = _parameters(outbox.url or "")
    password = secret_in(outbox, "password", "outbox")
    if password is not None:
        parameters["password"] = password
    for name in outbox.variables_with_secrets():
        remember(os.environ.get(name, ""))
    return Where(make_conninfo(**parameters), outbox.name)


def _parameters(url: str) -> dict[str, Any]:
    """Read the URL as libpq does.  Raises ConfigError, which shows nothing that might be a part of a password."""
    import psycopg  # on use
    from psycopg.conninfo import conninfo_to_dict  # on use

    if "@" in parts_of(url)[1]:  # libpq would ask the network for a host that is named like the end of a password
        raise ConfigError("[outbox] url: has one @ too many before its host", hint=_ENCODE)
    try:
        parameters = conninfo_to_dict(url)
    except (psycopg.Error, UnicodeError) as error:
        what = re.sub(r':? "[^"]*"?', "", " ".join(str(error).split()))
        raise ConfigError(f"[outbox] url: {what}", hint=_PARAMETERS if "parameter" in what else _ENCODE) from None
    for name in ("password", "sslpassword"):
        remember(str(parameters.get(name) or ""))
    for port in str(parameters.get("port") or "").split(","):
        if port and not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
            raise ConfigError("[outbox] url: the port is not a number from 1 to 65535", hint=_ENCODE)
    return parameters
