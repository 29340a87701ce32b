"""``drain``: everything that is due, each exactly once, and not a word when all is well."""

import signal
import subprocess
from collections import Counter
from typing import Any

import pytest

from ..conftest import Program
from ..support.faults import Fault
from ..support.mailhost import MailHost
from ..support.scripted import ScriptedServer, refusing_port
from .outside import NOW, enqueue, parsed, rows, serving, statuses

REPORT = {"run_id", "attempted", "sent", "failed", "gave_up", "recovered", "still_due"}


def two_accounts(program: Program, first: int, second: int) -> None:
    """Accounts ``first`` and ``second``, each with the server at its port."""
    text = '[outbox]\npath = "outbox.db"\n'
    for name, port in (("first", first), ("second", second)):
        text += f'[accounts.{name}]\nfrom = "{name}@example.com"\n'
        text += f'[accounts.{name}.smtp]\nhost = "localhost"\nport = {port}\ntls = "none"\n'
    program.config.write_text(text)


class TestUnderCron:
    def test_an_empty_outbox_is_silence_and_0(self, program: Program) -> None:
        answer = program.run("drain")
        assert (answer.status, answer.out, answer.err) == (0, "", "")

    def test_delivered_mail_is_silence_and_0(self, program: Program, host: MailHost) -> None:
        enqueue(program, 3)
        answer = program.run("drain")
        assert (answer.status, answer.out, answer.err, len(host.messages)) == (0, "", "", 3)

    def test_deferred_mail_is_silence_and_75(self, program: Program) -> None:
        with serving(program, Fault("rcpt", "451 4.2.1 try later")):
            enqueue(program, 2)
            answer = program.run("drain")
        assert (answer.status, answer.out, answer.err) == (75, "", "")

    def test_an_absent_server_is_silence_and_75(self, program: Program) -> None:
        with refusing_port() as port:
            program.configure(port)
            enqueue(program, 2)
            answer = program.run("drain")
        assert (answer.status, answer.out, answer.err) == (75, "", "")

    def test_each_message_given_up_is_one_line_on_stderr_and_69(self, program: Program) -> None:
        with serving(program, Fault("rcpt", "550 5.1.1 no such user", address="gone@example.org")) as server:
            program.send(to="gone@example.org", subject="lost one")
            program.send()
            program.send(to="gone@example.org", subject="lost two")
            answer = program.run("drain")
            assert len(server.messages) == 1
            assert (answer.status, answer.out, answer.err.count("\n")) == (69, "", 2)
            for words in ("lost one", "lost two", "550 5.1.1 no such user"):
                assert words in answer.err
            answer = program.run("drain")
            assert (answer.status, answer.out, answer.err) == (0, "", "")


def test_json_has_the_keys_of_the_contract(program: Program) -> None:
    faults = [
        Fault("rcpt", "550 5.1.1 no", address="gone@example.org"),
        Fault("rcpt", "451 4.2.1 busy", address="busy@example.org"),
    ]
    with serving(program, *faults):
        for name in ("a", "gone", "busy"):
            program.send(to=f"{name}@example.org")
        answer = program.run("drain", "--json")
    assert set(answer.data) >= REPORT
    counted = {key: answer.data[key] for key in REPORT - {"run_id"}}
    assert counted == {"attempted": 3, "sent": 1, "failed": 2, "gave_up": 1, "recovered": 0, "still_due": 0}
    assert (answer.status, answer.json["ok"]) == (69, False)
    assert {row["attempts"][0]["run_id"] for row in map(program.show, (1, 2, 3))} == {answer.data["run_id"]}
    answer = program.run("drain", "--json")
    assert (answer.status, answer.json["ok"], answer.json["error"], answer.data["attempted"]) == (0, True, None, 0)


@pytest.mark.on_both
def test_json_tells_which_messages_were_sent_deferred_and_given_up(program: Program) -> None:
    faults = [
        Fault("rcpt", "550 5.1.1 no", address="gone@example.org"),
        Fault("rcpt", "451 4.2.1 busy", address="busy@example.org"),
    ]
    with serving(program, *faults):
        for name in ("a", "gone", "busy", "b"):
            program.send(to=f"{name}@example.org")
        data = program.run("drain", "--json").data
    assert [sorted(data[f"{what}_ids"]) for what in ("sent", "deferred", "gave_up")] == [[1, 4], [3], [2]]
    assert data["accounts"] == [{"account": "work", "sent": 2, "failed": 2, "error_code": None, "why": None}]


def test_what_expired_unattempted_is_among_the_given_up(program: Program) -> None:
    program.send("--expires-in", "1h", "--now-ts", str(NOW))
    answer = program.run("drain", "--json", "--now-ts", str(NOW + 3600))
    assert (answer.data["gave_up"], answer.data["gave_up_ids"], answer.data["attempted"]) == (1, [1], 0)


class TestWhyAnAccountWasNotUsed:
    def of(self, program: Program, *options: str) -> tuple[Any, ...]:
        data = program.run("drain", "--json", *options).data
        (account,) = data["accounts"]
        return account["account"], account["sent"], account["failed"], account["error_code"], account["why"]

    def test_tells_a_refused_login_from_a_server_that_cannot_be_reached(self, program: Program) -> None:
        program.send("--now-ts", str(NOW))
        *counts, code, why = self.of(program, "--now-ts", str(NOW))
        assert (counts, code) == (["work", 0, 1], "network")
        assert "refused" in why
        with ScriptedServer([Fault("auth", "535 5.7.8 wrong")], auth={"ops@example.com": "right"}) as server:
            program.configure(server.port, smtp='user = "ops@example.com"', auth='password = "right"')
            for at, failed in ((60, 1), (90, 0)):  # the second finds it resting
                *counts, code, why = self.of(program, "--now-ts", str(NOW + at))
                assert (counts, code) == (["work", 0, failed], "auth")
                assert "535 5.7.8 wrong" in why

    def test_names_a_pause_and_an_account_that_the_config_has_no_more(self, program: Program) -> None:
        program.send()
        program.run("pause", "--reason", "moving")
        *counts, code, why = self.of(program)
        assert (counts, code) == (["work", 0, 0], None)
        assert "moving" in why
        program.run("resume")
        program.config.write_text(program.config.read_text().replace("accounts.work", "accounts.home"))
        *counts, code, why = self.of(program)
        assert (counts, code) == (["work", 0, 0], "config")
        assert "work" in why


def test_verbose_tells_of_every_attempt_on_stderr(program: Program, host: MailHost) -> None:
    enqueue(program, 3)
    answer = program.run("drain", "--verbose")
    assert (answer.status, answer.out, answer.err.count("\n")) == (0, "", 3)


def test_limit_leaves_the_rest_as_it_was(program: Program, host: MailHost) -> None:
    enqueue(program, 8)
    answer = program.run("drain", "--limit", "3", "--json")
    assert (answer.status, len(host.messages)) == (0, 3)
    assert (answer.data["attempted"], answer.data["still_due"]) == (3, 5)
    assert Counter((row["status"], row["retries"]) for row in rows(program)) == {("sent", 0): 3, ("pending", 0): 5}


def test_account_restricts_it(program: Program) -> None:
    with MailHost() as first, MailHost() as second:
        two_accounts(program, first.port, second.port)
        program.send("--account", "first")
        program.send("--account", "second")
        assert program.run("drain", "--account", "second").status == 0
        assert (len(first.messages), len(second.messages)) == (0, 1)
        assert parsed(second.messages[0].content)["From"] == "second@example.com"
        assert program.run("drain", "--account", "third").status == 78
        assert program.run("drain").status == 0
        assert (len(first.messages), len(second.messages)) == (1, 1)


def test_the_longest_due_goes_first(program: Program) -> None:
    with MailHost() as host:
        program.configure(host.port, smtp="connections = 1")
        for seconds in (30, 10, 20):
            program.send("--now-ts", str(NOW + seconds))
        assert program.run("drain", "--now-ts", str(NOW + 30)).status == 0
        assert host.received_message_ids() == [f"<outbox-{number}-0@prx-email.local>" for number in (2, 3, 1)]


class TestTheMessageId:
    def test_of_outbox_id_7_is_exactly_that_and_there_once(self, program: Program, host: MailHost) -> None:
        enqueue(program, 7)
        assert program.run("drain").status == 0
        (seventh,) = [m for m in host.messages if m.message_id == "<outbox-7-0@prx-email.local>"]
        header = seventh.content.partition(b"\r\n\r\n")[0].split(b"\r\n")
        assert [line for line in header if line.lower().startswith(b"message-id")] == [
            b"Message-ID: <outbox-7-0@prx-email.local>"
        ]

    def test_is_another_one_after_a_definite_failure(self, program: Program) -> None:
        with serving(program, Fault("after_dot", "451 4.3.0 try later", times=1)) as server:
            program.send("--now-ts", str(NOW))
            assert program.run("drain", "--now-ts", str(NOW)).status == 75
            assert program.run("drain", "--now-ts", str(NOW + 9)).status == 0
            assert program.run("drain", "--now-ts", str(NOW + 10)).status == 0
            (message,) = [message for message in server.messages if message.acknowledged]
        assert message.message_id == "<outbox-1-1@prx-email.local>"

    def test_has_the_domain_of_the_config(self, program: Program) -> None:
        with MailHost() as host:
            program.configure(host.port, outbox='message_id_domain = "0123abcd.prx-email.local"')
            program.send()
            program.run("drain")
            assert host.received_message_ids() == ["<outbox-1-0@0123abcd.prx-email.local>"]


def test_six_drains_started_together_deliver_each_of_300_messages_once(program: Program, host: MailHost) -> None:
    enqueue(program, 300)
    drains = [program.start("drain") for _ in range(6)]
    assert [(*drain.communicate(timeout=60), drain.returncode) for drain in drains] == [("", "", 0)] * 6
    received = Counter(host.received_message_ids())
    assert received == {f"<outbox-{number}-0@prx-email.local>": 1 for number in range(1, 301)}
    assert Counter(statuses(program)) == {"sent": 300}


class TestASignal:
    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_lets_the_messages_on_the_wire_finish_and_claims_no_more(self, number: int, program: Program) -> None:
        with ScriptedServer([Fault("after_dot", "pause")]) as server:
            program.configure(server.port, smtp="connections = 3")
            enqueue(program, 12)
            drain = program.start("drain")
            server.wait_for(lambda: len(server.happened) == 3)
            drain.send_signal(number)
            with pytest.raises(subprocess.TimeoutExpired):  # it waits for the three answers
                drain.wait(0.3)
            server.release()
            out, err = drain.communicate(timeout=60)
            assert len(server.messages) == 3
        assert (drain.returncode, out, "Traceback" in err) == (0, "", False)
        assert Counter(statuses(program)) == {"sent": 3, "pending": 9}
        assert {row["retries"] for row in rows(program)} == {0}

    def test_leaves_what_the_next_drain_delivers_without_a_double(self, program: Program) -> None:
        with ScriptedServer([Fault("after_dot", "pause")]) as server:
            program.configure(server.port, smtp="connections = 2")
            enqueue(program, 6)
            drain = program.start("drain")
            server.wait_for(lambda: len(server.happened) == 2)
            drain.terminate()
            server.release()
            drain.communicate(timeout=60)
            assert program.run("drain").status == 0
            assert Counter(server.received_message_ids()) == {
                f"<outbox-{number}-0@prx-email.local>": 1 for number in range(1, 7)
            }


class TestAnAccountFailure:
    """One connection, one probe; every other message stays as it was."""

    def probed(self, program: Program) -> None:
        first, *others = rows(program)
        assert (first["status"], first["retries"], first["gave_up"], first["uncertain"]) == ("failed", 1, None, False)
        assert first["last_error"]
        assert [(row["status"], row["retries"]) for row in others] == [("pending", 0)] * 4

    def test_of_an_absent_server(self, program: Program) -> None:
        with refusing_port() as port:
            program.configure(port)
            enqueue(program, 5)
            answer = program.run("drain", "--json")
        assert (answer.status, answer.data["attempted"], answer.data["failed"], answer.data["still_due"]) == (
            75,
            1,
            1,
            4,
        )
        self.probed(program)

    @pytest.mark.parametrize(
        "fault",
        [
            Fault("connect", "close"),
            Fault("greeting", "554 5.3.2 no service here"),
            Fault("greeting", "421 4.3.2 too busy"),
            Fault("auth", "535 5.7.8 no"),
            Fault("auth", "454 4.7.0 too many logins"),
        ],
        ids=lambda fault: f"{fault.place}-{fault.manner}",
    )
    def test_costs_one_connection(self, fault: Fault, program: Program) -> None:
        with ScriptedServer([fault], auth={"ops": "secret"}) as server:
            program.configure(server.port, smtp='user = "ops"', auth='password = "secret"')
            enqueue(program, 5)
            assert program.run("drain").status == 75
            assert (server.connections, server.messages) == (1, [])
        self.probed(program)

    @pytest.mark.parametrize("reply", ["421 4.7.0 slow down", "550 5.4.5 daily quota exceeded"])
    def test_in_the_dialogue_sets_the_account_aside(self, reply: str, program: Program) -> None:
        with ScriptedServer([Fault("mail", reply)]) as server:
            program.configure(server.port, smtp="connections = 1")
            enqueue(program, 5)
            assert program.run("drain").status == 75
            assert server.connections == 1
        self.probed(program)

    def test_of_one_does_not_touch_another(self, program: Program) -> None:
        with refusing_port() as dead, MailHost() as host:
            two_accounts(program, dead, host.port)
            for name in ("first", "second", "first", "second"):
                program.send("--account", name)
            assert program.run("drain").status == 75
            assert len(host.messages) == 2
        told: list[Any] = [(row["account"], row["status"]) for row in rows(program)]
        assert told == [("first", "failed"), ("second", "sent"), ("first", "pending"), ("second", "sent")]

    def test_with_a_missing_secret_touches_nothing_and_is_78(self, program: Program) -> None:
        with ScriptedServer(auth={"ops": "secret"}) as server:
            program.configure(server.port, smtp='user = "ops"', auth='password_env = "NO_SUCH_VARIABLE"')
            enqueue(program, 2)
            answer = program.run("drain")
            assert server.connections == 0
        assert (answer.status, answer.out, "NO_SUCH_VARIABLE" in answer.err) == (78, "", True)
        assert [(row["status"], row["retries"]) for row in rows(program)] == [("pending", 0)] * 2


def test_a_rehearsed_drain_touches_no_network_and_defers_all(program: Program, host: MailHost) -> None:
    for _ in range(2):
        program.send("--now-ts", str(NOW))
    assert program.run("drain", "--failure-mode", "provider", "--now-ts", str(NOW)).status == 75
    assert host.connections == 0
    assert [(row["status"], row["next_attempt_at"] - NOW) for row in rows(program)] == [("failed", 10)] * 2
