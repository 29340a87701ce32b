"""The log of attempts, the command for given-up messages, and the provider's limits."""

import json

import pytest

from ..conftest import Program
from ..support.mailhost import MailHost
from ..support.scripted import ScriptedServer
from .outside import REFUSED, add, hook

SECRET = "correct-horse"


class TestTheNotifyCommand:
    """Runs once per given-up message."""

    @pytest.mark.on_both
    def test_gets_the_message_as_json_once_and_no_shell_expands_its_words(
        self, program: Program, refusing: ScriptedServer
    ) -> None:
        hook(program, 'printf "%s\\n" "$1" >> words; cat >> told; echo >> told; echo chatter')
        outbox_id = program.send(to=REFUSED)
        first, second = program.run("drain"), program.run("drain")

        assert (first.status, second.status, first.out) == (69, 0, "")
        assert f"gave up outbox message {outbox_id}" in first.err
        assert second.err == ""
        (told,) = (json.loads(line) for line in (program.home / "told").read_text().splitlines())
        assert (told["outbox_id"], told["gave_up"]) == (outbox_id, "refused")
        assert (program.home / "words").read_text() == "$HOME\n"

    def test_runs_also_for_what_a_retry_or_send_now_gives_up_and_the_next_drain_is_silent(
        self, program: Program, refusing: ScriptedServer
    ) -> None:
        hook(program, "cat > /dev/null; echo x >> told")
        assert program.run("send", "--to", REFUSED, "--subject", "s", "--body", "b", "--now").status == 69
        assert program.run("drain").err == ""
        assert (program.home / "told").read_text() == "x\n"

    @pytest.mark.parametrize("body", ["exit 3", "kill -9 $$"])
    def test_that_fails_only_warns(self, program: Program, refusing: ScriptedServer, body: str) -> None:
        hook(program, body)
        outbox_id = program.send(to=REFUSED)
        answer = program.run("drain")
        assert answer.status == 69
        assert "warning: notify command" in answer.err
        assert program.show(outbox_id)["gave_up"] == "refused"

    def test_that_does_not_exist_only_warns(self, program: Program, refusing: ScriptedServer) -> None:
        add(program, '[notify]\ncommand = ["/nowhere/at-all"]')
        program.send(to=REFUSED)
        assert "cannot be run" in program.run("drain").err

    def test_runs_when_several_drains_meet_the_message_once(self, program: Program, refusing: ScriptedServer) -> None:
        hook(program, "cat > /dev/null; echo x >> told")
        for _ in range(5):
            program.send(to=REFUSED)
        drains = [program.start("drain", "--quiet") for _ in range(4)]
        for drain in drains:
            drain.communicate()
        assert (program.home / "told").read_text() == "x\n" * 5


class TestTheLog:
    """One line for each attempt."""

    def test_has_a_line_of_logfmt_for_every_attempt(self, program: Program, refusing: ScriptedServer) -> None:
        add(program, '[log]\nfile = "attempts.log"')
        good, bad = program.send(body=SECRET), program.send(to=REFUSED)
        program.run("drain")
        lines = (program.home / "attempts.log").read_text().splitlines()

        assert len(lines) == 2
        assert (program.home / "attempts.log").stat().st_mode & 0o777 == 0o600
        sent = next(line for line in lines if f"outbox_id={good} " in line)
        for name in ("time=", "run=", "account=work", f"message_id=<outbox-{good}-0@prx-email.local>", "outcome=sent",
                     "milliseconds=", "connection="):  # fmt: skip
            assert name in sent
        refused = next(line for line in lines if f"outbox_id={bad} " in line)
        assert "outcome=gave_up" in refused
        assert "code=550 enhanced=5.1.1" in refused
        assert SECRET not in "".join(lines)

    def test_can_be_json_and_covers_retries(self, program: Program, refusing: ScriptedServer) -> None:
        add(program, '[log]\nfile = "attempts.log"\nformat = "json"')
        outbox_id = program.send("--now")
        (entry,) = map(json.loads, (program.home / "attempts.log").read_text().splitlines())
        assert (entry["outbox_id"], entry["outcome"], entry["account"]) == (outbox_id, "sent", "work")

    def test_is_on_stderr_with_verbose(self, program: Program, refusing: ScriptedServer) -> None:
        outbox_id = program.send()
        answer = program.run("drain", "--verbose")
        assert f"outbox_id={outbox_id} " in answer.err
        assert answer.out == ""

    def test_that_cannot_be_written_only_warns(self, program: Program, refusing: ScriptedServer) -> None:
        add(program, '[log]\nfile = "/nowhere/at/all.log"')
        outbox_id = program.send()
        answer = program.run("drain")
        assert (answer.status, "cannot write the log" in answer.err) == (0, True)
        assert program.show(outbox_id)["status"] == "sent"


class TestTheLimit:
    """The account rests before the provider complains; no message suffers."""

    def drain(self, program: Program, now: int) -> tuple[int, int]:
        answer = program.run("drain", "--now-ts", str(now), "--json")
        assert answer.status == 0, answer
        return answer.data["sent"], answer.data["still_due"]

    def test_a_minute_lets_the_next_run_go_on(self, program: Program) -> None:
        with MailHost() as host:
            program.configure(host.port, smtp="messages_per_minute = 3")
            for _ in range(7):
                program.send("--now-ts", "1000")
            assert self.drain(program, 1000) == (3, 4)
            assert self.drain(program, 1059) == (0, 4)
            assert self.drain(program, 1060) == (3, 1)
            assert self.drain(program, 1120) == (1, 0)
            assert len(host.messages) == 7
        assert {row["retries"] for row in program.run("list", "--json").data} == {0}

    def test_a_day_counts_what_the_provider_took_and_not_what_never_reached_it(self, program: Program) -> None:
        for _ in range(3):
            program.send("--now-ts", "1000")
        program.configure(9, smtp="messages_per_day = 2")
        assert program.run("drain", "--now-ts", "1000").status == 75  # nobody is there: this costs nothing
        with MailHost() as host:
            program.configure(host.port, smtp="messages_per_day = 2")
            assert self.drain(program, 2000) == (2, 1)
            assert self.drain(program, 2000 + 86_399) == (0, 1)
            assert self.drain(program, 2000 + 86_400) == (1, 0)

    def test_of_a_minute_holds_for_drains_that_run_together(self, program: Program) -> None:
        with MailHost() as host:
            program.configure(host.port, smtp="messages_per_minute = 5")
            for _ in range(12):
                program.send("--now-ts", "1000")
            drains = [program.start("drain", "--now-ts", "1000") for _ in range(4)]
            for drain in drains:
                drain.communicate()
            assert len(host.messages) == 5

    def test_of_a_connection_renews_it(self, program: Program) -> None:
        with MailHost() as host:
            program.configure(host.port, smtp="messages_per_connection = 2\nconnections = 1")
            for _ in range(5):
                program.send()
            assert program.run("drain").status == 0
            assert (len(host.messages), host.connections) == (5, 3)
