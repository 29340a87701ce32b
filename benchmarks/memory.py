"""Peak memory of a drain of 50,000 messages, against one of 500: it must not grow with the queue.

Peak resident set of the whole process, as the kernel reports it when the process has ended.
"""

import resource
from statistics import median

from benchmarks.common import Outbox, Verdicts, in_turns, options, ratio, running_sink, workspace, write_requests

LIMIT = 1.3


def main() -> None:
    """Measure and tell."""
    asked = options(__doc__, many=50_000, few=500, rounds=3)
    with workspace() as directory, running_sink() as port:
        outbox = Outbox(directory / "outbox", port)

        def peak(count: int) -> float:
            outbox.forget()
            outbox.fill(write_requests(directory / "requests", count))
            return outbox.run("drain").peak_kib / 1024

        peaks = in_turns({"few": lambda: peak(asked.few), "many": lambda: peak(asked.many)}, asked.rounds)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if own >= min(peaks["few"]):  # a child's peak counts from its parent's memory, which it has until it executes
        raise SystemExit(f"this script itself took {own:.0f} MiB: nothing below that can be measured")
    for name, count in (("few", asked.few), ("many", asked.many)):
        print(f"{count:6} messages: {median(peaks[name]):.1f} MiB")
    verdicts = Verdicts()
    verdicts.at_most(f"peak memory, {asked.many} / {asked.few} messages", ratio(peaks["many"], peaks["few"]), LIMIT)
    verdicts.exit()


if __name__ == "__main__":
    main()
