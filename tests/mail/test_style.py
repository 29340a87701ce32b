"""Style sheets of HTML bodies: attributes get what they can hold, the rest stays and wins as it did."""

import html
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prx_email_cli.mail.attachments import Policy
from prx_email_cli.mail.html import html_body
from prx_email_cli.mail.page import parsed
from prx_email_cli.mail.page_style import above_attributes

from ..conftest import Program
from ..support.mailhost import MailHost
from .test_html import page

LONG = "a" * 11_000_000
POLICY = Policy(1_000_000, ("*/*",), 1_000_000, None)
LIBRARY = re.compile(r"\| +(premailer|cssutils|lxml|css_inline|selectolax|yagmail)$", re.MULTILINE)


def sent(source: str, directory: Path | None = None) -> str:
    """The HTML that is sent for *source*."""
    return html_body(source, directory, POLICY).html


def style_of(sheet: str, element: str, name: str = "p") -> str:
    """The style attribute that *element* gets from *sheet*."""
    found = parsed(sent(f"<style>{sheet}</style>{element}")).css_first(name)
    assert found is not None
    return (found.attributes.get("style") or "").removesuffix(";")


def left_of(sheet: str, elements: str = '<p class="a">x <a href="y">z</a></p>') -> list[str]:
    """The texts of the style elements that stay."""
    found = parsed(sent(f"<style>{sheet}</style>{elements}")).css("style")
    return [style.text() for style in found]


@pytest.mark.parametrize(
    ("sheet", "element", "style"),
    [
        ("p.a { color: red } p { color: blue }", '<p class="a">', "color: red"),
        ("#i { color: red } p.a { color: blue }", '<p id="i" class="a">', "color: red"),
        ("p { color: red } p { color: blue }", "<p>", "color: blue"),
        ("p { color: red !important } #i { color: blue }", '<p id="i">', "color: red !important"),
        ("p { color: red !important }", '<p style="color: blue">', "color: red !important"),
        ("p { color: red !important }", '<p style="color: blue !important">', "color: blue !important"),
        ("p { color: red; margin: 0 }", '<p style="color: blue">', "margin: 0;color: blue"),
        (".a { margin-top: 5px } p { margin: 0 }", '<p class="a">', "margin: 0;margin-top: 5px"),
        ("p { margin-top: 1px } #i { margin: 0 }", '<p id="i">', "margin-top: 1px;margin: 0"),
        ("p:nth-child(2) { color: red }", "<p>", ""),
        ("p:not(.a) { color: red }", "<p>", "color: red"),
        ("<!-- p { color: red } -->", "<p>", "color: red"),
    ],
)
def test_the_rule_that_wins_in_a_browser_wins_in_the_attribute(sheet: str, element: str, style: str) -> None:
    assert style_of(sheet, element) == style  # where one property holds another, the order decides


def test_quotes_survive_inside_of_strings_of_either_kind() -> None:
    sheet = r"""p { font-family: "it's", 'a"b', "c\"d", 'e\'f', "g\\"; background: url("it's.png") }"""
    style = r"""font-family: 'it\27 s', 'a\22 b', 'c\22 d', 'e\27 f', 'g\\';background: url('it\27 s.png')"""
    assert style_of(sheet, "<p>") == style
    assert style_of("p { top: 0 }", "<p style='color: red; font-family: \"it&apos;s\"'>").endswith(r"'it\27 s'")


@pytest.mark.parametrize(
    ("attribute", "kept"),
    [
        ("color: red; bold; top: 0", "color: red;top: 0"),
        ("*zoom: 1; top: 0", "top: 0"),
        ("color = red; -x-y: z; mso-font-alt: a", "-x-y: z;mso-font-alt: a"),
        ("color: red; {{more}}; top: 0", "color: red;top: 0"),
        ("@media x { a: b }", ""),
        ("<!-- top: 0 -->", "top: 0"),
        ("/* a */ top: 0; /* b", "top: 0"),
        ("{{style}}", ""),
        (":;;", ""),
    ],
)
def test_what_is_odd_in_an_attribute_is_left_out_and_the_page_is_sent(attribute: str, kept: str) -> None:
    assert style_of("p { margin: 0 }", f'<p style="{attribute}">') == f"margin: 0;{kept}".rstrip(";")


def test_media_rules_stay_and_win_over_the_attributes() -> None:
    sheet = "p { width: 600px } @media (max-width: 400px) { p { width: 100%; color: red !important } }"
    assert left_of(sheet) == ["@media (max-width: 400px) { p { width: 100% !important; color: red !important } }"]
    assert style_of(sheet, "<p>") == "width: 600px"


def test_rules_for_states_stay_and_win_and_those_that_match_nothing_go() -> None:
    (left,) = left_of("a { color: red } a:hover { color: blue } a:hover, .none::before { top: 0 } .none { left: 0 }")
    assert left.splitlines() == [
        "a:hover { color: blue !important; }",
        "a:hover, .none::before { top: 0 !important; }",
    ]


def test_fonts_and_animations_stay_as_written() -> None:
    """``!important`` is an error in them."""
    sheet = '@font-face{font-family:"A;b";src:url(a.woff)}\n@keyframes k{from{top:0}to{top:1px}}\n@page{margin:0}'
    assert left_of(sheet) == [sheet]


def test_an_import_stays_in_front_where_readers_look_for_it() -> None:
    (left,) = left_of('@import url("http://x.example/a;b.css"); a:hover { top: 0 } @media print { p { top: 0 } }')
    assert left.startswith('@import url("http://x.example/a;b.css");\na:hover')


@pytest.mark.parametrize("attribute", ['media="print"', 'media="(max-width: 400px)"', 'media="only screen and (x)"'])
def test_a_sheet_for_some_media_is_not_for_all(attribute: str) -> None:
    markup = sent(f"<style {attribute}>p {{ color: red }}</style><p>x</p>")
    assert f"<style {attribute}>p {{ color: red !important}}</style>" in markup.replace(" }", "}")
    assert "<p>x</p>" in markup


@pytest.mark.parametrize("attribute", ['media="all"', 'media="Screen"', 'media="print, screen"', 'type="text/css"', ""])
def test_a_sheet_for_every_screen_is_inlined(attribute: str) -> None:
    markup = sent(f"<style {attribute}>p {{ color: red }}</style><p>x</p>")
    assert "<style" not in markup
    assert "color: red" in markup


def test_what_is_no_css_is_left_alone() -> None:
    style = '<style type="text/less">p { color: @red; it\'s "it\'s" }</style>'
    assert style in sent(f"{style}<p>x</p>")


def test_sheets_and_elements_that_say_ignore_are_left_alone() -> None:
    style = '<style data-css-inline="ignore">p{font-family:"it\'s"}</style>'
    markup = sent(f'{style}<style>p {{ top: 0 }}</style><p data-css-inline="ignore">x</p>')
    assert style in markup
    assert '<p data-css-inline="ignore">x</p>' in markup


def test_a_sheet_inside_a_picture_stays_in_it() -> None:
    assert "<svg><style>p{left:0 !important}</style></svg>" in sent("<p>x</p><svg><style>p{left:0}</style></svg>")


def test_a_rule_for_everything_styles_nothing_unseen() -> None:
    markup = sent("<title>t</title><style>* { border: 0 } a:hover { top: 0 }</style><p>x</p>")
    assert "<head><title>t</title><style>a:hover" in markup
    assert '<p style="border: 0;">' in markup


def test_comments_for_outlook_stay_as_they_are() -> None:
    outlook = '<!--[if mso]><style>p{color:red}</style><table role="x"><tr><td><![endif]-->'
    others = "<!--[if !mso]><!-->"
    markup = sent(f"<style>p{{color:blue}}</style><body>{outlook}{others}<p>x</p><!--<![endif]--></body>")
    assert f'{outlook}{others}<p style="color: blue;">x</p><!--<![endif]-->' in markup


@pytest.mark.parametrize("inside", ["", "<style></style>", "<style>p:foo(</style>"])
def test_a_page_without_style_is_sent_as_it_is(inside: str) -> None:
    written = (
        '<!DOCTYPE html>\n<html lang="en"><head><title>a &amp; b</title>{}</head><body class="é" id="i">\n'
        "<!-- c --><pre>\n\n  a</pre><p style=\"COLOR : red ; font: 'x'\">&lt;x&gt;<br><o:p></o:p></p></body></html>"
    )
    assert sent(written.format(inside)) == written.format("") + "\n"


def test_a_fragment_and_xhtml_become_pages() -> None:
    assert sent("<p>x<style>p{top:0}</style>") == (
        '<!DOCTYPE html>\n<html><head></head><body><p style="top: 0;">x</p></body></html>\n'
    )
    xhtml = (
        '<?xml version="1.0"?><!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "xhtml1-strict.dtd">'
        '<html xmlns="http://www.w3.org/1999/xhtml"><head><style type="text/css">/*<![CDATA[*/ p{top:0} /*]]>*/</style>'
        "</head><body><p>x<br/></p></body></html>"
    )
    for mark in ("", "\ufeff"):
        assert sent(mark + xhtml) == (
            '<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml"><head></head>'
            '<body><p style="top: 0;">x<br></p></body></html>\n'
        )


@pytest.mark.parametrize(
    "before", [f"<p>{LONG}</p>", f'<img src="data:{LONG}">', "<div>" * 400], ids=["long text", "long picture", "deep"]
)
def test_no_part_of_a_long_or_deep_page_is_lost(before: str) -> None:
    assert "the end" in sent(f"{before}the end")


def test_style_sheets_in_files_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("p { color: #123456 }")
    links = f'<link rel="stylesheet" href="a.css"><link rel="stylesheet" href="file://{tmp_path}/a.css">'
    imports = f'<style>@import "a.css"; @import url("file://{tmp_path}/a.css"); p {{ top: 0 }}</style>'
    markup = sent(f"{links}{imports}<p>x</p>", tmp_path)
    assert "#123456" not in markup
    assert links in markup  # a reader's program may follow them


PIECES = st.sampled_from(
    ["p", "a:hover", ".x", "*", "@media print", "@import 'x'", "@font-face", "--x", ":", "color:red",
     "top:0 !important", "{", "}", "{", "}", ";", "(", ")", "url(a;b)", "'", '"', "\\", "/*", "*/", "<!--", "-->",
     " ", "\n", "é"]
)  # fmt: skip
SHEETS = st.lists(PIECES, max_size=25).map("".join)
CLOSED = st.sampled_from(
    ["p", "a:hover", "@media print", "@font-face", "--x", ":", "top:0", "!important", "{", "}", "{", "}", ";", "(", ")",
     "url(a;b)", "'};'", '";"', "/*};*/", "<!--", " "]
)  # fmt: skip
BODY = (
    '<pre>\n\n a</pre><p class="x">é&nbsp;&lt;</p><table><tbody><tr><td>1</td></tr></tbody></table><!-- c --><p>end</p>'
)


@given(SHEETS, SHEETS)
def test_no_sheet_changes_what_a_page_says(sheet: str, attribute: str) -> None:
    body = BODY.replace("<p ", f'<p style="{html.escape(attribute)}" ')
    markup = parsed(sent(f"<style>p {{ margin: 0 }} {sheet}</style>{body}"))
    for style in markup.css("style"):
        style.decompose()
    for element in markup.css("[style]"):
        del element.attrs["style"]
    assert markup.body is not None
    assert (markup.body.html or "").replace("<pre>\n a", "<pre>\n\n a") == f"<body>{BODY}\n</body>"


@given(st.lists(CLOSED, max_size=25).map("".join))
def test_what_wins_already_is_not_raised_again(sheet: str) -> None:
    once = above_attributes(sheet)
    assert above_attributes(once) == once


def test_libraries_for_html_are_imported_for_html_alone(program: Program) -> None:
    """yagmail installs premailer, cssutils, lxml and keyring; none of them is ever imported for it."""
    profiled = {"PYTHONPROFILEIMPORTTIME": "1"}
    with MailHost() as host:
        program.configure(host.port)
        plain = program.run("send", "--to", "a@example.org", "--subject", "s", "--body", "x", **profiled)
        markup = page(program.home, "<style>p { color: red }</style><p>x</p>")
        styled = program.run("send", "--to", "a@example.org", "--subject", "s", "--html", markup, "--now", **profiled)
        markup = page(program.home, '<p style="color: red">x</p>')
        unstyled = program.run("send", "--to", "a@example.org", "--subject", "s", "--html", markup, **profiled)
        drained = program.run("drain", **profiled)
        assert len(host.messages) == 3
    imported = [set(LIBRARY.findall(answer.err)) for answer in (plain, styled, unstyled, drained)]
    assert imported == [set(), {"css_inline", "selectolax", "yagmail"}, {"selectolax"}, {"yagmail"}]
