"""Tell cheaply that this user has no config, nor may read the system's, so that mail goes into the drop directory."""

import os
import sys

from prx_email_cli.sendmail.known import FOR_THE_FULL_WAY

SYSTEM_CONFIG = "/etc/prx-email/config.toml"


def is_surely_out_of_reach() -> bool:
    """Tell whether ``source.is_out_of_reach`` is true of the default config; False also where this is not certain."""
    named = os.environ.get("PRX_EMAIL_CONFIG", "")
    file = named or _default_config_file()
    if not file.startswith("/") or any(os.environ.get(name) for name in FOR_THE_FULL_WAY):
        return False
    try:
        os.close(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC))
    except FileNotFoundError:
        return not named
    except OSError as error:
        return isinstance(error, PermissionError)
    return False


def _default_config_file() -> str:
    """Return the path; "" where ``paths.default_config_file`` must be asked."""
    home, config = os.environ.get("HOME", ""), os.environ.get("XDG_CONFIG_HOME", "")
    above = config or (f"{home.rstrip('/')}/.config" if home.startswith("/") else "")
    if sys.platform != "linux" or not above.startswith("/"):
        return ""
    own = f"{above}/prx-email/config.toml"
    return SYSTEM_CONFIG if not os.path.lexists(own) and os.access(SYSTEM_CONFIG, os.R_OK) else own
