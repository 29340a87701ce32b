"""Hand many rows to one statement, as a JSON list: quicker than as many parameters, and one plan for any number."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from prx_email_cli.outbox.texts import storable


def rows_of(parameter: str, columns: Mapping[str, str]) -> str:
    """Return a query that reads the rows of a parameter; columns: their types by name."""
    names = ", ".join(f"{name} {kind}" for name, kind in columns.items())
    return f"SELECT * FROM json_to_recordset(CAST(:{parameter} AS json)) AS one ({names})"


def as_json(rows: Sequence[dict[str, Any]]) -> str:
    """Return such a parameter, with NUL characters as PostgreSQL can hold them."""
    text = json.dumps(rows, ensure_ascii=False)
    if "\\u0000" not in text:
        return text
    return json.dumps([{name: storable(one) if isinstance(one, str) else one for name, one in row.items()}
                       for row in rows], ensure_ascii=False)  # fmt: skip
