"""A follower that is given other settings on its way, and whoever attends it."""

from __future__ import annotations

import pytest

from prx_email_cli.config.settings import Settings
from prx_email_cli.delivery.report import DrainReport
from prx_email_cli.delivery.run import DrainOptions
from prx_email_cli.delivery.standing import is_same
from prx_email_cli.delivery.worker import NotOpened
from prx_email_cli.outbox.accounts import AccountState
from prx_email_cli.outbox.store import Store

from ..support.memory_store import MemoryStore
from .played import LOGIN_REFUSED, START, PlayedRun, Server, World, played, settings_for
from .test_run import add, statuses


@pytest.fixture
def store() -> Store:
    return MemoryStore()


def follow(run: PlayedRun, seconds: float, others: dict[float, Settings]) -> tuple[list[float], list[str]]:
    """Play a follower for so long that is given *others* at these seconds; what it said of its clerk and the config."""
    run.world.at(seconds, run._stop.set)
    owed: list[float] = []
    told: list[str] = []

    def attend(owed_seconds: float) -> Settings | None:
        owed.append(owed_seconds)
        due = [at for at in others if run.world.now - START >= at]
        return others.pop(due[0]) if due else None

    def on_round(report: DrainReport) -> None:
        told.extend(error.message for error in report.config_errors)

    on_round(run.follow(DrainOptions(), on_round, attend))
    return owed, told


def test_an_account_that_changed_ends_its_messages_and_begins_the_others_over_new_connections(store: Store) -> None:
    ids = add(store, "a", 40)
    with played(store, {"a": Server(seconds_to_take=5)}, World(), connections=2) as run:
        follow(run, 100, {12: settings_for(["a"], connections=4)})
    assert statuses(store, ids) == [("sent", 0)] * 40, "what was claimed ahead and given back was no attempt"
    assert run.logins == ["a"] * 6
    assert [10 < at < 17 for at, _ in run.hung_up].count(True) == 2


def test_an_account_that_is_as_it_was_goes_on_over_its_connections(store: Store) -> None:
    ids = add(store, "a", 10)
    with played(store, {"a": Server(seconds_to_take=5)}, World()) as run:
        follow(run, 80, {12: settings_for(["a", "b"])})
    assert (statuses(store, ids), run.logins) == ([("sent", 0)] * 10, ["a"])


def test_an_account_that_was_removed_begins_no_message_more_and_that_is_told(store: Store) -> None:
    ids = add(store, "a", 10)
    with played(store, {"a": Server(seconds_to_take=5)}, World()) as run:
        told = follow(run, 80, {12: settings_for(["b"])})[1]
    assert told == ["/nowhere/config.toml: there is no account 'a'"]
    assert statuses(store, ids).count(("sent", 0)) == 3
    assert statuses(store, ids).count(("pending", 0)) == 7


def test_an_account_that_rests_is_tried_at_once_when_its_config_has_changed_and_only_then(store: Store) -> None:
    for name in ("a", "b"):
        add(store, name, 10)
    refuses = Server(opens=lambda: NotOpened(LOGIN_REFUSED))
    with played(store, {"a": refuses, "b": refuses}, World()) as run:
        other = settings_for(["a", "b"], connections=3)
        other = other.replace(accounts={"a": other.accounts["a"], "b": settings_for(["b"]).accounts["b"]})
        follow(run, 40, {20: other})
    assert (run.logins.count("a"), run.logins.count("b")) == (2, 1)


def test_a_pause_stays(store: Store) -> None:
    ids = add(store, "a", 2)
    store.pause(AccountState("a", paused_at=START))
    with played(store, {"a": Server()}, World()) as run:
        follow(run, 40, {20: settings_for(["a"], connections=3)})
    assert (run.logins, statuses(store, ids)) == ([], [("pending", 0)] * 2)


def test_whoever_attends_hears_for_how_long_the_clerk_has_written_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, "a")
    with played(store, {"a": Server()}, World()) as run:
        step, stuck_until = run.ledger.step, START + 50
        monkeypatch.setattr(run.ledger, "step", lambda: run.world.now >= stuck_until and step())
        run.world.at(51, lambda: step())
        owed, _ = follow(run, 60, {})
    assert 45 < max(owed) < 55
    assert owed[-1] == 0


def test_a_secret_makes_a_difference(store: Store) -> None:
    one = settings_for(["a"])
    assert is_same(one.accounts["a"], settings_for(["a"]).accounts["a"])
    account = one.accounts["a"]
    other = account.replace(smtp=account.smtp.replace(auth=account.smtp.auth.replace(password="another")))
    assert not is_same(account, other)
    assert not is_same(account, None)
