"""A machine that runs systemd, for the units of the examples; see systemd.sh."""

from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import prx_email_cli

from .base import installed_root

HERE = Path(__file__).parent
NO_GROUPS = 77
USER, NUMBER = "prx-email", 64925
# The shell: a Python that is not Debian's finds its library where no unit may look.
WRAPPER = """#!/bin/sh
LD_LIBRARY_PATH=/opt/python/lib exec {python} -c '
import sys
sys.path[:0] = ["/opt/program", "/opt/site"]
sys.argv[0] = "{name}"
from {module} import main
main()
' "$@"
"""
SAID = "/var/log/said"
PROGRAMS = {"prx-email": "prx_email_cli.__main__", "prx-sendmail": "prx_email_cli.sendmail.main"}


class CannotBootError(Exception):
    """Why this kernel lets nobody boot a machine in namespaces."""


class Machine:
    """Runs systemd with some *units* in *work* while a ``with`` block lasts."""

    def __init__(self, work: Path, units: Path) -> None:
        self.work = work
        self.port = 0  # of the listener, for whoever sets it
        self._root = installed_root("systemd")
        for name in ("etc/prx-email", "bin", "opt"):
            (work / name).mkdir(parents=True)
        shutil.copytree(units, work / "units")
        for name, text in (("ready.target", "[Unit]\nDescription=Ready\n"), ("sysinit.target", "[Unit]\n"),
                           ("basic.target", "[Unit]\n"), ("sockets.target", "[Unit]\n"), ("timers.target", "[Unit]\n"),
                           ("shutdown.target", "[Unit]\n"), ("network-online.target", "[Unit]\n")):  # fmt: skip
            (work / "units" / name).write_text(text)
        (work / "units" / "service.d").mkdir()
        (work / "units" / "service.d" / "said.conf").write_text(f"[Service]\nStandardError=append:{SAID}\n")
        for name in ("passwd", "group"):
            home = f"{NUMBER}::/var/lib/prx-email:/usr/sbin/nologin" if name == "passwd" else ""
            (work / "etc" / name).write_text(Path("/etc", name).read_text() + f"{USER}:x:{NUMBER}:{home}\n")
        self._lay_out_program()

    def _lay_out_program(self) -> None:
        """Make the program one of /usr/local/bin: its units see no home directory and no /tmp."""
        python = "/usr/bin/python3"
        if sys.base_prefix != "/usr":
            (self.work / "opt" / "python").symlink_to(sys.base_prefix)
            python = f"/opt/python/bin/python{sys.version_info.major}.{sys.version_info.minor}"
        (self.work / "opt" / "site").symlink_to(site.getsitepackages()[0])
        (self.work / "opt" / "program").symlink_to(Path(prx_email_cli.__file__).parents[1])
        for name, module in PROGRAMS.items():
            file = self.work / "bin" / name
            file.write_text(WRAPPER.format(python=python, name=name, module=module))
            file.chmod(0o755)

    def configure(self, text: str) -> None:
        """Write the config that the units name, before or after the start."""
        file = self.work / "etc" / "prx-email" / "config.toml"
        file.write_text(text)
        os.chown(file, 0, NUMBER)
        file.chmod(0o640)
        if hasattr(self, "_pid"):
            self.run("sh", "-c", f"cat {file} > /etc/prx-email/config.toml")

    def __enter__(self) -> Self:
        os.chown(self.work / "etc" / "prx-email", 0, NUMBER)
        (self.work / "etc" / "prx-email").chmod(0o750)
        command: list[str | Path] = [
            "unshare",
            "--mount",
            "--propagation",
            "private",
            HERE / "systemd.sh",
            self._root,
            self.work,
        ]
        with (self.work / "console").open("wb") as console:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=console, stderr=console, start_new_session=True,
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
            )  # fmt: skip
        try:
            self._wait_until_up()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=60)

    def _wait_until_up(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            if self._process.poll() == NO_GROUPS:
                raise CannotBootError(self.console())
            assert self._process.poll() is None, self.console()
            assert time.monotonic() < deadline, self.console()
            found = _systemd_below(self._process.pid)
            if found is not None:
                self._pid = found
                if self.run("systemctl", "is-active", "ready.target", check=False).returncode == 0:
                    return
            time.sleep(0.05)

    def console(self) -> str:
        """What the machine has said while it was booted."""
        return (self.work / "console").read_text(errors="replace")

    def said(self) -> str:
        """What its services have said."""
        return self.run("sh", "-c", f"cat {SAID} || true").stdout

    def run(self, *command: str, text: str = "", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command on the machine, as root."""
        entered = ["nsenter", f"--target={self._pid}", "--mount", "--pid", "--uts", "--ipc", "--cgroup", *command]
        done = subprocess.run(
            entered, input=text, capture_output=True, text=True, check=False, timeout=120,
            env={"PATH": "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
        )  # fmt: skip
        assert not check or done.returncode == 0, (done, self.said())
        return done

    def run_as(self, number: int, *command: str, text: str = "") -> str:
        """Run a command on the machine as a user; its output."""
        rights = ["setpriv", f"--reuid={number}", f"--regid={number}", "--clear-groups"]
        return self.run(*rights, "env", "HOME=/nonexistent", *command, text=text).stdout

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--value", "-p", name, unit).stdout.strip()


def _systemd_below(pid: int) -> int | None:
    """The process of that name that *pid* has started, or one of those it has started."""
    try:
        children = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        for child in children:
            if Path(f"/proc/{child}/comm").read_text().strip() == "systemd":
                return child
            if (found := _systemd_below(child)) is not None:
                return found
    except OSError:
        pass
    return None
