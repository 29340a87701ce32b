"""The schedule: nobody waits for another account, nobody gets more than its share, and nothing is left undone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prx_email_cli.delivery.schedule import LONGEST_REST_SECONDS, Part, Schedule, shares

NAMES = st.sampled_from(("a", "b", "c", "d"))
WAITING = st.dictionaries(NAMES, st.integers(0, 30), min_size=1)
PARTS = st.dictionaries(NAMES, st.builds(Part, st.integers(0, 12), st.integers(1, 4)), min_size=1)


def begun(parts: dict[str, Part], limit: int | None = None, pool: int = 100) -> Schedule:
    schedule = Schedule(limit=limit, pool=pool)
    schedule.begin(parts)
    return schedule


def openings(schedule: Schedule) -> Counter[str]:
    """How many connections each account opens now."""
    return Counter(iter(schedule.next_connection, None))


def play(schedule: Schedule, parts: dict[str, Part], choose: Callable[[int], int]) -> Counter[str]:
    """Let every account claim all that waits there, in an order that *choose* decides; how many each claimed."""
    left = {name: part.waiting for name, part in parts.items()}
    claimed: Counter[str] = Counter()
    open_now: list[str] = []
    while not schedule.idle:
        for name in openings(schedule).elements():
            open_now.append(name)
            schedule.works(name)
        name = open_now[choose(len(open_now))]
        if schedule.take(name):
            if left[name]:
                left[name] -= 1
                claimed[name] += 1
                continue
            schedule.give_back(name)
            schedule.exhausted(name)
        open_now.remove(name)
        schedule.closed(name)
    return claimed


class TestShares:
    @given(st.integers(0, 100), WAITING)
    def test_deal_out_all_that_is_allowed_and_waits_and_differ_by_one_at_most(
        self, limit: int, waiting: dict[str, int]
    ) -> None:
        dealt = shares(limit, waiting)
        assert sum(dealt.values()) == min(limit, sum(waiting.values()))
        assert all(0 <= dealt[name] <= most for name, most in waiting.items())
        most_dealt = max(dealt.values())
        assert all(dealt[name] >= most_dealt - 1 for name in waiting if dealt[name] < waiting[name])


class TestConnections:
    @given(PARTS, st.integers(1, 6))
    def test_never_exceed_the_pool_nor_the_accounts_own_number(self, parts: dict[str, Part], pool: int) -> None:
        schedule = begun(parts, pool=pool)
        opened: Counter[str] = Counter()
        for _ in range(10):
            for name in openings(schedule).elements():
                opened[name] += 1
                schedule.works(name)
        assert opened.total() <= pool
        assert all(count <= min(parts[name]) for name, count in opened.items())

    def test_the_first_one_shows_whether_the_account_works_before_others_open(self) -> None:
        schedule = begun({"a": Part(9, 3)})
        assert openings(schedule) == {"a": 1}
        schedule.works("a")
        assert openings(schedule) == {"a": 2}

    def test_of_a_pool_are_given_in_turn(self) -> None:
        schedule = begun({"a": Part(9, 3), "b": Part(9, 3)}, pool=4)
        assert openings(schedule) == {"a": 1, "b": 1}
        schedule.works("a")
        schedule.works("b")
        assert openings(schedule) == {"a": 1, "b": 1}

    def test_of_an_account_that_hangs_keep_no_other_from_opening(self) -> None:
        schedule = begun({"hangs": Part(9, 2), "works": Part(9, 2)})
        openings(schedule)
        schedule.works("works")
        assert openings(schedule) == {"works": 1}

    def test_are_no_more_than_could_be_opened(self) -> None:
        schedule = begun({"a": Part(9, 3)})
        openings(schedule)
        schedule.works("a")
        openings(schedule)
        schedule.no_more_connections("a")
        assert openings(schedule) == {}
        schedule.closed("a")
        assert openings(schedule) == {}
        assert not schedule.idle
        schedule.closed("a")
        assert openings(schedule) == {"a": 1}, "two could be opened"

    def test_open_beside_those_at_work_for_what_has_come_since(self) -> None:
        schedule = begun({"a": Part(1, 4)})
        openings(schedule)
        schedule.works("a")
        assert openings(schedule) == {}
        schedule.begin({"a": Part(2, 4)})
        assert openings(schedule) == {"a": 2}

    def test_are_at_work_from_the_first_that_is_opened_to_the_last_that_ends(self) -> None:
        schedule = begun({"a": Part(1, 1)})
        assert not schedule.at_work("a")
        assert not schedule.at_work("b")
        openings(schedule)
        assert schedule.at_work("a")
        schedule.closed("a")
        assert not schedule.at_work("a")

    def test_are_wanting_only_while_others_have_the_whole_pool(self) -> None:
        schedule = begun({"a": Part(9, 2), "b": Part(9, 1)}, pool=2)
        assert not schedule.starved, "there are some left"
        assert openings(schedule) == {"a": 1, "b": 1}
        assert not schedule.starved, "each has its first one"
        schedule.works("a")
        assert schedule.starved
        schedule.stop()
        assert not schedule.starved

    def test_are_wanting_to_no_account_that_cannot_open_another(self) -> None:
        schedule = begun({"a": Part(9, 3)}, pool=2)
        openings(schedule)
        schedule.works("a")
        openings(schedule)
        assert schedule.starved
        schedule.no_more_connections("a")
        assert not schedule.starved

    def test_of_a_run_are_a_hundred_at_most(self) -> None:
        schedule = Schedule()
        schedule.begin({"a": Part(300, 300)})
        assert openings(schedule) == {"a": 1}
        schedule.works("a")
        assert openings(schedule) == {"a": 99}


class TestClaims:
    @given(PARTS, st.data())
    def test_without_a_limit_everything_is_claimed(self, parts: dict[str, Part], data: st.DataObject) -> None:
        claimed = play(begun(parts), parts, lambda many: data.draw(st.integers(0, many - 1)))
        assert claimed == {name: part.waiting for name, part in parts.items() if part.waiting}

    @given(PARTS, st.integers(1, 30), st.data())
    def test_a_limit_is_never_passed_and_wholly_used_whoever_is_fast(
        self, parts: dict[str, Part], limit: int, data: st.DataObject
    ) -> None:
        claimed = play(begun(parts, limit), parts, lambda many: data.draw(st.integers(0, many - 1)))
        assert claimed.total() == min(limit, sum(part.waiting for part in parts.values()))

    def test_what_one_leaves_of_a_limit_goes_to_those_who_have_used_theirs_up(self) -> None:
        schedule = begun({"rests": Part(9, 1), "waits": Part(9, 1)}, limit=4)
        openings(schedule)
        assert [schedule.take("waits") for _ in range(3)] == [True, True, False]
        schedule.closed("waits")
        assert openings(schedule) == {}
        assert schedule.take("rests")
        schedule.rest("rests")
        schedule.closed("rests")
        assert openings(schedule) == {"waits": 1}
        assert [schedule.take("waits") for _ in range(2)] == [True, False]

    def test_what_one_leaves_of_a_limit_goes_to_none_that_has_enough(self) -> None:
        schedule = begun({"rests": Part(9, 1), "few": Part(3, 1), "many": Part(9, 1)}, limit=9)
        openings(schedule)
        schedule.rest("rests")
        schedule.closed("rests")
        assert [schedule.take("many") for _ in range(7)] == [True] * 6 + [False]

    def test_that_gave_nothing_is_made_again_and_no_other(self) -> None:
        schedule = begun({"a": Part(9, 1)}, limit=2)
        openings(schedule)
        schedule.take("a")
        schedule.give_back("a")
        assert [schedule.take("a") for _ in range(3)] == [True, True, False]

    def test_that_gave_nothing_by_the_end_of_its_account_is_made_for_another(self) -> None:
        schedule = begun({"a": Part(9, 1), "b": Part(9, 1)}, limit=6)
        openings(schedule)
        assert schedule.take("a", 3) == 3
        schedule.rest("a")
        schedule.closed("a")
        schedule.give_back("a", 2)
        assert [schedule.take("b") for _ in range(6)] == [1] * 5 + [0]

    @given(st.integers(1, 20), st.lists(st.integers(1, 9), max_size=9), st.data())
    def test_taken_several_at_once_are_as_many_as_the_limit_leaves(
        self, limit: int, wished: list[int], data: st.DataObject
    ) -> None:
        schedule, left = begun({"a": Part(99, 1)}, limit), limit
        openings(schedule)
        for most in wished:
            assert schedule.may_claim("a") == (left > 0)
            taken = schedule.take("a", most)
            assert taken == min(most, left)
            back = data.draw(st.integers(0, taken))
            schedule.give_back("a", back)
            left -= taken - back

    def test_taken_several_at_once_are_as_many_as_are_wished_without_a_limit(self) -> None:
        schedule = begun({"a": Part(2, 1)})
        openings(schedule)
        assert [schedule.take("a", 7), schedule.take("a")] == [7, 1]
        schedule.give_back("a", 7)
        assert schedule.take("a", 9) == 9

    def test_of_an_account_that_has_not_begun_or_has_ended_are_none(self) -> None:
        schedule = begun({"a": Part(1, 1)})
        openings(schedule)
        schedule.closed("a")
        schedule.give_back("a")
        assert [schedule.take(name) for name in ("a", "b")] == [0, 0]
        assert openings(schedule) == {}

    def test_none_is_made_for_an_account_that_rests_while_a_connection_of_its_is_open(self) -> None:
        schedule = begun({"a": Part(9, 3)})
        openings(schedule)
        schedule.works("a")
        openings(schedule)
        schedule.rest("a")
        schedule.closed("a")
        assert openings(schedule) == {}

    def test_none_is_made_for_an_account_of_which_nothing_is_left(self) -> None:
        schedule = begun({"a": Part(9, 1)})
        openings(schedule)
        schedule.exhausted("a")
        assert not schedule.take("a")

    def test_none_is_made_once_it_is_stopped_and_no_connection_is_opened(self) -> None:
        schedule = begun({"a": Part(9, 1), "b": Part(9, 1)}, pool=1)
        assert openings(schedule) == {"a": 1}
        schedule.stop()
        assert not schedule.take("a")
        schedule.closed("a")
        assert openings(schedule) == {}
        assert schedule.idle

    def test_a_limit_counts_anew_once_everything_was_idle(self) -> None:
        schedule = begun({"a": Part(9, 1)}, limit=1)
        for _ in range(2):
            openings(schedule)
            assert [schedule.take("a"), schedule.take("a")] == [True, False]
            schedule.closed("a")
            schedule.begin({"a": Part(8, 1)})


class TestRest:
    def fail(self, schedule: Schedule, now: int) -> None:
        """One try of the account that cannot be used."""
        schedule.at(now)
        assert schedule.open_to("a")
        schedule.begin({"a": Part(9, 1)})
        assert openings(schedule) == {"a": 1}
        schedule.rest("a")
        assert not schedule.take("a")
        schedule.closed("a")

    def rest_after(self, schedule: Schedule, now: int) -> int:
        """Seconds for which the account is left alone."""
        for seconds in range(200):
            schedule.at(now + seconds)
            if schedule.open_to("a"):
                return seconds
        raise AssertionError

    def test_lasts_longer_each_time_up_to_a_minute(self) -> None:
        schedule, now, rests = Schedule(), 1000, []
        for _ in range(7):
            self.fail(schedule, now)
            rests.append(self.rest_after(schedule, now))
            now += rests[-1]
        assert rests == [5, 10, 20, 40, 60, 60, 60]

    def test_is_short_again_after_it_has_worked(self) -> None:
        schedule = Schedule(base_seconds=5)
        for now in (1000, 2000, 3000):
            self.fail(schedule, now)
        schedule.at(4000)
        schedule.begin({"a": Part(9, 1)})
        openings(schedule)
        schedule.works("a")
        schedule.closed("a")
        self.fail(schedule, 5000)
        assert self.rest_after(schedule, 5000) == 5

    @pytest.mark.parametrize("step_back", [2 * LONGEST_REST_SECONDS, 86_400])
    def test_ends_when_the_clock_steps_back(self, step_back: int) -> None:
        schedule = Schedule(base_seconds=5)
        self.fail(schedule, 100_000)
        schedule.at(100_000 - step_back)
        assert schedule.open_to("a")

    def test_that_is_over_first_is_the_next_and_none_when_nobody_rests(self) -> None:
        schedule = Schedule(base_seconds=5)
        assert schedule.next_rest_over() is None
        self.fail(schedule, 1000)
        self.fail(schedule, 1005)
        schedule.begin({"b": Part(1, 1)})
        openings(schedule)
        schedule.rest("b")
        assert schedule.next_rest_over() == 1010
        schedule.closed("b")
        schedule.begin({"b": Part(1, 1)})
        assert schedule.next_rest_over() == 1015

    def test_of_one_account_keeps_no_other_from_beginning(self) -> None:
        schedule = Schedule()
        self.fail(schedule, 1000)
        schedule.at(1001)
        assert schedule.open_to("b")
        schedule.begin({"b": Part(1, 1)})
        assert openings(schedule) == {"b": 1}


def test_an_account_at_work_goes_on_as_it_is_when_another_begins() -> None:
    schedule = begun({"a": Part(9, 3), "b": Part(0, 1)})
    openings(schedule)
    schedule.works("a")
    assert not schedule.open_to("a")
    assert schedule.open_to("b")
    schedule.begin({"a": Part(9, 3), "b": Part(1, 1)})
    assert openings(schedule) == {"a": 2, "b": 1}


def test_an_account_that_has_sent_everything_can_begin_again_while_others_are_at_work() -> None:
    schedule = begun({"a": Part(1, 1), "b": Part(9, 1)}, limit=5)
    openings(schedule)
    assert schedule.take("a")
    schedule.closed("a")
    assert schedule.open_to("a")
    assert not schedule.open_to("b")
