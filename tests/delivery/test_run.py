"""Whole runs, played without threads, sockets or a clock: fairness, limits, and what a failing account costs."""

from __future__ import annotations

import threading
from collections import Counter
from functools import partial
from itertools import pairwise

import pytest

from prx_email_cli.delivery.attempt import RetryOptions
from prx_email_cli.delivery.report import DrainReport
from prx_email_cli.delivery.run import DrainOptions
from prx_email_cli.delivery.worker import NotOpened, Opened
from prx_email_cli.errors import AccountUnusable, ConfigError, MessageUnreadable, NotFound, PrxEmailError, RetryNotDue
from prx_email_cli.outbox.accounts import AccountState
from prx_email_cli.outbox.lifecycle import Outcome, Scope
from prx_email_cli.outbox.messages import Claimed, Finished
from prx_email_cli.outbox.store import Store

from ..outbox.messages import new_message
from ..support.memory_store import MemoryStore
from .played import LOGIN_REFUSED, START, PlayedRun, Server, World, accepted, deferred, drain, played


@pytest.fixture
def store() -> Store:
    """An empty outbox; nothing here depends on its database."""
    return MemoryStore()


def add(store: Store, account: str, many: int = 1, due_at: int = START, expires_at: int | None = None) -> list[int]:
    new = [new_message(account=account, due_at=due_at, expires_at=expires_at) for _ in range(many)]
    return [submitted.outbox_id for submitted in store.submit(new)]


def statuses(store: Store, ids: list[int]) -> list[tuple[str, int]]:
    return [(row.status, row.retries) for row in map(store.row, ids)]


def drain_at(store: Store, servers: dict[str, Server], seconds: float) -> tuple[PlayedRun, DrainReport]:
    """Play one drain that begins so long after START."""
    world = World()
    world.now += seconds
    with played(store, servers, world) as run:
        return run, run.drain(DrainOptions())


class TestADrain:
    def test_sends_over_so_many_connections_at_once(self, store: Store) -> None:
        add(store, "a", 40)
        slow, _ = drain(store, {"a": Server(seconds_to_take=1)}, connections=1)
        assert slow.world.now - START > 40
        add(store, "a", 40)
        fast, _ = drain(store, {"a": Server(seconds_to_take=1)}, connections=4)
        assert fast.world.now - START < 12
        assert len(fast.logins) == 4

    def test_an_account_that_hangs_delays_no_other(self, store: Store) -> None:
        hanging, others = add(store, "hangs"), add(store, "works", 5)
        run, _ = drain(store, {"hangs": Server(seconds_to_take=600), "works": Server()})
        assert max(at for at, outbox_id in run.taken if outbox_id in others) < 2
        assert statuses(store, hanging + others) == [("sent", 0)] * 6

    def test_with_a_pool_that_is_used_up_the_accounts_take_turns(self, store: Store) -> None:
        names = [f"account{number:03}" for number in range(150)]
        for name in names:
            add(store, name)
        run, report = drain(store, {name: Server(seconds_to_take=5) for name in names})
        assert (report.attempted, report.sent, report.still_due) == (150, 150, 0)
        assert max(Counter(run.logins).values()) == 1
        assert run.world.now - START < 12

    def test_what_becomes_due_meanwhile_is_the_next_one_s(self, store: Store) -> None:
        now, later = add(store, "a"), add(store, "a", due_at=START + 1)
        drain(store, {"a": Server(seconds_to_take=10)})
        assert statuses(store, now + later) == [("sent", 0), ("pending", 0)]

    def test_a_deferred_message_is_tried_once(self, store: Store) -> None:
        ids = add(store, "a", 2)
        run, report = drain(store, {"a": Server(deferred, seconds_to_take=60)})
        assert (report.attempted, report.failed, len(run.taken)) == (2, 2, 2)
        assert statuses(store, ids) == [("failed", 1)] * 2

    def test_a_worn_out_connection_is_replaced(self, store: Store) -> None:
        add(store, "a", 7)
        run, report = drain(store, {"a": Server(messages_per_connection=3)})
        assert (report.sent, len(run.logins)) == (7, 3)

    def test_a_message_left_untouched_goes_over_another_connection(self, store: Store) -> None:
        ids = add(store, "a", 2)
        answers = iter([None, accepted, accepted])

        def takes(claimed: Claimed) -> Outcome | None:
            answer = next(answers)
            return None if answer is None else answer(claimed)

        run, report = drain(store, {"a": Server(takes)})
        assert (report.attempted, report.sent, len(run.logins)) == (2, 2, 2)
        assert statuses(store, ids) == [("sent", 0)] * 2

    def test_a_message_left_untouched_is_given_back_when_the_run_is_interrupted_at_once(self, store: Store) -> None:
        ids = add(store, "a", 2)

        def interrupt() -> None:
            raise KeyboardInterrupt

        def takes(claimed: Claimed) -> None:
            run.world.at(0.05, interrupt)

        with played(store, {"a": Server(takes)}, World()) as run, pytest.raises(KeyboardInterrupt):
            run.drain(DrainOptions())
        assert statuses(store, ids) == [("pending", 0)] * 2

    def test_a_day_of_drains_with_a_wrong_password_makes_few_logins_and_tells_of_it_twice(self, store: Store) -> None:
        """Drained each minute; then the password is right, and one drain sends everything."""
        ids, logins, told = add(store, "a", 300), 0, list[str]()
        wrong, right = {"a": Server(opens=lambda: NotOpened(LOGIN_REFUSED))}, {"a": Server()}
        for minute in range(24 * 60):
            run, report = drain_at(store, wrong, 60 * minute)
            logins += len(run.logins)
            told += [event for event, _ in store.take_untold(run.clock())]
            assert (report.failed, len(report.left_alone)) in ((1, 0), (0, 1))
        assert 25 <= logins <= 30
        assert max(retries for _, retries in statuses(store, ids)) == 1
        store.wake("a")
        run, report = drain_at(store, right, 86_400)
        told += [event for event, _ in store.take_untold(run.clock())]
        assert statuses(store, ids) == [("sent", row.retries) for row in map(store.row, ids)]
        assert (report.sent, len(run.logins) <= 4, told) == (300, True, ["account_down", "account_up"])

    def test_begins_no_message_that_expired_after_its_claim_and_gives_it_back(self, store: Store) -> None:
        ids = add(store, "a", 5, expires_at=START + 25)
        run, report = drain(store, {"a": Server(seconds_to_take=10)})
        assert len(run.taken) == report.attempted == report.sent == 3
        assert statuses(store, ids) == [("sent", 0)] * 3 + [("pending", 0)] * 2
        assert store.row(ids[3]).attempts == []
        with played(store, {"a": Server()}, run.world) as later:
            assert later.drain(DrainOptions()).gave_up == 2

    def test_gives_a_message_back_that_a_person_wants_and_that_was_not_begun(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, wanted = MemoryStore(), list[int]()
        ids = add(store, "a", 9)

        def hold_all_that_is_claimed() -> None:
            wanted.extend(one for one in ids if store.row(one).status == "sending")
            for outbox_id in wanted:
                store.messages[outbox_id].change(held=True)

        with played(store, {"a": Server(seconds_to_take=1)}, World()) as run:
            monkeypatch.setattr(run.run, "wanted_back", lambda now: wanted)
            run.world.at(4.5, hold_all_that_is_claimed)
            run.drain(DrainOptions())
        _, claimed_ahead = wanted
        assert statuses(store, [claimed_ahead]) == [("pending", 0)]
        assert store.row(claimed_ahead).attempts == []
        assert statuses(store, [one for one in ids if one != claimed_ahead]) == [("sent", 0)] * 8


class TestAnAccountThatFails:
    def test_costs_one_message_an_attempt_and_the_others_nothing(self, store: Store) -> None:
        ids, others = add(store, "a", 5), add(store, "b", 2)
        servers = {"a": Server(opens=lambda: NotOpened(LOGIN_REFUSED)), "b": Server()}
        run, report = drain(store, servers, connections=4)
        assert statuses(store, ids) == [("failed", 1)] + [("pending", 0)] * 4
        assert statuses(store, others) == [("sent", 0)] * 2
        assert (run.logins.count("a"), report.attempted, report.error_code) == (1, 3, "auth")

    def test_at_a_message_rests_at_once_on_every_connection(self, store: Store) -> None:
        ids = add(store, "a", 10)
        answers = iter([accepted, accepted])

        def takes(claimed: Claimed) -> Outcome:
            answer = next(answers, None)
            return answer(claimed) if answer else Outcome({}, error="provider", detail="421", scope=Scope.ACCOUNT)

        _, report = drain(store, {"a": Server(takes)})
        assert (report.attempted, report.sent, report.still_due) == (3, 2, 7)
        assert statuses(store, ids[3:]) == [("pending", 0)] * 7

    def test_to_open_another_connection_goes_on_with_the_first(self, store: Store) -> None:
        add(store, "a", 9)
        opened = iter([True])
        server = Server(opens=lambda: Server().opens() if next(opened, False) else NotOpened(LOGIN_REFUSED))
        run, report = drain(store, {"a": server}, connections=3)
        assert (report.sent, report.failed) == (9, 0)
        assert len(run.logins) == 3

    def test_by_its_config_leaves_its_messages_untouched_and_is_told_once(self, store: Store) -> None:
        ids = add(store, "a", 3)
        fault = ConfigError("account a: no password", hint="set it")
        _, report = drain(store, {"a": Server(opens=lambda: fault)}, connections=2)
        assert (report.config_errors, report.attempted) == ([fault], 0)
        assert statuses(store, ids) == [("pending", 0)] * 3

    def test_by_its_config_between_two_connections_gives_back_what_was_claimed(self, store: Store) -> None:
        ids = add(store, "a", 2)
        fault = ConfigError("account a: no password", hint="set it")
        opened = iter([Server().opens()])
        _, report = drain(store, {"a": Server(lambda claimed: None, opens=lambda: next(opened, fault))})
        assert report.config_errors == [fault]
        assert statuses(store, ids) == [("pending", 0)] * 2
        assert store.row(ids[0]).message_id is None


class TestALimit:
    def test_is_shared_in_turn(self, store: Store) -> None:
        many, few = add(store, "a", 20), add(store, "b", 20)
        _, report = drain(store, {"a": Server(), "b": Server(seconds_to_take=9)}, limit=10)
        assert (report.attempted, report.sent) == (10, 10)
        assert [statuses(store, ids).count(("sent", 0)) for ids in (many, few)] == [5, 5]


def follow(run: PlayedRun, seconds: float) -> None:
    """Play a follower for so long."""
    run.world.at(seconds, run._stop.set)
    run.follow(DrainOptions(), lambda report: None)


class TestAFollower:
    def test_delivers_another_account_s_new_mail_while_one_server_hangs(self, store: Store) -> None:
        world = World()
        add(store, "hangs")
        servers = {"hangs": Server(seconds_to_take=600), "works": Server()}
        with played(store, servers, world) as run:
            world.at(5.3, partial(add, store, "works", due_at=START + 5))
            follow(run, 30)
        ((at, _), (answered, _)) = sorted(run.taken)
        assert 5 < at < 7.5
        assert answered > 600

    def test_that_is_stopped_before_its_second_look_tells_of_an_unreadable_message(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store, world, known = MemoryStore(), World(), list[MessageUnreadable]()
        monkeypatch.setattr(store, "unreadable_messages", lambda: known)
        add(store, "a")

        def meets_damage() -> Opened:
            known.append(MessageUnreadable("outbox message 1 cannot be read"))
            return Opened()

        with played(store, {"a": Server(opens=meets_damage)}, world) as run:
            world.at(0.5, run._stop.set)
            report = run.follow(DrainOptions(), lambda report: None)
        assert [fault.message for fault in report.config_errors] == ["outbox message 1 cannot be read"]

    def test_takes_a_deferred_message_again_when_it_is_due(self, store: Store) -> None:
        (outbox_id,) = add(store, "a")
        with played(store, {"a": Server(deferred)}, World()) as run:
            follow(run, 60)
        times = [at for at, _ in run.taken]
        assert len(times) == store.row(outbox_id).retries == 3
        assert [round(after - before) for before, after in pairwise(times)] == [10, 20]

    def test_tries_an_account_that_cannot_be_reached_less_and_less_often(self, store: Store) -> None:
        ids = add(store, "a", 100)
        unreachable = LOGIN_REFUSED._replace(error="network", code=None)
        with played(store, {"a": Server(opens=lambda: NotOpened(unreachable))}, World()) as run:
            follow(run, 300)
        assert 6 <= len(run.logins) <= 9
        assert statuses(store, ids).count(("pending", 0)) == 100 - len(run.logins)

    def test_tries_an_account_whose_login_is_refused_after_1_then_2_then_4_minutes(self, store: Store) -> None:
        ids = add(store, "a", 100)
        with played(store, {"a": Server(opens=lambda: NotOpened(LOGIN_REFUSED))}, World()) as run:
            follow(run, 500)
        assert len(run.logins) == 4
        assert statuses(store, ids).count(("pending", 0)) == 96

    def test_tries_such_an_account_at_once_when_a_person_resumes_it(self, store: Store) -> None:
        add(store, "a", 100)
        with played(store, {"a": Server(opens=lambda: NotOpened(LOGIN_REFUSED))}, World()) as run:
            run.world.at(20, partial(store.resume, "a", START))
            follow(run, 40)
        assert len(run.logins) == 2

    def test_takes_nothing_more_of_an_account_that_is_paused_until_it_is_resumed(self, store: Store) -> None:
        ids = add(store, "a", 10)
        sent_by_then: list[int] = []
        with played(store, {"a": Server(seconds_to_take=5)}, World(), connections=1) as run:
            run.world.at(12, partial(store.pause, AccountState("a", paused_at=START)))
            run.world.at(150, lambda: sent_by_then.append(statuses(store, ids).count(("sent", 0))))
            run.world.at(200, partial(store.resume, "a", START))
            follow(run, 300)
        assert 2 <= sent_by_then[0] <= 4
        assert statuses(store, ids) == [("sent", 0)] * 10

    def test_finishes_what_is_on_the_wire_when_it_is_stopped_and_claims_no_more(self, store: Store) -> None:
        ids = add(store, "a", 3)
        with played(store, {"a": Server(seconds_to_take=20)}, World()) as run:
            follow(run, 30)
        assert statuses(store, ids) == [("sent", 0), ("sent", 0), ("pending", 0)]

    def test_keeps_a_connection_open_for_half_a_minute_after_its_last_message(self, store: Store) -> None:
        add(store, "a")
        with played(store, {"a": Server()}, World()) as run:
            run.world.at(20, partial(add, store, "a", due_at=START + 20))
            follow(run, 90)
        _, (taken, _) = run.taken
        ((hung_up, _),) = run.hung_up
        assert run.logins == ["a"], "the later message went over the same connection"
        assert 20 <= taken < 22
        assert 30 <= hung_up - taken < 31

    def test_opens_another_connection_for_what_comes_after_that(self, store: Store) -> None:
        add(store, "a")
        with played(store, {"a": Server()}, World()) as run:
            run.world.at(40, partial(add, store, "a", due_at=START + 40))
            follow(run, 90)
        assert (len(run.taken), run.logins, len(run.hung_up)) == (2, ["a", "a"], 2)

    def test_closes_its_connections_when_it_is_stopped(self, store: Store) -> None:
        add(store, "a", 20)
        with played(store, {"a": Server()}, World(), connections=2) as run:
            follow(run, 10)
        assert [name for _, name in run.hung_up] == run.logins == ["a", "a"]
        assert all(10 <= at < 11 for at, _ in run.hung_up)

    def test_keeps_no_connection_of_an_account_that_failed(self, store: Store) -> None:
        fails = Outcome({}, error="provider", detail="421", scope=Scope.ACCOUNT)
        add(store, "a")
        with played(store, {"a": Server(lambda claimed: fails)}, World()) as run:
            follow(run, 5)
        ((hung_up, _),) = run.hung_up
        assert hung_up < 1

    def test_closes_the_connection_that_rests_longest_when_another_account_needs_one(self, store: Store) -> None:
        names = [f"account{number:03}" for number in range(100)]
        for name in names:
            add(store, name)
        with played(store, {name: Server() for name in [*names, "late"]}, World()) as run:
            run.world.at(5, partial(add, store, "late", due_at=START + 5))
            follow(run, 10)
        (closed_at, closed), *at_the_end = run.hung_up
        assert 5 <= closed_at < 7
        assert closed == next(store.row(outbox_id).account for _, outbox_id in run.taken)
        assert run.logins[100:] == ["late"]
        assert len(at_the_end) == 100
        assert all(at >= 10 for at, _ in at_the_end)


class Chosen:
    """What came of attempting chosen messages."""

    def __init__(self, store: Store, servers: dict[str, Server], ids: list[int], *, many: bool = False) -> None:
        self.results: dict[int, Finished | PrxEmailError] = {}
        with played(store, servers, World(), connections=4) as run:
            run.attempt(ids, self.results.__setitem__, RetryOptions(many=many, wakes=True))
        self.logins = run.logins


def resting(store: Store) -> list[str]:
    return sorted(name for name, state in store.account_states().items() if state.rests_until is not None)


class TestChosenMessages:
    def test_go_over_one_connection_for_each_account(self, store: Store) -> None:
        ids = [*add(store, "a"), *add(store, "b"), *add(store, "a", 2)]
        assert sorted(Chosen(store, {"a": Server(), "b": Server()}, ids).logins) == ["a", "b"]
        assert statuses(store, ids) == [("sent", 0)] * 4

    def test_of_a_selection_go_over_all_connections_of_their_account(self, store: Store) -> None:
        ids = add(store, "a", 40)
        chosen = Chosen(store, {"a": Server()}, ids, many=True)
        assert chosen.logins == ["a"] * 4
        assert sorted(chosen.results) == ids
        assert statuses(store, ids) == [("sent", 0)] * 40

    def test_end_the_rest_of_their_account_and_of_no_other(self, store: Store) -> None:
        add(store, "a")
        add(store, "b")
        refusing = Server(opens=lambda: NotOpened(LOGIN_REFUSED))
        with played(store, {"a": refusing, "b": refusing}, World()) as run:
            run.drain(DrainOptions())
        assert resting(store) == ["a", "b"]
        late = add(store, "a")
        Chosen(store, {"a": Server()}, late)
        assert resting(store) == ["b"]
        assert statuses(store, late) == [("sent", 0)]

    def test_that_are_refused_stop_no_other_and_log_nobody_in_by_themselves(self, store: Store) -> None:
        early = add(store, "a", due_at=START + 60)
        assert Chosen(store, {"a": Server()}, [*early, 99]).logins == []
        ids = add(store, "a")
        chosen = Chosen(store, {"a": Server()}, [*early, 99, *ids])
        kinds = [type(chosen.results[outbox_id]) for outbox_id in (*early, 99, *ids)]
        assert kinds == [RetryNotDue, NotFound, Finished]
        assert statuses(store, early + ids) == [("pending", 0), ("sent", 0)]

    def test_are_untouched_after_the_one_at_which_their_account_failed(self, store: Store) -> None:
        ids = add(store, "a", 3)
        chosen = Chosen(store, {"a": Server(opens=lambda: NotOpened(LOGIN_REFUSED))}, ids)
        assert statuses(store, ids) == [("failed", 1), ("pending", 0), ("pending", 0)]
        assert [type(chosen.results[outbox_id]) for outbox_id in ids] == [Finished, AccountUnusable, AccountUnusable]
        assert chosen.logins == ["a"]


def test_a_run_that_is_stopped_before_it_starts_claims_nothing(store: Store) -> None:
    ids = add(store, "a", 2)
    stop = threading.Event()
    stop.set()
    with played(store, {"a": Server()}, World()) as run:
        run._stop = stop
        run.drain(DrainOptions())
    assert statuses(store, ids) == [("pending", 0)] * 2
