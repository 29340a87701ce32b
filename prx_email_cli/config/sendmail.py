"""``[sendmail]``: where mail to local names such as ``root`` goes, and where other users leave theirs."""

import os
import stat
from pathlib import Path

from prx_email_cli.config.domains import is_domain
from prx_email_cli.config.table import Place, Table, key
from prx_email_cli.errors import ConfigError

REASONS = "reasons.log"  # in the directory for what was refused: why
_NEEDED, _REFUSED = stat.S_ISVTX | 0o003, 0o004  # everybody makes names, nobody sees or removes those of others


class SendmailSettings(Table):
    """``[sendmail]``: what the drop-in for sendmail(8) does with recipients that are local names."""

    aliases: dict[str, tuple[str, ...]] = key(
        'local names, and the address or list of addresses of each; "*" stands for all others', dict
    )
    aliases_file: Path | None = key("asked for names that are not in aliases: /etc/aliases, for example", None)
    default_domain: str | None = key("what is added to a name that has no alias", None)
    drop: Path | None = key(
        "where users leave mail who may not use the outbox, mode 3733; by default drop beside it, where there is one",
        None,
    )


def check_sendmail(sendmail: SendmailSettings, file: Path) -> None:
    """Check what the types do not.  file: the config.  Raises ConfigError."""
    place = Place(file, "sendmail")
    if sendmail.default_domain is not None and not is_domain(sendmail.default_domain):
        raise place.error("default_domain", "is not a domain name", 'write it as "example.com"')
    for name in sendmail.aliases:
        if "@" in name:
            raise place.error(f"aliases.{name}", "is an address", "aliases are for local names, such as root")


def drop_path(sendmail: SendmailSettings, outbox: Path) -> Path:
    """Return where the drop directory of the *outbox* at this path is or would be."""
    return sendmail.drop or outbox.with_name("drop")


def refused_beside(drop: Path) -> Path:
    """Return the directory for what was refused of a drop directory, which only the outbox's user can read."""
    return drop.with_name("refused")


def drop_of(sendmail: SendmailSettings, outbox: Path) -> Path | None:
    """Return the drop directory of the *outbox* at this path; None without one, which costs one call of stat.

    Raises ConfigError for one that is named in the config and cannot be used.
    """
    path = drop_path(sendmail, outbox)
    try:
        status = os.stat(path, follow_symlinks=False)
    except OSError as error:
        why = str(error.strerror)
    else:
        mode = status.st_mode
        if stat.S_ISDIR(mode) and mode & _NEEDED == _NEEDED and not mode & _REFUSED:
            return path
        why = f"mode {stat.S_IMODE(mode):04o}" if stat.S_ISDIR(mode) else "not a directory"
    if sendmail.drop is None:
        return None
    raise ConfigError(
        f"the drop directory {path} cannot be used: {why}",
        hint="make it as the outbox's user: mkdir -m 3733; or remove [sendmail] drop",
    )
