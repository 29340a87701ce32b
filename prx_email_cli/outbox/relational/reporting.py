"""The part of the outbox that commands look at."""

from typing import TYPE_CHECKING

from prx_email_cli.outbox.messages import Exported
from prx_email_cli.outbox.relational.database import OpenOutbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prx_email_cli.outbox.messages import Limit
    from prx_email_cli.outbox.views import Failure, Figures, Filter, Health, Row, Stats, Usage


class Reporting(OpenOutbox):
    """See ``Reports`` for what each method promises."""

    def rows(self, wanted: "Filter") -> "list[Row]":
        """Return the messages that match, newest first."""
        from prx_email_cli.outbox.relational import reports  # on use

        with self.looking() as connection:
            return reports.rows(connection, wanted, self.is_dead)

    def ids(self, wanted: "Filter") -> list[int]:
        """Return the ids of the messages that match, newest first."""
        from prx_email_cli.outbox.relational import selecting  # on use

        with self.reading() as connection:
            return selecting.ids(connection, wanted)

    def count(self, wanted: "Filter") -> int | None:
        """Count the messages that match, whatever their limit; None where counting them would take long."""
        from prx_email_cli.outbox.relational import selecting  # on use

        with self.reading() as connection:
            return selecting.count(connection, wanted)

    def row(self, outbox_id: int) -> "Row":
        """Return one message with recipients and attempts."""
        from prx_email_cli.outbox.relational import reports  # on use

        with self.looking() as connection:
            return reports.row(connection, outbox_id, self.is_dead)

    def exported(self, outbox_id: int) -> Exported:
        """Return one message as its next attempt would send it."""
        from prx_email_cli.outbox.relational.exporting import exported  # on use

        return exported(self, outbox_id, self._message_id_domain)

    def stats(self, now: int) -> "Stats":
        """Return counts and ages for monitoring."""
        from prx_email_cli.outbox.relational import reports  # on use

        with self.reading() as connection:
            return reports.stats(connection, now)

    def figures(self, now: int) -> "dict[str, Figures]":
        """Return what monitoring asks of each account."""
        from prx_email_cli.outbox.relational import reports  # on use

        with self.looking() as connection:
            return reports.figures(connection, now)

    def failures(self) -> "list[Failure]":
        """Return why unsent messages have failed."""
        from prx_email_cli.outbox.relational import reports  # on use

        with self.looking() as connection:
            return reports.failures(connection)

    def delivered(self, since: int) -> dict[str, int]:
        """Return how many messages of each account were delivered after *since*."""
        from prx_email_cli.outbox.relational import rates  # on use

        with self.reading() as connection:
            return rates.delivered(connection, since)

    def usage(self, account: str, limits: "Sequence[Limit]", now: int) -> "list[Usage]":
        """Return how much of each of its *limits* an account has used by *now*."""
        from prx_email_cli.outbox.relational import rates  # on use

        with self.reading() as connection:
            return rates.usage(connection, account, limits, now)

    def health(self, now: int) -> "Health":
        """Check whether the database is intact and whether messages wait for a person; reads all of it."""
        from prx_email_cli.outbox.relational import reports  # on use

        with self.reading() as connection:
            return reports.health(connection, now)
