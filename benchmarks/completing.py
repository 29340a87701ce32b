"""How long a shell waits for the candidates of a word: at most 0.3 s, from the press of a key to the answer.

Each is a whole process, as the script of ``prx-email completion`` starts it, on an outbox of a thousand messages.
"""

from collections.abc import Callable
from functools import partial
from statistics import median

from benchmarks.common import PRX_EMAIL, Outbox, Spent, Verdicts, in_turns, options, spent, workspace

LIMIT_SECONDS = 0.3
MESSAGES = 1000
WORDS = {"names of commands": ("",), "options": ("retry", "--"), "accounts": ("send", "--account", ""),
         "ids": ("show", ""), "ids that begin with 7": ("retry", "7")}  # fmt: skip


def main() -> None:
    """Measure and tell."""
    asked = options(__doc__, rounds=15)
    with workspace() as directory:
        outbox = Outbox(directory)
        lines = directory / "lines"
        lines.write_text('{"to": "a@example.com", "subject": "s", "body_text": "b"}\n' * MESSAGES)
        outbox.run("send", "--batch", str(lines))
        cpu: dict[str, list[float]] = {name: [] for name in WORDS}

        def noted(name: str, result: Spent) -> float:
            cpu[name].append(result.cpu)
            return result.wall

        def answered(name: str) -> float:
            return noted(name, spent([PRX_EMAIL, *WORDS[name]], {**outbox.env, "_PRX_EMAIL_COMPLETE": "zsh"}))

        contestants: dict[str, Callable[[], float]] = {name: partial(answered, name) for name in WORDS}
        for contestant in contestants.values():  # the first run writes .pyc files
            contestant()
        wall = in_turns(contestants, asked.rounds)
    verdicts = Verdicts()
    for name in WORDS:
        print(f"{name}: {median(wall[name]):.3f} s by the clock")
        verdicts.at_most("    of CPU", median(cpu[name]), LIMIT_SECONDS)
    verdicts.exit()


if __name__ == "__main__":
    main()
