"""Messages found by what else names them, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prx_email_cli.outbox.history import Entry, InHand, LivingRun, Log, Span

if TYPE_CHECKING:
    from .memory_message import Message
    from .memory_store import MemoryRun

# What fits on one line is written on one:
# fmt: off


class MemoryFinding:
    """See ``History`` for what each method promises."""

    domain: str
    messages: dict[int, Message]
    runs: list[MemoryRun]

    def of(self, account: str | None = None) -> list[Message]: raise NotImplementedError

    def of_accounts(self, account: str | None) -> list[Entry]: raise NotImplementedError

    def with_message_id(self, message_id: str, account: str | None) -> int | None:
        found = [it for it in self.of(account) if message_id in it.message_ids(self.domain)]
        return found[-1].row.outbox_id if found else None

    def with_key(self, key: str, account: str | None) -> list[int]:
        return [it.row.outbox_id for it in self.of(account) if it.new.idempotency_key == key]

    def log(self, span: Span, now: int) -> Log:
        rows = [it.row for it in self.of(span.account)]
        found = [Entry(did.at, "action", did.outbox_id, number, did.account, did.what, did.who, did.detail)
                 for row in rows for number, did in enumerate(row.actions)]
        found += [Entry(one.finished_at or 0, "attempt", row.outbox_id, number, row.account, str(one.outcome), None,
                        None, one.code, one.response, one.uncertain, one.message_id, one.run_id, one.started_at)
                  for row in rows for number, one in enumerate(row.attempts)]
        found += self.of_accounts(span.account)
        begun = [it.under_way.started_at for it in self.of() if it.under_way]
        wanted = [one for one in found if span.since <= one.at <= span.until]
        return Log(sorted(wanted, key=lambda one: (one.at, one.kind, one.number))[-span.most:], min([*begun, now]))

    def in_hand(self, most: int) -> list[InHand]:
        rows = [(it.under_way, it.row) for it in self.of() if it.under_way]
        found = [InHand(row.outbox_id, row.account, now.run_id, now.started_at, row.subject, next(
            (one.address for one in row.recipients if one.status != "accepted"), ""), row.size_bytes)
            for now, row in rows]
        return sorted(found, key=lambda one: (one.claimed_at, one.outbox_id))[:most]

    def living_runs(self) -> list[LivingRun]:
        return [LivingRun(run.run_id, int(run.run_id.partition("-")[0])) for run in self.runs if run.alive]

    def head_sent_as(self, account: str, message_id: str) -> bytes | None:
        sent_as = [it for it in self.of(account) if message_id in [one.message_id for one in it.shown().attempts]]
        return next((it.content for it in sent_as if it.content is not None), None)
