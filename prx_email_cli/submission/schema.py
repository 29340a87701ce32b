"""The JSON Schema of a request, generated from the fields that ``request_from_json`` knows.

``python -m prx_email_cli.submission.schema`` prints it; ``make docs`` puts it into ``docs/``.
"""

import json
from typing import Any

from prx_email_cli.submission.request import FIELDS


def request_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of one JSON request, as ``send --request`` and ``send --batch`` take it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "prx-email request",
        "description": "One message, as prx-email send --request and each line of prx-email send --batch take it.",
        "type": "object",
        "properties": FIELDS,
        "additionalProperties": False,
        "not": {"required": ["attachment", "attachments"]},
    }


if __name__ == "__main__":
    print(json.dumps(request_schema(), indent=2))
