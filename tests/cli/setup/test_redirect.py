"""The listener for the browser that comes back, by itself: what cannot be provoked from outside at will."""

import socket

from prx_email_cli.oauth.login import Redirect


def test_the_page_is_out_before_the_answer_counts() -> None:
    """A login that fails ends at once: the browser would be left with half a page, or with none."""
    for _ in range(8):  # of threads that race
        with Redirect("127.0.0.1") as redirect:
            port = int(redirect.uri.rpartition(":")[2])
            with socket.create_connection(("127.0.0.1", port)) as browser:
                browser.sendall(f"GET /?code=c&state={redirect.state} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                assert redirect.code(5) == "c"
                head, _, page = browser.recv(65536, socket.MSG_DONTWAIT).partition(b"\r\n\r\n")
        assert f"Content-Length: {len(page)}".encode() in head
        assert b"prx-email" in page


def test_nothing_of_the_answer_can_be_kept_by_the_browser() -> None:
    """The address has the code in it: it is neither stored nor handed on, and the page says nothing of it."""
    with Redirect("127.0.0.1") as redirect:
        port = int(redirect.uri.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=5) as browser:
            query = f"code=c0de&state={redirect.state}&x=%3Cscript%3E"
            browser.sendall(f"GET /?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            redirect.code(5)
            answer = b"".join(iter(lambda: browser.recv(65536), b""))
    assert b"Cache-Control: no-store" in answer
    assert b"Referrer-Policy: no-referrer" in answer
    assert not any(word in answer for word in (b"c0de", redirect.state.encode(), b"<script>"))
