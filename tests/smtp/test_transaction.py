"""A transaction played without sockets: what it writes next, and what it makes of whatever comes in."""

from __future__ import annotations

import gc
import itertools
import weakref
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prx_email_cli.redaction import forget_all, remember
from prx_email_cli.smtp.content import WRITE_BYTES
from prx_email_cli.smtp.envelope import Fate
from prx_email_cli.smtp.errors import BadReply, ConnectionLost
from prx_email_cli.smtp.replies import Category, Reply, Scope
from prx_email_cli.smtp.steps import After, Read, Write, WriteContent
from prx_email_cli.smtp.transaction import CONTENT_SECONDS, ENVELOPE_SECONDS, Transaction

from .player import ALICE, BOB, GO_ON, GONE, OK, PATIENCE, Played, Script, envelope, play, played, server, unasked

LARGE = (b"x" * 70 + b"\r\n") * 2000
TIMED_OUT = ConnectionLost("no complete answer in time (timeout)", timed_out=True)
SHUTTING_DOWN = Reply(421, "4.3.2 shutting down")


def told(one: Played) -> tuple[Category, Scope] | None:
    """Category and scope of the trouble."""
    trouble = one.result.trouble
    return (trouble.category, trouble.scope) if trouble else None


class TestAMessageThatIsAccepted:
    def test_is_said_command_by_command_without_pipelining(self) -> None:
        one = played(envelope(ALICE, BOB), Script([OK, OK, OK, GO_ON, Reply(250, "2.0.0 queued as 7")]))
        assert one.written == [
            b"MAIL FROM:<ops@example.com>\r\n",
            b"RCPT TO:<alice@example.org>\r\n",
            b"RCPT TO:<bob@example.org>\r\n",
            b"DATA\r\n",
            b"Message-ID: <1@example.com>\r\nSubject: hello\r\n\r\ntext\r\n.\r\n",
        ]
        assert (one.fates, one.after) == ({1: "accepted", 2: "accepted"}, After.KEPT)
        assert (one.result.trouble, one.result.acceptance) == (None, "2.0.0 queued as 7")

    def test_has_a_transcript_of_its_own(self) -> None:
        one = played(envelope(), Script([OK, OK, GO_ON, OK]))
        assert str(one.result.transcript).split("\n") == [
            "C: MAIL FROM:<ops@example.com>", "S: 250 2.0.0 ok", f"C: RCPT TO:<{ALICE}>", "S: 250 2.0.0 ok",
            "C: DATA", "S: 354 go ahead", "-- content sent, 53 bytes", "S: 250 2.0.0 ok",
        ]  # fmt: skip

    def test_travels_in_batches_of_a_hundred_commands_with_pipelining(self) -> None:
        many = [f"r{number}@example.org" for number in range(250)]
        one = played(envelope(*many), Script([*[OK] * 251, GO_ON, OK]), server("pipelining"))
        assert [write.count(b"\r\n") for write in one.written[:-1]] == [100, 100, 52]
        assert set(one.fates.values()) == {"accepted"}
        kinds = [type(step) for step, _ in one.steps]
        assert kinds[:102] == [Write, *[Read] * 100, Write]

    @pytest.mark.parametrize(
        ("extensions", "smtputf8", "parameters"),
        [
            (("size",), False, b" SIZE=53"),
            (("smtputf8", "8bitmime"), True, b" SMTPUTF8 BODY=8BITMIME"),
            (("smtputf8",), True, b" SMTPUTF8"),
            (("smtputf8", "8bitmime"), False, b""),
        ],
    )
    def test_names_in_mail_what_the_server_offers_and_it_needs(
        self, extensions: tuple[str, ...], smtputf8: bool, parameters: bytes
    ) -> None:
        one = played(envelope(smtputf8=smtputf8), Script([OK, OK, GO_ON, OK]), server(*extensions))
        assert one.written[0] == b"MAIL FROM:<ops@example.com>" + parameters + b"\r\n"


class TestAMessageThatTheServerCanNeverTake:
    @pytest.mark.parametrize(
        ("smtputf8", "size", "why"), [(False, 52, "53 bytes"), (True, None, "does not offer SMTPUTF8")]
    )
    def test_is_refused_without_a_word(self, smtputf8: bool, size: int | None, why: str) -> None:
        one = played(envelope(ALICE, BOB, smtputf8=smtputf8), Script([]), server(size=size))
        assert (one.steps, one.fates, one.after) == ([], {1: "refused", 2: "refused"}, After.KEPT)
        assert one.result.trouble is not None
        assert why in one.result.trouble.text

    def test_is_none_that_just_fits(self) -> None:
        assert played(envelope(), Script([OK, OK, GO_ON, OK]), server(size=53)).result.trouble is None


class TestARefusal:
    def test_of_the_sender_is_the_message_s_and_wears_the_connection_out(self) -> None:
        one = played(envelope(ALICE, BOB), Script([Reply(550, "5.7.1 not you"), OK]))
        assert (one.fates, told(one), one.after) == (
            {1: "refused", 2: "refused"}, (Category.PROVIDER, Scope.MESSAGE), After.WORN)  # fmt: skip
        assert one.written[1:] == [b"RSET\r\n"]

    def test_of_one_recipient_leaves_the_others(self) -> None:
        one = played(envelope(ALICE, BOB), Script([OK, Reply(550, "5.1.1 unknown"), OK, GO_ON, OK]))
        assert (one.fates, one.after) == ({1: "refused", 2: "accepted"}, After.KEPT)
        assert one.result.trouble is not None
        assert one.result.trouble.text == f"{ALICE}: 550 5.1.1 unknown"
        assert one.result.trouble.scope is Scope.RECIPIENT

    def test_of_all_recipients_needs_no_data(self) -> None:
        one = played(envelope(ALICE, BOB), Script([OK, Reply(550, "no"), Reply(450, "later"), OK]))
        assert (one.fates, one.written[-1]) == ({1: "refused", 2: "deferred"}, b"RSET\r\n")
        assert str(one.result.trouble and one.result.trouble.text).endswith("550 no (and 1 more recipients)")

    def test_of_the_sender_is_not_followed_by_the_other_batches(self) -> None:
        many = [f"r{number}@example.org" for number in range(250)]
        replies = [Reply(550, "5.7.1 not you"), *[Reply(503, "5.5.1 MAIL first")] * 99, OK]
        one = played(envelope(*many), Script(replies), server("pipelining"))
        assert (one.written[1:], set(one.fates.values())) == ([b"RSET\r\n"], {"refused"})

    @pytest.mark.parametrize(("code", "fate"), [(550, "refused"), (450, "deferred")])
    def test_of_all_recipients_before_an_accepted_data_is_followed_by_an_empty_message(
        self, code: int, fate: str
    ) -> None:
        for answer in (OK, GONE):
            one = played(envelope(), Script([OK, Reply(code, "no"), GO_ON, answer]), server("pipelining"))
            assert (one.written[1:], one.fates, one.result.acceptance) == ([b".\r\n"], {1: fate}, None)

    def test_of_the_sender_before_an_accepted_data_ends_the_connection_without_content(self) -> None:
        one = played(envelope(), Script([Reply(451, "no"), OK, GO_ON]), server("pipelining"))
        assert (len(one.written), one.fates, one.after) == (1, {1: "deferred"}, After.ENDED)

    @pytest.mark.parametrize(("code", "fate"), [(554, "refused"), (451, "deferred")])
    def test_of_data_or_of_the_content_is_everybody_s_who_was_welcome(self, code: int, fate: str) -> None:
        reply = Reply(code, "no")
        for replies in ([OK, OK, Reply(550, "x"), reply, OK], [OK, OK, Reply(550, "x"), GO_ON, reply]):
            assert played(envelope(ALICE, BOB), Script(replies)).fates == {1: fate, 2: "refused"}

    def test_that_speaks_of_the_account_is_told_as_the_account_s(self) -> None:
        one = played(envelope(), Script([OK, Reply(550, "5.4.5 daily limit"), OK]))
        assert (told(one), one.fates) == ((Category.PROVIDER, Scope.ACCOUNT), {1: "deferred"})

    def test_of_rset_ends_the_connection_and_rests_the_account_where_it_speaks_of_it(self) -> None:
        one = played(envelope(), Script([OK, Reply(550, "no"), SHUTTING_DOWN]))
        assert (told(one), one.fates, one.after) == (
            (Category.PROVIDER, Scope.ACCOUNT), {1: "refused"}, After.ENDED)  # fmt: skip

    def test_halfway_through_the_content_is_read_and_counts(self) -> None:
        early = unasked("554 5.7.1 spam", midway=True)
        one = played(envelope(content=[LARGE]), Script([OK, OK, GO_ON, Reply(554, "5.7.1 spam")], {4: early}))
        assert (one.fates, one.after) == ({1: "refused"}, After.ENDED)

    def test_that_was_said_before_the_connection_was_lost_counts_too(self) -> None:
        lost = ConnectionLost("reset")
        one = played(envelope(content=[LARGE]), Script([OK, OK, GO_ON, Reply(552, "5.3.4 too big")], {4: lost}))
        assert (one.fates, one.after) == ({1: "refused"}, After.ENDED)


@pytest.mark.parametrize("place", range(4), ids=["MAIL", "RCPT", "DATA", "the dot"])
def test_421_anywhere_is_the_account_s_and_ends_the_connection(place: int) -> None:
    one = played(envelope(), Script([*[OK, OK, GO_ON][:place], SHUTTING_DOWN]))
    assert (told(one), one.fates, one.after) == (
        (Category.PROVIDER, Scope.ACCOUNT), {1: "deferred"}, After.ENDED)  # fmt: skip


@pytest.mark.parametrize("place", range(4), ids=["before MAIL", "before RCPT", "before DATA", "before the content"])
class TestAWordAheadOfItsTurn:
    def test_is_never_taken_for_the_answer(self, place: int) -> None:
        one = played(envelope(), Script([OK, OK, GO_ON, OK], {place: unasked("250 early")}))
        assert (told(one), one.fates, one.after) == ((Category.PROVIDER, Scope.MESSAGE), {}, After.ENDED)

    def test_that_says_421_is_the_account_s(self, place: int) -> None:
        one = played(envelope(), Script([OK, OK, GO_ON, OK], {place: unasked("421 4.3.2 bye")}))
        assert (told(one), one.fates) == ((Category.PROVIDER, Scope.ACCOUNT), {1: "deferred"})

    def test_leaves_the_message_alone_only_where_nothing_was_said_of_it(self, place: int) -> None:
        for lost in (unasked("421 bye"), unasked("what?"), GONE):
            one = played(envelope(), Script([OK, OK, GO_ON, OK], {place: lost}))
            assert one.result.left_alone == (place == 0)
        assert not played(envelope(), Script([OK], {place: TIMED_OUT})).result.left_alone


class TestTheDot:
    @pytest.mark.parametrize("lost", [GONE, TIMED_OUT, BadReply("not an SMTP reply: 'x'")])
    def test_without_an_answer_leaves_those_uncertain_who_were_welcome(self, lost: ConnectionLost) -> None:
        one = played(envelope(ALICE, BOB), Script([OK, OK, Reply(550, "no"), GO_ON, lost]))
        assert (one.fates, one.after) == ({1: "uncertain", 2: "refused"}, After.ENDED)
        assert "after the final dot" in str(one.result.trouble)

    def test_with_two_answers_leaves_them_uncertain(self) -> None:
        one = played(envelope(), Script([OK, OK, GO_ON, OK], look=unasked("554 no")))
        assert (one.fates, one.result.acceptance) == ({1: "uncertain"}, None)

    @pytest.mark.parametrize("look", [unasked("421 enough"), GONE])
    def test_with_an_answer_and_an_end_has_its_answer(self, look: ConnectionLost) -> None:
        assert played(envelope(), Script([OK, OK, GO_ON, OK], look=look)).fates == {1: "accepted"}

    def test_that_was_not_written_whole_is_not_doubted(self) -> None:
        for lost in (GONE, TIMED_OUT, unasked("250 early")):
            assert "uncertain" not in played(envelope(), Script([OK, OK, GO_ON], {3: lost})).fates.values()

    def test_with_354_for_an_answer_leaves_them_uncertain(self) -> None:
        assert played(envelope(), Script([OK, OK, GO_ON, GO_ON])).fates == {1: "uncertain"}


class TestOurOwnEnd:
    def stopped(self, steps: int) -> Transaction:
        """A transaction that is left after so many steps, the last one under way."""
        transaction = Transaction(envelope(), server(), PATIENCE)
        replies: Iterator[Reply] = iter([OK, OK, GO_ON, OK])
        step = transaction.step(None, 0)
        for _ in range(steps - 1):
            step = transaction.step(next(replies) if isinstance(step, Read) else None, 0)
        return transaction

    def test_before_the_dot_is_nobody_s_doubt(self) -> None:
        result = self.stopped(6).broken_off("interrupted")
        assert (result.recipients, result.trouble) == ({}, None)
        assert str(result.transcript).endswith("C: DATA")

    @pytest.mark.parametrize("steps", [7, 8])
    def test_while_the_dot_is_written_or_its_answer_awaited_is(self, steps: int) -> None:
        result = self.stopped(steps).broken_off("interrupted")
        assert [(one.fate, one.text) for one in result.recipients.values()] == [(Fate.UNCERTAIN, "interrupted")]

    def test_in_reading_the_content_comes_out_and_leaves_nothing_in_doubt(self) -> None:
        def pieces() -> Iterator[bytes]:
            yield LARGE
            raise OSError("the disk has gone")

        message = envelope()._replace(content=pieces())
        transaction = Transaction(message, server(), PATIENCE)
        with pytest.raises(OSError, match="the disk has gone"):
            play(transaction, Script([OK, OK, GO_ON]))
        assert transaction.place == "while the content was sent"
        assert transaction.broken_off("why").recipients == {}


class TestTime:
    def test_the_envelope_and_the_content_have_deadlines_and_the_answer_to_the_dot_its_own_patience(self) -> None:
        clock = itertools.count(1000.0, 10.0)
        one = play(Transaction(envelope(content=[LARGE]), server(), PATIENCE), Script([OK, OK, GO_ON, OK]), clock)
        writes_and_reads = [step for step, _ in one.steps if isinstance(step, Write | WriteContent | Read)]
        assert {step.until for step in writes_and_reads[:6]} == {1000 + ENVELOPE_SECONDS}
        (content,) = {step.until for step in writes_and_reads[6:-1]}
        assert content is not None
        assert content > 1060 + CONTENT_SECONDS
        last = writes_and_reads[-1]
        assert last == Read(PATIENCE.final_reply, None)

    def test_each_reply_is_waited_for_as_long_as_the_account_says(self) -> None:
        one = played(envelope(), Script([OK, Reply(550, "no"), OK]))
        assert {step.seconds for step, _ in one.steps if isinstance(step, Read)} == {PATIENCE.reply}


REPLIES = st.builds(
    Reply,
    st.one_of(st.sampled_from([250, 354, 421, 450, 550]), st.integers(200, 599)),
    st.sampled_from(["", "2.0.0 ok", "5.1.1 no", "4.7.0 later", "5.4.5 daily limit", "SubmissionQuotaExceeded"]),
)
LOSSES = st.one_of(
    st.sampled_from([GONE, TIMED_OUT, BadReply("not an SMTP reply: 'x'")]),
    st.builds(unasked, st.sampled_from(["250 x", "421 x", "554 x", "x", "4"]), midway=st.booleans()),
)
MOSTLY_WELL = st.one_of(st.just(OK), st.just(OK), st.just(GO_ON), REPLIES, LOSSES)
PATHS = st.lists(MOSTLY_WELL, max_size=12) | st.tuples(
    st.lists(st.sampled_from([OK, Reply(550, "no"), Reply(450, "later")]), min_size=1, max_size=6), MOSTLY_WELL,
    st.lists(MOSTLY_WELL, max_size=3),
).map(lambda parts: [*parts[0], GO_ON, parts[1], *parts[2]])  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(
    st.integers(1, 5),
    PATHS,
    st.dictionaries(st.integers(0, 8), LOSSES, max_size=1),
    st.none() | LOSSES,
    st.sampled_from([(), ("pipelining",), ("pipelining", "size")]),
    st.sampled_from([(b"Subject: x\r\n\r\n.\r\n",), (LARGE, b"end")]),
)
def test_whatever_comes_in_there_is_a_result_that_claims_no_more_than_was_heard(
    count: int,
    replies: list[Reply | ConnectionLost],
    writes: dict[int, ConnectionLost],
    look: ConnectionLost | None,
    extensions: tuple[str, ...],
    content: tuple[bytes, ...],
) -> None:
    message = envelope(*(f"r{number}@example.org" for number in range(1, count + 1)), content=content)
    one = played(message, Script(replies, writes, look), server(*extensions))
    commands = b"".join(step.data for step, _ in one.steps if isinstance(step, Write)).decode().split("\r\n")[:-1]
    heard = [reply for step, reply in one.steps if isinstance(step, Read)]
    answers = dict(zip([command for command in commands if command != "RSET"], heard, strict=False))

    def positive(command: str) -> bool:
        reply = answers.get(command)
        return isinstance(reply, Reply) and reply.positive

    brought = [brought for step, brought in one.steps if isinstance(step, WriteContent)]
    dot_is_out = bool(brought) and one.content[-1].endswith(b"\r\n.\r\n") and brought[-1] is None
    final = heard[-1] if heard else None
    for number, fate in one.fates.items():
        welcome = positive(f"RCPT TO:<r{number}@example.org>")
        if fate == "accepted":
            assert welcome
            assert dot_is_out
            assert isinstance(final, Reply)
            assert final.positive
        elif fate == "uncertain":
            assert welcome
            assert dot_is_out
        elif fate == "refused":
            assert one.result.recipients[number].code in range(500, 600)
    if one.content:
        assert isinstance(answers["DATA"], Reply)
        assert answers["DATA"].code == 354
    assert (one.result.acceptance is not None) == ("accepted" in one.fates.values())
    assert (one.result.trouble is None) == (set(one.fates.values()) == {"accepted"} and len(one.fates) == count)
    assert set(one.fates) <= set(range(1, count + 1))
    assert all(len(write) <= WRITE_BYTES + 5 for write in one.written)


@pytest.mark.parametrize(("short_by", "fate"), [(53, None), (3, None), (2, "uncertain"), (1, "uncertain")])
def test_a_write_that_broke_is_doubted_once_the_dot_itself_may_have_left(short_by: int, fate: str | None) -> None:
    whole = len(b"Message-ID: <1@example.com>\r\nSubject: hello\r\n\r\ntext\r\n.\r\n")
    for lost in (ConnectionLost("reset"), ConnectionLost("timeout", timed_out=True), unasked("250 early")):
        lost.sent = whole - short_by
        one = played(envelope(), Script([OK, OK, GO_ON], {3: lost}))
        assert one.fates == ({} if fate is None else {1: fate})


def test_a_transaction_that_is_over_needs_no_garbage_collection() -> None:
    transaction = Transaction(envelope(), server(), PATIENCE)
    play(transaction, Script([OK, OK, GO_ON, OK]))
    gone = weakref.ref(transaction)
    gc.disable()
    try:
        del transaction
        assert gone() is None
    finally:
        gc.enable()


def test_what_was_said_is_shown_without_secrets_and_bounded() -> None:
    remember("correct horse battery")
    try:
        replies = [
            Reply(250, "hello correct horse battery"),
            Reply(250, "x" * 5000),
            GO_ON,
            Reply(250, "y\nbattery st"),
        ]
        result = played(envelope(), Script(replies), server("pipelining")).result
    finally:
        shown = str(result.transcript).split("\n")
        forget_all()
    assert shown[:4] == ["C: MAIL FROM:<ops@example.com>", f"C: RCPT TO:<{ALICE}>", "C: DATA", "S: 250 hello ***"]
    assert shown[4:] == [f"S: 250 {'x' * 1000}", "S: 354 go ahead", "-- content sent, 53 bytes", "S: 250 y *** st"]
    assert result.acceptance == "y\n*** st"
