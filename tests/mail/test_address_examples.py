"""Every address header of RFC 5322 appendix A, and how comments, quotes and groups are told from addresses."""

from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.address_grammar import Mailbox
from prx_email_cli.mail.addresses import parse_mailboxes, understood_mailboxes

JOHN, MARY = ("John Doe", "jdoe@machine.example"), ("Mary Smith", "mary@example.net")
PERSONAL = ("Mary Smith: Personal Account", "smith@home.example")
CURRENT = [
    # A.1.1
    ("John Doe <jdoe@machine.example>", [JOHN]),
    ("Mary Smith <mary@example.net>", [MARY]),
    ("Michael Jones <mjones@machine.example>", [("Michael Jones", "mjones@machine.example")]),
    # A.1.2
    ('"Joe Q. Public" <john.q.public@example.com>', [("Joe Q. Public", "john.q.public@example.com")]),
    (
        "Mary Smith <mary@x.test>, jdoe@example.org, Who? <one@y.test>",
        [("Mary Smith", "mary@x.test"), ("", "jdoe@example.org"), ("Who?", "one@y.test")],
    ),
    (
        '<boss@nil.test>, "Giant; \\"Big\\" Box" <sysservices@example.net>',
        [("", "boss@nil.test"), ('Giant; "Big" Box', "sysservices@example.net")],
    ),
    # A.1.3
    ("Pete <pete@silly.example>", [("Pete", "pete@silly.example")]),
    (
        "A Group:Ed Jones <c@a.test>,joe@where.test,John <jdoe@one.test>;",
        [("Ed Jones", "c@a.test"), ("", "joe@where.test"), ("John", "jdoe@one.test")],
    ),
    ("Undisclosed recipients:;", []),
    # A.2
    ('"Mary Smith: Personal Account" <smith@home.example>', [PERSONAL]),
    # A.3
    (
        "Mary Smith <mary@example.net>, Jane Brown <j-brown@other.example>",
        [MARY, ("Jane Brown", "j-brown@other.example")],
    ),
    # A.5
    (r"Pete(A nice \) chap) <pete(his account)@silly.test(his host)>", [("Pete", "pete@silly.test")]),
    (
        "A Group(Some people)      :Chris Jones <c@(Chris's host.)public.example>,          joe@example.org,"
        "   John <jdoe@one.test> (my dear friend); (the end of the group)",
        [("Chris Jones", "c@public.example"), ("", "joe@example.org"), ("John", "jdoe@one.test")],
    ),
    ("(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;", []),
    # A.6.1, the one line that is not obsolete but for a dot that everybody writes
    ("Joe Q. Public <john.q.public@example.com>", [("Joe Q. Public", "john.q.public@example.com")]),
]
OBSOLETE = [
    # A.6.1
    (
        "Mary Smith <@node.test:mary@example.net>, , jdoe@test  . example",
        [MARY, ("", "jdoe@test.example")],
    ),
    # A.6.3
    ("John Doe <jdoe@machine(comment).  example>", [JOHN]),
    ("Mary Smith             <mary@example.net>", [MARY]),
]


def pairs(mailboxes: list[Mailbox]) -> list[tuple[str, str]]:
    return [(mailbox.name, mailbox.address) for mailbox in mailboxes]


@pytest.mark.parametrize(("text", "expected"), CURRENT)
def test_every_example_of_the_standard_is_understood_by_whomever_it_is_written(
    text: str, expected: list[tuple[str, str]]
) -> None:
    assert pairs(parse_mailboxes([text], "to")) == expected
    assert pairs(understood_mailboxes(text)) == expected


@pytest.mark.parametrize(("text", "expected"), OBSOLETE)
def test_the_obsolete_ones_are_understood_in_strangers_mail(text: str, expected: list[tuple[str, str]]) -> None:
    assert pairs(understood_mailboxes(text)) == expected


@pytest.mark.parametrize("text", [text for text, _ in OBSOLETE[:2]])
def test_nobody_may_type_them(text: str) -> None:
    with pytest.raises(ValidationError):
        parse_mailboxes([text], "to")


_INNER = st.recursive(
    st.text('ab@,;:<>."[ ', max_size=8) | st.sampled_from([r"\(", r"\)", r"\\", r"\"", "x@evil.example,"]),
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: "(" + "".join(parts) + ")"),
    max_leaves=6,
)
_COMMENT = _INNER.map("({})".format)
_SPACE = st.lists(_COMMENT | st.just(" "), max_size=3).map("".join)
_LOCAL = st.sampled_from(["a", "b.c", '"d, e@f"', r'"g\"h <i@j>"', "k+l"])
_DOMAIN = st.sampled_from(["x.example", "y.test", "[127.0.0.1]"])
_PHRASE = st.sampled_from(["Ann", "Ann Lee", '"Lee, Ann <x@evil.example>"', "=?utf-8?q?a=2C_x=40evil=2Eexample?=", ""])


@st.composite
def _mailboxes(draw: st.DrawFn) -> tuple[str, str]:
    """A mailbox with comments wherever they may stand, and its address."""
    local, domain = draw(_LOCAL), draw(_DOMAIN)
    spec = f"{draw(_SPACE)}{local}{draw(_SPACE)}@{draw(_SPACE)}{domain}{draw(_SPACE)}"
    if draw(st.booleans()):
        spec = f"{draw(_SPACE)}{draw(_PHRASE)}{draw(_SPACE)}<{spec}>{draw(_SPACE)}"
    return spec, f"{local}@{domain}"


@st.composite
def _lists(draw: st.DrawFn) -> tuple[str, list[str]]:
    """Mailboxes and groups of them."""
    texts, addresses = [], []
    for grouped in draw(st.lists(st.booleans(), min_size=1, max_size=3)):
        members = draw(st.lists(_mailboxes(), min_size=not grouped, max_size=3))
        text = ",".join(text for text, _ in members)
        texts.append(f"{draw(_SPACE)}Group{draw(_SPACE)}:{text};{draw(_SPACE)}" if grouped else text)
        addresses += [address for _, address in members]
    return ",".join(texts), addresses


@settings(max_examples=60)
@given(_lists())
def test_a_comment_changes_no_address_wherever_it_stands(case: tuple[str, list[str]]) -> None:
    text, addresses = case
    assert [mailbox.address for mailbox in understood_mailboxes(text)] == addresses
    assert [mailbox.address for mailbox in parse_mailboxes([text], "to")] == addresses


_PIECES = st.sampled_from([*'"\\<>@,;:()[]. ', "a", "b", "x.org", "a@x.org", "b@y.org", "Ann", "(c)", '"q"', "\\)"])


@given(st.lists(_PIECES, max_size=14).map("".join))
def test_whatever_is_understood_a_strict_reader_understands_too(text: str) -> None:
    """Each address by itself, written as RFC 5322 has it, is one for Python's parser; and it stood in the text."""
    for mailbox in understood_mailboxes(text):
        message = BytesParser(policy=default).parsebytes(f"To: <{mailbox.address}>\r\n\r\n".encode())
        assert isinstance(message, EmailMessage)
        # Python writes an empty local part without its quotes; it has read it all the same.
        assert [found.addr_spec for found in message["To"].addresses] == [mailbox.address.removeprefix('""')]
        assert message["To"].defects == ()


@given(st.lists(_PIECES, max_size=14).map("".join))
def test_what_a_person_may_type_strangers_may_write(text: str) -> None:
    try:
        typed = parse_mailboxes([text], "to")
    except ValidationError:
        return
    assert understood_mailboxes(text.strip(" ")) == typed


@pytest.mark.parametrize("unit", ['"', "\\", "<", "a ", "a@", "a@b,", "(", "()", ")", '"a" ', "x<y@z>", '"\\', ".", "[",
                                  "[]", "a:", ";", "<@a", "<@a,", "a<", ">", "(\\", "\"\"<", "=?", "@", ":<",
                                  "a:;", "a@b (c)", "a:b;;"])  # fmt: skip
def test_hostile_headers_take_time_in_proportion_to_their_length(unit: str) -> None:
    for text in (unit * 10_000, "a " * 10_000 + "<" + unit * 10_000):
        understood_mailboxes(text)  # each would take minutes if time grew with the square
