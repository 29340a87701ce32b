"""How fast ``prx-email drain`` delivers, against a bare loop of ``smtplib.sendmail`` and Postfix's ``smtp-source``.

All of them send the same number of messages of the same size to the same ``smtp-sink`` on loopback.  The loop, on one
reused connection, sends the very bytes that the drain does, and keeps no record: that is the price of durability.
Both are whole processes, start included.  smtp-source, written in C and as forgetful, shows the pace of the sink.
"""

import smtplib
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.common import (
    Outbox,
    Verdicts,
    in_turns,
    options,
    postfix_tools,
    ratio,
    running_sink,
    spent,
    workspace,
    write_requests,
)

LIMIT = 0.7
CONNECTIONS = (1, 4, 8)
JUDGED = 4


def bare_loop(port: int, messages: Path) -> None:
    """Send every message in *messages*, no more: the contestant, in a process of its own."""
    with sqlite3.connect(messages) as connection:
        contents = [row[0] for row in connection.execute("SELECT content FROM message")]
    with smtplib.SMTP("127.0.0.1", port) as client:
        for number, content in enumerate(contents):
            client.sendmail("bench@example.com", [f"user{number}@example.com"], content)


def loop_command(port: int, messages: Path) -> list[str]:
    """The command that runs ``bare_loop``."""
    return [sys.executable, __file__, "bare-loop", str(port), str(messages)]


def save_messages(outbox: Path, messages: Path) -> int:
    """Copy what a drain of *outbox* will put on the wire; the size of one message in bytes."""
    connection = sqlite3.connect(messages)
    with connection:
        connection.execute("ATTACH ? AS box", (str(outbox),))
        connection.execute(
            "CREATE TABLE message AS SELECT CAST('Message-ID: <outbox-' || o.id || '-0@prx-email.local>' ||"
            " char(13, 10) || c.data AS BLOB) AS content"
            "  FROM box.outbox o JOIN box.content c ON c.id = o.id * 65536 ORDER BY o.id"
        )
        size: int = connection.execute("SELECT max(length(content)) FROM message").fetchone()[0]
    connection.close()
    return size


def drains(outbox: Outbox, requests: Path, count: int) -> dict[str, Callable[[], float]]:
    """A contestant for each number of connections; filling the outbox is not part of the time."""

    def drain(connections: int) -> float:
        outbox.forget()
        outbox.fill(requests)
        return count / outbox.run("drain", "--connections", str(connections)).wall

    return {f"drain, {n} connections": lambda n=n: drain(n) for n in CONNECTIONS}  # type: ignore[misc]


def main() -> None:
    """Measure and tell."""
    asked = options(__doc__, messages=5000, rounds=7)
    count = asked.messages
    _, source, env = postfix_tools()
    with workspace() as directory, running_sink() as port:
        requests = write_requests(directory / "requests", count)
        outbox = Outbox(directory / "outbox", port)
        outbox.fill(requests)
        size = save_messages(outbox.file, directory / "messages")
        loop = loop_command(port, directory / "messages")
        postfix = [source, "-d", "-s", "10", "-l", str(size), "-m", str(count), f"127.0.0.1:{port}"]
        contestants = {
            "smtplib loop": lambda: count / spent(loop).wall,
            "smtp-source -d -s 10": lambda: count / spent(postfix, env).wall,
            **drains(outbox, requests, count),
        }
        rates = in_turns(contestants, asked.rounds)
    for name, values in rates.items():
        against = ratio(values, rates["smtplib loop"])
        print(f"{name:21} {median(values):7.0f} messages/s, {against:5.2f} times the smtplib loop")
    verdicts = Verdicts()
    judged = rates[f"drain, {JUDGED} connections"]
    verdicts.at_least(f"drain, {JUDGED} connections / smtplib loop", ratio(judged, rates["smtplib loop"]), LIMIT)
    verdicts.exit()


if __name__ == "__main__":
    if sys.argv[1:2] == ["bare-loop"]:
        bare_loop(int(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
