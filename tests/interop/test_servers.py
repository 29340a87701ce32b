"""The harness itself, tried with plain smtplib: what these tests show, a test of our client may rely on."""

import smtplib
import ssl
from collections.abc import Iterator
from email import message_from_bytes

import pytest

from .servers import DOMAIN, GREYLISTED, REFUSED, SIZE_LIMIT, Certs, MailServer

pytestmark = pytest.mark.interop

SENDER = "sender@client.test"
ALICE = f"alice@{DOMAIN}"
MESSAGE = (
    b"From: <sender@client.test>\r\nTo: <alice@example.test>\r\nSubject: interop\r\n"
    b"Message-ID: <outbox-1-0@client.test>\r\nDate: Sat, 01 Aug 2026 12:00:00 +0000\r\n\r\n"
    b"plain\r\n.\r\n..dots\r\n trailing blanks  \r\n\r\nFrom the start of a line\r\n"
    b"latin \xe9 and utf-8 \xc3\xa9\r\n"
)


@pytest.fixture
def client(server: MailServer) -> Iterator[smtplib.SMTP]:
    """Yield a connection in clear that has said EHLO."""
    with smtplib.SMTP(server.host, server.port, timeout=10) as connection:
        connection.ehlo()
        yield connection


@pytest.fixture
def trusting(certs: Certs) -> ssl.SSLContext:
    """Return a TLS context that verifies against the harness's CA."""
    return ssl.create_default_context(cafile=str(certs.ca_file))


def test_accepted_mail_is_stored_as_sent(server: MailServer, client: smtplib.SMTP) -> None:
    """Only trace headers are added, in front; line ends are stored as LF."""
    assert client.sendmail(SENDER, [ALICE], MESSAGE) == {}
    [received] = server.wait_for(1)
    assert (received.sender, received.recipient) == (SENDER, ALICE)
    sent = MESSAGE.replace(b"\r\n", b"\n")
    assert received.data.endswith(b"\n" + sent)
    added = message_from_bytes(received.data.removesuffix(sent)).keys()
    assert set(added) == ({"Return-Path", "Delivered-To", "Received"} if server.name == "opensmtpd" else {"Received"})


def test_each_recipient_gets_a_copy_under_its_own_name(server: MailServer, client: smtplib.SMTP) -> None:
    """Any local part will do, with its tag kept; the null sender is recorded as empty."""
    recipients = [ALICE, f"bob+tag@{DOMAIN}", f"o'hara@{DOMAIN}"]
    assert client.sendmail("", recipients, MESSAGE) == {}
    copies = server.wait_for(3)
    assert sorted(copy.recipient for copy in copies) == sorted(recipients)
    assert {copy.sender for copy in copies} == {""}


def test_refused_recipient(server: MailServer, client: smtplib.SMTP) -> None:
    """The one is refused for good, the other one accepted."""
    refused = client.sendmail(SENDER, [REFUSED, ALICE], MESSAGE)
    assert {address: code for address, (code, _) in refused.items()} == {REFUSED: 550}
    assert [copy.recipient for copy in server.wait_for(1)] == [ALICE]


def test_other_domains_are_refused(client: smtplib.SMTP) -> None:
    """Nothing can leave the machine."""
    client.mail(SENDER)
    code, _ = client.rcpt("someone@elsewhere.test")
    assert code in (550, 554)


def test_greylisted_recipient_is_deferred_until_lifted(server: MailServer, client: smtplib.SMTP) -> None:
    """Lifting works at once, on the same connection."""
    with pytest.raises(smtplib.SMTPRecipientsRefused) as caught:
        client.sendmail(SENDER, [GREYLISTED], MESSAGE)
    assert caught.value.recipients[GREYLISTED][0] == 450
    server.lift_greylisting()
    assert client.sendmail(SENDER, [GREYLISTED], MESSAGE) == {}
    assert [copy.recipient for copy in server.wait_for(1)] == [GREYLISTED]


def test_oversized_mail_is_refused(server: MailServer, client: smtplib.SMTP) -> None:
    """Whether the size is declared at MAIL or found out in DATA; the connection stays usable."""
    assert client.esmtp_features["size"] == str(SIZE_LIMIT)
    large = MESSAGE + b"0123456789abcdef\r\n" * (SIZE_LIMIT // 16)
    client.mail(SENDER)
    client.rcpt(ALICE)
    assert client.data(large)[0] in (552, 554)
    client.rset()
    declared, _ = client.mail(SENDER, [f"size={len(large)}"])
    assert declared == (250 if server.name == "opensmtpd" else 552)
    client.rset()
    client.sendmail(SENDER, [ALICE], MESSAGE)
    assert len(server.wait_for(1)) == 1


def test_utf8_address(server: MailServer, client: smtplib.SMTP) -> None:
    """Where SMTPUTF8 is announced, it works to the end."""
    assert client.has_extn("smtputf8") == server.supports_smtputf8
    if not server.supports_smtputf8:
        code, _ = client.docmd("MAIL", f"FROM:<{SENDER}> SMTPUTF8")
        assert code // 100 == 5
        return
    recipient = f"jürgen@{DOMAIN}"
    client.sendmail("absenderin-ä@client.test", [recipient], MESSAGE, mail_options=["SMTPUTF8"])
    [received] = server.wait_for(1)
    assert (received.sender, received.recipient) == ("absenderin-ä@client.test", recipient)


def test_starttls(server: MailServer, client: smtplib.SMTP, trusting: ssl.SSLContext) -> None:
    """The certificate verifies against the given CA, where TLS works at all."""
    assert client.has_extn("starttls")
    if not server.supports_tls:
        with pytest.raises(ssl.SSLError):
            client.starttls(context=trusting)
        return
    client.starttls(context=trusting)
    assert client.sendmail(SENDER, [ALICE], MESSAGE) == {}
    [received] = server.wait_for(1)
    assert b"with esmtps" in received.data.lower()


def test_starttls_certificate_is_unknown_to_others(server: MailServer, client: smtplib.SMTP) -> None:
    """Without the CA nobody can verify it: a client that accepts this server does not verify."""
    with pytest.raises(ssl.SSLError):
        client.starttls(context=ssl.create_default_context())


def test_implicit_tls(server: MailServer, trusting: ssl.SSLContext) -> None:
    """The second port speaks TLS from the first byte."""
    if not server.supports_tls:
        with pytest.raises(ssl.SSLError):
            smtplib.SMTP_SSL(server.host, server.tls_port, timeout=10, context=trusting)
        return
    with smtplib.SMTP_SSL(server.host, server.tls_port, timeout=10, context=trusting) as client:
        assert client.sendmail(SENDER, [ALICE], MESSAGE) == {}
    assert len(server.wait_for(1)) == 1


def test_many_messages_on_one_connection(server: MailServer, client: smtplib.SMTP) -> None:
    """None of them waits in a queue, and they are told apart."""
    recipients = [f"user{number}@{DOMAIN}" for number in range(30)]
    for recipient in recipients:
        assert client.sendmail(SENDER, [recipient], MESSAGE) == {}
    assert sorted(copy.recipient for copy in server.wait_for(30)) == sorted(recipients)


def test_reset_forgets(server: MailServer, client: smtplib.SMTP) -> None:
    """What a test received or lifted is gone for the next one."""
    server.lift_greylisting()
    client.sendmail(SENDER, [GREYLISTED], MESSAGE)
    server.wait_for(1)
    server.reset()
    assert server.received() == []
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        client.sendmail(SENDER, [GREYLISTED], MESSAGE)
