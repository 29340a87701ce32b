"""Many messages over several connections: each arrives exactly once, whatever limits a server has."""

import json
import time
from collections import Counter

import pytest

from ..conftest import Program
from .servers import DOMAIN, MailServer

pytestmark = pytest.mark.interop

MAX_DRAINS = 12


def enqueue(program: Program, count: int) -> list[str]:
    """The recipients of *count* new messages, one each."""
    recipients = [f"user{number}@{DOMAIN}" for number in range(count)]
    requests = [{"to": to, "subject": f"number {to}", "body_text": f"to {to}\n"} for to in recipients]
    answer = program.run("send", "--batch", "-", text="".join(json.dumps(request) + "\n" for request in requests))
    assert answer.status == 0, answer
    return recipients


def drain_to_the_end(program: Program, connections: int) -> list[int]:
    """Drain until nothing is deferred any more, the clock going on by an hour each time; the exit statuses."""
    statuses = []
    for hour in range(MAX_DRAINS):
        now = str(int(time.time()) + 3600 * hour)
        statuses.append(program.run("drain", "--connections", str(connections), "--now-ts", now).status)
        if statuses[-1] == 0:
            break
    return statuses


def assert_each_arrived_once(program: Program, server: MailServer, recipients: list[str]) -> None:
    """Nothing lost, nothing doubled, nothing mixed up."""
    received = server.wait_for(len(recipients), timeout=60)
    assert Counter(each.recipient for each in received) == Counter(recipients)
    assert all(f"\nSubject: number {each.recipient}\n".encode() in each.data for each in received)
    assert all(each.data.count(b"\nMessage-ID: ") == 1 for each in received)
    assert program.run("list", "--status", "failed", "--json").data == []
    assert program.run("list", "--status", "pending", "--json").data == []
    assert len(server.received()) == len(recipients)


def test_300_messages_over_4_connections(program: Program, server: MailServer) -> None:
    program.configure(server.port, smtp='host = "127.0.0.1"')
    recipients = enqueue(program, 300)
    statuses = drain_to_the_end(program, connections=4)
    assert statuses[-1] == 0
    assert_each_arrived_once(program, server, recipients)


def test_250_messages_over_one_connection(program: Program, server: MailServer) -> None:
    """OpenSMTPD answers 452 4.5.3 from the 101st message of a connection on."""
    program.configure(server.port, smtp='host = "127.0.0.1"')
    recipients = enqueue(program, 250)
    statuses = drain_to_the_end(program, connections=1)
    assert statuses[-1] == 0
    assert_each_arrived_once(program, server, recipients)


def test_two_drains_at_once(program: Program, server: MailServer) -> None:
    """Each message is claimed by one of them."""
    program.configure(server.port, smtp='host = "127.0.0.1"')
    recipients = enqueue(program, 100)
    both = [program.start("drain", "--connections", "2") for _ in range(2)]
    assert [process.wait(60) for process in both] == [0, 0]
    for process in both:
        process.communicate()
    assert_each_arrived_once(program, server, recipients)
