"""Taking content, names or everything from messages, in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from prx_email_cli.mail.addresses import understood_mailboxes
from prx_email_cli.outbox.lifecycle import Status
from prx_email_cli.outbox.pseudonyms import Names, Pseudonyms, new_key
from prx_email_cli.outbox.views import Drop, Keeping, Known, Prunable, Pruned, Pruning

if TYPE_CHECKING:
    from .memory_message import Message

# What fits on one line is written on one:
# fmt: off


class MemoryPruning:
    """See ``Operator`` for what each method promises."""

    messages: dict[int, Message]
    _known: dict[tuple[str, str], Known]

    def of(self, account: str | None = None) -> list[Message]: raise NotImplementedError
    def compact(self, most_bytes: int | None = None) -> bool: return True
    def bytes_used(self) -> int: return sum(it.row.size_bytes for it in self.of())

    @property
    def pseudonyms(self) -> Pseudonyms:
        self._pseudonyms: Pseudonyms = getattr(self, "_pseudonyms", None) or Pseudonyms(new_key())
        return self._pseudonyms

    def prunable(self, pruning: Pruning) -> Prunable:
        over = [it for it in self._chosen(pruning) if it.is_over() and self._has_it(it, pruning)]
        known = [one for one in self._known.values() if pruning.of_known and one.learned_at <= pruning.before
                 and pruning.wanted.account in (None, one.account) and (pruning.to is None or _names(one, pruning.to))]
        self._to_forget = [(one.account, one.message.message_id) for one in known]
        left = [it.row.outbox_id for it in self._chosen(pruning) if (pruning.to or pruning.ids) and not it.is_over()]
        return Prunable([it.row.outbox_id for it in over], len(known), left)

    def _chosen(self, pruning: Pruning) -> list[Message]:
        names = {pruning.to.casefold(), self.pseudonyms.address(pruning.to)} if pruning.to else None
        return [it for it in self.of(pruning.wanted.account)
                if it.matches(pruning.wanted) and (not pruning.ids or it.row.outbox_id in pruning.ids)
                and (names is None or not names.isdisjoint(one.address.casefold() for one in it.row.recipients))]

    def _has_it(self, it: Message, pruning: Pruning) -> bool:
        row = it.row
        left = {Drop.CONTENT: it.content is not None, Drop.NAMES: row.anonymised_at is None, Drop.RECORD: True}
        return (left[pruning.drop] and (row.sent_at or max(row.created_at, it.due)) <= pruning.before
                and not (pruning.sent_only and row.status != Status.SENT)
                and not (pruning.settled_only and (row.held or row.uncertain)))

    def tidy(self, keeping: Keeping) -> None:
        for drop, before in ((Drop.RECORD, keeping.records_before), (Drop.CONTENT, keeping.content_before)):
            if before is not None:
                self.prune(Pruning(before, keeping.now, drop, settled_only=True))

    def prune(self, pruning: Pruning) -> Pruned:
        found = self.prunable(pruning)
        for it in [self.messages[outbox_id] for outbox_id in found.ids]:
            it.content = None
            it.change(pruned_at=it.row.pruned_at or pruning.now)
            if pruning.drop is Drop.RECORD:
                del self.messages[it.row.outbox_id]
            elif pruning.drop is Drop.NAMES:
                self._anonymise(it, pruning.now)
        for one in self._to_forget:
            del self._known[one]
        return Pruned(len(found.ids), found.known)

    def _anonymise(self, it: Message, now: int) -> None:
        row, of = it.row, self.pseudonyms
        names = Names(of, [it.new.sender, *(one.address for one in row.recipients)], row.subject)
        everyone = [replace(one, address=of.address(one.address), response=names.without(one.response))
                    for one in row.recipients]
        attempts = [replace(one, message_id=of.message_id(one.message_id) or "", dialogue=None,
                            response=names.without(one.response)) for one in row.attempts]
        it.new = it.new._replace(sender=of.address(it.new.sender), caller=None)
        it.change(
            message_id=of.message_id(row.message_id), subject=of.subject(row.subject),
            to=[of.address(one) for one in row.to], recipients=everyone,
            provider_message_id=names.without(row.provider_message_id), last_error=names.without(row.last_error),
            attempts=attempts, anonymised_at=now,
            actions=[one._replace(detail=names.without(one.detail)) for one in row.actions])


def _names(known: Known, address: str) -> bool:
    headers = (known.message.sender, known.message.reply_to, known.message.recipients, known.message.copies)
    return any(one.address.casefold() == address.casefold() for text in headers for one in understood_mailboxes(text))
