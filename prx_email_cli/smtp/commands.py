"""The commands that say an envelope, and whether replies can be theirs."""

from collections.abc import Sequence
from typing import NamedTuple

from prx_email_cli.smtp.envelope import Envelope, Recipient
from prx_email_cli.smtp.server import ServerProfile

COMMANDS_PER_WRITE = 100  # more could fill both sides' buffers while neither reads: RFC 2920 section 3.1


class Group(NamedTuple):
    """Commands that leave in one write.

    commands: each line without its end, and the recipient of a RCPT.
    """

    data: bytes
    commands: Sequence[tuple[str, Recipient | None]]


def groups_of(envelope: Envelope, size: int, profile: ServerProfile) -> list[Group]:
    """Return MAIL, each RCPT and DATA, in few groups if the server offers PIPELINING, else one by one.

    size: bytes of the content with the header that is added.
    """
    notify = f" NOTIFY={envelope.notify}" if envelope.notify and profile.offers("dsn") else ""
    rcpt = [(f"RCPT TO:<{recipient.address}>{notify}", recipient) for recipient in envelope.recipients]
    commands = [(_mail(envelope, size, profile), None), *rcpt, ("DATA", None)]
    most = COMMANDS_PER_WRITE if profile.offers("pipelining") else 1
    return [_group(commands[start : start + most]) for start in range(0, len(commands), most)]


def _group(commands: Sequence[tuple[str, Recipient | None]]) -> Group:
    return Group("".join([f"{line}\r\n" for line, _ in commands]).encode(), commands)


def _mail(envelope: Envelope, size: int, profile: ServerProfile) -> str:
    command = f"MAIL FROM:<{envelope.sender}>"
    if profile.offers("size"):
        command += f" SIZE={size}"
    if envelope.needs_smtputf8:  # the headers then hold UTF-8, which is 8-bit: RFC 6531 section 3.6
        command += " SMTPUTF8" + (" BODY=8BITMIME" if profile.offers("8bitmime") else "")
    elif envelope.eight_bit:
        command += " BODY=8BITMIME"
    if profile.offers("dsn"):
        command += f" RET={envelope.returns}" if envelope.returns else ""
        command += f" ENVID={envelope.envelope_id}" if envelope.envelope_id else ""
    return command


def why_unfit(envelope: Envelope, size: int, profile: ServerProfile) -> str | None:
    """Return why the server can never take the message; None if it may."""
    limit = profile.size_limit
    if limit is not None and size > limit:
        return f"the message has {size} bytes, the server takes at most {limit} (SIZE, RFC 1870)"
    if envelope.needs_smtputf8 and not profile.offers("smtputf8"):
        return "an address is not ASCII, and the server does not offer SMTPUTF8 (RFC 6531)"
    if envelope.eight_bit and not envelope.needs_smtputf8 and not profile.offers("8bitmime"):
        return "it is signed and has 8-bit content, which the server does not take (8BITMIME, RFC 6152)"
    return None


def out_of_step(codes: Sequence[int], commands: int) -> bool:
    """Tell whether *codes* cannot be the replies to so many *commands*: MAIL, some RCPT, and DATA.

    There may be fewer, as far as they have come, and behind them only 421.  True when one is no reply, 354 comes before
    its turn, or 2yz in its place.
    """
    for place, code in enumerate(codes, 1):
        if place < commands:
            wrong = not 200 <= code < 300 and code < 400
        elif place == commands:
            wrong = code < 300
        else:
            wrong = code != 421
        if wrong:
            return True
    return False
