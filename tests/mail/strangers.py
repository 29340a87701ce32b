"""Messages of others, and the answers to them as they stand in the outbox."""

from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import Any

from prx_email_cli.mail.received import KnownMessage, known_message

from ..conftest import Answer, Program

NOW = 1_900_000_000
ID = "<parent@example.net>"


def letter(text: str = "hello\n", **headers: str | None) -> bytes:
    """A message as it lies in a file; None leaves a header out, an underscore stands for the hyphen in its name."""
    fields: dict[str, str | None] = {
        "Message_ID": ID, "From": "Ann <ann@example.net>", "To": "ops@example.com", "Subject": "disks",
        "Date": "Tue, 4 Mar 2025 10:15:00 +0100", **headers,
    }  # fmt: skip
    lines = [f"{name.replace('_', '-')}: {value}\n" for name, value in fields.items() if value is not None]
    return ("".join(lines) + "\n" + text).encode("utf-8", "surrogatepass")


def parent(text: str = "hello\n", **headers: str | None) -> KnownMessage:
    """The same, understood."""
    return known_message(letter(text, **headers))


def mbox(*messages: bytes) -> bytes:
    return b"".join(b"From x@example.net Tue Mar  4 10:15:00 2025\n" + message + b"\n" for message in messages)


def imported(program: Program, *messages: bytes) -> Any:
    """What ``import`` counts for an mbox of *messages*."""
    (program.home / "in.mbox").write_bytes(mbox(*messages))
    answer = program.call("import", "in.mbox", "--json")
    assert answer.status == 0, answer
    return answer.data


def enqueued(program: Program, answer: Answer) -> EmailMessage:
    """The message whose id *answer* tells, as a strict reader understands it."""
    assert answer.status == 0, answer
    first = int(answer.out) * 65_536
    pieces = program.execute(f"SELECT data FROM content WHERE id >= {first} AND id < {first + 65_536} ORDER BY id")
    content = b"".join(piece for (piece,) in pieces)
    message = BytesParser(policy=default).parsebytes(content)
    assert isinstance(message, EmailMessage)
    assert [part.defects for part in message.walk()] == [[] for _ in message.walk()]
    return message


def body(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    text: str = part.get_content()
    return text.replace("\r\n", "\n")
