"""How much CPU a message costs a session that sends one after the other, against ``smtplib.sendmail``.

No outbox and no delivery: messages of 2 KB that are composed already, one recipient each, over one connection to
``smtp-sink`` on loopback, in one thread that waits with poll(2).  Both send the same bytes.  What counts is the CPU
time of this process; ``--profile 1`` shows where the session's goes.
"""

import cProfile
import pstats
import smtplib
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.common import BODY_BYTES, Verdicts, in_turns, options, ratio, running_sink
from prx_email_cli.config.settings import check_settings
from prx_email_cli.smtp.credentials import login_of
from prx_email_cli.smtp.envelope import Envelope, Recipient
from prx_email_cli.smtp.pipeline import Waiting
from prx_email_cli.smtp.session import Ended, Session, SessionFactory
from prx_email_cli.smtp.transaction import Transaction

LIMIT = 0.9  # of the CPU that smtplib takes
_LINE = b"The quick brown fox jumps over the lazy dog, number %06d, and then rests\r\n"


def contents(count: int) -> list[bytes]:
    """Return *count* messages without a Message-ID, no two equal."""
    lines = BODY_BYTES // len(_LINE % 0) + 1
    return [b"Subject: Message %d\r\n\r\n" % number + b"".join(_LINE % (number + line) for line in range(lines))
            for number in range(count)]  # fmt: skip


def send_all(session: Session, messages: Sequence[bytes]) -> None:
    """Send *messages* one behind the other over *session*.  Raises SystemExit when one is not accepted."""
    clock = time.monotonic
    waiting = _transactions(session, messages)
    following = partial(next, waiting, None)
    while (first := following()) is not None:
        session.start(first, following)
        while session.busy:
            event = session.go_on(clock())
            if isinstance(event, Waiting):
                session.wait(event)
            elif isinstance(event, Ended) and event.result.acceptance is None:
                raise SystemExit(f"not accepted: {event.result}")


def _transactions(session: Session, messages: Sequence[bytes]) -> Iterator[Transaction]:
    profile, patience = session.profile, session.patience
    for number, content in enumerate(messages):
        recipients = [Recipient(0, f"user{number}@example.com")]
        message_id = f"<{number}@example.com>"
        envelope = Envelope("bench@example.com", recipients, message_id, len(content), [content])
        yield Transaction(envelope, profile, patience)


def cpu_of_session(port: int, messages: Sequence[bytes]) -> float:
    """Return the microseconds of CPU for a message, over a session."""
    document = {"accounts": {"bench": {"from": "bench@example.com", "smtp": {
        "host": "127.0.0.1", "port": port, "tls": "none"}}}}  # fmt: skip
    account = check_settings(document, Path("config.toml")).accounts["bench"]
    session = SessionFactory(account, login_of(account)).open()
    start = time.process_time()
    send_all(session, messages)
    spent = time.process_time() - start
    session.close()
    return spent / len(messages) * 1e6


def cpu_of_smtplib(port: int, messages: Sequence[bytes]) -> float:
    """Return the microseconds of CPU for a message, with ``smtplib.sendmail``."""
    with smtplib.SMTP("127.0.0.1", port) as client:
        start = time.process_time()
        for number, content in enumerate(messages):
            header = f"Message-ID: <{number}@example.com>\r\n".encode()
            client.sendmail("bench@example.com", [f"user{number}@example.com"], header + content)
        return (time.process_time() - start) / len(messages) * 1e6


def main() -> None:
    """Measure and tell."""
    asked = options(__doc__, messages=20_000, rounds=5, profile=0)
    messages = contents(asked.messages)
    with running_sink() as port:
        if asked.profile:
            profile = cProfile.Profile()
            profile.runcall(cpu_of_session, port, messages)
            pstats.Stats(profile).sort_stats("tottime").print_stats(30)
            return
        results = in_turns(
            {"session": lambda: cpu_of_session(port, messages), "smtplib": lambda: cpu_of_smtplib(port, messages)},
            asked.rounds,
        )
    for name, spent in results.items():
        print(f"{name}: {median(spent):.1f} us of CPU for a message, {min(spent):.1f} at best")
    verdicts = Verdicts()
    verdicts.at_most("CPU for a message, session over smtplib", ratio(results["session"], results["smtplib"]), LIMIT)
    verdicts.exit()


if __name__ == "__main__":
    main()
