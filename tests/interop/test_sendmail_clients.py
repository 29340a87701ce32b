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


def test_git_send_email_of_a_series_keeps_it_threaded(program: Program) -> None:
    root = installed_root("git-email")
    core, home = root / "usr/lib/git-core", program.home
    environment = {
        **program.environment, "PATH": f"{root}/usr/bin:{core}:{os.environ['PATH']}", "GIT_EXEC_PATH": str(core),
        "PERL5LIB": str(root / "usr/share/perl5"), "GIT_CONFIG_NOSYSTEM": "1", "LANG": "C.UTF-8",
        "LD_LIBRARY_PATH": f"{root}/usr/lib/x86_64-linux-gnu",
    }  # fmt: skip

    def git(*words: str) -> None:
        identity = ("-c", "user.name=Jürgen", "-c", "user.email=me@example.net")
        done = subprocess.run(["git", *identity, *words], env=environment, cwd=home, check=False, capture_output=True)
        assert done.returncode == 0, done

    git("init", "--quiet")
    for number in range(4):
        (home / "file").write_text(f"{number}\n")
        git("add", "file")
        git("commit", "--quiet", "--message", f"Größe {number}")
    git("format-patch", "--quiet", "-3", "HEAD", "--output-directory", "out")
    with MailHost() as host:
        program.configure(host.port)
        git(
            "send-email", "--from=me@example.net", "--to=a@example.org", "--confirm=never", "--suppress-cc=all",
            f"--sendmail-cmd={PRX_SENDMAIL}", *sorted(str(file) for file in (home / "out").iterdir()),
        )  # fmt: skip
        assert program.run("drain").status == 0
        received = [message_from_bytes(one.content, policy=default) for one in host.messages]
    series = {str(one["Subject"]): one for one in received}
    assert sorted(series) == [f"[PATCH {number}/3] Größe {number}" for number in (1, 2, 3)]
    first, *others = (series[subject] for subject in sorted(series))
    assert len({str(one["Message-ID"]) for one in received}) == 3
    assert "prx-email" not in first["Message-ID"]  # git's own stays
    assert first["In-Reply-To"] is None
    assert {str(one["In-Reply-To"]) for one in others} == {str(first["Message-ID"])}
