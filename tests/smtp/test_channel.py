"""What has arrived on a connection is noticed at once."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from prx_email_cli.smtp.channel import Channel
from prx_email_cli.smtp.errors import ConnectionLost
from prx_email_cli.smtp.replies import Reply
from prx_email_cli.smtp.reply_buffer import ReplyBuffer


@pytest.fixture
def ends() -> Iterator[tuple[Channel, socket.socket]]:
    """A connection on which one reply was read, and nothing more was there; and the server's end."""
    ours, theirs = socket.socketpair()
    with closing(ours), closing(theirs):
        ours.setblocking(False)
        channel = Channel(ours, ReplyBuffer())
        theirs.sendall(b"250 ok\r\n")
        assert channel.reply() == Reply(250, "ok")
        assert not channel.heard()
        yield channel, theirs


def test_a_second_answer_right_behind_the_first_is_heard(ends: tuple[Channel, socket.socket]) -> None:
    channel, server = ends
    server.sendall(b"250 again\r\n")
    assert channel.heard()


def test_a_server_that_hangs_up_right_behind_its_answer_is_noticed(ends: tuple[Channel, socket.socket]) -> None:
    channel, server = ends
    server.shutdown(socket.SHUT_RDWR)
    with pytest.raises(ConnectionLost):
        channel.heard()
