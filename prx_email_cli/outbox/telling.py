"""Judge whether a person is told of a cause again; pure.

Cron mails what a drain prints, and that mail may be the next thing that a drain has to tell of.  What is told a few
times a day at most can never feed itself.
"""

import json
from collections.abc import Mapping

from prx_email_cli.outbox.accounts import TOLD_AGAIN_SECONDS
from prx_email_cli.outbox.hashing import sha256

MOST_CAUSES = 20  # told in a day: a server whose every reply differs makes no more of them
Told = dict[str, list[int]]
"""When each cause was told, in Unix seconds, by a digest of the cause: a note shows no address."""


def told_again(told: Mapping[str, list[int]], cause: str, now: int, most: int) -> Told | None:
    """Return what was told once *cause* is told at *now*, too; None if it must not be.

    most: how often it is told in a day.  What was told after *now* does not count: a clock was ahead.
    """
    lately = {key: [at for at in times if 0 <= now - at < TOLD_AGAIN_SECONDS] for key, times in told.items()}
    lately = {key: times for key, times in lately.items() if times}
    key = sha256(cause.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    if len(lately.get(key, ())) >= most or (key not in lately and len(lately) >= MOST_CAUSES):
        return None
    return {**lately, key: [*lately.get(key, ()), now]}


def read(note: bytes) -> Told:
    """Return what a note says; what is none says nothing."""
    try:
        return {str(key): [int(at) for at in times] for key, times in json.loads(note).items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def written(told: Told) -> bytes:
    """Return the note that says this."""
    return json.dumps(told).encode()
