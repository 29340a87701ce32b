"""Many machines' clocks differ: by the server's it is decided what is due, whatever that of a machine says."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from prx_email_cli.outbox.postgres.clock import Reading, ServerClock, steady
from prx_email_cli.sendmail.drop import leave

from ...conftest import Program
from ...listen.conftest import MESSAGE, Listener
from ...sendmail.conftest import Sendmail
from ...support.faults import Fault
from ...support.mailhost import MailHost
from ...support.postgres import PostgresServer
from ...support.scripted import ScriptedServer
from .conftest import Machine

HOUR, MINUTES = 3600, 60
SLACK_SECONDS = 120  # for a busy machine; far less than the clocks are wrong
PATIENCE_SECONDS = 60

Wrong = Callable[[float], None]


@pytest.fixture
def on_postgres(server: PostgresServer) -> bool:
    """Tell ``program`` to use a database of the server."""
    return True


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> Wrong:
    """Set this machine's clock ahead by so many seconds from now on."""
    real = time.time
    return lambda seconds: monkeypatch.setattr(time, "time", lambda: real() + seconds)


@pytest.fixture
def machine_of(program: Program) -> Callable[[float], Path]:
    """Make the clock of each command's machine say so many seconds more: a file that says how many."""
    path = program.home / "python"
    path.mkdir()
    file = path / "ahead"
    (path / "sitecustomize.py").write_text(
        "import time\nreal = time.time\n"
        f"def wrong():\n    with open({str(file)!r}) as file:\n        return real() + float(file.read())\n"
        "time.time = wrong\n"
    )

    def set_ahead(seconds: float) -> Path:
        file.with_suffix(".new").write_text(str(seconds))
        file.with_suffix(".new").replace(file)
        program.environment["PYTHONPATH"] = str(path)
        return file

    return set_ahead


@pytest.fixture
def host(program: Program) -> Iterator[MailHost]:
    with MailHost() as host:
        program.configure(host.port)
        yield host


def near(wanted: float) -> Any:
    return pytest.approx(wanted, abs=SLACK_SECONDS)


def due_of(program: Program, outbox_id: int) -> int:
    """When a message is due, as the database has it."""
    ((due,),) = program.execute(f"SELECT next_attempt_at FROM outbox WHERE id = {outbox_id}")
    return int(due)


def statuses(program: Program) -> list[str]:
    return [status for (status,) in program.execute("SELECT status FROM outbox ORDER BY id")]


class TestServerClock:
    """How a machine reads the server's clock and keeps what it read."""

    def test_the_server_s_time_is_halfway_between_question_and_answer(self) -> None:
        at = steady()
        clock = ServerClock(Reading(5000.0, at - 2, at))
        assert clock() == pytest.approx(5001, abs=1)
        assert clock.skew().unsure_seconds == 1

    def test_a_surer_reading_replaces_one_less_sure(self) -> None:
        at = steady()
        clock = ServerClock(Reading(5000.0, at - 8, at))
        clock.take(Reading(5003.0, at - 0.2, at))
        assert clock() - steady() == pytest.approx(5003.1 - at)
        assert clock.skew().unsure_seconds == pytest.approx(0.1)

    def test_a_reading_that_a_slow_network_made_unsure_changes_nothing(self) -> None:
        at = steady()
        clock = ServerClock(Reading(5000.0, at - 0.2, at))
        before = clock() - steady()
        clock.take(Reading(5010.0, at - 0.1, at + 30))
        assert clock() - steady() == pytest.approx(before)

    @pytest.mark.parametrize("jump", [600.0, -600.0])
    def test_a_server_whose_clock_was_set_is_followed(self, jump: float) -> None:
        at = steady()
        clock = ServerClock(Reading(5000.0, at - 0.2, at))
        clock.take(Reading(5000.0 + jump, at - 1, at + 1))
        assert clock() - steady() == pytest.approx(5000 + jump - at)


class TestStore:
    def test_a_session_that_begins_anew_and_each_change_look_at_the_server_s_clock_again(
        self, machine: Machine
    ) -> None:
        store = machine("one")
        store.clock.take(Reading(5000.0, steady(), steady()))
        assert store.clock() < 10_000
        store.change(lambda connection: None)
        assert store.clock() == near(time.time())
        store.clock.take(Reading(5000.0, steady(), steady()))
        with closing(store.connect_again().connection):
            assert store.clock() == near(time.time())

    def test_a_follower_s_look_does_so_too(self, machine: Machine) -> None:
        store = machine("one")
        store.clock.take(Reading(5000.0, steady(), steady()))
        watch = store.watch()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while store.clock() < 10_000 and time.monotonic() < deadline:
            time.sleep(0.01)
        watch.close()
        assert store.clock() == near(time.time())


class TestStoring:
    @pytest.mark.parametrize("wrong", [HOUR, -HOUR])
    def test_send_in_ten_minutes_is_due_in_ten_minutes_of_the_server(
        self, program: Program, ahead: Wrong, wrong: int
    ) -> None:
        now = time.time()
        ahead(wrong)
        outbox_id = program.send("--in", "10m", "--expires-in", "30m")
        assert due_of(program, outbox_id) == near(now + 600)
        ((created, expires),) = program.execute("SELECT created_at, expires_at FROM outbox")
        assert created == near(now)
        assert expires == near(now + 1800)

    def test_whether_a_time_is_past_the_server_decides(self, program: Program, ahead: Wrong) -> None:
        now = int(time.time())
        ahead(HOUR)
        assert program.call("send", "--to", "a@example.org", "--subject", "s", "--body", "b",
                            "--at", iso(now + 1800)).status == 0  # fmt: skip
        ahead(-HOUR)
        refused = program.call(
            "send", "--to", "a@example.org", "--subject", "s", "--body", "b", "--at", iso(now - 1800)
        )
        assert refused.status != 0
        assert "is in the past" in refused.err

    def test_a_batch_and_the_mail_of_a_job_go_by_the_server_s_clock(self, program: Program, ahead: Wrong) -> None:
        now = time.time()
        ahead(HOUR)
        lines = '{"to": ["a@example.org"], "subject": "s", "body_text": "b", "in": "10m"}\n'
        assert program.call("send", "--batch", "-", text=lines).status == 0
        assert program.call("run", "--on-output", "--to", "a@example.org", "--", "echo", "x").status == 0
        assert [due_of(program, 1), due_of(program, 2)] == [near(now + 600), near(now)]

    def test_prx_sendmail_stores_what_is_due_at_once(
        self, program: Program, machine_of: Callable[[float], Path]
    ) -> None:
        now = time.time()
        machine_of(HOUR)
        called = Sendmail(program)("a@example.org")
        assert called.status == 0, called
        assert due_of(program, 1) == near(now)

    def test_a_listener_and_a_drop_directory_store_what_is_due_at_once(
        self, program: Program, machine_of: Callable[[float], Path], host: MailHost
    ) -> None:
        now = time.time()
        drop = program.home / "drop"
        drop.mkdir(mode=0o3733)
        drop.chmod(0o3733)
        with program.config.open("a") as config:
            config.write(f'\n[sendmail]\ndrop = "{drop}"\n')
        machine_of(HOUR)
        with Listener(program, "--listen", "127.0.0.1:0") as listener, listener.client() as client:
            client.sendmail("a@example.com", ["b@example.org"], MESSAGE)
        assert due_of(program, 1) == near(now)
        leave([("recipient", "b@example.org")], str(drop), [MESSAGE])
        assert program.run("drain").status == 0
        ((created, due),) = program.execute("SELECT created_at, first_due_at FROM outbox WHERE id = 2")
        # The file's time, which here is right, is taken for one of the clock that is an hour fast.
        assert [created, due] == [near(now - HOUR), near(now)]
        assert statuses(program) == ["sent", "sent"]

    def test_now_ts_wins(self, program: Program, ahead: Wrong) -> None:
        ahead(HOUR)
        assert due_of(program, program.send("--now-ts", "1000000", "--in", "10m")) == 1_000_600
        assert program.call("drain", "--now-ts", "1000000").status == 0
        assert statuses(program) == ["pending"]
        assert program.call("hold", "1", "--now-ts", "1000001").status == 0
        assert program.execute("SELECT held_at FROM outbox") == [(1_000_001,)]

    def test_a_preview_asks_no_server(self, program: Program) -> None:
        program.config.write_text(program.config.read_text().replace("postgresql://", "postgresql://nobody.invalid/x?"))
        shown = program.call(
            "send", "--to", "a@example.org", "--subject", "s", "--body", "b", "--in", "5m", "--preview"
        )
        assert shown.status == 0, shown


class TestDelivering:
    def test_a_slow_machine_sends_what_is_due(self, program: Program, ahead: Wrong, host: MailHost) -> None:
        program.send()
        ahead(-HOUR)
        assert program.call("drain").status == 0
        assert statuses(program) == ["sent"]
        ((sent, drained),) = program.execute("SELECT sent_at, last_drain_at FROM outbox, ledger")
        ahead(0)
        assert [sent, drained] == [near(time.time()), near(time.time())]

    def test_a_fast_machine_sends_and_gives_up_nothing_too_early(
        self, program: Program, ahead: Wrong, host: MailHost
    ) -> None:
        program.send("--in", "10m", "--expires-in", "30m")
        ahead(HOUR)
        assert program.call("drain").status == 0
        assert statuses(program) == ["pending"]
        refused = program.call("retry", "1")
        assert "retry_not_due" in refused.err
        assert host.messages == []
        assert program.execute("SELECT gave_up FROM outbox") == [(None,)]

    @pytest.mark.parametrize("wrong", [HOUR, -HOUR])
    def test_a_retry_waits_by_the_server_s_clock(self, program: Program, ahead: Wrong, wrong: int) -> None:
        with ScriptedServer([Fault("rcpt", "451 4.3.0 later")]) as server:
            program.configure(server.port, outbox="base_backoff_seconds = 600")
            program.send()
            ahead(wrong)
            program.call("drain")
        ahead(0)
        assert statuses(program) == ["failed"]
        assert 0 < due_of(program, 1) - time.time() < HOUR

    def test_a_follower_does_not_see_that_the_clock_of_its_machine_is_set(
        self, program: Program, machine_of: Callable[[float], Path], host: MailHost
    ) -> None:
        machine_of(0)
        program.send("--in", "30m")
        follower = program.start("drain", "--follow")
        try:
            program.send(subject="before")
            host.wait_for(lambda: len(host.messages) == 1)
            machine_of(HOUR)
            program.send(subject="after")
            host.wait_for(lambda: len(host.messages) == 2)
            machine_of(-HOUR)
            program.send(subject="at last")
            host.wait_for(lambda: len(host.messages) == 3)
        finally:
            follower.send_signal(signal.SIGTERM)
            _, said = follower.communicate(timeout=PATIENCE_SECONDS)
        assert follower.returncode == 0, said
        assert statuses(program) == ["pending", "sent", "sent", "sent"]


class TestTelling:
    def test_ages_are_those_of_the_server_s_clock(self, program: Program, ahead: Wrong) -> None:
        program.send()
        ahead(HOUR)
        assert program.call("check").status == 0
        assert "1h" not in program.call("status").out
        assert program.call("stats", "--json").data["oldest_due_age_seconds"] < SLACK_SECONDS

    def test_what_is_old_enough_to_be_pruned_the_server_s_clock_says(
        self, program: Program, ahead: Wrong, host: MailHost
    ) -> None:
        program.send()
        assert program.call("drain").status == 0
        ahead(HOUR)
        assert program.call("prune", "--older-than", "30m", "--json").data["pruned"] == 0
        assert program.call("pause", "--for", "10m").status == 0
        ahead(0)
        ((until,),) = program.execute("SELECT paused_until FROM account_state")
        assert until == near(time.time() + 600)

    @pytest.mark.parametrize(("wrong", "word"), [(HOUR, "ahead of"), (-HOUR, "behind")])
    def test_doctor_warns_of_clocks_that_are_apart(self, program: Program, ahead: Wrong, wrong: int, word: str) -> None:
        ahead(wrong)
        (clocks,) = [
            one for one in program.call("doctor", "--offline", "--json").data["checks"] if one["name"] == "clocks"
        ]
        assert clocks["result"] == "warning"
        assert word in clocks["detail"]
        assert "NTP on both" in clocks["fix"]

    def test_doctor_is_content_with_clocks_that_agree(self, program: Program) -> None:
        (clocks,) = [
            one for one in program.call("doctor", "--offline", "--json").data["checks"] if one["name"] == "clocks"
        ]
        assert clocks["result"] == "ok"
        assert "give or take" in clocks["detail"]


def iso(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
