"""A command line means the same however its flags are written: glued, separate, joined, behind recipients."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prx_email_cli.sendmail import flags
from prx_email_cli.sendmail.flags import Call, UsageError, parse

ALONE = "tivmnGUx"
IGNORED_WITH_VALUE = "ABCDLMOQXehp"
VALUES = st.text("abz@.-_,<> ", min_size=1, max_size=12)
WORDS = st.text("abz@.,<> ", max_size=8).filter(lambda text: not text.startswith("-"))


def said(call: Call) -> dict[str, object]:
    """Everything that a call says."""
    return vars(call)


class Written:
    """Draws a way in which a program may write flags and recipients."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw
        self.alone = draw(st.sets(st.sampled_from(ALONE)))
        self.values = draw(st.dictionaries(st.sampled_from("fF"), VALUES))
        self.ignored = draw(st.lists(st.tuples(st.sampled_from(IGNORED_WITH_VALUE), VALUES), max_size=3))
        self.recipients = draw(st.lists(WORDS, max_size=3))

    def words(self) -> list[str]:
        """One way to write it."""
        draw, alone = self._draw, "".join(sorted(self.alone))
        joined = [f"-{alone}"] if alone else []
        separate = [f"-{letter}" for letter in draw(st.permutations(sorted(alone)))]
        pieces = [[word] for word in (joined if draw(st.booleans()) else separate)]
        for flag, value in [*self.values.items(), *self.ignored]:
            pieces.append([f"-{flag}{value}"] if draw(st.booleans()) else [f"-{flag}", value])
        pieces = draw(st.permutations(pieces))
        behind, among = ["--", *self.recipients], [[one] for one in self.recipients]
        if draw(st.booleans()):
            return [*(word for piece in pieces for word in piece), *behind]
        for one in reversed(among):
            pieces.insert(draw(st.integers(0, len(pieces))) if len(among) == 1 else 0, one)
        return [word for piece in pieces for word in piece]


@given(st.data())
def test_the_same_flags_mean_the_same_in_every_way_of_writing_them(data: st.DataObject) -> None:
    written = data.draw(st.composite(lambda draw: Written(draw))())
    one, other = parse(written.words()), parse(written.words())
    assert said(one) == said(other)
    assert one.recipients == tuple(written.recipients)
    assert (one.from_headers, one.dot_ends, one.verbose) == (
        "t" in written.alone, "i" not in written.alone, "v" in written.alone,
    )  # fmt: skip
    assert one.full_name == written.values.get("F")
    assert one.warnings == ()


@given(st.lists(st.text(max_size=6), max_size=8))
def test_any_words_are_understood_or_refused_as_a_command_line(words: list[str]) -> None:
    try:
        call = parse(words)
    except UsageError:
        return
    kept = [word for word in words if word and not word.startswith("-")]
    assert set(call.recipients) <= {*words}
    assert all(one in words for one in kept)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("-FCronDaemon -i -odi -oem -oi -t -f root",
         {"full_name": "CronDaemon", "from_headers": True, "sender": "root"}),
        ("-i -FCronDaemon -B8BITMIME -oem root", {"full_name": "CronDaemon", "recipients": ("root",)}),
        ("-FAnacron -odi root", {"full_name": "Anacron", "dot_ends": True, "recipients": ("root",)}),
        ("-i -B 8BITMIME root", {"recipients": ("root",), "dot_ends": False}),
        ("-ti", {"from_headers": True, "dot_ends": False}),
        ("-oem -oi -f a@x -N failure,delay -R hdrs -- b@y c@z",
         {"sender": "a@x", "notify": "FAILURE,DELAY", "returns": "HDRS", "recipients": ("b@y", "c@z")}),
        ("-i -m -v -r a@x -- b@y", {"sender": "a@x", "verbose": True}),
        ("root -t -oi", {"recipients": ("root",), "from_headers": True, "dot_ends": False}),
        ("-o i root", {"dot_ends": False, "recipients": ("root",)}),
        ("-O IgnoreDots=True root", {"dot_ends": False}),
        ("-f <> root", {"sender": ""}),
        ("-f<a@x> root", {"sender": "a@x"}),
        ("-r a@x -f b@y root", {"sender": "b@y"}),
        ("-V QQ314 root", {"envelope_id": "QQ314"}),
        ("-V a+b root", {"envelope_id": "a+2Bb"}),
        ("-Am -v -d0.1 -x -h 3 -p SMTP -X /tmp/x root", {"recipients": ("root",), "verbose": True}),
        ("-q30m", {"mode": flags.DRAIN}),
        ("-q", {"mode": flags.DRAIN}),
        ("-qRexample.com", {"mode": flags.DRAIN}),
        ("-bd -q30m", {"mode": flags.DAEMON}),
        ("-q30m -bd", {"mode": flags.DAEMON}),
        ("-bl", {"mode": flags.DAEMON}),
        ("-bm root", {"mode": flags.ENQUEUE}),
        ("-b p", {"mode": flags.QUEUE}),
        ("-bs", {"mode": flags.SMTP}),
        ("-bv root", {"mode": flags.VERIFY}),
        ("-bi", {"mode": flags.ALIASES}),
        ("-I", {"mode": flags.ALIASES}),
        ("--help", {"asks_help": True}),
    ],
)  # fmt: skip
def test_a_line_as_programs_write_it(line: str, expected: dict[str, object]) -> None:
    found = said(parse(line.split()))
    assert {name: found[name] for name in expected} == expected
    assert found["warnings"] == ()


def test_an_empty_sender_is_the_null_sender() -> None:
    assert parse(["-f", "", "root"]).sender == ""
    assert parse(["root"]).sender is None


def test_nothing_behind_two_dashes_is_a_flag() -> None:
    call = parse(["-i", "--", "-t", "--", "root"])
    assert (call.recipients, call.from_headers) == (("-t", "--", "root"), False)


@pytest.mark.parametrize(
    ("words", "warned"),
    [
        (["-zfoo@x", "root"], "-zfoo@x"), (["--frob", "root"], "--frob"), (["-tzf", "root"], "-zf"),
        (["-N", "soon", "root"], "-N soon"), (["-R", "half", "root"], "-R half"), (["-V", "ü", "root"], "-V ü"),
        (["-N", "never,delay", "root"], "-N never,delay"), (["-V", "x" * 101, "root"], "-V x"),
    ],
)  # fmt: skip
def test_what_is_not_known_is_warned_of_and_ignored_with_what_is_glued_to_it(words: list[str], warned: str) -> None:
    call = parse(words)
    assert (call.recipients, call.sender, call.notify, call.returns, call.envelope_id) == (
        ("root",), None, None, None, None,
    )  # fmt: skip
    assert len(call.warnings) == 1
    assert call.warnings[0].startswith(warned)


@pytest.mark.parametrize("words", [["-f"], ["-b"], ["-tf"], ["-bZ"], ["-bt"], ["root", "-F"], ["-bP"]])
def test_a_missing_value_and_an_unknown_mode_are_refused(words: list[str]) -> None:
    with pytest.raises(UsageError):
        parse(words)


def test_the_program_is_what_it_is_called() -> None:
    assert parse([], "mailq").mode == flags.QUEUE
    assert parse(["-Ac"], "mailq").mode == flags.QUEUE
    assert parse(["-q"], "mailq").mode == flags.DRAIN
    assert parse([], "newaliases").mode == flags.ALIASES
    assert parse([], "sendmail").mode == parse([], "prx-sendmail").mode == flags.ENQUEUE


@given(st.text(min_size=1))
def test_an_envelope_id_is_xtext_and_means_what_was_given(text: str) -> None:
    found = flags.envelope_id(text)
    if found is not None:
        assert len(found) <= 100
        assert flags.envelope_id(found) == found
        assert not {"=", " "} & {*found}
        first, *rest = found.split("+")
        decoded = first + "".join(chr(int(part[:2], 16)) + part[2:] for part in rest)
        assert text in (found, decoded)
