"""``edit``: a wrong address, account or time is corrected, and what arrives is the corrected mail."""

from __future__ import annotations

import email
from email.policy import default
from typing import Any

import pytest

from ..conftest import Answer, Program
from ..support.faults import Fault
from ..support.mailhost import MailHost
from ..support.scripted import ScriptedServer
from .outside import NOW, serving
from .test_selection import ids, words_of

WRONG, RIGHT = "bob@exmaple.org", "bob@example.org"


@pytest.fixture
def refusing(program: Program) -> Any:
    """A server that knows no such user, with a message for one and for another that has received it."""
    with serving(program, Fault("rcpt", "550 5.1.1 no such user", address=WRONG)) as server:
        program.send(
            "--cc", "c@example.org", "--bcc", "hidden@example.org", to=f"Bob Builder <{WRONG}>", subject="Hello"
        )
        assert program.run("drain").status == 69
        yield server


def arrived(server: ScriptedServer | MailHost) -> Any:
    """The headers of the message that arrived last."""
    return email.message_from_bytes(server.messages[-1].content, policy=default)


@pytest.mark.on_both
def test_a_wrong_address_is_corrected_and_only_its_owner_gets_the_mail(program: Program, refusing: Any) -> None:
    answer = program.run("edit", "1", "--replace", f"{WRONG}={RIGHT}", "--retry", "--now-ts", str(NOW))
    assert (answer.status, answer.out, answer.err) == (0, "1 sent\n", "")
    assert refusing.messages[-1].recipients == [RIGHT]
    mail = arrived(refusing)
    assert (mail["To"], mail["Cc"], mail["Bcc"]) == (f"Bob Builder <{RIGHT}>", "c@example.org", None)
    assert "hidden" not in str(mail)
    row = program.show(1)
    assert (row["status"], row["to"]) == ("sent", [RIGHT])
    did = row["actions"][0]
    assert (did["what"], did["detail"]) == ("edited", f"{WRONG} is {RIGHT}")
    assert "@" in did["who"]
    assert "edited" in program.run("show", "1").out


def test_without_retry_a_given_up_message_waits_for_one(program: Program, refusing: Any) -> None:
    answer = program.run("edit", "1", "--replace", f"{WRONG}={RIGHT}", "--json")
    assert (answer.status, answer.data) == (0, [{"outbox_id": 1, "error": None}])
    assert program.run("drain", "--now-ts", str(NOW)).status == 0
    assert program.show(1)["gave_up"] == "refused"
    assert program.run("retry", "1", "--now-ts", str(NOW)).status == 0
    assert refusing.messages[-1].recipients == [RIGHT]


def test_a_whole_cause_is_corrected_with_one_command(program: Program) -> None:
    with serving(program, Fault("rcpt", "550 5.1.1 no such user", address=WRONG)) as server:
        for number in range(3):
            program.send(to=WRONG, subject=f"s{number}")
        assert program.run("drain").status == 69
        words = ["edit", "--cause", "1", "--replace", f"{WRONG}={RIGHT}", "--retry", "--now-ts", str(NOW)]
        assert program.run(*words).status == 2
        answer = program.run(*words, "--yes")
        assert (answer.status, answer.out) == (0, "3 sent\n")
        assert [message.recipients for message in server.messages] == [[RIGHT]] * 3


def test_what_a_recipient_has_received_cannot_be_changed(program: Program, refusing: Any) -> None:
    answer = program.run("edit", "1", "--replace", "c@example.org=d@example.org", "--retry")
    assert (answer.status, "c@example.org has received it" in answer.err) == (65, True)
    assert program.show(1)["actions"] == []


def test_a_message_that_may_have_been_accepted_is_resolved_first(program: Program) -> None:
    with ScriptedServer([Fault("after_dot", "close", delivered=True)]) as server:
        program.configure(server.port)
        program.send(to=WRONG)
        assert program.run("drain").status == 75
    refused = program.run("edit", "1", "--replace", f"{WRONG}={RIGHT}", "--json")
    assert (refused.status, "resolve 1 --not-sent" in refused.json["error"]["hint"]) == (65, True)
    assert program.run("resolve", "1", "--not-sent").status == 0
    assert program.run("edit", "1", "--replace", f"{WRONG}={RIGHT}").status == 0


def test_a_message_that_is_sent_is_refused(program: Program, host: MailHost) -> None:
    program.send("--now", to=WRONG)
    answer = program.run("edit", "1", "--replace", f"{WRONG}={RIGHT}")
    assert (answer.status, "outbox message 1 is sent and cannot be edited" in answer.err) == (65, True)


class TestAnotherAccount:
    def configure(self, program: Program, port: int) -> None:
        other = '[accounts.other]\nfrom = "Other <other@example.net>"\n[accounts.other.smtp]\nhost = "localhost"\n'
        whole = f'default_account = "work"\n{program.config.read_text()}{other}port = {port}\ntls = "none"\n'
        program.config.write_text(whole)

    def test_delivers_what_the_broken_one_could_not(self, program: Program, host: MailHost) -> None:
        program.configure(9)
        self.configure(program, host.port)
        for _ in range(3):
            program.send()
        assert program.run("drain").status == 75
        answer = program.run("edit", "--only-account", "work", "--account", "other", "--retry")
        assert (answer.status, answer.out) == (0, "3 sent\n")
        assert {message.mail_from for message in host.messages} == {"other@example.net"}
        assert arrived(host)["From"] == "Other <other@example.net>"
        assert ids(program, "--account", "other") == [3, 2, 1]

    def test_must_be_in_the_config(self, program: Program) -> None:
        program.send()
        answer = program.run("edit", "1", "--account", "nobody")
        assert (answer.status, program.show(1)["account"]) == (78, "work")


def test_another_sender_is_in_envelope_and_header(program: Program, host: MailHost) -> None:
    program.send()
    assert program.run("edit", "1", "--from", "Boss <boss@example.com>").status == 0
    assert program.run("drain").status == 0
    assert (host.messages[0].mail_from, arrived(host)["From"]) == ("boss@example.com", "Boss <boss@example.com>")


def test_another_time_and_expiry(program: Program) -> None:
    program.send("--now-ts", str(NOW))
    answer = program.run("edit", "1", "--at", "2031-01-01T00:00:00+00:00", "--expires-in", "500d", "--now-ts", str(NOW))
    assert (answer.status, answer.out) == (0, "1 edited\n")
    assert program.show(1)["next_attempt_at"] == 1_924_992_000
    refused = program.run("edit", "1", "--expires-in", "1d", "--now-ts", str(NOW))
    assert (refused.status, "would expire before it is due" in refused.err) == (65, True)
    assert program.run("edit", "1", "--at", "2001-01-01", "--now-ts", str(NOW)).status == 65


def test_the_message_that_would_be_sent_is_shown_by_export(program: Program) -> None:
    program.send("--bcc", "hidden@example.org", to=WRONG)
    assert program.run("edit", "1", "--replace", f"{WRONG}=Grüße <{RIGHT}>").status == 0
    mail = email.message_from_string(program.run("export", "1").out, policy=default)
    assert (mail["To"], mail["Bcc"]) == (f"Grüße <{RIGHT}>", None)


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        ([], 2, "give what to change: --replace"),
        (["--replace", "x"], 65, "--replace"),
        (["--replace", f"{WRONG}={RIGHT}\r\nBcc: e@example.org"], 65, "control character"),
        (["--replace", f"{WRONG}={RIGHT}", "--replace", f"{WRONG}=x@example.org"], 65, "replaced twice"),
        (["--replace", f"x@example.org={RIGHT}"], 65, "it has no recipient x@example.org"),
        (["--from", "nobody"], 65, "--from"),
        (["--at", "2031-01-01", "--retry"], 2, "only one of --at and --retry"),
        (["--expires-in", "soon"], 65, "--expires-in"),
    ],
)
def test_what_cannot_be_meant_is_refused_and_changes_nothing(
    program: Program, options: list[str], status: int, said: str
) -> None:
    program.send(to=WRONG)
    before = program.run("export", "1").out
    answer = program.run("edit", "1", *options)
    assert (answer.status, said in words_of(answer)) == (status, True), answer
    assert (program.run("export", "1").out, program.show(1)["actions"]) == (before, [])


class TestASelection:
    def test_is_edited_where_it_fits_and_the_rest_is_told(self, program: Program) -> None:
        for to in (WRONG, "a@example.org", WRONG):
            program.send(to=to)
        answer: Answer = program.run("edit", "--all", "--replace", f"{WRONG}={RIGHT}")
        assert (answer.status, answer.out) == (65, "2 edited\n")
        assert "1 refused: outbox message … was not edited: it has no recipient" in answer.err
        assert program.run("edit", "--to", "bob", "--replace", f"{RIGHT}=x@example.org", "--dry-run").status == 0
        assert ids(program, "--to", "x@example.org") == []
        assert program.run("edit", "--only-from", "ops@*", "--to", RIGHT, "--from", "x@example.com").out == "2 edited\n"

    def test_that_is_retried_tells_of_each(self, program: Program, host: MailHost) -> None:
        for to in (WRONG, "a@example.org"):
            program.send("--in", "2h", to=to)
        answer = program.run("edit", "1", "2", "--replace", f"{WRONG}={RIGHT}", "--retry", "--json")
        assert (answer.status, [one["outbox_id"] for one in answer.data]) == (65, [1, 2])
        assert [one["error"] is None for one in answer.data] == [True, False]
        assert (len(host.messages), program.show(1)["status"], program.show(2)["status"]) == (1, "sent", "pending")
