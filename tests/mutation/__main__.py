"""Run the mutants: ``python -m tests.mutation MODULE...``; ``--help`` tells the options.

Exit status 1 when one survives that nobody explained, or the explanations are not those of the survivors.
A module of SQL (one that assigns statements) gets the mutants of ``statements``; any other those of ``rules``.
"""

import argparse
import os
import queue
import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from . import rules, statements
from .judge import Judge
from .statements import Mutant

ROOT = Path(__file__).parents[2]
EXPLAINED = Path(__file__).with_name("explained.md")
# The tests that must notice a mutant of a module, the quickest first.
# What they may take of the processor is several times what they need: a mutant can make a loop endless.
JUDGES = {
    "lifecycle.py": Judge(8, "tests/outbox/test_lifecycle.py"),
    "schedule.py": Judge(8, "tests/delivery/test_schedule.py", "tests/delivery/test_run.py"),
    "sql.py": Judge(
        180, "tests/model", "tests/outbox/conformance", "tests/outbox/sqlite", "tests/delivery",
        "tests/restore/test_restored.py", "tests/damage",
    ),
}  # fmt: skip


def main() -> int:
    """Run the mutants of the modules that the command line names, and tell which survived."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation")
    parser.add_argument(
        "--only", type=re.compile, default=re.compile(""), metavar="REGEX", help="those whose names match"
    )
    parser.add_argument("--at-once", type=int, default=os.cpu_count(), metavar="N", help="so many; one per processor")
    parser.add_argument("modules", nargs="+", metavar="MODULE")
    arguments = parser.parse_args()
    faults = 0
    for module in arguments.modules:
        every = list(_named_apart((ROOT / module).read_text()))
        chosen = [mutant for mutant in every if arguments.only.search(mutant.name)]
        survivors = set(_survivors(module, chosen, arguments.at_once))
        explained = _explained(module)
        tried, existing = {mutant.name for mutant in chosen}, {mutant.name for mutant in every}
        told = {
            "survived, and is not explained": survivors - explained,
            "is explained, and does not survive": explained & tried - survivors,
            "is explained, and does not exist": explained - existing,
        }
        print(f"{module}: {len(tried)} mutants, {len(survivors)} survived", flush=True)
        for what, names in told.items():
            faults += len(names)
            for name in sorted(names):
                print(f"{what}: {name}", flush=True)
    return 1 if faults else 0


def _named_apart(source: str) -> Iterator[Mutant]:
    """Yield the mutants of *source*; one with the name of an earlier one gets a number."""
    seen: Counter[str] = Counter()
    for mutant in list(statements.mutants(source)) or rules.mutants(source):
        seen[mutant.name] += 1
        number = seen[mutant.name]
        yield mutant if number == 1 else Mutant(f"{mutant.name} ({number})", mutant.source)


def _explained(module: str) -> set[str]:
    """Return the names under the heading *module*."""
    for section in EXPLAINED.read_text().split("\n## ")[1:]:
        heading, _, text = section.partition("\n")
        if heading.strip() == module:
            return set(re.findall(r"^- `(.+?)`:", text, re.MULTILINE))
    return set()


def _survivors(module: str, candidates: list[Mutant], at_once: int) -> Iterator[str]:
    """Yield the names of the mutants that no test notices, *at_once* tried side by side."""
    copies: queue.SimpleQueue[Path] = queue.SimpleQueue()
    judge = JUDGES[Path(module).name]

    def survives(mutant: Mutant) -> bool:
        copy = copies.get()
        try:
            (copy / module).write_text(mutant.source)
            for compiled in (copy / module).parent.glob(f"__pycache__/{Path(module).stem}.*"):
                compiled.unlink()  # it may be as old and as long as what is written now
            return judge.passes(copy)
        finally:
            copies.put(copy)

    with _copies(at_once) as made:
        for copy in made:
            copies.put(copy)
        assert judge.passes(made[0]), "the tests fail without any mutant"
        with ThreadPoolExecutor(len(made)) as pool:
            for mutant, survived in zip(candidates, pool.map(survives, candidates), strict=True):
                if survived:
                    print(f"survived: {mutant.name}", flush=True)
                    yield mutant.name


@contextmanager
def _copies(count: int) -> Iterator[list[Path]]:
    """Make copies of the project, so that mutants are never seen by anybody else."""
    directory = Path(tempfile.mkdtemp(prefix="mutation-"))
    try:
        copies = [directory / str(number) for number in range(count)]
        for copy in copies:
            shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".venv", ".git", ".*_cache", "__pycache__"))
        yield copies
    finally:
        shutil.rmtree(directory)


if __name__ == "__main__":
    sys.exit(main())
