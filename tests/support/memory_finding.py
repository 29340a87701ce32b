"""Messages found by what else names them, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prx_email_cli.outbox.views import LivingRun

if TYPE_CHECKING:
    from .memory_message import Message
    from .memory_store import MemoryRun

# What fits on one line is written on one:
# fmt: off


class MemoryFinding:
    """See ``Reports`` for what each method promises."""

    domain: str
    messages: dict[int, Message]
    runs: list[MemoryRun]

    def of(self, account: str | None = None) -> list[Message]: raise NotImplementedError

    def with_message_id(self, message_id: str, account: str | None) -> int | None:
        found = [it for it in self.of(account) if message_id in it.message_ids(self.domain)]
        return found[0].row.outbox_id if found else None

    def with_key(self, key: str, account: str | None) -> list[int]:
        return [it.row.outbox_id for it in self.of(account) if it.new.idempotency_key == key]

    def living_runs(self) -> list[LivingRun]:
        return [LivingRun(run.run_id, int(run.run_id.partition("-")[0])) for run in self.runs if run.alive]

    def head_sent_as(self, account: str, message_id: str) -> bytes | None:
        sent_as = [it for it in self.of(account) if message_id in [one.message_id for one in it.shown().attempts]]
        return next((it.content for it in sent_as if it.content is not None), None)
