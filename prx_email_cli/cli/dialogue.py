"""The short dialogue that sets an account up: provider, address, way of login."""

import re
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import typer

from prx_email_cli.cli.output import safe, say
from prx_email_cli.config.providers import NAMES, PROVIDERS, Provider, provider_named
from prx_email_cli.config.settings import is_sender

_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]+")
_WAYS = {
    "password": "a password, kept in the config (mode 0600)",
    "keyring": "a password, kept in this system's keyring (cron often cannot open it)",
    "env": "a password from an environment variable",
    "command": "a password that a command prints, such as pass show mail",
    "oauth": "OAuth: you log in once in a browser, tokens are renewed by themselves",
    "none": "no login",
}
_KINDS = {"password_env", "password_file", "password_command", "keyring", "oauth_token_env", "oauth_token_command",
          "oauth_client_id"}  # fmt: skip


def ask(question: str, default: str | None = None, check: Callable[[str], str | None] = lambda answer: None) -> str:
    """The answer to *question*, asked on stderr until *check* finds nothing wrong with it; blank is the *default*."""
    shown = f"{question} [{safe(default)}]" if default is not None else question
    while True:
        answer = typer.prompt(shown, default="", show_default=False, err=True).strip() or default or ""
        trouble = "an answer is needed" if not answer else check(answer)
        if trouble is None:
            return answer
        say(f"  {safe(trouble)}")


def ask_secret(question: str) -> str:
    """A password as it is typed, blanks included; empty for none."""
    return str(typer.prompt(question, hide_input=True, default="", show_default=False, err=True))


def complete(values: dict[str, Any]) -> dict[str, Any]:
    """*values* of the account options, with a person's answers for what they leave open.

    Besides them it may have ``password`` and ``client_secret``, which the config is to hold, or ``keyring_password``.
    """
    answers = dict(values)
    if answers.get("provider") is None and answers.get("host") is None:
        _ask_provider(answers)
    provider = provider_named(answers.get("provider"))
    _ask_address(answers, provider)
    if not any(answers.get(kind) for kind in _KINDS) and not (provider and provider.logins == ("none",)):
        _ask_login(answers, provider)
    return answers


def _ask_provider(answers: dict[str, Any]) -> None:
    for name, provider in PROVIDERS.items():
        say(f"  {name:<10} {provider.title}")
    answer = ask("Provider, or the host name of your own server", check=_wrong_provider)
    answers["provider" if answer in NAMES else "host"] = answer


def _ask_address(answers: dict[str, Any], provider: Provider | None) -> None:
    """The address, and the login name where it is another."""
    if answers.get("sender") is None and (answers.get("user") is None or "@" not in answers["user"]):
        answers["sender"] = ask("Your address (From)", check=_wrong_address)
    if answers.get("user") is not None or (provider and (provider.user or provider.logins == ("none",))):
        return
    answers["user"] = ask("Login name", default=_bare(answers["sender"]), check=_wrong_name)
    if answers["user"] == answers["sender"]:
        del answers["sender"]


def _bare(address: str) -> str:
    return address.rpartition("<")[2].rstrip(">").strip()


def _wrong_provider(answer: str) -> str | None:
    """What is neither a provider's name nor a host's, or a misspelt one of the former."""
    from difflib import get_close_matches

    if answer in NAMES:
        return None
    if not _HOST.fullmatch(answer):
        return "that is no host name"
    close = get_close_matches(answer, NAMES, n=1, cutoff=0.7) if "." not in answer else []
    return f"did you mean {close[0]}?" if close else None


def _wrong_address(answer: str) -> str | None:
    return None if is_sender(answer) else 'write it as "Name <you@example.com>" or you@example.com'


def _wrong_name(answer: str) -> str | None:
    return None if answer.isprintable() else "it has an invisible character in it"


def _ask_login(answers: dict[str, Any], provider: Provider | None) -> None:
    ways = _ways(provider)
    for line in provider.explanation if provider else ():
        say(f"  {line}")
    for way in ways:
        say(f"  {way:<10} {_WAYS[way]}")
    way = ask("Way of login", ways[0], lambda answer: None if answer in ways else f"one of {', '.join(ways)}")
    _ASK[way](answers)


def _ways(provider: Provider | None) -> list[str]:
    """What fits the provider, its favourite first."""
    passwords = [way for way in _WAYS if way not in ("oauth", "none")]
    if find_spec("keyring") is None:
        passwords.remove("keyring")
    if provider is None:
        return [*passwords, "none"]  # for OAuth it takes more than a short dialogue can ask
    ways = [passwords if "password" in login else [login] for login in provider.logins]
    return [way for group in ways for way in group]


def _ask_password(answers: dict[str, Any], key: str = "password") -> None:
    answers[key] = ""
    while not answers[key]:
        answers[key] = ask_secret(f"Password of {safe(answers.get('user') or 'the account')}")


def _ask_keyring(answers: dict[str, Any]) -> None:
    answers["keyring"] = True
    _ask_password(answers, "keyring_password")


def _ask_env(answers: dict[str, Any]) -> None:
    answers["password_env"] = ask("Name of the variable", default="PRX_EMAIL_PASSWORD")
    say("  cron does not read your shell's profile: set it in the crontab")


def _ask_command(answers: dict[str, Any]) -> None:
    import shlex

    while True:
        try:
            words = shlex.split(ask("Command (no shell: words only)"))
        except ValueError as error:
            say(f"  {error}")
            continue
        if words:
            answers["password_command"] = words
            return


def _ask_oauth(answers: dict[str, Any]) -> None:
    say("  OAuth needs an application registered with the provider: docs/providers.md says how, in a few minutes.")
    answers["oauth_client_id"] = ask("Its client id")
    secret = ask_secret("Its client secret (empty: it has none)")
    if secret:
        answers["client_secret"] = secret


_ASK: dict[str, Callable[[dict[str, Any]], None]] = {
    "password": _ask_password,
    "keyring": _ask_keyring,
    "env": _ask_env,
    "command": _ask_command,
    "oauth": _ask_oauth,
    "none": lambda answers: None,
}
