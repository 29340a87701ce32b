"""What replies of mail servers mean."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from prx_email_cli.checks.known_replies import KNOWN_CODES, KNOWN_WORDS, known_reply

PAGE = (Path(__file__).parents[2] / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
PROVIDERS = (Path(__file__).parents[2] / "docs" / "providers.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        ("a@x.example: 550 5.1.1 <a@x.example>: unknown", "no such mailbox"),
        ("550-5.1.1 no such user here", "no such mailbox"),
        ("454 4.7.0 too many login attempts", "later, or slower"),
        ("535 5.7.139 Authentication unsuccessful, basic authentication is disabled", "passwords are off there"),
        ("535 5.7.139 Authentication unsuccessful", "SMTP AUTH or passwords are off, or a policy"),
        ("535 authentication failed", "wrong user or password"),
        ("554 5.2.0 STOREDRV.Submission.Exception:SendAsDeniedException", "the From is not this account's"),
        ("454 Throttling failure: Daily message quota exceeded", "too many a second or a day"),
        ("550 5.4.5 Daily user sending limit exceeded", "the day's limit is used up"),
    ],
)
def test_a_reply_is_known_by_its_words_or_its_codes(words: str, meaning: str) -> None:
    known = known_reply(words)
    assert known is not None
    assert known.meaning == meaning


@pytest.mark.parametrize("words", ["", "connection refused", "250 ok", "550 never", "port 5587 5.1.1.1", "421 busy"])
def test_of_other_words_nothing_is_said(words: str) -> None:
    assert known_reply(words) is None


def test_a_source_is_an_rfc_or_a_section_of_our_page_on_providers() -> None:
    for known in (*(known for _, known in KNOWN_WORDS), *KNOWN_CODES.values()):
        name = known.source.removeprefix("docs/providers.md#")
        if name == known.source:
            assert re.fullmatch(r"RFC \d{4}( section \d(\.\d)?)?", known.source), known
        else:
            assert f'<a id="{name}"></a>' in PROVIDERS or f"\n## {name}" in PROVIDERS.lower(), known


def test_what_the_page_tells_of_providers_is_known() -> None:
    rows = re.findall(r"^\| `(\d\d\d [^`]+|[A-Z]\w+)` \|", PAGE[PAGE.index("## What providers answer") :], re.MULTILINE)
    assert len(rows) > 10
    for words in rows:
        assert known_reply(words.replace("... ", "")) is not None, words
