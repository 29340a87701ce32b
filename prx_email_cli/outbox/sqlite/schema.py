"""Make the tables by numbered migrations.  A released migration is never edited: a change is a new one."""

import sqlite3

from prx_email_cli.errors import StorageError
from prx_email_cli.outbox.hashing import sha256
from prx_email_cli.outbox.sqlite.storing import APPLICATION_ID, WHOSE

_OUTBOX = (
    # State and facts, small rows: scanning a million of them never touches content.
    """
    CREATE TABLE outbox (
        id              INTEGER PRIMARY KEY AUTOINCREMENT,  -- never reused: Message-IDs are made of it
        account         TEXT    NOT NULL,
        status          TEXT    NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'sending', 'sent', 'failed')),
        retries         INTEGER NOT NULL DEFAULT 0 CHECK (retries >= 0),
        next_attempt_at INTEGER NOT NULL,
        first_due_at    INTEGER NOT NULL,
        expires_at      INTEGER,
        created_at      INTEGER NOT NULL,
        sent_at         INTEGER CHECK ((sent_at IS NOT NULL) = (status = 'sent')),
        run_id          TEXT    CHECK ((run_id IS NOT NULL) = (status = 'sending')),
        claimed_at      INTEGER CHECK ((claimed_at IS NOT NULL) = (status = 'sending')),
        held_at         INTEGER,
        gave_up         TEXT    CHECK (gave_up IS NULL OR status <> 'sent'),
        told_at         INTEGER,  -- when somebody was told that it was given up
        pruned_at       INTEGER,  -- when its content was dropped
        uncertain       INTEGER NOT NULL DEFAULT 0 CHECK (uncertain IN (0, 1)),
        message_id      TEXT,     -- of the latest attempt
        acceptance      TEXT,     -- the provider's words when it took the message
        last_error      TEXT,
        error_code      TEXT,
        sender          TEXT    NOT NULL,
        subject         TEXT    NOT NULL,
        size_bytes      INTEGER NOT NULL,
        needs_smtputf8  INTEGER NOT NULL DEFAULT 0
    ) STRICT
    """,
    # What a drain may take, in the order in which it takes it.
    """
    CREATE INDEX outbox_due ON outbox (account, next_attempt_at, id)
     WHERE status IN ('pending', 'failed') AND held_at IS NULL AND gave_up IS NULL
    """,
    # What recovery looks at.
    "CREATE INDEX outbox_sending ON outbox (run_id) WHERE status = 'sending'",
    # What a drain gives up unsent, and what it has yet to tell of; both are empty nearly always.
    """
    CREATE INDEX outbox_expiring ON outbox (expires_at)
     WHERE expires_at IS NOT NULL AND status IN ('pending', 'failed') AND held_at IS NULL AND gave_up IS NULL
    """,
    "CREATE INDEX outbox_untold ON outbox (id) WHERE gave_up IS NOT NULL AND told_at IS NULL",
    # What an operator looks for among a million sent ones.
    "CREATE INDEX outbox_unsent ON outbox (id) WHERE status <> 'sent'",
    """
    CREATE TABLE recipient (
        outbox_id INTEGER NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
        number    INTEGER NOT NULL,
        address   TEXT    NOT NULL,
        kind      TEXT    NOT NULL CHECK (kind IN ('to', 'cc', 'bcc')),
        status    TEXT    NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'accepted', 'refused')),
        code      INTEGER,
        response  TEXT,
        PRIMARY KEY (outbox_id, number)
    ) STRICT, WITHOUT ROWID
    """,
    # One row per finished attempt; the one under way is the outbox row's own run_id, message_id and claimed_at.
    """
    CREATE TABLE attempt (
        outbox_id   INTEGER NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
        retries     INTEGER NOT NULL,  -- as they stood when it started: no two attempts of a message share them
        account     TEXT    NOT NULL,
        run_id      TEXT    NOT NULL,
        message_id  TEXT    NOT NULL,
        started_at  INTEGER NOT NULL,
        finished_at INTEGER NOT NULL,
        outcome     TEXT    NOT NULL CHECK (outcome IN ('sent', 'deferred', 'gave_up', 'died')),
        code        INTEGER,
        enhanced    TEXT,              -- RFC 3463
        response    TEXT,
        uncertain   INTEGER NOT NULL CHECK (uncertain IN (0, 1)),
        counts      INTEGER NOT NULL CHECK (counts IN (0, 1)),  -- whether the provider may have taken a message
        dialogue    TEXT,
        PRIMARY KEY (outbox_id, retries)
    ) STRICT, WITHOUT ROWID
    """,
    # What the limits by minute and by day count.
    "CREATE INDEX attempt_counting ON attempt (account, started_at) WHERE counts",
    # The first message of each key; it outlives the message's content.
    """
    CREATE TABLE idempotency (
        account     TEXT    NOT NULL,
        key         TEXT    NOT NULL,
        outbox_id   INTEGER NOT NULL,
        fingerprint TEXT    NOT NULL,
        PRIMARY KEY (account, key)
    ) STRICT, WITHOUT ROWID
    """,
    # What was imported to be answered; the text comes last, so that looking for the rest does not read it.
    """
    CREATE TABLE known (
        id            INTEGER PRIMARY KEY,
        account       TEXT    NOT NULL,
        learned_at    INTEGER NOT NULL,
        message_id    TEXT    NOT NULL,
        in_reply_to   TEXT    NOT NULL,
        reference_ids TEXT    NOT NULL,
        sender        TEXT    NOT NULL,
        reply_to      TEXT    NOT NULL,
        recipients    TEXT    NOT NULL,
        copies        TEXT    NOT NULL,
        subject       TEXT    NOT NULL,
        date          TEXT    NOT NULL,
        text          TEXT    NOT NULL
    ) STRICT
    """,
    "CREATE UNIQUE INDEX known_message ON known (account, message_id)",
    # One message is a run of pieces: id = outbox_id * 65536 + number of the piece, so that one B-tree does.
    "CREATE TABLE content (id INTEGER PRIMARY KEY, data BLOB NOT NULL) STRICT",
)

_TRUTH = (
    # Uncertainty belongs to recipients.  Of an older message nobody knows to which: to all that are not settled.
    """
    ALTER TABLE recipient ADD COLUMN uncertain INTEGER NOT NULL DEFAULT 0
          CHECK (uncertain IN (0, 1) AND (uncertain = 0 OR status <> 'accepted'))
    """,
    """
    UPDATE recipient SET uncertain = 1
     WHERE status = 'pending' AND outbox_id IN (SELECT id FROM outbox WHERE uncertain)
    """,
    # What was stored, so that it can be verified before it is sent; NULL in rows that are older than this check.
    "ALTER TABLE outbox ADD COLUMN envelope_digest TEXT",
    "ALTER TABLE outbox ADD COLUMN content_digest TEXT",
    "ALTER TABLE outbox ADD COLUMN drained_from INTEGER",  # ledger.drained_seconds when it was first attempted
    # Whether a person's retry has it in hand, which addresses refused recipients too.
    "ALTER TABLE outbox ADD COLUMN claimed_by_hand INTEGER NOT NULL DEFAULT 0 CHECK (claimed_by_hand IN (0, 1))",
    # How many recipients the provider may count for an attempt; of older attempts nobody knows, and one is the least.
    "ALTER TABLE attempt ADD COLUMN recipients INTEGER NOT NULL DEFAULT 0",
    # One row about the outbox itself.
    """
    CREATE TABLE ledger (
        id              INTEGER PRIMARY KEY CHECK (id = 1),
        identity        TEXT    NOT NULL,            -- tells this outbox from any other
        generation      INTEGER NOT NULL DEFAULT 0,  -- grows with every claim: tells a restored backup
        drained_seconds INTEGER NOT NULL DEFAULT 0,  -- how long drains have been at work in all
        recorded_at     INTEGER                      -- the latest moment at which a drain looked at the clock
    ) STRICT
    """,
    # A backup of the same outbox, made before this migration, gets the same identity when it goes through it.
    """
    INSERT INTO ledger (id, identity)
    VALUES (1, coalesce((SELECT outbox_identity(id, created_at, sender, subject) FROM outbox ORDER BY id LIMIT 1),
                        lower(hex(randomblob(16)))))
    """,
)

_CLAIMS = (
    # The claim under way, beside what it leaves as it is: its number in its run, and the Message-ID of its attempt.
    "ALTER TABLE outbox ADD COLUMN claim INTEGER",
    "ALTER TABLE outbox ADD COLUMN claimed_as TEXT",
    # The class of a message, which the index has too: a claim finds the first message of each class by one search.
    """
    ALTER TABLE outbox ADD COLUMN priority TEXT NOT NULL DEFAULT 'normal'
          CHECK (priority IN ('high', 'normal', 'bulk'))
    """,
    "DROP INDEX outbox_due",
    """
    CREATE INDEX outbox_due ON outbox (account, priority, next_attempt_at, id)
     WHERE status IN ('pending', 'failed') AND held_at IS NULL AND gave_up IS NULL
    """,
    # How many messages of each account are stored: counting ten million takes seconds.  Triggers keep it, so that no
    # statement can forget it; none of them fires when a result is recorded, which damage here can therefore not hinder.
    """
    CREATE TABLE stored (
        account  TEXT    PRIMARY KEY,
        messages INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    "INSERT INTO stored (account, messages) SELECT account, count(*) FROM outbox GROUP BY account",
    """
    CREATE TRIGGER outbox_stored AFTER INSERT ON outbox BEGIN
        INSERT INTO stored (account, messages) VALUES (new.account, 1)
            ON CONFLICT (account) DO UPDATE SET messages = messages + 1;
    END
    """,
    """
    CREATE TRIGGER outbox_deleted AFTER DELETE ON outbox BEGIN
        UPDATE stored SET messages = messages - 1 WHERE account = old.account;
    END
    """,
    # The newest messages of one account among millions of others; no partial index serves that.
    "CREATE INDEX outbox_account ON outbox (account)",
    # Whether some of its content is left, which takes several transactions to drop; pruned_at is set from the first on.
    "ALTER TABLE outbox ADD COLUMN pruning INTEGER NOT NULL DEFAULT 0 CHECK (pruning IN (0, 1))",
    "ALTER TABLE ledger ADD COLUMN last_attempt_at INTEGER",  # when the latest attempt ended
    "UPDATE ledger SET last_attempt_at = (SELECT max(finished_at) FROM attempt)",
)

_COUNTERS = (
    # How many attempts have ended, for monitoring: counting millions takes seconds, and prune deletes some.
    # code_class: the first digit of the reply's code, 0 without a reply; see lifecycle.code_class.
    """
    CREATE TABLE attempted (
        account    TEXT    NOT NULL,
        outcome    TEXT    NOT NULL,
        code_class INTEGER NOT NULL,
        attempts   INTEGER NOT NULL,
        PRIMARY KEY (account, outcome, code_class)
    ) STRICT, WITHOUT ROWID
    """,
    """
    INSERT INTO attempted (account, outcome, code_class, attempts)
    SELECT account, outcome, coalesce(code / 100, CASE outcome WHEN 'sent' THEN 2 ELSE 0 END) AS code_class, count(*)
      FROM attempt GROUP BY account, outcome, code_class
    """,
)

_REPEATED = (
    # The attempts that may have reached somebody, few among millions: what followed them may have arrived twice.
    "CREATE INDEX attempt_uncertain ON attempt (outbox_id) WHERE uncertain",
)

_ACCOUNTS = (
    # What is known of an account beside its messages; '' is the pause of all.
    """
    CREATE TABLE account_state (
        account       TEXT    PRIMARY KEY,
        paused_at     INTEGER,
        paused_until  INTEGER,
        paused_by     TEXT,
        reason        TEXT,
        failing_since INTEGER,
        failed_at     INTEGER,
        refusals      INTEGER NOT NULL DEFAULT 0,
        rests_until   INTEGER,
        error         TEXT,
        detail        TEXT,
        config        TEXT,
        told_at       INTEGER,
        works_since   INTEGER
    ) STRICT, WITHOUT ROWID
    """,
    # Whether the latest attempt failed by the account: then the message is due when the account works again.
    "ALTER TABLE outbox ADD COLUMN by_account INTEGER NOT NULL DEFAULT 0 CHECK (by_account IN (0, 1))",
    "CREATE INDEX outbox_by_account ON outbox (account) WHERE by_account",
)

_PEOPLE = (
    # Who enqueued a message, as JSON; when a person had seen its failure; when it lost its names.
    "ALTER TABLE outbox ADD COLUMN enqueued_by TEXT",
    "ALTER TABLE outbox ADD COLUMN dismissed_at INTEGER",
    "ALTER TABLE outbox ADD COLUMN anonymised_at INTEGER",
    # What people did, to a message or (without one) to an account.
    """
    CREATE TABLE action (
        id        INTEGER PRIMARY KEY,
        outbox_id INTEGER REFERENCES outbox (id) ON DELETE CASCADE,
        account   TEXT    NOT NULL,
        at        INTEGER NOT NULL,
        what      TEXT    NOT NULL,
        who       TEXT    NOT NULL,
        detail    TEXT
    ) STRICT
    """,
    "CREATE INDEX action_message ON action (outbox_id) WHERE outbox_id IS NOT NULL",
    "CREATE INDEX action_at ON action (at)",
    # With attempt_counting: all attempts of an account by time.  Those that do not count are few.
    "CREATE INDEX attempt_uncounted ON attempt (account, started_at) WHERE NOT counts",
    "ALTER TABLE ledger ADD COLUMN moved_to TEXT",  # where the outbox went, which sends no more
    "ALTER TABLE ledger ADD COLUMN pseudonym_key TEXT",  # of the hashes that stand for names
)

_RAW = (
    # Of a message that came whole: the Message-ID that it has, and what its client asked of the server, as JSON.
    "ALTER TABLE outbox ADD COLUMN own_message_id TEXT",
    "ALTER TABLE outbox ADD COLUMN esmtp TEXT",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_OUTBOX, _TRUTH, _CLAIMS, _COUNTERS, _REPEATED, _ACCOUNTS, _PEOPLE, _RAW)


def migrate(connection: sqlite3.Connection, path: object) -> None:
    """Bring the schema up to date, each migration and its number in one transaction.

    Raises StorageError for a schema newer than this program and for a database that is somebody else's.
    """
    if check_ours(connection, path) == len(MIGRATIONS):
        return
    connection.create_function("outbox_identity", 4, _identity)
    connection.execute("BEGIN IMMEDIATE")
    try:
        for number in range(check_ours(connection, path), len(MIGRATIONS)):
            for statement in MIGRATIONS[number]:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _identity(*oldest: object) -> str:
    """Make an identity from the oldest message."""
    return sha256(repr(oldest).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def check_ours(connection: sqlite3.Connection, path: object) -> int:
    """Return the schema's number, 0 for an empty database.  Raises StorageError as ``migrate``; changes nothing."""
    # One statement, so one snapshot: another process may be creating the tables at this moment.
    version, application, tables = connection.execute(WHOSE).fetchone()
    if application != APPLICATION_ID and (application or version or tables):
        raise StorageError(f"{path} is a database of another program", hint="name another file as [outbox] path")
    if version > len(MIGRATIONS):
        raise StorageError(
            f"{path} has schema {version}, newer than the {len(MIGRATIONS)} this prx-email knows",
            hint="install the newer prx-email that wrote it",
        )
    return int(version)
