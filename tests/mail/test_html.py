"""HTML bodies: alternatives, inlined style, images taken along, and never a request to the network."""

import html.parser
import http.server
import threading
from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Program
from ..support.mailhost import MailHost

PNG = bytes.fromhex("89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489")


class _Counting(http.server.BaseHTTPRequestHandler):
    seen: list[str]

    def setup(self) -> None:
        self.seen.append("a connection")
        super().setup()

    def do_GET(self) -> None:
        self.seen.append(self.path)
        self.send_response(404)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def web() -> Iterator[tuple[int, list[str]]]:
    """A web server on loopback that notes who comes, and what it is asked."""
    seen: list[str] = []
    handler = type("Handler", (_Counting,), {"seen": seen})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_address[1], seen
    server.shutdown()
    server.server_close()
    thread.join()


def delivered(program: Program, *arguments: str) -> EmailMessage:
    """What a server gets of ``prx-email send ARGUMENTS --now``."""
    with MailHost() as host:
        program.configure(host.port)
        answer = program.call("send", "--to", "a@example.org", "--subject", "s", *arguments, "--now")
        assert answer.status == 0, answer
        (message,) = host.messages
    return message_from_bytes(message.content.replace(b"\r\n", b"\n"), policy=policy.default)


def page(home: Path, html: str) -> str:
    (home / "page.html").write_text(html)
    return str(home / "page.html")


def test_html_goes_out_beside_the_plain_text(program: Program) -> None:
    markup = "<style>p { color: #123456 }</style><p>Hello <b>you</b>"
    message = delivered(program, "--html", page(program.home, markup), "--body", "Hello you\n")

    assert message.get_content_type() == "multipart/alternative"
    plain, html = message.iter_parts()
    assert (plain.get_content_type(), html.get_content_type()) == ("text/plain", "text/html")
    assert plain.get_content() == "Hello you\n"
    assert '<p style="color: #123456;">Hello <b>you</b></p>' in html.get_content()


def test_a_plain_text_is_derived_when_there_is_none(program: Program) -> None:
    html = (
        '<style>p {color: red}</style><p>Backup <a href="https://x.example/log">failed</a></p><ul><li>one<li>two</ul>'
    )
    plain = next(iter(delivered(program, "--html", page(program.home, html)).iter_parts()))

    text = plain.get_content()
    assert "Backup" in text
    assert "https://x.example/log" in text
    assert "one" in text
    assert "color" not in text


def test_nothing_is_ever_fetched(program: Program, web: tuple[int, list[str]]) -> None:
    port, seen = web
    at = f"http://127.0.0.1:{port}"
    html = (
        f'<!DOCTYPE html SYSTEM "{at}/dtd"><html><head><link rel="stylesheet" href="{at}/a.css"><base href="{at}/">'
        f'<link rel="stylesheet" href="g.css"><style media="print">@import "{at}/h.css";</style>'
        f'<style>@import url("{at}/b.css"); @\\69mport "{at}/c.css"; p {{ background: url({at}/d.png) }}</style></head>'
        f'<body background="{at}/e.png"><img src="{at}/f.png"><p>text</p></body></html>'
    )
    message = delivered(program, "--html", page(program.home, html))

    assert seen == []
    assert f"{at}/f.png" in message.get_body(("html",)).get_content()  # type: ignore[union-attr]


def test_a_local_image_goes_inline_once(program: Program) -> None:
    (program.home / "logo é.png").write_bytes(PNG)
    html = '<img src="logo%20%C3%A9.png"><img src="logo é.png"><p>x'
    message = delivered(program, "--html", page(program.home, html), "--body", "x\n")

    related = next(part for part in message.walk() if part.get_content_type() == "multipart/related")
    (_, image) = related.iter_parts()
    identity = image["Content-ID"].strip("<>")
    shown = message.get_body(("html",)).get_content()  # type: ignore[union-attr]
    assert shown.count(f"cid:{identity}") == 2
    assert (image.get_content_type(), image.get_content()) == ("image/png", PNG)
    assert image.get_content_disposition() == "inline"


OUTSIDE = "outside its own directory"


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("../secret.png", OUTSIDE), ("/etc/hostname.png", OUTSIDE), ("sub/../../secret.png", OUTSIDE),
        ("%2e%2e/secret.png", OUTSIDE), ("link.png", "symbolic link"),
        ("a.gif", "attachment content type is not allowed"),
    ],
)  # fmt: skip
def test_an_image_from_elsewhere_or_against_the_policy_is_refused(program: Program, source: str, why: str) -> None:
    (program.home.parent / "secret.png").write_bytes(PNG)
    (program.home / "link.png").symlink_to(program.home.parent / "secret.png")
    (program.home / "a.gif").write_bytes(b"GIF89a")
    answer = program.call(
        "send", "--to", "a@b.c", "--subject", "s", "--html", page(program.home, f'<img src="{source}">')
    )
    assert answer.status == 65
    assert why in answer.err
    assert program.call("list", "--json").data == []


def test_a_request_brings_html_but_no_local_images(program: Program) -> None:
    (program.home / "a.png").write_bytes(PNG)
    document = '{"to": "a@example.org", "subject": "s", "body_html": "<img src=\\"a.png\\"><p>x</p>"}'
    answer = program.call("send", "--request", "-", text=document)
    assert answer.status == 0, answer
    assert program.show(int(answer.out))["size_bytes"] < 1500


class _Reader(html.parser.HTMLParser):
    """What a reader's program finds: the targets of the links, and the words."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if name == "href" and value]

    def handle_data(self, data: str) -> None:
        self.words += data


def parts(message: EmailMessage) -> tuple[str, str]:
    """The plain text and the HTML."""
    plain, markup = (message.get_body((kind,)) for kind in ("plain", "html"))
    assert plain is not None
    assert markup is not None
    return plain.get_content(), markup.get_content()


def test_links_arrive_in_both_parts_as_a_browser_reads_them(program: Program) -> None:
    link = "https://x.example/?id=1&currency=EUR&section=2&timestamp=3&a[]={$|}"
    written = link.replace("&section", "&amp;section")
    plain, markup = parts(delivered(program, "--html", page(program.home, f'<p>AT&T <a href="{written}">pay</a>')))

    assert plain == f"AT&T pay <{link}>\n"
    assert (_Reader(markup).links, _Reader(markup).words.strip()) == ([link], "AT&T pay")
    assert "&currency" not in markup  # well escaped: no reader can take it for a sign


def test_a_byte_order_mark_is_no_part_of_a_text(program: Program) -> None:
    (program.home / "text").write_bytes(b"\xef\xbb\xbfHello\n")
    assert delivered(program, "--body-file", str(program.home / "text")).get_content() == "Hello\n"


def test_requests_may_begin_with_a_byte_order_mark(program: Program) -> None:
    request = '\ufeff{"to": "a@example.org", "subject": "s", "body_html": "\ufeff<p>x</p>"}\n'
    assert program.call("send", "--request", "-", text=request).status == 0
    assert program.call("send", "--batch", "-", text=request + request.removeprefix("\ufeff")).status == 0


def test_what_a_style_sheet_hides_is_not_in_the_plain_text(program: Program) -> None:
    markup = '<style>.preheader { display: none }</style><div class="preheader">hidden</div><p>seen</p>'
    assert parts(delivered(program, "--html", page(program.home, markup)))[0] == "seen\n"


@pytest.mark.parametrize(
    "markup", ["<div>" * 100_000 + "x", "<div>" * 700 + "x", "<style></style>", "\ufeff"],
    ids=["far too deep", "too deep", "only style", "nothing"],
)  # fmt: skip
def test_a_page_that_cannot_be_sent_is_refused(program: Program, markup: str) -> None:
    answer = program.call("send", "--to", "a@b.c", "--subject", "s", "--html", page(program.home, markup))
    assert (answer.status, "error: " in answer.err) == (65, True), answer
