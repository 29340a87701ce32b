"""Run the mutants: ``python -m tests.mutation MODULE...``; exit status 1 when one survives that nobody explained.

A module of SQL (one that assigns statements) gets the mutants of ``statements``; any other those of cosmic-ray.
"""

import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from .statements import Mutant, mutants

ROOT = Path(__file__).parents[2]
EXPLAINED = Path(__file__).with_name("explained.md")
TIMEOUT_SECONDS = 900  # a mutant that makes a test wait for ever is found out, too
# The tests that must notice, the quickest first.
OF_STATEMENTS = ["tests/model", "tests/outbox", "--ignore=tests/outbox/test_lifecycle.py"]
OF_RULES = {"lifecycle.py": "tests/outbox/test_lifecycle.py", "schedule.py": "tests/delivery/test_schedule.py"}
_CONFIG = """
[cosmic-ray]
module-path = ["{module}"]
timeout = 120.0
test-command = "{python} -m pytest -x -q -p no:cacheprovider {tests}"
[cosmic-ray.distributor]
name = "local"
# Of annotations, of `is` between enum members, and of arithmetic that nobody writes by mistake, nothing is learned.
[cosmic-ray.filters.operators-filter]
exclude-operators = [
    "core/ReplaceBinaryOperator_BitOr_.*",
    "core/ReplaceComparisonOperator_(Is|IsNot)_(Eq|NotEq|Lt|LtE|Gt|GtE)",
    "core/ReplaceBinaryOperator_.*_(BitAnd|BitOr|BitXor|LShift|RShift|Mod|Pow|FloorDiv|Div)",
]
"""


def main() -> int:
    """Run the mutants of the modules that the command line names, and tell which survived."""
    explained = set(re.findall(r"^- `(.+?)`:", EXPLAINED.read_text(), re.MULTILINE))
    survivors: list[str] = []
    tried: set[str] = set()
    for module in sys.argv[1:]:
        of_statements = list(mutants((ROOT / module).read_text()))
        tried |= {mutant.name for mutant in of_statements}
        survived = list(_survivors(module, of_statements) if of_statements else _survivors_of_rules(module))
        print(f"{module}: {len(survived)} survived", flush=True)
        survivors += survived
    unexplained = [name for name in survivors if name not in explained]
    for name in unexplained:
        print(f"survived, and is not explained: {name}")
    for name in sorted(explained & tried - set(survivors)):
        print(f"is explained, and does not survive: {name}")
    return 1 if unexplained else 0


def _survivors(module: str, candidates: list[Mutant]) -> Iterator[str]:
    """Yield the names of the mutants that no test of the outbox notices, several tried at once."""
    copies: queue.SimpleQueue[Path] = queue.SimpleQueue()

    def survives(mutant: Mutant) -> bool:
        copy = copies.get()
        try:
            (copy / module).write_text(mutant.source)
            return _passes(copy)
        finally:
            copies.put(copy)

    with _copies(os.cpu_count() or 1) as made:
        for copy in made:
            copies.put(copy)
        assert _passes(made[0]), "the tests fail without any mutant"
        with ThreadPoolExecutor(len(made)) as pool:
            for mutant, survived in zip(candidates, pool.map(survives, candidates), strict=True):
                if survived:
                    print(f"survived: {mutant.name}", flush=True)
                    yield mutant.name


def _passes(copy: Path) -> bool:
    """Tell whether the tests of the outbox pass in *copy*."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *OF_STATEMENTS]
    environment = {"MODEL_EXAMPLES": "60", **os.environ, "PYTHONPATH": str(copy)}
    try:
        done = subprocess.run(
            [*command, f"--basetemp={copy}.tmp"], cwd=copy, env=environment, capture_output=True, check=False,
            timeout=TIMEOUT_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _survivors_of_rules(module: str) -> Iterator[str]:
    """Yield what cosmic-ray changed in *module* without a test of it failing, as the lines before and after."""
    with _copies(1) as (copy,):
        tests = OF_RULES[Path(module).name]
        config, session = copy / "cosmic-ray.toml", copy / "session.sqlite"
        config.write_text(_CONFIG.format(module=module, tests=tests, python=sys.executable))
        tools = Path(sys.executable).parent
        for tool, *words in (
            ("cosmic-ray", "init", config, session), ("cr-filter-operators", session, config),
            ("cosmic-ray", "baseline", config), ("cosmic-ray", "exec", config, session),
        ):  # fmt: skip
            subprocess.run([tools / str(tool), *map(str, words)], cwd=copy, check=True)
        dump = subprocess.run([tools / "cosmic-ray", "dump", session], cwd=copy, check=True, capture_output=True)
    for line in dump.stdout.splitlines():
        _, result = json.loads(line)
        if result and result["test_outcome"] == "survived":
            changed = re.findall(r"^[-+](?![-+]) *(.*)$", result["diff"], re.MULTILINE)
            yield f"{Path(module).name}: {' -> '.join(changed)}"


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
