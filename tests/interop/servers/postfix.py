"""Postfix: a whole master with its own queue, whose only transport that delivers is the recording script."""

import os
import subprocess
from pathlib import Path
from typing import ClassVar

from .base import DOMAIN, GREYLISTED, GREYLISTING_TEXT, REFUSAL_TEXT, REFUSED, SIZE_LIMIT, Certs, MailServer

IN_SANDBOX = """\
compatibility_level = 3.6
config_directory = /srv/conf
queue_directory = /srv/queue
data_directory = /srv/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
shlib_directory = /usr/lib/postfix
mail_owner = postfix
setgid_group = postdrop
maillog_file = /srv/log/maillog
maillog_file_prefixes = /srv
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mydestination =
alias_maps =
alias_database =
local_recipient_maps =
disable_dns_lookups = yes
smtpd_peername_lookup = no
"""
"""What is the same for every Postfix here: where it is, that it listens on loopback alone and looks nothing up."""

MAIN = f"""\
{IN_SANDBOX}# As a provider: the headers of what clients send stay as they are.
local_header_rewrite_clients =
message_size_limit = {SIZE_LIMIT}
mailbox_size_limit = 0
smtpd_tls_security_level = may
smtpd_tls_cert_file = /srv/tls/cert.pem
smtpd_tls_key_file = /srv/tls/key.pem
smtpd_relay_restrictions = reject_unauth_destination
smtpd_restriction_classes = greylist
greylist = check_policy_service unix:private/greylist
smtpd_recipient_restrictions = check_recipient_access inline:{{
    {{ {GREYLISTED} = greylist }} {{ {REFUSED} = 550 5.1.1 {REFUSAL_TEXT} }} }}
virtual_mailbox_domains = {DOMAIN}
virtual_mailbox_maps = static:all
virtual_transport = sink
sink_destination_recipient_limit = 1
# Whatever else there is, such as a bounce to another domain, must not leave the machine.
default_transport = discard:
relay_transport = discard:
local_transport = discard:
"""

RELAYING = """\
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtp_tls_security_level = may
"""

MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
127.0.0.1:{tls_port} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
smtp unix - - n - - smtp
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
greylist unix - n n - 0 spawn user=nobody argv=/srv/bin/greylist
sink unix - n n - - pipe user=mailsink null_sender=
    argv=/usr/bin/env SENDER=${{sender}} RECIPIENT=${{recipient}} /srv/bin/deliver
"""

GREYLIST = f"""\
#!/bin/sh
# A Postfix policy server: attributes up to an empty line in, one action out.
while read -r line; do
    [ -z "$line" ] || continue
    if [ -e /srv/state/greylist ]; then echo 'action=450 4.2.0 {GREYLISTING_TEXT}'; else echo action=DUNNO; fi
    echo
done
"""

PRIVATE_QUEUES = "active bounce corrupt defer deferred flush hold incoming private saved trace"


class Postfix(MailServer):
    """Postfix as Debian builds it: SMTPUTF8, PIPELINING, CHUNKING, STARTTLS."""

    name: ClassVar[str] = "postfix"
    supports_smtputf8: ClassVar[bool] = True
    users: ClassVar[tuple[str, ...]] = ("postfix", "mailsink")
    extra_groups: ClassVar[tuple[str, ...]] = ("postdrop",)

    def configure(self) -> None:
        """Write main.cf and master.cf, and the queue directories with the owners that master expects."""
        main = self.write("conf/main.cf", self.main() + f"myhostname = {self.hostname}\n")
        os.utime(main, (0, 0))  # master waits for two seconds when the file looks as if it is being edited
        self.write("conf/master.cf", MASTER.format(port=self.port, tls_port=self.tls_port))
        self.script("greylist", GREYLIST)
        owner, postdrop = self.ids["postfix"], self.ids["postdrop"]
        self._directory("queue", 0, 0, 0o755)
        self._directory("queue/pid", 0, 0, 0o755)
        self._directory("data", owner, 0, 0o700)
        for queue in PRIVATE_QUEUES.split():
            self._directory(f"queue/{queue}", owner, 0, 0o700)
        self._directory("queue/maildrop", owner, postdrop, 0o730)
        self._directory("queue/public", owner, postdrop, 0o710)

    def main(self) -> str:
        """Return main.cf without the host's name."""
        return MAIN

    def _directory(self, name: str, uid: int, gid: int, mode: int) -> None:
        path = self.tmpdir / name
        path.mkdir()
        os.chown(path, uid, gid)
        path.chmod(mode)

    def command(self) -> list[str]:
        """Run master itself: `postfix start` would only add checks of a system-wide installation."""
        return ["/usr/lib/postfix/sbin/master", "-d", "-c", "/srv/conf"]


class Relay(Postfix):
    """Postfix that passes all mail on to one host, as a satellite system does, with TLS when that host offers it."""

    def __init__(self, tmpdir: Path, certs: Certs, relayhost: str) -> None:
        """Take the host as main.cf names it: ``[127.0.0.1]:2525``."""
        super().__init__(tmpdir, certs)
        self.relayhost = relayhost

    def main(self) -> str:
        """Return main.cf without the host's name."""
        return f"{IN_SANDBOX}relayhost = {self.relayhost}\n{RELAYING}"

    def sendmail(self, *words: str, text: bytes) -> None:
        """Call its sendmail, as a program in the sandbox."""
        assert self._process is not None
        ((init, *_),) = [Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()]
        inside = ["nsenter", "--target", init, "--mount", "--pid", "/usr/sbin/sendmail", "-C", "/srv/conf"]
        subprocess.run([*inside, *words], input=text, check=True, timeout=30)
