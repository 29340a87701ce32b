"""Say of an outbox that it went elsewhere, in its table ``ledger``, in the file that is carried, and in a copy."""

import json
from enum import StrEnum
from typing import NamedTuple

from prx_email_cli.errors import OutboxMoved

# Reads the journey of an outbox, NULL where it is at home.
MOVED_TO = "SELECT moved_to FROM ledger"

# Notes the journey of an outbox, or that it is at home.
SET_MOVED_TO = "UPDATE ledger SET moved_to = ?"


class Stage(StrEnum):
    """Where an outbox is on its way.

    By a file: it was left, it is carried, or its carried file was adopted.  By a copy: it is leaving, or gone to where
    the copy is; the copy is arriving, or was abandoned.
    """

    LEFT = "left"
    CARRIED = "carried"
    ADOPTED = "adopted"
    LEAVING = "leaving"
    GONE = "gone"
    ARRIVING = "arriving"
    ABANDONED = "abandoned"


class Journey(NamedTuple):
    """How an outbox went elsewhere: in *file*, made *at* a time, in Unix seconds, *by* user@host.

    Of a copy, file: the other outbox.  copy: tells this copy from any other.  identity: of the outbox that is copied.
    """

    stage: Stage
    file: str
    at: int
    by: str
    copy: str = ""
    identity: str = ""

    @classmethod
    def of(cls, stored: str) -> "Journey":
        """Read what ``stored`` wrote; damage gives a journey from nowhere."""
        try:
            stage, file, at, by, *rest = json.loads(stored)
            copy, identity = rest or ("", "")
            return cls(Stage(stage), str(file), int(at), str(by), str(copy), str(identity))
        except (ValueError, TypeError):
            return cls(Stage.LEFT, "", 0, "")

    @property
    def stored(self) -> str:
        """Write it for the table."""
        return json.dumps(list(self if self.copy else self[:4]))

    def error(self, outbox: object) -> OutboxMoved:
        """Make the error for whoever would use the outbox, or the file, where it is now."""
        by = f" by {self.by}" if self.by else ""
        if self.stage is Stage.LEAVING:
            return OutboxMoved(
                f"the outbox {outbox} is being copied to {self.file}{by}, and the copy is not finished",
                hint="say prx-email outbox copy again, which finishes it; or prx-email outbox copy --undo, "
                "to send from here again",
            )
        if self.stage is Stage.GONE:
            return OutboxMoved(
                f"the outbox {outbox} was copied to {self.file}{by}, and its messages are sent from there",
                hint="name that in the config: [outbox] url for a database, path for a file",
            )
        if self.stage in (Stage.ARRIVING, Stage.ABANDONED):
            return OutboxMoved(
                f"{outbox} is an unfinished copy of the outbox {self.file}, from which nothing is sent",
                hint="say prx-email outbox copy again, which finishes it" if self.stage is Stage.ARRIVING
                else "it was given up: prx-email outbox copy begins it again, or delete it",
            )  # fmt: skip
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
        return OutboxMoved(
            f"the outbox {outbox} was moved to another machine{by}, in the file {self.file}",
            hint="use prx-email where it was adopted; prx-email outbox move --undo if the file was lost or never made",
        )
