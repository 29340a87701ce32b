"""Group what has failed by its cause, and say what helps; pure."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from prx_email_cli.checks.known_replies import Known, known_reply
from prx_email_cli.outbox.views import Failure

# What differs between two replies of one cause: addresses, hosts, IP addresses, times, and the server's own ids.
_DIFFERING = re.compile(
    r"<?[^\s<>@]+@[^\s<>@]+>?|\b(?:[\w-]+\.)+[a-z]{2,}(?::\d+)?\b|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"
    r"|\[?[0-9a-f]*:[0-9a-f:]*:[0-9a-f:]*\]?|\b\d{1,2}:\d{2}(?::\d{2})?\b|\b(?=\w*\d)\w{6,}\b",
    re.IGNORECASE,
)


class Cause(NamedTuple):
    """Messages that have failed for one reason.

    example: the words of the latest one.  oldest_at: when the first of them was due first, in Unix seconds.
    uncertain: they may have been accepted, and are held until a person decides.
    """

    account: str
    by_account: bool
    gave_up: bool
    error: str
    example: str
    many: int
    oldest_at: int
    outbox_id: int
    uncertain: bool = False

    @property
    def known(self) -> Known | None:
        """Return what is known of the reply, None for any other."""
        return known_reply(self.example)


def masked(text: str) -> str:
    """Replace what differs between two replies of one cause."""
    return _DIFFERING.sub("…", text)


def causes_of(failures: Iterable[Failure]) -> list[Cause]:
    """Group *failures* by account, whom they concern and the masked words, the largest group first."""
    return [cause for cause, _ in grouped(failures)]


def grouped(failures: Iterable[Failure]) -> list[tuple[Cause, list[Failure]]]:
    """Return each cause with the failures that it stands for, in the order of ``causes_of``."""
    groups: dict[tuple[object, ...], tuple[Cause, list[Failure]]] = {}
    for one in failures:
        gave_up, words = one.gave_up is not None, one.last_error or str(one.gave_up or "")
        key = (one.account, one.by_account, gave_up, one.error_code, one.uncertain, masked(words))
        new = Cause(
            one.account,
            one.by_account,
            gave_up,
            one.error_code or "",
            words,
            one.many,
            one.oldest_at,
            one.outbox_id,
            one.uncertain,
        )
        old, ours = groups.get(key, (None, []))
        ours.append(one)
        groups[key] = (new if old is None else max(old, new, key=lambda cause: cause.outbox_id)._replace(
            many=old.many + new.many, oldest_at=min(old.oldest_at, new.oldest_at)
        ), ours)  # fmt: skip
    return sorted(groups.values(), key=lambda group: (-group[0].many, group[0].outbox_id))


def fix_of(cause: Cause, number: int, login: str | None = None) -> str:
    """Return the command or deed that helps.  number: of the cause, from 1.  login: what gives the account a secret."""
    which = str(cause.outbox_id) if cause.many == 1 else f"--cause {number}"
    if cause.uncertain:
        resolve = f"prx-email resolve {which}"
        return f"{resolve} --sent if it arrived, else {resolve} --not-sent, which sends it again"
    if cause.by_account:
        deed = f"{login}, then " if cause.error == "auth" and login is not None else ""
        return f"{deed}prx-email account test {cause.account}"
    dismiss = f"prx-email dismiss {which}"
    if cause.known is not None and cause.known.wrong_address:
        return f"prx-email edit {which} --replace OLD=NEW --retry, or {dismiss}"
    retry = f"prx-email retry {which} --force"
    deed = "" if cause.known is None else f"{cause.known.fix}; "
    return f"{deed}{retry}, or {dismiss}" if cause.gave_up else f"{deed or 'drains try again; '}{retry} tries at once"
