"""Find where the settings come from: a config file, or variables of the environment."""

import os
from pathlib import Path

from prx_email_cli.config.paths import ENV_CONFIG, default_config_file
from prx_email_cli.errors import ConfigError

ENV_URL, ENV_URL_FILE = "PRX_EMAIL_URL", "PRX_EMAIL_URL_FILE"
ENV_FROM, ENV_OUTBOX = "PRX_EMAIL_FROM", "PRX_EMAIL_OUTBOX"


def variable_with_account() -> str | None:
    """Name the variable that gives an account; None without one."""
    return next((name for name in (ENV_URL, ENV_URL_FILE) if os.environ.get(name)), None)


def is_asked() -> bool:
    """Tell whether the environment configures anything."""
    return variable_with_account() is not None or bool(os.environ.get(ENV_OUTBOX))


def is_without_file(config: Path | None) -> bool:
    """Tell whether the environment alone gives the settings: no file is named or there."""
    if config is not None or os.environ.get(ENV_CONFIG) or variable_with_account() is None:
        return False
    try:
        return not os.path.lexists(default_config_file())
    except ConfigError:  # no home directory
        return True


def is_out_of_reach(config: Path | None) -> bool:
    """Tell whether this user has no config, nor may read the one that is named by default or as *config*.

    False for a config that is named and missing: a person has mistyped its name.
    """
    if is_asked():
        return False
    try:
        os.close(os.open(config or default_config_file(), os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC))
    except ConfigError:  # no home directory
        return True
    except FileNotFoundError:
        return not (config or os.environ.get(ENV_CONFIG))
    except OSError as error:
        return isinstance(error, PermissionError)
    return False
