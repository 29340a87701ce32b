"""Delete what has been kept long enough, a little with each drain.

Each call looks at the messages that follow those of the last one, by their ids, and notes in a file how far it came: of
a million no drain looks at more than a few thousand.  After the last message it rests.
"""

import json
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from prx_email_cli.outbox.relational import anonymising
from prx_email_cli.outbox.relational.database import AtHome, Connection, Database, OpenOutbox
from prx_email_cli.outbox.relational.pruning import PRUNABLE_WITHIN, prune_some, values_of
from prx_email_cli.outbox.relational.short_transactions import Enough, change_in_slices
from prx_email_cli.outbox.views import Drop, Keeping, Pruning

LOOKED_AT = 2000  # messages by one drain: a few milliseconds
LEAST_SECONDS = 30  # between two looks: a follower has many rounds
REST_SECONDS = 3600  # after the last message, before it begins again
MOST_SECONDS = 0.5  # of deleting by one drain

# Reads the id of the last message of those that are looked at, NULL after the last one.
_UP_TO = "SELECT max(id) FROM (SELECT id FROM outbox WHERE id > :after ORDER BY id LIMIT :most) AS found"


class Progress(NamedTuple):
    """How far the messages were looked at.

    after: up to this id.  at: when, in Unix seconds.  rests_until: when to begin again.  dropped: whether records were
    deleted since it began.
    """

    after: int = 0
    at: int = 0
    rests_until: int = 0
    dropped: bool = False

    @classmethod
    def read(cls, text: bytes) -> "Progress":
        """Read a note; what is none is no progress."""
        try:
            after, at, rests_until, dropped = json.loads(text)
            return cls(int(after), int(at), int(rests_until), bool(dropped))
        except (ValueError, TypeError):
            return cls()

    def is_early(self, now: int) -> bool:
        """Tell whether *now* is too early to go on; not if the clock has gone back."""
        return 0 <= now - self.at < LEAST_SECONDS or now < self.rests_until <= now + REST_SECONDS


def tidy(database: OpenOutbox, keeping: Keeping) -> None:
    """Delete what *keeping* says from the next messages, as far as that takes no longer than MOST_SECONDS."""
    progress = Progress.read(database.read_note())
    if progress.is_early(keeping.now):
        return
    with database.reading() as connection:
        values = {"after": progress.after, "most": LOOKED_AT}
        up_to = connection.execute(_UP_TO, values).fetchone()[0]
    if up_to is None:
        if progress.dropped:
            home = AtHome(database)
            change_in_slices(home, anonymising.keys_to_settle(home), anonymising.settle_keys)
        database.write_note(json.dumps(Progress(0, keeping.now, keeping.now + REST_SECONDS)).encode())
        return
    done, dropped = _tidy_some(AtHome(database), keeping, progress.after, up_to)
    after = up_to if done else progress.after
    database.write_note(json.dumps(Progress(after, keeping.now, 0, progress.dropped or dropped)).encode())


def _tidy_some(database: Database, keeping: Keeping, after: int, up_to: int) -> tuple[bool, bool]:
    """Delete from the messages in between; tell whether that is done, and whether records were deleted."""
    left, dropped = MOST_SECONDS, False
    for drop, before in ((Drop.RECORD, keeping.records_before), (Drop.CONTENT, keeping.content_before)):
        if before is None:
            continue
        values = values_of(Pruning(before, keeping.now, drop, settled_only=True), None)
        with database.reading() as connection:
            found = connection.execute(PRUNABLE_WITHIN, {**values, "after": after, "up_to": up_to})
            ids = [outbox_id for (outbox_id,) in found]
        begun = time.monotonic()
        if not change_in_slices(database, [ids], _step(values), left):
            return False, dropped or drop is Drop.RECORD
        left = max(left - (time.monotonic() - begun), 0.0)
        dropped = dropped or (drop is Drop.RECORD and bool(ids))
    return True, dropped


def _step(values: dict[str, Any]) -> Any:
    def step(connection: Connection, ids: Sequence[int], enough: Enough) -> int:
        return prune_some(connection, ids, values, enough).done

    return step
