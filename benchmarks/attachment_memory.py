"""Peak memory of enqueueing and of draining messages with a 25 MiB attachment, against such without.

Drained are one message on one connection, and ten on ten at once.

Peak resident set of the whole process, as the kernel reports it when the process has ended.
"""

import os
import resource
from collections.abc import Callable
from pathlib import Path
from statistics import median

from benchmarks.common import Outbox, Verdicts, in_turns, options, running_sink, workspace

LIMIT = 4.0
MANY = 10
_MIB = 1024 * 1024
_SEND = ("send", "--to", "user@example.com", "--subject", "Nightly report", "--body", "attached\n")


def write_file(file: Path, mebibytes: int) -> Path:
    """A file that no compression makes smaller, written without ever being whole in memory here."""
    with open(file, "wb") as stream:
        for _ in range(mebibytes):
            stream.write(os.urandom(_MIB))
    return file


def contestants(outbox: Outbox, file: Path) -> dict[str, Callable[[], float]]:
    """Peaks in MiB; each begins with an empty outbox."""
    attached = ("--attach", f"{file};type=application/pdf")

    def send(*attach: str) -> float:
        outbox.forget()
        return outbox.run(*_SEND, *attach).peak_kib / 1024

    def drain(connections: int, *attach: str) -> float:
        outbox.forget()
        for _ in range(connections):
            outbox.run(*_SEND, *attach)
        return outbox.run("drain", "--connections", str(connections)).peak_kib / 1024

    return {
        "send": send,
        "send, attached": lambda: send(*attached),
        "drain on 1": lambda: drain(1),
        "drain on 1, attached": lambda: drain(1, *attached),
        f"drain on {MANY}": lambda: drain(MANY),
        f"drain on {MANY}, attached": lambda: drain(MANY, *attached),
    }


def main() -> None:
    """Measure and tell."""
    asked = options(__doc__, size=25, rounds=5)
    with workspace() as directory, running_sink() as port:
        file = write_file(directory / "report", asked.size)
        peaks = in_turns(contestants(Outbox(directory / "outbox", port), file), asked.rounds)
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if own >= min(map(min, peaks.values())):  # a child's peak counts from its parent's memory, until it executes
        raise SystemExit(f"this script itself took {own:.0f} MiB: nothing below that can be measured")
    for name, values in peaks.items():
        print(f"{name:21} {median(values):6.1f} MiB")
    verdicts = Verdicts()
    for command in ("send", "drain on 1", f"drain on {MANY}"):
        more = median(a - b for a, b in zip(peaks[f"{command}, attached"], peaks[command], strict=True))
        verdicts.at_most(f"MiB more to {command} with {asked.size} MiB attached", more, LIMIT)
    verdicts.exit()


if __name__ == "__main__":
    main()
