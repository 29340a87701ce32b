"""Share what is one for all machines on one database: tokens, and an account's connections."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from prx_email_cli.checks.account import ALONE, Shared
from prx_email_cli.errors import ConnectionsInUse, PrxEmailError
from prx_email_cli.oauth.shared import has_token_key

if TYPE_CHECKING:
    from prx_email_cli.cli.context import Invocation
    from prx_email_cli.config.settings import Account, Settings
    from prx_email_cli.outbox.store import Store


@contextmanager
def sharing(this: "Invocation", settings: "Settings") -> "Iterator[tuple[Shared, Store | None]]":
    """Yield where machines share tokens, and the database; the latter is None with a file, or when it cannot be opened.

    Raises StorageError when it cannot be opened and has tokens.
    """
    with ExitStack() as opened:
        store = None
        if settings.outbox.url is not None:
            with ExitStack() as lenient:
                if not has_token_key(settings.outbox):
                    lenient.enter_context(suppress(PrxEmailError))
                store = opened.enter_context(this.store(settings))
        yield (
            (ALONE if settings.outbox.url is None else Shared(settings.outbox, None if store is None else store.shelf)),
            store,
        )


def reserved(store: "Store | None", account: "Account") -> ConnectionsInUse | None:
    """Reserve a connection of *account* until the store is closed; return the error if others go on using all."""
    if store is not None and store.slots is not None:
        from prx_email_cli.outbox.slots import PatientSlots  # on use

        with suppress(PrxEmailError):  # an account is tried all the same
            if PatientSlots(store.slots).take(account.name, account.connections) is None:
                return ConnectionsInUse(account.name, account.connections)
    return None
