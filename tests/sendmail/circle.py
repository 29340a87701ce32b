"""Cron, a drain each minute, and cron's mail about the drain: a circle, on a clock that the test sets."""

from __future__ import annotations

import io
import os
import time
from contextlib import redirect_stderr
from tempfile import TemporaryFile

import pytest

from prx_email_cli.cli import starter
from prx_email_cli.sendmail.main import run

from ..conftest import Answer, Program

START = 1_900_000_000
A_MINUTE, A_DAY = 60, 86_400
# As Debian's cron and mdadm write them.
_CRON = """\
From: root (Cron Daemon)
To: root
Subject: Cron <root@host> prx-email drain
MIME-Version: 1.0
Content-Type: text/plain; charset=UTF-8
Content-Transfer-Encoding: 8bit
X-Cron-Env: <SHELL=/bin/sh>
X-Cron-Env: <LOGNAME=root>

"""
MDADM = (
    "From: mdadm monitoring <root>\nTo: root\nAuto-Submitted: auto-generated\nSubject: Fail event on /dev/md0\n\nx\n"
)


class Cron:
    """Starts a drain and mails what it prints.  mailed: that, as it was printed."""

    def __init__(self, program: Program, patch: pytest.MonkeyPatch) -> None:
        self.program, self.now = program, START
        self.mailed: list[str] = []
        patch.setattr(time, "time", lambda: float(self.now))
        patch.setattr(starter, "_parents", lambda: ["sh", "cron"])
        with program.config.open("a") as config:
            config.write('\n[sendmail.aliases]\nroot = "ops@example.org"\n')

    def week(self, minutes: int = 10, alarms: int = 3) -> None:
        """Let a week pass, of which each day begins with *alarms* of mdadm.

        minutes: of each day, from its beginning; a day has 1440.
        """
        for day in range(7):
            self.now = START + day * A_DAY
            for _ in range(alarms):
                assert self.mail(MDADM, "-t") == 0
            for _ in range(minutes):
                self.minute()

    def mail(self, text: str, *words: str) -> int:
        """Call the drop-in as another program does; its exit status."""
        with TemporaryFile() as stdin, redirect_stderr(io.StringIO()):
            stdin.write(text.encode())
            stdin.seek(0)
            kept = os.dup(0)
            os.dup2(stdin.fileno(), 0)
            try:
                return run([*words, "root"], config=self.program.config)
            finally:
                os.dup2(kept, 0)
                os.close(kept)

    def minute(self) -> Answer:
        """Drain once, mail what that printed, and let a minute pass."""
        answer = self.program.call("drain")
        if answer.out + answer.err:
            self.mailed.append(answer.out + answer.err)
            self.mail(_CRON + answer.out + answer.err, "-i", "-FCronDaemon", "-B8BITMIME", "-oem")
        self.now += A_MINUTE
        return answer
