"""Replaces tokens again and again and dies at every step of it: ``python dying.py CONFIG``.

A child is killed with SIGKILL at the 1st, 2nd, 3rd... call of a C function that may touch a file while it writes under
the lock, until one comes to its end; between two such calls the files stay as they are.
Prints a letter for each: what is in the cache after it, o(ld) or n(ew).
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from prx_email_cli.config.settings import load_settings
from prx_email_cli.oauth.server import Tokens
from prx_email_cli.oauth.tokens import TokenCache

OLD, NEW = Tokens("old" * 5000, 1, "rt-old"), Tokens("new" * 5000, 2, "rt-new")


Profile = Callable[[FrameType, str, object], None]


def write(cache: TokenCache, tokens: Tokens, profile: Profile | None = None) -> None:
    """As a renewal does it; *profile* sees what is done under the lock."""
    with cache.renewing() as renewal:
        sys.setprofile(profile)
        renewal.make_room()
        renewal.write(tokens)
        sys.setprofile(None)


def touches_files(function: object) -> bool:
    """Tell whether this C function, or the object whose method it is, belongs to a module of system calls."""
    owner = type(getattr(function, "__self__", None)).__module__
    return not {getattr(function, "__module__", None), owner}.isdisjoint(("posix", "fcntl", "_io"))


def dies_at(step: int, cache: TokenCache) -> bool:
    """Write NEW in a child that is killed at this step; False when it came to its end before."""
    child = os.fork()
    if child:
        return os.WIFSIGNALED(os.waitpid(child, 0)[1])
    left = step

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal left
        left -= event == "c_call" and touches_files(argument)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    write(cache, NEW, count)
    os._exit(0)


def main() -> None:
    account = load_settings(Path(sys.argv[1])).accounts["work"]
    cache = TokenCache(account, account.smtp.auth.oauth.refresh_token if account.smtp.auth.oauth else None)
    step, died = 0, True
    while died:
        write(cache, OLD)  # whatever the dead one left
        assert [file.suffix for file in sorted(cache.file.parent.iterdir())] == [".json", ".lock"]
        step += 1
        died = dies_at(step, cache)
        sys.stdout.write({OLD: "o", NEW: "n"}[cache.read() or Tokens("")])


main()
