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


def parent() -> str:
    """Return the name of the program that called this one; "" where it cannot be told."""
    try:
        with open(f"/proc/{os.getppid()}/comm", encoding="utf-8", errors="replace") as file:
            name = file.read().strip()
    except OSError:
        return ""
    return name if name.isprintable() else ""
