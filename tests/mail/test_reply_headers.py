"""Subjects, threads and recipients of answers: the rules, for whatever a parent looks like."""

import re
from email.headerregistry import Address
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prx_email_cli.config.settings import check_settings
from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.address_grammar import Mailbox
from prx_email_cli.mail.headers import check_header_text
from prx_email_cli.mail.received import KnownMessage, ids_in, known_message, normal_id
from prx_email_cli.mail.reply_headers import mailboxes_in, quoted, reference_chain, reply_subject, reply_to
from prx_email_cli.outbox.relational.received import COLUMNS
from prx_email_cli.submission.reply import Manner, Parent, answer
from prx_email_cli.submission.request import Request

from .letters import prepared
from .strangers import ID, letter, parent

OWN = ["ops@example.com"]
SETTINGS = check_settings(
    {"accounts": {"work": {"from": "Ops <ops@example.com>", "smtp": {"host": "smtp.example.com"}}}}, Path("/x/c.toml")
)
PREFIXES = ["Re: ", "RE:", "re[2]: ", "Re (3): ", "Re^2: ", "Re : ", "AW: ", "Aw:", "SV: ", "Antw: ", "Antwort: ",
            "Odp: ", "回复:", "Re\uff1a", "=?utf-8?q?AW=3A_?="]  # fmt: skip
ids = st.from_regex(r"\A<[a-z0-9.$]{1,60}@[a-z.]{1,20}>\Z")


def test_the_outbox_keeps_a_message_in_the_order_of_its_fields() -> None:
    assert KnownMessage._fields == COLUMNS


class TestTheSubject:
    @given(st.lists(st.sampled_from(PREFIXES), max_size=4))
    def test_has_one_re_whatever_stood_there(self, prefixes: list[str]) -> None:
        assert reply_subject("".join(prefixes) + "Disk full") == "Re: Disk full"

    @pytest.mark.parametrize(
        "subject", ["Rewrite: x", "Fwd: Re: x", "[list] Re: x", "Resolve: y", "AWS: z", "Re x", "R: a"]
    )
    def test_keeps_what_only_looks_like_it(self, subject: str) -> None:
        assert reply_subject(subject) == f"Re: {subject}"

    @pytest.mark.parametrize("subject", ["", "Re:", " re : ", "=?utf-8?q?Re=3A?="])
    def test_of_nothing_is_re(self, subject: str) -> None:
        assert reply_subject(subject) == "Re:"

    @given(st.text() | st.from_regex(r"(?:=\?utf-8\?[qb]\?[=A-F0-9?]*\?= ?|Re: ?)*"))
    def test_is_stable_and_fit_for_a_header(self, subject: str) -> None:
        once = reply_subject(subject)
        assert reply_subject(once) == once
        assert once.startswith("Re:")
        assert not once.lower().startswith("re: re:")
        assert check_header_text(once, "subject") == once

    def test_hides_no_control_character_however_deep(self) -> None:
        assert reply_subject("=?utf-8?q?a=0D=0ABcc=3A_x?=") == "Re: a Bcc: x"
        assert check_header_text(reply_subject("=?utf-8?q?=3D=3Futf-8=3Fq=3F=3D0ABcc=3A=3F=3D?="), "subject")

    def test_of_words_that_split_a_character_is_whole(self) -> None:
        assert reply_subject("=?utf-8?q?Gr=C3?= =?UTF-8?q?=BC=C3=9Fe?= =?latin1?q?_=E4?=") == "Re: Grüße ä"


class TestTheReferences:
    def test_are_the_parents_and_the_parent(self) -> None:
        assert reference_chain(parent(References="<1@x> <2@x>", In_Reply_To="<9@x>")) == ["<1@x>", "<2@x>", ID]

    @pytest.mark.parametrize(
        ("answered", "chain"),
        [("<1@x>", ["<1@x>", ID]), ("<1@x> <2@x>", [ID]), ("Your message of Monday", [ID]), (None, [ID]),
         ("Ann's message <1@x>", ["<1@x>", ID])],
    )  # fmt: skip
    def test_fall_back_to_a_single_in_reply_to(self, answered: str | None, chain: list[str]) -> None:
        assert reference_chain(parent(In_Reply_To=answered)) == chain

    @given(st.lists(ids, max_size=80))
    def test_keep_the_first_and_the_last_within_bounds(self, earlier: list[str]) -> None:
        chain = reference_chain(parent(References="\n ".join(earlier) or None))
        distinct = list(dict.fromkeys(earlier))
        assert chain[-1] == ID
        assert chain[:-1][:1] == distinct[:1]
        assert chain[1:-1] == distinct[1:][len(distinct[1:]) - len(chain[1:-1]) :]
        assert len(chain) <= 20
        assert len(" ".join(chain)) <= 900 + 2
        if len(distinct) <= 8:
            assert len(chain) == len(distinct) + 1

    def test_name_the_parent_once_and_last_though_it_names_itself(self) -> None:
        assert reference_chain(parent(References=f"<1@x> {ID} <1@x>")) == ["<1@x>", ID]

    @given(st.text())
    def test_hold_nothing_but_ids(self, text: str) -> None:
        for one in [*ids_in(text), normal_id(text) or "<x>"]:
            assert re.fullmatch(r"<[!-;=?-~]+>", one)

    def test_take_no_id_out_of_a_comment_or_a_quotation(self) -> None:
        text = '(<1@x> (\\) <2@x>)) "<3@x> \\" <4@x>" <"(5"@x> <6@x> (never closed <7@x>'
        assert ids_in(text) == ['<"(5"@x>', "<6@x>"]
        assert normal_id("(<fake@x>) <real@x>") == "<real@x>"

    def test_take_ids_as_they_are_found(self) -> None:
        assert normal_id(" a@b ") == normal_id("<a@b>") == normal_id("x <a@\n b> (y)") == "<a@b>"
        assert [normal_id(text) for text in ("", "<>", "a b", "<ä@b>", "<a", "<" + "x" * 900 + ">")] == [None] * 6


class TestTheRecipients:
    @pytest.mark.parametrize(
        ("headers", "to"),
        [
            ({}, ["ann@example.net"]),
            ({"Reply_To": "b@x.org, b@X.org"}, ["b@x.org"]),
            ({"Reply_To": "none"}, ["ann@example.net"]),
            ({"From": "OPS@example.com", "To": "c@x.org, ops@example.com"}, ["c@x.org"]),
            ({"From": "ops@example.com", "Reply_To": "d@x.org", "To": "c@x.org"}, ["c@x.org"]),
            ({"From": "ops@example.com", "To": "ops@example.com"}, ["ops@example.com"]),
            ({"From": "ops@example.com", "To": "undisclosed-recipients:;"}, ["ops@example.com"]),
            ({"From": "Bob <b@x.org>\0, c@x.org"}, ["c@x.org"]),
            ({"From": "c@x.org, <b@x\0.org>, b\r@x.org, b@\x7fx.org"}, ["c@x.org"]),
            ({"From": "Bob\t<b@x.org\t>"}, ["b@x.org"]),
        ],
    )
    def test_are_whom_the_parent_asks_to_answer(self, headers: dict[str, str], to: list[str]) -> None:
        assert [mailbox.address for mailbox in reply_to(parent(**headers), OWN).to] == to

    @pytest.mark.parametrize(
        ("text", "mailboxes"),
        [
            ("a@x.org (Ann)", [("Ann", "a@x.org")]),
            ('"Last, \\"F\\"" <a@x.org>', [('Last, "F"', "a@x.org")]),
            ("=?utf-8?q?A=2C_=3Cevil=40x=2Eorg=3E?= <a@x.org>", [("A, <evil@x.org>", "a@x.org")]),
            ("team: a@x.org, B <b@x.org>; c@x.org", [("", "a@x.org"), ("B", "b@x.org"), ("", "c@x.org")]),
            ("<@relay:a@x.org>", [("", "a@x.org")]),
            ("broken <, a@x.org", [("", "a@x.org")]),
            ("a@bücher.example", [("", "a@xn--bcher-kva.example")]),
            ("a@x.org b@x.org, -, , c@@x.org", []),
            ("Bob <b@x.org> (a, x@evil.example, (b))", [("Bob", "b@x.org")]),
            (r"Bob <b@x.org> (a\), x@evil.example, (b)", []),
            ("b@x.org (Bob (work))", [("Bob (work)", "b@x.org")]),
            ("b@x.org, (unclosed, x@evil.example", [("", "b@x.org")]),
            ('b@x.org, "unclosed, x@evil.example', [("", "b@x.org")]),
            ("b@x.org, a@[unclosed, x@evil.example", [("", "b@x.org")]),
            ("b@x.org, a), x@evil.example", [("", "b@x.org")]),
            (r"b@x.org, \"a, x@evil.example", [("", "b@x.org")]),
            ('"x@evil.example" <b@x.org>', [("x@evil.example", "b@x.org")]),
            ("x@evil.example <b@x.org>", []),
            ("B@x.org <b@X.org>", [("", "b@X.org")]),
            ("<a@x.org> <b@x.org>, Bob <b@x.org> x@evil.example", []),
            ("<a@x.org, b@x.org>", []),
            ("=?utf-8?q?x=40evil=2Eexample=2C?= <b@x.org>", [("x@evil.example,", "b@x.org")]),
            ("(x@evil.example,) <b@x.org>", [("", "b@x.org")]),
            ("<(x@evil.example)b@x.org(, x@evil.example)>", [("", "b@x.org")]),
            ("a@x.org; b@x.org", [("", "a@x.org"), ("", "b@x.org")]),
            ("undisclosed-recipients:;, a@x.org", [("", "a@x.org")]),
            ("Re: a@x.org", [("", "a@x.org")]),
            ("one: two: a@x.org;", []),
            ('"a"."b"@x.org', [("", "a.b@x.org")]),
            ('"a b"@x.org', [("", '"a b"@x.org')]),
            ("a@x.org.", []),
            ("a\ufffdb@x.org", []),
        ],
    )
    def test_are_read_however_they_are_written(self, text: str, mailboxes: list[tuple[str, str]]) -> None:
        assert mailboxes_in(text) == [Mailbox(*pair) for pair in mailboxes]

    @given(st.text(st.characters(codec="utf-8"), max_size=30))
    def test_of_a_well_formed_header_come_back_as_written(self, name: str) -> None:
        name = "".join(character for character in name if character.isprintable()).strip()
        if "=?" in name:
            return
        written = str(Address(name, addr_spec="a@example.org"))
        assert mailboxes_in(written) == [Mailbox(" ".join(name.split()), "a@example.org")]

    @given(st.text('abc@.<>"(),:;\\ =?\x00\n', max_size=60))
    def test_of_any_header_are_sound_or_none(self, text: str) -> None:
        for mailbox in mailboxes_in(text):
            assert mailbox.address.count("@") >= 1
            assert check_header_text(mailbox.name, "name") == mailbox.name


def _composed(known: KnownMessage) -> EmailMessage | None:
    """The answer to everybody with a quote as its reader gets it, None when nobody can be answered."""
    account = SETTINGS.account(None)
    try:
        answered = answer(Request(body_text="Fine.\n"), account, Parent(known), Manner(everyone=True, quote=True))
    except ValidationError as error:
        assert error.message == "cannot infer reply recipient from parent sender"  # noqa: PT017
        return None
    content = prepared(answered.request, SETTINGS, 1, answered.reply).content
    message = BytesParser(policy=default).parsebytes(b"".join(content.pieces))
    assert isinstance(message, EmailMessage)
    return message


_VALUES = st.text(st.characters(codec="utf-8"), max_size=40) | st.from_regex(
    r'(?:=\?(?:utf-8|x|latin1)\?[qbQ]\?[=0-9A-D?]*\?=|"|\\|<a@b\.org>|, ?|\n |\r|\0|Bcc: x@y\.z|\n){1,8}'
)


_NAMES = ("From", "Subject", "References", "In_Reply_To", "To", "Cc", "Date")


@given(st.fixed_dictionaries(dict.fromkeys(_NAMES, _VALUES)), st.text(max_size=200))
def test_no_parent_can_put_anything_into_the_answers_headers(headers: dict[str, str], text: str) -> None:
    fields: dict[str, str | None] = dict(headers)
    message = _composed(known_message(b"Reply-To: Ann <ann@example.net>\n" + letter(text, **fields), ID))
    assert message is not None
    expected = {"Date", "From", "To", "Cc", "In-Reply-To", "References", "Subject", "MIME-Version", "Content-Type",
                "Content-Transfer-Encoding"}  # fmt: skip
    assert set(message.keys()) <= expected
    assert len(message.keys()) == len(set(message.keys()))
    assert message["In-Reply-To"] == ID
    content: str = message.get_content()
    assert content.replace("\r\n", "\n").startswith("Fine.\n\n")


def test_a_quote_marks_every_line() -> None:
    lines = quoted(parent("a\r\n\r\n>b\r\nc", From=None, Date="x")).split("\n")
    assert lines == ["somebody wrote:", "> a", ">", ">>b", "> c", ""]
