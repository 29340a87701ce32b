"""How many messages a second ``prx-email listen`` makes durable on 10 connections, and what shared commits are worth.

Each client waits for the answer to a message before it sends the next.  The outbox lies in TMPDIR, on the disk to be
measured.  One connection shows what a commit for each message costs; ten share commits.
"""

import multiprocessing
import socket
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

from benchmarks.common import PRX_EMAIL, Outbox, Verdicts, options, workspace

TARGET = 1500
CONNECTIONS = 10
SIZE = 2048
_LINE = b"The quick brown fox jumps over the lazy dog, and then it rests for a while\r\n"
_ENVELOPE = b"MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n"


def send(port: int, count: int) -> None:
    """Send messages over one connection, each once the one before is answered."""
    message = (
        b"From: a@example.com\r\nTo: b@example.org\r\nSubject: s\r\n\r\n" + _LINE * (SIZE // len(_LINE)) + b".\r\n"
    )
    with socket.create_connection(("127.0.0.1", port)) as connection, connection.makefile("rb") as replies:

        def answer(code: bytes) -> None:
            while (line := replies.readline())[3:4] == b"-":
                pass
            if not line.startswith(code):
                raise SystemExit(f"answered {line!r}")

        answer(b"220")
        connection.sendall(b"EHLO bench\r\n")
        answer(b"250")
        for _ in range(count):
            connection.sendall(_ENVELOPE)
            for code in (b"250", b"250", b"354"):
                answer(code)
            connection.sendall(message)
            answer(b"250")


def rate(port: int, connections: int, each: int) -> float:
    """Return the messages a second of so many connections."""
    clients = [multiprocessing.Process(target=send, args=(port, each)) for _ in range(connections)]
    began = time.monotonic()
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    if any(client.exitcode for client in clients):
        raise SystemExit("a client failed")
    return connections * each / (time.monotonic() - began)


def main() -> None:
    """Measure and tell."""
    asked = options(__doc__, messages=1000, rounds=3)
    verdicts = Verdicts()
    with workspace() as directory:
        outbox = Outbox(Path(directory) / "outbox")
        command = [PRX_EMAIL, "listen", "--listen", "127.0.0.1:0"]
        with subprocess.Popen(command, env=outbox.env, stderr=subprocess.PIPE, text=True) as server:
            try:
                port = int((server.stderr.readline() if server.stderr else "").rpartition(":")[2])
                alone = [rate(port, 1, asked.messages) for _ in range(asked.rounds)]
                together = [rate(port, CONNECTIONS, asked.messages) for _ in range(asked.rounds)]
            finally:
                server.terminate()
        with closing(sqlite3.connect(outbox.file)) as connection:
            (stored,) = connection.execute("SELECT count(*) FROM outbox").fetchone()
    verdicts.at_least("share of the answered messages that are stored",
                      stored / (asked.rounds * asked.messages * (1 + CONNECTIONS)), 1)  # fmt: skip
    print(f"messages a second on 1 connection: {max(alone):.0f}")
    verdicts.at_least(f"messages a second on {CONNECTIONS} connections", max(together), TARGET)
    verdicts.at_least("times as many as on one", max(together) / max(alone), 1)
    verdicts.exit()


if __name__ == "__main__":
    main()
