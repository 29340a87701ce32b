"""What a person changes, and the first command of all, are done whole or not at all when they are killed."""

from contextlib import closing

import pytest

from ..cli.outside import stored
from ..outbox.messages import NOW, ended, new_message, sent, wish
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
    with closing(field.program.store()) as store, store.start_run(NOW) as run:
        store.submit([new_message()] * 4)
        ((first, second),) = run.advance([], [wish(most=2)]).claims
        run.advance([sent(first), ended(second, uncertain=True)], [])
        store.hold(int(HELD), NOW)
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
