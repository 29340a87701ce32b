"""``prx-email account remove`` and ``default``: change which accounts the config has."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.options import Json
from prx_email_cli.cli.output import put, put_json, say, work_is_done
from prx_email_cli.cli.render import masked, safe
from prx_email_cli.config.edit import remove_account, set_default_account
from prx_email_cli.errors import PrxEmailError, ValidationError

if TYPE_CHECKING:
    from prx_email_cli.config.settings import Account, Settings


def remove(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the account.")],
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Remove it even if messages of it are not sent, machines share its tokens, or the config is wrong.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Remove an account from the config, and the secret that prx-email keeps for it.

    Every other line stays; the old file is kept as a backup.
    Example: prx-email account remove old
    """
    this = invocation(ctx)
    settings = _settings(this, force=force)
    if settings is not None and not force:
        settings.account(name)
        _refuse_unsent(this, settings, name)
        if _shares_tokens(this, settings, name):
            raise ValidationError(
                f"the outbox's database keeps tokens of account {name} for all machines; nothing was changed",
                hint=f"prx-email account logout {name} deletes them; --force leaves them to other machines",
            )
    removed = remove_account(this.config_file, name)
    work_is_done(f"removed {safe(name)}")
    if settings is not None and name in settings.accounts:
        _forget(settings, settings.accounts[name])
        _forget_state(this, settings, name)
    if this.json:
        put_json({"account": name, "config": str(this.config_file), "default_account": removed.default_account,
                  "backup": str(removed.backup)})  # fmt: skip
        return
    say(f"removed {safe(name)}; the old config is kept as {safe(removed.backup)}")
    if removed.default_account is not None:
        say(f"default_account is {safe(removed.default_account)} now")


def default(
    ctx: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="Account to make the default; without it, print the default.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the default account, or make another one the default.

    Example: prx-email account default work
    """
    this = invocation(ctx)
    if name is None:
        name = this.settings().account(None).name
    else:
        set_default_account(this.config_file, name)
        work_is_done(f"default_account is {safe(name)}")
    if this.json:
        put_json({"default_account": name})
    else:
        put(safe(name))


def _settings(this: Invocation, *, force: bool) -> "Settings | None":
    """Load the config; None if it is wrong and *force* is given: the account to be removed may be what is wrong."""
    try:
        return this.settings()
    except PrxEmailError:
        if not force:
            raise
        return None


def _refuse_unsent(this: Invocation, settings: "Settings", name: str) -> None:
    """Raise ValidationError if the outbox has messages that this account is still to send."""
    from prx_email_cli.outbox.open import surroundings_of  # on use

    if not surroundings_of(settings.outbox).is_made():
        return
    with this.store(settings) as store:
        of = store.figures(0).get(name)
    unsent = of.waiting + of.scheduled + of.held if of is not None else 0
    if unsent:
        messages = "1 message waits" if unsent == 1 else f"{unsent} messages wait"
        raise ValidationError(
            f"{messages} to be sent by account {name}; nothing was changed",
            hint=f"prx-email list --account {name} shows them: drain or cancel them first, or use --force",
        )


def _shares_tokens(this: Invocation, settings: "Settings", name: str) -> bool:
    """Tell whether machines share tokens of this account, and of no other one in the config."""
    from prx_email_cli.oauth.shared import has_token_key  # on use

    if settings.accounts[name].smtp.auth.oauth is None or not has_token_key(settings.outbox):
        return False
    from prx_email_cli.oauth.tokens import names_of  # on use

    logins = {one.name: names_of(one, None)[0] for one in settings.accounts.values() if one.smtp.auth.oauth}
    login = logins.pop(name)
    if login in logins.values():
        return False
    with this.store(settings) as store:
        return store.shelf is not None and store.shelf.has(login)


def _forget_state(this: Invocation, settings: "Settings", name: str) -> None:
    """Let the outbox forget the account's pause or rest, which another account of this name would have."""
    from prx_email_cli.outbox.open import surroundings_of  # on use

    if surroundings_of(settings.outbox).is_made():
        with suppress(PrxEmailError), this.store(settings) as store:
            store.forget_account(name)


def _forget(settings: "Settings", account: "Account") -> None:
    """Delete the account's password from the keyring, or its tokens if no other account has the same."""
    from prx_email_cli.config.secrets import forget_password  # on use

    try:
        if account.smtp.auth.oauth is not None:
            from prx_email_cli.cli.account_login import forget_tokens  # on use
            from prx_email_cli.oauth.tokens import TokenCache  # on use

            others = [one for one in settings.accounts.values() if one.name != account.name and one.smtp.auth.oauth]
            cache = TokenCache(account)
            if cache.file.exists() and cache.file not in [TokenCache(one).file for one in others]:
                forget_tokens(account)
        elif account.smtp.auth.keyring:
            forget_password(account)
    except PrxEmailError as error:
        say(f"warning: the secret of {safe(account.name)} is still stored: {safe(masked(error.message))}")
