"""Where the outbox of a whole machine and what belongs to it are, and its first config; pure."""

from pathlib import PurePosixPath
from typing import NamedTuple

ETC, LIB = PurePosixPath("/etc/prx-email"), PurePosixPath("/var/lib/prx-email")
CONFIG, RECORD = ETC / "config.toml", ETC / "installed.json"
OUTBOX, DROP, REFUSED = LIB / "outbox.db", LIB / "drop", LIB / "refused"
SENDMAILS = tuple(map(PurePosixPath, ("/usr/sbin/sendmail", "/usr/bin/mailq", "/usr/bin/newaliases")))
ASIDE = ".before-prx-email"  # behind the name of a sendmail that was there
NAME = "prx-email"  # of user and group
ROOT = "root"


class Owner(NamedTuple):
    """The user and group of the outbox."""

    user: str = NAME
    group: str = NAME


_CONFIG = """\
# The outbox of this machine, as prx-email install-system made it.  docs/configuration.md has every key.
# Mode 0640, root's: the group {group} reads it, nobody else.  Check it with: prx-email config check
default_account = "relay"

[outbox]
path = "{outbox}"
message_id_domain = "{domain}"

[accounts.relay]
from = "you@example.com"                        # where mail comes from: your address

[accounts.relay.smtp]
host = "mail.example.com"                       # your provider's server; prx-email providers knows many
port = 587                                      # 465 implicit TLS, 587 STARTTLS
# user = "you@example.com"
# [accounts.relay.smtp.auth]
# password_file = "{etc}/password"     # mode 0640, owned by root:{group}

[sendmail.aliases]
# root = "you@example.com"                      # where mail to root goes, and to other names:
# "*" = "you@example.com"
"""


def first_config(owner: Owner, domain: str) -> str:
    """Return the text of a config that can be used once host and addresses are filled in."""
    return _CONFIG.format(group=owner.group, outbox=OUTBOX, domain=domain, etc=ETC)
