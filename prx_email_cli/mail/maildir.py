"""Deliver messages into a Maildir."""

import os
import socket
import time
from collections.abc import Iterable
from itertools import count
from pathlib import Path

from prx_email_cli.files import create, make_directories

_NUMBERS = count()


def deliver(directory: Path, pieces: Iterable[bytes]) -> Path:
    """Write a message into the Maildir *directory*, made if it is missing, and return its file.  Raises OSError."""
    for part in ("tmp", "new", "cur"):
        make_directories(directory / part)
    host = socket.gethostname().replace("/", r"\057").replace(":", r"\072")
    name = f"{int(time.time())}.P{os.getpid()}Q{next(_NUMBERS)}R{os.urandom(4).hex()}.{host}"
    unfinished, file = directory / "tmp" / name, directory / "new" / name
    try:
        with open(create(unfinished), "wb") as stream:
            for piece in pieces:
                stream.write(piece)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(unfinished, file)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    return file
