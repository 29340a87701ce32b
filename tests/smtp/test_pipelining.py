"""The envelope of the next message leaves with the content of the one before, and neither's replies are the other's."""

from __future__ import annotations

import itertools
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from functools import partial

import pytest

from prx_email_cli.smtp.channel import Channel
from prx_email_cli.smtp.commands import out_of_step
from prx_email_cli.smtp.envelope import RecipientResult
from prx_email_cli.smtp.pipeline import Waiting
from prx_email_cli.smtp.replies import Category, Scope
from prx_email_cli.smtp.server import ServerProfile
from prx_email_cli.smtp.session import Ended
from prx_email_cli.smtp.transaction import JOINED_CONTENT_BYTES

from ..support.certs import Certificates
from ..support.scripted import ScriptedServer
from ..support.step_server import PATIENCE_SECONDS, Talk
from .convoy import (
    ENVELOPE_OK,
    GO_ON,
    MAIL_OK,
    RCPT_OK,
    TEXT,
    Cargo,
    convoy,
    envelope,
    first_and_next_envelope,
    next_event,
    sent_over,
    session_to,
    transactions,
)
from .courier import session_with

KEPT = "250 2.0.0 kept"
over_tls_too = pytest.mark.parametrize("tls", [False, True], ids=["in clear", "tls"])
Recorded = list[bytes]


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """What each write to a socket was given, of transactions."""
    recorded: Recorded = []
    send = Channel.send

    def sends(channel: Channel, data: memoryview) -> int:
        recorded.append(bytes(data))
        return send(channel, data)

    monkeypatch.setattr(Channel, "send", sends)
    return recorded


def finish(talk: Talk) -> None:
    """Take one message's content, keep it, and wait for the end."""
    talk.content()
    talk.say(KEPT)
    talk.line()


class TestOneRoundTripForAMessage:
    @over_tls_too
    def test_nothing_of_the_next_envelope_waits_for_the_answer_to_the_dot(
        self, tls: bool, certificates: Certificates, writes: Recorded
    ) -> None:
        def speak(talk: Talk) -> None:
            first_and_next_envelope(talk)
            talk.say(KEPT, *ENVELOPE_OK)
            talk.content()
            envelope(talk)
            talk.say(KEPT, *ENVELOPE_OK)
            finish(talk)

        arrived = convoy(speak, Cargo(), Cargo(), Cargo(), certificates=certificates if tls else None)
        assert (arrived.fates, arrived.alive) == ([["accepted"]] * 3, True)
        verbs = [line.split(b" ")[0].strip().upper()[:11] for line in arrived.lines[:-1]]
        assert verbs == [b"EHLO", *[b"MAIL", b"RCPT", b"DATA", b"MESSAGE-ID:"] * 3]
        assert [write.count(b"\r\n.\r\n") + write.count(b"MAIL") for write in writes] == [1, 2, 2, 1, 0]

    def test_the_end_of_a_message_does_not_wait_for_the_next_one_s_replies(self) -> None:
        ended = threading.Event()

        def speak(talk: Talk) -> None:
            first_and_next_envelope(talk)
            talk.say(KEPT)
            assert ended.wait(PATIENCE_SECONDS)
            talk.say(*ENVELOPE_OK)
            finish(talk)

        with session_to(speak) as (session, _):
            first, second = transactions(session, [Cargo(), Cargo()])
            session.start(first, iter([second, None]).__next__)
            event = next_event(session)
            assert (event.transaction, event.result.acceptance, session.busy) == (first, "2.0.0 kept", True)
            assert session.usable()
            ended.set()
            event = next_event(session)
            assert (event.transaction, event.result.acceptance, session.busy) == (second, "2.0.0 kept", False)

    def test_the_replies_may_be_split_at_every_byte(self) -> None:
        replies = "".join(f"{reply}\r\n" for reply in (KEPT, *ENVELOPE_OK)).encode()

        def speak(cut: int, talk: Talk) -> None:
            first_and_next_envelope(talk)
            talk.sock.sendall(replies[:cut])
            talk.wait_until_arrived()
            talk.sock.sendall(replies[cut:])
            finish(talk)

        for cut in range(1, len(replies)):
            assert convoy(partial(speak, cut)).fates == [["accepted"], ["accepted"]]

    def test_what_the_first_message_is_answered_is_not_the_second_one_s(self) -> None:
        def speak(talk: Talk) -> None:
            first_and_next_envelope(talk)
            talk.say("554 5.7.1 spam", *ENVELOPE_OK)
            finish(talk)

        assert convoy(speak).fates == [["refused"], ["accepted"]]

    @over_tls_too
    def test_an_envelope_that_does_not_fit_behind_the_content_leaves_as_the_server_reads(
        self, tls: bool, certificates: Certificates
    ) -> None:
        many = [f"{'r' * 60}{number}@{'d' * 60}.{'d' * 60}.{'d' * 60}.example.org" for number in range(98)]

        def speak(talk: Talk) -> None:
            talk.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            envelope(talk)
            talk.say(*ENVELOPE_OK)
            talk.content()
            envelope(talk)
            talk.say(KEPT, MAIL_OK, *[RCPT_OK] * len(many), GO_ON)
            finish(talk)

        with session_to(speak, certificates if tls else None) as (session, _):
            assert session.wire.sock is not None
            session.wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            results = sent_over(session, [Cargo(content=TEXT + b"x\r\n" * 15_000), Cargo(many)])
        assert [result.acceptance for result in results] == ["2.0.0 kept"] * 2
        assert len(results[1].recipients) == len(many)

    def test_replies_to_the_part_of_an_envelope_that_has_left_are_not_ahead_of_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def speak(talk: Talk) -> None:
            envelope(talk)
            talk.say(*ENVELOPE_OK)
            talk.content()
            talk.line()
            talk.say(KEPT, MAIL_OK)
            talk.wait_until_arrived()
            answered.set()
            talk.line()
            talk.line()
            talk.say(RCPT_OK, GO_ON)
            finish(talk)

        def hold_back(channel: Channel, data: memoryview) -> int:
            """Take what follows the second MAIL only after that is answered."""
            rest = bytes(data).find(b"RCPT TO:<b@")
            if rest < 0 or answered.is_set():
                return send(channel, data)
            return send(channel, data[:rest]) if rest else 0

        answered, send = threading.Event(), Channel.send
        monkeypatch.setattr(Channel, "send", hold_back)
        arrived = convoy(speak, Cargo(), Cargo(["b@example.org"]))
        assert arrived.fates == [["accepted"], ["accepted"]]


class TestWhatGoesAlone:
    def sent(self, writes: Recorded, *cargo: Cargo, pipelining: bool = True, most: int | None = None) -> list[int]:
        """How many results of each kind, and whether content and a next envelope ever left in one write."""
        with ScriptedServer(pipelining=pipelining) as server:
            options = {} if most is None else {"messages_per_connection": most}
            with session_with(server.port, **options) as session:
                results = sent_over(session, cargo)
            assert server.violations == []
        joined = sum(b"\r\n.\r\nMAIL" in write for write in writes)
        return [len(results), sum(result.acceptance is not None for result in results), joined]

    def test_is_content_over_a_mebibyte(self, writes: Recorded) -> None:
        line = b"x" * 62 + b"\r\n"
        large, fits = line * (JOINED_CONTENT_BYTES // 64), line * (JOINED_CONTENT_BYTES // 64 - 1)
        assert self.sent(writes, Cargo(content=large), Cargo()) == [2, 2, 0]
        assert self.sent(writes, Cargo(content=fits), Cargo()) == [2, 2, 1]

    def test_is_the_last_message_of_a_connection(self, writes: Recorded) -> None:
        assert self.sent(writes, *[Cargo()] * 5, most=3) == [3, 3, 2]

    def test_is_everything_where_pipelining_is_not_offered(self, writes: Recorded) -> None:
        assert self.sent(writes, *[Cargo()] * 3, pipelining=False) == [3, 3, 0]

    def test_is_an_envelope_of_more_commands_than_go_in_one_write(self, writes: Recorded) -> None:
        many = [f"r{number}@example.org" for number in range(99)]
        assert self.sent(writes, Cargo(), Cargo(many), Cargo()) == [3, 3, 1]
        assert self.sent(writes, Cargo(), Cargo(many[1:]), Cargo()) == [3, 3, 3]

    def test_is_a_message_that_the_server_can_never_take(self, writes: Recorded) -> None:
        assert self.sent(writes, Cargo(), Cargo(["ä@example.org"], smtputf8=True), Cargo()) == [3, 2, 0]


class TestARefusalOfTheNextEnvelope:
    def refused(self, *replies: str, then: tuple[str, ...] = ("250 forgotten",)) -> tuple[list[object], list[bytes]]:
        """The fates, two recipients in the second message, whose envelope gets *replies*, and what was heard last."""

        def speak(talk: Talk) -> None:
            first_and_next_envelope(talk)
            talk.say(KEPT, *replies)
            if GO_ON in replies:
                (talk.content if RCPT_OK in replies else talk.line)()
                talk.say(KEPT)
                talk.line()
                return
            talk.line()
            talk.say(*then)
            talk.line()

        arrived = convoy(speak, Cargo(), Cargo(["a@example.org", "b@example.org"]))
        return list(arrived.fates), arrived.lines

    def test_of_the_sender(self) -> None:
        fates, lines = self.refused("550 5.7.1 not you", "503 no", "503 no", "503 no")
        assert (fates, lines[-2:]) == ([["accepted"], ["refused", "refused"]], [b"RSET\r\n", b"QUIT\r\n"])

    def test_of_one_recipient(self) -> None:
        assert self.refused(MAIL_OK, "550 unknown", RCPT_OK, GO_ON)[0] == [["accepted"], ["refused", "accepted"]]

    def test_of_all_recipients(self) -> None:
        fates, lines = self.refused(MAIL_OK, "550 unknown", "450 busy", "554 no recipients")
        assert (fates, lines[-2:]) == ([["accepted"], ["refused", "deferred"]], [b"RSET\r\n", b"QUIT\r\n"])

    def test_of_all_recipients_before_an_accepted_data(self) -> None:
        fates, lines = self.refused(MAIL_OK, "550 unknown", "450 busy", GO_ON)
        assert (fates, lines[-2:]) == ([["accepted"], ["refused", "deferred"]], [b".\r\n", b"QUIT\r\n"])

    def test_of_data(self) -> None:
        fates, lines = self.refused(MAIL_OK, RCPT_OK, RCPT_OK, "451 later")
        assert (fates, lines[-2:]) == ([["accepted"], ["deferred", "deferred"]], [b"RSET\r\n", b"QUIT\r\n"])

    @pytest.mark.parametrize("then", ["503 5.5.1 what?", "354 go", "421 bye", "nonsense"])
    def test_that_a_reset_does_not_confirm_does_not_count(self, then: str) -> None:
        """The reply to RSET shows whether those before were in step."""
        replies = ("550 5.7.1 not you", "503 no", "503 no", "503 no")
        assert self.refused(*replies, then=(then,))[0] == [["accepted"], "left alone"]


def hang_up(talk: Talk) -> None:
    """End the connection after all that was said."""
    talk.sock.shutdown(socket.SHUT_RDWR)


def reset(talk: Talk) -> None:
    """Break the connection, after all that was said has arrived."""
    talk.wait_until_arrived()
    talk.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    talk.sock.close()


def say_421(talk: Talk) -> None:
    """Say that the server closes, and close."""
    talk.say("421 4.3.2 shutting down")
    hang_up(talk)


def talk_nonsense(talk: Talk) -> None:
    """Say what is no reply."""
    talk.say("what?")


POINTS = [(), (MAIL_OK,), (MAIL_OK, RCPT_OK), ENVELOPE_OK]
each_end = pytest.mark.parametrize("end", [hang_up, reset, say_421, talk_nonsense])


class TestALostConnection:
    @each_end
    @pytest.mark.parametrize("said", POINTS[:3], ids=["before MAIL", "before RCPT", "before DATA"])
    @pytest.mark.parametrize("at_once", [True, False], ids=["at once", "later"])
    def test_after_the_answer_to_the_dot_leaves_the_next_message_alone(
        self, said: tuple[str, ...], end: Callable[[Talk], None], at_once: bool
    ) -> None:
        def speak(talk: Talk) -> None:
            first_and_next_envelope(talk)
            talk.say(KEPT)
            if not at_once:
                assert ended.wait(PATIENCE_SECONDS)
            talk.say(*said)
            end(talk)

        ended = threading.Event()
        with session_to(speak) as (session, _):
            first, second = transactions(session, [Cargo(), Cargo()])
            session.start(first, iter([second, None]).__next__)
            results = [next_event(session).result]
            ended.set()
            results.append(next_event(session).result)
            assert (session.alive, session.busy, session.served) == (False, False, 1)
        assert (results[1].left_alone, results[1].recipients, results[1].acceptance) == (True, {}, None)
        # Nonsense that comes as early as an answer is one too many for it.
        assert results[0].acceptance == "2.0.0 kept" or (at_once and end is talk_nonsense)

    @pytest.mark.parametrize("end", [hang_up, reset, talk_nonsense])
    def test_before_the_answer_to_the_dot_is_the_first_message_s_doubt_and_not_the_next_one_s(
        self, end: Callable[[Talk], None]
    ) -> None:
        def speak(talk: Talk) -> None:
            first_and_next_envelope(talk)
            end(talk)

        arrived = convoy(speak)
        assert (arrived.fates, arrived.alive) == ([["uncertain"], "left alone"], False)

    @pytest.mark.parametrize("behind", [(), ENVELOPE_OK], ids=["alone", "and consent to the next envelope"])
    def test_by_421_to_the_dot_leaves_the_next_message_alone(self, behind: tuple[str, ...]) -> None:
        def speak(talk: Talk) -> None:
            first_and_next_envelope(talk)
            talk.say("421 4.3.2 shutting down", *behind)
            hang_up(talk)

        arrived = convoy(speak)
        assert arrived.fates == [["deferred"], "left alone"]
        assert arrived.results[0].trouble is not None
        assert arrived.results[0].trouble.scope is Scope.ACCOUNT

    @pytest.mark.parametrize("early", ["250 2.0.0 early", "421 bye", "554 no", "nonsense"])
    def test_by_a_word_ahead_of_the_next_content_leaves_it_alone(self, early: str) -> None:
        def speak(talk: Talk) -> None:
            first_and_next_envelope(talk)
            talk.say(KEPT)
            assert ended.wait(PATIENCE_SECONDS)
            talk.say(*ENVELOPE_OK, early)

        ended = threading.Event()
        with session_to(speak) as (session, server):
            first, second = transactions(session, [Cargo(), Cargo()])
            session.start(first, iter([second, None]).__next__)
            assert next_event(session).result.acceptance == "2.0.0 kept"
            ended.set()
            assert next_event(session).result.left_alone
        assert server.heard[0][-1] == b"DATA\r\n"

    @pytest.mark.parametrize("end", [hang_up, reset, talk_nonsense])
    def test_after_the_next_message_s_dot_is_that_one_s_doubt(self, end: Callable[[Talk], None]) -> None:
        def speak(talk: Talk) -> None:
            first_and_next_envelope(talk)
            talk.say(KEPT, *ENVELOPE_OK)
            talk.content()
            end(talk)

        assert convoy(speak).fates == [["accepted"], ["uncertain"]]

    def test_by_silence_leaves_the_next_message_alone(self) -> None:
        def speak(talk: Talk) -> None:
            first_and_next_envelope(talk)
            all_sent.set()
            over.wait(PATIENCE_SECONDS)

        all_sent, over = threading.Event(), threading.Event()
        with session_to(speak) as (session, _):
            first, second = transactions(session, [Cargo(), Cargo()])
            session.start(first, iter([second, None]).__next__)
            while not all_sent.is_set():
                assert isinstance(session.go_on(1000.0), Waiting)
            events = [session.go_on(1000.0 + PATIENCE_SECONDS) for _ in range(2)]
            over.set()
        (doubted, left_alone) = [event.result for event in events if isinstance(event, Ended)]
        assert [one.fate for one in doubted.recipients.values()] == ["uncertain"]
        assert (left_alone.left_alone, session.alive) == (True, False)
        assert left_alone.trouble is not None
        assert left_alone.trouble.text == "the connection ended with the message before this one"


class TestCounting:
    """A reply too many, or too few, shifts all that follow it."""

    def fates(self, *replies: str) -> list[object]:
        def speak(talk: Talk) -> None:
            first_and_next_envelope(talk)
            talk.say(*replies)
            finish(talk)

        return list(convoy(speak).fates)

    @pytest.mark.parametrize(
        "first",
        [(KEPT, "554 no"), ("554 no", KEPT), (KEPT, KEPT), (KEPT, GO_ON), (KEPT, "221 bye"), (KEPT, "what?")],
        ids=lambda pair: " ".join(reply[:3] for reply in pair),
    )
    def test_two_answers_to_one_dot_prove_nothing_and_the_next_message_is_left_alone(
        self, first: tuple[str, str]
    ) -> None:
        assert self.fates(*first, *ENVELOPE_OK) == [["uncertain"], "left alone"]

    def test_an_answer_too_few_is_not_made_up_for_by_the_next_envelope_s(self) -> None:
        assert self.fates(*ENVELOPE_OK) == [["uncertain"], "left alone"]

    @pytest.mark.parametrize("late", ["554 no", KEPT, GO_ON, "221 bye"])
    def test_a_second_answer_that_comes_late_never_decides_about_the_next_message(self, late: str) -> None:
        def speak(talk: Talk) -> None:
            first_and_next_envelope(talk)
            talk.say(KEPT)
            assert ended.wait(PATIENCE_SECONDS)
            talk.say(late)
            for reply in ENVELOPE_OK:
                talk.say(reply)
            talk.line()

        ended = threading.Event()
        with session_to(speak) as (session, server):
            first, second = transactions(session, [Cargo(), Cargo()])
            session.start(first, iter([second, None]).__next__)
            assert next_event(session).result.acceptance == "2.0.0 kept"
            ended.set()
            result = next_event(session).result
        assert (result.left_alone, result.recipients, session.alive) == (True, {}, False)
        assert not any(b"<2@example.com>" in line for line in server.heard[0])

    def test_what_was_in_step_is_never_taken_for_a_shift(self) -> None:
        for refused in itertools.product((False, True), repeat=4):
            good = [250, 250, 250, 354]
            codes = [code if yes else 550 for code, yes in zip(good, refused, strict=True)]
            assert not any(out_of_step(codes[:come], 4) for come in range(5))
            assert not out_of_step([*codes, 421], 4)

    @pytest.mark.parametrize(
        "codes", [[354], [250, 354], [0], [25], [150], [250, 250, 250, 250], [250] * 3 + [354, 250]]
    )
    def test_what_cannot_be_in_step_is_noticed(self, codes: list[int]) -> None:
        assert out_of_step(codes, 4)


class TestBeforeTheDot:
    def test_it_is_told_what_would_stand_if_no_answer_came(self) -> None:
        def speak(talk: Talk) -> None:
            envelope(talk)
            talk.say(MAIL_OK, "550 5.1.1 unknown", RCPT_OK, GO_ON)
            talk.content()
            heard.append("content")
            talk.say(KEPT)
            talk.line()

        def note(results: Mapping[int, RecipientResult]) -> None:
            heard.append([(number, one.fate.value, one.code) for number, one in sorted(results.items())])

        heard: list[object] = []
        arrived = convoy(speak, Cargo(["a@example.org", "b@example.org"], about_to_end=note))
        assert arrived.fates == [["refused", "accepted"]]
        assert heard == [[(0, "refused", 550), (1, "uncertain", None)], "content"]

    @pytest.mark.parametrize("behind", [False, True], ids=["alone", "behind another"])
    @pytest.mark.parametrize("size", [1, 3000], ids=["small", "in several pieces"])
    def test_what_cannot_be_noted_is_not_sent_whole(self, size: int, behind: bool) -> None:
        def speak(talk: Talk) -> None:
            if behind:
                first_and_next_envelope(talk)
                talk.say(KEPT, *ENVELOPE_OK)
            else:
                envelope(talk)
                talk.say(*ENVELOPE_OK)
            talk.content()

        def note(_: Mapping[int, RecipientResult]) -> None:
            raise OSError(28, "No space left on device")

        cargo = Cargo(content=(b"x" * 76 + b"\r\n") * size, about_to_end=note)
        arrived = convoy(speak, *[Cargo()] * behind, cargo, Cargo())
        assert (len(arrived.results), arrived.alive) == (1 + behind, False)
        result = arrived.results[-1]
        assert (result.recipients, result.left_alone) == ({}, False)
        assert result.trouble is not None
        assert (result.trouble.category, result.trouble.permanent) == (Category.STORAGE, False)
        assert "could not note" in result.trouble.text
        assert "No space left" in result.trouble.text
        assert arrived.lines[-1] == b"DATA\r\n"


class TestOurOwnEnd:
    def test_leaves_the_message_behind_alone(self) -> None:
        def speak(talk: Talk) -> None:
            first_and_next_envelope(talk)
            all_sent.set()
            talk.line()

        all_sent = threading.Event()
        with session_to(speak) as (session, _):
            first, second = transactions(session, [Cargo(), Cargo()])
            session.start(first, iter([second, None]).__next__)
            while not all_sent.is_set():
                assert isinstance(session.go_on(0.0), Waiting)
            session.abandon()
            event = next_event(session)
            assert (event.transaction, event.result.left_alone, session.busy) == (second, True, False)
        assert [one.fate for one in first.broken_off("interrupted").recipients.values()] == ["uncertain"]


class TestAWriteThatBreaks:
    """The content is one write with the next envelope; the kernel takes some of it, and then the connection is lost."""

    WHOLE = len(b"Message-ID: <1@example.com>\r\n" + TEXT + b".\r\n")

    def fates(self, taken: int, monkeypatch: pytest.MonkeyPatch, certificates: Certificates | None) -> list[object]:
        def take_some(channel: Channel, data: memoryview) -> int:
            if b"Message-ID: " not in bytes(data[:12]):
                return send(channel, data) if left[0] == taken else _lose(channel, data)
            left[0] = 0
            return send(channel, data[:taken]) if taken else _lose(channel, data)

        def _lose(channel: Channel, data: memoryview) -> int:
            channel.sock.shutdown(socket.SHUT_RDWR)
            return send(channel, data)

        left, send = [taken], Channel.send
        monkeypatch.setattr(Channel, "send", take_some)

        def speak(talk: Talk) -> None:
            envelope(talk)
            talk.say(*ENVELOPE_OK)
            talk.content()

        return list(convoy(speak, certificates=certificates).fates)

    @pytest.mark.parametrize("short_by", [WHOLE, WHOLE - 1, 4, 3])
    def test_before_the_dot_is_certain(self, short_by: int, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.fates(self.WHOLE - short_by, monkeypatch, None) == [[], "left alone"]

    @pytest.mark.parametrize("short_by", [2, 1])
    def test_after_the_dot_is_in_doubt(self, short_by: int, monkeypatch: pytest.MonkeyPatch) -> None:
        assert self.fates(self.WHOLE - short_by, monkeypatch, None) == [["uncertain"], "left alone"]

    @pytest.mark.parametrize("taken", [0, 5])
    def test_of_a_tls_record_with_the_dot_in_it_is_in_doubt(
        self, taken: int, monkeypatch: pytest.MonkeyPatch, certificates: Certificates
    ) -> None:
        assert self.fates(taken, monkeypatch, certificates) == [["uncertain"], "left alone"]


class TestServersThatBreak:
    """Dovecot's submission service aborts at an envelope behind a content, and the message before is in doubt."""

    @pytest.mark.parametrize(
        ("greeting", "extension", "joins"),
        [("ESMTP", "8BITMIME", True), ("Dovecot (Debian) ready.", "8BITMIME", False), ("ready", "BURL imap", False)],
    )
    def test_are_known_by_their_greeting_or_burl(self, greeting: str, extension: str, joins: bool) -> None:
        profile = ServerProfile()
        profile.greeting = greeting
        profile.extensions = {extension.split()[0].lower(): ""}
        assert profile.breaks_on_joined_envelopes is not joins

    def test_get_one_message_after_the_other_as_does_one_whose_account_says_so(self, writes: Recorded) -> None:
        def speak(talk: Talk) -> None:
            for _ in range(2):
                envelope(talk)
                talk.say(*ENVELOPE_OK)
                talk.content()
                talk.say(KEPT)
            finish(talk)

        assert convoy(speak, join_envelopes=False).fates == [["accepted"]] * 2
        assert any(one.endswith(b"\r\n.\r\n") for one in writes)
        assert not any(b"\r\n.\r\nMAIL" in one for one in writes)
