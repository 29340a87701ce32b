"""No flags and no input make the drop-in lose an accepted message, keep half of one, hang, or print a traceback.

A few hundred calls here; SENDMAIL_FUZZ=10000 makes as many, SENDMAIL_FUZZ_SEED=7 others. They are dealt to SHARES
outboxes, so that several workers (pytest -n) get through them at once.
"""

import os
import random
import signal
import sys
from tempfile import TemporaryFile

import pytest

from prx_email_cli.sendmail.flags import parse
from prx_email_cli.sendmail.main import run

from .conftest import Sendmail

CALLS = int(os.environ.get("SENDMAIL_FUZZ", "300"))
SEED = int(os.environ.get("SENDMAIL_FUZZ_SEED", "1"))
SHARES = 4
SECONDS = 60  # until a call counts as one that hangs
STATUSES = {0, 64, 65, 66, 67, 75, 78}
FLAGS = (
    "-i", "-oi", "-o", "-odb", "-oem", "-t", "-ti", "-it", "-f", "-fx@example.net", "-f<>", "-r", "-F", "-FCron\n",
    "-N", "-Nnever", "-Rhdrs", "-V", "-Vid", "-v", "-bm", "-b", "-bv", "-bi", "-B8BITMIME", "-B", "-A", "-Am", "-C",
    "-d", "-e", "-G", "-h", "-m", "-n", "-O", "-p", "-U", "-X", "-x", "-Z", "-zq", "--", "--long", "-", "",
)  # fmt: skip
OPERANDS = (
    "a@example.org", "b@example.org,c@example.org", "root", "nobody", "a", "<d@example.org>", "@", "a@", "pipe",
    "Ops <e@example.org>", '"x', "ü@example.org", "\udcff", "f@example.org, root", "x" * 300 + "@example.org", "\n",
    "(",
)  # fmt: skip
HEADS = (
    b"", b"Subject: s\n", b"To: t@example.org, root\nSubject: \xff\n", b"From: root (Cron Daemon)\nTo: root\n",
    b"From x Sun Mar 17 10:00:00 2030\nSubject: s\n", b"Bcc: secret@example.org\nTo: \n",
    b"Subject: =?utf-8?q?=0A?=\n", b"no header\n", b": x\n", b" folded\n",
    b"Message-ID: <own@x>\nMessage-ID: <two@x>\n",
    b"To: " + b"a," * 2000 + b"\n",
    b"Received: x\n" * 60, b"Resent-To: r@example.org\nTo: t@example.org\n", b"X: " + b"y" * 5000 + b"\n",
    b"MIME-Version: 1.0\nContent-Type: multipart/signed; boundary=x\n", b"Content-Transfer-Encoding: base64\n",
)  # fmt: skip
BODIES = (
    b"", b"text\n", b"no end", b"\n.\n", b"a\n.\nb\n", b"a\r\n.\r\nb", b"\r", b"\0\0", b"\xff\xfe\n",
    b"x" * 3000 + b"\n",
    b"\r\n.\r.\r\n", b"g\xc3\xbc\n" * 50, b".",
)  # fmt: skip
CONFIG = '[sendmail.aliases]\nroot = ["ops@example.com", "b@example.org"]\na = "a"\npipe = "|cat"\n'


def words(chance: random.Random) -> list[str]:
    """Flags and operands in any order."""
    found = [chance.choice(FLAGS) for _ in range(chance.randrange(5))]
    found += [chance.choice(OPERANDS) for _ in range(chance.randrange(3))]
    if chance.random() < 0.5:
        found.append("good@example.org")
    chance.shuffle(found)
    return found


def message(chance: random.Random, mark: str) -> bytes:
    """A message, more or less; *mark* stands near its end."""
    if chance.random() < 0.02:
        return b"X-Long: " + b"z" * 20 * (1 << 20) + mark.encode()
    data = chance.choice(HEADS) + chance.choice(HEADS) + b"\n" + chance.choice(BODIES) + chance.choice(BODIES)
    if chance.random() < 0.1:
        data += chance.randbytes(chance.randrange(200_000))
    if chance.random() < 0.1:
        data = data[: chance.randrange(len(data) + 1)]
    return data + f"\nmark {mark}\n".encode()


def called(sendmail: Sendmail, arguments: list[str], data: bytes) -> tuple[int, bytes]:
    """The exit status and what was printed on standard error of a call, in a process of its own.

    It is forked, which costs a tenth of a new interpreter.
    """
    with TemporaryFile() as source, TemporaryFile() as errors:
        source.write(data)
        source.seek(0)
        child = os.fork()
        if child == 0:
            status = 99
            try:
                signal.alarm(SECONDS)
                for file, descriptor in ((source, 0), (errors, 1), (errors, 2)):
                    os.dup2(file.fileno(), descriptor)
                os.chdir(sendmail.program.home)
                os.environ.update(sendmail.program.environment)
                status = _run_printing(arguments)
            finally:
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        errors.seek(0)
        return status, errors.read()


def _run_printing(arguments: list[str]) -> int:
    with open(2, "w", closefd=False, errors="backslashreplace") as errors:
        sys.stdout = sys.stderr = errors
        return run(arguments)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of a fork beside threads
@pytest.mark.parametrize("share", range(SHARES))
def test_any_flags_and_any_input_end_with_a_status_that_is_true(sendmail: Sendmail, share: int) -> None:
    with sendmail.program.config.open("a") as file:
        file.write(CONFIG)
    newest, accepted, numbers = 0, 0, range(share, CALLS, SHARES)
    for number in numbers:
        chance, mark = random.Random(f"{SEED} {number}"), f"{SEED}-{number}"
        arguments = words(chance)
        data = message(chance, mark)
        what = (SEED, number, arguments, data[:300], len(data))
        status, errors = called(sendmail, arguments, data)
        assert status in STATUSES, (what, status, errors)
        assert b"Traceback" not in errors, (what, errors)
        assert b"bug" not in errors, (what, errors)
        store = sendmail.program.store()
        try:
            ids = [one for (one,) in sendmail.program.execute(f"SELECT id FROM outbox WHERE id > {newest}")]
            if not ids:
                assert status != 0 or "-b" in "".join(arguments), (what, errors)
                continue
            accepted += 1
            assert (len(ids), status) == (1, 0), (what, errors)
            newest = ids[0]
            content = b"".join(store.exported(newest).content)
        finally:
            store.close()
        assert b"secret@example.org" not in content.partition(b"\r\n\r\n")[0], what
        encoded = b"base64" in content or b"quoted-printable" in content
        if not encoded and not (parse(arguments).dot_ends and b"\n." in data):
            assert content.endswith(f"mark {mark}\r\n".encode()), (what, content[-200:])
    assert sendmail.program.execute("SELECT count(*) FROM outbox") == [(accepted,)]  # and all stay
    assert len(numbers) / 20 < accepted < len(numbers)
