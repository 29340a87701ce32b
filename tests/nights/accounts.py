"""Nights on which an account does not work, or is kept from it."""

from __future__ import annotations

from ..support.faults import Fault
from .night import Night
from .stage import DAY, HOUR, Stage

THREE = {(subject, "a@example.org"): 1 for subject in ("one", "two", "three")}


def wrong_password(stage: Stage) -> None:
    stage.password = "new"  # the provider's, since this night
    stage.run("prx-email account set-password work", "old\n")
    stage.send("one", "two", "three")
    stage.drain(3)


def certificate_expired(stage: Stage) -> None:
    stage.show_certificate("expired")
    stage.send("one", "two", "three")
    stage.drain(3)


def certificate_renewed(stage: Stage) -> None:
    stage.show_certificate("valid")


def token_revoked(stage: Stage) -> None:
    assert stage.oauth is not None
    for token in stage.oauth.refresh_tokens:
        stage.oauth.revoke_refresh(token)
    for token in stage.oauth.issued:
        stage.oauth.revoke(token)
    stage.send("one", "two", "three")
    stage.drain(3)


def logins_too_many(stage: Stage) -> None:
    stage.misbehave(Fault("auth", "454 4.7.0 too many logins, try again later"))
    stage.send("one", "two", "three")
    stage.drain(5)
    stage.misbehave()


def provider_down(stage: Stage) -> None:
    stage.misbehave(Fault("connect", "reset"))
    stage.send("one", "two", "three")
    stage.drain(45)


def provider_up(stage: Stage) -> None:
    stage.misbehave()


def paused_and_forgotten(stage: Stage) -> None:
    stage.run("prx-email pause --account work --reason 'provider moves'")
    stage.send("one", "two", "three")
    stage.drain()
    stage.now += 3 * DAY
    stage.drain()


def all_paused(stage: Stage) -> None:
    stage.run("prx-email pause")
    stage.send("one")
    stage.drain(1)


def limit_used_up(stage: Stage) -> None:
    stage.configure(smtp="messages_per_day = 2")
    stage.send("one", "two", "three")
    stage.drain(1)


def wrong_host(stage: Stage) -> None:
    stage.configure(smtp='host = "mail.invalid"\nallow_plaintext = true')
    stage.send("one")
    stage.drain(45)


def right_host(stage: Stage) -> None:
    stage.configure()


NIGHTS = (
    Night(
        "The password was changed, or is wrong",
        "account work: login refused since … (…535…); 3 messages wait. → prx-email account test work",
        "account work",
        wrong_password,
        ("prx-email account set-password work", "prx-email account test work"),
        arrives=THREE, stdin="new\n",
    ),
    Night(
        "The token was revoked, or the OAuth login ran out",
        "account work: login refused since … (…); 3 messages wait",
        "account work",
        token_revoked,
        ("prx-email account login work", "prx-email account test work"),
        scene="oauth", arrives=THREE,
    ),
    Night(
        "The server's certificate expired",
        "account work: … since … (… certificate …expired …); 3 messages wait. → prx-email account test work",
        "account work",
        certificate_expired,
        ("prx-email account test work",),
        "the server's owner renews it",
        certificate_renewed, scene="tls", arrives=THREE,
    ),
    Night(
        "The provider takes no more logins for now",
        "account work: … since … (…454 4.7.0…); 3 messages wait",
        "account work",
        logins_too_many,
        deed="wait: the account rests 1, 2, 4 … 60 minutes between attempts, and then goes on by itself",
        sleeps=HOUR, arrives=THREE,
    ),
    Night(
        "The provider is down",
        "account work: server not reached since … messages wait. → prx-email account test work",
        "account work",
        provider_down,
        ("prx-email account test work",),
        "wait: each message is tried again after its own backoff; the command ends the waiting",
        provider_up, arrives=THREE, sleeps=HOUR,
    ),
    Night(
        "The host in the config has a mistake",
        "account work: server not reached since …",
        "account work",
        wrong_host,
        ("prx-email account test work",),
        "correct `smtp.host` in the config",
        right_host, sleeps=2 * HOUR,
    ),
    Night(
        "Somebody paused the account and forgot it",
        "work paused by … since … (provider moves)",
        "account work is paused",
        paused_and_forgotten,
        ("prx-email resume --account work",),
        arrives=THREE,
    ),
    Night(
        "Everything is paused",
        "ALL ACCOUNTS paused by … since … → prx-email resume",
        "all accounts are paused",
        all_paused,
        ("prx-email resume",),
    ),
    Night(
        "The limit of the day is used up",
        "limit used up until …, 2/2 messages today",
        "",
        limit_used_up,
        deed="wait until the time that is named, or raise `messages_per_day` if the provider allows more",
        sleeps=DAY, arrives=THREE, message=3,
    ),
)  # fmt: skip
