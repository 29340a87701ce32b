"""Say of an outbox that it went to another machine, in its table ``ledger`` and in the file that is carried there."""

import json
from enum import StrEnum
from typing import NamedTuple

from prx_email_cli.errors import OutboxMoved

# Reads the journey of an outbox, NULL where it is at home.
MOVED_TO = "SELECT moved_to FROM ledger"

# Notes the journey of an outbox, or that it is at home.
SET_MOVED_TO = "UPDATE ledger SET moved_to = ?"


class Stage(StrEnum):
    """Where an outbox is on its way: it was left, it is carried, or its carried file was adopted."""

    LEFT = "left"
    CARRIED = "carried"
    ADOPTED = "adopted"


class Journey(NamedTuple):
    """How an outbox went to another machine: in *file*, made *at* a time, in Unix seconds, *by* user@host."""

    stage: Stage
    file: str
    at: int
    by: str

    @classmethod
    def of(cls, stored: str) -> "Journey":
        """Read what ``stored`` wrote; damage gives a journey from nowhere."""
        try:
            stage, file, at, by = json.loads(stored)
            return cls(Stage(stage), str(file), int(at), str(by))
        except (ValueError, TypeError):
            return cls(Stage.LEFT, "", 0, "")

    @property
    def stored(self) -> str:
        """Write it for the table."""
        return json.dumps(list(self))

    def error(self, outbox: object) -> OutboxMoved:
        """Make the error for whoever would use the outbox, or the file, where it is now."""
        if self.stage is Stage.CARRIED:
            return OutboxMoved(
                f"{outbox} is an outbox on its way to another machine, and nobody has adopted it here",
                hint="prx-email outbox adopt, if it is in no other place",
            )
        if self.stage is Stage.ADOPTED:
            return OutboxMoved(
                f"{outbox} was adopted already, so its messages are sent elsewhere",
                hint="use that outbox; prx-email outbox restore takes this file as an old backup of it",
            )
        by = f" by {self.by}" if self.by else ""
        return OutboxMoved(
            f"the outbox {outbox} was moved to another machine{by}, in the file {self.file}",
            hint="use prx-email where it was adopted; prx-email outbox move --undo if the file was lost or never made",
        )
