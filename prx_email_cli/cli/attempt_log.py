"""One line per attempt, for people who read along and machines that collect."""

from prx_email_cli.cli.output import safe
from prx_email_cli.outbox.model import Finished


def attempt_line(finished: Finished) -> str:
    """The attempt as logfmt, without secrets and body."""
    claimed, outcome, settled = finished.claimed, finished.outcome, finished.settled
    verdict = "sent" if outcome.error is None else "gave_up" if settled.gave_up else "deferred"
    values = {
        "time": finished.finished_at, "outbox_id": claimed.outbox_id, "account": claimed.account,
        "message_id": claimed.message_id, "outcome": verdict, "code": outcome.code or "",
        "response": outcome.acceptance or outcome.detail or "",
    }  # fmt: skip
    return " ".join(f"{name}={_quoted(safe(value))}" for name, value in values.items())


def _quoted(text: str) -> str:
    if text and not any(c in text for c in ' "='):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
