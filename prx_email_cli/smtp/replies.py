"""Judge a server's reply: whose fault a refusal is, and whether it is for good."""

import re
from enum import StrEnum
from typing import NamedTuple

_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s|$)")  # RFC 3463 section 2
MAX_SHOWN = 1000

CHALLENGE, LOGIN_REFUSED = 334, 535  # RFC 4954 sections 4 and 6


class Category(StrEnum):
    """The kind of a trouble; its value is an error code of the program."""

    NETWORK = "network"
    AUTH = "auth"
    PROVIDER = "provider"
    STORAGE = "storage"


class Scope(StrEnum):
    """What a trouble concerns."""

    RECIPIENT = "recipient"
    MESSAGE = "message"
    ACCOUNT = "account"


class Reply(NamedTuple):
    """An SMTP reply: its code and its text, lines joined by LF."""

    code: int
    text: str

    @property
    def enhanced(self) -> str:
        """Return the enhanced status code (RFC 3463) that begins the text, "" without one."""
        match = _ENHANCED.match(self.text)
        return match[1] if match else ""

    @property
    def positive(self) -> bool:
        """Tell whether the command succeeded (2yz: RFC 5321 section 4.2.1)."""
        return 200 <= self.code <= 299

    def __str__(self) -> str:
        text = " ".join(self.text.split("\n"))
        return f"{self.code} {text[:MAX_SHOWN]}".rstrip()


class Trouble(NamedTuple):
    """Why a message or recipient was not accepted.

    scope: what the reason concerns.  permanent: no drain tries it again.  text: in words for the user.  reply: the
    server's, None without one.
    """

    category: Category
    scope: Scope
    permanent: bool
    text: str
    reply: Reply | None = None


# Replies about the account, its login or its quota, not about the message that they answer.
# 421 RFC 5321 section 3.8; 530, 534, 535, 538 and 454 4.7.0 RFC 4954 section 6; 432 4.3.2 Exchange Online's connection
# limit; 550 5.4.5 Gmail's daily limit; 554 5.2.0 SubmissionQuotaExceeded and 550 5.7.30 Exchange Online;
# 454 Throttling failure Amazon SES (docs.aws.amazon.com/ses "Errors related to the sending quotas").
_ACCOUNT_CODES = {
    421: Category.PROVIDER,
    530: Category.AUTH,
    534: Category.AUTH,
    535: Category.AUTH,
    538: Category.AUTH,
}
_ACCOUNT_ENHANCED = {
    (432, "4.3.2"): Category.PROVIDER,
    (454, "4.7.0"): Category.PROVIDER,
    (550, "5.4.5"): Category.PROVIDER,
    (550, "5.7.30"): Category.AUTH,
}
_ACCOUNT_TEXTS = ((554, "SubmissionQuotaExceeded"), (454, "Throttling failure"))


def judge(reply: Reply, scope: Scope) -> Trouble:
    """Return what a refusal means; *scope*: what the command concerned.

    That is the recipient for RCPT, else the message.
    """
    account = _ACCOUNT_CODES.get(reply.code) or _ACCOUNT_ENHANCED.get((reply.code, reply.enhanced))
    if account is None and any(reply.code == code and text in reply.text for code, text in _ACCOUNT_TEXTS):
        account = Category.PROVIDER
    if account is not None:
        return Trouble(account, Scope.ACCOUNT, permanent=False, text=str(reply), reply=reply)
    permanent = 500 <= reply.code <= 599
    if scope is Scope.RECIPIENT and reply.code == 552 and reply.enhanced in ("", "5.5.3"):
        permanent = False  # "too many recipients" of old servers, to be taken as 452: RFC 5321 section 4.5.3.1.10
    return Trouble(Category.PROVIDER, scope, permanent, str(reply), reply)
