"""Runs tests of a copy of the project in a process that has all but the project imported already."""

import multiprocessing
import os
import resource
import sys
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

_RAN = 64  # added to the exit status of pytest, so that no other is taken for one of a test that failed
_PATIENCE = 20  # seconds to one of the processor, which others use as well
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["pytest", "hypothesis.stateful", "typer.main", "rich.console", "trustme"])
_OPTIONS = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--hypothesis-profile", "mutants"]
# Hypothesis is imported already.
_OPTIONS += ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
_OF_OTHER_STORES = ["-k", "not [memory"]


class Judge:
    """Tests, and how many *seconds* of the processor they may take."""

    def __init__(self, seconds: int, *tests: str) -> None:
        self._seconds, self._tests = seconds, tests

    def passes(self, copy: Path) -> bool:
        """Tell whether the tests pass in *copy*, in time."""
        process: ForkServerProcess = _CONTEXT.Process(target=_run, args=(copy, self._tests, self._seconds))
        process.start()
        process.join(_PATIENCE * self._seconds)
        process.kill()
        process.join()
        assert process.exitcode is not None
        assert process.exitcode < 0 or process.exitcode >= _RAN, "pytest did not run"
        return process.exitcode == _RAN


def _run(copy: Path, tests: tuple[str, ...], seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    for name in [name for name in sys.modules if name.split(".")[0] in ("tests", "prx_email_cli")]:
        del sys.modules[name]
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    sys.dont_write_bytecode = False  # compiling takes longer than most of the tests
    os.environ |= {"MODEL_EXAMPLES": "40", **os.environ, "PYTHONPATH": str(copy)}
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    silence = os.open(os.devnull, os.O_RDWR)
    for descriptor in (1, 2):
        os.dup2(silence, descriptor)
    sys.exit(_RAN + pytest.main([*_OPTIONS, *_OF_OTHER_STORES, f"--basetemp={copy}.tmp", *tests]))
