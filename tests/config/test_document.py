"""The configuration page says what the settings say, and every key says something."""

from typing import get_origin

from prx_email_cli.config.settings import Settings
from prx_email_cli.config.table import Table

from .document import FILE, _tables, page


def test_the_page_is_current() -> None:
    assert FILE.read_text(encoding="utf-8") == page(), "run: make docs"


def test_every_key_of_every_table_is_on_it() -> None:
    text = page()
    tables = dict(_tables("", Settings))
    assert set(tables) >= {"outbox", "accounts.NAME.smtp", "accounts.NAME.smtp.auth", "accounts.NAME.smtp.auth.oauth"}
    for path, table in tables.items():
        for name, declared in table.keys.items():
            assert declared.doc, f"{path}.{name} says nothing"
            kind = declared.kind
            is_table = get_origin(kind) is dict or (isinstance(kind, type) and issubclass(kind, Table))
            assert is_table or f"| `{name}` |" in text or f"[{path}.{name}]" in text, f"{path}.{name}"
