"""Know what replies of mail servers mean, what helps, and where that is said; pure."""

import re
from typing import NamedTuple


class Known(NamedTuple):
    """What a known reply means, what helps, and where that is said.  wrong_address: another address helps."""

    meaning: str
    fix: str
    source: str
    wrong_address: bool = False


_CODES = re.compile(r"\b([245]\d\d)(?:[ -]([245]\.\d{1,3}\.\d{1,3})\b)?")
_GMAIL, _MICROSOFT, _SES = (f"docs/providers.md#{name}" for name in ("gmail", "outlook", "ses"))
_NOT_OURS = "the From is not this account's"
_PAGE = "docs/providers.md#"
_LOGIN, _FAR, _PLACE, _POLICY = (
    "RFC 4954 section 6",
    "RFC 3463 section 3.3",
    "RFC 3463 section 3.4",
    "RFC 3463 section 3.8",
)
_ADDRESS, _SIGNED = "RFC 3463 section 3.2", "RFC 7372 section 3"

# By words of the reply, which tell more than its code; the first that is found counts.
KNOWN_WORDS: tuple[tuple[str, Known], ...] = (
    ("SendAsDenied", Known(_NOT_OURS, "set from to an address of smtp.user, or ask for Send As", _MICROSOFT)),
    ("SubmissionQuotaExceeded", Known("the day's limit is used up", "wait until tomorrow", _MICROSOFT)),
    ("Throttling failure", Known("too many a second or a day", "wait; fewer smtp.connections may help", _SES)),
    ("not verified", Known("sender or recipient is not verified there", "verify it in Amazon's console", _SES)),
    ("Maximum credits exceeded", Known("the plan's messages are used up", "raise the plan", f"{_PAGE}sendgrid")),
    ("basic authentication is disabled", Known("passwords are off there", "use OAuth", _MICROSOFT)),
    ("SmtpClientAuthentication is disabled", Known("SMTP AUTH is off", "have it turned on", _MICROSOFT)),
)
# By status code and enhanced status code, then by the enhanced code alone, then by the status code alone.
KNOWN_CODES = {
    ("432", "4.3.2"): Known("more than three connections", "set smtp.connections = 3", _MICROSOFT),
    ("451", "4.7.1"): Known("refused for now, often by greylisting", "wait: drains try again", "RFC 6647"),
    ("534", "5.7.9"): Known("the provider wants an app password", "make one, and use it", _GMAIL),
    ("534", "5.7.14"): Known("the provider wants a sign-in with the browser", "sign in there", _GMAIL),
    ("535", "5.7.3"): Known("the token is another user's, or lacks the scope", "log in again", _MICROSOFT),
    ("535", "5.7.139"): Known("SMTP AUTH or passwords are off, or a policy", "see the words", _MICROSOFT),
    ("550", "5.4.5"): Known("the day's limit is used up", "wait, or set messages_per_day", _GMAIL),
    ("550", "5.4.6"): Known("blocked for unusual activity", "unblock it in the account", f"{_PAGE}zoho"),
    ("550", "5.7.30"): Known("passwords have ended there", "use OAuth", _MICROSOFT),
    ("551", "5.7.1"): Known(_NOT_OURS, "set from to an address of this account", f"{_PAGE}fastmail"),
    ("", "5.1.1"): Known("no such mailbox", "correct the address", _ADDRESS, wrong_address=True),
    ("", "5.1.2"): Known("no such domain", "correct the address", _ADDRESS, wrong_address=True),
    ("", "5.1.3"): Known("no valid address", "correct the address", _ADDRESS, wrong_address=True),
    ("", "5.1.6"): Known("the mailbox has moved", "correct the address", _ADDRESS, wrong_address=True),
    ("", "5.1.8"): Known("the sender's domain is not accepted", "correct the From", _ADDRESS),
    ("", "5.1.10"): Known("the domain takes no mail", "correct the address", "RFC 7505", wrong_address=True),
    ("", "4.2.1"): Known("the mailbox takes nothing now, or not so often", "wait: drains try again", _FAR),
    ("", "5.2.1"): Known("the mailbox is closed", "tell the recipient in another way", _FAR),
    ("", "4.2.2"): Known("the mailbox is full", "wait, or tell the recipient in another way", _FAR),
    ("", "5.2.2"): Known("the mailbox is full", "tell the recipient in another way", _FAR),
    ("", "5.2.3"): Known("too large for the mailbox", "send less, or a link", _FAR),
    ("", "4.3.1"): Known("the server has no room", "wait: drains try again", _PLACE),
    ("", "5.3.4"): Known("too large for the server", "send less, or a link", _PLACE),
    ("", "4.7.0"): Known("later, or slower", "wait; fewer smtp.connections may help", _POLICY),
    ("", "4.7.1"): Known("refused for now by policy", "wait: drains try again", _POLICY),
    ("", "5.7.1"): Known("refused by the server's policy", "ask who runs that server", _POLICY),
    ("", "5.7.8"): Known("wrong user or password", "set the right ones", _LOGIN),
    ("", "5.7.9"): Known("the provider wants another way to log in", "use an app password or OAuth", _LOGIN),
    ("", "5.7.20"): Known("no DKIM signature passes", "have the provider sign for the domain", f"{_SIGNED}.1"),
    ("", "5.7.23"): Known("SPF of the sender's domain fails", "authorise this provider in its DNS", f"{_SIGNED}.2"),
    ("", "5.7.25"): Known("the provider's address has no name", "ask the provider", f"{_SIGNED}.3"),
    ("", "5.7.26"): Known("SPF and DKIM of the From domain fail", "authorise this provider in its DNS", f"{_SIGNED}.4"),
    ("535", ""): Known("wrong user or password", "set the right ones", _LOGIN),
    ("553", ""): Known("an address is not allowed, often the From", "set from to one of this account", f"{_PAGE}zoho"),
}  # fmt: skip


def known_reply(words: str) -> Known | None:
    """Return what is known of a reply, by its words, else by its codes; None for any other."""
    for part, known in KNOWN_WORDS:
        if part.lower() in words.lower():
            return known
    for code, enhanced in _CODES.findall(words):
        found = KNOWN_CODES.get((code, enhanced)) or KNOWN_CODES.get(("", enhanced)) or KNOWN_CODES.get((code, ""))
        if found is not None:
            return found
    return None
