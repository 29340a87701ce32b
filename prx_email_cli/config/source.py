"""Name the variables by which the environment configures the program."""

import os

ENV_URL, ENV_URL_FILE = "PRX_EMAIL_URL", "PRX_EMAIL_URL_FILE"
ENV_FROM, ENV_OUTBOX = "PRX_EMAIL_FROM", "PRX_EMAIL_OUTBOX"


def variable_with_account() -> str | None:
    """Name the variable that gives an account; None without one."""
    return next((name for name in (ENV_URL, ENV_URL_FILE) if os.environ.get(name)), None)


def is_asked() -> bool:
    """Tell whether the environment configures anything."""
    return variable_with_account() is not None or bool(os.environ.get(ENV_OUTBOX))
