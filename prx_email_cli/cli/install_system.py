"""``prx-email install-system``: set up one outbox for the whole machine, or take it away again."""

import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from prx_email_cli.cli.context import invocation
from prx_email_cli.cli.options import Json
from prx_email_cli.cli.output import put, put_json, say, work_is_done
from prx_email_cli.cli.render import safe
from prx_email_cli.errors import ConfigError, NeedsRoot, PrxEmailError, ValidationError
from prx_email_cli.system.layout import CONFIG, NAME, OUTBOX, Owner
from prx_email_cli.system.plan import Facts, Step, Wishes, to_install, to_undo

if TYPE_CHECKING:
    from prx_email_cli.system.machine import Machine

app = typer.Typer(add_completion=False)
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")
_LONGEST_NAME = 32


@app.command("install-system")
def install_system(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print each step, and change nothing.")] = False,
    sendmail: Annotated[
        bool,
        typer.Option("--sendmail", help="Also become /usr/sbin/sendmail, mailq and newaliases; others move aside."),
    ] = False,
    undo: Annotated[
        bool, typer.Option("--undo", help="Remove what this command has made; mail not delivered is kept.")
    ] = False,
    purge: Annotated[
        bool, typer.Option("--purge", help="With --undo: also mail not delivered, and a config that was changed.")
    ] = False,
    user: Annotated[str, typer.Option("--user", metavar="NAME", help="User of the outbox.")] = NAME,
    group: Annotated[str, typer.Option("--group", metavar="NAME", help="Group of the outbox.")] = NAME,
    program: Annotated[
        Path | None,
        typer.Option("--program", metavar="FILE", help="Path of prx-sendmail; by default beside this program."),
    ] = None,
    root: Annotated[
        Path, typer.Option("--root", metavar="DIR", help="Work on the image of a machine in this directory.")
    ] = Path("/"),
    as_json: Json = False,
) -> None:
    """Set up one outbox for all users of this machine: user, group, directories, a first config.

    It may be run again at any time.  docs/sendmail.md tells what each user can do then.
    Example: sudo prx-email install-system --sendmail --dry-run
    """
    this = invocation(ctx)
    owner = Owner(_checked(user, "--user"), _checked(group, "--group"))
    if purge and not undo:
        raise ValidationError("--purge goes with --undo", hint="prx-email install-system --undo --purge")
    if not dry_run and os.geteuid() != 0:
        raise NeedsRoot(
            "only root can set up an outbox for the whole machine",
            hint="use sudo; --dry-run shows each step to anybody",
        )
    from prx_email_cli.system.machine import Machine  # on use

    machine = Machine(root.absolute(), owner)
    if undo:
        machine.owner = owner = machine.made_owner()
    facts = machine.facts()
    wishes = Wishes(
        owner, _program(program, root) if sendmail and not undo else None, str(machine.root),
        f"{secrets.token_hex(4)}.prx-email.local", undo and not purge and _has_mail(machine), purge,
    )  # fmt: skip
    steps, kept = to_undo(facts, wishes) if undo else (to_install(facts, wishes), [])
    _carry_out(machine, steps, kept, dry_run=dry_run, as_json=this.json)
    if not this.json:
        _tell_rest(facts, steps, undo=undo, dry_run=dry_run)


def _carry_out(machine: "Machine", steps: list[Step], kept: list[str], *, dry_run: bool, as_json: bool) -> None:
    """Do the steps, unless it is a dry run, and print each before it is done."""
    begun: list[dict[str, Any]] = []

    def told(step: Step) -> None:
        begun.append({"shell_line": step.action.shown(), "done_before": step.done})
        if not as_json:
            put(safe(f"# there already: {step.action.shown()}" if step.done else step.action.shown()))

    def answer() -> dict[str, Any]:
        return {"dry_run": dry_run, "system_steps": begun, "kept_because": kept}

    if dry_run:
        for step in steps:
            told(step)
    else:
        machine.carry_out(steps, told)
        work_is_done("all steps are done")
    if as_json:
        put_json(answer())
    else:
        for why in kept:
            say(f"kept: {safe(why)}")


def _tell_rest(facts: Facts, steps: list[Step], *, undo: bool, dry_run: bool) -> None:
    """Say what a person has to do now."""
    if dry_run:
        say("nothing was changed")
    elif undo:
        say("done" if steps else "there is nothing that this command has made")
    else:
        config = "" if CONFIG in facts.paths else f"fill in server and addresses in {CONFIG}; then "
        say(f"done.  Now: {config}let {NAME} drain, by cron for example (prx-email cron prints the line)")


def _checked(name: str, option: str) -> str:
    """Return the name of a user or group.  Raises ValidationError for what useradd refuses, and for root."""
    if not name or name == "root" or name[0] in "-0123456789" or set(name) - _LETTERS or len(name) > _LONGEST_NAME:
        raise ValidationError(
            f"{option}: not a name for it: {name!r}", hint="small letters, digits, - and _; at most 32, and not root"
        )
    return name


def _program(named: Path | None, root: Path) -> str:
    """Return the path of prx-sendmail.  Raises ConfigError when other users could not run it."""
    path = named or Path(sys.argv[0]).absolute().with_name("prx-sendmail")
    if not path.is_absolute():
        raise ValidationError(f"--program: not an absolute path: {path}", hint="links of the machine will lead to it")
    if root != Path("/"):
        return str(path)
    if not path.is_file():
        raise ConfigError(f"there is no program {path}", hint="name prx-sendmail with --program FILE")
    for one in (path, *path.parents, *Path(os.path.realpath(sys.executable)).parents):
        if not one.stat().st_mode & 0o001:
            raise ConfigError(
                f"{path} cannot be run by all users: {one} is closed to them",
                hint="install prx-email where all users can run it: python3 -m venv /opt/prx-email, for example",
            )
    return str(path)


def _has_mail(machine: "Machine") -> bool:
    """Tell whether the outbox, or its drop directory, has mail that nobody has delivered or looked at yet."""
    from prx_email_cli.system.layout import DROP, REFUSED  # on use

    for directory in (DROP, REFUSED):
        path = machine.at(directory)
        if path.is_dir() and any(path.iterdir()):
            return True
    outbox = machine.at(OUTBOX)
    if not outbox.exists() or outbox.stat().st_size == 0:
        return False
    from prx_email_cli.config.outbox import OutboxSettings  # on use
    from prx_email_cli.outbox.open import open_store  # on use

    try:
        store = open_store(OutboxSettings(path=outbox), create=False)
        try:
            stats = store.stats(0)
        finally:
            store.close()
    except PrxEmailError:
        return True  # nobody knows what is in it
    return bool(stats.pending + stats.sending + stats.failed)


apps = {"install-system": app}
