"""Secrets are masked in whatever is shown, without loading what knows them when no secret was read."""

import sys


def masked(text: str) -> str:
    """*text* with every secret that this process has read replaced by ``***``."""
    redaction = sys.modules.get("prx_email_cli.redaction")
    if redaction is None:
        return text
    redacted: str = redaction.redact(text)
    return redacted
