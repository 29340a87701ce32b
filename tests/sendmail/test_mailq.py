"""``mailq`` prints what is not delivered in Postfix's form."""

import re

import pytest

from prx_email_cli.errors import Exit

from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from .conftest import Sendmail

HEAD = re.compile(r"^-Queue ID- +--Size-- +-+Arrival Time-+ +-Sender/Recipient-+$")
# As pfqueue, check_mailq and many scripts read it.
ENTRY = re.compile(r"^([0-9A-F]+)([*!]?)\s+(\d+)\s+(\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d)\s+(\S+)$")
REASON = re.compile(r"^\s*\((.+)\)$")
RECIPIENT = re.compile(r"^\s{20,}(\S+@\S+)$")
SUMMARY = re.compile(r"^-- (\d+) Kbytes in (\d+) Requests?\.$")


@pytest.mark.on_both
def test_each_message_is_shown_with_id_size_time_sender_reason_and_recipients(sendmail: Sendmail) -> None:
    for words in (("-fme@example.net", "a@example.org", "b@example.org"), ("-f<>", "c@example.org")):
        assert sendmail(*words, text=b"Subject: s\n\n" + b"x\n" * 1000).status == 0
    assert sendmail.program.run("retry", "1", "--failure-mode", "network").status == Exit.TRY_LATER
    assert sendmail.program.call("hold", "2").status == 0
    ended = sendmail("-bp")
    assert (ended.status, ended.err) == (0, "")
    head, *lines, summary = ended.out.splitlines()
    assert HEAD.match(head)
    first, reason, *to, empty, second, third, last = lines
    one, other = ENTRY.match(first), ENTRY.match(second)
    assert one
    assert other
    size = int(one[3])
    assert (one[1], one[2], one[5]) == ("1", "", "me@example.net")
    assert 3000 < size < 4000
    assert REASON.match(reason)
    assert "simulated network timeout" in reason
    assert [RECIPIENT.match(line)[1] for line in to] == ["a@example.org", "b@example.org"]  # type: ignore[index]
    assert (empty, last) == ("", "")
    assert (other[1], other[2], other[5]) == ("2", "!", "MAILER-DAEMON")
    assert RECIPIENT.match(third)
    counted = SUMMARY.match(summary)
    assert counted
    assert (int(counted[1]), int(counted[2])) == (2 * size // 1024, 2)


def test_what_was_sent_or_cancelled_or_given_up_is_in_no_queue(sendmail: Sendmail) -> None:
    faults = [
        Fault("rcpt", "550 5.1.1 no", address="no@example.org"),
        Fault("rcpt", "451 4.3.0 later", address="b@x.org"),
    ]
    with ScriptedServer(faults) as server:
        sendmail.program.configure(server.port)
        for recipients in (["a@example.org"], ["a@example.org"], ["no@example.org"]):
            assert sendmail(*recipients).status == 0
        assert sendmail.program.call("cancel", "1").status == 0
        assert sendmail.program.call("drain").status == Exit.GAVE_UP
        assert sendmail("-bp") == (0, "Mail queue is empty\n", "")
        assert sendmail("a@example.org", "b@x.org").status == 0
        assert sendmail.program.call("drain").status == Exit.TRY_LATER
    _, entry, reason, *to, _, _ = sendmail("-bp").out.splitlines()
    assert (entry.split()[0], "451 4.3.0 later" in reason) == ("4", True)
    assert [one.strip() for one in to] == ["b@x.org"], "who has it is in no queue either"


def test_what_a_terminal_would_obey_is_escaped(sendmail: Sendmail) -> None:
    assert sendmail("a@example.org").status == 0
    sendmail.program.execute("UPDATE outbox SET last_error = 'no \x1b[2J\nsuch'")
    assert "(no \\x1b[2J\\nsuch)" in sendmail("-bp").out
