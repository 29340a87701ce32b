"""Set an account up from options or a dialogue, for ``init`` and ``account add``."""

import sys
from collections.abc import Callable
from typing import Any

import typer

from prx_email_cli.cli.account_login import LoginWay, log_in_and_try
from prx_email_cli.cli.account_options import AccountOptions
from prx_email_cli.cli.account_test import try_account
from prx_email_cli.cli.context import Invocation
from prx_email_cli.cli.output import on_terminal, put_json, say, work_is_done
from prx_email_cli.cli.render import safe
from prx_email_cli.config.providers import provider_named
from prx_email_cli.config.secrets import store_password
from prx_email_cli.config.settings import Account, check_settings
from prx_email_cli.errors import PrxEmailError
from prx_email_cli.redaction import remember

Tables = dict[str, Any]


def set_up(
    this: Invocation, name: str, options: AccountOptions, write: Callable[[Tables], None], *, test: bool
) -> None:
    """Complete *options* by a dialogue if a person is at the terminal, *write* the account, and try it.

    test: try it also without a dialogue.  Raises ConfigError, before anything is written, for options that contradict
    each other.
    """
    asked = on_terminal(sys.stdin) and on_terminal(sys.stderr) and not this.json
    keyring_password = None
    if asked:
        from prx_email_cli.cli.dialogue import complete  # on use

        options, keyring_password = complete(options)
    elif options.provider is None and options.host is None:
        raise typer.BadParameter("give --provider or --host (nobody is at the terminal to be asked)")
    table = options.table()
    _warn_of_no_login(table)
    account = check_settings({"accounts": {name: table}}, this.config_file).accounts[name]
    if keyring_password is not None:
        _store(account, keyring_password)
    write(table)
    work_is_done(f"wrote {safe(this.config_file)}")
    if not this.json:
        say(f"wrote {safe(this.config_file)}")
    if asked or test:
        _try(this, account, log_in=asked and "oauth" in table["smtp"].get("auth", {}))
        if not this.json:
            words = ("--to", _bare(account.sender or ""), "--subject", "Hello", "--body", "It works.")
            _say_next(this, account, "send", "--account", name, *words, "--now")
    elif this.json:
        put_json({"config": str(this.config_file), "account": name})
    else:
        _say_next(this, account, "account", _next_command(table), name)


def _say_next(this: Invocation, account: Account, *words: str) -> None:
    """Say which command comes next, and what belongs into the crontab."""
    say(f"next: {safe(this.command(*words))}")
    _say_crontab(this, account)


def _say_crontab(this: Invocation, account: Account) -> None:
    from prx_email_cli.cli.cron import crontab_line, say_variables  # on use

    say("then let cron drain the outbox, with this line in your crontab (crontab -e):")
    say(safe(crontab_line(this)))
    say_variables([account])


def _bare(sender: str) -> str:
    return sender.rpartition("<")[2].rstrip(">").strip()


def _warn_of_no_login(table: Tables) -> None:
    provider = provider_named(table.get("provider"))
    if provider is not None and "none" not in provider.logins and "auth" not in table["smtp"]:
        say(f"warning: {safe(table['provider'])} wants a login, and none is given (--password-env, for example)")


def _next_command(table: Tables) -> str:
    auth = table["smtp"].get("auth", {})
    return "login" if "oauth" in auth else "set-password" if "keyring" in auth else "test"


def _store(account: Account, password: str) -> None:
    """Put the password into the keyring.  Raises ConfigError, before the config is written, without one."""
    store_password(account, remember(password))


def _try(this: Invocation, written: Account, *, log_in: bool) -> None:
    """Try the new account; it stays written when it does not work."""
    try:
        account = this.settings().account(written.name)
        if log_in:
            log_in_and_try(this, account, LoginWay())
        else:
            try_account(this, account)
    except (PrxEmailError, typer.Exit):
        again = safe(this.command("account", "login" if log_in else "test", written.name))
        say(f"the account is written but does not work yet: correct {safe(this.config_file)}, then {again}")
        if not this.json:
            _say_crontab(this, written)
        raise
