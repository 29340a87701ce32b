"""Write the figures of an outbox in Prometheus' text exposition format (version 0.0.4)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from prx_email_cli.outbox.lifecycle import Ending, Reason
from prx_email_cli.outbox.views import Figures

Labels = tuple[tuple[str, str], ...]
Sample = tuple[Labels, int]


class Metric(NamedTuple):
    """A metric's type and the text that explains it."""

    kind: str
    help: str


METRICS = {
    "prx_email_waiting_messages": Metric(
        "gauge", "Undelivered messages that were due before and that drains are to deliver."
    ),
    "prx_email_scheduled_messages": Metric("gauge", "Messages that were not due yet."),
    "prx_email_held_messages": Metric("gauge", "Messages that are held: no drain takes them."),
    "prx_email_uncertain_messages": Metric(
        "gauge", "Messages that may have been accepted although no reply said so, and are not settled."
    ),
    "prx_email_gave_up_messages": Metric("gauge", "Messages in the outbox that were given up, by reason."),
    "prx_email_oldest_undelivered_age_seconds": Metric(
        "gauge", "Since the oldest waiting message was due first, 0 when none waits."
    ),
    "prx_email_attempts_total": Metric(
        "counter", "Attempts since the outbox was made, by outcome and class of the reply's code."
    ),
    "prx_email_last_attempt_timestamp_seconds": Metric("gauge", "When the latest attempt ended."),
    "prx_email_last_drain_timestamp_seconds": Metric("gauge", "When the latest drain ended, whatever it did."),
}


def exposition(
    figures: Mapping[str, Figures], accounts: Iterable[str], *, last_attempt_at: int | None, last_drain_at: int | None
) -> Iterator[str]:
    """Yield the lines of all metrics.

    accounts: of the config; one without messages has zeros.  A time that is None has no sample.
    """
    whole = {**dict.fromkeys(accounts, Figures()), **figures}
    values: dict[str, list[Sample]] = {name: [] for name in METRICS}
    for account, of in whole.items():
        for name, sample in _samples(account, of):
            values[name].append(sample)
    for name, moment in (("attempt", last_attempt_at), ("drain", last_drain_at)):
        if moment is not None:
            values[f"prx_email_last_{name}_timestamp_seconds"].append(((), moment))
    for name, samples in values.items():
        if samples:
            yield f"# HELP {name} {METRICS[name].help}"
            yield f"# TYPE {name} {METRICS[name].kind}"
            yield from (f"{name}{_labels(labels)} {value}" for labels, value in samples)


def _samples(account: str, of: Figures) -> Iterator[tuple[str, Sample]]:
    whose = (("account", account),)
    yield "prx_email_waiting_messages", (whose, of.waiting)
    yield "prx_email_scheduled_messages", (whose, of.scheduled)
    yield "prx_email_held_messages", (whose, of.held)
    yield "prx_email_uncertain_messages", (whose, of.uncertain)
    for reason in {**dict.fromkeys(Reason), **of.gave_up}:  # damage may have left another word
        yield "prx_email_gave_up_messages", ((*whose, ("reason", reason)), of.gave_up.get(reason, 0))
    yield "prx_email_oldest_undelivered_age_seconds", (whose, of.oldest_age_seconds or 0)
    for (outcome, code_class), many in {(Ending.SENT, 2): 0, **of.attempts}.items():
        shown = f"{code_class}xx" if code_class else "none"
        yield "prx_email_attempts_total", ((*whose, ("outcome", outcome), ("code", shown)), many)


def _labels(labels: Labels) -> str:
    inner = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{inner}}}" if inner else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
