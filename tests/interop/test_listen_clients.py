"""Programs that speak SMTP hand their mail to listen, and a real server receives what each of them wrote."""

import os
import re
import smtplib
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ..conftest import Program
from ..listen.conftest import Listener, stored_id
from ..support.certs import Certificates
from .conftest import install
from .servers import DOMAIN, Certs, MailServer
from .servers.base import Received, ServerError, installed_root
from .servers.postfix import Relay

pytestmark = pytest.mark.interop

PERL = ("usr/share/perl5", "usr/share/perl/*", "usr/lib/*-linux-gnu/perl5/*", "usr/lib/*-linux-gnu/perl/*")
LOGIN, PASSWORD = "web1", "correct horse battery"
ALICE, BOB = f"alice@{DOMAIN}", f"bob@{DOMAIN}"
TEXT = "Grüße\n.\n..two\n.leading\nFrom here on\n\n" + "long " * 150 + "\nEnde\n"
MESSAGE = (
    f"Message-ID: <own@client.example>\nDate: Sun, 17 Mar 2030 10:00:00 +0000\nFrom: me@example.net\nTo: {ALICE}\n"
    "Subject: =?utf-8?q?gr=C3=B6=C3=9Fer?=\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n"
    f"Content-Transfer-Encoding: 8bit\n\n{TEXT}"
).encode()


@pytest.fixture
def server(start_server: Callable[[str], MailServer]) -> MailServer:
    """Postfix, to which the outbox delivers."""
    try:
        running = start_server("postfix")
    except ServerError as error:
        pytest.fail(f"no postfix to deliver to: {error}", pytrace=False)
    running.reset()
    return running


@pytest.fixture
def listener(program: Program, server: MailServer, certificates: Certificates) -> Iterator[Listener]:
    """One on loopback, with TLS for whoever wants it, and a login."""
    key = program.home / "server.pem"
    key.write_bytes(certificates.server_file().read_bytes())
    key.chmod(0o600)
    program.configure(server.port, smtp='host = "127.0.0.1"')
    with program.config.open("a") as config:
        config.write(f'[listen]\ntls_cert_file = "{key}"\n')
    assert program.run("listen", "add-user", LOGIN, text=f"{PASSWORD}\n").status == 0
    with Listener(program, "--listen", "127.0.0.1:0", "--listen", str(program.home / "listen.sock")) as listener:
        assert listener.process.stderr is not None
        listener.process.stderr.readline()
        yield listener
        status, said = listener.stop()
        assert (status, "Traceback" in said, "bug" in said) == (0, False, False)


def client(name: str, *words: str | Path, data: bytes = b"", status: int = 0) -> str:
    """Run a program of Debian's; what it printed."""
    install(name)
    root = installed_root(name)
    libraries = [str(one) for one in root.glob("usr/lib/*-linux-gnu")]
    perl = [str(one) for place in PERL for one in root.glob(place)]
    done = subprocess.run(
        [root / "usr/bin" / name, *words], input=data, capture_output=True, check=False, timeout=60,
        env={**os.environ, "LD_LIBRARY_PATH": ":".join(libraries), "PERL5LIB": ":".join(perl), "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    assert done.returncode == status, done
    return done.stdout.decode() + done.stderr.decode()


def drained(program: Program, server: MailServer, copies: int) -> list[Received]:
    """What the server has received, copies by recipient."""
    assert program.run("drain").status == 0
    return sorted(server.wait_for(copies))


def written_by_swaks(said: str) -> bytes:
    """The content in swaks's transcript, dots undone, with bare LF."""
    _, _, after = said.partition("<-  354") if "<-  354" in said else said.partition("<~  354")
    lines = re.findall(r"^ [-~]> (.*)$", after.replace("\r", ""), re.MULTILINE)
    content = lines[: lines.index(".")]
    return "".join(f"{line.removeprefix('.')}\n" for line in content).encode()


@pytest.mark.parametrize("way", ["tcp", "socket"])
def test_swaks_with_an_attachment_and_several_recipients_pipelined(
    listener: Listener, program: Program, server: MailServer, tmp_path: Path, way: str
) -> None:
    body, attached = tmp_path / "body", tmp_path / "report.txt"
    body.write_text(TEXT)
    attached.write_bytes(bytes(range(256)) * 20)
    to = ["--socket", program.home / "listen.sock"] if way == "socket" else ["--server", f"127.0.0.1:{listener.port}"]
    said = client(
        "swaks", *to, "--pipeline", "--from", "me@example.net",
        "--to", f"{ALICE},{BOB}", "--body", f"@{body}", "--attach", f"@{attached}",
    )  # fmt: skip
    assert "<-  250 2.0.0 Ok: queued as 1" in said
    first, second = drained(program, server, 2)
    assert (first.recipient, second.recipient) == (ALICE, BOB)
    assert first.sender == "me@example.net"
    written = written_by_swaks(said)
    assert "\n.\n..two\n.leading\n" in written.decode()
    assert first.data.endswith(b"\n" + written)
    assert second.data == first.data


def test_swaks_logs_in_over_tls_and_the_login_is_recorded(
    listener: Listener, program: Program, server: MailServer
) -> None:
    def swaks(password: str, status: int) -> str:
        return client(
            "swaks", "--server", f"127.0.0.1:{listener.port}", "--tls", "--auth", "PLAIN", "--auth-user", LOGIN,
            "--auth-password", password, "--from", "me@example.net", "--to", ALICE, status=status,
        )  # fmt: skip

    assert "535 5.7.8" in swaks("wrong password", 28)  # swaks's status for a login that failed
    said = swaks(PASSWORD, 0)
    assert "TLS started" in said
    assert "<~  250 2.0.0 Ok: queued as 1" in said
    assert program.show(1)["enqueued_by"]["user"] == LOGIN
    (received,) = drained(program, server, 1)
    assert b" with ESMTPSA;" in received.data
    head, _, body = written_by_swaks(said).partition(b"\n\n")
    assert b"\n" + head + b"\n" in received.data  # and after it what swaks leaves out, such as MIME-Version
    assert received.data.endswith(b"\n\n" + body)


@pytest.mark.parametrize("way", ["tcp", "socket", "tls"])
def test_msmtp_over_every_way_in(
    listener: Listener, program: Program, server: MailServer, certificates: Certificates, way: str
) -> None:
    to = [f"--socket={program.home / 'listen.sock'}", "--host=localhost"] if way == "socket" else [
        "--host=127.0.0.1", f"--port={listener.port}"]  # fmt: skip
    if way == "tls":
        config = program.home / "msmtprc"
        config.write_text(f"defaults\npasswordeval \"printf %s '{PASSWORD}'\"\n")
        config.chmod(0o600)
        to += ["--tls=on", "--tls-starttls=on", f"--tls-trust-file={certificates.ca_file}", "--auth=plain",
               f"--user={LOGIN}", "--passwordeval=printf '%s' '" + PASSWORD + "'"]  # fmt: skip
    client("msmtp", *to, "--from=me@example.net", ALICE, BOB, data=MESSAGE)
    caller = program.show(1)["enqueued_by"]
    if way == "socket":
        assert (caller["uid"], caller["command"]) == (os.getuid(), "listen, from msmtp")
    assert caller["user"] == (LOGIN if way == "tls" else "root" if way == "socket" else "")
    first, second = drained(program, server, 2)
    assert first.data.endswith(b"\n" + MESSAGE)
    assert second.data == first.data


def test_msmtp_hears_why_a_recipient_was_refused(listener: Listener, program: Program) -> None:
    said = client(
        "msmtp", "--host=127.0.0.1", f"--port={listener.port}", "--from=me@example.net", ALICE, "nobody",
        data=MESSAGE, status=65,
    )  # fmt: skip
    assert "553 5.1.3 the recipient has no domain" in said
    assert program.call("list", "--json").data == []


@pytest.mark.parametrize("tls", [False, True], ids=["clear", "starttls"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"], ids=["lf", "crlf"])
def test_curl_uploads_a_file(
    listener: Listener, program: Program, server: MailServer, certificates: Certificates, tmp_path: Path, tls: bool,
    end: bytes,
) -> None:  # fmt: skip
    file, content = tmp_path / "message", MESSAGE
    if end == b"\n":  # curl adds no dot behind a bare LF
        content = re.sub(rb"\n\.+", b"\n", content)
    file.write_bytes(content.replace(b"\n", end))
    over = ["--ssl-reqd", "--cacert", str(certificates.ca_file), "--user", f"{LOGIN}:{PASSWORD}"] if tls else []
    said = client(
        "curl", "-sv", f"smtp://localhost:{listener.port}", *over, "--mail-from", "me@example.net",
        "--mail-rcpt", ALICE, "--mail-rcpt", BOB, "--upload-file", file,
    )  # fmt: skip
    assert "250 2.0.0 Ok: queued as 1" in said
    first, second = drained(program, server, 2)
    assert first.data.endswith(b"\n" + content)
    assert second.data == first.data
    assert (b" with ESMTPSA;" in first.data) == tls


def test_curl_is_told_of_a_dot_that_it_did_not_double(listener: Listener, program: Program, tmp_path: Path) -> None:
    file = tmp_path / "message"
    file.write_bytes(MESSAGE)
    to = (f"smtp://localhost:{listener.port}", "--mail-from", "me@example.net", "--mail-rcpt", ALICE)
    assert "550 5.6.11" in client("curl", "-sv", *to, "--upload-file", file, status=8)
    assert program.call("list", "--json").data == []
    assert "queued as 1" in client("curl", "-sv", *to, "--crlf", "--upload-file", file)


def test_curl_speaks_tls_from_the_first_byte(
    program: Program, server: MailServer, certificates: Certificates, tmp_path: Path, listener: Listener
) -> None:
    with program.config.open("a") as config:
        config.write('tls = "implicit"\n')
    file = tmp_path / "message"
    file.write_bytes(MESSAGE.replace(b"\n", b"\r\n"))
    # On loopback TLS is for STARTTLS alone, as programs of this machine need none.
    with Listener(program, "--listen", "0.0.0.0:0") as implicit:
        said = client(
            "curl", "-sv", f"smtps://localhost:{implicit.port}", "--cacert", certificates.ca_file,
            "--user", f"{LOGIN}:{PASSWORD}", "--mail-from", "me@example.net", "--mail-rcpt", ALICE,
            "--upload-file", file,
        )  # fmt: skip
    assert "250 2.0.0 Ok: queued as 1" in said
    (received,) = drained(program, server, 1)
    assert received.data.endswith(b"\n" + MESSAGE)


def test_smtplib_with_every_extension_and_one_recipient_refused(
    listener: Listener, program: Program, server: MailServer
) -> None:
    with smtplib.SMTP("127.0.0.1", listener.port, timeout=60) as speaking:
        speaking.ehlo()
        assert {name for name in ("size", "8bitmime", "smtputf8", "pipelining") if not speaking.has_extn(name)} == set()
        refused = speaking.sendmail("me@example.net", [ALICE, "nobody", BOB], MESSAGE, ["BODY=8BITMIME"])
        assert refused.keys() == {"nobody"}
        wide = MESSAGE.replace(b"=?utf-8?q?gr=C3=B6=C3=9Fer?=", "größer".encode())
        assert speaking.sendmail("mé@example.net", [f"älice@{DOMAIN}"], wide, ["SMTPUTF8", "BODY=8BITMIME"]) == {}
        speaking.mail("me@example.net")
        speaking.rcpt(ALICE)
        assert stored_id(speaking.data(MESSAGE.replace(b"\n", b"\r\n"))[1]) == 3
    received = drained(program, server, 4)
    assert [one.recipient for one in received] == [ALICE, ALICE, BOB, f"älice@{DOMAIN}"]
    assert {one.data.endswith(b"\n" + MESSAGE) for one in received[:3]} == {True}
    assert received[3].data.endswith(b"\n" + wide)
    assert received[3].sender == "mé@example.net"


def test_smtplib_over_starttls_with_a_login(
    listener: Listener, program: Program, server: MailServer, certificates: Certificates
) -> None:
    trust = ssl.create_default_context(cafile=str(certificates.ca_file))
    with smtplib.SMTP("localhost", listener.port, timeout=60) as speaking:
        speaking.starttls(context=trust)
        speaking.login(LOGIN, PASSWORD)
        assert speaking.sendmail("me@example.net", [ALICE], MESSAGE) == {}
    (received,) = drained(program, server, 1)
    assert received.data.endswith(b"\n" + MESSAGE)


def test_postfix_with_listen_as_its_relayhost(
    listener: Listener, program: Program, server: MailServer, certs: Certs, tmp_path: Path
) -> None:
    with Relay(tmp_path / "relay", certs, f"[127.0.0.1]:{listener.port}") as relay:
        with smtplib.SMTP("127.0.0.1", relay.port, timeout=60) as speaking:
            speaking.sendmail("me@example.net", [ALICE, BOB], MESSAGE.replace(b"\n", b"\r\n"))
            speaking.sendmail("", [ALICE], MESSAGE.replace(b"own@", b"null@").replace(b"\n", b"\r\n"))
        relay.sendmail("-f", "me@example.net", "-i", ALICE, text=MESSAGE.replace(b"own@", b"local@"))
        wait_for_sent(relay, 4)
    received = drained(program, server, 4)
    assert [one.recipient for one in received] == [ALICE, ALICE, ALICE, BOB]
    assert sorted(one.sender for one in received) == ["", "me@example.net", "me@example.net", "me@example.net"]
    for one in received:
        own = re.search(rb"<(\w+)@client.example>", one.data)
        assert own is not None
        assert one.data.endswith(b"\n" + MESSAGE.replace(b"own@", own[1] + b"@"))
        assert b" with ESMTPS;" in one.data


def wait_for_sent(relay: Relay, count: int) -> None:
    """Return when Postfix has noted so many recipients as sent; it sends a moment after it has accepted."""
    deadline = time.monotonic() + 30
    while relay.log().count("status=sent (250 2.0.0 Ok: queued as ") < count:
        assert time.monotonic() < deadline, relay.log()
        time.sleep(0.05)
