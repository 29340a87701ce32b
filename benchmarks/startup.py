"""How long ``prx-email send`` and an empty ``prx-email drain`` take, against ``python -c pass``.

Cron starts a drain every minute and scripts call send once a message, so what matters is the whole command: the
interpreter, the imports, the config, the outbox opened, for send one durable commit, and the outbox closed.
"""

import sys
from collections.abc import Callable
from statistics import median

from benchmarks.common import Outbox, Spent, Verdicts, in_turns, options, ratio, spent, workspace

LIMIT = 8


def main() -> None:
    """Measure and tell."""
    asked = options(__doc__, rounds=41)
    with workspace() as directory:
        sending, draining = Outbox(directory / "send"), Outbox(directory / "drain")
        cpu: dict[str, list[float]] = {"pass": [], "send": [], "drain": []}

        def noted(name: str, result: Spent) -> float:
            cpu[name].append(result.cpu)
            return result.wall

        contestants: dict[str, Callable[[], float]] = {
            "pass": lambda: noted("pass", spent([sys.executable, "-c", "pass"])),
            "send": lambda: noted(
                "send", sending.run("send", "--to", "a@example.com", "--subject", "s", "--body", "b")
            ),
            "drain": lambda: noted("drain", draining.run("drain")),
        }
        for contestant in contestants.values():  # the first run writes .pyc files and creates the outbox
            contestant()
        cpu = {name: [] for name in cpu}
        wall = in_turns(contestants, asked.rounds)
    for name in contestants:
        print(f"{name:6} {median(wall[name]) * 1000:6.1f} ms by the clock, {median(cpu[name]) * 1000:6.1f} ms of CPU")
    verdicts = Verdicts()
    for name in ("send", "drain"):
        verdicts.at_most(f"{name} / python -c pass", ratio(wall[name], wall["pass"]), LIMIT)
        print(f"    in CPU time: {ratio(cpu[name], cpu['pass']):.2f}")
    verdicts.exit()


if __name__ == "__main__":
    main()
