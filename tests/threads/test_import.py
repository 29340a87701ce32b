"""``prx-email import`` and ``messages``, from outside."""

import pytest

from ..cli.outside import assert_error, shell
from ..conftest import Program
from .letters import ID, NOW, imported, letter, mbox


def test_each_message_is_learned_once_and_the_unusable_stop_nothing(program: Program) -> None:
    messages = [letter(Message_ID=f"<{number}@x>") for number in range(3)]
    broken = [letter(Message_ID=None), b"no header at all\n", b"\n", bytes(range(256)), letter(Message_ID="< >")]
    (program.home / "all.mbox").write_bytes(mbox(messages[0], *broken, *messages[1:], messages[0]))
    answer = program.run("import", "all.mbox", "--json")
    assert answer.data == {"imported": 3, "known_already": 1, "skipped": 5}
    assert [line.split(": ")[:3] for line in answer.err.splitlines()] == [
        ["skipped", "all.mbox", f"message {number}"] for number in range(2, 7)
    ]
    again = program.run("import", "all.mbox")
    assert (again.status, again.out) == (0, "0 imported, 4 known already, 5 skipped\n")


def test_files_maildirs_and_stdin_come_together(program: Program) -> None:
    for part in ("cur", "new", "tmp"):
        (program.home / "Maildir" / part).mkdir(parents=True)
    (program.home / "Maildir/new/2.host").write_bytes(letter(Message_ID="<new@x>"))
    (program.home / "Maildir/cur/1.host:2,S").write_bytes(letter(Message_ID="<cur@x>"))
    (program.home / "Maildir/tmp/3.host").write_bytes(letter(Message_ID="<tmp@x>"))
    (program.home / "a.eml").write_bytes(letter(Message_ID="<eml@x>").replace(b"\n", b"\r\n"))
    answer = program.run("import", "Maildir", "a.eml", "-", "--now-ts", str(NOW), text=letter().decode())
    assert (answer.status, answer.out, answer.err) == (0, "4 imported, 0 known already, 0 skipped\n", "")
    known = program.run("messages", "list", "--json").data
    assert [row["message_id"] for row in known] == [ID, "<eml@x>", "<new@x>", "<cur@x>"]
    assert known[0] == {
        "message_id": ID, "account": "work", "from": "Ann <ann@example.net>", "reply_to": [], "to": ["ops@example.com"],
        "cc": [], "subject": "disks", "date": 1_741_079_700, "in_reply_to": [], "references": [], "learned_at": NOW,
    }  # fmt: skip


def test_a_file_that_cannot_be_read_is_66_and_the_others_are_imported(program: Program) -> None:
    (program.home / "a.eml").write_bytes(letter())
    answer = program.run("import", "missing.mbox", str(program.home), "a.eml", "--json")
    assert (answer.status, answer.json["ok"], answer.data["imported"]) == (66, False, 1)
    assert "missing.mbox" in answer.json["error"]["message"]
    assert_error(program.run("import", "a.eml", "--account", "nobody"), 78, "nobody")


def test_a_pipe_is_read_to_its_end_whatever_is_kept_of_it(program: Program) -> None:
    answer = shell(
        program, f"set -e; {{ printf 'Message-ID: {ID}\\n\\n'; head -c 5000000 /dev/zero; }} | prx-email import -"
    )
    assert (answer.status, answer.out) == (0, "1 imported, 0 known already, 0 skipped\n")


def test_list_is_tab_separated_for_a_pipe_and_shows_the_newest(program: Program) -> None:
    imported(
        program, letter(Message_ID="<1@x>"), letter(From="=?utf-8?q?J=C3=B6rg?= <j@x.org>", Subject="a\t\x1b[31mb")
    )
    answer = program.run("messages", "list", "--limit", "1")
    header, line = answer.out.splitlines()
    assert header.split("\t") == ["message id", "account", "date", "from", "subject"]
    assert line.split("\t")[0::3] == [ID, "Jörg <j@x.org>"]
    assert line.endswith("\ta [31mb")
    assert "--limit" in answer.err
    assert program.run("messages", "list", "--account", "home", "--json").data == []


def test_show_tells_what_is_kept_of_one_message(program: Program) -> None:
    imported(program, letter("hello\x1b[2J\nworld\n", References="<1@x> <2@x>", Date="whenever"))
    answer = program.run("messages", "show", ID)
    assert "references      <1@x>, <2@x>\n" in answer.out
    assert answer.out.endswith("\n\nhello\\x1b[2J\nworld\n")
    row = program.run("messages", "show", "parent@example.net", "--json").data
    assert (row["text"], row["date"], row["references"]) == ("hello\x1b[2J\nworld\n", None, ["<1@x>", "<2@x>"])
    assert_error(program.run("messages", "show", "other@x", "--json"), 66, "messages list", code="not_found")


@pytest.mark.parametrize("words", [("import",), ("messages",)])
def test_without_arguments_they_are_2_and_help(words: tuple[str, ...], program: Program) -> None:
    answer = program.run(*words)
    assert (answer.status, "Usage" in answer.out + answer.err) == (2, True)
