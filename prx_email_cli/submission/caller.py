"""Tell who calls this program, on which machine; cheap enough for every ``send`` and for ``prx-sendmail``."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from prx_email_cli.outbox.messages import Caller


LOCALHOST = "localhost"


def is_this_machine(domain: str) -> bool:
    """Tell whether *domain* is a name of this machine, to which no mail is sent over the network."""
    return domain.lower() in (LOCALHOST, os.uname().nodename.lower())


def caller(command: str) -> "Caller":
    """Return who calls this program to enqueue mail by *command*, such as ``send --batch``."""
    from prx_email_cli.outbox.messages import Caller  # on use

    return Caller(*named(command))


def caller_of(uid: int, command: str) -> "Caller":
    """Return the user *uid* of this machine as the caller."""
    from prx_email_cli.outbox.messages import Caller  # on use

    return Caller(_user_named(uid), uid, os.uname().nodename, command)


def named(command: str) -> tuple[str, int, str, str]:
    """Return the same as ``caller``, as a plain tuple."""
    uid = os.getuid()
    return os.environ.get("SUDO_USER") or _user_named(uid), uid, os.uname().nodename, command


def _user_named(uid: int) -> str:
    import pwd  # on use

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def called_by_parent(command: str) -> "Caller":
    """Return what ``caller`` does, with the program that called this one named behind *command*."""
    return caller(by_parent(command))


def by_parent(command: str) -> str:
    """Return *command* with the program that called this one named behind it, where that can be told.

    Many programs call through a shell, as popen(3) does: the shell's own caller is named then.
    """
    shell = os.getppid()
    name = _line(shell, "comm")
    if name.endswith("sh") and _is_given_a_command(_line(shell, "cmdline")):
        behind = _line(_parent_of(shell), "comm")
        name = f"{behind} ({name} -c)" if behind else name
    return f"{command}, called by {name}" if name and name.isprintable() else command


def _is_given_a_command(words: str) -> bool:
    first = words.split("\0")[1:2]
    return bool(first) and first[0].startswith("-") and first[0].endswith("c")


def _parent_of(process: str | int) -> str:
    """Return the parent's id, from proc(5): behind the name in parentheses, which may hold any, and the state."""
    return (_line(process, "stat").rpartition(")")[2].split() or ["", ""])[1]


def _line(process: str | int, name: str) -> str:
    """Return what proc(5) tells of a process; "" where it cannot be told."""
    try:
        with open(f"/proc/{process}/{name}", encoding="utf-8", errors="replace") as file:
            return file.read().strip()
    except OSError:
        return ""
