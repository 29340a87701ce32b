"""How long ``outbox copy`` takes from SQLite to PostgreSQL and back: copied, compared and verified.

``--messages N``, each of 2,000 random bytes for two recipients.  The server is started here, with fsync on; judged is
nothing.
"""

import argparse
import os
import random
import resource
import tempfile
import time
from contextlib import closing
from pathlib import Path

from prx_email_cli.config.outbox import OutboxSettings
from prx_email_cli.outbox.messages import Content
from prx_email_cli.outbox.open import end_of_copy, open_store
from prx_email_cli.outbox.transfer import Transfer
from tests.outbox.messages import NOW, POLICY, new_message
from tests.support.postgres import PostgresServer

SIZE_BYTES, AT_ONCE = 2000, 5000


def fill(outbox: OutboxSettings, many: int) -> None:
    """Store so many messages."""
    with closing(open_store(outbox)) as store:
        for start in range(0, many, AT_ONCE):
            some = range(min(AT_ONCE, many - start))
            contents = [Content.of(random.randbytes(SIZE_BYTES)) for _ in some]
            store.submit([new_message("a@example.org", "b@example.org", content=one) for one in contents])


def timed(source: OutboxSettings, destination: OutboxSettings) -> str:
    """Copy, and say how many seconds each part took."""
    with closing(end_of_copy(source, POLICY, NOW, create=False)) as one:
        with closing(end_of_copy(destination, POLICY, NOW, create=True)) as other:
            spent: dict[str, float] = {}
            begun = last = time.monotonic()
            for step in Transfer(one, other, NOW, "").steps():
                now = time.monotonic()
                spent[step.doing] = spent.get(step.doing, 0) + now - last
                last = now
    parts = ", ".join(f"{doing} {spent.get(doing, 0):.1f}" for doing in ("copying", "comparing", "verified"))
    return f"{last - begun:.1f} s ({parts})"


def main() -> None:
    """Measure both ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    many = parser.parse_args().messages
    server = PostgresServer(durable=True)
    try:
        with tempfile.TemporaryDirectory() as directory:
            os.environ["XDG_STATE_HOME"] = directory
            file, back = (OutboxSettings().replace(path=Path(directory) / name) for name in ("a.db", "b.db"))
            database = OutboxSettings().replace(url=server.new_database())
            fill(file, many)
            print(f"SQLite to PostgreSQL: {timed(file, database)}")
            print(f"PostgreSQL to SQLite: {timed(database, back)}")
    finally:
        server.close()
    print(f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MiB at most, filling included")


if __name__ == "__main__":
    main()
