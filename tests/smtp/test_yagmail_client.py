"""yagmail is imported without what a drain does not use, and nothing else of this process notices."""

import subprocess
import sys
from pathlib import Path

import pytest

COSTLY = ("asyncio", "keyring", "urllib.request")


def said_by(script: str, *path: Path) -> list[str]:
    """The lines that a new interpreter prints; *path* comes before its own."""
    before = f"import sys; sys.path[:0] = {[str(one) for one in path]!r}\n"
    done = subprocess.run([sys.executable, "-c", before + script], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_session_does_not_import_what_it_never_uses() -> None:
    script = f"import sys, prx_email_cli.smtp.session\nprint(*[name for name in {COSTLY} if name in sys.modules])"
    assert said_by(script) == [""]


def test_whoever_imports_that_later_gets_all_of_it() -> None:
    script = """
import prx_email_cli.smtp.session
import asyncio, keyring, yagmail.oauth2
print(asyncio.run.__module__, keyring.get_password.__module__, yagmail.oauth2.get_oauth_string.__module__)
"""
    assert said_by(script) == ["asyncio.runners keyring.core yagmail.oauth2"]


@pytest.mark.parametrize("taken", ["from yagmail.oauth2 import get_token", "import keyring; keyring.errors.InitError"])
def test_a_yagmail_that_takes_more_is_imported_whole(tmp_path: Path, taken: str) -> None:
    package = tmp_path / "yagmail"
    package.mkdir()
    (package / "__init__.py").write_text(f"{taken}\nclass SMTP:\n    whole = True\n")
    (package / "oauth2.py").write_text("def get_token(): ...\n")
    script = "from prx_email_cli.smtp.yagmail_client import SMTP\nprint(SMTP.whole)"
    assert said_by(script, tmp_path) == ["True"]
