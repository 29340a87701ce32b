"""Read messages from a single file, an mbox or a Maildir, and write an mbox.  Memory does not grow with their size."""

import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

KEPT_BYTES = 1024 * 1024  # of each message: headers and text come first, attachments after them
_BLOCK = 1024 * 1024
_LOOKAHEAD = 2048
_BEFORE = re.compile(rb"(?:\xef\xbb\xbf)?(?:[ \t]*+\r*+\n)*+")  # a byte order mark, blank lines
_FROM_LINE = re.compile(rb"From [^\n]{0,1000}\n")
_HAS_TIME = re.compile(rb"\d\d?:\d\d")
_HAS_DATE = re.compile(rb" (?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) +[A-Z][a-z]{2} +\d\d? \d\d?:\d\d")
_FIELD = re.compile(rb"[!-9;-~]+[ \t]*:")
_LIKE_FROM = re.compile(rb"(?m)^(>*From )")
_QUOTED_FROM = re.compile(rb"(?m)^>(>*From )")


def messages_in(stream: BinaryIO) -> Iterator[bytes]:
    """Yield the messages in *stream*, at most KEPT_BYTES of each: an mbox if it begins with "From ", else one.

    Reads *stream* to its end, so that the writer of a pipe is never stopped.
    """
    window = bytearray()
    while len(window) < _LOOKAHEAD and (more := stream.read(_BLOCK)):
        window += more
        if before := _BEFORE.match(window):
            del window[: before.end()]
    if window.startswith(b"From "):
        yield from _split(window, stream)
    elif window:
        while len(window) < KEPT_BYTES and (more := stream.read(_BLOCK)):
            window += more
        yield bytes(window[:KEPT_BYTES])
        del window[:]
        while stream.read(_BLOCK):
            pass


def _split(window: bytearray, stream: BinaryIO) -> Iterator[bytes]:
    """Yield the messages of an mbox whose beginning is in *window*; the current one always starts at index 0."""
    del window[: window.find(b"\n") + 1]
    searched = 0
    ended = False
    while True:
        found = window.find(b"\nFrom ", searched)
        if found >= 0 and (ended or len(window) - found > _LOOKAHEAD):
            length = _separator(window, found)
            searched = found + 1
            if length:
                yield _one(window, found)
                del window[: found + length]
                searched = 0
            continue
        if ended:
            break
        searched = found if found >= 0 else max(searched, len(window) - len(b"\nFrom"))
        cut = searched - 2  # the line end before it tells whether that line is blank
        if cut > KEPT_BYTES:  # KEPT_BYTES of this message are there
            del window[KEPT_BYTES:cut]
            searched = KEPT_BYTES + 2
        more = stream.read(_BLOCK)
        ended = not more
        window += more
    yield _one(window, len(window) - window.endswith((b"\n\n", b"\n\r\n")))


def _separator(window: bytearray, found: int) -> int:
    """Measure the line break and "From " separator at *found*; 0 when it is a line of text.

    A separator has a whole date in it; or it follows a blank line, and has a time in it or a header after it.
    """
    line = _FROM_LINE.match(window, found + 1)
    if line is None:
        return 0
    blank = not found or window[found - 1 : found] == b"\n" or window[found - 2 : found] == b"\n\r"
    ends = blank and (_HAS_TIME.search(line[0]) or _FIELD.match(window, line.end()))
    return line.end() - found if ends or _HAS_DATE.search(line[0]) else 0


def _one(window: bytearray, end: int) -> bytes:
    """Return the message that ends before the blank line whose line feed is at *end*."""
    end -= window[end - 2 : end] == b"\n\r"
    message = bytes(window[: min(end, KEPT_BYTES)])
    return _QUOTED_FROM.sub(rb"\1", message) if b"\n>" in message else message


def as_mbox(pieces: Iterable[bytes], sender: str, when: int) -> Iterator[bytes]:
    """Yield a message as an mbox has it: after a separator, with lines like it marked by ">", before a blank line.

    sender: "" for the null one.  when: the separator's time, in Unix seconds.
    """
    who = "".join("-" if character.isspace() else character for character in sender) or "MAILER-DAEMON"
    yield f"From {who} {time.asctime(time.gmtime(when))}\n".encode("utf-8", "surrogateescape")
    kept = b""
    for piece in pieces:
        kept += piece
        end = kept.rfind(b"\n") + 1
        yield _LIKE_FROM.sub(rb">\1", kept[:end])
        kept = kept[end:]
    yield _LIKE_FROM.sub(rb">\1", kept) + (b"\n\n" if kept else b"\n")


def is_maildir(path: Path) -> bool:
    """Tell whether *path* is a directory with the parts of a Maildir."""
    return (path / "cur").is_dir() or (path / "new").is_dir()


def maildir_files(path: Path) -> Iterator[Path]:
    """Yield the messages of a Maildir, the oldest first: their names begin with the time of delivery."""
    names = []
    for part in ("cur", "new"):
        if (path / part).is_dir():
            with os.scandir(path / part) as entries:
                names += [(entry.name, part) for entry in entries if entry.is_file() and not entry.name.startswith(".")]
    for name, part in sorted(names):
        yield path / part / name
