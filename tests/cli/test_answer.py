"""What ``show`` answers for a message in each state: what became of it, what comes next, and which command helps."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any, NamedTuple

import pytest

from prx_email_cli.cli.answer import Answer, Circumstances, answer
from prx_email_cli.outbox.accounts import AccountState
from prx_email_cli.outbox.history import LivingRun
from prx_email_cli.outbox.lifecycle import (
    Ending,
    Reason,
    RecipientKind,
    RecipientStatus,
    RetryPolicy,
    Status,
)
from prx_email_cli.outbox.messages import Limit
from prx_email_cli.outbox.views import Action, Attempt, Particulars, Recipient, Row, Usage

NOW = 1_900_000_000
HOUR, DAY = 3600, 86_400
A, B, C = "a@example.org", "b@example.org", "c@example.org"
FULL = f"{B}: 450 4.2.2 mailbox full"
GONE = f"{B}: 550 5.1.1 no such user"
ACCEPTED, REFUSED, PENDING = RecipientStatus.ACCEPTED, RecipientStatus.REFUSED, RecipientStatus.PENDING
POLICY = RetryPolicy()


@pytest.fixture(autouse=True)
def _in_utc(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def recipient(address: str, status: RecipientStatus = PENDING, *, uncertain: bool = False) -> Recipient:
    return Recipient(address, RecipientKind.TO, status, None, None, uncertain)


def tried(at: int, *, uncertain: bool = False, under_way: bool = False) -> Attempt:
    outcome = None if under_way else Ending.DEFERRED
    return Attempt(at, None if under_way else at, "1-2-ab", "<m>", outcome, 450, None, None, uncertain, None)


def row(**values: Any) -> Row:
    """A message that waits, due for five minutes, not attempted; *values*: of its row or its particulars."""
    about: dict[str, Any] = {"sender": "ops@example.com", "due_at": NOW - 300, "first_due_at": NOW - 300}
    about |= {name: values.pop(name) for name in Particulars._fields if name in values}
    plain = {
        "outbox_id": 42, "account": "work", "status": Status.PENDING, "retries": 0, "next_attempt_at": None,
        "message_id": None, "provider_message_id": None, "last_error": None, "subject": "s", "to": [A],
        "size_bytes": 1, "created_at": NOW - 300, "sent_at": None, "held": False, "gave_up": None, "uncertain": False,
        "recipients": [recipient(A)], "particulars": Particulars(**about),
    }  # fmt: skip
    return Row(**{**plain, **values})


def failed(**values: Any) -> Row:
    """A message of which one attempt failed ten minutes ago."""
    plain = {"status": Status.FAILED, "retries": 1, "attempts": [tried(NOW - 600)], "last_error": FULL}
    return row(**{**plain, **values})


def given_up(why: Reason, **values: Any) -> Row:
    return failed(**{"gave_up": why, "last_error": GONE, **values})


def around(**values: Any) -> Circumstances:
    """A drain ended a minute ago, and the account works."""
    plain = {"account": AccountState("work"), "everyone": AccountState(""), "last_drain_at": NOW - 60}
    return Circumstances(NOW, POLICY, **{**plain, **values})


def did(what: str, detail: str | None = None) -> Action:
    return Action(42, "work", NOW - HOUR, what, "ann@host", detail)


def said(it: Row, circumstances: Circumstances | None = None) -> tuple[str, str, list[str]]:
    answered: Answer = answer(it, circumstances or around())
    return answered.answer, answered.next, [" ".join(one.words) for one in answered.commands]


RESOLVE = ["resolve 42 --sent", "resolve 42 --not-sent"]
UNCERTAIN = {"uncertain": True, "recipients": [recipient(A, uncertain=True)],
             "attempts": [tried(NOW - 600, uncertain=True)]}  # fmt: skip
TWO_OF_THREE = [recipient(A, ACCEPTED), recipient(B, REFUSED), recipient(C, ACCEPTED)]
PAUSE: dict[str, Any] = {"paused_at": NOW - HOUR, "paused_by": "ann@host", "reason": "moving"}
RESTING = AccountState("work", failing_since=NOW - HOUR, rests_until=NOW + 240, error="auth", detail="535 5.7.8 no")
FAILING = AccountState("work", failing_since=NOW - HOUR, error="network", detail="cannot connect")
RUN = LivingRun("9-9-cd", NOW - 20)


class Case(NamedTuple):
    """A message, what else is so, and what is to be said: parts of the answer and of what comes next."""

    row: Row
    around: Circumstances
    answer: str
    next: str
    commands: list[str]


CASES = {
    "due now": Case(row(), around(), "not attempted yet",
                    "is due since 5m; the last drain ended 1m ago, the next one takes it", ["drain"]),
    "due, no drain ever": Case(row(), around(last_drain_at=None), "not attempted yet",
                               "is due since 5m; no drain has run here yet", ["drain", "cron"]),
    "due, no drain for long": Case(row(), around(last_drain_at=NOW - 5 * HOUR), "not attempted yet",
                                   "is due since 5m; no drain has run since 12:46", ["drain", "cron"]),
    "due, left by drains": Case(row(due_at=NOW - HOUR), around(), "not attempted yet",
                                "is due since 1h; the last drain ended 1m ago and left it", ["drain --verbose"]),
    "due, a run at work": Case(row(), around(runs=(RUN,), last_drain_at=None), "not attempted yet",
                               "is due since 5m; a run is at work since 20s, and takes it in its turn", ["drain"]),
    "due, the clock was ahead": Case(row(), around(last_drain_at=NOW + HOUR), "not attempted yet",
                                     "is due since 5m; the last drain ended 18:46, ahead of the clock",
                                     ["drain", "cron"]),
    "scheduled": Case(row(due_at=NOW + 2 * HOUR), around(), "not attempted yet", "scheduled for 19:46 (in 2h)",
                      ["retry 42 --force", "cancel 42"]),
    "scheduled, no drain": Case(row(due_at=NOW + 2 * HOUR), around(last_drain_at=None), "not attempted yet",
                                "scheduled for 19:46 (in 2h), but no drain has run here yet",
                                ["retry 42 --force", "cancel 42", "cron"]),
    "expiring": Case(row(expires_at=NOW + HOUR), around(), "not attempted yet",
                     "the next one takes it; expires 18:46 (in 1h)", ["drain"]),
    "expired, not yet given up": Case(row(expires_at=NOW - 60), around(), "not attempted yet",
                                      "it expired 17:45 (1m ago), and the next drain gives it up", ["retry 42"]),
    "failed and due": Case(failed(), around(), f"not sent yet: 1 attempt failed, the last 17:36 (10m ago); {FULL}",
                           "is due since 5m; the last drain ended 1m ago, the next one takes it; given up if it still"
                           " fails after 22 Mar 17:46", ["drain"]),
    "failed and waiting": Case(failed(due_at=NOW + 240, drained_seconds=DAY), around(),
                               f"not sent yet: 1 attempt failed, the last 17:36 (10m ago); {FULL}",
                               "next attempt 17:50 (in 4m); given up if it still fails after 21 Mar 17:46",
                               ["retry 42 --force", "cancel 42"]),
    "failed, old, too few attempts": Case(failed(due_at=NOW + 60, drained_seconds=6 * DAY), around(), "1 attempt",
                                          "given up if it fails 7 times more", ["retry 42 --force", "cancel 42"]),
    "failed, old, last attempt": Case(failed(due_at=NOW + 60, retries=7, drained_seconds=6 * DAY), around(),
                                      "1 attempt", "given up if it fails once more",
                                      ["retry 42 --force", "cancel 42"]),
    "held": Case(row(held=True, actions=[did("held")]), around(), "not attempted yet",
                 "waits until a person releases it: held by ann@host 16:46 (1h ago)", ["release 42", "cancel 42"]),
    "held, of nobody knows whom": Case(row(held=True), around(), "not attempted yet",
                                       "waits until a person releases it: held", ["release 42", "cancel 42"]),
    "uncertain": Case(failed(**UNCERTAIN, due_at=NOW + 60), around(),
                      "may have been sent: 1 attempt failed, the last 17:36 (10m ago), and an answer was lost",
                      "next attempt 17:47 (in 1m)", [*RESOLVE, "retry 42 --force"]),
    "held and uncertain": Case(failed(**UNCERTAIN, held=True), around(), "may have been sent",
                               "waits for a person to say whether it arrived: held", RESOLVE),
    "partly sent, waiting": Case(failed(recipients=[recipient(A, ACCEPTED), recipient(B)], due_at=NOW + 60), around(),
                                 f"partly sent: 1 of 2; {B} waiting; 1 attempt failed, the last 17:36 (10m ago);"
                                 f" {FULL}", "next attempt 17:47 (in 1m)", ["retry 42 --force", "cancel 42"]),
    "some refused, some waiting": Case(failed(recipients=[recipient(A, REFUSED), recipient(B)], due_at=NOW + 60),
                                       around(), f"{A} refused; {B} waiting; 1 attempt", "next attempt",
                                       ["retry 42 --force", "cancel 42"]),
    "sending": Case(row(status=Status.SENDING, run_id="9-9-cd", attempts=[tried(NOW - 3, under_way=True)]),
                    around(runs=(RUN,)), "is being sent now",
                    "run 1-2-ab has had it for 3s and records what comes of it", ["show 42 --follow"]),
    "its run died": Case(row(status=Status.SENDING, run_died=True, run_id="9-9-cd",
                             attempts=[tried(NOW - 900, under_way=True)]), around(last_drain_at=NOW - HOUR),
                         "its run died while it was sending it",
                         "the next drain settles it: no drain has run since 16:46", ["drain", "cron"]),
    "its run died, drains run": Case(row(status=Status.SENDING, run_died=True, run_id="9-9-cd",
                                         attempts=[tried(NOW - 9, under_way=True)]), around(), "its run died",
                                     "the next drain settles it: the last drain ended 1m ago", ["drain"]),
    "refused": Case(given_up(Reason.REFUSED, recipients=[recipient(B, REFUSED)]), around(),
                    f"given up: refused for good; {GONE}", "nothing: no drain takes it again",
                    ["retry 42", "dismiss 42"]),
    "refused for its address": Case(
        given_up(Reason.REFUSED, recipients=[recipient(A, ACCEPTED), replace(recipient(B, REFUSED), response=GONE)]),
        around(), f"partly sent: 1 of 2; {B} refused", "nothing: no drain takes it again",
        [f"edit 42 --replace {B}=NEW --retry", "retry 42", "dismiss 42"]),
    "refused, not due for a retry": Case(given_up(Reason.REFUSED, due_at=NOW + 5), around(), "given up", "nothing",
                                         ["retry 42 --force", "dismiss 42"]),
    "partly sent, rest refused": Case(given_up(Reason.REFUSED, recipients=TWO_OF_THREE), around(),
                                      f"partly sent: 2 of 3; {B} refused; given up: refused for good; {GONE}",
                                      "nothing: no drain takes it again", ["retry 42", "dismiss 42"]),
    "expired unattempted": Case(row(gave_up=Reason.EXPIRED, expires_at=NOW - HOUR), around(),
                                "given up: it expired 16:46 (1h ago) before it was attempted", "nothing: no drain",
                                ["retry 42", "dismiss 42"]),
    "expired after attempts": Case(given_up(Reason.EXPIRED, expires_at=NOW - HOUR), around(),
                                   f"given up: it expired 16:46 (1h ago); {GONE}", "nothing",
                                   ["retry 42", "dismiss 42"]),
    "too old": Case(given_up(Reason.TOO_OLD), around(),
                    f"given up: too long undelivered, 1 attempt failed, the last 17:36 (10m ago); {GONE}", "nothing",
                    ["retry 42", "dismiss 42"]),
    "cancelled": Case(row(gave_up=Reason.CANCELLED, actions=[did("cancelled")]), around(),
                      "cancelled by ann@host 16:46 (1h ago)", "nothing: no drain takes it again", ["retry 42"]),
    "cancelled and held": Case(row(gave_up=Reason.CANCELLED, held=True), around(), "cancelled", "nothing",
                               ["retry 42 --force"]),
    "damaged": Case(given_up(Reason.DAMAGED), around(), "given up: what is stored is not what was submitted",
                    "nothing: no drain takes it again; send it anew", ["doctor", "dismiss 42"]),
    "given up and uncertain": Case(given_up(Reason.TOO_OLD, **UNCERTAIN), around(), "given up",
                                   "nothing: no drain takes it again; look whether it arrived", RESOLVE),
    "dismissed": Case(given_up(Reason.REFUSED, dismissed_at=NOW - 60), around(), "given up",
                      "nothing: no drain takes it again, and its failure was dismissed 17:45 (1m ago)", ["retry 42"]),
    "given up and pruned": Case(given_up(Reason.REFUSED, pruned_at=NOW - DAY), around(), "given up",
                                "nothing: its content was dropped 16 Mar 17:46 (24h ago), so that it cannot be sent"
                                " again", ["dismiss 42"]),
    "sent": Case(row(status=Status.SENT, sent_at=NOW - 60), around(), "sent 17:45 (1m ago)", "nothing: it is over",
                 []),
    "sent to several": Case(row(status=Status.SENT, sent_at=NOW - 60, recipients=[recipient(A, ACCEPTED)] * 3),
                            around(), "sent to all 3 recipients 17:45 (1m ago)", "nothing: it is over", []),
    "sent and pruned": Case(row(status=Status.SENT, sent_at=NOW - 60, pruned_at=NOW), around(), "sent 17:45",
                            "nothing: it is over", []),
    "sent perhaps twice": Case(row(status=Status.SENT, sent_at=NOW - 60, repeated=True), around(),
                               "sent 17:45 (1m ago); may have arrived twice: an attempt whose answer was lost",
                               "nothing: it is over", []),
    "failed perhaps twice": Case(failed(repeated=True), around(), "; may have arrived twice; ", "is due since 5m",
                                 ["drain"]),
    "marked as sent": Case(row(status=Status.SENT, sent_at=NOW - HOUR, actions=[did("resolved", "sent")]), around(),
                           "marked as sent by ann@host 16:46 (1h ago)", "nothing: it is over", []),
    "account paused": Case(row(), around(account=AccountState("work", **PAUSE)), "not attempted yet",
                           "waits: account work is paused, by ann@host 16:46 (1h ago): moving",
                           ["resume --account work"]),
    "account paused for a while": Case(row(), around(account=AccountState("work", **PAUSE, paused_until=NOW + HOUR)),
                                       "not attempted yet", "waits: account work is paused until 18:46 (in 1h), by",
                                       ["resume --account work"]),
    "pause over": Case(row(), around(account=AccountState("work", **PAUSE, paused_until=NOW)), "not attempted yet",
                       "is due since 5m", ["drain"]),
    "all paused": Case(row(), around(everyone=AccountState("", **PAUSE)), "not attempted yet",
                       "waits: all accounts are paused, by ann@host", ["resume"]),
    "account rests": Case(failed(), around(account=RESTING), "not sent yet",
                          "waits: account work rests after a refused login until 17:50 (in 4m): 535 5.7.8 no; given up"
                          " if it still fails after 22 Mar", ["account test work"]),
    "account rests after try later": Case(row(), around(account=RESTING._replace(error="provider")),
                                          "not attempted yet", 'rests after a "try later" of its server until 17:50',
                                          ["account test work"]),
    "account fails": Case(failed(due_at=NOW + 60), around(account=FAILING), "not sent yet",
                          "waits: account work: server not reached since 16:46: cannot connect; next attempt 17:47",
                          ["account test work"]),
    "behind one that fails": Case(row(), around(account=FAILING), "not attempted yet",
                                  "cannot connect; the next drain tries one message", ["account test work"]),
    "limit used up": Case(row(), around(used_up=Usage(Limit(500, DAY), 500, NOW + HOUR)), "not attempted yet",
                          "waits: account work has used up its limit of 500 messages in 24h until 18:46 (in 1h)",
                          ["status"]),
    "limit of recipients": Case(row(), around(used_up=Usage(Limit(9, DAY, of_recipients=True), 9, NOW + HOUR)),
                                "not attempted yet", "its limit of 9 recipients in 24h", ["status"]),
    "account gone": Case(row(), around(in_config=False), "not attempted yet",
                         "waits: the config has no account work any more", ["account add work"]),
    "outbox moved": Case(row(), around(moved="the outbox x was moved to another machine"), "not attempted yet",
                         "waits: the outbox x was moved to another machine", ["outbox move --undo"]),
    "restored backup": Case(row(), around(restored=True), "not attempted yet", "waits: the outbox is a restored backup",
                            ["outbox accept-restore"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_answer_to_a_message_that_is(name: str) -> None:
    case = CASES[name]
    became, following, commands = said(case.row, case.around)
    assert case.answer in became
    assert case.next in following
    assert commands == case.commands


@pytest.mark.parametrize("name", CASES)
def test_no_time_of_a_next_attempt_has_passed(name: str) -> None:
    case = CASES[name]
    about = case.row.particulars
    assert about is not None
    if "next attempt" in said(case.row, case.around)[1]:
        assert about.due_at > NOW


def test_many_addresses_are_counted() -> None:
    many = [recipient(f"{number}@x.org", REFUSED) for number in range(5)]
    became = said(given_up(Reason.REFUSED, recipients=[recipient(A, ACCEPTED), *many]))[0]
    assert became.startswith("partly sent: 1 of 6; 0@x.org, 1@x.org, 2@x.org and 2 more refused;")


def test_each_command_says_what_it_does() -> None:
    for case in CASES.values():
        assert all(one.does for one in answer(case.row, case.around).commands)
