"""Secrets are masked in whatever is shown, without loading what knows them when no secret was read."""

import sys


def masked(text: str) -> str:
    """*text* with every secret that this process has read replaced by ``***``."""
    secrets = sys.modules.get("prx_email_cli.config.secrets")
    if secrets is None:
        return text
    redacted: str = secrets.redact(text)
    return redacted
