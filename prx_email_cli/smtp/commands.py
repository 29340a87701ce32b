"""The commands that say an envelope, and whether replies can be theirs."""

from collections.abc import Sequence

from prx_email_cli.smtp.envelope import Envelope, Recipient
from prx_email_cli.smtp.server import ServerProfile

COMMANDS_PER_WRITE = 100  # more could fill both sides' buffers while neither reads: RFC 2920 section 3.1

Command = tuple[str, Recipient | None]
"""A line without its end, and the recipient of a RCPT."""


def commands_of(envelope: Envelope, size: int, profile: ServerProfile) -> list[Command]:
    """Return MAIL, each RCPT and DATA.  size: bytes of the content with the header that is added."""
    rcpt = [(f"RCPT TO:<{recipient.address}>", recipient) for recipient in envelope.recipients]
    return [(_mail(envelope, size, profile), None), *rcpt, ("DATA", None)]


def _mail(envelope: Envelope, size: int, profile: ServerProfile) -> str:
    command = f"MAIL FROM:<{envelope.sender}>"
    if profile.offers("size"):
        command += f" SIZE={size}"
    if envelope.needs_smtputf8:  # the headers then hold UTF-8, which is 8-bit: RFC 6531 section 3.6
        command += " SMTPUTF8" + (" BODY=8BITMIME" if profile.offers("8bitmime") else "")
    return command


def as_bytes(commands: Sequence[Command]) -> bytes:
    """Return *commands* as they are written."""
    return "".join(f"{line}\r\n" for line, _ in commands).encode()


def why_unfit(envelope: Envelope, size: int, profile: ServerProfile) -> str | None:
    """Return why the server can never take the message; None if it may."""
    limit = profile.size_limit
    if limit is not None and size > limit:
        return f"the message has {size} bytes, the server takes at most {limit} (SIZE, RFC 1870)"
    if envelope.needs_smtputf8 and not profile.offers("smtputf8"):
        return "an address is not ASCII, and the server does not offer SMTPUTF8 (RFC 6531)"
    return None


def out_of_step(codes: Sequence[int], commands: int) -> bool:
    """Tell whether *codes* cannot be the replies to so many *commands*: MAIL, some RCPT, and DATA.

    There may be fewer, as far as they have come, and behind them only 421.  True when one is no reply, 354 comes before
    its turn, or 2yz in its place.
    """
    return (
        any(not 200 <= code < 300 and code < 400 for code in codes[: commands - 1])
        or any(not 300 <= code < 600 for code in codes[commands - 1 : commands])
        or any(code != 421 for code in codes[commands:])
    )
