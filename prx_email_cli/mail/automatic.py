"""Tell mail that a program wrote by itself from mail that somebody meant; pure."""

import re
from collections.abc import Iterable

from prx_email_cli.mail.raw_head import Field

_COMMENT = re.compile(rb"\([^()]*\)")


def is_automatic(sender: str, fields: Iterable[Field]) -> bool:
    """Tell whether a message is automatic, so that mail about it would be mail about mail.

    sender: of the envelope; a bounce has none (RFC 5321 section 4.5.5).  Auto-Submitted says so itself (RFC 3834
    section 5), and cron writes its job's environment into headers.
    """
    return not sender or any(_says_so(field) for field in fields)


def _says_so(field: Field) -> bool:
    if field.name == b"auto-submitted":
        keyword = _COMMENT.sub(b"", field.value).partition(b";")[0].strip().lower()
        return keyword not in (b"", b"no")
    return field.name == b"x-cron-env"
