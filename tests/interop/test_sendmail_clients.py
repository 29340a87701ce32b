"""Programs of Debian that call sendmail are content with prx-sendmail, and what they write arrives as they wrote it."""

import os
import subprocess
import sys
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest

from ..conftest import Program
from ..support.mailhost import MailHost
from .servers.base import installed_root

pytestmark = pytest.mark.interop

PRX_SENDMAIL = Path(sys.executable).with_name("prx-sendmail")


def test_s_nail_with_an_attachment_and_a_local_recipient(program: Program) -> None:
    root = installed_root("s-nail")
    libraries = ":".join(str(one) for one in (root / "usr" / "lib", root / "usr/lib/x86_64-linux-gnu"))
    attached = program.home / "report.txt"
    attached.write_text("all is well\n")
    with MailHost() as host:
        program.configure(host.port)
        with program.config.open("a") as file:
            file.write('\n[sendmail.aliases]\nroot = "second@example.com"\n')
        done = subprocess.run(
            [root / "usr/bin/s-nail", "-:/", "-Ssendwait", f"-Smta={PRX_SENDMAIL}", "-r", "me@example.net",
             "-s", "größer", "-a", attached, "a@example.org", "root"],
            env={**os.environ, **program.environment, "LANG": "C.UTF-8", "LD_LIBRARY_PATH": libraries},
            input="Grüße\n.\nEnde\n", capture_output=True, text=True, check=False, cwd=program.home,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert program.run("drain").status == 0
        (received,) = host.messages
    message = message_from_bytes(received.content.replace(b"\r\n", b"\n"), policy=default)
    assert isinstance(message, EmailMessage)
    (attachment,) = message.iter_attachments()
    text = message.get_body()
    assert text is not None
    assert (message["Subject"], text.get_content()) == ("größer", "Grüße\n.\nEnde\n")
    assert (attachment.get_filename(), attachment.get_content()) == ("report.txt", "all is well\n")
    recipients = {one["address"] for one in program.show(1)["recipients"]}
    assert recipients == {"a@example.org", "second@example.com"}
