"""``send --header``: names and values of any length that fits on lines, from outside."""

import pytest

from ..conftest import Program


def header_lines(program: Program, outbox_id: int) -> list[bytes]:
    ((content,),) = program.execute(f"SELECT data FROM content WHERE id = {outbox_id * 65_536}")
    return bytes(content).partition(b"\r\n\r\n")[0].split(b"\r\n")


@pytest.mark.parametrize(
    "header",
    ["X-Note: a" + " " * 80 + "b", "X" * 72 + ": Grüße", "X" * 990 + ": Grüße " + "ü" * 300, "X-2FA: yes",
     "X" * 990 + ": plain", "X-Long: " + "x" * 990, "X-Spaces: " + "a  " * 200 + "b"],
    ids=lambda text: text[:10],
)  # fmt: skip
def test_what_fits_on_lines_is_taken_and_no_line_is_blank_or_too_long(header: str, program: Program) -> None:
    lines = header_lines(program, program.send("--header", header))
    assert all(line.strip() and len(line) <= 998 for line in lines)
    assert any(line.startswith(header.partition(":")[0].encode() + b":") for line in lines)


@pytest.mark.parametrize("length", [991, 2000])
def test_a_name_that_no_line_can_hold_is_refused(length: int, program: Program) -> None:
    message = ("--to", "a@example.org", "--subject", "s", "--body", "x")
    answer = program.run("send", *message, "--header", "X" * length + ": y")
    assert (answer.status, answer.out) == (65, "")
    assert "too long" in answer.err


def test_a_subject_keeps_its_spaces_and_folds_into_no_blank_line(program: Program) -> None:
    lines = header_lines(program, program.send(subject="a" + " " * 80 + "b"))
    assert all(line.strip() for line in lines)
