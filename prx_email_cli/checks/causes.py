"""Group what has failed by its cause, and say what helps; pure."""

import re
from collections.abc import Iterable
from typing import NamedTuple

from prx_email_cli.outbox.views import Failure

# What differs between two replies of one cause: addresses, hosts, IP addresses, times, and the server's own ids.
_DIFFERING = re.compile(
    r"<?[^\s<>@]+@[^\s<>@]+>?|\b(?:[\w-]+\.)+[a-z]{2,}(?::\d+)?\b|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"
    r"|\[?[0-9a-f]*:[0-9a-f:]*:[0-9a-f:]*\]?|\b\d{1,2}:\d{2}(?::\d{2})?\b|\b(?=\w*\d)\w{6,}\b",
    re.IGNORECASE,
)
_ENHANCED = re.compile(r"\b([45]\.\d{1,3}\.\d{1,3})\b")


class Known(NamedTuple):
    """What a known reply means, what helps, and where that is said."""

    meaning: str
    fix: str
    source: str


_GOOGLE = "support.google.com/a/answer/3726730"
# By enhanced status code, which the large providers all give.
KNOWN = {
    "5.1.1": Known("no such mailbox", "correct the address where it came from", "RFC 3463 section 3.2"),
    "5.1.2": Known("no such domain", "correct the address where it came from", "RFC 3463 section 3.2"),
    "5.1.10": Known("no such mailbox", "correct the address where it came from", "RFC 7505 section 4.2"),
    "4.2.1": Known("the mailbox takes nothing now, or not so often", "wait: drains try again", "RFC 3463 section 3.3"),
    "4.2.2": Known("the mailbox is full", "wait, or tell the recipient in another way", "RFC 3463 section 3.3"),
    "5.2.2": Known("the mailbox is full", "tell the recipient in another way", "RFC 3463 section 3.3"),
    "5.2.3": Known("too large for the mailbox", "send less, or a link", "RFC 3463 section 3.3"),
    "5.3.4": Known("too large for the server", "send less, or a link", "RFC 3463 section 3.4"),
    "5.4.5": Known("the provider's limit is used up", "wait, or set messages_per_day", _GOOGLE),
    "4.7.0": Known("later, or slower", "wait; fewer smtp.connections may help", "RFC 3463 section 3.8"),
    "4.7.1": Known("refused for now, often by greylisting", "wait: drains try again", "RFC 3463 section 3.8"),
    "5.7.1": Known("refused by the server's policy", "ask who runs that server", "RFC 3463 section 3.8"),
    "5.7.8": Known("wrong user or password", "set the right ones, then test the account", "RFC 4954 section 6"),
    "5.7.9": Known("the provider wants another way to log in", "use an app password or OAuth", "RFC 4954 section 6"),
    "5.7.26": Known("SPF and DKIM of the From domain fail", "authorise this provider in its DNS", "RFC 7372 section 3"),
}  # fmt: skip


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
        found = _ENHANCED.search(self.example)
        return KNOWN.get(found[1]) if found else None


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


def fix_of(cause: Cause, login: str | None = None) -> str:
    """Return the command or deed that helps.  login: what gives the account another secret."""
    if cause.uncertain:
        which = str(cause.outbox_id) if cause.many == 1 else "ID"
        look = "" if cause.many == 1 else f"prx-email list --uncertain --account {cause.account}, then "
        return f"{look}prx-email resolve {which} --sent, or --not-sent to send again"
    if cause.by_account and cause.error == "auth" and login is not None:
        return f"{login}, then prx-email account test {cause.account}"
    if cause.by_account:
        return f"prx-email account test {cause.account}"
    if cause.known is not None:
        return f"{cause.known.fix}; prx-email show {cause.outbox_id}"
    return f"prx-email show {cause.outbox_id}"
