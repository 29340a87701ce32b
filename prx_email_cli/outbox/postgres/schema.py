"""The numbered migrations that make the tables.  A released migration is never edited: a change is a new one.

The tables have the names and columns of SQLite's, so that the steps are the same.  What every transaction would have to
write in SQLite, and all would wait for here, is divided by ``slot``: counts of messages and of attempts.
"""

from prx_email_cli.outbox.lifecycle import MAX_PAUSE_SECONDS

SLOTS = 32  # rows of one count, so that so many transactions can raise it at once
LOCK = 0x70727865  # "prxe": the class of this program's advisory locks; 0 of it: who migrates
MIGRATING = 0

# Where a database is: a copy that pg_restore makes is elsewhere.
HERE = """
(SELECT system_identifier FROM pg_control_system()) || '/' || (SELECT oid FROM pg_database
   WHERE datname = current_database()) || '/' || 'ledger'::regclass::oid
"""

_OUTBOX = (
    "CREATE TABLE prx_email (version INTEGER NOT NULL)",
    """
    CREATE TABLE outbox (
        id              BIGINT  PRIMARY KEY,
        account         TEXT    COLLATE "C" NOT NULL,
        status          TEXT    COLLATE "C" NOT NULL DEFAULT 'pending'
                        CHECK (status IN ('pending', 'sending', 'sent', 'failed')),
        retries         BIGINT  NOT NULL DEFAULT 0 CHECK (retries >= 0),
        next_attempt_at BIGINT  NOT NULL,
        first_due_at    BIGINT  NOT NULL,
        expires_at      BIGINT,
        created_at      BIGINT  NOT NULL,
        sent_at         BIGINT  CHECK ((sent_at IS NOT NULL) = (status = 'sent')),
        run_id          TEXT    COLLATE "C" CHECK ((run_id IS NOT NULL) = (status = 'sending')),
        claimed_at      BIGINT  CHECK ((claimed_at IS NOT NULL) = (status = 'sending')),
        claim           BIGINT,
        claimed_as      TEXT,
        claimed_by_hand BOOLEAN NOT NULL DEFAULT FALSE,
        held_at         BIGINT,
        gave_up         TEXT    COLLATE "C" CHECK (gave_up IS NULL OR status <> 'sent'),
        told_at         BIGINT,
        pruned_at       BIGINT,
        pruning         BOOLEAN NOT NULL DEFAULT FALSE,
        dismissed_at    BIGINT,
        anonymised_at   BIGINT,
        uncertain       BOOLEAN NOT NULL DEFAULT FALSE,
        by_account      BOOLEAN NOT NULL DEFAULT FALSE,
        message_id      TEXT,
        own_message_id  TEXT,
        esmtp           TEXT,
        acceptance      TEXT,
        last_error      TEXT,
        error_code      TEXT,
        sender          TEXT    NOT NULL,
        subject         TEXT    NOT NULL,
        size_bytes      BIGINT  NOT NULL,
        needs_smtputf8  BOOLEAN NOT NULL DEFAULT FALSE,
        priority        TEXT    COLLATE "C" NOT NULL DEFAULT 'normal' CHECK (priority IN ('high', 'normal', 'bulk')),
        enqueued_by     TEXT,
        drained_from    BIGINT,
        envelope_digest TEXT,
        content_digest  TEXT
    )
    """,
    # Each message leaves two dead rows, and claims walk over their entries in outbox_due until they are vacuumed: that
    # must not wait for a fifth of all that was ever sent.  Each update changes what indexes hold, so that room for
    # updates in the pages (fillfactor) would be of no use.
    """
    ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 20000,
                            autovacuum_analyze_scale_factor = 0.02, vacuum_index_cleanup = on)
    """,
    "CREATE SEQUENCE outbox_id",  # asked for ids before the rows are made: digests are made of them
    # What a drain may take, in the order in which it takes it.
    """
    CREATE INDEX outbox_due ON outbox (account, priority, next_attempt_at, id)
     WHERE status IN ('pending', 'failed') AND held_at IS NULL AND gave_up IS NULL
    """,
    "CREATE INDEX outbox_sending ON outbox (run_id) WHERE status = 'sending'",
    """
    CREATE INDEX outbox_expiring ON outbox (expires_at)
     WHERE expires_at IS NOT NULL AND status IN ('pending', 'failed') AND held_at IS NULL AND gave_up IS NULL
    """,
    "CREATE INDEX outbox_untold ON outbox (id) WHERE gave_up IS NOT NULL AND told_at IS NULL",
    "CREATE INDEX outbox_unsent ON outbox (id) WHERE status <> 'sent'",
    "CREATE INDEX outbox_account ON outbox (account, id)",
    "CREATE INDEX outbox_by_account ON outbox (account) WHERE by_account",
    """
    CREATE TABLE recipient (
        outbox_id BIGINT  NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
        number    BIGINT  NOT NULL,
        address   TEXT    NOT NULL,
        kind      TEXT    COLLATE "C" NOT NULL CHECK (kind IN ('to', 'cc', 'bcc')),
        status    TEXT    COLLATE "C" NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'accepted', 'refused')),
        code      INTEGER,
        response  TEXT,
        uncertain BOOLEAN NOT NULL DEFAULT FALSE CHECK (NOT uncertain OR status <> 'accepted'),
        PRIMARY KEY (outbox_id, number)
    )
    """,
    """
    CREATE TABLE attempt (
        outbox_id   BIGINT  NOT NULL REFERENCES outbox (id) ON DELETE CASCADE,
        retries     BIGINT  NOT NULL,
        account     TEXT    COLLATE "C" NOT NULL,
        run_id      TEXT    NOT NULL,
        message_id  TEXT    NOT NULL,
        started_at  BIGINT  NOT NULL,
        finished_at BIGINT  NOT NULL,
        outcome     TEXT    COLLATE "C" NOT NULL CHECK (outcome IN ('sent', 'deferred', 'gave_up', 'died')),
        code        INTEGER,
        enhanced    TEXT,
        response    TEXT,
        uncertain   BOOLEAN NOT NULL,
        counts      BOOLEAN NOT NULL,
        dialogue    TEXT,
        recipients  BIGINT  NOT NULL DEFAULT 0,
        PRIMARY KEY (outbox_id, retries)
    )
    """,
    "CREATE INDEX attempt_counting ON attempt (account, started_at) WHERE counts",
    "CREATE INDEX attempt_uncounted ON attempt (account, started_at) WHERE NOT counts",
    "CREATE INDEX attempt_uncertain ON attempt (outbox_id) WHERE uncertain",
    """
    CREATE TABLE idempotency (
        account     TEXT   COLLATE "C" NOT NULL,
        key         TEXT   COLLATE "C" NOT NULL,
        outbox_id   BIGINT NOT NULL,
        fingerprint TEXT   NOT NULL,
        PRIMARY KEY (account, key)
    )
    """,
    """
    CREATE TABLE known (
        id            BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        account       TEXT   COLLATE "C" NOT NULL,
        learned_at    BIGINT NOT NULL,
        message_id    TEXT   NOT NULL,
        in_reply_to   TEXT   NOT NULL,
        reference_ids TEXT   NOT NULL,
        sender        TEXT   NOT NULL,
        reply_to      TEXT   NOT NULL,
        recipients    TEXT   NOT NULL,
        copies        TEXT   NOT NULL,
        subject       TEXT   NOT NULL,
        date          TEXT   NOT NULL,
        text          TEXT   NOT NULL
    )
    """,
    "CREATE UNIQUE INDEX known_message ON known (account, message_id)",
    # One message is a run of pieces: id = outbox_id * 65536 + number of the piece.  They hardly compress.
    "CREATE TABLE content (id BIGINT PRIMARY KEY, data BYTEA NOT NULL)",
    "ALTER TABLE content ALTER COLUMN data SET STORAGE EXTERNAL",
    """
    CREATE TABLE ledger (
        id              INTEGER PRIMARY KEY CHECK (id = 1),
        identity        TEXT    NOT NULL,
        place           TEXT    NOT NULL,  -- which cluster, database and table it was: tells a restored backup
        drained_seconds BIGINT  NOT NULL DEFAULT 0,
        recorded_at     BIGINT,
        moved_to        TEXT,
        pseudonym_key   TEXT,
        tidied          TEXT,
        last_drain_at   BIGINT,
        last_drain_by   TEXT,
        undrained_told_at BIGINT,
        told            TEXT
    )
    """,
    f"""
    CREATE TABLE stored_slot (
        account  TEXT    COLLATE "C",
        slot     INTEGER CHECK (slot BETWEEN 0 AND {SLOTS - 1}),
        messages BIGINT  NOT NULL,
        PRIMARY KEY (account, slot)
    )
    """,
    """
    CREATE VIEW stored AS SELECT account, CAST(sum(messages) AS BIGINT) AS messages FROM stored_slot GROUP BY account
    """,
    f"""
    CREATE FUNCTION count_stored() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP <> 'INSERT' THEN
            INSERT INTO stored_slot
            SELECT account, pg_backend_pid() % {SLOTS}, -count(*) FROM gone GROUP BY account ORDER BY account
                ON CONFLICT (account, slot) DO UPDATE SET messages = stored_slot.messages + excluded.messages;
        END IF;
        IF TG_OP <> 'DELETE' THEN
            INSERT INTO stored_slot
            SELECT account, pg_backend_pid() % {SLOTS}, count(*) FROM come GROUP BY account ORDER BY account
                ON CONFLICT (account, slot) DO UPDATE SET messages = stored_slot.messages + excluded.messages;
        END IF;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER outbox_stored AFTER INSERT ON outbox REFERENCING NEW TABLE AS come
        FOR EACH STATEMENT EXECUTE FUNCTION count_stored()
    """,
    """
    CREATE TRIGGER outbox_deleted AFTER DELETE ON outbox REFERENCING OLD TABLE AS gone
        FOR EACH STATEMENT EXECUTE FUNCTION count_stored()
    """,
    f"""
    CREATE FUNCTION count_elsewhere() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO stored_slot
        VALUES (old.account, pg_backend_pid() % {SLOTS}, -1), (new.account, pg_backend_pid() % {SLOTS}, 1)
            ON CONFLICT (account, slot) DO UPDATE SET messages = stored_slot.messages + excluded.messages;
        RETURN NULL;
    END $$
    """,
    """
    CREATE TRIGGER outbox_elsewhere AFTER UPDATE OF account ON outbox FOR EACH ROW
        WHEN (old.account <> new.account) EXECUTE FUNCTION count_elsewhere()
    """,
    f"""
    CREATE TABLE attempted_slot (
        account    TEXT    COLLATE "C",
        outcome    TEXT    COLLATE "C",
        code_class INTEGER,
        slot       INTEGER DEFAULT pg_backend_pid() % {SLOTS},
        attempts   BIGINT  NOT NULL,
        latest_at  BIGINT  NOT NULL,  -- when the latest of them ended
        PRIMARY KEY (account, outcome, code_class, slot)
    )
    """,
    """
    CREATE VIEW attempted AS
    SELECT account, outcome, code_class, CAST(sum(attempts) AS BIGINT) AS attempts
      FROM attempted_slot GROUP BY account, outcome, code_class
    """,
    """
    CREATE TABLE account_state (
        account       TEXT    COLLATE "C" PRIMARY KEY,
        paused_at     BIGINT,
        paused_until  BIGINT,
        paused_by     TEXT,
        reason        TEXT,
        failing_since BIGINT,
        failed_at     BIGINT,
        refusals      BIGINT  NOT NULL DEFAULT 0,
        rests_until   BIGINT,
        error         TEXT,
        detail        TEXT,
        config        TEXT,
        told_at       BIGINT,
        works_since   BIGINT
    )
    """,
    """
    CREATE TABLE action (
        id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        outbox_id BIGINT REFERENCES outbox (id) ON DELETE CASCADE,
        account   TEXT   COLLATE "C" NOT NULL,
        at        BIGINT NOT NULL,
        what      TEXT   NOT NULL,
        who       TEXT   NOT NULL,
        detail    TEXT
    )
    """,
    "CREATE INDEX action_message ON action (outbox_id) WHERE outbox_id IS NOT NULL",
    "CREATE INDEX action_at ON action (at)",
    "CREATE SEQUENCE run_number AS INTEGER MINVALUE 1 CYCLE",
    # The runs; each holds the advisory lock of its number for as long as its session lives.
    """
    CREATE TABLE run (
        run_id     TEXT    COLLATE "C" PRIMARY KEY,
        number     INTEGER NOT NULL UNIQUE,
        started_at BIGINT  NOT NULL,
        host       TEXT    NOT NULL,
        died_at    BIGINT  -- when somebody first saw that it had died
    )
    """,
    # Tokens of accounts, encrypted with a key that no database knows.
    'CREATE TABLE oauth_token (name TEXT COLLATE "C" PRIMARY KEY, sealed BYTEA NOT NULL)',
    # As lifecycle.drained_since.
    f"""
    CREATE FUNCTION drained_since(recorded_at BIGINT, now BIGINT) RETURNS BIGINT LANGUAGE sql IMMUTABLE AS $$
        SELECT CASE WHEN recorded_at IS NULL THEN 0 ELSE greatest(0, least(now - recorded_at, {MAX_PAUSE_SECONDS})) END
    $$
    """,
    # As pattern.resembles.
    r"""
    CREATE FUNCTION resembles(pattern TEXT, words TEXT) RETURNS BOOLEAN LANGUAGE sql IMMUTABLE AS $$
        SELECT words IS NOT NULL AND replace(lower(normalize(words)), 'ß', 'ss')
               LIKE CASE WHEN pattern ~ '[*?]' THEN escaped ELSE '%' || escaped || '%' END
          FROM (SELECT translate(replace(replace(replace(replace(lower(normalize(pattern)), 'ß', 'ss'),
                                 '\', '\\'), '%', '\%'), '_', '\_'), '*?', '%_') AS escaped) AS one
    $$
    """,
    f"INSERT INTO ledger (id, identity, place) VALUES (1, replace(gen_random_uuid()::text, '-', ''), {HERE})",
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (_OUTBOX,)
