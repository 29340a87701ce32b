"""Prometheus' own tool has nothing to say of our metrics and of the example's rules."""

import subprocess
from pathlib import Path

import pytest

from prx_email_cli.cli.metrics import METRICS, Times, exposition
from prx_email_cli.outbox.lifecycle import Ending, Reason
from prx_email_cli.outbox.views import Figures

from .servers.base import installed_root

pytestmark = pytest.mark.interop

EXAMPLES = Path(__file__).parents[2] / "examples"
NOW = 1_900_000_000
NAMES = ["plain", 'quo"te', "back\\slash", "\\", "new\nline", "\\n", "brace}", "kön{ig", '",x="']


def check(*words: str, text: str = "") -> None:
    tool = installed_root("prometheus") / "usr" / "bin" / "promtool"
    done = subprocess.run([tool, "check", *words], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done


def test_the_metrics_of_any_account_are_as_prometheus_wants_them() -> None:
    of = Figures(1, 1, 1, 1, 1, 7, {Reason.REFUSED: 1}, {(Ending.SENT, 2): 1, (Ending.DIED, 0): 2})
    lines = exposition(dict.fromkeys(NAMES, of), ["idle"], {}, Times(NOW, NOW, NOW))
    text = "".join(f"{line}\n" for line in lines)
    assert all(name in text for name in METRICS)
    check("metrics", text=text)


def test_the_rules_of_the_example_are_taken() -> None:
    check("rules", str(EXAMPLES / "prometheus-alerts.yml"))
