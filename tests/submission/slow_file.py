"""Runs prx-email, whose attachments come slowly: ``python slow_file.py DESCRIPTOR N COMMAND...``.

Before the Nth read of an attachment it says ``held`` on stderr, and waits until the pipe DESCRIPTOR is at its end.
"""

import os
import sys
from itertools import count


def hold_reading(descriptor: int, nth: int) -> None:
    """Let the Nth read wait."""
    from prx_email_cli.mail.attachment_files import FileChunks

    reads, original = count(1), FileChunks.__next__

    def held(self: FileChunks) -> bytes:
        if next(reads) == nth:
            os.write(2, b"held\n")
            os.read(descriptor, 1)
        return original(self)

    FileChunks.__next__ = held  # type: ignore[method-assign]


if __name__ == "__main__":
    hold_reading(int(sys.argv[1]), int(sys.argv[2]))
    sys.argv = ["prx-email", *sys.argv[3:]]
    from prx_email_cli.__main__ import main

    main()
