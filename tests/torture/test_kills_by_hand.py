"""What a person changes, and the first command of all, are done whole or not at all when they are killed."""

from contextlib import closing

import pytest

from ..cli.outside import stored
from ..conftest import ON_POSTGRES
from ..outbox.messages import NOW, ended, new_message, sent, wish
from ..support.postgres import the_server
from .conftest import is_long
from .field import Field

SENT, UNCERTAIN, HELD, PENDING = "1", "2", "3", "4"
COMMANDS = {
    "hold": ("hold", PENDING),
    "release": ("release", HELD),
    "cancel": ("cancel", PENDING),
    "resolve": ("resolve", UNCERTAIN, "--sent"),
    "prune": ("prune", "--older-than", "0s"),
}
EACH_CHANGE = [] if ON_POSTGRES else [(change, False) for change in COMMANDS]
EACH_CHANGE += [(change, True) for change in COMMANDS if change in ("cancel", "prune") or is_long("ROUNDS")]


@pytest.fixture
def used(field: Field) -> Field:
    """A field whose outbox has a message of every kind."""
    with closing(field.program.store()) as store, store.start_run(NOW) as run:
        store.submit([new_message()] * 4)
        ((first, second),) = run.advance([], [wish(most=2)]).claims
        run.advance([sent(first), ended(second, uncertain=True)], [])
        store.hold(int(HELD), NOW)
    return field


@pytest.mark.parametrize(("change", "on_postgres"), EACH_CHANGE, indirect=["on_postgres"])
def test_a_change_by_hand_is_undone_by_a_kill_before_its_commit_and_kept_by_one_after_it(
    used: Field, change: str
) -> None:
    before = stored(used.program)

    assert used.run(*COMMANDS[change], point=f"{change}, before COMMIT").killed
    assert stored(used.program) == before

    assert used.run(*COMMANDS[change], point=f"{change}, after COMMIT").killed
    assert stored(used.program) != before
    assert used.integrity() == "ok"


@pytest.mark.parametrize("on_postgres", [True], indirect=True)
def test_a_change_by_hand_whose_commit_was_sent_to_a_server_is_kept_though_nobody_reads_the_answer(
    used: Field,
) -> None:
    ended = used.run(*COMMANDS["cancel"], point="cancel, COMMIT sent")
    assert (ended.killed, ended.out) == (True, "")
    used.wait_for_ends_of_sessions()
    assert used.query("SELECT gave_up FROM outbox WHERE id = ?", int(PENDING)) == [("cancelled",)]


@pytest.mark.on_both
@pytest.mark.parametrize("point", ["migrate, before COMMIT", "migrate, after COMMIT"])
def test_a_kill_while_the_first_command_makes_the_outbox_leaves_one_that_the_next_command_can_use(
    field: Field, point: str
) -> None:
    url = field.program.url
    if url is not None:
        the_server().drop(url)
        field.program.url = the_server().new_database(migrated=False)
        field.program.config.write_text(field.program.config.read_text().replace(url, field.program.url))
    message = ("send", "--account", "work", "--to", "a@example.org", "--subject", "m-1", "--body", "text")
    ended = field.run(*message, point=point)
    assert (ended.killed, ended.out) == (True, "")

    ended = field.run(*message)
    assert (ended.status, field.acknowledge(["m-1"], ended.out)) == (0, [1])

    field.finish()
    field.tally().check()
