"""Work out what a person's correction makes of a stored message; pure."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from prx_email_cli.errors import NotAllowedForStatus, PrxEmailError, ValidationError
from prx_email_cli.outbox.lifecycle import RecipientStatus, Status

if TYPE_CHECKING:
    from prx_email_cli.mail.address_grammar import Mailbox


class Edit(NamedTuple):
    """What a person corrects, at the time *now*; None for what stays.

    replaced: new mailboxes by old address, as ``readdressing.compared`` writes that.  account: through which it goes.
    sender: of the envelope and, if composed here, From.  senders: of each account in the config, by which a message
    that goes from one to another gets the other's, unless it had one of its own.  at_once: it is due now.
    """

    now: int
    replaced: "Mapping[str, Mailbox]"
    account: str | None = None
    sender: "Mailbox | None" = None
    senders: "Mapping[str, Mailbox]" = MappingProxyType({})
    due_at: int | None = None
    expires_at: int | None = None
    at_once: bool = False


class Editable(NamedTuple):
    """A stored message as far as a correction concerns it.

    recipients: address and status of each, in order.  content: with all headers.  raw: it came whole, and its content
    stays as it is.  gone: why it cannot be corrected any more, None if it can.
    """

    outbox_id: int
    account: str
    status: Status
    uncertain: bool
    sender: str
    recipients: list[tuple[str, RecipientStatus]]
    content: bytes
    raw: bool
    due_at: int
    expires_at: int | None
    gone: str | None = None


class Edited(NamedTuple):
    """What a corrected message has instead.  recipients: the new addresses by number.  said: for its timeline."""

    account: str
    sender: str
    recipients: dict[int, str]
    content: bytes
    needs_smtputf8: bool
    due_at: int
    expires_at: int | None
    said: str


def edited(before: Editable, edit: Edit) -> Edited:
    """Correct a message.  Raises NotAllowedForStatus and ValidationError."""
    from prx_email_cli.mail.readdressing import Readdressing, compared, needs_smtputf8, readdressed  # on use

    check_editable(before)
    numbers = _numbers(before, edit)
    recipients = {number: edit.replaced[compared(before.recipients[number][0])].address for number in numbers}
    addresses = [recipients.get(number, address) for number, (address, _) in enumerate(before.recipients)]
    if recipients:
        _refuse_doubles(before, addresses)
    sender = _sender(before, edit)
    content = before.content
    if not before.raw:
        replaced = {compared(before.recipients[number][0]): edit.replaced[compared(before.recipients[number][0])]
                    for number in numbers}  # fmt: skip
        content = readdressed(content, Readdressing(replaced, sender, edit.due_at))
    due_at = edit.due_at if edit.due_at is not None else min(before.due_at, edit.now) if edit.at_once else before.due_at
    expires_at = before.expires_at if edit.expires_at is None else edit.expires_at
    if expires_at is not None and expires_at <= due_at and (edit.expires_at, edit.due_at) != (None, None):
        raise ValidationError(
            f"outbox message {before.outbox_id} would expire before it is due", hint="give a longer --expires-in"
        )
    address = before.sender if sender is None else sender.address
    return Edited(
        edit.account or before.account, address, recipients, content,
        needs_smtputf8([address, *addresses], content), due_at, expires_at,
        _said(before, edit, recipients, address),
    )  # fmt: skip


def check_editable(before: Editable) -> None:
    """Raise NotAllowedForStatus for a message that cannot be corrected now, or any more."""
    if before.status not in (Status.PENDING, Status.FAILED):
        raise NotAllowedForStatus(
            f"outbox message {before.outbox_id} is {before.status} and cannot be edited",
            hint=f"prx-email show {before.outbox_id} tells what happened to it",
        )
    if before.gone is not None:
        raise NotAllowedForStatus(f"outbox message {before.outbox_id} cannot be edited: {before.gone}")
    if before.uncertain:
        # Its next attempt repeats the Message-ID of the uncertain one, so that a provider drops the second copy: it
        # would drop the corrected one.
        raise NotAllowedForStatus(
            f"outbox message {before.outbox_id} may have been accepted and cannot be edited",
            hint=f"first prx-email resolve {before.outbox_id} --not-sent, or --sent",
        )


def _numbers(before: Editable, edit: Edit) -> list[int]:
    """Return the numbers of the recipients that get other addresses.  Raises if there are none to be had."""
    from prx_email_cli.mail.readdressing import compared  # on use

    named = [number for number, (address, _) in enumerate(before.recipients) if compared(address) in edit.replaced]
    accepted = [number for number in named if before.recipients[number][1] == RecipientStatus.ACCEPTED]
    if accepted:
        raise _refused(before, f"{before.recipients[accepted[0]][0]} has received it")
    if edit.replaced and not named:
        raise _refused(before, f"it has no recipient {', '.join(edit.replaced)}")
    return named


def _refuse_doubles(before: Editable, addresses: list[str]) -> None:
    from prx_email_cli.mail.addresses import delivered_to  # on use

    seen: set[str] = set()
    for address in addresses:
        if delivered_to(address) in seen:
            raise _refused(before, f"{address} would get it twice")
        seen.add(delivered_to(address))


def _refused(before: Editable, why: str) -> PrxEmailError:
    return ValidationError(
        f"outbox message {before.outbox_id} was not edited: {why}",
        hint=f"prx-email show {before.outbox_id} tells its recipients",
    )


def _sender(before: Editable, edit: Edit) -> "Mailbox | None":
    """Return the new sender, None if it stays."""
    if edit.sender is not None or edit.account is None:
        return edit.sender
    from prx_email_cli.mail.readdressing import compared  # on use

    own, other = edit.senders.get(before.account), edit.senders.get(edit.account)
    return other if own is not None and compared(own.address) == compared(before.sender) else None


def _said(before: Editable, edit: Edit, recipients: Mapping[int, str], sender: str) -> str:
    said = [f"{before.recipients[number][0]} is {address}" for number, address in recipients.items()]
    said += [f"account {edit.account} instead of {before.account}"] * (edit.account not in (None, before.account))
    said += [f"from {sender} instead of {before.sender}"] * (sender != before.sender)
    said += ["due at another time"] * (edit.due_at is not None)
    said += ["expires at another time"] * (edit.expires_at is not None)
    return "; ".join(said) or "nothing changed"
