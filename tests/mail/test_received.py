"""What is understood of messages of others, however they are written and wherever they come from."""

import base64
import io
import mailbox
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.mbox import KEPT_BYTES, messages_in
from prx_email_cli.mail.received import MAX_TEXT_CHARACTERS, KnownMessage, known_message, rough_text

from .strangers import letter, mbox

HEAD = b"Message-ID: <a@x>\n"


_PIECES = (
    rb"(?:Message-ID: <a@x>|Content-Type: |Content-Transfer-Encoding: |multipart/mixed; boundary=b|\n?--b|text/html"
    rb"|base64|quoted-printable|=[0-9A-F]{2}|charset=[a-z0-9_-]*|[\r\n]+|<[a-z!]+|&#?x?)*"
)


def understood(data: bytes) -> KnownMessage | None:
    """None for a message with nothing in it; no other error ever."""
    try:
        return known_message(data)
    except ValidationError as error:
        assert error.message == "the message is empty"  # noqa: PT017
        return None


def split(data: bytes) -> list[bytes]:
    return list(messages_in(io.BytesIO(data)))


class TestTheHeaders:
    def test_are_unfolded_found_in_any_case_and_the_first_counts(self) -> None:
        known = known_message(
            b"MESSAGE-id : <a@x>\r\nSubject: one\r\n\ttwo\r\nsubject: no\r\nTo:\r\n a@x,\r\n b@x\r\n\r\ntext"
        )
        assert (known.message_id, known.subject, known.recipients, known.text) == (
            "<a@x>",
            "one two",
            "a@x, b@x",
            "text",
        )

    @pytest.mark.parametrize(
        ("value", "subject"),
        [(b"Gr\xc3\xbc\xc3\x9fe", "Grüße"), (b"Gr\xfc\xdfe", "Grüße"), (b"a\x00b\x1b[1m\x7f", "a b [1m"),
         (b"\xff\x81", "ÿ\ufffd"), (b"\xed\xa0\x80", "í\xa0€"), ("a\u2028b\x85c".encode(), "a b c")],
    )  # fmt: skip
    def test_may_hold_any_bytes(self, value: bytes, subject: str) -> None:
        assert known_message(HEAD + b"Subject: " + value + b"\n\n").subject == subject

    def test_end_at_the_first_blank_line(self) -> None:
        assert not known_message(b"\nMessage-ID: <a@x>\n\n").has_message_id
        assert not known_message(b"Subject: x\n\nMessage-ID: <a@x>\n").has_message_id

    def test_end_with_the_first_line_that_is_no_field(self) -> None:
        known = known_message(HEAD + b"garbage\nSubject: x")
        assert (known.message_id, known.subject, known.text) == ("<a@x>", "", "garbage\nSubject: x")

    @pytest.mark.parametrize(
        ("data", "subject", "text"),
        [
            (b"Hello,\nthe disk is full.\n\nSubject: no\n", "", "Hello,\nthe disk is full.\n\nSubject: no\n"),
            (b"Subject: x\nthe disk: it is full.\nSubject: no\n", "x", "the disk: it is full.\nSubject: no\n"),
            (b"Subject: x\r\n\tand y\r\nHello\r\n\r\nthere", "x and y", "Hello\n\nthere"),
            (b"Subject: x\n:\nHello", "x", ":\nHello"),
            (b"Subject: x\n \n y\n\nHello", "x  y", "Hello"),
            (b" indented\nSubject: no", "", " indented\nSubject: no"),
            (b"Subject: x", "x", ""),
            (b"Note: the disk is full.\n", "", "Note: the disk is full.\n"),
            (b"Note: x\nSubject: y\n\nHello", "y", "Hello"),
            (b">From a Mon\nSubject: x\n>From b Tue\nFrom: a@x.org\n\n>From here", "x", ">From here"),
            (b"Subject: x\n>From here on\nit is text", "x", ">From here on\nit is text"),
            (b"\xef\xbb\xbfSubject: x\n\nHello", "x", "Hello"),
            (b"Subject : x\nX-Empty:\n\n\nHello", "x", "\nHello"),
            (b"Gr\xc3\xbc\xc3\x9fe: a\nb", "", "Gr\u00fc\u00dfe: a\nb"),
            (b"Content-Type: multipart/mixed; boundary=b\n\n--b\nHello\nthere\n--b--", "", "Hello\nthere"),
        ],
    )
    def test_end_where_the_text_begins(self, data: bytes, subject: str, text: str) -> None:
        known = known_message(data)
        assert (known.subject, known.text) == (subject, text)

    @pytest.mark.parametrize("piece", [b"a:\n", b"a", b"a:\n ", b"From x\n", b">From x\na:\n", b"\r", b" ", b"a "])
    def test_of_hostile_lengths_take_time_in_proportion(self, piece: bytes) -> None:
        known_message(b"a:" + piece * 100_000)  # each would take minutes if time grew with the square

    @given(st.binary(max_size=300) | st.from_regex(_PIECES))
    def test_never_raise_anything_else(self, data: bytes) -> None:
        for known in (understood(data), understood(HEAD + data)):
            if known is not None:
                "".join(known).encode()
                assert all(value.isprintable() for value in known[:-1] if value.isascii())


class TestTheText:
    @pytest.mark.parametrize(
        ("headers", "content", "text"),
        [
            ("", "plain\r\n", "plain\n"),
            ("Content-Type: text\n", "odd\n", "odd\n"),
            ("Content-Type: image/png\n", "x", ""),
            ("Content-Type: text/plain; charset=nonsense\n", "café", "café"),
            ("Content-Type: text/plain; charset=idna\n", "café", "café"),
            ("Content-Type: text/plain; charset=us-ascii\n", "café", "café"),
            ("Content-Type: text/plain; charset=utf-7\n", "+2AA- x", "\ufffd x"),
            ("Content-Transfer-Encoding: base64\n", base64.b64encode("größer".encode()).decode()[:-1], "größ"),
            ("Content-Transfer-Encoding: QUOTED-PRINTABLE\n", "gr=C3=B6=\n=C3=9Fer=20", "größer "),
            ("Content-Type: text/html\n", "<p>a &amp; b<br>c", "a & b\nc\n"),
            ("Content-Type: multipart/mixed\n", "--\nx", ""),
        ],
    )  # fmt: skip
    def test_is_decoded(self, headers: str, content: str, text: str) -> None:
        found = known_message(HEAD + headers.encode() + b"\n" + content.encode()).text
        assert found[: len(text)] == text
        assert len(found) <= len(text) + 1

    def test_is_the_plain_one_that_is_no_attachment(self) -> None:
        body = (
            'preamble\n--out\nContent-Type: multipart/alternative; boundary="out-in"\n\n'
            "--out-in\nContent-Type: text/html\n\n<b>no</b>\n"
            "--out-in\nContent-Type: text/plain; charset=latin1\nContent-Transfer-Encoding: quoted-printable\n\n"
            "gr=FC=DF=\ne\n--out-in--\n"
            "--out\nContent-Disposition: attachment\nContent-Type: text/plain\n\nfile\n--out--\n"
        )  # fmt: skip
        assert known_message(letter(body, Content_Type="multipart/mixed; boundary=out")).text == "grüße"

    def test_is_of_bounded_length_also_in_nested_or_endless_parts(self) -> None:
        known = known_message(letter("x" * 1_000_000))
        assert len(known.text) <= MAX_TEXT_CHARACTERS + 10
        nested = "--b\nContent-Type: multipart/mixed; boundary=b\n\n" * 10_000
        assert known_message(letter(nested, Content_Type="multipart/mixed; boundary=b")).text == ""

    @pytest.mark.parametrize(
        ("markup", "text"),
        [
            (
                "<html><head><title>t</title><style>p{}</style></head><body><p>One\n two</p><p>3&lt;4</p></body>",
                "One two\n\n3<4\n",
            ),
            ("<script>if (a<b) x()</script>after<!-- > not --> all", "after all\n"),
            ("<table><td>a</td>&nbsp;<td>b</td><tr><td>c", "a  b\nc\n"),
            ("a < b <b", "a < b\n"),
            ('<a href="https://x.example/?a=1&currency=EUR">pay</a>', "pay <https://x.example/?a=1&currency=EUR>\n"),
            ("<p>AT&T 2024. was", "AT&T 2024. was\n"),
            ("<div>" * 10_000 + "a<p>b &amp; c", "a\nb & c\n"),
            ("", ""),
        ],
    )
    def test_of_html_is_its_words_and_links(self, markup: str, text: str) -> None:
        assert rough_text(markup) == text

    @pytest.mark.parametrize("piece", ["<", "<a", "<!--", "<script", "<script>", "&", "&#", "&nbsp;", "<p ", "\n<br>"])
    def test_of_hostile_html_takes_no_time(self, piece: str) -> None:
        rough_text(piece * 40_000)  # each would take minutes if time grew with the square


class TestAnMbox:
    def test_is_split_and_unquoted(self, tmp_path: Path) -> None:
        texts = ["one\n", "a\n\nFrom here on\nit goes\n", ">From x\n>>From y\n", "", "\n\n\n"]
        box = mailbox.mbox(tmp_path / "m")
        for text in texts:
            box.add(
                letter(
                    text.replace("From here", ">From here")
                    .replace(">From x", ">>From x")
                    .replace(">>From y", ">>>From y")
                )
            )
        box.close()
        found = [known_message(message).text.rstrip("\n") for message in split((tmp_path / "m").read_bytes())]
        assert found == [text.rstrip("\n") for text in texts]

    @pytest.mark.parametrize("end", [b"\n", b"\r\n"])
    @pytest.mark.parametrize("count", [1, 2, 5])
    def test_may_have_either_line_end_and_blank_lines_before(self, end: bytes, count: int) -> None:
        data = b"\n\n" + mbox(*(letter(str(number)) for number in range(count)))
        assert [known_message(one).text.strip() for one in split(data.replace(b"\n", end))] == list(
            map(str, range(count))
        )

    def test_is_split_only_where_a_message_begins(self) -> None:
        lone = letter("a\n\nFrom here on\nit goes\nFrom x Tue nobody\n")
        assert len(split(mbox(lone, lone))) == 2
        assert len(split(b"From a\n" + lone + b"\nFrom b\n" + lone)) == 2  # no date, but a header follows
        assert len(split(mbox(letter("no blank line")).rstrip(b"\n") + b"\n" + mbox(lone))) == 2

    def test_keeps_only_the_beginning_of_a_giant_and_finds_the_next(self) -> None:
        giant = letter("x\n" * KEPT_BYTES * 2)
        found = split(mbox(letter("1"), giant, letter("2")))
        assert [len(message) <= KEPT_BYTES for message in found] == [True] * 3
        assert [message.rstrip(b"\n") for message in (found[0], found[2])] == [letter("1"), letter("2")]

    @settings(max_examples=40)
    @given(st.lists(st.integers(0, 3000), min_size=1, max_size=6), st.integers(1, 5000))
    def test_is_split_alike_however_it_arrives(self, sizes: list[int], step: int) -> None:
        class Trickle(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                return super().read(step)

        messages = [letter("y" * size) for size in sizes]
        assert [one.rstrip(b"\n") for one in messages_in(Trickle(mbox(*messages)))] == [
            m.rstrip(b"\n") for m in messages
        ]

    def test_is_only_what_begins_like_one(self) -> None:
        assert split(b"") == split(b"\n \n") == []
        assert split(letter("a\n\nFrom x Tue Mar  4 10:15:00 2025\nb: c\n")) == [
            letter("a\n\nFrom x Tue Mar  4 10:15:00 2025\nb: c\n")
        ]
