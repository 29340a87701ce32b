"""What others can change is not obeyed, with the exceptions that people need."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from prx_email_cli.files import faults

from ..conftest import Program

STRANGER = 12345
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
LOOK = "import sys; from pathlib import Path; from prx_email_cli.files import faults; print(*faults(Path(sys.argv[1])))"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "place" / "file"
    file.parent.mkdir(mode=0o700)
    file.touch(0o600)
    return file


def told(path: Path, owner: int | None = None) -> list[str]:
    return [fault.message for fault in faults(path, owner=owner)]


@only_root
def test_a_strangers_file_or_directory_has_one(file: Path) -> None:
    os.chown(file, STRANGER, STRANGER)
    assert "belongs to" in told(file)[0]
    assert told(file, owner=STRANGER) == []
    file.parent.chmod(0o1777)
    assert told(file, owner=STRANGER) != [], "anybody can put an outbox into /tmp"
    os.chown(file, 0, 0)
    os.chown(file.parent, STRANGER, STRANGER)
    assert "belongs to" in told(file)[0]


@only_root
def test_the_users_own_private_group_may_write_and_another_may_not(file: Path) -> None:
    file.chmod(0o660)
    os.chown(file, STRANGER, STRANGER)  # no passwd entry: the number tells
    assert told(file, owner=STRANGER) == []
    os.chown(file, STRANGER, STRANGER + 1)
    assert "is writable by others" in told(file, owner=STRANGER)[0]


def test_a_link_counts_with_what_it_leads_to(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file)
    assert told(link) == []
    file.chmod(0o666)
    assert len(told(link)) == 1


def in_namespace(*command: str) -> subprocess.CompletedProcess[str]:
    """*command* in a namespace of its own; skips where this machine makes none."""
    done = subprocess.run(["unshare", *command], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0 and ("unshare:" in done.stderr or "mount:" in done.stderr):
        pytest.skip(f"no namespaces here: {done.stderr.strip()[:80]}")
    return done


def on_read_only(place: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run *command* where *place* is mounted read-only."""
    script = f"mount --bind {place} {place} && mount -o remount,ro,bind {place} && {shlex.join(command)}"
    return in_namespace("--mount", "sh", "-c", script)


@only_root
def test_what_lies_on_a_read_only_mount_is_nobodys_to_change(file: Path) -> None:
    file.chmod(0o666)
    done = on_read_only(file.parent, sys.executable, "-c", LOOK, str(file))
    assert (done.returncode, done.stdout) == (0, "\n"), done


@only_root
@pytest.mark.parametrize("readable", ["password", "config.toml"])
def test_a_secret_or_a_config_with_one_may_be_readable_by_others_on_a_read_only_mount(
    readable: str, program: Program
) -> None:
    """As a container gets them from its secrets: root's, 0444, and mounted read-only."""
    place = program.home / "secrets"
    place.mkdir()
    (place / "password").write_text("correct horse battery\n")
    auth = f'password_file = "{place}/password"' if readable == "password" else 'password = "correct horse battery"'
    program.configure(9, smtp='user = "ops@example.com"\n', auth=auth)
    config = program.config if readable == "password" else program.config.rename(place / "config.toml")
    (place / readable).chmod(0o444)
    command = ("--config", str(config), "account", "test")
    assert program.call(*command).status == 77
    done = on_read_only(place, sys.executable, "-m", "prx_email_cli", *command)
    assert done.returncode == 75, done  # nobody listens there; but the secret was read


@only_root
def test_roots_files_seen_in_a_user_namespace_are_still_roots(tmp_path: Path) -> None:
    probe = subprocess.run(["unshare", "--user", "true"], capture_output=True, text=True, check=False)
    if probe.returncode != 0:
        pytest.skip(f"no user namespaces here: {probe.stderr.strip()[:80]}")
    done = in_namespace("--user", sys.executable, "-c", LOOK, "/etc/passwd")
    assert (done.returncode, done.stdout) == (0, "\n"), done
