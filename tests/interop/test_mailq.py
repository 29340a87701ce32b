"""Programs that read Postfix's mail queue read ours, unchanged: Debian's plugin that counts it, and a Perl module."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from prx_email_cli.errors import Exit

from ..conftest import Program
from .conftest import install
from .servers.base import HERE, installed_root

pytestmark = pytest.mark.interop

PLUGIN = ["/usr/lib/nagios/plugins/check_mailq", "-M", "postfix", "-w", "2", "-c", "4"]
OK, WARNING, CRITICAL = 0, 1, 2


@pytest.fixture
def machine(program: Program) -> list[str]:
    """What starts a command on a machine whose ``mailq`` is ours, and which has the plugin and the module."""
    install("monitoring-plugins")
    work = program.home / "machine"
    (work / "usr/bin").mkdir(parents=True)
    (work / "etc").mkdir()
    (work / "usr/bin/mailq").symlink_to(Path(sys.executable).with_name("prx-sendmail"))
    inside = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private", "--"]
    inside += ["sh", str(HERE.parent / "as_installed.sh")]
    return [*inside, str(installed_root("monitoring-plugins")), str(work)]


def asked(program: Program, machine: list[str], *, err: str = "") -> tuple[int, str]:
    """Ask the plugin, which warns of two messages and alarms at four.  err: what mailq says on stderr begins so."""
    done = subprocess.run(
        [*machine, *PLUGIN], env=program.environment, cwd=program.home, capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    assert done.stderr.startswith(err), done
    assert err or not done.stderr, done
    return done.returncode, done.stdout.partition("|")[0].strip()


def test_check_mailq_counts_what_waits_and_nothing_else(program: Program, machine: list[str]) -> None:
    assert asked(program, machine) == (OK, "OK: postfix mailq reports queue is empty")
    ids = [program.send(), program.send("--in", "2h")]
    assert program.call("retry", str(ids[0]), "--failure-mode", "network").status == Exit.TRY_LATER
    assert asked(program, machine) == (WARNING, "WARNING: postfix mailq is 2 (threshold w = 2)")
    ids += [program.send() for _ in range(2)]
    assert program.call("hold", str(ids[1])).status == 0
    assert asked(program, machine) == (CRITICAL, "CRITICAL: postfix mailq is 4 (threshold c = 4)")
    assert program.call("cancel", *map(str, ids)).status == 0
    assert asked(program, machine)[0] == OK


def test_a_parser_of_postfix_queues_finds_everything_in_ours(program: Program, machine: list[str]) -> None:
    first = program.send("--cc", "b@example.org")
    second = program.send()
    assert program.call("retry", str(first), "--failure-mode", "network").status == Exit.TRY_LATER
    assert program.call("hold", str(second)).status == 0
    read = "print JSON::PP->new->canonical->encode(Postfix::Parse::Mailq->read_handle(\\*STDIN))"
    done = subprocess.run(
        [*machine, "perl", "-MJSON::PP", "-MPostfix::Parse::Mailq", "-e", read],
        input=program.call("sendmail", "-bp").out, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    one, other = json.loads(done.stdout)
    assert (one["queue_id"], one["sender"], one["status"]) == (str(first), "ops@example.com", "queued")
    assert one["remaining_rcpts"] == ["a@example.org", "b@example.org"]
    assert "simulated network timeout" in one["error_string"]
    assert int(one["size"]) == program.show(first)["size_bytes"]
    assert (other["queue_id"], other["status"]) == (str(second), "held")


def test_check_mailq_says_that_the_queue_cannot_be_read(program: Program, machine: list[str]) -> None:
    program.config.write_text("nonsense\n")
    status, said = asked(program, machine, err="error: ")
    assert (status, said) == (CRITICAL, f"CRITICAL: Error code {Exit.CONFIG:d} returned from /usr/bin/mailq")
