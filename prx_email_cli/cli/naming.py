"""Find the messages that a person means: by outbox id, Message-ID or idempotency key."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from prx_email_cli.errors import NotFound, ValidationError
from prx_email_cli.mail.received import known_id

if TYPE_CHECKING:
    from prx_email_cli.outbox.store import Store

_MOST_DIGITS = 18  # SQLite's integers have 19, not all of them


def named(store: "Store", words: Sequence[str], account: str | None) -> list[int]:
    """Return the id of the message that each of *words* means, in order and each once.

    account: of which a Message-ID or key is.  Raises NotFound, ValidationError for a key that several messages have.
    """
    return list(dict.fromkeys(_named(store, word, account) for word in words))


def _named(store: "Store", word: str, account: str | None) -> int:
    digits = word.isascii() and word.isdigit()
    if digits and len(word) <= _MOST_DIGITS and _is_there(store, int(word)):
        return int(word)
    message_id = known_id(word) if "@" in word else None
    if message_id is not None and (found := store.with_message_id(message_id, account)) is not None:
        return found
    ids = store.with_key(word, account)
    if len(ids) > 1:
        accounts = ", ".join(f"{outbox_id} of {store.row(outbox_id).account}" for outbox_id in ids)
        raise ValidationError(f"several messages have the idempotency key {word!r}: {accounts}",
                              hint="name the account with --account")  # fmt: skip
    if ids:
        return ids[0]
    if digits:
        raise NotFound("outbox record not found", hint=f"there is no {word}: prx-email list shows the ids")
    of = f"of account {account}" if account is not None else "here"
    raise NotFound(f"no message {of} has the id, Message-ID or idempotency key {word!r}",
                   hint="prx-email list shows the ids")  # fmt: skip


def _is_there(store: "Store", outbox_id: int) -> bool:
    try:
        store.row(outbox_id)
    except NotFound:
        return False
    return True
