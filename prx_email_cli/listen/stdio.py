"""Speak SMTP on standard input and output, as ``sendmail -bs`` does."""

import asyncio
import logging
import os
import socket
import threading
from collections.abc import Callable

from prx_email_cli.config.settings import Settings
from prx_email_cli.listen.clients import this_process
from prx_email_cli.listen.desk import Desk, Surroundings, refuse_local_names
from prx_email_cli.listen.dialogue import Dialogue
from prx_email_cli.outbox.messages import Caller
from prx_email_cli.submission.raw import Qualify

_READ_BYTES = 64 * 1024


def speak(
    settings: Settings, say: Callable[[str], None], *, streams: tuple[int, int] = (0, 1), caller: Caller | None = None,
    qualify: Qualify = refuse_local_names,
) -> None:  # fmt: skip
    """Hold one SMTP dialogue until QUIT or the end of the input.

    streams: the descriptors to read from and to write to.  say: prints a line for the operator.  caller: who it is, by
    default this process's user.  Raises StorageError when the outbox cannot be opened.
    """
    desk = Desk(settings, Surroundings((), None, None, socket.gethostname(), say, qualify))
    with desk.clerk:
        speak_at(desk, streams=streams, caller=caller)


def speak_at(desk: Desk, *, streams: tuple[int, int] = (0, 1), caller: Caller | None = None) -> None:
    """Hold the dialogue at this *desk*; see ``speak``."""
    logging.getLogger("mail.log").setLevel(logging.CRITICAL + 1)
    with asyncio.Runner() as runner:
        runner.run(_speak(desk, streams, caller))


async def _speak(desk: Desk, streams: tuple[int, int], caller: Caller | None) -> None:
    """Serve one end of a pair of sockets; threads carry the other end from and to the streams.

    They may be files, which an event loop cannot wait for.
    """
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: None)
    desk.use(loop)
    ours, theirs = socket.socketpair()
    client = this_process()
    ended: asyncio.Future[None] = loop.create_future()
    dialogue = Dialogue(desk, client if caller is None else client._replace(caller=caller), loop)
    dialogue.on_end = lambda _: _settle(ended)
    await loop.connect_accepted_socket(lambda: dialogue, ours)
    threading.Thread(target=_carry_in, args=(streams[0], theirs), daemon=True).start()
    out = threading.Thread(target=_carry_out, args=(theirs, streams[1]))
    out.start()
    await ended
    await loop.run_in_executor(None, out.join)
    theirs.close()


def _settle(ended: "asyncio.Future[None]") -> None:
    if not ended.done():
        ended.set_result(None)


def _carry_in(source: int, to: socket.socket) -> None:
    try:
        while data := os.read(source, _READ_BYTES):
            to.sendall(data)
        to.shutdown(socket.SHUT_WR)
    except OSError:  # the dialogue has ended
        return


def _carry_out(source: socket.socket, to: int) -> None:
    try:
        while data := source.recv(_READ_BYTES):
            view = memoryview(data)
            while view:
                view = view[os.write(to, view) :]
    except OSError:  # nobody reads the answers
        source.close()
