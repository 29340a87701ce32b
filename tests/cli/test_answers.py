"""Every answer to ``--json`` and every notify event is as docs/schema says, which is what the program says."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from prx_email_cli.cli.answers.commands import ANSWERS, EVENTS, documents
from prx_email_cli.cli.answers.keys import KEYS
from prx_email_cli.cli.answers.shapes import SHAPES

from ..conftest import Program
from ..mail.strangers import letter
from ..support.answers import command_of, commands, faults
from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from .outside import NOW, hook

PUBLISHED = Path(__file__).parents[2] / "docs" / "schema"
# What needs an authorization server, a keyring or a well machine succeeds in tests of its own.
SUCCEED_ELSEWHERE = {"account login", "account logout", "account set-password", "doctor", "listen add-user",
                     "listen remove-user"}  # fmt: skip
LINE = json.dumps({"to": "a@example.org", "subject": "s", "body_text": "b"}) + "\n"
FAULTS = (
    Fault("rcpt", "550 5.1.1 no such user", address="gone@example.org"),
    Fault("rcpt", "451 4.2.1 busy", address="busy@example.org"),
)


STORY_LINES = """
status | list | show 1 | stats | check | drain
send MESSAGE --to a@example.org,c@example.org --bcc b@example.org --idempotency-key k
send MESSAGE --to a@example.org,c@example.org --bcc b@example.org --idempotency-key k
send MESSAGE --to gone@example.org | send MESSAGE --to busy@example.org | send MESSAGE --to a@example.org
send MESSAGE --to a@example.org --in 2h --attach x.txt | send MESSAGE --to nobody
send MESSAGE --to a@example.org --preview
hold 4 | hold 99 | hold --to busy* --dry-run | drain | drain | status | list | list --status nonsense
log | log --account nobody | log --since x | top | top --bogus
show 1 | show 2 3 --headers | show 5 --body | stats | check | doctor --offline
dismiss 2 | dismiss 1 | dismiss --all --dry-run | edit 1 --from a@example.com | edit 3 --from a@example.com
edit 3 4 --replace busy@example.org=calm@example.org | edit 3 --expires-in 1d --retry
edit 3 4 --from o@example.com --retry
retry 3 | retry 3 --force | retry 3 4 99 | retry 4 --force | retry --gave-up --dry-run
send MESSAGE --to busy@example.org --now | send MESSAGE --to a@example.org --now
send --batch lines | send --batch bad | send --batch lines --check | send --batch lines --preview | send --request line
send --merge t.csv --subject {{n}} --body b | send --merge t.csv --subject {{n}} --body b --preview 1
import parent.eml missing.eml | import parent.eml | messages list | messages list --limit 0
messages show parent@example.net | messages show nobody@example.net
reply parent@example.net --body x | reply 1 --body x --preview | reply 1 --body x --now | reply 99 --body x
export 1 5 | export 99 | export 1 --maildir m
release 4 | release --all | release 99 | resolve 1 --sent | resolve --all --sent | cancel 5 | cancel 1
pause --for 1h --reason why | status | drain | list --held | resume | resume | resume --account nobody | pause --for 0s
prune --older-than 0s --dry-run | prune --older-than 0s | prune --older-than x | show 1 | export 1
prune --anonymise --older-than 0s | outbox compact | outbox migrate | outbox accept-restore | outbox
run --to o@example.org true | run --to o@example.org false | run --to o@example.org --timeout x true
listen add-user web | listen users | listen users --bogus
listen remove-user web
account list | account show | account show nobody | account test | account test --all
account login | account logout | account set-password
account add more --host localhost --port 9 --tls none --from m@example.com | account add more --host localhost
account default more | account default nobody | account test more | account test --all
account remove more --force | account remove nobody
install-system --dry-run | install-system --purge
config check | config path | cron | completion zsh | completion tcsh | providers | help | help send | help nonsense
demo
outbox backup b.db | outbox backup b.db | outbox verify b.db | outbox verify missing.db | outbox restore b.db
outbox copy --to c.db | outbox copy --undo --lost | outbox copy --to outbox.db
outbox restore missing.db | outbox accept-restore | outbox move m.db | outbox move --undo | outbox move m2.db
outbox move
outbox adopt missing.db | outbox adopt m2.db | outbox adopt m2.db
--config new.toml init --host localhost --port 9 --tls none --from i@example.com | init --host x
config path --bogus | providers --bogus | demo --bogus
"""
WITHOUT_A_CONFIG = (
    "config check", "stats", "drain", "list", "check", "doctor", "cron", "status", "account list", "outbox compact",
    "outbox migrate", "outbox accept-restore",
)  # fmt: skip
# In this order, on one outbox: 1 is sent, 2 given up, 3 deferred, 4 held, 5 scheduled.
STORY = [
    line.strip().replace("MESSAGE", "--subject s --body b").split()
    for lines in STORY_LINES.strip().splitlines() for line in lines.split(" | ")
] + [["--config", "missing.toml", *line.split()] for line in WITHOUT_A_CONFIG]  # fmt: skip


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[str, Any]]:
    """What each command of the story answered."""
    program = Program(tmp_path_factory.mktemp("story"), on_postgres=False)  # its commands on files have answers, too
    files = {"x.txt": "attached\n", "t.csv": "email,n\na@example.org,1\nnobody,2\n", "line": LINE, "lines": LINE * 2,
             "bad": LINE + "x\n"}  # fmt: skip
    for name, text in files.items():
        (program.home / name).write_text(text)
    (program.home / "parent.eml").write_bytes(letter())
    found = []
    with ScriptedServer(FAULTS) as server:
        program.configure(server.port, smtp="connections = 1")
        for words in STORY:
            answer = program.call("--json", *words, text="x\n")  # before them: behind them run's job would get it
            assert "Traceback" not in answer.err, answer
            command = command_of([word for word in words if not word.endswith(".toml")])
            found.append((command or words[0], json.loads(answer.out)))
    return found


def of(command: str, told: list[tuple[str, Any]]) -> list[Any]:
    return [document for name, document in told if name == command]


def test_every_command_has_a_published_schema() -> None:
    asked = {words for words, command in commands().items() if any("--json" in one.opts for one in command.params)}
    assert asked == {*ANSWERS}


def test_what_is_published_is_what_the_program_says() -> None:
    published = {file.name: json.loads(file.read_text()) for file in PUBLISHED.glob("*.json")}
    assert published == documents(), "run make docs"


@pytest.mark.parametrize("name", documents())
def test_a_schema_is_one(name: str) -> None:
    schema = documents()[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("command", ANSWERS)
def test_the_answers_of_a_command_are_as_published(command: str, told: list[tuple[str, Any]]) -> None:
    answers = of(command, told)
    assert [faults(command, document) for document in answers] == [[]] * len(answers)
    needed = {False} if command in SUCCEED_ELSEWHERE else {True, False}
    assert {document["ok"] for document in answers} >= needed


@pytest.mark.parametrize("command", sorted(ANSWERS.keys() - SUCCEED_ELSEWHERE))
def test_a_key_that_is_not_published_is_a_fault_wherever_it_stands(command: str, told: list[tuple[str, Any]]) -> None:
    document = next(document for document in of(command, told) if document["ok"])
    for place in range(len(list(objects(document)))):
        changed = copy.deepcopy(document)
        one = list(objects(changed))[place]
        one["bogus"] = 1
        assert faults(command, changed), one


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in *value*, itself the first."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    for one in value if isinstance(value, list) else ():
        yield from objects(one)


def test_the_events_are_as_published(program: Program) -> None:
    refusals = [Fault("auth", "535 5.7.8 wrong", times=1), FAULTS[0]]
    with ScriptedServer(refusals, auth={"ops@example.com": "right"}) as server:
        program.configure(server.port, smtp='user = "ops@example.com"', auth='password = "right"')
        said = hook(program, f'cat >> "{program.home}/told"; echo >> "{program.home}/told"')
        text = program.config.read_text()
        program.config.write_text(text + 'events = ["gave_up", "account_down", "account_up"]\n')
        for name in ("a", "gone"):
            program.send("--now-ts", str(NOW), to=f"{name}@example.org")
        for seconds in (0, 120):
            program.run("drain", "--now-ts", str(NOW + seconds))
    events = {document["event"]: document for document in map(json.loads, said.read_text().split("\n")[:-1])}
    assert {*events} == {*EVENTS}
    for event, document in events.items():
        assert faults(event, document) == []
        assert faults(event, {**document, "bogus": 1})


# The contract gives them to rows, recipients and errors as well as to counts, or they are words of another trade.
TWICE = {
    "status", "code", "gave_up", "held", "uncertain", "subject", "accounts", "oauth", "event",
    "messages", "errors", "in_reply_to", "oldest_age_seconds", "outbox_id", "run_id", "total", "stored",
}  # fmt: skip


class TestOneKeyHasOneMeaning:
    def test_but_for_a_few_that_are_named_here(self) -> None:
        own = {name for shape in SHAPES.values() for name in shape.own if name in KEYS}
        assert own == TWICE

    def test_and_every_key_and_object_that_is_described_is_in_some_answer(self) -> None:
        used = {name for shape in SHAPES.values() for name in f"{shape.always} {shape.maybe}".split()}
        beside = {name for answer in ANSWERS.values() for name in answer.beside}
        assert {*KEYS} - used - beside == set()
        assert {*SHAPES} == {name for schema in documents().values() for name in schema["$defs"]}
