"""Writing a config file that is private from its first instant."""

import os
from pathlib import Path
from typing import Any

from prx_email_cli.errors import ConfigError


def write_new_config(file: Path, document: dict[str, Any]) -> None:
    """Write *document* as TOML to *file*, mode 0600.  Raises ConfigError when it exists or cannot be written."""
    import tomli_w

    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise ConfigError(
            f"{file} exists already; nothing was changed", hint="edit it, or name another file with --config FILE"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot write {file}: {error.strerror}", hint="check its directory") from None
    with open(descriptor, "wb") as stream:
        tomli_w.dump(document, stream)
        stream.flush()
        os.fsync(stream.fileno())
