"""The part of the outbox that finds messages by what else names them, and tells what happened and happens."""

import re
from typing import TYPE_CHECKING

from prx_email_cli.outbox.lifecycle import message_id_for_attempt
from prx_email_cli.outbox.relational.database import Connection, OpenOutbox

if TYPE_CHECKING:
    from prx_email_cli.outbox.history import InHand, LivingRun, Log, Span
    from prx_email_cli.outbox.views import Known

_OUR_ID = re.compile(r"<outbox-(\d{1,18})-\d{1,18}@.*>")

# Reads the message that an id of ours names, if it is of :account.
_NAMED = """
SELECT retries, message_id, claimed_as, uncertain, own_message_id FROM outbox
 WHERE id = :id AND account = coalesce(:account, account)
"""

# Reads whether the message was attempted under this Message-ID.
_WAS_ATTEMPTED_AS = "SELECT 1 FROM attempt WHERE outbox_id = ? AND message_id = ?"

# Reads the latest message that came with this Message-ID, by a scan: one look in a while needs no index.
_WITH_OWN = "SELECT max(id) FROM outbox WHERE own_message_id = :message_id AND account = coalesce(:account, account)"

_WITH_KEY = """
-- reads the messages with this idempotency key, one search for each account
SELECT outbox_id FROM stored JOIN idempotency ON idempotency.account = stored.account AND key = :key
  JOIN outbox ON outbox.id = outbox_id
 WHERE stored.account = coalesce(:account, stored.account) ORDER BY outbox_id
"""


class Finding(OpenOutbox):
    """See ``Store`` and ``History`` for what each method promises."""

    def known(self, account: str, message_id: str) -> "Known | None":
        """Return the known message of *account* with this id; None when there is none."""
        from prx_email_cli.outbox.relational import received  # on use

        with self.reading() as connection:
            return received.find(connection, account, message_id)

    def known_messages(self, account: str | None, limit: int) -> "list[Known]":
        """Return the known messages imported last (of *account*), without their texts."""
        from prx_email_cli.outbox.relational import received  # on use

        with self.reading() as connection:
            return received.newest(connection, account, limit)

    def head_sent_as(self, account: str, message_id: str) -> bytes | None:
        """Return the first piece of the message of *account* that was attempted under this Message-ID; else None."""
        from prx_email_cli.outbox.relational import received  # on use

        with self.reading() as connection:
            return received.head_sent_as(connection, account, message_id)

    def with_message_id(self, message_id: str, account: str | None) -> int | None:
        """Return the message (of *account*) that was attempted under this Message-ID, or is to be next."""
        ours = _OUR_ID.fullmatch(message_id)
        with self.reading() as connection:
            if ours is not None and self._is_of(connection, int(ours[1]), message_id, account):
                return int(ours[1])
            (latest,) = connection.execute(_WITH_OWN, {"message_id": message_id, "account": account}).fetchone()
            return None if latest is None else int(latest)

    def _is_of(self, connection: Connection, outbox_id: int, message_id: str, account: str | None) -> bool:
        found = connection.execute(_NAMED, {"id": outbox_id, "account": account}).fetchone()
        if found is None:
            return False
        retries, latest, claimed_as, uncertain, own = found
        following = message_id_for_attempt(outbox_id, retries, self._message_id_domain, latest, bool(uncertain))
        if message_id in (latest, claimed_as, own or following):
            return True
        return connection.execute(_WAS_ATTEMPTED_AS, (outbox_id, message_id)).fetchone() is not None

    def with_key(self, key: str, account: str | None) -> list[int]:
        """Return the messages (of *account*) with this idempotency key."""
        from prx_email_cli.outbox.relational.anonymising import pseudonyms  # on use

        with self.reading() as connection:
            of = pseudonyms(connection)
            keys = [key] if of is None else [key, of.idempotency_key(key)]
            found = [connection.execute(_WITH_KEY, {"key": one, "account": account}).fetchall() for one in keys]
        return sorted(outbox_id for some in found for (outbox_id,) in some)

    def living_runs(self) -> "list[LivingRun]":
        """Return the runs that are alive, the oldest first."""
        from prx_email_cli.outbox.history import LivingRun  # on use

        started = [(run_id.partition("-")[0], run_id) for run_id in self.living()]
        found = [LivingRun(run_id, int(at)) for at, run_id in started if at.isdecimal()]
        return sorted(found, key=lambda run: (run.started_at, run.run_id))

    def log(self, span: "Span", now: int) -> "Log":
        """Return the attempts that ended and what people did in a span of time."""
        from prx_email_cli.outbox.relational import log  # on use

        with self.looking() as connection:
            return log.read(connection, span, now)

    def in_hand(self, most: int) -> "list[InHand]":
        """Return the messages that runs have in hand."""
        from prx_email_cli.outbox.relational import log  # on use

        with self.looking() as connection:
            return log.in_hand(connection, most)
