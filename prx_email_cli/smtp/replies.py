"""From a server's reply to a verdict: who is at fault, and whether it is for good."""

import re
from dataclasses import dataclass

from prx_email_cli.outbox.lifecycle import Scope

_ENHANCED = re.compile(r"([245]\.\d{1,3}\.\d{1,3})(?:\s|$)")  # RFC 3463 section 2
_MAX_SHOWN = 1000

NETWORK, AUTH, PROVIDER, CONFIG = "network", "auth", "provider", "config"


@dataclass(frozen=True)
class Reply:
    """An SMTP reply: its code and its text, lines joined by LF, still as the server sent it."""

    code: int
    text: str

    @property
    def enhanced(self) -> str:
        """The enhanced status code (RFC 3463) at the start of the text, "" where there is none."""
        match = _ENHANCED.match(self.text)
        return match[1] if match else ""

    @property
    def positive(self) -> bool:
        """Whether the command succeeded (2yz)."""
        return 200 <= self.code <= 299

    def __str__(self) -> str:
        text = " ".join(self.text.split("\n"))
        return f"{self.code} {text[:_MAX_SHOWN]}".rstrip()


@dataclass(frozen=True)
class Verdict:
    """What a refusal means.  category: network, auth or provider.  permanent: not to be tried again by itself."""

    category: str
    scope: Scope
    permanent: bool


# Replies that speak of the account, its login or its quota, never of the message that happened to meet them.
# 421 RFC 5321 section 3.8; 530, 534, 535, 538 and 454 4.7.0 RFC 4954 section 6; 432 4.3.2 Exchange Online's connection
# limit; 550 5.4.5 Gmail's daily limit; 554 5.2.0 SubmissionQuotaExceeded and 550 5.7.30 Exchange Online;
# 454 Throttling failure Amazon SES (docs.aws.amazon.com/ses "Errors related to the sending quotas").
_ACCOUNT_CODES = {421: PROVIDER, 530: AUTH, 534: AUTH, 535: AUTH, 538: AUTH}
_ACCOUNT_ENHANCED = {
    (432, "4.3.2"): PROVIDER,
    (454, "4.7.0"): PROVIDER,
    (550, "5.4.5"): PROVIDER,
    (550, "5.7.30"): AUTH,
}
_ACCOUNT_TEXTS = ((554, "SubmissionQuotaExceeded"), (454, "Throttling failure"))


def judge(reply: Reply, scope: Scope) -> Verdict:
    """The verdict on a refusal.  *scope* is what the refused command spoke of: a recipient (RCPT) or the message."""
    account = _ACCOUNT_CODES.get(reply.code) or _ACCOUNT_ENHANCED.get((reply.code, reply.enhanced))
    if account is None and any(reply.code == code and text in reply.text for code, text in _ACCOUNT_TEXTS):
        account = PROVIDER
    if account is not None:
        return Verdict(account, Scope.ACCOUNT, permanent=False)
    permanent = 500 <= reply.code <= 599
    if scope is Scope.RECIPIENT and reply.code == 552 and reply.enhanced in ("", "5.5.3"):
        permanent = False  # "too many recipients" of old servers, to be taken as 452: RFC 5321 section 4.5.3.1.10
    return Verdict(PROVIDER, scope, permanent)
