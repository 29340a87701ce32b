"""Thousands of SMTP dialogues, most of them odd: no accepted message is lost or half, nothing hangs, nothing breaks.

Some 200 here; LISTEN_FUZZ=10000 makes as many, LISTEN_FUZZ_SEED=7 others.
"""

from __future__ import annotations

import os
import random
import re
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from email import message_from_bytes
from queue import Empty, SimpleQueue

from ..conftest import Program
from .conftest import Listener
from .dialogues import MOST_BYTES, Dialogue, Message, Model, dialogue

DIALOGUES = int(os.environ.get("LISTEN_FUZZ", "200"))
SEED = int(os.environ.get("LISTEN_FUZZ_SEED", "1"))
CLIENTS = 6
SECONDS = 120.0  # until a dialogue counts as one that hangs
LINGER_NOT = struct.pack("ii", 1, 0)


class Client(threading.Thread):
    """Holds dialogues in turn until there are no more; keeps what the model made of them."""

    def __init__(self, port: int, numbers: SimpleQueue[int]) -> None:
        super().__init__()
        self._port, self._numbers = port, numbers
        self.taken: list[Message] = []
        self.perhaps: list[Message] = []
        self.complaints: list[str] = []

    def run(self) -> None:
        with suppress(Empty):
            while True:
                number = self._numbers.get_nowait()
                chance = random.Random(f"{SEED} {number}")
                try:
                    model = self._hold(dialogue(chance, f"m{number}"))
                except Exception as error:
                    self.complaints.append(f"dialogue {number}: {error!r}")
                    continue
                self.complaints += [f"dialogue {number}: {one}" for one in model.complaints]
                self.taken += model.messages
                self.perhaps += model.may_have_taken()

    def _hold(self, wanted: Dialogue) -> Model:
        """Hold one dialogue.  Raises TimeoutError when an answer does not come."""
        model = Model()
        with socket.create_connection(("127.0.0.1", self._port), timeout=SECONDS) as connected:
            with suppress(ConnectionError):  # the server has hung up, which the model judges by its last answer
                for step in wanted.steps:
                    for piece in step.pieces:
                        model.sends(piece)
                        connected.sendall(piece)
                    while step.waits and model.waits and (said := connected.recv(65536)):
                        model.hears(said)
                if wanted.end == "reset":
                    connected.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
                elif wanted.end != "close":
                    with suppress(OSError):
                        connected.shutdown(socket.SHUT_WR)
            if wanted.end in ("quit", "shut"):
                with suppress(ConnectionError):
                    while said := connected.recv(65536):
                        model.hears(said)
        return model


def stored_messages(program: Program) -> Iterator[Message]:
    """What is in the outbox."""
    store = program.store()
    try:
        for (outbox_id,) in program.execute("SELECT id FROM outbox ORDER BY id"):
            row = store.row(outbox_id)
            recipients = [one.address for one in row.recipients]
            found = store.exported(outbox_id)
            yield Message(found.sender, recipients, b"".join(found.content), outbox_id)
    finally:
        store.close()


def is_the_same(stored: bytes, sent: bytes) -> bool:
    """Tell whether a stored content says what was sent; headers are added, and lines that are too long encoded."""
    head, _, body = sent.partition(b"\r\n\r\n")
    if not head.startswith(b"Message-ID: <"):
        last = lines_of(sent)[-1]
        return last in stored or last in decoded(stored)
    if stored.endswith(b"\r\n" + sent):
        return True
    mine = [line for line in head.split(b"\r\n") if not line.startswith(b"Content-Transfer-Encoding")]
    return b"\r\n".join(mine) in stored and lines_of(decoded(stored)) == lines_of(body)


def decoded(stored: bytes) -> bytes:
    payload = message_from_bytes(stored).get_payload(decode=True)
    assert isinstance(payload, bytes)
    return payload


def lines_of(text: bytes) -> list[bytes]:
    return text.replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n")


def mark_of(content: bytes) -> bytes:
    """What tells a message of a dialogue from all others; nothing where its head is odd."""
    found = re.search(rb"(?m)^Message-ID: <(m\d+\.\d+)@fuzz", content[:100_000])
    return b"" if found is None else found[1]


def test_every_acknowledged_message_is_there_whole_and_no_other(program: Program) -> None:
    with program.config.open("a") as config:
        config.write(f"[listen]\nmax_message_bytes = {MOST_BYTES}\nidle_seconds = 600\n")
    numbers: SimpleQueue[int] = SimpleQueue()
    for number in range(DIALOGUES):
        numbers.put(number)
    began = time.monotonic()
    with Listener(program, "--listen", "127.0.0.1:0") as listener:
        clients = [Client(listener.port, numbers) for _ in range(CLIENTS)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        took = time.monotonic() - began
        status, said = listener.stop()
    complaints = [one for client in clients for one in client.complaints]
    assert not complaints, "\n".join(complaints[:5])
    assert (status, said) == (0, "")
    taken = {one.outbox_id: one for client in clients for one in client.taken}
    assert len(taken) == sum(len(client.taken) for client in clients)  # no id was given twice
    perhaps: dict[bytes, list[Message]] = {}
    for one in (one for client in clients for one in client.perhaps):
        perhaps.setdefault(mark_of(one.content), []).append(one)
    unheard = 0
    for one in stored_messages(program):
        sent = taken.pop(one.outbox_id, None)
        candidates = [sent] if sent is not None else perhaps.get(mark_of(one.content), [])
        unheard += sent is None
        assert any(
            (two.sender, two.recipients) == (one.sender, one.recipients) and is_the_same(one.content, two.content)
            for two in candidates
        ), (
            one.outbox_id,
            one.sender,
            one.recipients,
            one.content[:600],
            one.content[-100:],
            [(two.sender, two.recipients, two.content[:600]) for two in candidates[:1]],
        )
    assert taken == {}
    count = sum(len(client.taken) for client in clients)
    print(f"{DIALOGUES} dialogues in {took:.0f} s: {count} messages taken, {unheard} more whose answer nobody heard")
    assert count > DIALOGUES / 4
