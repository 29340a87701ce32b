"""One account in a run: what is claimed ahead for its connections, and what becomes of it."""

from __future__ import annotations

import pytest

from prx_email_cli.delivery.account import AccountRun, ChosenMessages, DueMessages, Source
from prx_email_cli.delivery.schedule import Part, Schedule
from prx_email_cli.errors import ClaimLost, NotFound, PrxEmailError
from prx_email_cli.outbox.messages import Claimed, ClaimNext, ClaimOne

from ..smtp.courier import message_to

START = 1_000_000_000
MANY = 1000


class Desk:
    """An account at work, and a clerk who has *left* messages for it.

    refused: the chosen messages that were not given, by number.  warnings: in order.
    """

    def __init__(
        self, left: int = MANY, *, ahead_most: int = 8, limit: int | None = None, chosen: list[int] | None = None
    ) -> None:
        self.left, self.claimed, self.refused, self.warnings = left, 0, dict[int, PrxEmailError](), list[str]()
        self.schedule = Schedule(limit=limit)
        self.schedule.at(START)
        self.schedule.begin({"work": Part(MANY, 4), "other": Part(MANY, 1)})
        self.chosen = ChosenMessages(chosen or [], self.refused.__setitem__, force=True)
        source: Source = DueMessages("work", START) if chosen is None else self.chosen
        self.account = AccountRun("work", source, self.schedule, self.warnings.append, ahead_most)

    def connect(self, many: int = 1) -> None:
        for _ in range(many):
            while self.schedule.next_connection() != "work":
                pass
            self.account.connected()

    def asked(self) -> ClaimNext:
        """What the account wishes for now."""
        wish = self.account.wish()
        assert isinstance(wish, ClaimNext)
        return wish

    def answer(self, wish: ClaimNext) -> int:
        """Give what *wish* asks for, as far as it is there; how many."""
        many = min(wish.most, self.left)
        self.left -= many
        self.claimed += many
        numbers = range(self.claimed - many + 1, self.claimed + 1)
        self.account.came(wish, [message_to()._replace(outbox_id=number) for number in numbers], None)
        return many

    def fill(self) -> int:
        """Claim whatever the account wishes for; how many."""
        wish = self.account.wish()
        return 0 if wish is None else self.answer(wish)  # type: ignore[arg-type]

    def take(self) -> int | None:
        """Take the next message; its number."""
        taken = self.account.take()
        return taken and taken.outbox_id

    def need(self, times: int) -> list[int]:
        """Take all that is at hand, and miss one while the next are being claimed; how many those were, each time."""
        mosts = []
        for _ in range(times):
            while self.take():
                pass
            wish = self.asked()
            mosts.append(wish.most)
            assert self.take() is None
            self.answer(wish)
        return mosts


class TestClaimsAhead:
    def test_are_none_before_a_connection_is_open(self) -> None:
        desk = Desk()
        assert desk.account.wish() is None
        desk.account.waiting = 1
        assert desk.need(3) == [1, 1, 1]

    @pytest.mark.parametrize("connections", [1, 2, 3])
    def test_are_one_for_each_connection_at_first(self, connections: int) -> None:
        desk = Desk()
        desk.connect(connections)
        assert desk.asked().most == connections

    def test_are_none_where_none_is_allowed(self) -> None:
        desk = Desk(ahead_most=0)
        desk.connect(2)
        assert desk.account.wish() is None
        desk.account.waiting = 2
        assert desk.need(3) == [2, 2, 2]

    @pytest.mark.parametrize(("connections", "mosts"), [(1, [1, 2, 4, 8, 8, 8]), (3, [3, 6, 12, 24, 24, 24])])
    def test_double_whenever_they_were_too_few_up_to_so_many_for_each_connection(
        self, connections: int, mosts: list[int]
    ) -> None:
        desk = Desk(ahead_most=8)
        desk.connect(connections)
        assert desk.need(6) == mosts

    def test_stay_as_many_as_they_are_while_they_are_enough(self) -> None:
        desk = Desk()
        desk.connect()
        desk.need(3)
        for _ in range(20):
            assert desk.take()
            desk.fill()
        while desk.take():
            pass
        assert desk.asked().most == 8

    def test_are_not_more_for_a_worker_that_has_to_wait_before_anything_was_asked_for(self) -> None:
        desk = Desk()
        desk.connect()
        for _ in range(5):
            assert desk.take() is None
        assert desk.asked().most == 1

    def test_are_asked_for_again_once_half_of_them_are_used_up(self) -> None:
        desk = Desk()
        desk.connect()
        desk.need(4)
        desk.fill()
        asked = []
        for _ in range(8):
            desk.take()
            asked.append(desk.fill())
        assert asked == [0, 0, 0, 4, 0, 0, 0, 4]

    def test_are_asked_for_at_once_by_a_worker_that_waits(self) -> None:
        desk = Desk()
        desk.connect()
        desk.need(4)
        desk.fill()
        desk.take()
        assert desk.account.wish() is None
        desk.account.waiting = 1
        assert desk.asked().most == 2

    def test_are_asked_for_once_until_they_have_come(self) -> None:
        desk = Desk()
        desk.connect()
        desk.account.waiting = 1
        wish = desk.asked()
        desk.account.waiting = 2
        assert desk.account.wish() is None
        desk.answer(wish)
        assert desk.asked().most == 1

    def test_are_taken_in_the_order_in_which_they_came(self) -> None:
        desk = Desk()
        desk.connect()
        desk.need(3)
        assert [desk.take() for _ in range(4)] == [4, 5, 6, 7]

    def test_are_no_more_than_a_limit_allows_and_free_again_where_none_came(self) -> None:
        desk = Desk(left=1, limit=8)
        desk.connect()
        desk.account.waiting = 20
        wish = desk.asked()
        assert wish.most == 4, "the other account may send as many"
        desk.answer(wish)
        assert desk.account.wish() is None
        desk.schedule.closed("work")
        assert [desk.schedule.take("other") for _ in range(8)] == [1] * 7 + [0]


class TestNothingMore:
    def test_is_claimed_once_fewer_came_than_asked_for_but_what_came_is_taken(self) -> None:
        desk = Desk(left=2)
        desk.connect()
        desk.account.waiting = 4
        assert desk.fill() == 2
        desk.account.waiting = 0
        assert desk.account.wish() is None
        assert not desk.account.over
        assert [desk.take() for _ in range(3)] == [1, 2, None]
        assert desk.account.over
        assert set(iter(desk.schedule.next_connection, None)) <= {"other"}

    def test_is_said_while_something_is_still_asked_for(self) -> None:
        desk = Desk(left=0)
        desk.connect()
        wish = desk.asked()
        assert not desk.account.over
        desk.answer(wish)
        assert desk.account.over

    def test_is_taken_back_when_a_follower_s_next_round_begins(self) -> None:
        desk = Desk(left=0)
        desk.connect()
        desk.fill()
        assert desk.account.over
        desk.left = 1
        desk.account.renew(START + 5)
        desk.schedule.begin({"work": Part(1, 4)})
        assert not desk.account.over
        wish = desk.asked()
        assert (wish.account, wish.due_before) == ("work", START + 5)
        assert desk.answer(wish) == 1

    def test_is_claimed_or_taken_once_the_account_rests(self) -> None:
        desk = Desk()
        desk.connect()
        desk.need(3)
        desk.account.rest()
        desk.account.waiting = 1
        assert desk.account.begins_nothing
        assert desk.account.over
        assert (desk.account.wish(), desk.account.take()) == (None, None)
        assert [one.outbox_id for one in desk.account.leave()] == [4, 5, 6, 7]
        assert not desk.account.has_claimed

    def test_is_claimed_or_begun_once_the_run_is_stopped(self) -> None:
        desk = Desk()
        desk.connect()
        desk.account.waiting = 1
        assert not desk.account.begins_nothing
        desk.schedule.stop()
        assert desk.account.begins_nothing
        assert desk.account.over
        assert desk.account.wish() is None


class TestAMessageThatWasNotBegun:
    def test_is_taken_next_when_it_was_put_back(self) -> None:
        desk = Desk()
        desk.connect()
        desk.need(3)
        desk.account.put_back(message_to()._replace(outbox_id=99))
        assert [desk.take(), desk.take()] == [99, 4]

    def test_keeps_more_from_being_asked_for_even_by_a_worker_that_waits(self) -> None:
        desk = Desk()
        desk.connect()
        for number in (1, 2, 3):
            desk.account.put_back(message_to()._replace(outbox_id=number))
        desk.account.waiting = 1
        assert desk.account.wish() is None

    def test_is_sent_by_itself_once_a_connection_was_lost_with_one(self) -> None:
        account = Desk().account
        assert account.pipelines
        account.neighbour_lost()
        assert not account.pipelines

    def test_is_withdrawn_when_it_is_wanted_back_and_the_others_stay_in_order(self) -> None:
        desk = Desk()
        desk.connect()
        desk.need(3)
        assert desk.take() == 4
        assert [one.outbox_id for one in desk.account.withdraw([4, 5, 7, 99])] == [5, 7]
        assert desk.account.has_claimed
        assert [desk.take(), desk.take()] == [6, None]

    def test_counts_for_no_limit_when_it_was_given_back(self) -> None:
        desk = Desk(limit=2)
        desk.connect()
        desk.account.waiting = 9
        assert [desk.fill(), desk.fill()] == [1, 0]
        taken = desk.account.take()
        assert taken is not None
        desk.account.given_back(taken)
        assert [desk.fill(), desk.fill()] == [1, 0]


class TestChosenMessages:
    def came(self, desk: Desk, refused: PrxEmailError | None = None) -> int:
        """Answer the next wish; the number of the message that was asked for."""
        wish = desk.account.wish()
        assert isinstance(wish, ClaimOne)
        claims: list[Claimed] = [] if refused else [message_to()._replace(outbox_id=wish.outbox_id)]
        desk.account.came(wish, claims, refused)
        return wish.outbox_id

    def test_are_claimed_in_that_order_each_when_a_worker_waits_for_it(self) -> None:
        desk = Desk(chosen=[3, 1, 2])
        desk.connect()
        assert (desk.account.in_order, Desk().account.in_order) == (True, False)
        for number in (3, 1, 2):
            assert desk.account.wish() is None, "nothing is claimed ahead"
            assert not desk.account.over
            desk.account.waiting = 1
            assert self.came(desk) == number
            desk.account.waiting = 0
            assert desk.take() == number
        assert desk.account.over
        assert desk.chosen.untouched() == []

    def test_that_are_refused_are_told_and_the_next_is_claimed(self) -> None:
        desk = Desk(chosen=[3, 1])
        refused = NotFound("outbox record not found")
        desk.account.waiting = 1
        assert self.came(desk, refused) == 3
        assert desk.refused == {3: refused}
        assert self.came(desk) == 1
        assert desk.refused == {3: refused}
        assert desk.account.wish() is None

    def test_that_are_refused_count_for_no_limit_and_the_others_once(self) -> None:
        desk = Desk(chosen=[3, 1, 2, 4], limit=4)  # two for each account
        desk.account.waiting = 9
        assert self.came(desk, NotFound("outbox record not found")) == 3
        assert [self.came(desk), self.came(desk)] == [1, 2]
        assert desk.account.wish() is None
        assert desk.chosen.untouched() == [4]

    def test_are_untouched_when_they_were_given_back_and_after_the_account_has_failed(self) -> None:
        desk = Desk(chosen=[3, 1])
        desk.account.waiting = 1
        self.came(desk)
        taken = desk.account.take()
        assert taken is not None
        desk.account.rest()
        desk.account.given_back(taken)
        desk.account.renew(START + 5)
        assert desk.account.wish() is None
        assert desk.chosen.untouched() == [3, 1]


def test_an_account_that_fails_on_several_connections_at_once_has_failed_once() -> None:
    desk = Desk()
    desk.connect(2)
    desk.account.rest()
    fault = NotFound("no such account")
    desk.account.unusable(fault)
    assert desk.account.fault is fault
    assert desk.schedule.next_rest_over() == START + 5


def test_connections_are_numbered_within_the_run_and_those_that_are_open_counted() -> None:
    account = Desk().account
    assert (account.connected(), account.connected()) == (1, 2)
    account.disconnected()
    assert account.has_connections
    account.disconnected()
    assert not account.has_connections
    assert account.connected() == 3


def test_a_result_that_came_too_late_is_a_warning_with_its_hint() -> None:
    desk = Desk()
    desk.account.lost(ClaimLost("outbox message 7 is no longer this run's", hint="look"))
    assert desk.warnings == ["outbox message 7 is no longer this run's (look)"]
