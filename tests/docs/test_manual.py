"""The man pages are those of the program, and say all that it takes."""

import re

import pytest

from prx_email_cli.config.settings import Settings
from prx_email_cli.sendmail import flags

from ..config.document import _tables
from ..manual.markdown import converted
from ..manual.pages import FOLDER, name_of, pages, unlisted_statuses
from ..manual.roff import bold, filled, inline, plain, verbatim
from ..manual.scripts import FILES
from ..manual.tree import commands, parameters

PAGES = pages()
REFERENCE = re.compile(r"\\fB([\w\\-]+)\\fR\((\d)\)")


def test_the_pages_are_current() -> None:
    files = {str(path.relative_to(FOLDER)): path.read_text(encoding="ascii") for path in FOLDER.glob("man?/*")}
    assert sorted(files) == sorted(PAGES), "run: make docs"
    assert [name for name in PAGES if files[name] != PAGES[name]] == [], "run: make docs"


def test_the_scripts_for_shells_are_current() -> None:
    assert {file: file.read_text(encoding="ascii") for file in FILES} == FILES, "run: make docs"


def test_each_command_has_one_page_which_names_every_option_and_argument() -> None:
    for words, command in commands().items():
        page = PAGES[f"man1/{name_of(words)}.1"]
        if words == "sendmail":
            continue  # its flags are below
        for option in parameters(words, command, "option"):
            assert all(f"{bold(name)}" in page for name in option.opts), (words, option.opts)
        for argument in parameters(words, command, "argument"):
            assert plain(argument.metavar) in page, (words, argument.metavar)
        assert ".SH EXAMPLES\n" in page, words
        assert ".SH EXIT STATUS\n" in page.replace('"', ""), words


def test_the_name_section_is_as_whatis_wants_it() -> None:
    for file, text in PAGES.items():
        name = file.split("/")[1].rsplit(".", 1)[0]
        first = text.split(".SH NAME\n")[1]
        assert first.startswith(rf"{plain(name)} \- "), file


def test_prx_sendmail_tells_of_every_flag_that_it_knows() -> None:
    page = PAGES["man8/prx-sendmail.8"]
    known = {*flags._WITH_VALUE, *flags._GLUED_ONLY, *flags._ALONE} - {
        "c",
        "I",
        "b",
        "q",
    }  # -bp and the like; -c is old
    assert {flag for flag in known if rf"\-{flag}" not in page} == set()
    assert all(rf"\-b{mode}" in page for mode in flags._MODES if mode != flags.ENQUEUE)


def test_the_config_page_tells_of_every_key() -> None:
    page = PAGES["man5/prx-email-config.5"]
    for path, table in _tables("", Settings):
        heads = {name: f"[{f'{path}.{name}'.lstrip('.')}" for name in table.keys}
        assert [name for name, head in heads.items() if bold(name) not in page and plain(head) not in page] == [], path


def test_every_reference_leads_to_a_page() -> None:
    for file, text in PAGES.items():
        for name, section in REFERENCE.findall(text):
            name = name.replace("\\", "")
            assert f"man{section}/{name}.{section}" in PAGES, (file, name)


def test_every_exit_status_is_told() -> None:
    assert unlisted_statuses() == set()


def test_every_variable_of_the_program_is_told() -> None:
    sources = [file.read_text(encoding="utf-8") for file in (FOLDER.parent / "prx_email_cli").rglob("*.py")]
    named = {name for text in sources for name in re.findall(r"\bPRX_EMAIL_[A-Z_]+\b", text)}
    page = PAGES["man1/prx-email.1"]
    missing = {name for name in named if bold(name) not in page}
    assert missing == {"PRX_EMAIL_PASSWORD"}  # which a dialogue proposes as a name


def test_they_do_not_change_by_themselves() -> None:
    assert pages() == PAGES


def test_lists_and_headings_of_any_kind_are_understood() -> None:
    page = "# T\n\n## A b\n\n### `x` y\n\n1. one\n   more\n2. two\n\n* three\n"
    assert converted(page, {}) == [
        '.SH "A B"', r'.SS "x y"', ".IP 1. 4", "one more", ".IP 2. 4", "two", r".IP \(bu 3", "three",
    ]  # fmt: skip


class TestText:
    @pytest.mark.parametrize(
        ("text", "written"),
        [
            ("a-b", r"a\-b"),
            ("\\n", r"\en"),
            ('it\'s "so"', r"it\(aqs \(dqso\(dq"),
            ("~/x^`", r"\(ti/x\(ha\(ga"),
            ("kö", r"k\[u00F6]"),
        ],
    )
    def test_cannot_be_taken_for_an_escape(self, text: str, written: str) -> None:
        assert plain(text) == written

    def test_cannot_be_taken_for_a_request_wherever_a_line_breaks(self) -> None:
        assert filled(plain(".so /etc/passwd")) == [r"\&.so /etc/passwd"]
        assert not any(line.startswith((".", "'")) for line in filled("word " * 15 + ".ft .. 'br " * 20))
        assert verbatim(".sh\n\n'br")[2:-2] == [r"\&.sh", r"\&", r"\(aqbr"]

    def test_code_bold_words_links_and_options_are_shown_as_such(self) -> None:
        told = inline("**See** `a -b`, [the page](sendmail.md#flags), [x](keeping.md) and --now.")
        assert told == r"\fBSee\fR \fBa \-b\fR, \fBprx\-sendmail\fR(8), x (docs/keeping.md) and \fB\-\-now\fR."

    def test_a_list_a_table_and_an_example_stand_behind_each_other(self) -> None:
        page = "# Title\n\nOne\ntwo.\n\n- a\n  b\n- c\n\n| K | V |\n|---|---|\n| `k` | v \\| w |\n\n```sh\n\nx\n```\n"
        assert converted(page, {}) == [
            ".PP", "One two.", r".IP \(bu 3", "a b", r".IP \(bu 3", "c", ".TP", r"\fBk\fR", "v | w",
            ".PP", ".RS 4", ".EX", r"\&", "x", ".EE", ".RE",
        ]  # fmt: skip
