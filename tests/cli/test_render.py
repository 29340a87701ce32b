"""Nothing from outside reaches a terminal unseen."""

import sys
import unicodedata
from collections.abc import Iterator

import pytest

from prx_email_cli.cli.render import safe, safe_lines

from ..conftest import Program
from ..support.faults import Fault
from .outside import serving

NASTY = "\x1b[31mred\x9b\u061c\u00ad\u180e\ufff9\u202e\u2028\U000e0041\u115f\u3164\ufeff\u200b"
ESCAPED = r"\x1b[31mred\x9b\u061c\xad\u180e\ufff9\u202e\u2028\U000e0041\u115f\u3164\ufeff\u200b"  # what a reader sees
ALL_BUT_SURROGATES = (chr(code) for code in range(sys.maxunicode + 1))


def unsafe() -> Iterator[str]:
    """Every character that shows nothing of itself."""
    for character in ALL_BUT_SURROGATES:
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp"):
            yield character
    yield from map(chr, [*range(0xE0000, 0xE0100), *range(0xFFF0, 0xFFFC), 0x2065, 0x115F, 0x1160, 0x3164, 0xFFA0])


def test_every_control_and_format_character_is_escaped() -> None:
    raw = [hex(ord(character)) for character in unsafe() if not safe(f"a{character}b").isascii()]
    assert raw == []
    assert safe("\x07\x7f\u0085\n\t") == r"\x07\x7f\x85\n\t"


@pytest.mark.parametrize(
    "text", ["Grüße", "秘密", "🎉", "❤\ufe0f", "葛\U000e0100", "ไทย", "नमस्ते", "a\u00a0b", "全\u3000角", "e\u0301",
             r"back\slash", ""],
)  # fmt: skip
def test_text_that_a_reader_sees_stays(text: str) -> None:
    assert safe(text) == text


def test_a_variation_selector_with_nothing_to_vary_is_escaped() -> None:
    assert safe("\ufe0fa") == r"\ufe0fa"
    assert safe("❤\ufe0f\ufe0f\U000e0101") == "❤\ufe0f" + r"\ufe0f\U000e0101"


def test_lines_stay_lines() -> None:
    assert safe_lines("a\x1b\nb\u2028c\n") == "a\\x1b\nb\\u2028c\n"


def shown(program: Program, *arguments: str) -> str:
    """Everything that the command said, which must not have anything unseen in it."""
    answer = program.run(*arguments)
    text = answer.out + answer.err
    assert not set(text) & set(NASTY) - set("[31mred"), (arguments, text)
    assert "Traceback" not in text
    return text


def test_no_server_s_reply_reaches_a_terminal_raw(program: Program) -> None:
    reply = f"550 5.1.1 {NASTY.replace(chr(0x2028), '')}"
    with serving(program, Fault("rcpt", reply)):
        program.send(subject="s")
        for command in ("drain -v", "list", "show 1", "retry 1", "doctor", "account test"):
            shown(program, *command.split())


def test_nothing_that_was_imported_reaches_a_terminal_raw(program: Program) -> None:
    program.configure()
    letter = f"Message-ID: <1@example.org>\nFrom: {NASTY} <a@example.org>\nSubject: {NASTY}\n\n{NASTY}\n"
    (program.home / "mail").write_text(letter.replace("\u2028", " "), newline="")
    shown(program, "import", "mail")
    assert r"\u061c\xad\u180e" in shown(program, "messages", "list")
    assert r"\U000e0041" in shown(program, "messages", "show", "1@example.org")


@pytest.mark.parametrize(
    "arguments",
    [
        [NASTY], ["list", NASTY], ["list", f"--{NASTY}"], ["list", "--limit", NASTY], ["show", NASTY],
        ["list", "--status", NASTY], ["send", "--failure-mode", NASTY], ["list", "--account", NASTY],
        ["send", "--to", NASTY, "--subject", "s", "--body", "b"], ["send", "--account", NASTY],
        ["send", "--to", "a@b.org", "--subject", NASTY, "--body", "b"], ["send", "--body-file", NASTY],
        ["send", "--to", "a@b.org", "--subject", "s", "--body", "b", "--attach", NASTY],
        ["send", "--to", "a@b.org", "--subject", "s", "--body", "b", "--header", NASTY],
        ["send", "--to", "a@b.org", "--subject", "s", "--body", "b", "--in", NASTY],
        ["send", "--request", NASTY], ["send", "--batch", NASTY], ["import", NASTY], ["reply", NASTY, "--body", "b"],
        ["reply", "--parent", NASTY, "--body", "b"], ["messages", "show", NASTY], ["account", "show", NASTY],
        ["account", NASTY], ["account", "add", NASTY, "--provider", "gmail"], ["init", "--provider", NASTY],
        ["prune", "--older-than", NASTY], ["--config", NASTY, "list"], ["--config", f"{NASTY}/c", "doctor"],
        ["--config", NASTY, "init", "--host", "localhost", "--tls", "none", "--user", "a@example.org"],
        ["account", "add", "x", "--host", NASTY], ["account", "add", "x", "--host", "a", "--tls", NASTY],
    ],
)  # fmt: skip
def test_no_argument_reaches_a_terminal_raw(program: Program, arguments: list[str]) -> None:
    shown(program, *arguments)


def test_nothing_in_a_config_reaches_a_terminal_raw(program: Program) -> None:
    for text in (f'["{NASTY[-4:]}"]\n', f'[accounts."{NASTY[8:12]}"]\n', f'default_account = "{NASTY[8:]}"\n',
                 f'[accounts.work]\nprovider = "{NASTY[8:]}"\n', f"# {NASTY}\n[x", f'[log]\nfile = "/no/{NASTY[8:]}"\n',
                 f'[notify]\ncommand = ["/no/{NASTY[8:]}"]\n'):  # fmt: skip
        program.configure()
        program.config.write_text(program.config.read_text() + text)
        for command in ("list", "doctor", "account list", "drain -v"):
            shown(program, *command.split())


def test_the_escapes_are_those_of_the_characters(program: Program) -> None:
    assert safe(NASTY) == ESCAPED
