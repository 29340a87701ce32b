"""How fast ``prx-email send --batch`` enqueues, against composing the same messages without storing them.

Both are whole processes, so both include the interpreter's start.  Composing alone is one thread that does what the
command must do for every line before it can be stored; storing should hide behind it.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.common import Outbox, Verdicts, in_turns, options, ratio, spent, workspace, write_requests

LIMIT = 0.8


def compose_only(requests: Path, config: Path) -> None:
    """Compose every line of *requests* and drop it: the contestant, in a process of its own."""
    from prx_email_cli.config.settings import load_settings
    from prx_email_cli.outbox.messages import Schedule
    from prx_email_cli.submission.request import request_from_json
    from prx_email_cli.submission.spool import Spool
    from prx_email_cli.submission.submit import prepare

    settings = load_settings(config)
    with open(requests, "rb") as stream:
        for line in stream:
            with Spool() as spool:
                prepare(request_from_json(json.loads(line)), settings, Schedule.at_once(int(time.time())), spool)


def main() -> None:
    """Measure and tell."""
    asked = options(__doc__, messages=20_000, rounds=7)
    count: int = asked.messages
    with workspace() as directory:
        outbox = Outbox(directory)
        requests = write_requests(directory / "requests", count)
        alone = [sys.executable, __file__, "compose-only", str(requests), str(outbox.config)]

        def enqueue() -> float:
            outbox.forget()
            return count / outbox.fill(requests).wall

        contestants: dict[str, Callable[[], float]] = {
            "compose": lambda: count / spent(alone).wall,
            "batch": enqueue,
        }
        rates = in_turns(contestants, asked.rounds)
    for name, values in rates.items():
        print(f"{name:8} {median(values):8.0f} messages/s")
    verdicts = Verdicts()
    verdicts.at_least("send --batch / composing alone", ratio(rates["batch"], rates["compose"]), LIMIT)
    verdicts.exit()


if __name__ == "__main__":
    if sys.argv[1:2] == ["compose-only"]:
        compose_only(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        main()
