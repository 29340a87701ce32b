"""mandoc has nothing to say of the man pages, neither an error nor a matter of style."""

import subprocess
from pathlib import Path

import pytest

from .servers.base import installed_root

pytestmark = pytest.mark.interop

MAN = Path(__file__).parents[2] / "man"


def test_mandoc_finds_nothing_to_say() -> None:
    mandoc = installed_root("mandoc") / "usr" / "bin" / "mandoc"
    pages = sorted(MAN.glob("man?/*"))
    done = subprocess.run([mandoc, "-Tlint", "-Wall", *pages], capture_output=True, text=True, check=False)
    assert pages
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
