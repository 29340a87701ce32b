"""Authorization servers of mail providers: their documented addresses, as data."""

from typing import NamedTuple

GOOGLE, MICROSOFT = "google", "microsoft"
CLIENT_CREDENTIALS = "client_credentials"


class Preset(NamedTuple):
    """An authorization server's addresses.

    ``{tenant}`` in them stands for the config's tenant.  scope: names separated by spaces.  redirect_host: the host
    that the provider lets applications on a machine register.  extra: further parameters of the authorization request.
    """

    token_url: str
    authorize_url: str
    device_url: str
    scope: str
    revoke_url: str | None = None
    redirect_host: str = "127.0.0.1"
    extra: tuple[tuple[str, str], ...] = ()


PRESETS = {
    # developers.google.com/identity/protocols/oauth2/native-app, .../limited-input-device and
    # developers.google.com/workspace/gmail/imap/xoauth2-protocol (the scope), read 2026-11.  Without offline access and
    # a fresh consent it gives no refresh token.
    GOOGLE: Preset(
        "https://oauth2.googleapis.com/token",
        "https://accounts.google.com/o/oauth2/v2/auth",
        "https://oauth2.googleapis.com/device/code",
        "https://mail.google.com/",
        revoke_url="https://oauth2.googleapis.com/revoke",
        extra=(("access_type", "offline"), ("prompt", "consent")),
    ),
    # learn.microsoft.com/entra/identity-platform v2-oauth2-auth-code-flow and v2-oauth2-device-code;
    # learn.microsoft.com/exchange "Authenticate an IMAP, POP or SMTP connection using OAuth" (the scope), read 2026-11.
    # The portal registers http://localhost with any port; 127.0.0.1 only by editing the manifest.
    MICROSOFT: Preset(
        "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
        "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/authorize",
        "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/devicecode",
        "https://outlook.office.com/SMTP.Send offline_access",
        redirect_host="localhost",
    ),
}
# The same page of Exchange: the scope of an application that logs in as itself, all that it was granted.
MICROSOFT_APPLICATION_SCOPE = "https://outlook.office365.com/.default"
