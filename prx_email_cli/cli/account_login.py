"""``prx-email account login``, ``logout`` and ``set-password``: secrets that prx-email itself gets and keeps."""

import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from prx_email_cli.children import environment
from prx_email_cli.cli.account_test import try_account
from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.inputs import first_line_of_stdin
from prx_email_cli.cli.options import Json, Name
from prx_email_cli.cli.output import on_terminal, put_json, say, work_is_done
from prx_email_cli.cli.pausing import wake
from prx_email_cli.cli.render import masked, safe
from prx_email_cli.config.oauth_servers import CLIENT_CREDENTIALS
from prx_email_cli.config.secrets import forget_password, store_password
from prx_email_cli.errors import AccountUnusable, ConfigError, ReadableByOthers, ValidationError
from prx_email_cli.oauth.server import ExchangeFailed
from prx_email_cli.oauth.shared import Vault, vault_for
from prx_email_cli.oauth.tokens import AccessTokens, TokenCache, clock_of
from prx_email_cli.redaction import remember

if TYPE_CHECKING:
    from prx_email_cli.config.settings import Account
    from prx_email_cli.oauth.server import Device, Tokens

LOGIN_SECONDS = 300


class LoginWay(NamedTuple):
    """How a person logs in.

    device: with a code on another machine.  browser: open one here.  port: where the browser is sent back to, 0 for any
    free one.  timeout: seconds.
    """

    device: bool = False
    browser: bool = True
    port: int = 0
    timeout: int = LOGIN_SECONDS


def login(
    ctx: typer.Context,
    name: Name = None,
    device: Annotated[bool, typer.Option("--device", help="Show a code to type on another machine.")] = False,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open a browser here, or only print the address.")
    ] = True,
    port: Annotated[
        int,
        typer.Option(
            "--port", min=0, max=65535, metavar="N", help="Local port that the browser is sent back to; 0 for any."
        ),
    ] = 0,
    timeout: Annotated[
        int, typer.Option("--timeout", min=1, max=3600, metavar="SECONDS", help="Wait at most this long for the login.")
    ] = LOGIN_SECONDS,
    as_json: Json = False,
) -> None:
    """Log in with OAuth once, keep the tokens for drains, and try the account.

    Example: prx-email account login work --device
    """
    this = invocation(ctx)
    account = this.settings().account(name)
    log_in_and_try(this, account, LoginWay(device, browser, port, timeout))


def log_in_and_try(this: Invocation, account: "Account", way: LoginWay) -> None:
    """Get tokens in this *way*, keep them, and try the account.

    Raises ConfigError, AccountUnusable, and typer.Exit when the account does not work.
    """
    if account.smtp.auth.oauth is None:
        raise ConfigError(
            f"accounts.{account.name} has no [accounts.{account.name}.smtp.auth.oauth]",
            hint="add it with your client_id: docs/providers.md says how to get one",
        )
    from prx_email_cli.cli.sharing import sharing  # on use

    with sharing(this, this.settings()) as (shared, _):
        vault = vault_for(account, shared.outbox, shared.shelf) if shared.outbox else None
        tokens = AccessTokens(account, clock_of(vault), vault)
        tokens.check_place()
        try:
            granted = _granted(account, tokens, way)
        except ExchangeFailed as failed:
            hint = failed.hint or _hint(failed.error)
            raise AccountUnusable(failed.code, f"login failed: {failed.message}", hint) from None
        tokens.keep(granted)
    work_is_done("logged in")
    place = "where only you can read them" if vault is None else "in the outbox's database, encrypted, for all machines"
    say(f"logged in; the tokens are kept {place}")
    if granted.refresh_token is None and account.smtp.auth.oauth.grant == "refresh_token":
        say("warning: the server gave no refresh token: you will have to log in again when this one expires")
    try_account(this, account)


def _granted(account: "Account", tokens: "AccessTokens", way: LoginWay) -> "Tokens":
    """Get tokens in this *way*, or as an application.  Raises ExchangeFailed, ConfigError."""
    from prx_email_cli.oauth.login import Redirect, log_in_by_browser, log_in_by_device  # on use

    oauth = tokens.oauth
    if oauth.grant == CLIENT_CREDENTIALS:
        return tokens.exchange.as_application()
    _check_endpoint(account, "device_url" if way.device else "authorize_url", device=way.device)
    if way.device:
        return log_in_by_device(tokens.exchange, _show_device, way.timeout)
    redirect = Redirect(oauth.redirect_host or "127.0.0.1", way.port)
    return log_in_by_browser(
        tokens.exchange,
        redirect,
        account.smtp.user or "",
        lambda url: _show_address(url, open_it=way.browser),
        way.timeout,
    )


def _check_endpoint(account: "Account", name: str, *, device: bool) -> None:
    oauth = account.smtp.auth.oauth
    if getattr(oauth, name) is None:
        other = "without --device" if device else "with --device"
        raise ConfigError(
            f"accounts.{account.name}.smtp.auth.oauth.{name} is missing", hint=f"set it, or log in {other}"
        )


def _show_address(url: str, *, open_it: bool) -> None:
    say("open this address in a browser on this machine, and log in:")
    say(f"  {safe(url)}")
    if open_it:
        threading.Thread(target=_open_browser, args=(url,), daemon=True).start()


def _open_browser(url: str) -> None:
    """Open a browser; it may run until a person closes it, and what it writes is dropped."""
    command = [sys.executable, "-I", "-m", "webbrowser", url]  # -I: no module of the directory we are in
    nowhere = subprocess.DEVNULL
    with suppress(OSError):
        subprocess.run(command, stdin=nowhere, stdout=nowhere, stderr=nowhere, check=False, start_new_session=True,
                       env=environment())  # fmt: skip


def _show_device(device: "Device") -> None:
    say(f"on any machine, open {safe(device.verification_url)} and enter the code {safe(device.user_code)}")
    if device.complete_url:
        say(f"  or open {safe(device.complete_url)}")


def _hint(error: str | None) -> str:
    return {
        None: "check the network and the addresses in smtp.auth.oauth, and try again",
        "access_denied": "you, or your organization, refused it: try again, or ask its administrator",
        "invalid_client": "check client_id and client_secret",
        "unauthorized_client": "check how the application is registered: public client flows, redirect address",
        "invalid_scope": "check scope; Google's device flow does not allow mail: log in without --device",
        "expired_token": "try again",
    }.get(error, "check how the application is registered with the provider")


def logout(ctx: typer.Context, name: Name = None, as_json: Json = False) -> None:
    """Delete the tokens of an account, or its password in the keyring.

    Example: prx-email account logout work
    """
    this = invocation(ctx)
    account = this.settings().account(name)
    auth = account.smtp.auth
    revoked = False
    if auth.oauth is not None:
        from prx_email_cli.cli.sharing import sharing  # on use

        with sharing(this, this.settings()) as (shared, _):
            vault = vault_for(account, shared.outbox, shared.shelf) if shared.outbox else None
            revoked, removed = forget_tokens(account, vault)
    elif auth.keyring:
        removed = forget_password(account)
    else:
        source = (
            f"its secret comes from smtp.auth.{auth.kinds[0]}: delete it there" if auth.kinds else "it has no login"
        )
        raise ValidationError(f"prx-email keeps no secret for account {account.name}", hint=source)
    work_is_done("logged out" if removed else "there was nothing to delete")
    if this.json:
        put_json({"account": account.name, "removed": removed, "revoked": revoked})
        return
    say(f"{safe(account.name)}: {'logged out' if removed else 'there was nothing to delete'}")


def forget_tokens(account: "Account", vault: Vault | None = None) -> tuple[bool, bool]:
    """Revoke and delete an account's tokens; tell whether each of the two was done."""
    revoked, cache = False, TokenCache(account) if vault is None else vault.tokens_of(account, None)
    with cache.alone():  # else a drain that is renewing would put them back
        try:
            revoked = AccessTokens(account, clock_of(vault), vault).revoke()
        except (ExchangeFailed, ConfigError, ReadableByOthers) as failed:
            say(f"warning: the server did not revoke the token: {safe(masked(str(failed)))}")
        return revoked, cache.remove()


def set_password(ctx: typer.Context, name: Name = None, as_json: Json = False) -> None:
    """Put an account's password, asked for or piped in, into the system's keyring.

    Example: pass show mail/work | prx-email account set-password work
    """
    this = invocation(ctx)
    account = this.settings().account(name)
    if not account.smtp.auth.keyring:
        raise ConfigError(
            f"accounts.{account.name} does not take its password from the keyring",
            hint=f"set keyring = true in [accounts.{account.name}.smtp.auth], in place of what is there",
        )
    place = store_password(account, remember(_asked_for(account)))
    wake(this, account.name)
    work_is_done(f"stored in {safe(place)}")
    if this.json:
        put_json({"account": account.name, "keyring": place})
        return
    say(f"stored in {safe(place)}; next: prx-email account test {safe(account.name)}")


def _asked_for(account: "Account") -> str:
    if on_terminal(sys.stdin):
        return str(typer.prompt(f"Password of {safe(account.smtp.user)}", hide_input=True, err=True))
    password = first_line_of_stdin()
    if not password or "\0" in password:
        raise ValidationError("no password came on stdin", hint="pipe it into the command, as the first line")
    return password
