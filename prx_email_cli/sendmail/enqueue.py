"""Put the message on standard input into the outbox, or look up what would be its recipients."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from prx_email_cli.config.paths import default_config_file
from prx_email_cli.config.settings import Settings, load_settings
from prx_email_cli.config.source import is_asked, is_without_file
from prx_email_cli.errors import PrxEmailError
from prx_email_cli.outbox.messages import Schedule
from prx_email_cli.outbox.open import open_store
from prx_email_cli.sendmail import naming
from prx_email_cli.sendmail.incoming import readable, until_dot
from prx_email_cli.sendmail.local import Local
from prx_email_cli.submission.caller import called_by_parent
from prx_email_cli.submission.raw import Envelope, Taker
from prx_email_cli.submission.spool import Spool

if TYPE_CHECKING:
    from prx_email_cli.outbox.store import Store
    from prx_email_cli.sendmail.flags import Call


def settings_in(config: Path | None) -> Settings:
    """Load the config in this file, else the default or the environment's.  Raises ConfigError, ReadableByOthers."""
    if is_asked():
        from prx_email_cli.config.environment import load  # on use

        return load(None if is_without_file(config) else config or default_config_file())
    return load_settings(config or default_config_file())


@contextmanager
def opened(settings: Settings) -> "Iterator[Store]":
    """Open the outbox, and close it at the end.  Raises StorageError."""
    store = open_store(settings.outbox)
    try:
        yield store
    finally:
        store.close()


def enqueue(call: "Call", settings: Settings, chunks: Iterable[bytes], now: int) -> int:
    """Store the message that *chunks* are, durably, and return its outbox id.

    now: in Unix seconds by this machine's clock.  A database is opened once all was read, and its clock decides.

    Raises what ``Taker.take`` raises, NoSuchUser, InputNotFound when *chunks* cannot be read, StorageError.
    """
    envelope = Envelope(
        sender=call.sender, recipients=call.recipients, from_headers=call.from_headers,
        full_name=naming.full_name(call), notify=call.notify, returns=call.returns, envelope_id=call.envelope_id,
    )  # fmt: skip
    incoming = readable(chunks)
    with Spool() as spool, ExitStack() as until_stored:

        @cache
        def store() -> "Store":
            return until_stored.enter_context(opened(settings))

        def at_once() -> Schedule:
            return Schedule.at_once(now if settings.outbox.url is None else int(store().clock()))

        taker = Taker(settings, spool, Local(settings.sendmail).addresses)
        message = taker.take(
            until_dot(incoming) if call.dot_ends else incoming, envelope, at_once,
            called_by_parent(naming.command(call)),
        )  # fmt: skip
        (submitted,) = store().submit([message])
    if submitted.error is not None:
        raise submitted.error
    return submitted.outbox_id


def verified(settings: Settings, recipients: Iterable[str]) -> Iterator[tuple[str, list[str], PrxEmailError | None]]:
    """Yield each of *recipients* with its addresses, or with the error that it would be refused for."""
    with Spool() as spool:
        taker = Taker(settings, spool, Local(settings.sendmail).addresses)
        for one in recipients:
            try:
                yield one, [mailbox.address for mailbox in taker.qualified(one)], None
            except PrxEmailError as error:
                yield one, [], error
