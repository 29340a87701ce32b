"""What programs of Debian tell root of, to prx-sendmail as /usr/sbin/sendmail, arrives as they wrote it."""

import os
import time

import pytest

from .clients import ROOT, SENDER, Machine, assert_as_written, body, enqueued_by, envelopes, read

pytestmark = pytest.mark.interop

JOB = 'echo "Platte größer"; echo .; echo Ende >&2; exit 3'
CRON = """\
set -eu
mkdir -p /var/spool/cron/crontabs
cp crontab /var/spool/cron/crontabs/root
chmod 600 /var/spool/cron/crontabs/root
exec cron -f
"""
# No disk fails here: this is what smartd sets for its script then, as Debian's smartd.conf has it.
WARNING = """\
export SMARTD_MAILER=/usr/share/smartmontools/smartd-runner SMARTD_ADDRESS=root SMARTD_FAILTYPE=FailedHealthCheck
export SMARTD_MESSAGE='Device: /dev/sda [SAT], FAILED SMART self-check. BACK UP DATA NOW!'
export SMARTD_DEVICE=/dev/sda SMARTD_DEVICETYPE=sat SMARTD_DEVICESTRING='/dev/sda [SAT]' SMARTD_DEVICEINFO='Größe: 1 TB'
export SMARTD_TFIRST='Sun Nov 29 12:00:00 2026 UTC' SMARTD_TFIRSTEPOCH=1795953600 SMARTD_PREVCNT=0 SMARTD_NEXTDAYS=1
exec /usr/share/smartmontools/smartd_warning.sh
"""
UPGRADE = """\
import io, sys
from importlib import machinery, util

loader = machinery.SourceFileLoader("unattended_upgrade", "/usr/bin/unattended-upgrade")
program = util.module_from_spec(util.spec_from_loader(loader.name, loader))
sys.modules[loader.name] = program
loader.exec_module(program)
program.apt_pkg.init_config()
program.apt_pkg.config.set("Unattended-Upgrade::Mail", "root")
program.send_summary_mail(
    ["libc6"], False, "Größe falsch", program.KeptPkgs(set), set(), [], io.StringIO("log\\n"), "dpkg\\n.\\nEnde\\n"
)
"""


@pytest.mark.parametrize("linked", [True, False], ids=["link", "recorded"])
def test_a_failing_job_of_cron(machine: Machine, linked: bool) -> None:
    if linked:
        machine.link()
    machine.write("crontab", f"@reboot {JOB}\n")
    machine.start("sh", machine.write("cron.sh", CRON))
    _wait_for_a_message(machine)
    assert enqueued_by(machine.program, 1) == "sendmail, called by cron"
    (received,) = machine.deliver(1)
    assert (received.sender, received.recipient) == (SENDER, ROOT)
    message = read(received.data)
    assert message["Subject"] == f"Cron <root@{os.uname().nodename}> {JOB}"
    assert f"<HOME={machine.program.home}>" in message.get_all("X-Cron-Env", [])
    assert body(received.data).decode() == "Platte größer\n.\nEnde\n"
    for call in machine.calls():
        assert "-t" not in call.flags
        assert_as_written(call.message, received.data, added=["date", "message-id"], rewritten=["from"])
        assert b"From: root (Cron Daemon)" in call.message
        assert str(message["From"]) == f"Cron Daemon <{SENDER}>"  # no server takes mail from root


def test_mdadm_tells_of_an_array(machine: Machine) -> None:
    machine.run("mdadm", "--monitor", "--test", "--oneshot", "--mail=root", "/dev/md99")
    (call,) = machine.calls()
    (received,) = machine.deliver(1)
    assert call.flags == ["-t"]
    assert envelopes([received]) == [(SENDER, ROOT)]
    assert_as_written(call.message, received.data, added=["message-id", "date", "mime-version", "content-type"])
    assert enqueued_by(machine.program, 1) == "sendmail -t, called by mdadm (sh -c)"
    assert b"A TestMessage event had been detected on md device /dev/md99.\n" in body(received.data)


def test_smartd_tells_of_a_disk(machine: Machine) -> None:
    machine.run("sh", machine.write("warn.sh", WARNING))
    (call,) = machine.calls()
    (received,) = machine.deliver(1)
    assert call.flags == ["-i", "-t"]
    assert enqueued_by(machine.program, 1) == "sendmail -t, called by mail"
    assert envelopes([received]) == [(SENDER, ROOT)]
    assert_as_written(call.message, received.data, added=["from", "message-id", "date"])
    assert read(received.data)["Subject"] == f"SMART error (FailedHealthCheck) detected on host: {os.uname().nodename}"
    assert b"Device: /dev/sda [SAT], FAILED SMART self-check. BACK UP DATA NOW!\n" in body(received.data)


def test_logwatch_reports(machine: Machine) -> None:
    machine.run("logwatch", "--mailto", "root", "--output", "mail", "--service", "zz-sys", "--range", "today")
    (call,) = machine.calls()
    (received,) = machine.deliver(1)
    assert call.flags == ["-t"]
    assert envelopes([received]) == [(SENDER, ROOT)]
    assert_as_written(call.message, received.data, added=["message-id", "date"], rewritten=["from"])
    assert (message := read(received.data))["Precedence"] == "bulk"
    assert message["Auto-Submitted"] == "auto-generated"


def test_unattended_upgrades_report_a_failure(machine: Machine) -> None:
    machine.run("/usr/bin/python3", machine.write("upgrade.py", UPGRADE))
    (call,) = machine.calls()
    (received,) = machine.deliver(1)
    assert call.flags == ["-oi", "-t"]
    assert envelopes([received]) == [(SENDER, ROOT)]
    assert_as_written(call.message, received.data, added=["message-id", "date"], rewritten=["from"])
    text = read(received.data).get_content()
    assert "Unattended upgrade result: Größe falsch\n" in text
    assert "dpkg\n.\nEnde\n" in text


def _wait_for_a_message(machine: Machine) -> None:
    deadline = time.monotonic() + 30
    while not (machine.program.outbox.exists() and machine.program.call("list", "--json").data):
        assert time.monotonic() < deadline
        time.sleep(0.02)
