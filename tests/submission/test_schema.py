"""The published JSON Schema says what the program takes."""

import json
from pathlib import Path

from prx_email_cli.submission.request import FIELDS, Request, request_from_json, request_schema

PUBLISHED = Path(__file__).parents[2] / "docs" / "request.schema.json"


def test_the_published_schema_is_current() -> None:
    assert json.loads(PUBLISHED.read_text()) == request_schema(), "run make docs"


def test_every_field_of_the_schema_is_taken() -> None:
    examples = {"string": "x", "integer": 1, "array": [], "object": {"base64": ""}}
    for name, field in FIELDS.items():
        value = "network" if "enum" in field.schema else examples[field.schema.get("type", "string")]
        assert isinstance(request_from_json({name: value}), Request), name
