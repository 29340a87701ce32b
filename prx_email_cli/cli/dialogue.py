"""Ask a person for an account: its provider, address and way of login."""

import re
import shlex
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from importlib.util import find_spec
from typing import NamedTuple

import typer

from prx_email_cli.cli.account_options import AccountOptions, host_and_port
from prx_email_cli.cli.output import say
from prx_email_cli.cli.render import safe
from prx_email_cli.config.auth import LOOPBACK_HOSTS
from prx_email_cli.config.providers import NAMES, PROVIDERS, Provider, TlsMode, provider_named
from prx_email_cli.config.settings import IMPLICIT_TLS_PORT, SUBMISSION_PORT, is_sender

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]+")
_WAYS = {
    "password": "a password, kept in the config (mode 0600)",
    "keyring": "a password, kept in this system's keyring (cron often cannot open it)",
    "env": "a password from an environment variable",
    "command": "a password that a command prints, such as pass show mail",
    "oauth": "OAuth: you log in once in a browser, tokens are renewed by themselves",
    "none": "no login",
}

_MODES = {
    TlsMode.IMPLICIT.value: "TLS from the first byte, as usual on port 465",
    TlsMode.STARTTLS.value: "TLS after STARTTLS, as usual on port 587; nothing is sent without it",
    TlsMode.NONE.value: "no TLS, only for a server on this machine",
}


class Answers(NamedTuple):
    """An account's options as completed by a person.  keyring_password: None if none goes into the keyring."""

    options: AccountOptions
    keyring_password: str | None = None


def ask(question: str, default: str | None = None, check: Callable[[str], str | None] = lambda answer: None) -> str:
    """Ask *question* on stderr until *check* finds no fault in the answer; a blank answer is the *default*."""
    shown = f"{question} [{safe(default)}]" if default is not None else question
    while True:
        answer = typer.prompt(shown, default="", show_default=False, err=True).strip() or default or ""
        trouble = "an answer is needed" if not answer else check(answer)
        if trouble is None:
            return answer
        say(f"  {safe(trouble)}")


def ask_secret(question: str) -> str:
    """Ask for a password, which is not shown; "" for none."""
    return str(typer.prompt(question, hide_input=True, default="", show_default=False, err=True))


def complete(options: AccountOptions) -> Answers:
    """Ask for what *options* leave open, and return all of them."""
    if options.provider is None and options.host is None:
        options = _ask_provider(options)
    provider = provider_named(options.provider)
    if provider is None:
        options = _ask_server(options)
    options = _ask_address(options, provider)
    if options.has_login or (provider and provider.logins == ("none",)):
        return Answers(options)
    return _ask_login(options, provider)


def _ask_provider(options: AccountOptions) -> AccountOptions:
    for name, provider in PROVIDERS.items():
        say(f"  {name:<10} {provider.title}")
    answer = ask("Provider, or the host name of your own server", check=_wrong_provider)
    if answer in NAMES:
        return options._replace(provider=answer)
    host, port = host_and_port(answer)
    return options._replace(host=host, port=port or options.port)


def _ask_server(options: AccountOptions) -> AccountOptions:
    """Ask for the port and the TLS of a server of which no provider tells them."""
    if options.port is None:
        usual = IMPLICIT_TLS_PORT if options.tls == TlsMode.IMPLICIT else SUBMISSION_PORT
        options = options._replace(port=int(ask("Port", str(usual), _wrong_port)))
    if options.tls is None:
        for mode, explained in _MODES.items():
            say(f"  {mode:<10} {explained}")
        usual_mode = TlsMode.IMPLICIT if options.port == IMPLICIT_TLS_PORT else TlsMode.STARTTLS
        options = options._replace(tls=ask("TLS", usual_mode, partial(_wrong_mode, options.host or "")))
    return options


def _wrong_port(answer: str) -> str | None:
    return (
        None if re.fullmatch("[0-9]{1,5}", answer) and 1 <= int(answer) <= 65535 else "write a number from 1 to 65535"
    )


def _wrong_mode(host: str, answer: str) -> str | None:
    if answer not in _MODES:
        return f"one of {', '.join(_MODES)}"
    if answer == TlsMode.NONE and host not in LOOPBACK_HOSTS:
        return f"mail and password would travel in clear to {host}: implicit or starttls"
    return None


def _ask_address(options: AccountOptions, provider: Provider | None) -> AccountOptions:
    """Ask for the address, and for the login name where it is another."""
    if options.sender is None and (options.user is None or "@" not in options.user):
        options = options._replace(sender=ask("Your address (From)", check=_wrong_address))
    if options.user is not None or (provider and (provider.user or provider.logins == ("none",))):
        return options
    user = ask("Login name", default=_bare(options.sender or ""), check=_wrong_name)
    return options._replace(user=user, sender=None if user == options.sender else options.sender)


def _bare(address: str) -> str:
    return address.rpartition("<")[2].rstrip(">").strip()


def _wrong_provider(answer: str) -> str | None:
    """Find the fault in a provider's or host's name; None when there is none."""
    if answer in NAMES:
        return None
    host, port = host_and_port(answer)
    if not _HOST.fullmatch(host):
        return "that is no host name"
    if port is not None:
        return _wrong_port(str(port))
    close = get_close_matches(answer, NAMES, n=1, cutoff=0.7) if "." not in answer else []
    return f"did you mean {close[0]}?" if close else None


def _wrong_address(answer: str) -> str | None:
    return None if is_sender(answer) else 'write it as "Name <you@example.com>" or you@example.com'


def _wrong_name(answer: str) -> str | None:
    return None if answer.isprintable() else "it has an invisible character in it"


def _ask_login(options: AccountOptions, provider: Provider | None) -> Answers:
    ways = _ways(provider)
    for line in provider.explanation if provider else ():
        say(f"  {line}")
    for way in ways:
        say(f"  {way:<10} {_WAYS[way]}")
    way = ask("Way of login", ways[0], lambda answer: None if answer in ways else f"one of {', '.join(ways)}")
    return _ASK[way](options)


def _ways(provider: Provider | None) -> list[str]:
    """Name the ways of login that the provider takes, its first choice first."""
    passwords = [way for way in _WAYS if way not in ("oauth", "none")]
    if find_spec("keyring") is None:
        passwords.remove("keyring")
    if provider is None:
        return [*passwords, "none"]  # OAuth without a preset needs more than this dialogue asks
    ways = [passwords if "password" in login else [login] for login in provider.logins]
    return [way for group in ways for way in group]


def _ask_password(options: AccountOptions) -> Answers:
    return Answers(options._replace(password=_password(options)))


def _ask_keyring(options: AccountOptions) -> Answers:
    return Answers(options._replace(keyring=True), _password(options))


def _password(options: AccountOptions) -> str:
    while True:
        password = ask_secret(f"Password of {safe(options.user or 'the account')}")
        if password:
            return password


def _ask_env(options: AccountOptions) -> Answers:
    variable = ask("Name of the variable", default="PRX_EMAIL_PASSWORD")
    say("  cron does not read your shell's profile: set it in the crontab")
    return Answers(options._replace(password_env=variable))


def _ask_command(options: AccountOptions) -> Answers:
    while True:
        try:
            words = shlex.split(ask("Command (no shell: words only)"))
        except ValueError as error:
            say(f"  {error}")
            continue
        if words:
            return Answers(options._replace(password_command=words))


def _ask_oauth(options: AccountOptions) -> Answers:
    say("  OAuth needs an application registered with the provider: docs/providers.md says how, in a few minutes.")
    client_id = ask("Its client id")
    secret = ask_secret("Its client secret (empty: it has none)")
    return Answers(options._replace(oauth_client_id=client_id, client_secret=secret or None))


_ASK: dict[str, Callable[[AccountOptions], Answers]] = {
    "password": _ask_password,
    "keyring": _ask_keyring,
    "env": _ask_env,
    "command": _ask_command,
    "oauth": _ask_oauth,
    "none": Answers,
}
