"""The plain text of a page: its words and links as a browser shows them, whatever the page is."""

import pytest

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.html import PICTURE_ALONE, plain_text

QUERY = "https://x.example/?id=1&currency=EUR&section=2&timestamp=3"


@pytest.mark.parametrize(
    ("page", "text"),
    [
        (f'<a href="{QUERY}">pay</a>', f"pay <{QUERY}>"),
        (f'<a href="{QUERY.replace("&", "&amp;")}">pay</a>', f"pay <{QUERY}>"),
        (f"<a href={QUERY}>pay</a>", f"pay <{QUERY}>"),
        (f'<a href="{QUERY}">{QUERY}</a>', QUERY),  # in text a browser makes a sign of it: the link is what was meant
        (f'<a href="{QUERY}">{QUERY.replace("&", "&amp;")}</a>', QUERY),
        ('<a href="?a=1&copy">c</a>', "c <?a=1©>"),  # at the end it is a reference
        ('<a href="?a=1&copy=2&lt;&#38;">c</a>', "c <?a=1&copy=2%3C&>"),
        ("<p>AT&T, R&D, a&b; &copy &euro;&nbsp;5", "AT&T, R&D, a&b; © € 5"),
        ("<p>x &notit; &amp;lt; &#128;", "x ¬it; &lt; €"),
        ("<p>2024. was<br>1. one<br>- a<br>+ b<br># c<br>> d", "2024. was\n1. one\n- a\n+ b\n# c\n> d"),
        ("<p>a_b_c *d* `e` \\f [g](h) <!-- no -->&lt;i&gt; ~j~ |k|", "a_b_c *d* `e` \\f [g](h) <i> ~j~ |k|"),
        ("<p><b>bo</b>ld <i>it</i>, <u>u</u>", "bold it, u"),
    ],
)  # fmt: skip
def test_links_and_words_come_out_as_the_page_shows_them(page: str, text: str) -> None:
    assert plain_text(page) == text + "\n"


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ('<a href="https://e.example/">e.example</a>', "https://e.example/"),
        ('<a href="mailto:a@b.example">a@b.example</a>', "a@b.example"),
        ('<a href="mailto:a@b.example">Bob</a>', "Bob <a@b.example>"),
        ('<a href="mailto:a@b.example?subject=x%20y">Bob</a>', "Bob <mailto:a@b.example?subject=x%20y>"),
        ('<a href="tel:+49-30-1234567">030 1234567</a>', "030 1234567"),
        ('<a href="#top">up</a> <a href="javascript:x()">run</a> <a name="n">here</a>', "up run here"),
        ('<a href=" https://e.example/a\n b ">x</a>', "x <https://e.example/a%20b>"),
        ('<base href="https://e.example/d/"><a href="x?a=1&b=2">x</a>', "x <https://e.example/d/x?a=1&b=2>"),
        ('<base href="http://[x"><a href="y">x</a>', "x <y>"),
        ('<a href="https://e.example/"><table><tr><td>Go</table></a>', "Go <https://e.example/>"),
        ('<a href="https://e.example/"><p>a<p>b</a>', "a <https://e.example/>\n\nb <https://e.example/>"),
        ('<a href="https://e.example/"><img src=a alt="Shop"></a>', "Shop <https://e.example/>"),
        ('see<a href="https://e.example/"><img src=a></a>', "see <https://e.example/>"),
        ('<a href="https://e.example/"></a>x', "x"),
    ],
)  # fmt: skip
def test_an_address_is_written_once_and_where_it_says_something(page: str, text: str) -> None:
    assert plain_text(page) == text + "\n"


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>One\n two</p><div>a<div>b</div>c</div><h1>H</h1>x", "One two\n\na\nb\nc\n\nH\n\nx"),
        ("<ul><li>a<li><p>b</p><ul><li>c</ul></ul>", "* a\n\n* b\n\n  * c"),
        ("<ol start=9><li>a<br>b<li>c<li value=20>d</ol>", "9. a\n   b\n10. c\n20. d"),
        ('<ul style="list-style: none"><li>a<li>b</ul>', "a\nb"),
        ("x<blockquote><p>a<p>b<blockquote>c</blockquote></blockquote>d", "x\n\n> a\n>\n> b\n>\n> > c\n\nd"),
        ("<pre>\n\n a\n\n  b </pre>c", " a\n\n  b\n\nc"),
        ('<p style="white-space: pre-wrap">a\n  b</p>', "a\n  b"),
        ("<table><tr><th>Disk<th>Used<tr><td><p>/</p><td>91 %</table>", "Disk  Used\n/  91 %"),
        ("<table><tr><td><p>a<p>b<td>c</table>", "a\n\nb\n\nc"),
        ("<dl><dt>T<dd>D</dl>10<sup>6</sup> x<sup>nd</sup> H<sub>2</sub>O", "T\n    D\n\n10⁶ xnd H2O"),
        ("a<br><br><br><br><br>b<p>&nbsp;</p><p>c&nbsp;&nbsp;d&shy;e&#1;", "a\n\n\nb\n\nc  de"),
        ("<p>a<hr>b", f"a\n\n{'-' * 40}\n\nb"),
        ("<q>a</q>", "“a”"),
        ('<span style="display: block">a</span>b', "a\nb"),
    ],
)  # fmt: skip
def test_blocks_lists_tables_and_quotes_are_laid_out(page: str, text: str) -> None:
    assert plain_text(page) == text + "\n"


@pytest.mark.parametrize(
    "unseen",
    [
        "<title>t</title>", "<style>t</style>", "<script>t</script>", "<template>t</template>", "<!-- t -->",
        "<iframe>t</iframe>", '<div style="color:red;DISPLAY : none">t</div>', "<p hidden>t</p>", '<input value="t">',
        '<div style="visibility:hidden">t</div>', "<dialog>t</dialog>", "<head><meta name=t></head>",
        "<!--[if mso]>t<![endif]-->", "<p><span hidden><b>t</b></span></p>",
    ],
)  # fmt: skip
def test_what_a_page_does_not_show_is_left_out(unseen: str) -> None:
    assert plain_text(f"{unseen}<p>seen") == "seen\n"


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ('<img src="a.png" alt="Sale: 50 %"><img src=b.png alt="Only today">', "Sale: 50 % Only today\n"),
        ('<img src="a.png">', PICTURE_ALONE),
        ('<img src="a.png" alt=""><img src="b.png" alt="b.png">', PICTURE_ALONE),
        ('<table background="https://x.example/a.png"><tr><td>&nbsp;</table>', PICTURE_ALONE),
        ("<svg><title>t</title></svg>", PICTURE_ALONE),
        ('<p>x<img src="https://count.example/?1" alt="t" width=1 height=1></p>', "x\n"),
        ("<p> </p>", ""),
    ],
)
def test_pictures_are_told_by_their_words_or_by_where_to_look(page: str, text: str) -> None:
    assert plain_text(page) == text


@pytest.mark.parametrize(
    "start", ["\ufeff", '<?xml version="1.0" encoding="UTF-8"?>', '\ufeff\n<?XML version="1.0"?>\n']
)
def test_what_stands_before_a_page_is_no_part_of_it(start: str) -> None:
    assert plain_text(start + "<!DOCTYPE html><html><body>x</body></html>") == "x\n"


@pytest.mark.parametrize(
    "page",
    [
        "<div>" * 100_000, "<table><tr><td>" * 50_000, "".join(f"<p><b id={n}>" for n in range(20_000)),
        "<div><!--</div>-->" * 50_000, '<div title="</div>">' * 50_000, "<p><object>" * 50_000,
        f"<p {' '.join(f'a{n}' for n in range(50_000))}>", "\ud800",
    ],
)  # fmt: skip
def test_a_page_that_would_take_no_end_of_time_is_refused(page: str) -> None:
    with pytest.raises(ValidationError):
        plain_text(page + "x")


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<b>" * 50_000 + "x", "x\n"),
        ("<p><b>x</b>" * 20_000, "x\n\n" * 19_999 + "x\n"),
        ("<li>x" * 20_000, "* x\n" * 20_000),
        ("<div><div>x</div></div>" * 20_000, "x\n" * 20_000),
        ("<table>" + "<tr><td><font color=red>x" * 20_000, "x\n" * 20_000),
        ("<p><span>x</p>" * 20_000, "x\n\n" * 19_999 + "x\n"),
        ("<blockquote>" * 900 + "x", "> " * 12 + "x\n"),
    ],
)
def test_a_long_or_careless_page_is_read(page: str, text: str) -> None:
    assert plain_text(page) == text
