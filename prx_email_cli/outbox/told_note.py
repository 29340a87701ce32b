"""Note in a file beside the runs what a person was told, so that drains do not tell it each minute."""

import errno
import fcntl
import os

from prx_email_cli.errors import StorageError
from prx_email_cli.outbox.runs import Runs
from prx_email_cli.outbox.telling import read, told_again, written

_NOTE, _MOST_BYTES = "told", 65_536


def note_told(runs: Runs, cause: str, now: int, most: int) -> bool:
    """Note that *cause* is told at *now*; False if it must not be told.  Costs no fsync.

    Raises StorageError when it cannot be noted, ChangeableByOthers when others could have written the note.
    """
    try:
        with runs.opened_file(_NOTE, make=True) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            told = told_again(read(os.pread(descriptor, _MOST_BYTES, 0)), cause, now, most)
            if told is None:
                return False
            note = written(told)
            if os.pwrite(descriptor, note, 0) < len(note):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.ftruncate(descriptor, len(note))
    except OSError as error:
        raise StorageError(
            f"cannot note in {runs.directory} what was told: {error.strerror}",
            hint="check that the directory is writable by you",
        ) from None
    return True
