"""What must be true of one message, written down a second time and as briefly as possible."""

from dataclasses import dataclass, field

BASE, GIVE_UP_AFTER = 5, 120 * 3600
PENDING, ACCEPTED, REFUSED = "pending", "accepted", "refused"


@dataclass
class Message:
    """One message as the contract has it.  recipients: status by number."""

    created: int
    due: int
    expires: int | None
    recipients: dict[int, str]
    status: str = "pending"
    retries: int = 0
    first_due: int = field(init=False)
    run: str | None = None
    message_id: str | None = None
    uncertain: bool = False
    held: bool = False
    gave_up: str | None = None
    told: bool = False
    pruned: bool = False
    sent_at: int | None = None

    def __post_init__(self) -> None:
        self.first_due = self.due

    def idle(self) -> bool:
        """Neither sent nor in some run's hands."""
        return self.status in ("pending", "failed")

    def for_drains(self, now: int) -> bool:
        """Whether a drain may take it."""
        expired = self.expires is not None and self.expires <= now
        return self.idle() and not self.held and self.gave_up is None and self.due <= now and not expired

    def finalize(self, results: dict[int, str], now: int, *, uncertain: bool, account: bool, hold: bool) -> None:
        """The ten lines: what an attempt that ended at *now* leaves behind."""
        self.run, self.recipients = None, {**self.recipients, **results}
        if set(self.recipients.values()) == {ACCEPTED}:
            self.status, self.sent_at, self.uncertain, self.held, gave_up = "sent", now, False, False, None
        else:
            self.status, self.retries = "failed", self.retries + 1
            self.due = max(self.due, now + BASE * 2 ** min(self.retries, 10))
            self.uncertain, self.held = self.uncertain or uncertain, self.held or (uncertain and hold)
            gave_up = None if PENDING in self.recipients.values() else "refused"
            if gave_up is None and not account:
                gave_up = "too long undelivered" if now >= self.first_due + GIVE_UP_AFTER else None
                gave_up = "expired" if self.expires is not None and now >= self.expires else gave_up
        self.gave_up, self.told = gave_up, self.told and gave_up == self.gave_up

    def recover(self, now: int, *, hold: bool) -> None:
        """What the death of its run leaves behind."""
        self.status, self.run, self.retries, self.due = "failed", None, self.retries + 1, now
        self.uncertain, self.held = True, self.held or hold

    def arrived(self, now: int) -> None:
        """What a person's word leaves behind that it arrived: ``sent`` only if nobody had been refused for good."""
        self.recipients = {number: REFUSED if was == REFUSED else ACCEPTED for number, was in self.recipients.items()}
        if REFUSED in self.recipients.values():
            self.gave_up, self.told = "refused", True
        else:
            self.status, self.sent_at, self.gave_up = "sent", now, None
