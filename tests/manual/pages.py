"""The man pages: one of each command, prx-sendmail(8) and prx-email-config(5), from the program and from docs/."""

import re
from pathlib import Path
from typing import Any

from prx_email_cli import __version__
from prx_email_cli.errors import Exit
from prx_email_cli.sendmail.main import SUMMARY

from ..config.document import page as configuration
from .markdown import converted, table
from .roff import bold, filled, heading, inline, italic, item, plain, reference, verbatim
from .tree import commands, context, inside, parameters

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "man"
DATE = "2026-11-29"  # of the text, not of the day on which it is written: a release sets it
_EXAMPLE = re.compile(r"^Example(?: \(([^)]+)\))?: (.+)$")
# What a command's status means beyond the table of all; a bare "table" stands for that.
_STATUSES = {
    "status": [("1", "A person is wanted.")],
    "check": [("0", "OK."), ("1", "WARNING."), ("2", "CRITICAL."), ("3", "UNKNOWN, also when it cannot tell.")],
    "run": [
        ("any", "The job's own; after a signal, `run` ends by the same one."), ("124", "The job ran into `--timeout`."),
        ("126, 127", "The job cannot be executed, is not found."),
        ("75", "A job with the same `--lock` is still running; this one was not started."),
    ],
    "drain": [
        ("0", "Nothing failed."), ("69", "A message was given up."),
        ("75", "A message or an account failed for now, or the outbox is locked."),
    ],
}  # fmt: skip
_ALONE = ("check", "run")  # these statuses are all there are
_TOPICS = {"run": "jobs.md", "listen": "listen.md"}  # pages of docs/ about one command
_NEAR = [
    ("send", "reply", "import", "run", "sendmail"), ("drain", "retry", "listen", "cron"),
    ("list", "show", "status", "log", "top", "stats"), ("hold", "release", "cancel", "resolve", "dismiss", "edit"),
    ("pause", "resume"), ("prune", "outbox", "export"), ("init", "account", "config", "providers", "doctor", "check"),
]  # fmt: skip


def pages() -> dict[str, str]:
    """Every page by its path below the folder of all, such as man1/prx-email.1."""
    found = {f"man1/{name_of(words)}.1": command_page(words) for words in commands()}
    found["man1/prx-email-sendmail.1"] = sendmail_page("prx-email-sendmail", 1)
    found["man5/prx-email-config.5"] = config_page()
    return found | {"man8/prx-sendmail.8": sendmail_page("prx-sendmail", 8)}


def name_of(words: str) -> str:
    """The name of a command's page, prx-email-account-add for example."""
    return "-".join(["prx-email", *words.split()])


def command_page(words: str) -> str:
    """The page of a command or group."""
    command = commands()[words]
    paragraphs, examples = _help(command.help)
    summary = paragraphs[0].split(".  ")[0].split(". ")[0].removesuffix(".")
    lines = [*_head(name_of(words), 1, summary), *_synopsis(words, command)]
    lines += [heading("DESCRIPTION"), *_paragraphs(paragraphs), *_group(words, command)]
    lines += _parameters("ARGUMENTS", parameters(words, command, "argument"), words)
    lines += _parameters("OPTIONS", parameters(words, command, "option"), words)
    if words in _TOPICS:
        lines += [heading("DETAILS"), *converted(_docs(_TOPICS[words]), {})]
    lines += [*_exit_status(words), *_examples(examples), *_environment(words), *(_files() if not words else [])]
    return _whole([*lines, *_see_also(words)])


def config_page() -> str:
    """prx-email-config(5): the page of the keys, and the example config."""
    text = configuration().replace("[config.example.toml](../config.example.toml)", "the end of this page")
    lines = _head("prx-email-config", 5, "config file of prx-email")
    lines += [heading("DESCRIPTION"), *converted(text, {"The environment": "ENVIRONMENT"}), *_files()]
    lines += [heading("EXAMPLES"), *verbatim((ROOT / "config.example.toml").read_text(encoding="utf-8"))]
    return _whole(
        [*lines, heading("SEE ALSO"), *_references(["", "init", "account add", "config check"], sendmail=True)]
    )


def sendmail_page(name: str, section: int) -> str:
    """prx-sendmail(8), also under the name of the command: docs/sendmail.md, and how it is called."""
    called = rf"[{italic('FLAGS')}] [{italic('RECIPIENT')}...] < {italic('MESSAGE')}"
    lines = _head(name, section, SUMMARY.removesuffix("."))
    lines += [heading("SYNOPSIS"), f"{bold('prx-sendmail')} {called}", ".br", f"{bold('prx-email sendmail')} {called}"]
    names = {"Flags": "OPTIONS", "Exit statuses": "EXIT STATUS"}
    lines += [heading("DESCRIPTION"), *converted(_docs("sendmail.md"), names)]
    lines += [heading("SEE ALSO"), *_references(["", "drain", "show"], config=True)]
    return _whole(lines)


def _head(name: str, section: int, summary: str) -> list[str]:
    title = f'.TH {plain(name.upper())} {section} {DATE} "prx\\-email {__version__}" "prx\\-email manual"'
    note = r".\" Written by python -m tests.manual; a test compares it with the program."
    first = summary[:1].lower() + summary[1:]
    return [note, title, ".nh", ".ad l", heading("NAME"), *filled(rf"{plain(name)} \- {plain(first)}")]


def _help(text: str) -> tuple[list[str], list[str]]:
    """Part a help text into paragraphs and examples."""
    paragraphs, examples = [], []
    for paragraph in text.strip().split("\n\n"):
        lines = paragraph.splitlines()
        examples += [(found[1] or "", found[2]) for found in map(_EXAMPLE.match, lines) if found]
        paragraphs += [line for line in lines if not _EXAMPLE.match(line)]
    return paragraphs, [f"# {where}\n{line}" if where else line for where, line in examples]


def _paragraphs(paragraphs: list[str]) -> list[str]:
    return [line for at, text in enumerate(paragraphs) for line in [*([".PP"] if at else []), *filled(inline(text))]]


def _synopsis(words: str, command: Any) -> list[str]:
    ctx = context(words, command)
    pieces = " ".join(command.collect_usage_pieces(ctx)).replace("{", "").replace("}", "")
    pieces = pieces.replace("[OPTIONS]", "[OPTION]...")
    shown = re.sub(r"[A-Z][A-Z0-9_-]*", lambda found: f"\0{found[0]}\1", pieces)
    text = plain(shown).replace("\0", r"\fI").replace("\1", r"\fR")
    return [heading("SYNOPSIS"), f"{bold(f'prx-email {words}'.strip())} {text}".strip()]


def _group(words: str, command: Any) -> list[str]:
    """The commands of a group, with what each does first."""
    inner = inside(command)
    lines = [heading("COMMANDS")] if inner else []
    for name, one in inner.items():
        where = ("prx-sendmail", 8) if name == "sendmail" else (name_of(f"{words} {name}"), 1)
        lines += item(reference(*where), filled(inline(_help(one.help)[0][0])))
    return lines


def _parameters(title: str, every: list[Any], words: str) -> list[str]:
    lines = [heading(title)] if every else []
    for one in every:
        record = one.get_help_record(context(words, commands()[words]))
        lines += item(_tag(one), filled(inline(record[1].replace("  [", " ["))))
    return lines


def _tag(parameter: Any) -> str:
    """An option's names and what it takes, or an argument's name."""
    value = parameter.metavar or ""
    if parameter.param_type_name == "argument":
        return italic(value)
    names = sorted([*parameter.opts, *parameter.secondary_opts], key=lambda name: name.startswith("--"))
    return ", ".join(map(bold, names)) + (f" {italic(value)}" if value else "")


def _exit_status(words: str) -> list[str]:
    rows = [row for row in table((ROOT / "README.md").read_text(encoding="utf-8"), "status") if row[0] != "1"]
    own = _STATUSES.get(words, [])
    named = {status for status, _ in own}
    rest = [] if words in _ALONE else [(status, meaning) for status, meaning in rows if status not in named]
    every = sorted([*own, *rest], key=lambda row: int("0" + row[0].split(",")[0].replace("any", "")))
    lines = [heading("EXIT STATUS")]
    for status, meaning in every:
        lines += item(bold(status), filled(inline(meaning[:1].upper() + meaning[1:].removesuffix(".") + ".")))
    return lines


def _environment(words: str) -> list[str]:
    if words:
        return []
    every = [*table(configuration(), "Variable"), *_OTHERS]
    lines = [line for name, meaning in every for line in item(inline(name), filled(inline(meaning)))]
    own = [heading("AN ACCOUNT FROM THE ENVIRONMENT"), *converted(_docs("environment.md"), {})]
    return [heading("ENVIRONMENT"), *lines, *own]


_OTHERS = [
    (
        "`PRX_EMAIL_DROP`",
        "the drop directory in which users leave mail who may not use the outbox, see [it](sendmail.md)",
    ),
    ("`MAILTO`", "recipient of the mail of `prx-email run` without `--to`, as cron sets it"),
    ("`NO_COLOR`", "no colours, whatever its value"),
    ("`XDG_CONFIG_HOME`, `XDG_DATA_HOME`, `XDG_STATE_HOME`", "where config, outbox and tokens lie below"),
]


def _files() -> list[str]:
    every = [
        ("~/.config/prx-email/config.toml", "the config, see [config](configuration.md)"),
        ("~/.local/share/prx-email/outbox.db", "the outbox, an SQLite file; its -wal and -shm belong to it"),
        ("~/.local/state/prx-email", "OAuth tokens, and the locks of jobs"),
        ("/etc/prx-email/config.toml, /var/lib/prx-email", "config and outbox of the whole machine: `install-system`"),
    ]
    return [heading("FILES"), *(line for name, meaning in every for line in item(bold(name), filled(inline(meaning))))]


def _examples(examples: list[str]) -> list[str]:
    return [heading("EXAMPLES"), *(line for one in examples for line in verbatim(one))] if examples else []


def _see_also(words: str) -> list[str]:
    names = words.split()
    group = {" ".join(names[:count]) for count in range(len(names))}
    near = {other for those in _NEAR if names and names[0] in those for other in those}
    beside = {f"{names[0]} {name}" for name in inside(commands()[names[0]])} if len(names) > 1 else set()
    every = sorted((group | near | beside) - {words, "sendmail"}) if names else []
    return [heading("SEE ALSO"), *_references(every, config=True, sendmail=not names or "sendmail" in near)]


def _references(words: list[str], *, config: bool = False, sendmail: bool = False) -> list[str]:
    every = [reference(name_of(one), 1) for one in words]
    every += [reference("prx-email-config", 5)] if config else []
    every += [reference("prx-sendmail", 8)] if sendmail else []
    return [f"{one}," for one in every[:-1]] + every[-1:]


def _docs(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def _whole(lines: list[str]) -> str:
    """Join the lines, without a break right behind a heading, where it does nothing."""
    kept = [line for at, line in enumerate(lines) if line != ".PP" or not lines[at - 1].startswith(".SH")]
    return "\n".join(kept) + "\n"


def unlisted_statuses() -> set[int]:
    """The statuses of the program that the table of all lacks."""
    rows = table((ROOT / "README.md").read_text(encoding="utf-8"), "status")
    named = {int(word) for row in rows for word in row[0].split(", ")}
    return {int(status) for status in Exit} - named
