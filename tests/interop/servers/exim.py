"""Exim: run as an ordinary user throughout, since a delivery script needs no root."""

import os
from typing import ClassVar

from .base import DOMAIN, GREYLISTED, GREYLISTING_TEXT, REFUSAL_TEXT, REFUSED, SIZE_LIMIT, MailServer

CONFIG = """\
primary_hostname = {hostname}
exim_path = /usr/sbin/exim4
spool_directory = /srv/spool
log_file_path = /srv/log/%slog
pid_file_path = /srv/spool/exim.pid
keep_environment =
deliver_drop_privilege = true
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port} : {tls_port}
tls_on_connect_ports = {tls_port}
daemon_startup_retries = 0
tls_advertise_hosts = *
tls_certificate = /srv/tls/cert.pem
tls_privatekey = /srv/tls/key.pem
message_size_limit = {size_limit}
# By default the eleventh message of a connection would wait for a queue run that never comes.
smtp_accept_queue_per_connection = 0
smtp_accept_max = 100
acl_smtp_rcpt = check_rcpt

begin acl
check_rcpt:
  defer
    condition = ${{if eqi{{$local_part@$domain}}{{{greylisted}}}}}
    condition = ${{if exists{{/srv/state/greylist}}}}
    message = 450 4.2.0 {greylisting_text}
  deny
    condition = ${{if eqi{{$local_part@$domain}}{{{refused}}}}}
    message = 550 5.1.1 {refusal_text}
  accept
    domains = {domain}
  deny
    message = 550 5.7.1 Relaying denied

begin routers
sink:
  driver = accept
  domains = {domain}
  transport = sink
# Whatever else there is, such as a bounce to another domain, must not leave the machine.
elsewhere:
  driver = redirect
  data = :blackhole:

begin transports
sink:
  driver = pipe
  command = /srv/bin/deliver
  message_prefix =
  message_suffix =
"""


class Exim(MailServer):
    """Exim as Debian builds it (daemon-light): SMTPUTF8, PIPELINING, CHUNKING, STARTTLS through GnuTLS."""

    name: ClassVar[str] = "exim"
    supports_smtputf8: ClassVar[bool] = True
    users: ClassVar[tuple[str, ...]] = ("Debian-exim",)

    def configure(self) -> None:
        """Write the configuration, and give Exim's user its spool and the key."""
        self.write(
            "exim.conf",
            CONFIG.format(
                hostname=self.hostname,
                port=self.port,
                tls_port=self.tls_port,
                size_limit=SIZE_LIMIT,
                domain=DOMAIN,
                greylisted=GREYLISTED,
                greylisting_text=GREYLISTING_TEXT,
                refused=REFUSED,
                refusal_text=REFUSAL_TEXT,
            ),
        )
        (self.tmpdir / "spool").mkdir()
        user = self.ids["Debian-exim"]
        for name in ("spool", "tls/cert.pem", "tls/key.pem"):
            os.chown(self.tmpdir / name, user, user)

    def command(self) -> list[str]:
        """Run in the foreground, already as Exim's own user: the ports are high, so it needs no root."""
        user = str(self.ids["Debian-exim"])
        become = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"]
        return [*become, "/usr/sbin/exim4", "-C", "/srv/exim.conf", "-bdf"]
