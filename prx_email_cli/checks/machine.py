"""Everything that can keep this machine's mail from leaving, looked at one by one; nothing is changed."""

import os
import shutil
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from prx_email_cli.checks.check import OK, Check, failed, ok, warning
from prx_email_cli.config.settings import OutboxSettings, Settings
from prx_email_cli.config.table import Table
from prx_email_cli.errors import ChangeableByOthers, ConfigError, PrxEmailError, ReadableByOthers, StorageError, Unwell
from prx_email_cli.files import faults, program_faults, quoted
from prx_email_cli.outbox.sqlite.guarding import logs, reasons_to_refuse
from prx_email_cli.outbox.sqlite.runs import Runs
from prx_email_cli.outbox.store import Store
from prx_email_cli.outbox.views import Health

DRAIN_OVERDUE_SECONDS = 15 * 60  # cron runs it every minute, some people every ten
OLD_SECONDS = 3600
CLOCK_SLACK_SECONDS = 60
WRITTEN_AFTER = 1_767_225_600  # 2026-01-01: no honest clock shows less to a program written later
_MIB = 1 << 20


def check_machine(settings: Settings, now: float) -> Iterator[Check]:
    """The checks that need no outbox; *now* is Unix seconds."""
    yield ok("config", f"{settings.file}, accounts: {', '.join(settings.accounts)}")
    yield from _permissions(settings)
    yield _clock(now)
    yield _domain(settings.outbox)
    if settings.notify.command is not None:
        yield _notify(settings.notify.command[0])
    if settings.log.file is not None:
        yield _log(settings.log.file)
    yield _disk(settings)


def check_outbox(store: Store, runs: Runs, now: int) -> Iterator[Check]:
    """The checks of the outbox and of what empties it."""
    health = store.health(now)
    yield _database(store, health)
    if health.faults:
        return  # what a damaged database says of its messages is worth nothing
    yield _recorded_times(health, now)
    messages = _messages(health, runs.is_dead)
    if messages.result != OK or not runs.unreadable:
        yield messages
    for error in runs.unreadable.values():
        yield failed("messages", error)
    yield _cron(runs.last_drain(), now)


def check_missing_outbox(path: Path, runs: Runs, now: int) -> Iterator[Check]:
    """The checks of an outbox whose file is not there, or empty."""
    directory = _nearest(path.parent)
    if runs.last_drain() is not None:
        hint = "is its disk mounted? Restore a backup, or remove the .runs directory beside it if it may be new"
        yield failed("database", StorageError("it is gone: a drain has ended here before", hint=hint))
        yield _cron(runs.last_drain(), now)
    elif not _is_writable(directory):
        yield failed("database", StorageError(f"cannot be made: {directory} is not writable by you", hint="chown it"))
    else:
        yield ok("database", "not there yet: the first send makes it")


def _nearest(directory: Path) -> Path:
    """The directory itself, or what there is of its path."""
    while not os.path.exists(directory) and directory != directory.parent:
        directory = directory.parent
    return directory


def _permissions(settings: Settings) -> Iterator[Check]:
    """Find every fault; each is told once, however many files it concerns: what one command mends is one fault."""
    mended = set()
    for fault in (*_open_to_others(settings.outbox.path), *_changeable(settings)):
        if fault.hint not in mended:
            mended |= {fault.hint, fault.hint.replace("chmod go= ", "chmod go-w ")}
            yield failed("permissions", fault)
    if not mended:
        yield ok("permissions", "nobody else can read the outbox or change what is obeyed")


def _open_to_others(outbox: Path) -> Iterator[ReadableByOthers]:
    for file in (outbox.resolve(), *(file for file, _ in logs(outbox)), Runs(outbox).directory):
        try:
            status = file.lstat()
        except OSError:
            continue
        mode = stat.S_IMODE(status.st_mode)
        if mode & 0o077 and not stat.S_ISLNK(status.st_mode):  # which have a fault of their own
            yield ReadableByOthers(f"{file} is open to others (mode {mode:04o})", hint=f"chmod go= {quoted(file)}")


def _changeable(settings: Settings) -> Iterator[ReadableByOthers]:
    """Find what lets others change what this config names, in the words with which the commands refuse it."""
    store, outbox = settings.attachments.store, settings.outbox.path
    yield from faults(settings.file)
    yield from (reason for reason in reasons_to_refuse(outbox) if isinstance(reason, ChangeableByOthers))
    yield from Runs(outbox).faults()
    if store.enabled and store.dir is not None:
        yield from faults(store.dir, itself=False)
    for command in (settings.notify.command, *_values(settings.accounts.values(), "_command")):
        if command is not None:
            yield from program_faults(command[0])
    for file in _values(settings.accounts.values(), "_file"):
        yield from faults(file)


def _values(tables: Iterable[Table], ending: str) -> Iterator[Any]:
    """Collect the values of all keys with this *ending* in *tables*, and in the tables in them."""
    for table in tables:
        for declared in table.keys.values():
            value = getattr(table, declared.name)
            if isinstance(value, Table):
                yield from _values([value], ending)
            elif value is not None and declared.name.endswith(ending):
                yield value


def _clock(now: float) -> Check:
    shown = time.strftime("%Y-%m-%d %H:%M:%S%z", time.localtime(now))
    if now < WRITTEN_AFTER:
        return warning("clock", f"{shown} is before this program was written", "set the clock (NTP)", Unwell)
    return ok("clock", shown)


def _domain(outbox: OutboxSettings) -> Check:
    name = outbox.message_id_domain
    if name == OutboxSettings.keys["message_id_domain"].default:
        fix = f'set [outbox] message_id_domain = "{os.urandom(4).hex()}.{name}"'
        detail = f"{name}, as of everybody who chose none: two such outboxes make the same Message-IDs"
        return warning("message_id_domain", detail, fix, ConfigError)
    return ok("message_id_domain", name)


def _notify(program: str) -> Check:
    if shutil.which(program) is None:
        return failed("notify", ConfigError(f"notify.command: no such program: {program}", hint="give its full path"))
    return ok("notify", program)


def _log(file: Path) -> Check:
    there = os.path.exists(file)
    writable = os.path.isfile(file) and os.access(file, os.W_OK) if there else _is_writable(file.parent)
    if not writable:
        return failed("log", ConfigError(f"log.file: {file} cannot be written", hint="check its directory and owner"))
    return ok("log", str(file))


def _is_writable(directory: Path) -> bool:
    return os.path.isdir(directory) and os.access(directory, os.W_OK | os.X_OK)


def _disk(settings: Settings) -> Check:
    """A message is stored once and copied through the database's log; below a few of the largest it gets tight."""
    directory = _nearest(settings.outbox.path.parent)
    free = shutil.disk_usage(directory).free
    needed = 4 * settings.attachments.policy.max_message_bytes
    detail = f"{free // _MIB:,} MiB free for the outbox"
    if free < needed:
        return warning("disk", detail, f"make room in {directory}", StorageError)
    return ok("disk", detail)


def _database(store: Store, health: Health) -> Check:
    if health.faults:
        return failed("database", StorageError(f"damaged: {'; '.join(health.faults)}", hint=health.repair))
    try:
        store.refuse_restored()
    except PrxEmailError as error:
        return failed("database", error)
    return ok("database", f"intact, schema version {health.schema_version}")


def _recorded_times(health: Health, now: int) -> Check:
    """A clock that was ahead leaves times behind that are still to come."""
    if health.newest_at is not None and health.newest_at > now + CLOCK_SLACK_SECONDS:
        detail = f"the outbox knows of a moment {health.newest_at - now} s ahead"
        return warning("recorded times", detail, "check the clock (NTP)", Unwell)
    return ok("recorded times", "none in the future")


def _messages(health: Health, is_dead: Callable[[str], bool]) -> Check:
    dead = [run_id for run_id in health.sending_runs if is_dead(run_id)]
    if dead:
        return warning(
            "messages", f"runs died while sending: {', '.join(dead)}", "prx-email drain recovers them", Unwell
        )
    if health.unsent_for_seconds is not None and health.unsent_for_seconds > OLD_SECONDS:
        minutes = health.unsent_for_seconds // 60
        fix = "prx-email list --status failed tells why, prx-email list --due what waits for a drain"
        return warning("messages", f"one has waited for {minutes} minutes since it was first due", fix, Unwell)
    if health.waiting_for_a_person:
        detail = f"{health.waiting_for_a_person} uncertain ones wait for a person"
        fix = "prx-email list --uncertain, then prx-email resolve ID --sent or --not-sent"
        return warning("messages", detail, fix, Unwell)
    return ok("messages", f"none stuck or old; {health.gave_up} given up (prx-email list --gave-up)")


def _cron(last_drain: int | None, now: int) -> Check:
    fix = "add to your crontab: * * * * * prx-email drain"
    if last_drain is None:
        return warning("cron", "no drain ever ended here", fix, Unwell)
    ago = now - last_drain
    if ago < -CLOCK_SLACK_SECONDS:
        return warning("cron", f"the last drain ended {-ago} s from now", "check the clock (NTP)", Unwell)
    detail = f"the last drain ended {ago} s ago"
    if ago > DRAIN_OVERDUE_SECONDS:
        return warning("cron", detail, f"look at cron's own log; {fix}", Unwell)
    return ok("cron", detail)
