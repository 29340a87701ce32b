"""Those who use the outbox beside the runs: who sends, and who holds, cancels and releases."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any

from prx_email_cli.errors import PrxEmailError
from prx_email_cli.outbox.messages import Addressee, Content, NewMessage, Schedule

from .machine import Playable
from .truth import Sent
from .world import Process, World

if TYPE_CHECKING:
    from .scenario import Plan

_LINES = (b"text\r\n", b".\r\n", b"..dots\r\n", b"\r\n", b"a longer line of text, which goes on\r\n")


class People:
    """A process through which everybody speaks to the outbox, a new one after each power cut."""

    def __init__(self, world: World, machine: Playable, plan: Plan) -> None:
        self._world, self._machine, self._plan = world, machine, plan
        self._process: Process | None = None
        self._store: Any = None
        self._number = 0

    def send(self, rng: Random, after: float) -> None:
        """Let a message be submitted so many seconds from now."""
        self._number += 1
        number, account = self._number, rng.choice(list(self._plan.accounts))
        addresses = tuple(f"to{n}.m{number}@example.org" for n in range(rng.choice((1, 1, 1, 2, 3))))
        size = rng.choice((20, 20, 300, 20_000 if rng.random() < 0.2 else 30))
        content = b"Subject: s\r\n\r\n"
        while len(content) < size:
            content += rng.choice(_LINES) * (1 if size < 1000 else 50)
        expires = rng.choice((None, 2, 100)) if self._plan.expiring else None

        def submit(store: Any, now: int) -> str:
            message = NewMessage(
                account, f"m{number}@example.com", [Addressee(one) for one in addresses], "s", Content.of(content),
                Schedule(now, now, None if expires is None else now + expires),
            )  # fmt: skip
            self._machine.truth.about_to_submit(Sent(account, message.sender, addresses, content))
            (submitted,) = store.submit([message])
            return f"a message for {account} is stored as {submitted.outbox_id}, to {', '.join(addresses)}"

        self._say(submit, after)

    def decide(self, rng: Random, after: float) -> None:
        """Let a person hold, cancel or release something so many seconds from now."""
        what = rng.choice(("hold", "hold", "cancel", "release", "hold all"))

        def decide(store: Any, now: int) -> str:
            if what == "hold all":
                return f"holds {store.hold_all(rng.choice(list(self._plan.accounts)), now)}"
            outbox_id = rng.choice(sorted(self._machine.truth.sent) or [1])
            self._world.say("person", "is about to {} {}", what, outbox_id)
            if what == "hold":
                store.hold(outbox_id, now)
            elif what == "cancel":
                store.cancel(outbox_id, now)
            else:
                store.release(outbox_id, now)
            return f"has done so: {what} {outbox_id}"

        self._say(decide, after)

    def release_all(self) -> None:
        """Let everything be released that is held."""
        self._say(lambda store, now: f"releases {store.release_all(None, now)}", 0)

    def _say(self, speak: Callable[[Any, int], str], after: float) -> None:
        def begin() -> None:
            process = self._living()
            process.start(lambda: self._speaks(process, speak))

        self._world.at(after, begin)

    def _speaks(self, process: Process, speak: Callable[[Any, int], str]) -> None:
        alone = self._machine.each_alone
        try:
            store = self._machine.open_store(process) if alone else self._store
            said = speak(store, int(self._world.now))
            if alone:
                store.close()
        except PrxEmailError as error:
            said = f"is told: {error.message}"
        process.over = alone
        self._world.say(process.name, "{}", said)

    def _living(self) -> Process:
        if self._machine.each_alone:
            process = Process(self._world, "person")
            self._machine.begins(process)
            return process
        if self._process is None or not self._process.alive:
            self._process = Process(self._world, "person")
            self._store = self._machine.open_store(self._process)
        return self._process
