"""Bytes on the command line that are no text, and numbers beyond all use: refused, and never a bug."""

import os
from pathlib import Path

import pytest

from ..conftest import Program
from ..support.mailhost import MailHost
from .outside import assert_error, parsed, stored

BYTE = os.fsdecode(b"caf\xe9")
SEND = ("send", "--to", "a@example.org", "--subject", "s", "--body", "x")
INIT = ("--config", "new.toml", "init", "--host", "localhost", "--tls", "none", "--user", "a@example.org")
ENDLESS = "9" * 5000


@pytest.mark.parametrize(
    "words",
    [
        *((*SEND, option, BYTE) for option in ("--idempotency-key", "--account", "--to", "--bcc", "--from",
                                               "--reply-to", "--at", "--in", "--expires-in", "--subject", "--body")),
        (*SEND, "--cc", f"Ann <ann@example.org> ({BYTE}"),
        (*SEND, "--header", f"X-Name: {BYTE}"),
        ("reply", BYTE, "--body", "x"),
        ("reply", "a@example.org", "--body", "x", "--subject", BYTE),
        ("list", "--account", BYTE),
        ("messages", "list", "--account", BYTE),
        ("messages", "show", BYTE),
        ("show", BYTE),
        ("messages", "show", "a@example.org", "--account", BYTE),
        ("hold", "--all", "--account", BYTE),
        ("release", "--all", "--account", BYTE),
        ("drain", "--account", BYTE),
        ("import", "config.toml", "--account", BYTE),
        ("prune", "--older-than", BYTE),
        ("account", "show", BYTE),
        ("account", "test", BYTE),
        ("account", "add", BYTE, "--host", "localhost"),
        ("account", "add", "x", "--host", BYTE),
        (*INIT, "--account", BYTE),
        (*INIT, "--outbox", BYTE),
        (*INIT, "--from", BYTE),
        (*INIT, "--password-file", BYTE),
        (*INIT, "--password-command", BYTE),
    ],
    ids=ascii,
)  # fmt: skip
def test_what_would_be_stored_sent_or_written_is_refused_by_its_name(words: tuple[str, ...], program: Program) -> None:
    before = program.config.read_bytes()
    for more in ((), ("--json",)):
        answer = program.run(*words, *more)
        option = words[words.index(next(word for word in words if BYTE in word)) - 1]
        name = option if option.startswith("--") else ""
        assert_error(answer, 65, name, "not valid Unicode", code="validation" if more else None)
    assert not any(rows for table, rows in stored(program).items() if table != "ledger")
    assert program.config.read_bytes() == before
    assert not (program.home / "new.toml").exists()


@pytest.mark.parametrize(
    "words", [(BYTE,), (f"--{BYTE}",), ("list", f"--{BYTE}"), ("list", "--status", BYTE), ("retry", BYTE),
              (*SEND, "--now-ts", BYTE), ("account", BYTE), ("resolve", ENDLESS, "--sent"),
              ("list", "--limit", ENDLESS)],
    ids=lambda words: ascii(words)[:40],
)  # fmt: skip
def test_what_is_no_command_option_or_number_is_a_wrong_command_line(words: tuple[str, ...], program: Program) -> None:
    answer = program.run(*words)
    assert (answer.status, answer.out, "Traceback" in answer.err) == (2, "", False)


def test_files_with_such_names_are_read_as_ever(program: Program) -> None:
    texts = {
        "txt": "text\n",
        "html": "<p>page</p>",
        "json": '{"to": "a@example.org", "subject": "s", "body_text": "t"}',
        "eml": "Message-ID: <p@example.org>\nFrom: p@example.org\n\nhi\n",
    }
    for ending, text in texts.items():
        (program.home / f"{BYTE}.{ending}").write_text(text)
    to = SEND[:5]
    for words in (
        (*to, "--body-file", f"{BYTE}.txt"),
        (*to, "--html", f"{BYTE}.html"),
        (*SEND, "--attach", f"{BYTE}.txt"),
        ("send", "--request", f"{BYTE}.json"),
        ("send", "--batch", f"{BYTE}.json"),
        ("reply", "--parent", f"{BYTE}.eml", "--body", "x"),
        ("import", f"{BYTE}.eml"),
    ):
        answer = program.run(*words)
        assert answer.status == 0, answer
    config = program.home / f"{BYTE}.toml"
    config.write_bytes(program.config.read_bytes())
    config.chmod(0o600)
    assert program.run("--config", config.name, "stats", "--json").data["pending"] == 6


def test_an_attachment_of_such_a_name_arrives_with_what_can_be_read_of_it(program: Program, host: MailHost) -> None:
    (program.home / f"{BYTE}.txt").write_text("content\n")
    program.send("--attach", f"{BYTE}.txt")
    assert program.run("drain").status == 0
    (attachment,) = parsed(host.messages[0].content).iter_attachments()
    assert (attachment.get_filename(), attachment.get_content()) == ("caf\ufffd.txt", "content\n")


def test_a_stored_file_of_such_a_name_is_attached_too(program: Program, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(mode=0o700)
    (tmp_path / "store" / f"{BYTE}.txt").write_text("content\n")
    with program.config.open("a") as config:
        config.write('[attachments.store]\nenabled = true\ndir = "store"\n')
    answer = program.run(*SEND, "--attach-stored", f"{BYTE}.txt")
    assert (answer.status in (0, 65), "bug" in answer.err) == (True, False), answer


@pytest.mark.parametrize("option", ["--in", "--expires-in"])
def test_a_duration_beyond_all_time_is_65(option: str, program: Program) -> None:
    for text in (f"{ENDLESS}d", f"{'9' * 20}s", f"1d{'9' * 20}w"):
        assert_error(program.run(*SEND, option, text), 65, option)
    assert_error(program.run("prune", "--older-than", f"{ENDLESS}d"), 65, "--older-than")
    assert program.run("prune", "--older-than", f"{'0' * 5000}1d").status == 0


def test_a_limit_beyond_sqlites_numbers_limits_nothing(program: Program) -> None:
    program.send()
    limit = ("--limit", "9" * 30)
    assert len(program.run("list", *limit, "--json").data) == 1
    assert program.run("messages", "list", *limit).status == 0


def test_a_secret_in_the_environment_that_is_no_text_is_78(program: Program) -> None:
    program.configure(smtp='user = "ops"', auth='password_env = "SECRET"')
    answer = program.run("account", "test", SECRET=BYTE)
    assert (answer.status, "not UTF-8" in answer.err, "Traceback" in answer.err) == (78, True, False)
