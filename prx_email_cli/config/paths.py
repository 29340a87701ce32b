"""Find the default places of config, outbox and tokens, and expand ``~``.

A container may have no home directory: no HOME, and no entry for the user in the passwd file.  That is an error only
where a home directory is needed; no directory named ``~`` is ever made.
"""

import os
from pathlib import Path

from prx_email_cli.errors import ConfigError

ENV_CONFIG = "PRX_EMAIL_CONFIG"
SYSTEM_CONFIG = Path("/etc/prx-email/config.toml")


def default_config_file() -> Path:
    """Return the config's path: ``$PRX_EMAIL_CONFIG``, else the default.

    The default is ``prx-email/config.toml`` in the user's config directory; where there is none, the system's if this
    user may read that, as root and the user of a shared outbox may.  Raises ConfigError.
    """
    named = os.environ.get(ENV_CONFIG)
    if named:
        return expanded(named)
    try:
        own = _user_directory("config", "or name the config with --config FILE or PRX_EMAIL_CONFIG") / "config.toml"
    except ConfigError:
        if _is_system_readable():
            return SYSTEM_CONFIG
        raise
    return SYSTEM_CONFIG if not os.path.lexists(own) and _is_system_readable() else own


def _is_system_readable() -> bool:
    return os.access(SYSTEM_CONFIG, os.R_OK)


def default_outbox_file() -> Path:
    """Return the outbox's path: ``prx-email/outbox.db`` in the user's data directory.

    Raises ConfigError.
    """
    return _user_directory("data", "or name the outbox as path in [outbox] (init: --outbox FILE)") / "outbox.db"


def default_state_dir() -> Path:
    """Return the directory of tokens: ``prx-email`` in the user's state directory.

    Raises ConfigError.
    """
    return _user_directory("state", "for the tokens of accounts")


def expanded(text: str) -> Path:
    """Return *text* as a path, a leading ``~`` expanded.  Raises ConfigError."""
    if not text.startswith("~"):
        return Path(text)
    if text == "~" or text.startswith("~/"):
        _check_home("or write the whole path")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ConfigError(f"{text}: there is no such user here", hint="write the whole path") from None


def absolute(text: str) -> Path:
    """Return *text* as an absolute path, as ``expanded`` does.  Raises ConfigError."""
    try:
        return expanded(text).absolute()
    except OSError as error:
        raise ConfigError(
            f"{text}: the working directory is gone: {error.strerror}", hint="cd to another one"
        ) from None


def _user_directory(kind: str, otherwise: str) -> Path:
    """Return ``prx-email`` in the user's directory of this kind.

    kind: config, data or state, which XDG_…_HOME can name.  otherwise: the end of a hint.  Raises ConfigError.
    """
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
    """Check that there is a home directory; *otherwise*: the end of a hint.

    Raises ConfigError.
    """
    home = os.environ.get("HOME")
    if home is not None and not os.path.isabs(home):
        raise ConfigError(f"HOME is not an absolute path: {home!r}", hint=f"correct it, {otherwise}")
    if home is None and not os.path.isabs(os.path.expanduser("~")):
        raise ConfigError(
            "there is no home directory: HOME is not set, and this user has no entry in the passwd file",
            hint=f"set HOME, {otherwise}",
        )
