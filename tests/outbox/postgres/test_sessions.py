"""A run lives as long as its session; what it has in hand when it loses that is settled once and by one."""

from __future__ import annotations

import pytest

from prx_email_cli.errors import StorageError
from prx_email_cli.outbox.lifecycle import Status

from ...support.postgres import PostgresServer
from ..messages import NOW, POLICY, claim, in_doubt, new_message, sent, wish
from .conftest import Machine


def test_a_run_that_lost_its_session_records_what_it_sent_and_claims_no_more(
    server: PostgresServer, machine: Machine
) -> None:
    store = machine("one")
    store.enqueue([new_message(), new_message()])
    with store.start_run(NOW) as run:
        claimed = claim(run)
        server.restart()
        advanced = run.advance([sent(claimed)], [wish()])
        assert (advanced.lost, advanced.claims) == ([None], [[]])
        assert (store.row(1).status, store.row(2).status) == (Status.SENT, Status.PENDING)
        with pytest.raises(StorageError, match="claims no more"):
            run.advance([], [wish()])
    assert store.cut_off()
    with machine("one").start_run(NOW + 1) as later:
        assert claim(later, NOW + 1).outbox_id == 2


def test_what_another_machine_recovered_meanwhile_is_not_recorded_twice(
    server: PostgresServer, machine: Machine
) -> None:
    one, other = machine("one"), machine("other")
    one.enqueue([new_message()])
    run = one.start_run(NOW)
    claimed = claim(run)
    run.about_to_end(claimed, in_doubt(claimed))
    server.restart()
    with machine("other").start_run(NOW) as later:
        assert later.recover(POLICY, NOW).uncertain == []  # the machine that ran may know more
        assert later.recover(POLICY, NOW + 120).uncertain == [1]
    (lost,) = run.advance([sent(claimed)], []).lost
    assert lost is not None
    assert (one.row(1).status, one.row(1).uncertain) == (Status.FAILED, True)
    run.__exit__(None, None, None)
    other.close()
