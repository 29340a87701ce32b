"""Open the outbox that the config names by a URL."""

from typing import TYPE_CHECKING

from prx_email_cli.config.paths import default_state_dir
from prx_email_cli.config.secrets import secret_in
from prx_email_cli.errors import ConfigError
from prx_email_cli.outbox.digest import content_digest

if TYPE_CHECKING:
    from pathlib import Path

    from prx_email_cli.config.outbox import OutboxSettings
    from prx_email_cli.outbox.postgres.connection import Where
    from prx_email_cli.outbox.postgres.store import PostgresStore


def open_store(outbox: "OutboxSettings") -> "PostgresStore":
    """Open the outbox.  Raises ConfigError where psycopg is missing, and what ``connection.connect`` does."""
    try:
        from prx_email_cli.outbox.postgres.store import Patience, PostgresStore  # on use
    except ImportError:
        raise ConfigError(
            "[outbox] url needs psycopg, which is not installed", hint="pip install 'prx-email-cli[postgres]'"
        ) from None
    patience = Patience(outbox.busy_timeout_seconds, others_wait_seconds=outbox.others_wait_seconds)
    return PostgresStore(where(outbox), records(outbox), outbox.message_id_domain, patience)


def records(outbox: "OutboxSettings") -> "Path":
    """Return beside which path this machine keeps its flight records of this database."""
    return default_state_dir() / f"postgresql-{content_digest(outbox.name.encode())[:16]}"


def where(outbox: "OutboxSettings") -> "Where":
    """Return what libpq is to be given.  Raises as ``secrets.secret_in``."""
    from psycopg.conninfo import make_conninfo  # on use

    from prx_email_cli.outbox.postgres.connection import Where  # on use

    password = secret_in(outbox, "password", "outbox")
    return Where(make_conninfo(outbox.url or "", **({} if password is None else {"password": password})), outbox.name)
