"""Check the drop directory, where users leave mail who may not use the outbox."""

import os
from collections.abc import Iterator
from pathlib import Path

from prx_email_cli.checks.check import Check, failed, ok, warning
from prx_email_cli.config.sendmail import REASONS, drop_of, refused_beside
from prx_email_cli.config.settings import Settings
from prx_email_cli.errors import ConfigError, Unwell


def check_drop(settings: Settings) -> Iterator[Check]:
    """Yield the check of the drop directory; nothing where there is none."""
    try:
        drop = drop_of(settings.sendmail, settings.outbox.path)
        if drop is None:
            return
        many, waiting = _refused(drop), len(os.listdir(drop))
    except ConfigError as error:
        yield failed("drop", error)
    except OSError as error:
        hint = "run doctor as the outbox's user"
        yield failed("drop", ConfigError(f"{error.filename} cannot be read: {error.strerror}", hint=hint))
    else:
        fix = f"{refused_beside(drop) / REASONS} says why; remove the files, or mv them back into {drop}"
        yield (
            warning("drop", f"{many} dropped files were refused", fix, Unwell)
            if many
            else ok("drop", f"{drop}, {waiting} files wait for a drain")
        )


def count_refused(settings: Settings) -> int:
    """Return how many dropped files were refused and still lie there; 0 where that cannot be told."""
    try:
        drop = drop_of(settings.sendmail, settings.outbox.path)
        return 0 if drop is None else _refused(drop)
    except (ConfigError, OSError):
        return 0


def _refused(drop: Path) -> int:
    try:
        return len([name for name in os.listdir(refused_beside(drop)) if name != REASONS])
    except FileNotFoundError:
        return 0
