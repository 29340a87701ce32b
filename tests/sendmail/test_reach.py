"""A user without a config leaves mail in the drop directory as quickly as others store theirs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from prx_email_cli.config.paths import SYSTEM_CONFIG
from prx_email_cli.sendmail import reach
from prx_email_cli.submission.drop_file import READY

from ..support.scripted import ScriptedServer
from .shared import TEXT, A, B, Shared, needs_root, server, shared
from .test_known import HEAVY, SCRIPT

__all__ = ["server", "shared"]
LIGHT = {
    "outbox", "outbox.small", "sendmail", "sendmail.drop", "sendmail.flags", "sendmail.incoming", "sendmail.known",
    "sendmail.main", "sendmail.naming", "sendmail.plain", "sendmail.quick", "sendmail.reach", "sendmail.talk",
    "submission", "submission.caller", "submission.drop_file",
}  # fmt: skip
BOTH = """
import json, os
from pathlib import Path
from prx_email_cli.config.source import is_out_of_reach
from prx_email_cli.errors import ConfigError
from prx_email_cli.sendmail.reach import is_surely_out_of_reach
from prx_email_cli.sendmail import reach
from prx_email_cli.submission.drop_file import READY
from prx_email_cli.config import paths
for environment, system in json.loads(TABLE):
    for name in [name for name in os.environ if name.startswith(("PRX_EMAIL_", "XDG_", "HOME"))]:
        del os.environ[name]
    os.environ.update(environment)
    paths.SYSTEM_CONFIG, reach.SYSTEM_CONFIG = Path(system), system
    try:
        asked = is_out_of_reach(None)
    except ConfigError:
        asked = None
    print(asked, is_surely_out_of_reach())
"""


def table(top: Path, shared: Shared) -> list[tuple[dict[str, str], str]]:
    """Environments, and where the system's config is."""
    own = top / "own"
    (own / ".config" / "prx-email").mkdir(parents=True)
    (own / ".config" / "prx-email" / "config.toml").touch()
    dangling = top / "dangling"
    (dangling / "prx-email").mkdir(parents=True)
    (dangling / "prx-email" / "config.toml").symlink_to("none")
    homes = [{"HOME": str(top)}, {"HOME": str(own)}, {"HOME": f"{own}/"}, {}, {"HOME": ""}, {"HOME": "/"},
             {"HOME": "x"}, {"HOME": str(shared.etc)}]  # fmt: skip
    more = [{}, {"XDG_CONFIG_HOME": str(own / ".config")}, {"XDG_CONFIG_HOME": "relative"}, {"XDG_CONFIG_HOME": " "},
            {"XDG_CONFIG_HOME": str(dangling)}, {"PRX_EMAIL_CONFIG": str(shared.config)}, {"PRX_EMAIL_CONFIG": "/none"},
            {"PRX_EMAIL_CONFIG": "none"}, {"PRX_EMAIL_CONFIG": "~/none"}, {"PRX_EMAIL_CONFIG": "/etc"},
            {"PRX_EMAIL_URL": "smtps://u:p@h"}, {"PRX_EMAIL_OUTBOX": "/none"}]  # fmt: skip
    return [({**home, **one}, system) for home in homes for one in more for system in ("/none", str(shared.config))]


@needs_root
@pytest.mark.parametrize("uid", [0, A, B])
def test_the_cheap_answer_is_the_true_one_or_none(shared: Shared, server: ScriptedServer, uid: int) -> None:
    top = shared.home.parent
    asked = table(top, shared)
    answer = shared.by(uid, "-c", f"TABLE = {json.dumps(asked)!r}\n{BOTH}")
    assert (answer.status, answer.err) == (0, "")
    pairs = [line.split() for line in answer.out.splitlines()]
    assert len(pairs) == len(asked)
    for (true, cheap), one in zip(pairs, asked, strict=True):
        assert cheap == "False" or true == "True", one
    assert {cheap for _, cheap in pairs} == {"True", "False"}


@needs_root
@pytest.mark.parametrize("with_name", [True, False])
def test_leaving_mail_in_the_drop_directory_imports_nearly_nothing(
    shared: Shared, server: ScriptedServer, with_name: bool
) -> None:
    if not with_name:
        del shared.environment["PRX_EMAIL_CONFIG"]
    answer = shared.by(B, "-c", SCRIPT.replace("sys.argv[1:]", "['-i', 'root']"), text=TEXT)
    assert (answer.status, answer.err) == (0, "")
    ours = {name.removeprefix("prx_email_cli.") for name in answer.out.split() if name.startswith("prx_email_cli.")}
    assert ours <= LIGHT
    (left,) = shared.drop.iterdir()
    assert left.name.startswith(READY)


def test_both_know_the_same_config_of_the_system() -> None:
    assert str(SYSTEM_CONFIG) == reach.SYSTEM_CONFIG


def test_what_leaving_mail_imports_imports_little_itself() -> None:
    modules = ", ".join(f"prx_email_cli.{name}" for name in sorted(LIGHT))
    code = f"import sys; before = set(sys.modules); import {modules}; print(*(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = done.stdout.split()
    assert not [name for name in imported if name in HEAVY or name.partition(".")[0] in HEAVY]
