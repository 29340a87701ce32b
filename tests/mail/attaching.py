"""What the attachment tests share: a policy, a store beside a secret, and an eye on open descriptors."""

import gc
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from prx_email_cli.errors import ValidationError
from prx_email_cli.mail.attachments import Policy
from prx_email_cli.mail.mime import Attachment

ALLOWED = ("application/pdf", "image/jpeg", "image/png", "text/plain", "application/zip")
INSIDE, SECRET = b"what the store holds", b"what lies outside"
ESCAPES = "attachment path escapes storage root"


def policy(store: Path | None = None, allowed: Iterable[str] = ALLOWED, size: int = 1000) -> Policy:
    """A policy; size: bytes of one attachment."""
    return Policy(size, tuple(allowed), 10 * size, store)


def content(attachment: Attachment) -> bytes:
    """All of its bytes."""
    return b"".join(attachment.chunks)


def secret_beside_store(directory: Path) -> tuple[Path, Path]:
    """A store with ``report.txt`` and ``sub/report.txt``, and a directory outside it with secrets of those names."""
    store, outside = directory / "store", directory / "outside"
    for place, data in ((store, INSIDE), (outside, SECRET)):
        (place / "sub").mkdir(parents=True)
        (place / "report.txt").write_bytes(data)
        (place / "sub" / "report.txt").write_bytes(data)
    return store, outside


def told(refused: ValidationError) -> str:
    """Message and hint, once the exit status and the shape of both are as they must be."""
    assert (refused.exit_code, refused.code) == (65, "validation")
    text = f"{refused.message} ({refused.hint})"
    assert text.isprintable(), text
    return text


@contextmanager
def descriptors_given_back() -> Iterator[None]:
    """Whatever is opened inside is closed at the end."""
    before = open_descriptors()
    yield
    if open_descriptors() != before:
        gc.collect()  # an exception that pytest keeps holds on to what it went through
    assert open_descriptors() == before


def open_descriptors() -> int:
    """How many descriptors this process has open."""
    return len(os.listdir("/proc/self/fd" if os.path.isdir("/proc/self/fd") else "/dev/fd"))
