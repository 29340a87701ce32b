"""Other drop-ins for sendmail(8), which keep a message for a daemon or for cron: how each of them is called.

Each is unpacked from Debian's package, never installed, and writes into a directory of its own.
"""

import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks.common import unpacked

HOST = "bench.example.com"
POSTFIX = """\
compatibility_level = 3.6
queue_directory = {queue}
data_directory = {data}
command_directory = {root}/usr/sbin
daemon_directory = {root}/usr/lib/postfix/sbin
shlib_directory = {root}/usr/lib/postfix
mail_owner = mail
setgid_group = uucp
inet_interfaces = loopback-only
inet_protocols = ipv4
alias_maps =
alias_database =
myhostname = {host}
import_environment = MAIL_CONFIG LD_LIBRARY_PATH
export_environment = MAIL_CONFIG LD_LIBRARY_PATH
"""
DMA = "SPOOLDIR {spool}\nDEFER\nMAILNAME {host}\nSMARTHOST 127.0.0.1\n"
_INSIDE = "PRX_BENCHMARK_MAY_MOUNT"
_UNSHARE = ["unshare", "--mount", "--propagation", "private"]


class Peer(NamedTuple):
    """How another program is called, and where it leaves the message."""

    command: list[str]
    env: dict[str, str]
    queue: Path


def with_mounts_of_its_own() -> None:
    """Begin this program again where it may mount, if root may do that here; then dma's /etc can be its own."""
    if _INSIDE in os.environ or os.geteuid() != 0 or not shutil.which("unshare"):
        return
    if subprocess.run([*_UNSHARE, "true"], capture_output=True, check=False).returncode == 0:
        main = sys.modules["__main__"].__spec__
        assert main is not None
        again = [*_UNSHARE, sys.executable, "-m", main.name, *sys.argv[1:]]
        os.execvpe(again[0], again, {**os.environ, _INSIDE: "1"})


def peers(directory: Path) -> dict[str, Peer]:
    """Prepare the peers below *directory*; say of each that cannot be run why not."""
    found: dict[str, Peer] = {}
    makers: dict[str, Callable[[Path], Peer]] = {
        "postfix sendmail": _postfix, "nullmailer-inject": _nullmailer, "msmtpq": _msmtpq, "dma": _dma,
    }  # fmt: skip
    for name, make in makers.items():
        own = directory / name.replace(" ", "-")
        own.mkdir()
        try:
            found[name] = make(own)
        except (OSError, subprocess.CalledProcessError, PermissionError) as error:
            print(f"{name} cannot be run here: {error}", flush=True)
    return found


def _postfix(own: Path) -> Peer:
    """Return Postfix's sendmail, whose postdrop writes into a maildrop; its pickup is there and takes nothing."""
    root, env = unpacked("postfix")
    for name in ("conf", "data", "queue/maildrop", "queue/public", "queue/pid"):
        (own / name).mkdir(parents=True)
    (own / "conf/master.cf").touch()
    (own / "conf/main.cf").write_text(POSTFIX.format(queue=own / "queue", data=own / "data", root=root, host=HOST))
    _woken(own / "queue/public/pickup")
    command = [str(root / "usr/sbin/sendmail"), "-C", str(own / "conf"), "-i", "a@example.com"]
    return Peer(command, {**env, "MAIL_CONFIG": str(own / "conf")}, own / "queue/maildrop")


def _woken(path: Path) -> None:
    """Listen at *path*, as the daemon does that a message wakes."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen(100)

    def serve() -> None:
        while True:
            server.accept()[0].close()

    threading.Thread(target=serve, daemon=True).start()


def _nullmailer(own: Path) -> Peer:
    root, env = unpacked("nullmailer")
    for name in ("conf", "queue/queue", "queue/tmp"):
        (own / name).mkdir(parents=True)
    os.mkfifo(own / "queue/trigger")
    env |= {"NULLMAILER_TEST_PREFIX": str(own), "NULLMAILER_QUEUE": str(root / "usr/sbin/nullmailer-queue")}
    return Peer([str(root / "usr/bin/nullmailer-inject"), "a@example.com"], env, own / "queue/queue")


def _msmtpq(own: Path) -> Peer:
    """Return msmtpq, which keeps a message when its ping says that the machine is offline: here that fails at once."""
    root, env = unpacked("msmtp")
    ping = own / "bin/ping"
    ping.parent.mkdir()
    ping.write_text("#!/bin/sh\nexit 1\n")
    ping.chmod(0o755)
    env |= {
        "PATH": f"{ping.parent}:{os.environ.get('PATH', '')}", "MSMTP": str(root / "usr/bin/msmtp"),
        "MSMTPQ_Q": str(own / "queue"), "MSMTPQ_LOG": str(own / "log"), "EMAIL_QUEUE_QUIET": "t",
    }  # fmt: skip
    script = root / "usr/libexec/msmtp/msmtpq/msmtpq"
    return Peer(["bash", str(script), "-i", "a@example.com"], env, own / "queue")


def _dma(own: Path) -> Peer:
    """Return dma, told to queue and not to deliver; its config has but one place, which is mounted here."""
    if _INSIDE not in os.environ:
        raise PermissionError("its config is /etc/dma/dma.conf, and only root may mount another /etc for it")
    root, env = unpacked("dma")
    spool, config = own / "spool", own / "etc/dma"
    spool.mkdir()
    shutil.chown(spool, "mail", "mail")  # the user that it becomes
    spool.chmod(0o2770)
    config.mkdir(parents=True)
    (config / "dma.conf").write_text(DMA.format(spool=spool, host=HOST))
    for directory in (own, *list(own.parents)[: len(own.parents) - 2]):
        if directory.stat().st_uid == os.geteuid():
            directory.chmod(directory.stat().st_mode | 0o011)
    subprocess.run(["mount", "-t", "overlay", "-o", f"lowerdir={own / 'etc'}:/etc", "bench", "/etc"], check=True)
    return Peer([str(root / "usr/sbin/dma"), "-i", "a@example.com"], env, spool)
