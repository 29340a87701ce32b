"""Say for each command and each notify event which objects it answers with, and make the JSON Schemas of that."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from prx_email_cli.cli.answers.keys import KEYS, Schema, ref
from prx_email_cli.cli.answers.shapes import SHAPES

DIALECT = "https://json-schema.org/draft/2020-12/schema"


class Answer(NamedTuple):
    """What a command puts into ``data``.

    failed: what it puts there beside an error, where that is not null.  beside: keys of the answer beside ``data``.
    """

    data: Schema
    failed: Schema | None = None
    beside: tuple[str, ...] = ()


def _list_of(name: str) -> Schema:
    return {"type": "array", "items": ref(name)}


def _also(name: str) -> Answer:
    """Return an answer whose ``data`` is the same beside an error."""
    return Answer(ref(name), ref(name))


# A role that only enqueues cannot read messages: it answers with a stored_line.
_SENT = Answer(
    {"anyOf": [ref("sent"), ref("stored_line"), ref("send_result"), ref("previewed")]},
    {"anyOf": [ref("send_result"), ref("stored_line")]},
)
_DECIDED = Answer({"anyOf": [_list_of("decided"), _list_of("row")]}, {"anyOf": [_list_of("decided"), _list_of("row")]})
_RETRIED = {"anyOf": [ref("send_result"), _list_of("retried"), _list_of("row")]}
_EDITED = {"anyOf": [*_RETRIED["anyOf"], _list_of("decided")]}
_EXAMINED = _also("examined")
ANSWERS = {
    "demo": Answer(_list_of("arrived")),
    "init": Answer({"anyOf": [ref("written"), ref("examined")]}, ref("examined")),
    "account list": Answer(_list_of("account")),
    "account show": Answer(ref("account")),
    "account test": Answer(
        {"anyOf": [ref("examined"), _list_of("examined_one")]}, {"anyOf": [ref("examined"), _list_of("examined_one")]}
    ),
    "account add": Answer({"anyOf": [ref("written"), ref("examined")]}, ref("examined")),
    "account remove": Answer(ref("removed")),
    "account default": Answer(ref("default")),
    "account login": _EXAMINED,
    "account logout": Answer(ref("logged_out")),
    "account set-password": Answer(ref("password")),
    "config check": Answer(ref("config_check")),
    "config path": Answer(ref("config_path")),
    "completion": Answer(ref("completion")),
    "cron": Answer(ref("crontab")),
    "install-system": Answer(ref("installation")),
    "run": _also("job"),
    "send": Answer(
        {"anyOf": [*_SENT.data["anyOf"], ref("batch")]},
        {"anyOf": [ref("send_result"), ref("stored_line"), ref("batch")]},
    ),
    "reply": _SENT,
    "import": _also("imported"),
    "messages list": Answer(_list_of("known"), beside=("cut",)),
    "messages show": Answer(ref("known_text")),
    "drain": _also("drain_report"),
    "listen add-user": Answer(ref("login")),
    "listen remove-user": Answer(ref("login")),
    "listen users": Answer(_list_of("login")),
    "retry": Answer(_RETRIED, _RETRIED),
    "list": Answer(_list_of("row"), beside=("cut", "total")),
    "show": Answer({"anyOf": [ref("shown"), _list_of("shown")]}, {"anyOf": [ref("shown"), _list_of("shown")]}),
    "status": Answer(ref("status")),
    "log": Answer(_list_of("entry"), beside=("cut",)),
    "top": Answer(ref("top")),
    "export": Answer(_list_of("exported")),
    "stats": Answer(ref("stats")),
    "hold": _DECIDED,
    "release": _DECIDED,
    "cancel": _DECIDED,
    "resolve": _DECIDED,
    "dismiss": _DECIDED,
    "edit": Answer(_EDITED, _EDITED),
    "pause": Answer(ref("standing")),
    "resume": Answer(ref("resumed")),
    "prune": Answer(ref("pruned")),
    "outbox accept-restore": Answer(ref("accepted")),
    "outbox backup": Answer(ref("copied")),
    "outbox verify": _also("verified"),
    "outbox restore": Answer(ref("replaced")),
    "outbox move": Answer({"anyOf": [ref("copied"), ref("move_undone")]}),
    "outbox copy": Answer({"anyOf": [ref("outbox_copied"), ref("copy_undone")]}),
    "outbox adopt": Answer(ref("replaced")),
    "outbox compact": Answer(ref("compacted")),
    "outbox migrate": Answer(ref("migrated")),
    "providers": Answer(_list_of("provider")),
    "doctor": _also("doctor"),
    "check": _also("backlog"),
    "help": Answer(ref("help")),
}  # fmt: skip
EVENTS = ("gave_up", "account_down", "account_up")


def answer_schema(command: str) -> Schema:
    """Make the schema of the answer of ``prx-email COMMAND --json``, a success or an error."""
    answer = ANSWERS[command]
    failed = {"type": "null"} if answer.failed is None else {"anyOf": [{"type": "null"}, answer.failed]}
    beside = {name: KEYS[name] for name in answer.beside}
    return _whole(
        f"prx-email {command} --json",
        "The answer on stdout: with ok, data is what was asked for; otherwise error says what is wrong.",
        {"anyOf": [
            _envelope(answer.data, {"type": "null"}, beside, ok=True),
            _envelope(failed, ref("error"), {}, ok=False),
        ]},
    )  # fmt: skip


def event_schema(event: str) -> Schema:
    """Make the schema of what the command of ``[notify]`` gets on stdin for this event."""
    return _whole(f"prx-email notify event {event}", "What the command of [notify] reads.", ref(f"{event}_event"))


def documents() -> dict[str, Schema]:
    """Return each schema by the name of its file."""
    commands = {f"{command.replace(' ', '-')}.schema.json": answer_schema(command) for command in ANSWERS}
    return commands | {f"notify.{event}.schema.json": event_schema(event) for event in EVENTS}


def _envelope(data: Schema, error: Schema, beside: dict[str, Schema], *, ok: bool) -> Schema:
    return {
        "type": "object",
        "properties": {"ok": {"const": ok}, "data": data, "error": error, **beside},
        "required": ["ok", "data", "error", *beside],
        "additionalProperties": False,
    }


def _whole(title: str, description: str, schema: Schema) -> Schema:
    """Add the definitions that *schema* refers to."""
    found: dict[str, Schema] = {}
    wanted = [*_references(schema)]
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = SHAPES[name].schema()
            wanted += _references(found[name])
    return {
        "$schema": DIALECT, "title": title, "description": description, **schema,
        "$defs": {name: found[name] for name in sorted(found)},
    }  # fmt: skip


def _references(schema: Any) -> Iterator[str]:
    """Yield the names of the objects that *schema* refers to."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            yield schema["$ref"].rpartition("/")[2]
        schema = list(schema.values())
    if isinstance(schema, list):
        for one in schema:
            yield from _references(one)
