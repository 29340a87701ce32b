"""What a person changes, and the first command of all, are done whole or not at all when they are killed."""

import pytest

from prx_email_cli.delivery.attempt import finish
from prx_email_cli.outbox.lifecycle import Outcome, RecipientResult, RecipientStatus, RetryPolicy
from prx_email_cli.outbox.messages import ClaimNext, ClaimOne, Content, NewMessage, Schedule

from ..cli.outside import stored
from .field import Field

SENT, UNCERTAIN, HELD, PENDING = "1", "2", "3", "4"
COMMANDS = {
    "hold": ("hold", PENDING),
    "release": ("release", HELD),
    "cancel": ("cancel", PENDING),
    "resolve": ("resolve", UNCERTAIN, "--sent"),
    "prune": ("prune", "--older-than", "0s"),
}


@pytest.fixture
def used(field: Field) -> Field:
    """A field whose outbox has a message of every kind."""
    store = field.program.store()
    content, to = Content.of(b"\r\ntext\r\n"), [("a@example.org", "to")]
    message = NewMessage("work", "ops@example.com", to, "m", content, Schedule.at_once(0))
    store.enqueue([message] * 4)
    sent = store.claims.claim("0-0-dead", ClaimOne(int(SENT), 10))
    accepted = Outcome({0: RecipientResult(RecipientStatus.ACCEPTED, 250, "ok")}, acceptance="ok")
    store.claims.finalize("0-0-dead", finish(sent, accepted, RetryPolicy(), 10))
    assert store.claims.claim_next("0-0-dead", ClaimNext("work", 10, 10)) is not None
    assert store.claims.recover(lambda run_id: True, RetryPolicy(), 10) == [int(UNCERTAIN)]
    store.hold(int(HELD), 10)
    store.close()
    return field


@pytest.mark.parametrize("change", COMMANDS)
def test_a_change_by_hand_is_undone_by_a_kill_before_its_commit_and_kept_by_one_after_it(
    used: Field, change: str
) -> None:
    before = stored(used.program)

    assert used.run(*COMMANDS[change], point=f"{change}, before COMMIT").killed
    assert stored(used.program) == before

    assert used.run(*COMMANDS[change], point=f"{change}, after COMMIT").killed
    assert stored(used.program) != before
    assert used.query("PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("point", ["migrate, before COMMIT", "migrate, after COMMIT"])
def test_a_kill_while_the_first_command_makes_the_outbox_leaves_one_that_the_next_command_can_use(
    field: Field, point: str
) -> None:
    message = ("send", "--account", "work", "--to", "a@example.org", "--subject", "m-1", "--body", "text")
    ended = field.run(*message, point=point)
    assert (ended.killed, ended.out) == (True, "")

    ended = field.run(*message)
    assert (ended.status, field.acknowledge(["m-1"], ended.out)) == (0, [1])

    field.finish()
    field.tally().check()
