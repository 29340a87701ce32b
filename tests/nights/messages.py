"""Nights on which a server refuses or loses messages."""

from __future__ import annotations

from ..support.faults import Fault
from .night import Night
from .stage import HOUR, Stage

GOOD, BAD = 280, 20
A, B, C = "a@example.org", "b@example.org", "c@example.org"


def mailbox_full(stage: Stage) -> None:
    stage.misbehave(Fault("rcpt", "452 4.2.2 mailbox full"))
    stage.send("one")
    stage.drain(20)
    stage.misbehave()


def greylisted(stage: Stage) -> None:
    stage.misbehave(Fault("rcpt", "451 4.7.1 greylisted, come back later"))
    stage.send("one")
    stage.drain()
    stage.misbehave()


def wrong_recipient(stage: Stage) -> None:
    stage.misbehave(Fault("rcpt", "550 5.1.1 no such user", address="old@example.org"))
    addresses = [A] * GOOD + ["old@example.org"] * BAD
    stage.send_batch((f"mail {number}", address) for number, address in enumerate(addresses))
    stage.drain(1)


def one_of_three(stage: Stage) -> None:
    stage.misbehave(Fault("rcpt", "550 5.1.1 no such user", address=B))
    stage.send("one", to=f"{A} --to {B} --to {C}")
    stage.drain()


def policy(stage: Stage) -> None:
    stage.misbehave(Fault("after_dot", "550 5.7.26 SPF and DKIM checks failed"))
    stage.send("one", "two")
    stage.drain()


def behaves(stage: Stage) -> None:
    stage.misbehave()


def too_large(stage: Stage) -> None:
    stage.misbehave(Fault("mail", "552 5.3.4 message too large"))
    stage.send("one")
    stage.drain()


def uncertain(stage: Stage) -> None:
    stage.configure(outbox='on_uncertain = "hold"')
    stage.misbehave(Fault("after_dot", "close", delivered=True, times=1))
    stage.send("one")
    stage.drain()


def uncertain_and_lost(stage: Stage) -> None:
    stage.configure(outbox='on_uncertain = "hold"')
    stage.misbehave(Fault("after_dot", "close", times=1))
    stage.send("one")
    stage.drain()


def expired(stage: Stage) -> None:
    stage.misbehave(Fault("rcpt", "451 4.3.0 busy"))
    stage.send("one", options="--expires-in 1h")
    stage.drain()
    stage.now += 2 * HOUR
    stage.drain()
    stage.misbehave()


def held(stage: Stage) -> None:
    stage.send("one")
    stage.run("prx-email hold 1")
    stage.drain(1)


NIGHTS = (
    Night(
        "The recipient's mailbox is full",
        "1 wait on work: …452 4.2.2 mailbox full (the mailbox is full: RFC 3463 section 3.3)",
        "452 4.2.2",
        mailbox_full,
        deed="wait: it is tried again for as long as `give_up_after_hours` says",
        sleeps=2 * HOUR,
    ),
    Night(
        "Greylisting",
        "1 wait on work: …451 4.7.1 … (refused for now, often by greylisting: RFC 6647)",
        "451 4.7.1",
        greylisted,
        deed="wait: the next attempt is taken",
        sleeps=HOUR,
    ),
    Night(
        "A wrong recipient, in some of many messages",
        "20 given up on work: …550 5.1.1 … (no such mailbox: RFC 3463 section 3.2)",
        "old@example.org",
        wrong_recipient,
        ("prx-email edit --cause 1 --replace old@example.org=new@example.org --retry",),
        arrives={(f"mail {number}", A if number < GOOD else "new@example.org"): 1 for number in range(GOOD + BAD)},
        message=GOOD + 1,
    ),
    Night(
        "One of three recipients was refused",
        "1 given up on work: …550 5.1.1 …",
        f"partly sent: 2 of 3; {B} refused",
        one_of_three,
        (f"prx-email edit 1 --replace {B}=new@example.org --retry",),
        arrives={("one", A): 1, ("one", C): 1, ("one", "new@example.org"): 1},
    ),
    Night(
        "The provider does not take mail from this From",
        "2 given up on work: …550 5.7.26 … (SPF and DKIM of the From domain fail: RFC 7372 section 3.4)",
        "550 5.7.26",
        policy,
        ("prx-email retry --cause 1 --force",),
        "authorise the provider in the DNS of the domain",
        behaves, arrives={("one", A): 1, ("two", A): 1},
    ),
    Night(
        "The message is too large",
        "1 given up on work: …552 5.3.4 … (too large for the server: RFC 3463 section 3.4)",
        "552 5.3.4",
        too_large,
        ("prx-email dismiss 1",),
        "send less, or a link",
        arrives={},
    ),
    Night(
        "The connection broke after the last byte, and the message arrived",
        "1 may have been sent and are held on work: …",
        "prx-email resolve 1 --sent",
        uncertain,
        ("prx-email resolve 1 --sent",),
        "look at the recipient's mailbox or the provider's log",
    ),
    Night(
        "The connection broke after the last byte, and the message was lost",
        "1 may have been sent and are held on work: …",
        "prx-email resolve 1 --not-sent",
        uncertain_and_lost,
        ("prx-email resolve 1 --not-sent",),
        "look at the recipient's mailbox or the provider's log",
    ),
    Night(
        "A message expired before the server took it",
        "gave up outbox message 1 (one): expired",
        "expired",
        expired,
        ("prx-email retry 1 --force",),
    ),
    Night(
        "Somebody held a message and forgot it",
        "1 held",
        "prx-email release 1",
        held,
        ("prx-email release 1",),
    ),
)  # fmt: skip
