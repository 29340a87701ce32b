"""Make the JSON object of what a drain did."""

from typing import Any

from prx_email_cli.cli.render import masked
from prx_email_cli.cli.standing import why_left_alone
from prx_email_cli.delivery.report import AccountReport, DrainReport

_COUNTS = ("run_id", "attempted", "sent", "failed", "gave_up", "recovered", "still_due")
_IDS = ("sent_ids", "deferred_ids", "gave_up_ids")


def report_object(report: DrainReport) -> dict[str, Any]:
    """Make the JSON object of a report: counts, ids, and why accounts were not used to the end."""
    return {
        **{name: getattr(report, name) for name in _COUNTS},
        **{name: list(dict.fromkeys(getattr(report, name))) for name in _IDS},
        "accounts": [_account(report, name) for name in sorted({*report.accounts, *report.left_alone})],
    }


def _account(report: DrainReport, name: str) -> dict[str, Any]:
    done, left = report.accounts.get(name, AccountReport()), report.left_alone.get(name)
    code, why = done.error, done.detail
    if left is not None and why is None:
        code, why = left.state.error if left.rests else None, why_left_alone(name, left)
    return {
        "account": name, "sent": done.sent, "failed": done.failed, "error_code": code,
        "why": why if why is None else masked(why),
    }  # fmt: skip
