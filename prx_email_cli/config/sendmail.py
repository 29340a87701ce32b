"""``[sendmail]``: where mail to local names such as ``root`` goes."""

from pathlib import Path

from prx_email_cli.config.domains import is_domain
from prx_email_cli.config.table import Place, Table, key


class SendmailSettings(Table):
    """``[sendmail]``: what the drop-in for sendmail(8) does with recipients that are local names."""

    aliases: dict[str, tuple[str, ...]] = key(
        'local names, and the address or list of addresses of each; "*" stands for all others', dict
    )
    aliases_file: Path | None = key("asked for names that are not in aliases: /etc/aliases, for example", None)
    default_domain: str | None = key("what is added to a name that has no alias", None)


def check_sendmail(sendmail: SendmailSettings, file: Path) -> None:
    """Check what the types do not.  file: the config.  Raises ConfigError."""
    place = Place(file, "sendmail")
    if sendmail.default_domain is not None and not is_domain(sendmail.default_domain):
        raise place.error("default_domain", "is not a domain name", 'write it as "example.com"')
    for name in sendmail.aliases:
        if "@" in name:
            raise place.error(f"aliases.{name}", "is an address", "aliases are for local names, such as root")
