"""A Postfix whose queue is filled first and delivered afterwards, to a server on a loopback port.

Its queue manager does not run until ``deliver``: until then messages wait in ``incoming``, from where it takes them
with the least work; neither the deferred queue nor a file of reasons is in its way.
"""

import os
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.common import postfix_tools
from tests.interop.servers import Certs, Postfix, ServerError
from tests.interop.servers.postfix import IN_SANDBOX, MASTER

MAIN = (
    IN_SANDBOX
    + """\
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
in_flow_delay = 0
relayhost = [127.0.0.1]:{relay_port}
local_transport = error:no local mail here
initial_destination_concurrency = {concurrency}
default_destination_concurrency_limit = {concurrency}
smtp_connection_cache_on_demand = {cache}
myhostname = {hostname}
"""
)
QUEUE_MANAGER = "qmgr unix n - n 300 1 qmgr\n"
CLIENT = "smtp unix - - n - - smtp\nscache unix - - n - 1 scache\n"
# Begins without the queue manager; a line in the FIFO lets master start it.
RUN = """\
#!/bin/sh
/usr/lib/postfix/sbin/master -d -c /srv/conf &
master=$!
read -r _ </srv/state/deliver
mv /srv/conf/master.delivering /srv/conf/master.cf
kill -HUP $master
wait $master
"""
LONGEST = 600.0


class Way(NamedTuple):
    """How the queue is delivered: to which loopback port, on how many connections, kept open or not."""

    port: int
    concurrency: int = 20
    cache: bool = False


class PostfixQueue(Postfix):
    """Postfix with nothing but a queue: what it takes from its own machine goes to ``way.port``."""

    def __init__(self, tmpdir: Path, certs: Certs, way: Way) -> None:
        super().__init__(tmpdir, certs)
        self._way = way

    def configure(self) -> None:
        """Write two master.cf, without the queue manager and with it, beside the queue directories."""
        super().configure()
        assert QUEUE_MANAGER in MASTER
        whole = MASTER.format(port=self.port, tls_port=self.tls_port) + CLIENT
        files = [
            self.write(
                "conf/main.cf",
                MAIN.format(
                    relay_port=self._way.port,
                    concurrency=self._way.concurrency,
                    cache="yes" if self._way.cache else "no",
                    hostname=self.hostname,
                ),
            ),
            self.write("conf/master.cf", whole.replace(QUEUE_MANAGER, "")),
            self.write("conf/master.delivering", whole),
        ]
        for file in files:
            os.utime(file, (0, 0))  # master waits for two seconds when one looks as if it is being edited
        self.script("run", RUN)
        os.mkfifo(self.tmpdir / "state" / "deliver")

    def command(self) -> list[str]:
        """Run master below a shell that waits for the word to deliver."""
        return ["sh", "/srv/bin/run"]

    def fill(self, count: int, size: int) -> None:
        """Queue *count* messages of *size* bytes, each to another recipient.  Raises ServerError."""
        _, source, env = postfix_tools()
        message = ["-N", "-f", "bench@example.com", "-t", "user@example.com", "-l", str(size), "-m", str(count)]
        subprocess.run([source, "-d", "-s", "10", *message, f"127.0.0.1:{self.port}"], env=env, check=True)
        queued = len(os.listdir(self.tmpdir / "queue" / "incoming"))
        if queued != count:
            raise ServerError(f"{queued} messages wait, not {count}:\n{self.log()[-4000:]}")

    def deliver(self, count: int) -> float:
        """Deliver the *count* messages that wait; the seconds until the queue is empty.  Raises ServerError."""
        queues = [self.tmpdir / "queue" / name for name in ("incoming", "active")]  # in a message's order
        start = time.perf_counter()
        (self.tmpdir / "state" / "deliver").write_text("now\n")
        while any(_holds_something(queue) for queue in queues):
            if time.perf_counter() - start > LONGEST:
                raise ServerError(f"the queue is not empty after {LONGEST:.0f} s:\n{self.log()[-4000:]}")
            time.sleep(0.01)
        seconds = time.perf_counter() - start
        self._check_all_sent(count)
        return seconds

    def _check_all_sent(self, count: int) -> None:
        """Raise ServerError unless *count* messages were sent; the log may be a moment behind."""
        sent, deadline = -1, time.monotonic() + 10
        while sent != count:
            if time.monotonic() > deadline:
                raise ServerError(f"{sent} of {count} messages were sent:\n{self.log()[-4000:]}")
            time.sleep(0.05)
            sent = (self.tmpdir / "log" / "maillog").read_text(errors="replace").count(" status=sent ")


def _holds_something(directory: Path) -> bool:
    with os.scandir(directory) as entries:
        return next(entries, None) is not None
