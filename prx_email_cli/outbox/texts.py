"""Make texts from outside fit for any database, so that what a server said never keeps an attempt from its record."""

from prx_email_cli.outbox.lifecycle import Outcome, RecipientResult


def storable(text: str) -> str:
    r"""Return *text* with NUL as ``\x00``, which PostgreSQL cannot hold, and half characters as ``\udc80``."""
    if not text.isascii():
        text = text.encode("utf-8", "backslashreplace").decode()
    return text.replace("\0", "\\x00")


def storable_outcome(outcome: Outcome) -> Outcome:
    """Return *outcome* with all its texts storable."""
    texts = [outcome.error, outcome.detail, outcome.enhanced, outcome.acceptance, outcome.dialogue,
             *(one.response for one in outcome.recipients.values())]  # fmt: skip
    said = "".join(filter(None, texts))
    if storable(said) == said:  # nearly always
        return outcome
    return outcome._replace(
        error=_storable(outcome.error),
        detail=_storable(outcome.detail),
        enhanced=_storable(outcome.enhanced),
        acceptance=_storable(outcome.acceptance),
        dialogue=storable(outcome.dialogue),
        recipients={number: _storable_result(one) for number, one in outcome.recipients.items()},
    )


def _storable_result(result: RecipientResult) -> RecipientResult:
    return result._replace(response=_storable(result.response))


def _storable(text: str | None) -> str | None:
    return None if text is None else storable(text)
