"""OpenSMTPD: it insists on root, two users and fixed paths, all of which the sandbox gives to it alone."""

from typing import ClassVar

from .base import DOMAIN, GREYLISTED, GREYLISTING_TEXT, REFUSAL_TEXT, REFUSED, SIZE_LIMIT, MailServer

CONFIG = """\
pki interop cert "/srv/tls/cert.pem"
pki interop key "/srv/tls/key.pem"
smtp max-message-size {size_limit}
filter "policy" proc-exec "/srv/bin/policy"
listen on 127.0.0.1 port {port} tls pki interop hostname {hostname} filter "policy"
listen on 127.0.0.1 port {tls_port} smtps pki interop hostname {hostname} filter "policy"
table users {{ "@" = mailsink }}
action "sink" mda "/srv/bin/deliver" virtual <users>
match from any for domain "{domain}" action "sink"
"""

POLICY = f"""\
#!/bin/sh
# An OpenSMTPD filter. It is asked at RCPT:
#   filter|VERSION|TIME|smtp-in|rcpt-to|SESSION|TOKEN|ADDRESS
while IFS='|' read -r kind version time subsystem phase session token address; do
    if [ "$kind|$version" = 'config|ready' ]; then
        echo 'register|filter|smtp-in|rcpt-to'
        echo 'register|ready'
    elif [ "$kind|$phase" = 'filter|rcpt-to' ]; then
        verdict=proceed
        case $address in
            {GREYLISTED}) [ ! -e /srv/state/greylist ] || verdict='reject|450 4.2.0 {GREYLISTING_TEXT}' ;;
            {REFUSED}) verdict='reject|550 5.1.1 {REFUSAL_TEXT}' ;;
        esac
        echo "filter-result|$session|$token|$verdict"
    fi
done
"""

RUN = """\
#!/bin/sh
# The directory it confines its children to; its spool directories it makes itself.
set -eu
mkdir -p /var/lib/opensmtpd/empty
exec /usr/sbin/smtpd -d -f /srv/smtpd.conf
"""


class OpenSMTPD(MailServer):
    """OpenSMTPD as Debian builds it: neither SMTPUTF8 nor PIPELINING, and TLS that is offered but broken.

    Debian 12 links 6.8 with OpenSSL 3, which cannot use the key that 6.8 keeps in another process: each
    handshake ends in an internal_error alert, with RSA and with ECDSA (OpenSMTPD issues 1171 and 1239). The
    offer stays: it is a server whose STARTTLS fails, as there are some, and a client must not go on in clear.
    """

    name: ClassVar[str] = "opensmtpd"
    supports_smtputf8: ClassVar[bool] = False
    supports_tls: ClassVar[bool] = False
    users: ClassVar[tuple[str, ...]] = ("opensmtpd", "opensmtpq", "mailsink")

    def configure(self) -> None:
        """Write the configuration and the filter that holds the policies."""
        self.write(
            "smtpd.conf",
            CONFIG.format(
                hostname=self.hostname,
                port=self.port,
                tls_port=self.tls_port,
                size_limit=SIZE_LIMIT,
                domain=DOMAIN,
            ),
        )
        self.script("policy", POLICY)
        self.script("run", RUN)

    def command(self) -> list[str]:
        """Run it in the foreground."""
        return ["/srv/bin/run"]
