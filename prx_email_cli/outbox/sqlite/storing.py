"""The statements by which a new message is stored, and what is looked at before.  Cheap to import."""

APPLICATION_ID = 0x70727865  # "prxe": tells this program's databases from anybody else's
SCHEMA = 8  # the number of the newest migration
CHECKPOINT_PAGES = 4000  # 16 MiB of log between two copies into the database: fewer fsyncs in a long drain
OLDEST_SQLITE = (3, 37, 0)  # STRICT tables; RETURNING came with 3.35

# Reads whose database it is, in one statement, so one snapshot: another process may be creating the tables now.
WHOSE = (
    "SELECT user_version, application_id, (SELECT count(*) FROM sqlite_master)"
    "  FROM pragma_user_version, pragma_application_id"
)

SYNCHRONOUS = "PRAGMA synchronous = FULL"  # with NORMAL a power cut may forget what was acknowledged
FOREIGN_KEYS = "PRAGMA foreign_keys = ON"

# Reads which outbox this is, how often something was claimed from it, and where it went.
LEDGER = "SELECT identity, generation, moved_to FROM ledger"

# Reads the highest id that was ever given to a message.
LAST_ID = "SELECT seq FROM sqlite_sequence WHERE name = 'outbox'"

INSERT_MESSAGE = """
-- (none) -> pending: a new message; its id was chosen above LAST_ID in the same transaction
INSERT INTO outbox (id, account, sender, subject, created_at, next_attempt_at, first_due_at, expires_at,
                    needs_smtputf8, size_bytes, content_digest, envelope_digest, priority, enqueued_by,
                    own_message_id, esmtp)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""

# (none) -> pending: a recipient of a new message.
INSERT_RECIPIENT = "INSERT INTO recipient (outbox_id, number, address, kind) VALUES (?, ?, ?, ?)"

# Stores one piece of a new message's content.
INSERT_PIECE = "INSERT INTO content (id, data) VALUES (?, ?)"


def is_identity(text: object) -> bool:
    """Tell whether *text* can be the identity of an outbox."""
    return isinstance(text, str) and len(text) == 32 and text.isascii() and text.isalnum()
