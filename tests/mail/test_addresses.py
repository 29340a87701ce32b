"""What is an address, and what only looks like one."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.address_grammar import Mailbox
from prx_email_cli.mail.addresses import parse_mailbox, parse_mailboxes, without_repeats

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

AWKWARD = st.text("\"\\<>@,;:()[]. -='?!\r\n\t\0\x7f\x85\u2028\u00a0\u3000aZ0é日\ud800", max_size=12)
LOCAL = st.text("abcXYZ019!#$%&'*+/=?^_`{|}~-é日", min_size=1, max_size=8)
DOMAIN = st.sampled_from(["example.org", "localhost", "[127.0.0.1]", "[IPv6:::1]", "bücher.example", "a-b.c.d"])
ADDRESS = st.builds("{}@{}".format, LOCAL, DOMAIN)
TEXTS = st.one_of(
    AWKWARD,
    st.builds("{}@{}".format, AWKWARD, DOMAIN),
    st.builds("{}@{}".format, LOCAL, AWKWARD),
    st.builds("{}<{}>{}".format, AWKWARD, ADDRESS, AWKWARD),
    st.builds('"{}"@{}'.format, AWKWARD, DOMAIN),
    st.builds("{}{}{}".format, ADDRESS, AWKWARD, ADDRESS),
)


def addresses(*texts: str) -> list[str]:
    return [mailbox.address for mailbox in parse_mailboxes(texts, "to")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a@example.org", [Mailbox("", "a@example.org")]),
        ("  a@example.org  ", [Mailbox("", "a@example.org")]),
        ("<a@example.org>", [Mailbox("", "a@example.org")]),
        ("Ann Lee <a@example.org>", [Mailbox("Ann Lee", "a@example.org")]),
        ("Ann Lee<a@example.org>", [Mailbox("Ann Lee", "a@example.org")]),
        ('"Lee, Ann" <a@example.org>', [Mailbox("Lee, Ann", "a@example.org")]),
        (r'"a \"quoted\" \\ name" <a@example.org>', [Mailbox('a "quoted" \\ name', "a@example.org")]),
        ("Jürgen Groß <j@example.org>", [Mailbox("Jürgen Groß", "j@example.org")]),
        ("O'Neil (ops) <o@example.org>", [Mailbox("O'Neil", "o@example.org")]),
        ('A "B" C. <a@x.org>', [Mailbox("A B C.", "a@x.org")]),
        ("a@x.org (Bob)", [Mailbox("Bob", "a@x.org")]),
        ("b@x.org (Bob (work))", [Mailbox("Bob (work)", "b@x.org")]),
        ("Bob <b@x.org> (a, x@evil.example, (b))", [Mailbox("Bob", "b@x.org")]),
        (
            "friends: a@x.org, B <b@x.org>;, c@x.org",
            [Mailbox("", "a@x.org"), Mailbox("B", "b@x.org"), Mailbox("", "c@x.org")],
        ),
        ("a@x.org, B <b@y.org>,c@z.org", [Mailbox("", "a@x.org"), Mailbox("B", "b@y.org"), Mailbox("", "c@z.org")]),
        ("o'brien+tag/x=y@example.org", [Mailbox("", "o'brien+tag/x=y@example.org")]),
        ("a@localhost", [Mailbox("", "a@localhost")]),
        ("a@[127.0.0.1]", [Mailbox("", "a@[127.0.0.1]")]),
        ("a@[IPv6:2001:db8::1]", [Mailbox("", "a@[IPv6:2001:db8::1]")]),
        ("-dash@example.org", [Mailbox("", "-dash@example.org")]),
        ('"very unusual"@example.org', [Mailbox("", '"very unusual"@example.org')]),
        ('"a@b"@example.org', [Mailbox("", '"a@b"@example.org')]),
        ("用户@example.org", [Mailbox("", "用户@example.org")]),
        ("a" * 64 + "@example.org", [Mailbox("", "a" * 64 + "@example.org")]),
    ],
)
def test_these_are_addresses(text: str, expected: list[Mailbox]) -> None:
    assert parse_mailboxes([text], "to") == expected


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "@example.org",
        "a@",
        "a@@example.org",
        "a@b@example.org",
        "a b@example.org",
        "a@exa mple.org",
        ".a@example.org",
        "a.@example.org",
        "a..b@example.org",
        "a@.example.org",
        "a@example..org",
        "a@example.org.",
        "a@-example.org",
        "a@example-.org",
        "a@ex_ample.org",
        "a@" + "x" * 64 + ".org",
        "a@192.168.0.1",
        "a@[300.1.1.1]",
        "a@[IPv6:nonsense]",
        "a@[]",
        "a@example.org>",
        "<a@example.org",
        "<>",
        "Ann <a@example.org> trailing",
        "Lee, Ann <a@example.org>",
        "a@x.org,,b@y.org",
        "a@x.org,",
        ",a@x.org",
        "a@x.org;b@y.org",
        "a@x.org b@y.org",
        "a@x.org (unclosed",
        "a@x.org )",
        "a@x.org (b), (c",
        "<a@x.org> <b@x.org>",
        "<a@x.org, b@x.org>",
        "a@x.org <b@x.org>",
        "a@x.org <a@x.org>",
        "<@relay.example:a@x.org>",
        "a . b@x.org",
        '"a".b@x.org',
        "a@x .org",
        "friends: a@x.org",
        "friends: a@x.org,;",
        "friends: a@x.org; b@x.org",
        "one: two: a@x.org;;",
        ": a@x.org;",
        "a@[127.0.0.1",
        "\ufffd@x.org",
        "a" * 65 + "@example.org",
        "a@" + ".".join(["x" * 60] * 5),
        "a@xn--\u0080.org",
        "a@bü\u2060cher..example",
    ],
)
def test_these_are_not_and_the_error_says_what_and_how(text: str) -> None:
    with pytest.raises(ValidationError) as refused:
        parse_mailboxes([text], "cc")
    assert refused.value.message.startswith("cc")
    assert refused.value.exit_code == 65


@pytest.mark.parametrize(
    "control", ["\r", "\n", "\r\n", "\0", "\t", "\x0b", "\x1b", "\x7f", "\x85", "\u2028", "\ud800"]
)
@pytest.mark.parametrize("pattern", ["a@x.org{}", "{}a@x.org", "a{}b@x.org", "N{} <a@x.org>", '"N{}" <a@x.org>',
                                     '"a{}b"@x.org', "a@x{}.org", "<a@x.org{}>", "a@x.org,{}b@x.org"])  # fmt: skip
def test_a_control_character_anywhere_is_refused(pattern: str, control: str) -> None:
    with pytest.raises(ValidationError, match="control character"):
        parse_mailboxes([pattern.format(control)], "to")


@pytest.mark.parametrize("charset", ["hex", "zlib", "idna", "undefined", "punycode", "rot13", "unknown"])
def test_a_charset_that_is_none_fails_nothing_and_hides_nothing(charset: str) -> None:
    assert addresses(f'"=?{charset}?q?=FFa?=" <a@x.org>') == ["a@x.org"]
    with pytest.raises(ValidationError, match="hides a control character"):
        addresses(f'"=?{charset}?q?a=0Ab?=" <a@x.org>')


@pytest.mark.parametrize(
    "word",
    ["=?utf-8?b?a?= =?utf-8?q?=0A?=", "=?utf-8?q?a=0D=0ABcc:_x?=", "=?UTF-8?B?YQ0KQmNjOiB4?=", "=?latin-1?Q?=0A?="],
)
def test_a_control_character_hidden_in_an_encoded_word_is_refused(word: str) -> None:
    with pytest.raises(ValidationError, match="hides a control character"):
        parse_mailboxes([f'"{word}" <a@example.org>'], "to")


@settings(max_examples=400, deadline=None)
@given(TEXTS)
@example("a@x.org>\r\nRCPT TO:<b@y.org")
@example('"\r\n"@example.org')
def test_what_is_accepted_is_fit_for_an_smtp_command(text: str) -> None:
    try:
        mailboxes = parse_mailboxes([text], "to")
    except ValidationError:
        return
    for name, address in ((mailbox.name, mailbox.address) for mailbox in mailboxes):
        local, _, domain = address.rpartition("@")
        assert not CONTROL.search(name + address)
        assert re.search(r"[\s<>]", domain) is None
        assert re.search(r"[\s<>]", local) is None or re.fullmatch(r'"(?:[^"\\]|\\.)*"', local)
        assert domain.isascii()
        assert len(address.encode()) <= 254


@settings(max_examples=300, deadline=None)
@given(TEXTS)
def test_what_is_accepted_reads_back_as_itself(text: str) -> None:
    try:
        mailboxes = parse_mailboxes([text], "to")
    except ValidationError:
        return
    for mailbox in mailboxes:
        assert parse_mailbox(mailbox.address, "to") == Mailbox("", mailbox.address)


@settings(max_examples=200, deadline=None)
@given(st.lists(ADDRESS, min_size=1, max_size=5))
def test_a_list_is_its_parts_however_it_is_cut(parts: list[str]) -> None:
    assert addresses(", ".join(parts)) == addresses(*parts) == addresses(",".join(parts))


@pytest.mark.parametrize(
    ("domain", "punycode"),
    [
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("straße.example", "xn--strae-oqa.example"),
        ("a.bücher。example", "a.xn--bcher-kva.example"),
    ],
)
def test_a_domain_in_any_script_becomes_punycode(domain: str, punycode: str) -> None:
    assert addresses(f"user@{domain}") == [f"user@{punycode}"]


def test_exactly_one_address_is_asked_for_where_one_is_meant() -> None:
    with pytest.raises(ValidationError, match="from must be exactly one address, not 2"):
        parse_mailbox("a@x.org, b@x.org", "from")
    with pytest.raises(ValidationError, match="from must be exactly one address, not 0"):
        parse_mailbox("", "from")


def test_an_address_named_twice_is_kept_once_where_it_stood_first() -> None:
    mailboxes = parse_mailboxes(["A <a@x.org>, b@x.org, Again <a@x.org>"], "to")
    assert without_repeats(mailboxes) == [Mailbox("A", "a@x.org"), Mailbox("", "b@x.org")]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ops@Example.Com", "ops@example.com", True),
        ("ops@example.com", "OPS@example.com", False),
        ("a@BÜCHER.example", "a@xn--bcher-kva.example", True),
        ("a@XN--BCHER-KVA.example", "a@bücher.example", True),
        ('"ops"@example.com', "ops@example.com", True),
        (r'"o\ps"@example.com', "ops@example.com", True),
        ('"a b"@example.com', r'"a\ b"@EXAMPLE.com', True),
        ('"a b"@example.com', "ab@example.com", False),
        ("a@[IPv6:2001:db8::1]", "a@[IPV6:2001:DB8:0:0:0:0:0:1]", True),
        ("a@[127.0.0.1]", "a@[127.0.0.2]", False),
    ],
)
def test_case_means_nothing_in_a_domain_and_may_mean_something_before_it(one: str, other: str, same: bool) -> None:
    first, second = parse_mailboxes([one, other], "to")
    assert without_repeats([first, second]) == ([first] if same else [first, second])


@pytest.mark.parametrize("unit", ['"', "\\", "<", "a ", "a@", "a@b,", "(", '"a" ', "x<y@z>", '"\\', "."])
def test_hostile_lengths_are_refused(unit: str) -> None:
    text = (unit * 32_000)[:32_000] + ";"
    with pytest.raises(ValidationError) as refused:
        parse_mailboxes([text], "to")
    assert len(refused.value.message) < 500


def test_a_header_of_more_than_32000_characters_is_refused() -> None:
    with pytest.raises(ValidationError, match="longer than 32000"):
        parse_mailboxes(["a@example.org," * 3000], "to")
