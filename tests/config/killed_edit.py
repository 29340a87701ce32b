"""Runs a change of a config again and again, and kills it one step later each time.

``python killed_edit.py DIRECTORY init|add|replace|unfold|remove|default``: a step is one line of
prx_email_cli/config/edit.py that is about to run, and before it the process that makes the change gets its SIGKILL.
For each step, one line of JSON tells what was left: the file's text or null, its mode, and the names in its directory.
The last one is of the change that lived to its end.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomli_w

from prx_email_cli.config import edit

APPENDED_TO = '# mine\n[accounts.old]\nfrom = "a@example.com"\n'
REPLACED = '# mine\n[accounts.old]\nfrom = "a@example.com"\n[accounts.new]\nfrom = "b@example.com"\n'
UNFOLDED = 'accounts = {old = {from = "a@example.com"}} # mine\n'
ACCOUNT = {"from": "new@example.com", "smtp": {"host": "mail.example.com", "auth": {"password": "x" * 20_000}}}
TWO = '# mine\n[accounts.old]\nfrom = "a@example.com"\n' + tomli_w.dumps({"accounts": {"new": ACCOUNT}})


def _init(file: Path) -> None:
    edit.write_new_config(file, {"accounts": {"new": ACCOUNT}})


def _add(file: Path) -> None:
    edit.add_account(file, "new", ACCOUNT)


def _replace(file: Path) -> None:
    edit.add_account(file, "new", ACCOUNT, replace=True)


def _remove(file: Path) -> None:
    edit.remove_account(file, "old")


def _default(file: Path) -> None:
    edit.set_default_account(file, "new")


CHANGES: dict[str, tuple[str | None, Callable[[Path], None]]] = {
    "init": (None, _init),
    "add": (APPENDED_TO, _add),
    "replace": (REPLACED, _replace),
    "unfold": (UNFOLDED, _add),
    "remove": (TWO, _remove),
    "default": (TWO, _default),
}


def _die_at(step: int) -> None:
    """Kill this process before it runs the line of the writer that is the *step*th, counted from 0."""
    left = step

    def trace(frame: Any, event: str, argument: object) -> Any:
        nonlocal left
        if frame.f_code.co_filename != edit.__file__:
            return None
        if event == "line":
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
        return trace

    sys.settrace(trace)


def main() -> None:
    """Try every step."""
    place, (old, change) = Path(sys.argv[1]), CHANGES[sys.argv[2]]
    step, killed = 0, True
    while killed:
        directory = place / str(step)
        directory.mkdir()
        file = directory / "config.toml"
        if old is not None:
            file.write_text(old)
        child = os.fork()
        if child == 0:
            _die_at(step)
            change(file)
            os._exit(0)
        killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        text = file.read_text() if file.exists() else None
        mode = file.stat().st_mode & 0o777 if text is not None else None
        print(json.dumps({"text": text, "mode": mode, "names": sorted(os.listdir(directory)), "killed": killed}))
        shutil.rmtree(directory)
        step += 1


if __name__ == "__main__":
    main()
