"""stdin is read only when nothing else can be the text: a loop's other lines are not for the first message."""

import os
import subprocess

import pytest

from ..conftest import COMMAND, Program
from ..mail.strangers import letter
from ..support.mailhost import MailHost
from .outside import assert_error, parsed, rows, shell, stored

PARTS = ("--to", "a@example.org", "--subject", "s")
PAGE = "<p>Hello from the page</p>"


@pytest.fixture
def page(program: Program) -> Program:
    """A program with a page, a text and a request at hand."""
    (program.home / "page.html").write_text(PAGE)
    (program.home / "text.txt").write_text("from the file\n")
    (program.home / "request.json").write_text('{"to": "a@example.org", "subject": "s", "body_text": "t"}')
    (program.home / "parent.eml").write_bytes(letter(Message_ID="<parent@example.org>"))
    return program


CONTENT = {
    "html": [*PARTS, "--html", "page.html"],
    "body": [*PARTS, "--body", "x"],
    "body-file": [*PARTS, "--body-file", "text.txt"],
    "html and an empty body": [*PARTS, "--html", "page.html", "--body", ""],
    "html and an attachment": [*PARTS, "--html", "page.html", "--attach", "text.txt"],
    "request": ["--request", "request.json"],
    "batch": ["--batch", "request.json"],
}


@pytest.mark.parametrize("words", CONTENT.values(), ids=CONTENT)
def test_a_message_whose_content_an_option_gives_goes_without_waiting_for_a_silent_pipe(
    words: list[str], page: Program
) -> None:
    assert run_at_a_silent_pipe(page, "send", *words) == 0
    assert len(rows(page)) == 1


@pytest.mark.parametrize("words", [["--parent", "parent.eml"], ["parent@example.org"]], ids=["parent", "known"])
@pytest.mark.parametrize("quote", [[], ["--quote"]], ids=["", "quote"])
def test_a_reply_in_html_goes_without_waiting_for_a_silent_pipe(
    words: list[str], quote: list[str], page: Program
) -> None:
    assert page.run("import", "parent.eml").status == 0
    assert run_at_a_silent_pipe(page, "reply", *words, *quote, "--html", "page.html") == 0
    assert len(rows(page)) == 1


@pytest.mark.parametrize("command", ["send --to $a --subject s --html page.html",
                                     "reply --parent parent.eml --cc $a --html page.html"])  # fmt: skip
def test_a_loop_sends_one_message_for_each_of_its_lines(command: str, page: Program) -> None:
    with MailHost() as host:
        page.configure(host.port)
        script = f"printf '%s@example.org\\n' a b c | while read a; do prx-email {command}; done"
        assert shell(page, script).out == "1\n2\n3\n"
        assert page.run("drain").status == 0
        assert all("@example.org" not in body_of_html(message.content) for message in host.messages)
        assert {to for message in host.messages for to in message.recipients} >= {f"{x}@example.org" for x in "abc"}


def body_of_html(content: bytes) -> str:
    """The plain alternative of a message."""
    part = parsed(content).get_body(("plain",))
    assert part is not None
    return str(part.get_content())


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["send", "--subject", "s"], 65),  # nobody to send it to
        (["send", "--to", "a@example.org"], 65),
        (["send", *PARTS, "--account", "nobody"], 78),
        (["send", *PARTS, "--body", ""], 65),
        (["reply", "unknown@example.org"], 66),
        (["reply", "unknown@example.org", "--account", "nobody"], 78),
        (["list"], 0),
        (["messages", "list"], 0),
        (["drain"], 0),
        (["stats"], 0),
        (["doctor"], None),
        (["hold", "--all"], 0),
        (["init", "--provider", "gmail", "--user", "a@gmail.com"], 78),
    ],
    ids=lambda words: " ".join(words) if isinstance(words, list) else "",
)
def test_what_needs_no_text_or_cannot_be_sent_leaves_stdin_to_the_loop(
    words: list[str], status: int | None, page: Program
) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"the next line\n")
    os.close(writer)
    with open(reader, "rb", buffering=0) as stdin:
        ended = page.start(*words, stdin=stdin)
        ended.communicate(timeout=60)
        assert status in (None, ended.returncode)
        assert stdin.read() == b"the next line\n"


def test_text_that_is_piped_in_goes_along_with_an_attachment(page: Program) -> None:
    with MailHost() as host:
        page.configure(host.port)
        assert page.run("send", *PARTS, "--attach", "text.txt", text="see the file\n").status == 0
        assert page.run("drain").status == 0
        assert "see the file" in body_of_html(host.messages[0].content)


def test_an_attachment_without_any_text_is_refused_as_before(page: Program) -> None:
    assert_error(page.run("send", *PARTS, "--attach", "text.txt"), 65, "to/subject/body_text cannot be empty")


def test_html_may_come_from_stdin_and_a_text_beside_it(page: Program) -> None:
    for more in ([], ["--body", "text"], ["--body-file", "text.txt"]):
        assert page.run("send", *PARTS, "--html", "-", *more, text=PAGE).status == 0
    assert page.run("send", *PARTS, "--html", "page.html", "--body-file", "-", text="text").status == 0
    assert len(rows(page)) == 4


@pytest.mark.parametrize(
    "words",
    [
        ["send", *PARTS, "--html", "-", "--body-file", "-"],
        ["reply", "--parent", "-", "--html", "-"],
        ["reply", "--parent", "-", "--html", "-", "--body", "x"],
        ["reply", "--parent", "-", "--html", "page.html", "--body-file", "-"],
        ["reply", "--parent", "-"],
        ["reply", "--parent", "-", "--quote"],
        ["import", "-", "-"],
    ],
    ids=" ".join,
)
def test_what_wants_stdin_twice_is_a_wrong_command_line(words: list[str], page: Program) -> None:
    answer = page.run(*words, text="text\n")
    assert (answer.status, answer.out) == (2, "")
    assert not any(stored(page).values())


def test_a_parent_may_come_from_stdin_when_the_text_does_not(page: Program) -> None:
    parent = letter().decode()
    for words in (["--body", "x"], ["--body-file", "text.txt"], ["--html", "page.html"]):
        assert page.run("reply", "--parent", "-", *words, text=parent).status == 0


def test_a_password_is_the_first_line_alone(page: Program) -> None:
    page.configure(smtp='user = "ops@example.com"', auth="keyring = true")
    script = "printf 'secret\\nnext\\n' | { prx-email account set-password work; cat; }"
    answer = shell(page, script, PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring")
    assert "next" in answer.out


def run_at_a_silent_pipe(program: Program, *words: str) -> int:
    """Exit status of a command whose stdin is open and says nothing."""
    reader, writer = os.pipe()
    try:
        return subprocess.run(
            [*COMMAND, *words], env=program.environment, cwd=program.home, stdin=reader, timeout=120, check=False,
            stdout=subprocess.DEVNULL,
        ).returncode  # fmt: skip
    finally:
        os.close(reader)
        os.close(writer)
