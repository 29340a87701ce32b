"""Whatever a server says, and however it is cut into pieces, no result claims more than what really left."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from functools import partial

from hypothesis import example, given, settings
from hypothesis import strategies as st

from prx_email_cli.smtp.connection import Wire
from prx_email_cli.smtp.envelope import Result
from prx_email_cli.smtp.pipeline import Waiting
from prx_email_cli.smtp.server import ServerProfile
from prx_email_cli.smtp.session import Ended, Session
from prx_email_cli.smtp.transcript import Transcript

from .convoy import Cargo, transactions
from .courier import account_for

MESSAGES = 4
GOOD = [b"250 sender ok\r\n", b"250 recipient ok\r\n", b"354 go ahead\r\n"]
WELL = [*GOOD, *[b"250 kept\r\n", *GOOD] * (MESSAGES - 1), b"250 kept\r\n"]
LIES = st.sampled_from([b"250 ok\r\n", b"354 go\r\n", b"451 later\r\n", b"554 no\r\n", b"421 bye\r\n", b"what?\r\n",
                        b"250-more\r\n", b"2", b""])  # fmt: skip


def talk(pieces: Sequence[bytes], *, pipelining: bool) -> tuple[list[Result], bytes]:
    """Send some messages to a server that says one of *pieces* whenever it is waited for, and then hangs up."""
    ours, theirs = socket.socketpair()
    profile = ServerProfile()
    profile.extensions = {"pipelining": ""} if pipelining else {}
    wire = Wire(local_hostname="test", reply_timeout=60, transcript=Transcript(), profile=profile)
    wire.sock = ours
    results: list[Result] = []
    left = b""
    with ours, theirs:
        theirs.setblocking(False)
        session = Session(wire, account_for(25, allow_plaintext=True))
        waiting = iter(transactions(session, [Cargo()] * MESSAGES))
        said = iter(pieces)
        while session.alive and (first := next(waiting, None)) is not None:
            session.start(first, partial(next, waiting, None))
            while session.busy:
                event = session.go_on(0.0)
                left += _all(theirs)
                if isinstance(event, Waiting):
                    piece = next(said, None)
                    if piece is None:
                        theirs.shutdown(socket.SHUT_WR)
                    else:
                        theirs.send(piece)
                else:
                    assert isinstance(event, Ended)
                    results.append(event.result)
        session.abandon()
    return results, left


def _all(sock: socket.socket) -> bytes:
    try:
        return sock.recv(1 << 20)
    except BlockingIOError:
        return b""


@st.composite
def lies(draw: st.DrawFn) -> list[bytes]:
    """A good dialogue with some replies dropped, added and changed, cut into pieces anywhere."""
    replies = list(WELL)
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(replies) - 1))
        replies[place : place + draw(st.integers(0, 1))] = [draw(LIES)]
    octets = b"".join(replies[: draw(st.integers(1, len(replies)))])
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(octets) - 1)), max_size=12)))
    return [octets[start:end] for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True) if start < end]


@settings(max_examples=600, deadline=None)
@given(lies() | st.just(WELL), st.booleans())
@example(WELL, True)
def test_a_result_claims_no_more_than_what_left_and_no_less(pieces: list[bytes], pipelining: bool) -> None:
    results, left = talk(pieces, pipelining=pipelining)
    for number, result in enumerate(results, 1):
        fates = {one.fate.value for one in result.recipients.values()}
        begun = b"<%d@example.com>" % number in left
        whole = re.search(rb"<%d@example\.com>\r\n.*?\r\n\.\r\n" % number, left, re.DOTALL) is not None
        if result.left_alone:
            assert not begun
            assert not fates
        if "accepted" in fates or "uncertain" in fates:
            assert whole
        if whole:
            assert fates
        assert (result.acceptance is not None) == (fates == {"accepted"})


def test_a_server_that_does_not_lie_gets_every_message_however_it_is_cut() -> None:
    for size in range(1, 60):
        pieces = [reply[at : at + size] for reply in WELL for at in range(0, len(reply), size)]
        results, _ = talk(pieces, pipelining=True)
        assert [result.acceptance for result in results] == ["kept"] * MESSAGES
