"""What stands between a client and the sink: HAProxy with TLS and without, and a distance of so many milliseconds.

Each is measured with ``smtp-source`` before it is used: what it carries must be more than what is asked of it.
"""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import NamedTuple

from benchmarks.common import postfix_tools, running, spent, unpacked
from tests.interop.servers import make_certs
from tests.interop.servers.base import free_ports

# The third frontend takes plain text and speaks TLS to the first: what passes both is less than what the first can do.
HAPROXY = """\
global
    maxconn 2000
    {user}
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend tls
    bind 127.0.0.1:{tls} ssl crt {pem}
    default_backend sink
frontend plain
    bind 127.0.0.1:{plain}
    default_backend sink
frontend both
    bind 127.0.0.1:{both}
    default_backend tls
backend sink
    server sink 127.0.0.1:{sink}
backend tls
    server tls 127.0.0.1:{tls} ssl verify none
"""
ROUND_TRIPS = 4
"""Of a message of smtp-source, which does not pipeline: MAIL, RCPT, DATA, the content."""


class Source(NamedTuple):
    """What ``smtp-source`` sends: so many messages of so many bytes."""

    messages: int
    size: int

    def rate(self, port: int, sessions: int = 10) -> float:
        """Messages a second on so many sessions to a loopback port; each stays open (``-d``)."""
        _, source, env = postfix_tools()
        what = ["-l", str(self.size), "-m", str(self.messages)]
        return self.messages / spent([source, "-d", "-s", str(sessions), *what, f"127.0.0.1:{port}"], env).wall


class Entrances(NamedTuple):
    """Loopback ports of HAProxy, which passes both on to the same sink."""

    tls: int
    plain: int


@contextmanager
def tls_in_front(sink: int, directory: Path, source: Source) -> Iterator[Entrances]:
    """Run HAProxy before the *sink*: with and without TLS the way is as long, and only TLS makes the difference."""
    root, env = unpacked("haproxy")
    certs = make_certs(directory)
    pem, config = directory / "haproxy.pem", directory / "haproxy.cfg"
    pem.write_bytes(certs.cert_file.read_bytes() + certs.key_file.read_bytes())
    tls, plain, both = free_ports(3)
    user = "user nobody" if os.geteuid() == 0 else ""
    config.write_text(HAPROXY.format(user=user, tls=tls, plain=plain, both=both, sink=sink, pem=pem))
    with running([str(root / "usr/sbin/haproxy"), "-db", "-q", "-f", str(config)], [tls, plain, both], env):
        print(
            f"HAProxy: smtp-source -d -s 10 passes it with {source.rate(plain):.0f} messages/s,"
            f" and twice, once with TLS, with {source.rate(both):.0f}",
            flush=True,
        )
        yield Entrances(tls, plain)


@contextmanager
def distance(sink: int, milliseconds: int, source: Source) -> Iterator[int]:
    """Put the *sink* so many milliseconds of a round trip away; the loopback port through which it is reached."""
    (port,) = free_ports(1)
    proxy = [sys.executable, "-m", "benchmarks.delaying_proxy"]
    with running([*proxy, "--port", str(port), "--target", str(sink), "--delay", str(milliseconds // 2)], [port]):
        trip = round_trip(port)
        sessions = 200
        possible = sessions / (ROUND_TRIPS * trip)
        many = source._replace(messages=20 * sessions)  # so that opening the sessions weighs little
        print(
            f"delaying proxy: a round trip takes {trip * 1000:.1f} ms; smtp-source -d -s {sessions}, four round trips a"
            f" message, passes it with {many.rate(port, sessions):.0f} messages/s of {possible:.0f} possible",
            flush=True,
        )
        yield port


def round_trip(port: int) -> float:
    """Seconds from a NOOP to its answer: the median of 21."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client, client.makefile("rb") as answers:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answers.readline()  # the greeting
        trips = []
        for _ in range(21):
            start = time.perf_counter()
            client.sendall(b"NOOP\r\n")
            answers.readline()
            trips.append(time.perf_counter() - start)
        with contextlib.suppress(OSError):
            client.sendall(b"QUIT\r\n")
    return median(trips)
