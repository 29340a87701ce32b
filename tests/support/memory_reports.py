"""What commands look at, in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from prx_email_cli.outbox import lifecycle
from prx_email_cli.outbox.lifecycle import Ending
from prx_email_cli.outbox.messages import Limit
from prx_email_cli.outbox.views import Failure, Figures, Filter, Health, Row, Stats, Usage, tally

from .memory_message import Message, failures, figures

# What fits on one line is written on one:
# fmt: off


class MemoryReports:
    """See ``Reports`` for what each method promises."""

    runs: list[Any]
    attempted: Counter[tuple[str, Ending, int]]
    last_attempt_at: int | None

    def of(self, account: str | None = None) -> list[Message]: raise NotImplementedError
    def taken(self, account: str, limit: Limit, now: int) -> list[tuple[int, int]]: raise NotImplementedError

    def usage(self, account: str, limits: Sequence[Limit], now: int) -> list[Usage]:
        found = []
        for limit in limits:
            taken = self.taken(account, limit, now)
            left = [sum(many for _, many in taken[first:]) for first in range(len(taken) + 1)]
            free = [at + limit.seconds for (at, _), then in zip(taken, left[1:], strict=True) if then < limit.most]
            found.append(Usage(limit, left[0], free[0] if left[0] >= limit.most else None))
        return found

    def delivered(self, since: int) -> dict[str, int]:
        return {name: sum(Ending(one.verdict) == Ending.SENT and one.claimed.started_at > since
                          for it in self.of(name) for one in it.finished)
                for name in sorted({it.row.account for it in self.of()})}

    def failures(self) -> list[Failure]: return failures(self.of())

    def rows(self, wanted: Filter) -> list[Row]:
        found = [it.shown() for it in reversed(self.of(wanted.account)) if it.matches(wanted)]
        return [replace(one, recipients=[], attempts=[], actions=[], particulars=None) for one in found][: wanted.limit]

    def ids(self, wanted: Filter) -> list[int]: return [row.outbox_id for row in self.rows(wanted)]
    def count(self, wanted: Filter) -> int: return len(self.ids(replace(wanted, limit=10**9)))

    def stats(self, now: int) -> Stats:
        rows, dues = [it.row for it in self.of()], [it.due for it in self.of() if it.waits() and it.due <= now]
        ages = [one.oldest_age_seconds or 0 for one in self.figures(now).values() if one.waiting]
        accounts, totals = tally((row.account, lifecycle.counted_as(row.status, row.gave_up), 1) for row in rows)
        return Stats(
            **totals, total=len(rows), due=len(dues), oldest_due_age_seconds=max(ages, default=None),
            accounts=accounts, gave_up=sum(row.gave_up is not None for row in rows), held=sum(row.held for row in rows),
            uncertain=sum(row.uncertain for row in rows), last_attempt_at=self.last_attempt_at)

    def figures(self, now: int) -> dict[str, Figures]: return figures(self.of(), self.attempted, now)

    def health(self, now: int) -> Health:
        stats, rows = self.stats(now), [it.row for it in self.of()]
        return Health(
            [], "", 0, max([stats.last_attempt_at or 0, *(row.created_at for row in rows)]) or None,
            stats.oldest_due_age_seconds, [run.run_id for run in self.runs if run.hands],
            waiting_for_a_person=sum(row.held and row.uncertain for row in rows),
            gave_up=sum(row.gave_up is not None and row.dismissed_at is None for row in rows))

    def head_sent_as(self, account: str, message_id: str) -> bytes | None:
        sent_as = [it for it in self.of(account) if message_id in [one.message_id for one in it.shown().attempts]]
        return next((it.content for it in sent_as if it.content is not None), None)
