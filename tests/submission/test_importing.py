"""``prx-email import`` and ``messages``, from outside."""

import random

import pytest

from prx_email_cli.mail.received import known_message

from ..cli.outside import assert_error, shell
from ..conftest import Program
from ..mail.strangers import ID, NOW, body, enqueued, imported, letter, mbox


@pytest.mark.on_both
def test_each_message_is_learned_once_and_the_unusable_stop_nothing(program: Program) -> None:
    messages = [letter(Message_ID=f"<{number}@x>") for number in range(3)]
    odd = [letter(Message_ID=None), b"no header at all\n", b"\n", bytes(range(256)), letter(Message_ID="< >")]
    (program.home / "all.mbox").write_bytes(mbox(messages[0], *odd, *messages[1:], messages[0]))
    answer = program.call("import", "all.mbox", "--json")
    assert answer.data == {"imported": 7, "known_already": 1, "skipped": 1}
    assert answer.err == "skipped: all.mbox: message 4: the message is empty\n"
    again = program.call("import", "all.mbox")
    assert (again.status, again.out) == (0, "0 imported, 8 known already, 1 skipped\n")


class TestAMessageWithoutAnId:
    def test_is_known_by_one_of_ours_that_is_the_same_wherever_it_lies(self, program: Program) -> None:
        assert imported(program, letter(Message_ID=None))["imported"] == 1
        (program.home / "a.eml").write_bytes(letter(Message_ID=None).replace(b"\n", b"\r\n"))
        assert program.call("import", "a.eml", "--json").data["known_already"] == 1
        (known,) = program.call("messages", "list", "--json").data
        assert known["message_id"].startswith("no-message-id-")
        assert program.call("messages", "show", known["message_id"], "--json").data["text"] == "hello\n"

    def test_is_answered_by_that_id_outside_of_any_thread(self, program: Program) -> None:
        imported(program, letter(Message_ID=None, References="<1@x>", In_Reply_To="<1@x>"))
        (known,) = program.call("messages", "list", "--json").data
        message = enqueued(program, program.call("reply", known["message_id"], "--quote", "--body", "Fine."))
        assert (message["To"], message["Subject"]) == ("Ann <ann@example.net>", "Re: disks")
        assert (message["In-Reply-To"], message["References"]) == (None, None)
        assert "> hello" in body(message)

    def test_is_answered_as_a_parent_too(self, program: Program) -> None:
        for name, odd in (("none", None), ("empty", "< >"), ("long", f"<{'x' * 2000}@x>"), ("spaces", "a b c")):
            (program.home / name).write_bytes(letter(Message_ID=odd))
            message = enqueued(program, program.call("reply", "--parent", name, "--body", "x"))
            assert (message["In-Reply-To"], message["References"]) == (None, None)


NO_CHARSETS = ("hex", "zlib", "bz2", "base64", "rot13", "uu", "quopri", "zip", "unicode_escape", "idna", "mbcs", "nope")


def test_a_charset_that_is_none_keeps_nobody_from_being_imported_listed_and_answered(program: Program) -> None:
    odd = [
        letter("caf=E9 au lait\n", Content_Type=f"text/plain; charset={charset}",
               Content_Transfer_Encoding="quoted-printable", Subject=f"=?{charset}?q?Gr=FC=DFe?=",
               From=f"=?{charset}?b?SsO8cmdlbg==?= <j@example.net>", Message_ID=f"<{charset}@x>")
        for charset in NO_CHARSETS
    ]  # fmt: skip
    assert imported(program, *odd, letter())["imported"] == len(odd) + 1
    listed = program.call("messages", "list", "--json")
    assert (listed.status, [row["subject"] for row in listed.data]) == (0, ["disks", *["Grüße"] * len(odd)])
    for charset in NO_CHARSETS:
        assert program.call("messages", "show", f"{charset}@x", "--json").data["text"] == "café au lait\n", charset
        answer = program.call("reply", f"{charset}@x", "--quote", "--body", "x")
        assert "café" in body(enqueued(program, answer)), charset


@pytest.mark.parametrize(
    ("label", "data", "text"),
    [("gb2312", "镕".encode("gbk"), "镕"), ("iso-8859-1", b"\x93a\x94 \x80", "“a” €"), ("us-ascii", b"\x80", "€"),
     ("ks_c_5601-1987", "똠".encode("cp949"), "똠"), ("x-sjis", "①".encode("cp932"), "①")],
)  # fmt: skip
def test_a_label_means_what_programs_write_under_it(label: str, data: bytes, text: str) -> None:
    assert known_message(b"Content-Type: text/plain; charset=" + label.encode() + b"\n\n" + data).text == text


def test_no_message_however_odd_keeps_the_others_from_being_imported_or_listed(program: Program) -> None:
    chance = random.Random(9)
    values = [
        "Mon, 1 Jan 0001 00:00:00 +9999", "1 Jan 99999 0:0:0 +0", f"1 Jan {'9' * 5000} 0:0", "31 Feb 2025 25:61:61",
        "1 Jan 1 00:00:00 +2359", "31 Dec 9999 23:59:59 -2359", "1 Jan 2025 10:00:00 +99999999999", "x", "", "0", ", ,",
        "=?hex?b?AA==?=", "=?utf-8?b?A?=", "=?utf-16?b?2AA=?=", "=?utf-7?q?+2AA-?=", "=??q??=", "=?x*en?q?a?=",
        "a@b.c", '"', "(", "<", "\0", "\x1b]0;x\x07", "\ud800", "\udcff", "a" * 3000 + "@b.c", "<@:a@b.c>", "a:b;c:d;",
        "[[[", "text/html; charset=", 'multipart/mixed; boundary=""', "text/plain; charset*=hex''", "quoted-printable",
    ]  # fmt: skip
    names = ["From", "To", "Cc", "Reply_To", "Subject", "Date", "References", "In_Reply_To", "Content_Type",
             "Content_Transfer_Encoding"]  # fmt: skip
    odd = [
        letter(Message_ID=f"<{number}@x>", **{name: chance.choice(values) for name in chance.sample(names, 6)})
        for number in range(300)
    ]
    assert imported(program, *odd)["imported"] == 300
    assert len(program.call("messages", "list", "--limit", "1000", "--json").data) == 300
    answer = program.call("messages", "list", "--limit", "1000")
    assert (answer.status, len(answer.out.splitlines())) == (0, 301)


def test_what_an_earlier_version_stored_can_be_listed(program: Program) -> None:
    imported(program, letter())
    program.execute(
        "UPDATE known SET subject = '=?hex?q?x?=', sender = '=?zlib?b?eA==?= <a@x.org>',"
        " date = 'Mon, 1 Jan 0001 00:00:00 +9999'"
    )
    answer = program.call("messages", "list")
    assert (answer.status, answer.out.splitlines()[1].split("\t")[-2:]) == (0, ["x <a@x.org>", "x"])
    assert program.call("messages", "show", ID).status == 0


def test_files_maildirs_and_stdin_come_together(program: Program) -> None:
    for part in ("cur", "new", "tmp"):
        (program.home / "Maildir" / part).mkdir(parents=True)
    (program.home / "Maildir/new/2.host").write_bytes(letter(Message_ID="<new@x>"))
    (program.home / "Maildir/cur/1.host:2,S").write_bytes(letter(Message_ID="<cur@x>"))
    (program.home / "Maildir/tmp/3.host").write_bytes(letter(Message_ID="<tmp@x>"))
    (program.home / "a.eml").write_bytes(letter(Message_ID="<eml@x>").replace(b"\n", b"\r\n"))
    answer = program.call("import", "Maildir", "a.eml", "-", "--now-ts", str(NOW), text=letter().decode())
    assert (answer.status, answer.out, answer.err) == (0, "4 imported, 0 known already, 0 skipped\n", "")
    known = program.call("messages", "list", "--json").data
    assert [row["message_id"] for row in known] == [ID, "<eml@x>", "<new@x>", "<cur@x>"]
    assert known[0] == {
        "message_id": ID, "account": "work", "from": "Ann <ann@example.net>", "reply_to": [], "to": ["ops@example.com"],
        "cc": [], "subject": "disks", "date": 1_741_079_700, "in_reply_to": [], "references": [], "learned_at": NOW,
    }  # fmt: skip


def test_a_file_that_cannot_be_read_is_66_and_the_others_are_imported(program: Program) -> None:
    (program.home / "a.eml").write_bytes(letter())
    answer = program.call("import", "missing.mbox", str(program.home), "a.eml", "--json")
    assert (answer.status, answer.json["ok"], answer.data["imported"]) == (66, False, 1)
    assert "missing.mbox" in answer.json["error"]["message"]
    assert_error(program.call("import", "a.eml", "--account", "nobody"), 78, "nobody")


def test_a_pipe_is_read_to_its_end_whatever_is_kept_of_it(program: Program) -> None:
    answer = shell(
        program, f"set -e; {{ printf 'Message-ID: {ID}\\n\\n'; head -c 5000000 /dev/zero; }} | prx-email import -"
    )
    assert (answer.status, answer.out) == (0, "1 imported, 0 known already, 0 skipped\n")


@pytest.mark.on_both
def test_list_is_tab_separated_for_a_pipe_and_shows_the_newest(program: Program) -> None:
    imported(
        program, letter(Message_ID="<1@x>"), letter(From="=?utf-8?q?J=C3=B6rg?= <j@x.org>", Subject="a\t\x1b[31mb")
    )
    answer = program.call("messages", "list", "--limit", "1")
    header, line = answer.out.splitlines()
    assert header.split("\t") == ["message id", "account", "date", "from", "subject"]
    assert line.split("\t")[0::3] == [ID, "Jörg <j@x.org>"]
    assert line.endswith("\ta [31mb")
    assert "--limit" in answer.err
    assert program.call("messages", "list", "--account", "home", "--json").status == 78


def test_show_tells_what_is_kept_of_one_message(program: Program) -> None:
    imported(program, letter("hello\x1b[2J\nworld\n", References="<1@x> <2@x>", Date="whenever"))
    answer = program.call("messages", "show", ID)
    assert "references      <1@x>, <2@x>\n" in answer.out
    assert answer.out.endswith("\n\nhello\\x1b[2J\nworld\n")
    row = program.call("messages", "show", "parent@example.net", "--json").data
    assert (row["text"], row["date"], row["references"]) == ("hello\x1b[2J\nworld\n", None, ["<1@x>", "<2@x>"])
    assert_error(program.call("messages", "show", "other@x", "--json"), 66, "messages list", code="not_found")


@pytest.mark.parametrize("words", [("import",), ("messages",)])
def test_without_arguments_they_are_2_and_help(words: tuple[str, ...], program: Program) -> None:
    answer = program.call(*words)
    assert (answer.status, "Usage" in answer.out + answer.err) == (2, True)
