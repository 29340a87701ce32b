"""Write the figures of an outbox in Prometheus' text exposition format (version 0.0.4)."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from prx_email_cli.outbox.accounts import EVERY_ACCOUNT, AccountState
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
    "prx_email_gave_up_messages": Metric(
        "gauge", "Messages in the outbox that were given up and not dismissed, by reason."
    ),
    "prx_email_oldest_undelivered_age_seconds": Metric(
        "gauge", "Since the oldest waiting message was due first, 0 when none waits."
    ),
    "prx_email_account_paused": Metric("gauge", "1 while a person has paused the account, or all."),
    "prx_email_account_resting": Metric("gauge", "1 while the account rests because its server refused it."),
    "prx_email_account_failing": Metric("gauge", "1 since the account failed until it works again."),
    "prx_email_attempts_total": Metric(
        "counter", "Attempts since the outbox was made, by outcome and class of the reply's code."
    ),
    "prx_email_last_attempt_timestamp_seconds": Metric("gauge", "When the latest attempt ended."),
    "prx_email_last_drain_timestamp_seconds": Metric("gauge", "When the latest drain ended, whatever it did."),
}


class Times(NamedTuple):
    """Times that are told of the whole outbox, in Unix seconds; None where there is none.  now: of the look."""

    now: int
    last_attempt_at: int | None = None
    last_drain_at: int | None = None


def exposition(
    figures: Mapping[str, Figures], accounts: Iterable[str], states: Mapping[str, AccountState], times: Times
) -> Iterator[str]:
    """Yield the lines of all metrics.

    accounts: of the config; one without messages has zeros.  states: of the accounts of which something is known.  A
    time that is None has no sample.
    """
    whole = {**dict.fromkeys(accounts, Figures()), **figures}
    values: dict[str, list[Sample]] = {name: [] for name in METRICS}
    for account, of in whole.items():
        for name, sample in (*_samples(account, of), *_standing(account, states, times.now)):
            values[name].append(sample)
    for name, moment in (("attempt", times.last_attempt_at), ("drain", times.last_drain_at)):
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


def _standing(account: str, states: Mapping[str, AccountState], now: int) -> Iterator[tuple[str, Sample]]:
    whose, plain = (("account", account),), AccountState(account)
    state, everyone = states.get(account, plain), states.get(EVERY_ACCOUNT, plain)
    yield "prx_email_account_paused", (whose, int(state.is_paused(now) or everyone.is_paused(now)))
    yield "prx_email_account_resting", (whose, int(state.rests(now)))
    yield "prx_email_account_failing", (whose, int(state.failing_since is not None))


def _labels(labels: Labels) -> str:
    inner = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{inner}}}" if inner else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
