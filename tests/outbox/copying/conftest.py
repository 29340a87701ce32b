"""Outboxes in files and in databases, one with everything in it that an outbox can have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from prx_email_cli.config.outbox import OutboxSettings
from prx_email_cli.mail.received import KnownMessage
from prx_email_cli.outbox.accounts import AccountState
from prx_email_cli.outbox.lifecycle import RecipientStatus
from prx_email_cli.outbox.open import end_of_copy, open_store
from prx_email_cli.outbox.store import Store
from prx_email_cli.outbox.transfer import End, Step, Transfer, undo
from prx_email_cli.outbox.views import Drop, Pruning

from ...support.postgres import MISSING, programs, the_server
from ..messages import DOMAIN, NOW, POLICY, claim, ended, new_message, sent, wish

LARGE = b"x" * 600_000  # three pieces
KINDS = ("sqlite", "postgres")


@dataclass(frozen=True)
class Outbox:
    """An outbox of a test, in a file or a database."""

    settings: OutboxSettings

    @contextmanager
    def opened(self) -> Iterator[Store]:
        with closing(open_store(self.settings)) as store:
            store.acting = "ann@host"
            yield store

    def end(self) -> End:
        return end_of_copy(self.settings, POLICY, NOW, create=True)


def copying(
    source: Outbox, destination: Outbox, steps: int | None = None, until: str | None = None
) -> tuple[Transfer, list[Step]]:
    """Copy, or break off after so many steps, or after the first that is *until*; all locks are then free."""
    with closing(source.end()) as one, closing(destination.end()) as other:
        transfer, done = Transfer(one, other, NOW, "ann@host"), []
        for step in transfer.steps():
            done.append(step)
            if len(done) == steps or step.doing == until:
                break
        return transfer, done


def undoing(source: Outbox, destination: Outbox | None, *, lost: bool = False) -> None:
    with closing(source.end()) as one:
        if destination is None:
            undo(one, None, lost=lost)
            return
        with closing(destination.end()) as other:
            undo(one, other, lost=lost)


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Outbox]:
    """Make an empty outbox of a kind: `make("sqlite")`."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = []

    def new(kind: str) -> Outbox:
        made.append(kind)
        settings = OutboxSettings(message_id_domain=DOMAIN)
        if kind == "postgres" and programs() is None:
            pytest.skip(MISSING)
        if kind == "sqlite":
            return Outbox(settings.replace(path=tmp_path / f"{len(made)}.db"))
        return Outbox(settings.replace(url=the_server().new_database()))

    return new


@pytest.fixture(params=[(one, other) for one in KINDS for other in KINDS], ids="-".join)
def pair(request: pytest.FixtureRequest, make: Callable[[str], Outbox]) -> tuple[Outbox, Outbox]:
    """An outbox with everything in it, and an empty one; of each two kinds."""
    if "postgres" in request.param and programs() is None:
        pytest.skip(MISSING)
    source, destination = (make(kind) for kind in request.param)
    with source.opened() as store:
        fill(store)
    return source, destination


@pytest.fixture(params=["sqlite-postgres", "postgres-sqlite"])
def across(request: pytest.FixtureRequest, make: Callable[[str], Outbox]) -> tuple[Outbox, Outbox]:
    """An outbox with everything in it, and an empty one of the other kind."""
    if programs() is None:
        pytest.skip(MISSING)
    source, destination = map(make, request.param.split("-"))
    with source.opened() as store:
        fill(store)
    return source, destination


def fill(store: Store) -> None:
    """1 sent, 2 partly refused, 3 uncertain, 4 held, 5 cancelled, 6 large, 7 pruned, 8 without names, 9 deleted."""
    keyed = new_message("a@example.org", "b@example.org")._replace(idempotency_key="k", fingerprint="f")
    store.submit([keyed, *(new_message("a@example.org", "c@example.org") for _ in range(2)),
                  *(new_message() for _ in range(2)), new_message(content=LARGE, due_at=NOW + 60),
                  *(new_message(account="home") for _ in range(3))])  # fmt: skip
    with store.start_run(NOW) as run:
        run.advance([sent(claim(run))], [])
        run.advance([ended(claim(run), RecipientStatus.ACCEPTED, RecipientStatus.REFUSED)], [])
        run.advance([ended(claim(run), uncertain=True)], [])
        (home,) = run.advance([], [wish(account="home", most=3)]).claims
        run.advance([sent(one) for one in home], [])
    store.hold(4, NOW)
    store.cancel(5, NOW)
    for outbox_id, drop in ((7, Drop.CONTENT), (8, Drop.NAMES), (9, Drop.RECORD)):
        assert store.prune(Pruning(NOW + 1, NOW + 1, drop, ids=(outbox_id,))).messages == 1
    store.learn("work", [known(1), known(2)], NOW)
    store.pause(AccountState("home", paused_at=NOW, paused_by="ann@host", reason="why"))
    store.note_drain(NOW, "cron")


def known(number: int) -> KnownMessage:
    return KnownMessage(
        f"<{number}@example.org>", "", "", "a@example.org", "", "ops@example.com", "", f"Käse {number}", "today",
        "text" * 1000,
    )  # fmt: skip
