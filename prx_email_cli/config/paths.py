"""Default places of config, outbox and tokens, and the expansion of ``~``.

A container may have no home directory at all: no HOME, and no entry for the user in the passwd file.  That is an error
only where one is needed, and never a directory named ``~``.
"""

import os
from pathlib import Path

from prx_email_cli.errors import ConfigError

ENV_CONFIG = "PRX_EMAIL_CONFIG"


def default_config_file() -> Path:
    """Name the config: ``$PRX_EMAIL_CONFIG``, else ``prx-email/config.toml`` in the user's config directory."""
    named = os.environ.get(ENV_CONFIG)
    if named:
        return expanded(named)
    return _user_directory("config", "or name the config with --config FILE or PRX_EMAIL_CONFIG") / "config.toml"


def default_outbox_file() -> Path:
    """Name the outbox: ``prx-email/outbox.db`` in the user's data directory."""
    return _user_directory("data", "or name the outbox as path in [outbox] (init: --outbox FILE)") / "outbox.db"


def default_state_dir() -> Path:
    """Name the directory of tokens: ``prx-email`` in the user's state directory."""
    return _user_directory("state", "tokens are kept there")


def expanded(text: str) -> Path:
    """Make a path of *text*, with the home directory for a ``~`` at its beginning.  Raises ConfigError."""
    if not text.startswith("~"):
        return Path(text)
    if text == "~" or text.startswith("~/"):
        _check_home("or write the whole path")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ConfigError(f"{text}: there is no such user here", hint="write the whole path") from None


def absolute(text: str) -> Path:
    """Make an absolute path of *text*.  Raises ConfigError."""
    try:
        return expanded(text).absolute()
    except OSError as error:
        raise ConfigError(
            f"{text}: the working directory is gone: {error.strerror}", hint="cd to another one"
        ) from None


def _user_directory(kind: str, otherwise: str) -> Path:
    """Name ``prx-email`` in the user's directory of this *kind*, which XDG_…_HOME can name.  Raises ConfigError."""
    import platformdirs  # on use

    variable = f"XDG_{kind.upper()}_HOME"
    named = os.environ.get(variable, "").strip()
    if not os.path.isabs(named):  # the XDG Base Directory Specification: a relative one is invalid and ignored
        _check_home(f"or {variable}, {otherwise}")
    path = Path(getattr(platformdirs, f"user_{kind}_dir")("prx-email"))
    if not path.is_absolute():
        raise ConfigError(f"{variable} is not an absolute path: {named!r}", hint=f"correct it, {otherwise}")
    return path


def _check_home(otherwise: str) -> None:
    """Check that there is a home directory.  Raises ConfigError."""
    home = os.environ.get("HOME")
    if home is not None and not os.path.isabs(home):
        raise ConfigError(f"HOME is not an absolute path: {home!r}", hint=f"correct it, {otherwise}")
    if home is None and not os.path.isabs(os.path.expanduser("~")):
        raise ConfigError(
            "there is no home directory: HOME is not set, and this user has no entry in the passwd file",
            hint=f"set HOME, {otherwise}",
        )
