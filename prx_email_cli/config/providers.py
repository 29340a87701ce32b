"""Documented servers and limits of mail providers, as data.

They may change: each line names its source and the month in which it was read, or an older date of the page itself.
None means that nothing was found published.  Where a limit depends on the plan, the lowest plan's is here.  Where a
provider documents both ports, the one with implicit TLS is here (RFC 8314 section 3.3).  MB are read as 1,048,576
bytes.
"""

from enum import StrEnum
from typing import NamedTuple


class TlsMode(StrEnum):
    """How a connection is secured: TLS from its first byte, STARTTLS, or not at all.

    RFC 8314 section 3.3 and RFC 3207.
    """

    IMPLICIT = "implicit"
    STARTTLS = "starttls"
    NONE = "none"


class Provider(NamedTuple):
    """A preset for ``[accounts.X] provider``.

    logins: the ways to log in, the best first: "password", "app_password", "oauth", "none".  title: its name for
    people.  oauth: name of an OAuth preset.  user: the login name, if it is the same for everybody.  connections: at
    the same time.  size_bytes: of the whole message, as documented.  recipients: of one message.  by_plan: the limits
    of a day depend on the plan; they are the lowest plan's.  explanation: how a person gets a password or token.
    """

    host: str
    port: int
    tls: TlsMode
    logins: tuple[str, ...]
    title: str
    oauth: str | None = None
    user: str | None = None
    connections: int | None = None
    messages_per_minute: int | None = None
    messages_per_day: int | None = None
    size_bytes: int | None = None
    recipients: int | None = None
    recipients_per_day: int | None = None
    by_plan: bool = False
    explanation: tuple[str, str] = ("", "")


PROVIDERS: dict[str, Provider] = {
    "gmail": Provider(
        # support.google.com/mail/answer/7126229 and developers.google.com/workspace/gmail/imap/imap-smtp, read 2026-11:
        # smtp.gmail.com, 465 for SSL, 587 for STARTTLS.
        "smtp.gmail.com",
        465,
        TlsMode.IMPLICIT,
        # support.google.com/a/answer/14114704, read 2026-11: OAuth or an app password, the account's own no longer.
        ("app_password", "oauth"),
        "Gmail and Google Workspace",
        oauth="google",
        # support.google.com/mail/answer/22839, read 2026-11: 500 in any 24 hours; Workspace 2,000, 500 while on trial
        # (support.google.com/a/answer/166852).
        messages_per_day=500,
        by_plan=True,
        # EHLO of smtp.gmail.com (SIZE, RFC 1870), seen in public transcripts, 2026-11; the 25 MB of
        # support.google.com/mail/answer/6584 are attachments before encoding.
        size_bytes=35_882_577,
        # support.google.com/a/answer/166852, read 2026-11: 100 by SMTP.
        recipients=100,
        # support.google.com/accounts/answer/185833, read 2026-11.
        explanation=(
            "Turn on 2-Step Verification, then make an app password: https://myaccount.google.com/apppasswords",
            "Are app passwords not offered (work account, Advanced Protection)? Then register an OAuth client.",
        ),
    ),
    "outlook": Provider(
        # learn.microsoft.com/exchange/mail-flow-best-practices "client SMTP submission", read 2026-11:
        # smtp.office365.com, 587 with STARTTLS.
        "smtp.office365.com",
        587,
        TlsMode.STARTTLS,
        # techcommunity.microsoft.com/blog/exchange/.../4489835, 2026-01: passwords are switched off by default at the
        # end of December 2026 and for new tenants; administrators may switch them on again until a date still open.
        ("oauth", "password"),
        "Microsoft 365 and Exchange Online (business)",
        oauth="microsoft",
        # learn.microsoft.com/exchange/troubleshoot/send-emails/smtp-submission-improvements, 2025-06: 3 connections
        # (beyond: 432 4.3.2), 30 messages a minute, 10,000 recipients a day (a message counts one at the least).
        connections=3,
        messages_per_minute=30,
        recipients_per_day=10_000,
        # size_bytes: the tenant's, any administrator may set it.
        # learn.microsoft.com/defender-office-365/outbound-spam-sending-limits-troubleshoot, read 2026-11: 500 unless
        # the administrator sets another number up to 1,000.
        recipients=500,
        # learn.microsoft.com/exchange/clients-and-mobile-in-exchange-online/authenticated-client-smtp-submission and
        # learn.microsoft.com/entra/identity-platform/quickstart-register-app, read 2026-11.
        explanation=(
            "SMTP AUTH must be on for the mailbox: https://admin.microsoft.com, Users, Mail, Manage email apps.",
            "OAuth: register an app at https://entra.microsoft.com. Passwords are off by default after 2026.",
        ),
    ),
    "hotmail": Provider(
        # support.microsoft.com "POP, IMAP, and SMTP settings for Outlook.com" (8361e398-8af4-4e97-b147-6c6c4ac95353),
        # read 2026-11: smtp-mail.outlook.com, 587 with STARTTLS, OAuth2.  Passwords and app passwords ended on
        # 2024-09-16 (patriotmail.ai/blog/microsoft-modern-authentication-outlook-app-passwords, 2026-03).
        "smtp-mail.outlook.com",
        587,
        TlsMode.STARTTLS,
        ("oauth",),
        "Outlook.com, Hotmail and Live (personal)",
        oauth="microsoft",
        # support.microsoft.com "Sending limits in Outlook.com" (279ee200-594c-40f0-9ec8-bb6af7735c2e), read 2026-11:
        # subscribers may reach 5,000 recipients a day and 500 a message, everybody else fewer, and how many is not
        # published; 25 MB are attachments.
        explanation=(
            "OAuth only: register an app for personal Microsoft accounts at https://entra.microsoft.com",
            "with the redirect URI http://localhost, then run: prx-email account login NAME",
        ),
    ),
    "yahoo": Provider(
        # help.yahoo.com/kb/SLN4724.html, read 2026-11: smtp.mail.yahoo.com, 465 with SSL, 587 with TLS.
        "smtp.mail.yahoo.com",
        465,
        TlsMode.IMPLICIT,
        # help.yahoo.com/kb/SLN15241.html, read 2026-11: app passwords, under Account Security.
        ("app_password",),
        "Yahoo Mail",
        # Nothing found for personal mail.  help.yahoo.com SLN17518 (500 recipients a day, 100 a message) is of the
        # business mail of former years, SLN3433 (20 messages a connection) of mail to Yahoo's MX servers.
        explanation=(
            "Sign in at https://login.yahoo.com, Account Security, External connections: Create app password.",
            "Use a browser that you have signed in with for some days; Yahoo may refuse others.",
        ),
    ),
    "fastmail": Provider(
        # fastmail.com/help/technical/servernamesandports.html, read 2026-11: smtp.fastmail.com, 465 with SSL/TLS; app
        # passwords only.
        "smtp.fastmail.com",
        465,
        TlsMode.IMPLICIT,
        ("app_password",),
        "Fastmail",
        # fastmail.com/help/account/limits.html, read 2026-11, names limits of sending only in general.
        # fastmail.com/help/clients/apppassword.html, read 2026-11.
        explanation=(
            "Settings, Privacy & Security: make an app password that may use SMTP (not on Basic plans).",
            "The login name is your Fastmail address with its domain, also when you send as another one.",
        ),
    ),
    "icloud": Provider(
        # clean.email/blog/email-settings/icloud-email-settings, read 2026-11, after support.apple.com/102525:
        # smtp.mail.me.com, 587 with STARTTLS.
        "smtp.mail.me.com",
        587,
        TlsMode.STARTTLS,
        ("app_password",),
        "iCloud Mail",
        # support.apple.com/102198, read 2026-11: 1,000 messages and 1,000 recipients a day, 500 recipients a message,
        # messages of 20 MB.
        messages_per_day=1_000,
        recipients_per_day=1_000,
        size_bytes=20_971_520,
        recipients=500,
        # support.apple.com/102654, read 2026-11.
        explanation=(
            "https://account.apple.com, Sign-In and Security, App-Specific Passwords (needs two factors).",
            "A changed Apple password revokes them all. The login name is your whole iCloud address.",
        ),
    ),
    "zoho": Provider(
        # zoho.com/mail/help/zoho-smtp.html, read 2026-11: smtp.zoho.com, 465 with SSL, 587 with TLS; smtppro.zoho.com
        # for paid organizations.  Other regions: postigo.net/smtp/zoho, 2026-01.
        "smtp.zoho.com",
        465,
        TlsMode.IMPLICIT,
        # help.zoho.com/portal/kb/articles/manage-application-specific-passwords, read 2026-11: required with MFA,
        # recommended without.
        ("app_password", "password"),
        "Zoho Mail",
        # zoho.com/mail/help/adminconsole/rates-and-limits.html, read 2026-11: 100 recipients a message on free plans,
        # 150 on paid ones; 50 to 500 messages an hour, by reputation, so nothing a minute or a day.
        recipients=100,
        explanation=(
            "https://accounts.zoho.com, Security, Application Specific Passwords: Generate New Password.",
            'Paid plan with a domain: smtp.host = "smtppro.zoho.com"; other regions: smtp.zoho.eu, smtp.zoho.in.',
        ),
    ),
    "ses": Provider(
        # docs.aws.amazon.com/ses/latest/dg/smtp-connect.html, read 2026-11: a host for each region, listed in
        # docs.aws.amazon.com/general/latest/gr/ses.html (the name: postigo.net/smtp/amazon-ses, 2026-01); TLS wrapper
        # on 465 and 2465, STARTTLS on 25, 587 and 2587.
        "email-smtp.us-east-1.amazonaws.com",
        465,
        TlsMode.IMPLICIT,
        ("password",),
        "Amazon SES",
        # docs.aws.amazon.com/ses/latest/dg/quotas.html, read 2026-11: in the sandbox one a second and 200 in 24 hours,
        # outside of it what the console says, both counted in recipients (a message counts one at the least); 40 MB
        # by SMTP after encoding; 50 recipients a message.
        messages_per_minute=60,
        recipients_per_day=200,
        by_plan=True,
        size_bytes=41_943_040,
        recipients=50,
        # docs.aws.amazon.com/ses/latest/dg/smtp-credentials.html, read 2026-11.
        explanation=(
            "SES console, SMTP settings, Create SMTP Credentials. AWS access keys do not work as a password.",
            'They hold for one region; another one: smtp.host = "email-smtp.REGION.amazonaws.com"',
        ),
    ),
    "sendgrid": Provider(
        # twilio.com/docs/sendgrid/for-developers/sending-email/integrating-with-the-smtp-api, read 2026-11:
        # smtp.sendgrid.net, 465 with SSL, 25, 587 and 2525 with STARTTLS; the login name is the word apikey; at most
        # 10,000 connections.
        "smtp.sendgrid.net",
        465,
        TlsMode.IMPLICIT,
        ("password",),
        "Twilio SendGrid",
        user="apikey",
        connections=10_000,
        # support.sendgrid.com/hc/en-us/articles/35270136965403, 2025-03: 100 on the trial plan, by API and SMTP.
        messages_per_day=100,
        by_plan=True,
        # docs.sendgrid.com/api-reference/mail-send/limitations, read 2026-11: below 30 MB in all, 1,000 recipients;
        # smtp.sendgrid.net announces the same size (SIZE, RFC 1870).
        size_bytes=31_457_280,
        recipients=1_000,
        explanation=(
            "Settings, API Keys: make a key with Mail Send access; it is the password.",
            "Verify the sender or its domain first: Settings, Sender Authentication.",
        ),
    ),
    "mailgun": Provider(
        # kb.umbhost.net/email-smtp/sending-email-via-mailgun-smtp (after Mailgun's manual) and
        # smtptester.org/guides/mailgun-smtp-test, read 2026-11: smtp.mailgun.org, 465 with TLS, 25, 587 and 2525 with
        # STARTTLS; smtp.eu.mailgun.org for domains in the EU.
        "smtp.mailgun.org",
        465,
        TlsMode.IMPLICIT,
        ("password",),
        "Mailgun",
        # documentation.mailgun.com/docs/mailgun/user-manual/sending-messages, read 2026-11: 25 MB.  Limits of the free
        # plan and of recipients by SMTP were not found at Mailgun.
        size_bytes=26_214_400,
        # help.mailgun.com/hc/en-us/articles/203380100, read 2026-11: SMTP takes the domain's credentials only.
        explanation=(
            "Sending, Domain settings, SMTP credentials: login and password of the domain, not an API key.",
            'A domain in the EU region needs smtp.host = "smtp.eu.mailgun.org".',
        ),
    ),
    "postmark": Provider(
        # postmarkapp.com/developer/user-guide/send-email-with-smtp, read 2026-11: smtp.postmarkapp.com, 25, 587 and
        # 2525, all with STARTTLS.  Broadcasts: skills.apis.io/skills/activecampaign/postmark-send-email, read 2026-11.
        "smtp.postmarkapp.com",
        587,
        TlsMode.STARTTLS,
        ("password",),
        "Postmark",
        # postmarkapp.com/support/article/1056-what-are-the-attachment-and-email-size-limits, read 2026-11: 10 MB after
        # encoding.
        size_bytes=10_485_760,
        # postmarkapp.com/llms.txt, read 2026-11: 50 of To, Cc and Bcc together.
        recipients=50,
        explanation=(
            "Server, message stream, Settings: make an SMTP token; access key = login, secret key = password.",
            'Broadcast streams need smtp.host = "smtp-broadcasts.postmarkapp.com".',
        ),
    ),
    "relay": Provider(
        # A mail server on this machine that takes mail without login: port 25, RFC 5321 section 4.5.4.2 (2008-10).
        "localhost",
        25,
        TlsMode.NONE,
        ("none",),
        "Mail server on this machine",
        explanation=(
            "No login: the mail server on this machine must accept mail from localhost.",
            'On another port than 25: smtp.port = 2525 and smtp.tls = "none".',
        ),
    ),
}

ALIASES: dict[str, str] = {"google": "gmail", "office365": "outlook", "microsoft365": "outlook"}

NAMES: tuple[str, ...] = (*PROVIDERS, *ALIASES)


def provider_named(name: str | None) -> Provider | None:
    """Return the provider of this name or alias; None if there is none."""
    return PROVIDERS.get(ALIASES.get(name, name)) if name is not None else None
