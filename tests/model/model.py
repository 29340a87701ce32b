"""What must be true of one message, written down a second time and as briefly as possible."""

from dataclasses import dataclass, field

BASE, GIVE_UP_AFTER, ATTEMPTS = 5, 120 * 3600, 2
PENDING, ACCEPTED, REFUSED = "pending", "accepted", "refused"


@dataclass
class Claim:
    """A claim as the contract has it.  addressed: recipients.  at, drained: the time, and the time drained by then.

    unanswered, answered: what its run noted: the results as they stood, or what the attempt came to.
    """

    number: int
    message_id: str
    addressed: set[int]
    at: int
    drained: int
    unanswered: "Ending | None" = None
    answered: "Ending | None" = None


@dataclass
class Ending:
    """Results of an attempt, who of them is doubtful, when, and whether the account is at fault.

    accepted: the provider has taken the message for somebody, which shows that the account works.
    """

    results: dict[int, str]
    doubtful: set[int]
    at: int
    account: bool = False
    accepted: bool = False


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
    claim: "Claim | None" = None
    message_id: str | None = None
    doubtful: set[int] = field(default_factory=set)  # recipients that may have it
    drained_from: int | None = None
    held: bool = False
    gave_up: str | None = None
    told: bool = False
    pruned: bool = False
    sent_at: int | None = None
    priority: str = "normal"
    by_account: bool = False

    def __post_init__(self) -> None:
        self.first_due = self.due

    def idle(self) -> bool:
        """Neither sent nor in some run's hands."""
        return self.status in ("pending", "failed")

    @property
    def uncertain(self) -> bool:
        """Whether some recipient may have it."""
        return bool(self.doubtful)

    def for_drains(self, now: int) -> bool:
        """Whether a drain may take it."""
        expired = self.expires is not None and self.expires <= now
        return self.idle() and not self.held and self.gave_up is None and self.due <= now and not expired

    def begin(self, claim: "Claim", drained: int) -> None:
        """What an attempt leaves behind however it ends, after *drained* seconds of drains."""
        self.run, self.claim, self.message_id = None, None, claim.message_id
        if self.drained_from is None and self.first_due <= claim.at:
            self.drained_from = drained

    def give_back(self) -> None:
        """It is as if it had not been claimed."""
        self.run, self.claim, self.status = None, None, "failed" if self.retries else "pending"

    def finalize(
        self, results: dict[int, str], doubtful: set[int], now: int, drained: int, *, account: bool, hold: bool
    ) -> None:
        """The ten lines: what an attempt that ended at *now*, after *drained* seconds of drains, leaves behind."""
        self.by_account = account
        self.recipients = {**self.recipients, **results}
        self.doubtful = {n for n in self.doubtful | doubtful if self.recipients[n] != ACCEPTED}
        if set(self.recipients.values()) == {ACCEPTED}:
            self.status, self.sent_at, self.held, gave_up = "sent", now, False, None
        else:
            self.status, self.retries = "failed", self.retries + 1
            self.due = max(self.due, now + BASE * 2 ** min(self.retries, 10))
            self.held = self.held or (bool(doubtful) and hold)
            gave_up = None if PENDING in self.recipients.values() else "refused"
            if gave_up is None and not account:
                old = self.drained_from is not None and drained - self.drained_from >= GIVE_UP_AFTER
                gave_up = "too long undelivered" if old and self.retries >= ATTEMPTS else None
                gave_up = "expired" if self.expires is not None and now >= self.expires else gave_up
        self.gave_up, self.told = gave_up, self.told and gave_up == self.gave_up

    def account_works(self) -> bool:
        """What failed by its account is due at once when that works again; whether it is earlier than before."""
        before = self.due
        if self.by_account and self.status == "failed" and not self.held and self.gave_up is None:
            self.due = min(self.due, self.first_due)
        return self.due < before

    def recover(self, results: dict[int, str], doubtful: set[int], now: int, *, hold: bool) -> None:
        """What the death of its run leaves behind when nobody knows the answer."""
        self.status, self.retries, self.due, self.by_account = "failed", self.retries + 1, now, False
        self.recipients = {**self.recipients, **results}
        self.doubtful |= doubtful
        self.held = self.held or hold

    def resolve(self, now: int, *, sent: bool) -> None:
        """What a person's word leaves behind: it settles those that are doubtful, and no others."""
        if sent:
            self.recipients |= dict.fromkeys(self.doubtful, ACCEPTED)
        self.doubtful, self.held = set(), False
        if not sent:
            return
        if set(self.recipients.values()) == {ACCEPTED}:
            self.status, self.sent_at, self.gave_up = "sent", now, None
        elif PENDING not in self.recipients.values():
            self.gave_up, self.told = "refused", True
