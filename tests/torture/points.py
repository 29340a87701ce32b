"""The named points at which a process is killed, and what must become of the message that it had in hand."""

from typing import NamedTuple

FILE, DATABASE = "a file", "a database"  # of the two kinds of outbox, the one that alone has a point
FEW = ("--limit", "3")  # so that the drain comes to its end


class Effect(NamedTuple):
    """What a kill leaves: whether a message is uncertain for it, and how often that message arrives in the end.

    in_hand: None where either may be, as when the clerk dies beside another message that may be anywhere on the wire.
    stored: whether a message that was being enqueued is in the outbox.
    """

    in_hand: bool | None
    copies: int = 1
    stored: bool = False


NOTHING = Effect(in_hand=False)  # no message was claimed, or the flight record told all about it
STORED = Effect(in_hand=False, stored=True)
AGAIN = Effect(in_hand=True)  # attempted again; the provider never had the first attempt's copy
DOUBLED = Effect(in_hand=True, copies=2)  # the provider had it, and the outbox could not know
BESIDE = Effect(in_hand=None, copies=2)
MAYBE = Effect(in_hand=None)  # a large content has several parts, of which only the last may end it


class Point(NamedTuple):
    """A point of a drain over one connection.

    first, later: the effect at its first passing, and at a later one, None where there is no later one.  account:
    ``plain`` is the one whose server offers no PIPELINING, ``apart`` the one that joins no envelope to the content
    before.  orphan: a dead run must have left a message before.  only: the kind of outbox that has this point; else
    both have it, with one effect.
    """

    name: str
    first: Effect
    later: Effect | None = None
    options: tuple[str, ...] = ()
    account: str = "work"
    orphan: bool = False
    only: str = ""


DRAIN = [
    Point("run locked", NOTHING, only=DATABASE),
    Point("run begun", NOTHING),
    Point("before the recovery", NOTHING, orphan=True),
    Point("recover, before COMMIT", NOTHING, orphan=True),
    Point("recover, after COMMIT", NOTHING, orphan=True),
    Point("recover, COMMIT sent", NOTHING, orphan=True, only=DATABASE),  # the server makes what it was sent
    Point("before the lock files go", NOTHING, orphan=True, only=FILE),
    Point("lock files gone", NOTHING, orphan=True, only=FILE),
    Point("forget the dead, before COMMIT", NOTHING, orphan=True, only=DATABASE),
    Point("forget the dead, after COMMIT", NOTHING, orphan=True, only=DATABASE),
    Point("before the records go", NOTHING, orphan=True, only=DATABASE),
    Point("records gone", NOTHING, orphan=True, only=DATABASE),
    Point("before connecting", NOTHING),
    Point("connected", NOTHING),
    Point("session open", NOTHING),
    Point("before the claim", NOTHING),
    Point("claim, before COMMIT", NOTHING, BESIDE),  # later ones share the finalize's transaction
    Point("claim, COMMIT sent", NOTHING, BESIDE, only=DATABASE),
    Point("claim, after COMMIT", NOTHING, BESIDE),
    Point("before the mark is raised", NOTHING, BESIDE, only=FILE),
    Point("mark raised", NOTHING, BESIDE, only=FILE),
    Point("MAIL written", NOTHING, NOTHING, account="plain"),
    Point("RCPT written", NOTHING, NOTHING, account="plain"),
    Point("DATA written", NOTHING, NOTHING, account="plain"),
    Point("envelope written", NOTHING),  # most later ones leave with the final dot before
    Point("envelope written", NOTHING, NOTHING, account="apart"),
    Point("piece of the content written", NOTHING, NOTHING),
    Point("before the end is noted", NOTHING, NOTHING),
    Point("end noted", AGAIN, AGAIN),
    Point("halfway through the content", MAYBE, MAYBE),
    Point("final dot written", DOUBLED, DOUBLED),
    Point("reply to the final dot read", DOUBLED, DOUBLED),
    Point("before the answer is noted", DOUBLED, DOUBLED),
    Point("answer noted", NOTHING, NOTHING),
    Point("before the finalize", BESIDE, BESIDE),
    Point("finalize, before COMMIT", BESIDE, BESIDE),
    Point("finalize, COMMIT sent", BESIDE, BESIDE, only=DATABASE),
    Point("finalize, after COMMIT", BESIDE, BESIDE),
    Point("before QUIT", NOTHING, options=FEW),
    Point("QUIT written", NOTHING, options=FEW),
    Point("QUIT answered", NOTHING, options=FEW),
    Point("before the run's end", NOTHING, options=FEW),
    Point("run deleted", NOTHING, options=FEW, only=DATABASE),
    Point("outbox closed", NOTHING, options=FEW),
]

RETRY = [
    Point("before the claim by hand", NOTHING),
    Point("claim by hand, before COMMIT", NOTHING),
    Point("claim by hand, COMMIT sent", NOTHING, only=DATABASE),
    Point("claim by hand, after COMMIT", NOTHING),
    Point("before the mark is raised", NOTHING, only=FILE),
    Point("mark raised", NOTHING, only=FILE),
    Point("envelope written", NOTHING),
    Point("end noted", AGAIN),
    Point("final dot written", DOUBLED),
    Point("before the answer is noted", DOUBLED),
    Point("answer noted", NOTHING),
    Point("finalize, before COMMIT", NOTHING),
    Point("finalize, COMMIT sent", NOTHING, only=DATABASE),
    Point("finalize, after COMMIT", NOTHING),
]

SEND = [
    Point("before the enqueue", NOTHING),
    Point("enqueue, before COMMIT", NOTHING),
    Point("enqueue, COMMIT sent", STORED, only=DATABASE),
    Point("enqueue, after COMMIT", STORED),
    Point("outbox closed", STORED),
]
