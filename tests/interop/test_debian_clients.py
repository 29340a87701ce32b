"""What programs of Debian send for their users, to prx-sendmail as /usr/sbin/sendmail, arrives as they wrote it."""

import json
from email.message import EmailMessage

import pytest

from ..listen.conftest import Listener
from .clients import Machine, assert_as_written, attachments, enqueued_by, envelopes, read
from .servers import DOMAIN
from .servers.base import installed_root

pytestmark = pytest.mark.interop

ME, A, B, HIDDEN, OPS, ROOT = (f"{name}@{DOMAIN}" for name in ("me", "a", "b", "hidden", "ops", "root"))
BINARY = bytes(range(256)) * 5 + b"\r\n.\r\n\n.\n"
TEXT = "Grüße\n.\n..\nFrom here\n-- \nEnde\n"
QUOTED = json.dumps(TEXT, ensure_ascii=False)


def test_mutt_with_an_attachment(machine: Machine) -> None:
    (machine.program.home / "Größe.bin").write_bytes(BINARY)
    machine.run(
        "mutt", "-n", "-F", "/dev/null", "-e", "set sendmail='/usr/sbin/sendmail -oem -oi' use_envelope_from=yes",
        "-e", f"set charset=utf-8 copy=no from={ME} realname='Jürgen Ö'",
        "-s", "größer", "-c", B, "-b", HIDDEN, "-a", "Größe.bin", "--", A, text=TEXT,
    )  # fmt: skip
    (call,) = machine.calls()
    received = machine.deliver(3)
    assert envelopes(received) == [(ME, A), (ME, B), (ME, HIDDEN)]
    for one in received:
        assert_as_written(call.message, one.data)
        assert HIDDEN.encode() not in one.data
    message = read(received[0].data)
    assert (message["Subject"], message["From"].addresses[0].display_name) == ("größer", "Jürgen Ö")
    assert _text(message) == TEXT
    assert attachments(message) == {"Größe.bin": BINARY}
    assert enqueued_by(machine.program, 1) == "sendmail, called by mutt"


def test_bsd_mailx(machine: Machine) -> None:
    text = TEXT.replace("\n.\n", "\n")  # it would end there by itself: Debian's mail.rc has `set dot`
    words = ("-s", "größer", "-r", f"Ich <{ME}>", "-a", "X-Tool: mailx", "-c", B, "-b", HIDDEN, A, "root")
    machine.run("mail", *words, text=text)
    (call,) = machine.calls()
    received = machine.deliver(4)
    assert call.flags == ["-i", "-t", "-f", ME]
    assert envelopes(received) == [(ME, A), (ME, B), (ME, HIDDEN), (ME, ROOT)]
    for one in received:
        assert_as_written(call.message, one.data, added=["message-id", "date"])
        assert HIDDEN.encode() not in one.data
    message = read(received[0].data)
    assert (message["Subject"], message["X-Tool"], message["To"]) == ("größer", "mailx", f"{A}, root")
    assert message.get_content() == text
    assert enqueued_by(machine.program, 1) == "sendmail -t, called by mail"


def test_s_nail_with_an_attachment(machine: Machine) -> None:
    (machine.program.home / "Größe.bin").write_bytes(BINARY)
    options = ("-:/", "-Ssendwait", "-Sttycharset=utf-8", "-r", ME, "-s", "größer", "-b", HIDDEN, "-a", "Größe.bin")
    machine.run("s-nail", *options, A, "root", text=TEXT)
    (call,) = machine.calls()
    received = machine.deliver(3)
    assert envelopes(received) == [(ME, A), (ME, HIDDEN), (ME, ROOT)]
    for one in received:
        assert_as_written(call.message, one.data)
        assert HIDDEN.encode() not in one.data
    message = read(received[0].data)
    assert (message["Subject"], _text(message)) == ("größer", TEXT)
    assert attachments(message) == {"Größe.bin": BINARY}


SERIES = f"""\
set -eu
export GIT_CONFIG_NOSYSTEM=1
git config --global user.name Jürgen
git config --global user.email {ME}
git init --quiet
for number in 0 1 2 3; do
    printf '%s\\n' "$number" .. "From $number" >file
    git add file
    git commit --quiet --message "Größe $number"
done
git format-patch --quiet -3 HEAD --output-directory out
git send-email --quiet --to={A} --bcc={HIDDEN} --confirm=never --suppress-cc=all out/*
"""


def test_git_send_email_of_a_series_keeps_it_threaded(machine: Machine) -> None:
    machine.run("sh", machine.write("series.sh", SERIES))
    calls = machine.calls()
    received = machine.deliver(6)
    assert envelopes(received) == [(OPS, A)] * 3 + [(OPS, HIDDEN)] * 3  # it gives no -f unless it is told to
    series = {str(read(one.data)["Subject"]): one.data for one in received}
    assert sorted(series) == [f"[PATCH {number}/3] Größe {number}" for number in (1, 2, 3)]
    for call, (_, data) in zip(calls, sorted(series.items()), strict=True):
        assert_as_written(call.message, data)  # git's own Message-ID, too
    first, *others = (read(data) for _, data in sorted(series.items()))
    assert (first["In-Reply-To"], first["References"]) == (None, None)
    for header in ("In-Reply-To", "References"):
        assert [str(one[header]) for one in others] == [str(first["Message-ID"])] * 2


PHP_MAIL = f"""\
<?php
foreach (["\\n", "\\r\\n"] as $end) {{
    $sent = mail(
        "Größe <{A}>, root", "=?UTF-8?B?" . base64_encode("größer") . "?=", str_replace("\\n", $end, {QUOTED}),
        implode($end, [
            "From: {ME}", "Cc: {B}", "Bcc: {HIDDEN}", "X-Tool: php", "MIME-Version: 1.0",
            "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: 8bit",
        ]),
        "-fbounces@{DOMAIN}"
    );
    $sent || exit(1);
}}
mail("{A}", "größer", {QUOTED}) || exit(1);
"""


def test_mail_of_php(machine: Machine) -> None:
    script = machine.write("mail.php", PHP_MAIL)
    machine.run(_php(), "-n", "-d", "sendmail_path=/usr/sbin/sendmail -t -i", script)
    with_lf, with_crlf, bare = machine.calls()
    assert with_lf.flags == with_crlf.flags == ["-t", "-i", f"-fbounces@{DOMAIN}"]
    assert with_lf.message != with_crlf.message
    received = machine.deliver(9)
    bounces = f"bounces@{DOMAIN}"
    (last,) = (one for one in received if one.sender != bounces)
    received.remove(last)
    assert envelopes([last]) == [(OPS, A)]
    assert envelopes(received) == [(bounces, one) for one in (A, B, HIDDEN, ROOT) for _ in range(2)]
    for one in received:
        assert_as_written(with_lf.message, one.data, added=["message-id", "date"])
        assert_as_written(with_crlf.message, one.data, added=["message-id", "date"])
        message = read(one.data)
        assert (message["Subject"], message.get_content()) == ("größer", f"{TEXT}\n")  # PHP adds a line's end
    added = ["message-id", "date", "from", "mime-version", "content-type", "content-transfer-encoding"]
    assert_as_written(bare.message, last.data, added)
    assert (message := read(last.data))["Subject"] == "größer"
    assert message.get_content() == f"{TEXT}\n"
    assert {enqueued_by(machine.program, one) for one in (1, 2, 3)} == {f"sendmail -t, called by {_php()[9:]} (sh -c)"}


SYMFONY = f"""\
<?php
require "/usr/share/php/Symfony/Component/Mailer/autoload.php";
use Symfony\\Component\\Mailer\\Transport;
use Symfony\\Component\\Mime\\Email;

$transport = Transport::fromDsn($argv[1]);
foreach (["a", "b"] as $name) {{
    $email = (new Email())->from("Ich <{ME}>")->to("$name@{DOMAIN}")->bcc("{HIDDEN}")
        ->subject("größer")->text({QUOTED})->html("<p>Grüße</p>")
        ->attach(file_get_contents("attached"), "größe.bin", "application/x-thing");
    file_put_contents("wrote.$name", $transport->send($email)->toString());
}}
"""
SYMFONY_NEEDS = ("ctype", "iconv", "mbstring", "tokenizer")


@pytest.mark.parametrize("dsn", ["sendmail://default", "sendmail://default?command=/usr/sbin/sendmail%20-t%20-i"])
def test_mailer_of_symfony(machine: Machine, dsn: str) -> None:
    machine.link()
    home = machine.program.home
    (home / "attached").write_bytes(BINARY)
    extensions = [word for name in SYMFONY_NEEDS for word in ("-d", f"extension={name}")]
    machine.run(_php(), "-n", *extensions, machine.write("send.php", SYMFONY), dsn)
    received = machine.deliver(4)
    assert envelopes(received) == [(ME, A), (ME, B), (ME, HIDDEN), (ME, HIDDEN)]
    # By default it speaks SMTP by -bs, which leaves a trace, and it writes a line's end more than the message has.
    added, more = ([], b"") if "command" in dsn else (["received"], b"\r\n")
    for wrote, one in zip(("wrote.a", "wrote.b"), received, strict=False):
        assert_as_written((home / wrote).read_bytes() + more, one.data, added)
        _assert_all_is_there(read(one.data))
    assert sorted(str(read(one.data)["To"]) for one in received[2:]) == [A, B]
    flag = "sendmail -bs" if added else "sendmail"
    assert enqueued_by(machine.program, 2) == f"{flag}, called by {_php()[9:]} (sh -c)"


DJANGO = f"""\
import sys
from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection

settings.configure(EMAIL_HOST="127.0.0.1", EMAIL_PORT=int(sys.argv[1]))
with open("attached", "rb") as file:
    attached = file.read()
messages = []
for to in ("a", "b"):
    own = {{"X-Tool": "django", "Message-ID": f"<{{to}}@django.example>"}}
    message = EmailMultiAlternatives(
        "größer", {QUOTED}, "Ich <{ME}>", [f"{{to}}@{DOMAIN}"], bcc=["{HIDDEN}"], headers=own
    )
    message.attach_alternative("<p>Grüße</p>", "text/html")
    message.attach("größe.bin", attached, "application/x-thing")
    messages.append(message)
assert get_connection().send_messages(messages) == 2
"""


def test_django_through_the_listener(machine: Machine) -> None:
    program = machine.program
    (program.home / "attached").write_bytes(BINARY)
    with Listener(program, "--listen", "127.0.0.1:0") as listener:
        machine.run("/usr/bin/python3", machine.write("send.py", DJANGO), str(listener.port))
    received = machine.deliver(4)
    assert envelopes(received) == [(ME, A), (ME, B), (ME, HIDDEN), (ME, HIDDEN)]
    for one in received:
        message = read(one.data)
        assert (message["From"], message["Bcc"], message["X-Tool"]) == (f"Ich <{ME}>", None, "django")
        _assert_all_is_there(message)
    assert [str(read(one.data)["Message-ID"]) for one in received[:2]] == ["<a@django.example>", "<b@django.example>"]


def _php() -> str:
    """Return the program that Debian's alternatives make `php`."""
    (found,) = (one for one in (installed_root("clients") / "usr/bin").glob("php[0-9]*") if one.suffix[1:].isdigit())
    return f"/usr/bin/{found.name}"


def _assert_all_is_there(message: EmailMessage) -> None:
    """Claim that this is the message with all that a framework can put into one."""
    assert message["Subject"] == "größer"
    assert _text(message) == TEXT
    html = message.get_body(("html",))
    assert html is not None
    assert html.get_content().strip() == "<p>Grüße</p>"
    assert attachments(message) == {"größe.bin": BINARY}


def _text(message: EmailMessage) -> str:
    """Return the plain text."""
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())
