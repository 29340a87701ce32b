"""Name what an outbox consists of, table by table, so that a copy in another database is the whole of it.

A test compares this with the tables of both databases.
"""

from typing import NamedTuple


class Part(NamedTuple):
    """A table that is copied row by row.

    columns: all of them, the key first.  many: so many columns are the key, by which rows are read in order.
    booleans: which columns are truth values.  fixed: texts that a copy may not change.
    """

    table: str
    many: int
    columns: tuple[str, ...]
    booleans: frozenset[str] = frozenset()
    fixed: frozenset[str] = frozenset()

    @property
    def key(self) -> tuple[str, ...]:
        """The columns of the primary key."""
        return self.columns[: self.many]

    def select(self, booleans: str = "{}") -> str:
        """Say what reads a row.  booleans: how to read a truth value as 0 or 1."""
        columns = (booleans.format(name) if name in self.booleans else name for name in self.columns)
        return f"SELECT {', '.join(columns)} FROM {self.table}"

    def after(self) -> str:
        """Say which rows come after a key."""
        return f" WHERE ({', '.join(self.key)}) > ({', '.join('?' * self.many)})"

    def order(self, direction: str = "") -> str:
        """Say in which order rows are read."""
        return f" ORDER BY {', '.join(name + direction for name in self.key)}"

    @property
    def insert(self) -> str:
        """The statement that writes a row."""
        return f"INSERT INTO {self.table} ({', '.join(self.columns)}) VALUES ({', '.join('?' * len(self.columns))})"


def _part(table: str, many: int, columns: str, booleans: str = "", fixed: str = "") -> Part:
    return Part(table, many, tuple(columns.split()), frozenset(booleans.split()), frozenset(fixed.split()))


# In this order: a row of a message is written after the message.
PARTS = (
    _part(
        "outbox", 1,
        "id account status retries next_attempt_at first_due_at expires_at created_at sent_at run_id claimed_at claim"
        " claimed_as claimed_by_hand held_at gave_up told_at pruned_at pruning dismissed_at anonymised_at uncertain"
        " by_account message_id own_message_id esmtp acceptance last_error error_code sender subject size_bytes"
        " needs_smtputf8 priority enqueued_by drained_from envelope_digest content_digest",
        "claimed_by_hand pruning uncertain by_account needs_smtputf8",
        "account message_id own_message_id sender",
    ),
    _part("recipient", 2, "outbox_id number address kind status code response uncertain", "uncertain", "address"),
    _part(
        "attempt", 2,
        "outbox_id retries account run_id message_id started_at finished_at outcome code enhanced response uncertain"
        " counts dialogue recipients",
        "uncertain counts", "account run_id message_id",
    ),
    _part("idempotency", 2, "account key outbox_id fingerprint", "", "account key fingerprint"),
    _part(
        "known", 1,
        "id account learned_at message_id in_reply_to reference_ids sender reply_to recipients copies subject date"
        " text",
        "", "account message_id",
    ),
    _part("account_state", 1,
          "account paused_at paused_until paused_by reason failing_since failed_at refusals rests_until error detail"
          " config told_at works_since", "", "account"),
    _part("action", 1, "id outbox_id account at what who detail", "", "account"),
    _part("content", 1, "id data"),
)  # fmt: skip


class Counter(NamedTuple):
    """How many attempts of an account ended so; see the table ``attempted``."""

    account: str
    outcome: str
    code_class: int
    attempts: int


class Facts(NamedTuple):
    """What an outbox says of itself, beside its rows.

    generation: as a restored backup is told by in a file.  last_id: the highest that it ever gave.
    """

    identity: str
    generation: int
    drained_seconds: int
    recorded_at: int | None
    pseudonym_key: str | None
    last_attempt_at: int | None
    last_id: int
    last_drain_at: int | None
    last_drain_by: str
    counters: list[Counter]


COUNTERS = "SELECT account, outcome, code_class, attempts FROM attempted ORDER BY account, outcome, code_class"
SENDING = "SELECT 1 FROM outbox WHERE status = 'sending' LIMIT 1"
LATEST_MESSAGE_ID = """
-- reads the Message-ID of the newest attempt under one that this program made
SELECT message_id FROM outbox WHERE message_id LIKE '<outbox-%' ORDER BY id DESC LIMIT 1
"""
EMPTY = "SELECT " + " AND ".join(f"NOT EXISTS (SELECT 1 FROM {part.table})" for part in PARTS)
TAKE_FACTS = """
-- makes the outbox the one that it is a copy of, and lets it be used
UPDATE ledger SET identity = ?, drained_seconds = ?, recorded_at = ?, pseudonym_key = ?, moved_to = NULL
"""
GIVE_FACTS = "SELECT identity, drained_seconds, recorded_at, pseudonym_key FROM ledger"
