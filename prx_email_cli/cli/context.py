"""Hold what the command line tells all commands: where the config is, JSON or not, and only a preview or not."""

import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from prx_email_cli.config.settings import Settings
    from prx_email_cli.outbox.store import Store


class Invocation:
    """Carries the config's path and the wish for JSON or a preview from the command line to what runs.

    enqueues_by: the command that enqueues mail, as it is recorded.
    """

    def __init__(self, config: Path | None = None) -> None:
        self._config = config
        self.json = False
        self.preview = False
        self.enqueues_by = "send"
        self._clock: Callable[[], float] | None = None  # of the outbox that was opened last
        self._opened: Store | None = None  # for the clock, until ``store`` hands it out

    @property
    def config_file(self) -> Path:
        """Name the config file, which need not exist."""
        from prx_email_cli.config.paths import default_config_file  # on use

        return self._config or default_config_file()

    @property
    def named_config(self) -> Path | None:
        """Return the config file that the command line names; None where it names none."""
        return self._config

    def command(self, *words: str) -> str:
        """Write the command line of these words for the same config, to be copied into a shell."""
        named = ["--config", str(self._config)] if self._config is not None else []
        return shlex.join(["prx-email", *named, *words])

    def settings(self) -> "Settings":
        """Load and check the config.  Raises ConfigError, ReadableByOthers."""
        from prx_email_cli.config.source import is_asked  # on use

        if is_asked():
            from prx_email_cli.config.environment import load  # on use

            return load(None if self.without_file else self.config_file)
        from prx_email_cli.config.settings import load_settings  # on use

        return load_settings(self.config_file)

    @property
    def without_file(self) -> bool:
        """Tell whether the settings come from the environment alone: no file is named, and there is none."""
        from prx_email_cli.config.source import is_without_file  # on use

        return is_without_file(self._config)

    @contextmanager
    def store(self, settings: "Settings", *, create: bool = True) -> "Iterator[Store]":
        """Open the outbox, and close it at the end; with *create*, make one where there is none.

        Raises StorageError, OutboxBusy, ReadableByOthers.
        """
        store, self._opened = self._opened or self._open(settings, create=create), None
        try:
            yield store
        finally:
            store.close()

    def clock(self, settings: "Settings", now_ts: int | None) -> "Callable[[], int]":
        """Make the clock of a command, by which it is decided what is due: the outbox's, or always *now_ts*.

        A database is opened for it at its first use, and then handed out by ``store``.  A preview goes by this
        machine's clock: it needs no database.  Raises ValidationError; its use raises as ``store``.
        """
        from prx_email_cli.cli.times import clock  # on use

        of_machine = settings.outbox.url is None or self.preview
        return clock(now_ts, time.time if of_machine else lambda: self._server_time(settings))

    def close(self) -> None:
        """Close what was opened for the clock alone."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _server_time(self, settings: "Settings") -> float:
        clock = self._clock
        if clock is None:
            self._opened = self._open(settings)
            clock = self._opened.clock
        return clock()

    def _open(self, settings: "Settings", *, create: bool = True) -> "Store":
        from prx_email_cli.outbox.open import open_store  # on use

        store = open_store(settings.outbox, create=create)
        self._clock = store.clock
        return store


def invocation(ctx: typer.Context) -> Invocation:
    """Find the Invocation that the root command made; a new one where there is none."""
    found: Any = ctx.find_object(Invocation)
    return found if found is not None else begun(ctx)


def begun(ctx: typer.Context, config: Path | None = None) -> Invocation:
    """Make the Invocation of a command line, to be closed at its end."""
    ctx.obj = this = Invocation(config)
    ctx.call_on_close(this.close)
    return this
