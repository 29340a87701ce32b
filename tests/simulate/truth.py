"""What must hold after each step, whatever has happened, and what the servers really got."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from prx_email_cli.outbox.lifecycle import Outcome, RecipientStatus
from prx_email_cli.outbox.messages import Claimed

from .world import Process, Violation, World

if TYPE_CHECKING:
    from .scenario import Account

Ask = Callable[..., Iterable[Any]]
_ROWS = """
SELECT id, status, run_id, claim, claimed_as, retries, gave_up, held_at, next_attempt_at, expires_at, sender,
       by_account AND status = 'failed', first_due_at
  FROM outbox ORDER BY id
"""
_STARTS = "SELECT started_at FROM attempt WHERE account = ? AND counts ORDER BY started_at"
_RECIPIENTS = "SELECT outbox_id, number, status, uncertain FROM recipient"


class Sent(NamedTuple):
    """A message that was submitted."""

    account: str
    sender: str
    addresses: tuple[str, ...]
    content: bytes


class Row(NamedTuple):
    """A message's row."""

    outbox_id: int
    status: str
    run_id: str | None
    claim: int | None
    claimed_as: str | None
    retries: int
    gave_up: str | None
    held_at: int | None
    next_attempt_at: int
    expires_at: int | None
    sender: str
    by_account: int  # it has failed by its account, and is due as soon as that works again
    first_due_at: int
    recipients: tuple[tuple[str, bool], ...] = ()  # status and uncertain


class Copy(NamedTuple):
    """A copy that a server has taken for one recipient."""

    message_id: str
    at: float


class Truth:
    """What every message stands for, and what has become of it."""

    def __init__(self, world: World, ask: Ask) -> None:
        """ask: reads what is durable."""
        self.world, self._ask = world, ask
        self.sent: dict[int, Sent] = {}
        self._coming: dict[str, Sent] = {}  # by sender
        self._ids: dict[str, int] = {}  # by address
        self._of_sender: dict[str, int] = {}
        self.rows: dict[int, Row] = {}
        self.owners: dict[str, Process] = {}
        self.ended: dict[str, bool] = {}  # runs that have come to their end; whether the outbox was well then
        self.swept: set[str] = set()  # runs whose lock somebody has removed
        self.excused: set[int] = set()  # messages that such a run held
        self.copies: dict[str, list[Copy]] = {}
        self._since: dict[int, int] = {}  # copies of a message when it was claimed
        self._promised: set[str] = set()
        self._refused: set[str] = set()
        self.others_wait_seconds = 0  # before they settle what a living process had claimed that lost its session
        self.lost: dict[str, float] = {}  # runs whose sessions the server has ended, and when
        self._certain: dict[str, str] = {}  # recorded as answered, durably
        self._noted: dict[str, tuple[str, str | None]] = {}  # the same in a run's flight record, which it forgets

    def about_to_submit(self, message: Sent) -> None:
        """A message is about to be stored."""
        self._coming[message.sender] = message

    def _stored(self, outbox_id: int, sender: str) -> None:
        message = self._coming.pop(sender)
        self.sent[outbox_id] = message
        self._of_sender[sender] = outbox_id
        self._ids.update(dict.fromkeys(message.addresses, outbox_id))

    # What the servers say and take.

    def promised(self, addresses: list[str]) -> None:
        """A server says that it has taken a message for these."""
        self._promised.update(addresses)

    def refused(self, address: str, code: int) -> None:
        """A server refuses one recipient."""
        if code >= 500:
            self._refused.add(address)

    def refused_message(self, sender: str, code: int) -> None:
        """A server refuses a message."""
        if sender in self._of_sender:
            for address in self.sent[self._of_sender[sender]].addresses:
                self.refused(address, code)

    def refused_beside(self, address: str, code: int) -> None:
        """A server refuses a recipient after a lie: its client takes that for the answer about another one."""
        for other in self.sent[self._ids[address]].addresses:
            self.refused(other, code)

    def named(self, address: str) -> None:
        """A server is asked to take something for this recipient."""
        known = self._certain.get(address) or self._noted.get(address, ("",))[0]
        if known and self._ids[address] not in self.excused:
            raise Violation(f"{address} is recorded as {known}, and is sent to again")

    def taken(self, message_id: str, addresses: list[str], content: bytes) -> None:
        """A server has taken a whole message."""
        for address in addresses:
            outbox_id = self._ids[address]
            sent = self.sent[outbox_id]
            if content.replace(b"\r\n..", b"\r\n.") != sent.content:
                raise Violation(f"message {outbox_id} has arrived changed: {content!r}")
            self._copied(outbox_id, address, message_id)

    def _copied(self, outbox_id: int, address: str, message_id: str) -> None:
        row, copies = self.rows[outbox_id], self.copies.setdefault(address, [])
        uncertain = row.recipients[self.sent[outbox_id].addresses.index(address)][1]
        if outbox_id not in self.excused:
            if copies and not uncertain:
                raise Violation(f"a second copy for {address}, who is not recorded as uncertain")
            if copies and copies[-1].message_id != message_id:
                raise Violation(f"a second copy for {address} under another Message-ID: {copies[-1].message_id}")
            if row.status != "sending" and not uncertain and address not in self._promised:
                raise Violation(f"message {outbox_id} is {row.status}, and a server gets it whole")
        copies.append(Copy(message_id, self.world.now))

    # What the runs note and record.

    def began(self, run_id: str, process: Process) -> None:
        """A run lives."""
        self.owners[run_id] = process

    def run_over(self, run_id: str, *, well: bool) -> None:
        """A run has come to its end in order; *well*: and nothing was wrong with the outbox."""
        self.ended[run_id] = well
        left = [row.outbox_id for row in self.rows.values() if row.status == "sending" and row.run_id == run_id]
        if well and left and run_id not in self.swept:
            raise Violation(f"a run has ended and left messages without an owner: {left}")

    def answered(self, claimed: Claimed, outcome: Outcome) -> None:
        """An answer is in a flight record."""
        run_id = self.rows[claimed.outbox_id].run_id
        for number, result in outcome.recipients.items():
            if result.status is not RecipientStatus.PENDING:
                self._noted[self.sent[claimed.outbox_id].addresses[number]] = result.status, run_id

    def power_cut(self, runs: Collection[str]) -> None:
        """What these had noted and was not durable may be lost."""
        self._noted = {address: noted for address, noted in self._noted.items() if noted[1] not in runs}

    def sweep(self, run_id: str) -> None:
        """Somebody has removed the lock of a living run: others take it for dead, and may send what it sends."""
        self.swept.add(run_id)
        self.excused.update(row.outbox_id for row in self.rows.values() if row.run_id == run_id)

    def committed(self, process: Process | None) -> None:
        """Look at all that has changed; *process* has changed it."""
        recipients: dict[int, list[tuple[int, str, bool]]] = {}
        for outbox_id, *recipient in self._ask(_RECIPIENTS):
            recipients.setdefault(outbox_id, []).append((recipient[0], recipient[1], bool(recipient[2])))
        rows = {}
        for found in self._ask(_ROWS):
            everyone = tuple((status, uncertain) for _, status, uncertain in sorted(recipients.get(found[0], [])))
            rows[found[0]] = Row._make((*found, everyone))
        lost = self.sent.keys() - rows.keys()
        if lost:
            raise Violation(f"lost: {sorted(lost)}")
        before, self.rows = self.rows, rows
        for outbox_id in rows.keys() - self.sent.keys():
            self._stored(outbox_id, rows[outbox_id].sender)
        for outbox_id, row in rows.items():
            if outbox_id in before and before[outbox_id] != row:
                self._changed(process, before[outbox_id], row)

    def _changed(self, process: Process | None, before: Row, row: Row) -> None:
        who = "world" if process is None else process.name
        self.world.say(who, "   COMMITTED {}: {} -> {}", row.outbox_id, _shown(before), _shown(row))
        if before.status == "sending" and (row.status, row.run_id, row.claim) != before[1:4]:
            self._released(process, before, row)
        if row.status == "sending" and (row.run_id, row.claim) != (before.run_id, before.claim):
            self._claimed(process, before, row)
        if row.outbox_id in self.sent:
            self._answers_are_true(before, row)

    def _released(self, process: Process | None, before: Row, row: Row) -> None:
        """A claim is over: by its own run, or by one that recovers it; given back only if no server has it."""
        owner = self.owners.get(before.run_id or "")
        if owner is None or process is None:
            raise Violation(f"message {row.outbox_id} was nobody's")
        abandoned = not owner.alive or before.run_id in self.swept or before.run_id in self.ended
        lost_at = self.lost.get(before.run_id or "")
        abandoned = abandoned or (lost_at is not None and self.world.now - lost_at >= self.others_wait_seconds - 1)
        mine = owner is process
        if not mine and not abandoned:
            raise Violation(f"message {row.outbox_id} is {owner.name}'s, and {process.name} has moved it")
        if row.status == "sending" and not mine:
            raise Violation(f"message {row.outbox_id} was claimed while it was being sent")
        given_back = row.retries == before.retries and row.status != "sent"
        if given_back and self._count(row.outbox_id) > self._since[row.outbox_id] and row.outbox_id not in self.excused:
            raise Violation(f"message {row.outbox_id} was given back, and a server has it")

    def _count(self, outbox_id: int) -> int:
        return sum(len(self.copies.get(address, ())) for address in self.sent[outbox_id].addresses)

    def _claimed(self, process: Process | None, before: Row, row: Row) -> None:
        if process is None or self.owners.get(row.run_id or "") is not process:
            raise Violation(f"message {row.outbox_id} was claimed in another run's name")
        taken_again = before.run_id == row.run_id  # given back and claimed in one step
        if (
            not (before.status in ("pending", "failed") or taken_again)
            or before.held_at is not None
            or before.gave_up is not None
        ):
            raise Violation(f"message {row.outbox_id} must not be claimed: {_shown(before)}")
        due_at = min(before.next_attempt_at, before.first_due_at) if before.by_account else before.next_attempt_at
        if due_at > self.world.now:
            raise Violation(f"message {row.outbox_id} is claimed before it is due")
        self._since[row.outbox_id] = self._count(row.outbox_id)
        if row.run_id in self.swept:
            self.excused.add(row.outbox_id)

    def _answers_are_true(self, before: Row, row: Row) -> None:
        for address, was, now in zip(
            self.sent[row.outbox_id].addresses, before.recipients, row.recipients, strict=True
        ):
            if was[0] != "pending" and was[0] != now[0]:
                raise Violation(f"{address} was {was[0]} and is {now[0]}")
            if now[0] == "accepted" and address not in self._promised:
                raise Violation(f"{address} is recorded as accepted, which no server has said")
            if now[0] == "refused" and address not in self._refused:
                raise Violation(f"{address} is recorded as refused, which no server has said")
            if now[0] != "pending":
                self._certain[address] = now[0]
        accepted = all(status == "accepted" for status, _ in row.recipients)
        if (row.status == "sent") != accepted and row.status != "sending":
            raise Violation(f"message {row.outbox_id} is {_shown(row)}")
        if row.gave_up == "refused" and any(status == "pending" for status, _ in row.recipients):
            raise Violation(f"message {row.outbox_id} was given up as refused: {_shown(row)}")
        if row.gave_up == "expired" and (row.expires_at is None or row.expires_at > self.world.now):
            raise Violation(f"message {row.outbox_id} was given up as expired")
        if row.gave_up not in (None, "refused", "expired", "cancelled"):
            raise Violation(f"message {row.outbox_id} was given up: {row.gave_up}")

    def check_served(self, waiting: list[Row]) -> None:
        """A drain has attempted each of these, whatever other accounts' servers did."""
        left = [row.outbox_id for row in waiting if self.rows[row.outbox_id][1:6] == row[1:6]]
        if left:
            raise Violation(f"a drain has ended and not attempted {left}")

    # At the end.

    def everything_is_over(self) -> None:
        """Each message is sent, or given up by the rules; what is sent, a server has taken or said so."""
        for row in self.rows.values():
            if row.status != "sent" and row.gave_up is None:
                raise Violation(f"message {row.outbox_id} is not delivered in the end: {_shown(row)}")
            for address, (status, _) in zip(self.sent[row.outbox_id].addresses, row.recipients, strict=True):
                if status == "accepted" and not self.copies.get(address) and address not in self._promised:
                    raise Violation(f"{address} never got anything")

    def check_limits(self, accounts: dict[str, Account]) -> None:
        """No span of a minute has more messages of an account than its limit allows, and each copy counts."""
        for name, account in accounts.items():
            starts = [at for (at,) in self._ask(_STARTS, (name,))]
            taken = sum(max(len(self.copies.get(address, ())) for address in sent.addresses)
                        for sent in self.sent.values() if sent.account == name)  # fmt: skip
            if taken > len(starts) and not self.swept:
                raise Violation(f"account {name}: {taken} messages were taken, and {len(starts)} are counted")
            if account.per_minute is not None:
                for first, last in zip(starts, starts[account.per_minute :], strict=False):
                    if last - first < 60:
                        raise Violation(f"account {name}: over {account.per_minute} messages in {last - first} s")


def _shown(row: Row) -> str:
    owner = f" run {row.run_id} claim {row.claim} as {row.claimed_as}" if row.status == "sending" else ""
    more = "".join(f" {text}" for text in (row.gave_up and f"given up ({row.gave_up})", row.held_at and "held") if text)
    everyone = ", ".join(f"{status}{' (uncertain)' * uncertain}" for status, uncertain in row.recipients)
    return f"{row.status}{owner}{more}, {row.retries} failures [{everyone}]"
