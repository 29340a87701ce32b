"""Where things lie when the user does not say."""

import os
from pathlib import Path

ENV_CONFIG = "PRX_EMAIL_CONFIG"


def default_config_file() -> Path:
    """``$PRX_EMAIL_CONFIG``, else ``prx-email/config.toml`` in the platform's user config directory."""
    named = os.environ.get(ENV_CONFIG)
    if named:
        return Path(named).expanduser()
    from platformdirs import user_config_path

    return user_config_path("prx-email") / "config.toml"


def default_outbox_file() -> Path:
    """``prx-email/outbox.db`` in the platform's user data directory."""
    from platformdirs import user_data_path

    return user_data_path("prx-email") / "outbox.db"


def default_state_dir() -> Path:
    """``prx-email`` in the platform's user state directory: what the program keeps for itself, such as tokens."""
    from platformdirs import user_state_path

    return user_state_path("prx-email")
