"""Tell who calls this program; cheap enough for every ``send``."""

import os

from prx_email_cli.outbox.messages import Caller


def caller(command: str) -> Caller:
    """Return who calls this program to enqueue mail by *command*, such as ``send --batch``."""
    import pwd  # on use

    uid = os.getuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    return Caller(os.environ.get("SUDO_USER") or user, uid, os.uname().nodename, command)
