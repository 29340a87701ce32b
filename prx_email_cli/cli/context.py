"""What one invocation knows: where its config is, how it answers, what time it is."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from prx_email_cli.errors import ValidationError

if TYPE_CHECKING:
    from prx_email_cli.config.settings import Settings
    from prx_email_cli.outbox.sqlite.store import SqliteStore


LATEST_TIME = 253_370_764_800  # the year 9999: nothing is due later, and no calendar ends in between


class Invocation:
    """Shared by the root command, which fills it, and the command that runs."""

    def __init__(self, config: Path | None = None) -> None:
        self._config = config
        self.json = False

    @property
    def config_file(self) -> Path:
        """The config file that this invocation uses, whether it exists or not."""
        from prx_email_cli.config.paths import default_config_file

        return self._config or default_config_file()

    def settings(self) -> "Settings":
        """The checked config.  Raises ConfigError, ReadableByOthers."""
        from prx_email_cli.config.settings import load_settings

        return load_settings(self.config_file)

    @contextmanager
    def store(self, settings: "Settings") -> "Iterator[SqliteStore]":
        """The open outbox.  Raises StorageError, OutboxBusy, ReadableByOthers."""
        from prx_email_cli.outbox.sqlite.store import SqliteStore

        outbox = settings.outbox
        store = SqliteStore(
            outbox.path, message_id_domain=outbox.message_id_domain, busy_timeout_seconds=outbox.busy_timeout_seconds
        )
        try:
            yield store
        finally:
            store.close()


def invocation(ctx: typer.Context) -> Invocation:
    """The Invocation that the root command made."""
    found: Any = ctx.find_object(Invocation)
    return found if found is not None else Invocation()


def clock(now_ts: int | None) -> Callable[[], int]:
    """Unix seconds: the real time, or for a rehearsal always *now_ts*.  Raises ValidationError beyond LATEST_TIME."""
    if now_ts is None:
        return lambda: int(time.time())
    if now_ts > LATEST_TIME:
        raise ValidationError(f"--now-ts: {now_ts} is after the year 9998", hint="Unix time is in seconds")
    return lambda: now_ts


def on_terminal(stream: Any) -> bool:
    """Whether a person is at *stream*; nobody is at one that was closed, which is None."""
    return stream is not None and bool(stream.isatty())
