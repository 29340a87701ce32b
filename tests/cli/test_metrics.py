"""``stats --prometheus``: the text exposition format, as Prometheus reads it, and examples that name what it has."""

import json
import re
from pathlib import Path

import pytest

from prx_email_cli.cli.metrics import METRICS, Times, exposition
from prx_email_cli.outbox.accounts import EVERY_ACCOUNT, AccountState
from prx_email_cli.outbox.lifecycle import Ending, Reason
from prx_email_cli.outbox.views import Figures

from ..conftest import Program
from ..support.faults import Fault
from .outside import NOW, add, assert_error, serving

EXAMPLES = Path(__file__).parents[2] / "examples"
HEAD = re.compile(r"# (HELP|TYPE) ([a-z_]+) (.+)")
SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z]+="(?:[^"\\\n]|\\["\\n])*",?)+)\})? (\d+)')
LABEL = re.compile(r'([a-z]+)="((?:[^"\\]|\\.)*)"')
Samples = dict[tuple[str, frozenset[tuple[str, str]]], int]


def parsed(text: str) -> Samples:
    """The samples of an exposition; each metric must be explained before them, once, and have all of them together."""
    samples: Samples = {}
    explained: list[tuple[str, str]] = []
    assert text.endswith("\n")
    for line in text.removesuffix("\n").split("\n"):
        if head := HEAD.fullmatch(line):
            explained.append((head[1], head[2]))
            assert head[1] == "HELP" or head[3] in ("gauge", "counter")
            continue
        sample = SAMPLE.fullmatch(line)
        assert sample, line
        assert explained[-2:] == [("HELP", sample[1]), ("TYPE", sample[1])], line
        labels = {name: unescaped(text) for name, text in LABEL.findall(sample[2] or "")}
        key = sample[1], frozenset(labels.items())
        assert key not in samples, line
        samples[key] = int(sample[3])
    assert len(explained) == len({*explained})
    return samples


def unescaped(text: str) -> str:
    return re.sub(r"\\(.)", lambda one: "\n" if one[1] == "n" else one[1], text)


def value(samples: Samples, name: str, **labels: str) -> int | None:
    return samples.get((f"prx_email_{name}", frozenset(labels.items())))


def metrics(program: Program, *options: str) -> Samples:
    answer = program.run("stats", "--prometheus", *options)
    assert (answer.status, answer.err) == (0, "")
    return parsed(answer.out)


def test_tells_what_waits_and_since_when(program: Program) -> None:
    program.send("--now-ts", str(NOW))
    program.send("--now-ts", str(NOW), "--in", "1d")
    for command in ("hold", "cancel"):
        assert program.call(command, str(program.send("--now-ts", str(NOW)))).status == 0
    assert program.run("drain", "--now-ts", str(NOW + 1)).status == 75
    found = metrics(program, "--now-ts", str(NOW + 3))
    gauges = ("waiting_messages", "scheduled_messages", "held_messages", "uncertain_messages")
    assert [value(found, name, account="work") for name in gauges] == [1, 1, 1, 0]
    assert value(found, "oldest_undelivered_age_seconds", account="work") == 3
    assert value(found, "gave_up_messages", account="work", reason="cancelled") == 1
    assert value(found, "gave_up_messages", account="work", reason="refused") == 0
    assert value(found, "attempts_total", account="work", outcome="deferred", code="none") == 1
    assert value(found, "last_attempt_timestamp_seconds") == NOW + 1
    assert value(found, "last_drain_timestamp_seconds") is None


@pytest.mark.on_both
def test_counts_attempts_by_outcome_and_class_of_the_code(program: Program) -> None:
    faults = Fault("rcpt", "550 5.1.1 no such user", times=1), Fault("rcpt", "451 4.7.1 later", times=1)
    with serving(program, *faults):
        for _ in range(3):
            program.send()
        assert program.run("drain").status == 69
    found = metrics(program)
    attempts = {(dict(labels)["outcome"], dict(labels)["code"]): many
                for (name, labels), many in found.items() if name == "prx_email_attempts_total"}  # fmt: skip
    assert attempts == {("gave_up", "5xx"): 1, ("deferred", "4xx"): 1, ("sent", "2xx"): 1}
    assert value(found, "last_drain_timestamp_seconds") is not None


def test_an_account_without_messages_has_zeros(program: Program) -> None:
    add(program, "[accounts.idle]\nfrom = 'a@b.org'\n[accounts.idle.smtp]\nhost = 'localhost'\ntls = 'none'")
    program.send("--account", "work")
    found = metrics(program)
    for account, waiting in (("work", 1), ("idle", 0)):
        assert value(found, "waiting_messages", account=account) == waiting
    assert value(found, "oldest_undelivered_age_seconds", account="idle") == 0
    assert value(found, "attempts_total", account="idle", outcome="sent", code="2xx") == 0


NAMES = ["plain", 'quo"te', "back\\slash", "\\", "new\nline", "\\n", "brace}", "kön{ig", '",x="']


def test_any_name_of_an_account_comes_back_as_it_was() -> None:
    figures = {name: Figures(waiting=number) for number, name in enumerate(NAMES)}
    text = "".join(f"{line}\n" for line in exposition(figures, [], {}, Times(NOW)))
    found = parsed(text)
    assert [value(found, "waiting_messages", account=name) for name in NAMES] == [*range(len(NAMES))]


def test_it_is_told_how_accounts_stand() -> None:
    states = {
        "paused": AccountState("paused", paused_at=NOW - 5, paused_until=NOW + 5),
        "resting": AccountState("resting", failing_since=NOW - 9, failed_at=NOW - 9, refusals=1, rests_until=NOW + 51),
    }
    names = ["paused", "resting", "works"]
    text = "".join(f"{line}\n" for line in exposition({}, names, states, Times(NOW)))
    found = parsed(text)
    of = {kind: [value(found, f"account_{kind}", account=name) for name in names]
          for kind in ("paused", "resting", "failing")}  # fmt: skip
    assert of == {"paused": [1, 0, 0], "resting": [0, 1, 0], "failing": [0, 1, 0]}
    everyone = {EVERY_ACCOUNT: AccountState(EVERY_ACCOUNT, paused_at=NOW)}
    found = parsed("".join(f"{line}\n" for line in exposition({}, names, everyone, Times(NOW))))
    assert [value(found, "account_paused", account=name) for name in names] == [1, 1, 1]


@pytest.mark.parametrize("file", ["prometheus-alerts.yml", "grafana-dashboard.json"])
def test_an_example_names_only_metrics_labels_and_reasons_that_there_are(file: str) -> None:
    text = (EXAMPLES / file).read_text()
    assert {*re.findall(r"\bprx_email_\w+", text)} <= {*METRICS}
    assert "prx_email_oldest_undelivered_age_seconds" in text
    figures = {"work": Figures(attempts={(Ending.SENT, 2): 1})}
    shown = "\n".join(exposition(figures, [], {}, Times(NOW, NOW, NOW)))
    labels = {name for name, _ in LABEL.findall(shown)} | {"instance"}
    grouped = {name for words in re.findall(r"\b(?:by|without) ?\(([^)]*)\)", text) for name in words.split(", ")}
    matched = {*re.findall(r"\b([a-z]+)(?:=~|!=|=)\\?\"", text)}
    legends = {*re.findall(r"\$labels\.(\w+)|\{\{([a-z]+)\}\}", text)}
    assert grouped | matched | {name for pair in legends for name in pair if name} <= labels
    values = {*re.findall(r"reason!?=\\?\"([^\"\\]+)", text)}
    assert values <= {*Reason}


def test_the_dashboard_is_json_whose_panels_each_ask_for_something() -> None:
    dashboard = json.loads((EXAMPLES / "grafana-dashboard.json").read_text())
    assert all(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    assert len(dashboard["panels"]) == len({panel["id"] for panel in dashboard["panels"]}) > 3


def test_json_and_prometheus_together_are_refused(program: Program) -> None:
    answer = program.run("stats", "--prometheus", "--json")
    assert (answer.status, answer.json["error"]["code"]) == (2, "validation")


@pytest.mark.of_files
def test_a_config_or_an_outbox_that_cannot_be_read_prints_no_metric(program: Program) -> None:
    program.outbox.write_text("Dear diary, " * 1000)
    program.outbox.chmod(0o600)
    assert_error(program.run("stats", "--prometheus"), 74, "not a database")
    program.config.unlink()
    assert_error(program.run("stats", "--prometheus"), 78, "no such config file")


def test_the_page_on_monitoring_explains_each_metric() -> None:
    page = (EXAMPLES.parent / "docs" / "monitoring.md").read_text()
    assert re.findall(r"^\| `(prx_email_\w+)`", page, re.MULTILINE) == [*METRICS]
