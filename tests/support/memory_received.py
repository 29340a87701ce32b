"""Known messages, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from prx_email_cli.mail.received import KnownMessage
from prx_email_cli.outbox.views import Known

# What fits on one line is written on one:
# fmt: off


class MemoryReceived:
    """See ``ReceivedMail`` for what each method promises."""

    def __init__(self) -> None: self._known: dict[tuple[str, str], Known] = {}
    def known(self, account: str, message_id: str) -> Known | None: return self._known.get((account, message_id))

    def learn(self, account: str, messages: Sequence[KnownMessage], now: int) -> int:
        before = len(self._known)
        for message in messages:
            self._known.setdefault((account, message.message_id), Known(account, now, message))
        return len(self._known) - before

    def known_messages(self, account: str | None, limit: int) -> list[Known]:
        newest = [one for one in reversed(self._known.values()) if account in (None, one.account)][:limit]
        return [replace(one, message=one.message._replace(text="")) for one in newest]
