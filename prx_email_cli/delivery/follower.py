"""Deliver whatever becomes due, round after round, until the run is stopped.

A follower is attended: at each turn, some times a second, whoever runs it is told for how many seconds the clerk has
owed a step, and may give other settings.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from prx_email_cli.config.settings import Settings
from prx_email_cli.delivery.looks import Looks
from prx_email_cli.delivery.report import DrainReport
from prx_email_cli.errors import StorageError

if TYPE_CHECKING:
    from prx_email_cli.delivery.conductor import Conductor
    from prx_email_cli.delivery.ledger import Ledger
    from prx_email_cli.delivery.run import DeliveringRun

IDLE_SECONDS = 30.0  # so long a connection is kept open with nothing to send
Attend = Callable[[float], Settings | None]


class Follower:
    """Lets *run* deliver until it is stopped.

    on_round: is given what was done since the round before.  attend: is told how long the clerk has owed a step, in
    seconds; gives the settings to go by from now on, None for those before.
    """

    def __init__(self, run: DeliveringRun, on_round: Callable[[DrainReport], None], attend: Attend) -> None:
        self._run, self._on_round, self._attend = run, on_round, attend
        self._watch = run.store.watch()
        self._looks = Looks(self._watch.round_seconds)
        self._owed = _Owed(run.ledger)

    def follow(self) -> None:
        """Deliver until the run is stopped.  Raises StorageError when the outbox fails."""
        self._run.idle_seconds = IDLE_SECONDS
        try:
            self._run.conduct(self._look, self._until, (self._watch.fileno(), self._stirred))
        finally:
            self._watch.close()

    def _stirred(self) -> None:
        self._watch.take()
        self._looks.stirred(self._run.ticks())

    def _until(self) -> float:
        return math.inf if self._run.schedule.stopped else self._looks.until()

    def _look(self, conductor: Conductor) -> bool:
        """Begin a round if one is due; True once nothing is to be begun any more."""
        run = self._run
        settings = self._attend(self._owed.seconds(run.ticks()))
        if run.schedule.stopped:
            return True
        try:
            if settings is not None:
                self._go_by(settings, conductor)
            elif self._looks.due(run.ticks()) and self._round_is_due():
                self._next_round(conductor)
        except StorageError as error:
            if not run.store.cut_off():
                raise
            run.break_off(error)  # what is on the wire ends all the same
            return True
        return False

    def _go_by(self, settings: Settings, conductor: Conductor) -> None:
        for account in self._run.go_by(settings):
            conductor.renewed(account)
        self._next_round(conductor)

    def _round_is_due(self) -> bool:
        """Whether something was sent by another process, has become due, or an account has rested enough."""
        run = self._run
        now, rest_over = run.clock(), run.schedule.next_rest_over()
        changed = self._watch.changed()
        due = run.next_due_at is not None and now >= run.next_due_at
        return changed or due or self._looks.round_due(run.ticks()) or (rest_over is not None and now >= rest_over)

    def _next_round(self, conductor: Conductor) -> None:
        run = self._run
        self._looks.round_begins(run.ticks())
        done, run.report = run.report, DrainReport(run.run.run_id)
        self._on_round(done)
        run.note_aside()
        now = run.clock()
        run.recover(now)
        run.begin_round(now, conductor)
        run.next_due_at = run.store.next_due_at(run.report.left_alone)


class _Owed:
    """For how long the clerk has owed the same step."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._steps, self._since = -1, 0.0

    def seconds(self, now: float) -> float:
        """Return the seconds; 0 while nothing is to be written."""
        if not self._ledger.owes or self._ledger.steps != self._steps:
            self._steps, self._since = self._ledger.steps, now
        return now - self._since
