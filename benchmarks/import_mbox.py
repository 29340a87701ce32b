"""How fast ``prx-email import`` learns a real-sized mbox, and whether its memory stays flat.

The mbox is made of messages of about 5 KB as people and machines write them: plain, quoted-printable, base64, HTML with
and without a plain alternative, an attachment, eight-bit headers of no declared charset, long and short threads.
"""

import base64
import quopri
from collections.abc import Callable
from pathlib import Path

from benchmarks.common import Outbox, Verdicts, options, workspace

SECONDS = 60.0
GROWTH = 1.3  # of the peak, when the mbox is ten times as long
_SENTENCE = "Der schnelle braune Fuchs springt über den faulen Hund, zum {}. Mal, und ruht. "
_ASCII = "The quick brown fox jumps over the lazy dog, number {}, and then it rests.\n"


def _plain(number: int) -> tuple[str, bytes]:
    return "text/plain", ("".join(_ASCII.format(number + line) for line in range(55))).encode()


def _quoted(number: int) -> tuple[str, bytes]:
    text = "\n".join(_SENTENCE.format(number + line) for line in range(50))
    return "text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable", quopri.encodestring(text.encode())


def _base64(number: int) -> tuple[str, bytes]:
    text = "\n".join(_SENTENCE.format(number + line) for line in range(40))
    return 'text/plain; charset="ISO-8859-1"\nContent-Transfer-Encoding: base64', base64.encodebytes(
        text.encode("latin-1")
    )


def _html(number: int) -> tuple[str, bytes]:
    rows = "".join(f"<tr><td class=x>{number + row}</td><td>caf&eacute; &amp; more</td></tr>\n" for row in range(75))
    return "text/html; charset=utf-8", f"<html><head><style>p {{}}</style></head><table>{rows}</table>".encode()


def _alternative(number: int) -> tuple[str, bytes]:
    text, markup = _quoted(number)[1][:2300], _html(number)[1][:2300]
    parts = b"--b%d\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n%b\n" % (
        number,
        text,
    )
    return (
        f'multipart/alternative;\n boundary="b{number}"',
        parts + b"--b%d\nContent-Type: text/html\n\n%b\n--b%d--\n" % (number, markup, number),
    )


def _attached(number: int) -> tuple[str, bytes]:
    text, file = _plain(number)[1][:1500], base64.encodebytes(number.to_bytes(8) * 280)
    return (
        f"multipart/mixed; boundary=mixed_{number}",
        b"--mixed_%d\nContent-Type: text/plain\n\n%b\n--mixed_%d\nContent-Type: application/pdf\n"
        b"Content-Disposition: attachment\nContent-Transfer-Encoding: base64\n\n%b\n--mixed_%d--\n"
        % (number, text, number, file, number),
    )


_BODIES: tuple[Callable[[int], tuple[str, bytes]], ...] = (_plain, _quoted, _base64, _html, _alternative, _attached)


def _message(number: int) -> bytes:
    content_type, body = _BODIES[number % len(_BODIES)](number)
    chain = "\n ".join(f"<{earlier}.thread@lists.example.net>" for earlier in range(number % 15))
    name = ("Erika Mustermann", "=?utf-8?q?J=C3=B6rg_M=C3=BCller?=", "J\xf6rg", '"Doe, Jane"')[number % 4]
    received = "".join(
        f"Received: from mx{hop}.example.net (mx{hop}.example.net [192.0.2.{hop}])\n\tby mail.example.org with ESMTPS"
        f" id {number:x}{hop};\n\tTue, 4 Mar 2025 10:{hop:02}:00 +0100\n" for hop in range(number % 5)
    )  # fmt: skip
    head = (
        f"From user{number % 97}@example.net Tue Mar  4 10:15:00 2025\nReturn-Path: <user@example.net>\n{received}"
        f"Message-ID: <{number}.{number * 7919 % 104729}@example.net>\n"
        f"From: {name} <user{number % 97}@example.net>\nTo: Ops <ops@example.com>, team{number % 7}@example.com\n"
        f"Subject: {'Re: ' * (number % 2)}Report {number}\nDate: Tue, 4 Mar 2025 10:15:00 +0100\nMIME-Version: 1.0\n"
        + (f"In-Reply-To: <{number - 1}.thread@example.net>\nReferences: {chain}\n" if chain else "")
        + f"Content-Type: {content_type}\n\n"
    )
    return head.encode("latin-1") + body.replace(b"\nFrom ", b"\n>From ") + b"\n\n"


def write_mbox(file: Path, count: int) -> float:
    """An mbox of *count* different messages; its size in MB."""
    with open(file, "wb") as stream:
        for number in range(count):
            stream.write(_message(number))
    return file.stat().st_size / 1e6


def main() -> None:
    """Measure and tell."""
    asked = options(__doc__, small=10_000, large=100_000)
    peaks = []
    verdicts = Verdicts()
    with workspace() as directory:
        for count in (asked.small, asked.large):
            outbox = Outbox(directory / str(count))
            mbox = directory / "mbox"
            megabytes = write_mbox(mbox, count)
            took = outbox.run("import", str(mbox))
            peaks.append(took.peak_kib)
            print(
                f"{count} messages, {megabytes:.0f} MB: {took.wall:.1f} s ({took.cpu:.1f} s of CPU), "
                f"{count / took.wall:.0f} messages/s, peak {took.peak_kib / 1024:.0f} MiB",
                flush=True,
            )
            mbox.unlink()
            outbox.forget()
    verdicts.at_most(f"seconds for {asked.large} messages", took.wall, SECONDS)
    verdicts.at_most("peak memory, large to small", peaks[1] / peaks[0], GROWTH)
    verdicts.exit()


if __name__ == "__main__":
    main()
