"""Make the request that answers a known or sent message."""

from typing import NamedTuple

from prx_email_cli.config.settings import Account, Settings
from prx_email_cli.errors import NotFound
from prx_email_cli.mail.address_grammar import Mailbox
from prx_email_cli.mail.addresses import parse_mailbox
from prx_email_cli.mail.received import KnownMessage, known_id, known_message
from prx_email_cli.mail.reply_headers import Reply, mailboxes_in, quoted, quoted_html, reply_to
from prx_email_cli.outbox.store import Store
from prx_email_cli.submission.draft import empty
from prx_email_cli.submission.request import Request

UNKNOWN = "in_reply_to_message_id does not exist for this account"


class Parent(NamedTuple):
    """A message to answer.  ours: this outbox has sent it, whatever name stands in its From."""

    message: KnownMessage
    ours: bool = False


class Manner(NamedTuple):
    """How to answer: everybody or the sender alone, with or without a quote."""

    everyone: bool = False
    quote: bool = False


class Answer(NamedTuple):
    """A request whose gaps the parent has filled, and the headers that thread it."""

    request: Request
    reply: Reply


def find_parent(store: Store, account: str, message_id: str) -> Parent:
    """Find the message with this id that *account* has imported or sent.  Raises NotFound."""
    wanted = known_id(message_id)
    if wanted is not None:
        known = store.known(account, wanted)
        if known is not None:
            return Parent(known.message)
        head = store.head_sent_as(account, wanted)
        if head is not None:
            return Parent(known_message(head, wanted), ours=True)
    raise NotFound(UNKNOWN, hint="prx-email import FILE teaches it; prx-email messages list shows what is known")


def sent_parent(store: Store, outbox_id: int) -> Parent:
    """Return a message of this outbox, to be answered under the Message-ID of its latest attempt, else of its next.

    Raises NotFound, also for one whose content was pruned, and OutboxDamaged.
    """
    exported = store.exported(outbox_id)
    head = next(iter(exported.content), b"")
    return Parent(known_message(head, exported.message_id), ours=True)


def answer(request: Request, account: Account, parent: Parent, manner: Manner) -> Answer:
    """Make *request* an answer to *parent*, whose recipients and subject fill those that are missing.

    One's own text comes first, the quote below it.  Raises ValidationError.
    """
    reply = reply_to(parent.message, _own(account, request, parent), everyone=manner.everyone)
    if not (request.body_text.strip() or request.allow_empty) and request.body_html is None:
        raise empty(request, text=False)
    if manner.quote:
        request = _with_quote(request, parent.message)
    to = request.to or _texts(reply.to)
    cc = (*(() if request.to else _texts(reply.cc)), *request.cc)
    return Answer(request._replace(to=to, cc=cc, subject=request.subject or reply.subject), reply)


def answer_known(store: Store, request: Request, settings: Settings) -> Answer:
    """Make *request* an answer to the message that its in_reply_to_message_id names.  Raises NotFound."""
    account = settings.account(request.account)
    parent = find_parent(store, account.name, request.in_reply_to_message_id or "")
    return answer(request, account, parent, Manner())


def _own(account: Account, request: Request, parent: Parent) -> list[str]:
    """Return the addresses that are the answering person's own."""
    own = [parse_mailbox(text, "from").address for text in (account.sender, request.sender) if text]
    written = [mailbox.address for mailbox in mailboxes_in(parent.message.sender)] if parent.ours else []
    logged_in = [mailbox.address for mailbox in mailboxes_in(account.smtp.user or "")]
    return [*own, *written, *logged_in]


def _with_quote(request: Request, parent: KnownMessage) -> Request:
    text, markup = request.body_text, request.body_html
    if not text.strip() and markup is not None:
        from prx_email_cli.mail.html import plain_text  # on use

        text = plain_text(markup)
    if markup is not None:
        before, end, after = markup.rpartition("</body>")
        markup = f"{before}{quoted_html(parent)}{end}{after}" if end else markup + quoted_html(parent)
    return request._replace(body_text=f"{text.rstrip()}\n\n{quoted(parent)}", body_html=markup)


def _texts(mailboxes: list[Mailbox]) -> tuple[str, ...]:
    """Write *mailboxes* as people type them, one to a text, so that a comma in a name separates nothing."""
    return tuple(_typed(mailbox) for mailbox in mailboxes)


def _typed(mailbox: Mailbox) -> str:
    if not mailbox.name:
        return mailbox.address
    name = mailbox.name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{name}" <{mailbox.address}>'
