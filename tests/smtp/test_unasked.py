"""A reply that comes ahead of its command is not its answer, wherever in the dialogue."""

from __future__ import annotations

from typing import Any

import pytest

from prx_email_cli.outbox.lifecycle import Outcome
from prx_email_cli.smtp.failure import SessionFailed
from prx_email_cli.smtp.replies import Reply

from ..support.certs import Certificates
from ..support.faults import UNBUFFERABLE, Fault
from ..support.scripted import ScriptedServer
from ..support.step_server import PATIENCE_SECONDS, StepServer, Talk
from .courier import PASSWORD, USER, account_for, hand_over, message_to, open_session, session_with

LINE = b"x" * 76 + b"\r\n"
BLOCK = LINE * 1000
each_tls = pytest.mark.parametrize("tls", ["none", "starttls", "implicit"])
each_pipelining = pytest.mark.parametrize("pipelining", [True, False], ids=["pipelining", "one by one"])


def handed_over(
    certificates: Certificates, tls: str, *faults: Fault, pipelining: bool = True, large: bool = False
) -> tuple[Outcome, bool, ScriptedServer]:
    """What came of one message, whether its connection may be used again, and the server."""
    options: dict[str, Any] = {} if tls == "none" else {"tls": tls, "context": certificates.server_context()}
    trust: dict[str, Any] = {} if tls == "none" else {"tls_ca_file": certificates.ca_file}
    blocks = UNBUFFERABLE // len(BLOCK) if large else 0
    message = message_to("a@example.org", size=(blocks + 1) * len(BLOCK)) if large else None
    with ScriptedServer(faults, pipelining=pipelining, **options) as server:
        patience = {"timeout_seconds": PATIENCE_SECONDS, "data_timeout_seconds": PATIENCE_SECONDS}
        with session_with(server.port, tls=tls, **trust, **patience) as session:
            outcome = hand_over(session, message, [BLOCK] * blocks)
            alive = session.alive
        assert server.happened[0].fault == faults[0]
        return outcome, alive, server


@each_tls
@each_pipelining
@pytest.mark.parametrize("early", ["250 2.0.0 early", "354 go on", "221 bye", "554 5.7.1 no", "nonsense", "4"])
class TestAReplyAheadOfTheContent:
    def test_is_not_taken_for_the_answer_to_the_dot(
        self, early: str, pipelining: bool, tls: str, certificates: Certificates
    ) -> None:
        faults = [Fault("data", f"354 go ahead\r\n{early}"), Fault("after_dot", "554 5.7.1 refused", delivered=True)]
        outcome, alive, server = handed_over(certificates, tls, *faults, pipelining=pipelining)
        assert (outcome.error, outcome.uncertain, outcome.acceptance) == ("provider", False, None)
        assert {result.status for result in outcome.recipients.values()} <= {"pending"}
        assert "before it was asked" in str(outcome.detail)
        assert not alive
        assert server.messages == []


@each_tls
@pytest.mark.parametrize("early", ["250 2.0.0 early", "354 go on", "221 bye"])
def test_an_acceptance_halfway_through_the_content_keeps_the_dot_from_being_sent(
    early: str, tls: str, certificates: Certificates
) -> None:
    fault = Fault("during_data", early, after_bytes=50_000)
    outcome, alive, server = handed_over(certificates, tls, fault, large=True)
    assert (outcome.error, outcome.uncertain, outcome.acceptance, alive) == ("provider", False, None, False)
    assert server.messages == []


@each_tls
@pytest.mark.parametrize(("early", "status"), [("554 5.7.1 spam", "refused"), ("452 4.3.1 disk full", "pending")])
def test_a_refusal_halfway_through_the_content_is_a_refusal(
    early: str, status: str, tls: str, certificates: Certificates
) -> None:
    fault = Fault("during_data", early, after_bytes=50_000)
    outcome, alive, _ = handed_over(certificates, tls, fault, large=True)
    assert (outcome.code, outcome.uncertain, alive) == (int(early[:3]), False, False)
    assert [result.status for result in outcome.recipients.values()] == [status]


@each_tls
@pytest.mark.parametrize(
    "answers", ["250 ok\r\n554 5.7.1 no", "554 5.7.1 no\r\n250 ok", "250 ok\r\n250 ok", "451 a\r\n?"]
)
def test_two_answers_to_the_dot_leave_it_uncertain(answers: str, tls: str, certificates: Certificates) -> None:
    outcome, alive, _ = handed_over(certificates, tls, Fault("after_dot", answers))
    assert (outcome.error, outcome.uncertain, outcome.acceptance, alive) == ("provider", True, None, False)
    assert "two answers to one message" in str(outcome.detail)


@each_tls
def test_a_server_that_accepts_and_then_wants_to_close_has_accepted(tls: str, certificates: Certificates) -> None:
    outcome, _, _ = handed_over(certificates, tls, Fault("after_dot", "250 2.0.0 ok\r\n421 4.4.2 enough"))
    assert (outcome.error, outcome.uncertain, outcome.acceptance) == (None, False, "2.0.0 ok")


@each_pipelining
@pytest.mark.parametrize("place", ["mail", "rcpt"])
@pytest.mark.parametrize("extra", ["250 more", "354 go", "550 no"])
def test_one_reply_too_many_in_the_envelope_never_leads_to_an_acceptance(
    place: Any, extra: str, pipelining: bool, certificates: Certificates
) -> None:
    outcome, alive, server = handed_over(
        certificates, "none", Fault(place, f"250 ok\r\n{extra}"), pipelining=pipelining
    )
    assert outcome.error == "provider"
    assert (outcome.acceptance, alive) == (None, False)
    # A 354 too many that comes well before the right one looks like it: then the dot is said, and nobody can tell.
    assert not outcome.uncertain or (pipelining and extra == "354 go")
    assert server.messages == [] or outcome.uncertain


@each_tls
def test_what_tls_itself_has_to_say_is_no_reply(tls: str, certificates: Certificates) -> None:
    """Session tickets come when they like, and many messages travel over one connection."""
    options: dict[str, Any] = {} if tls == "none" else {"tls": tls, "context": certificates.server_context()}
    trust: dict[str, Any] = {} if tls == "none" else {"tls_ca_file": certificates.ca_file}
    if tls != "none":
        options["context"].num_tickets = 5
    with ScriptedServer(**options) as server, session_with(server.port, tls=tls, **trust) as session:
        for _ in range(3):
            assert session.usable()
            assert hand_over(session).error is None
    assert len(server.messages) == 3


class TestTheOpening:
    @pytest.mark.parametrize(
        ("place", "reply", "said"),
        [
            ("greeting", "220 hi\r\n250 early", []),
            ("ehlo", "250-hi\r\n250 AUTH PLAIN\r\n235 welcome", ["EHLO"]),
        ],
    )
    def test_goes_no_further(self, place: Any, reply: str, said: list[str]) -> None:
        with ScriptedServer([Fault(place, reply)], auth={USER: PASSWORD}) as server:
            with pytest.raises(SessionFailed, match="before it was asked") as failed:
                open_session(account_for(server.port, password=PASSWORD))
            assert [command.line.split()[0].upper() for command in server.commands] == said
        assert failed.value.category == "provider"

    def test_with_a_challenge_and_its_verdict_at_once_never_tells_the_password(self) -> None:
        def speak(talk: Talk) -> None:
            talk.say("220 step.test")
            talk.line()
            talk.say("250-step.test", "250 AUTH LOGIN")
            talk.line()
            talk.say("334 VXNlcm5hbWU6", "334 UGFzc3dvcmQ6", "235 welcome")

        with StepServer(speak) as server:
            with pytest.raises(SessionFailed, match="before it was asked"):
                open_session(account_for(server.port, password=PASSWORD))
        assert [line.split()[0].upper() for line in server.heard[0]] == [b"EHLO", b"AUTH"]

    def test_with_421_after_ehlo_is_a_refused_session(self) -> None:
        with ScriptedServer([Fault("ehlo", "250-hi\r\n250 AUTH PLAIN\r\n421 4.3.2 busy")], auth={}) as server:
            with pytest.raises(SessionFailed, match=r"421 4\.3\.2 busy") as failed:
                open_session(account_for(server.port, password=PASSWORD))
        assert (failed.value.category, failed.value.reply) == ("provider", Reply(421, "4.3.2 busy"))

    def test_with_words_in_clear_after_starttls_is_over(self, certificates: Certificates) -> None:
        context = certificates.server_context()
        with ScriptedServer([Fault("starttls", "220 go\r\n250 AUTH PLAIN")], tls="starttls", context=context) as server:
            with pytest.raises(SessionFailed) as failed:
                open_session(account_for(server.port, tls="starttls", tls_ca_file=certificates.ca_file))
            assert not any(command.over_tls for command in server.commands)
        assert failed.value.category in ("provider", "network")
