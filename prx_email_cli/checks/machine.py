"""Check what on this machine can keep mail from leaving.

That is the config, permissions, the clock, the Message-ID domain, programs, the log and the disk.
"""

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from prx_email_cli.checks.check import Check, failed, ok, warning
from prx_email_cli.config.outbox import OutboxSettings
from prx_email_cli.config.settings import Settings
from prx_email_cli.config.source import ENV_URL, ENV_URL_FILE
from prx_email_cli.config.table import Table
from prx_email_cli.errors import ConfigError, ReadableByOthers, StorageError, Unwell
from prx_email_cli.files import faults, program_faults
from prx_email_cli.outbox.open import surroundings_of
from prx_email_cli.outbox.surroundings import Surroundings

WRITTEN_AFTER = 1_767_225_600  # 2026-01-01: a correct clock shows more, for the program is newer
_MIB = 1 << 20
_FOR_FLIGHT_RECORDS = 16 * _MIB


def check_machine(settings: Settings, now: float) -> Iterator[Check]:
    """Yield the checks that need no open outbox; now: Unix seconds."""
    outbox = surroundings_of(settings.outbox)
    yield ok("config", f"{settings.file}, accounts: {', '.join(settings.accounts)}")
    yield from _permissions(settings, outbox)
    yield _clock(now)
    yield _domain(settings.outbox)
    if settings.notify.command is not None:
        yield _notify(settings.notify.command[0])
    if settings.log.file is not None:
        yield _log(settings.log.file)
    yield _disk(settings, outbox)


def _permissions(settings: Settings, outbox: Surroundings) -> Iterator[Check]:
    """Yield a check for each fault; faults that one command mends count as one."""
    mended = set()
    for fault in (*outbox.open_to_others(), *_changeable(settings, outbox)):
        if fault.hint not in mended:
            mended |= {fault.hint, fault.hint.replace("chmod go= ", "chmod go-w ")}
            yield failed("permissions", fault)
    if not mended:
        what = "read the outbox, or change the files that prx-email obeys"
        yield ok("permissions", f"nobody else can {what if outbox.is_file else what.partition(', or ')[2]}")


def _changeable(settings: Settings, outbox: Surroundings) -> Iterator[ReadableByOthers]:
    """Yield an error for each path that the program relies on and others can change.

    They are the errors with which the commands refuse such a path.
    """
    store = settings.attachments.store
    if settings.file.name not in (ENV_URL, ENV_URL_FILE):
        yield from faults(settings.file)
    yield from outbox.changeable()
    if store.enabled and store.dir is not None:
        yield from faults(store.dir, itself=False)
    for command in (settings.notify.command, *_values(settings.accounts.values(), "_command")):
        if command is not None:
            yield from program_faults(command[0])
    for file in _values(settings.accounts.values(), "_file"):
        yield from faults(file)


def _values(tables: Iterable[Table], ending: str) -> Iterator[Any]:
    """Yield the values of all keys with this *ending* in *tables*, at any depth."""
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
        detail = f"{name} is the default: two outboxes with it make the same Message-IDs"
        return warning("message_id_domain", detail, fix, ConfigError)
    return ok("message_id_domain", name)


def _notify(program: str) -> Check:
    if shutil.which(program) is None:
        return failed("notify", ConfigError(f"notify.command: no such program: {program}", hint="give its full path"))
    return ok("notify", program)


def _log(file: Path) -> Check:
    there = os.path.exists(file)
    writable = os.path.isfile(file) and os.access(file, os.W_OK) if there else is_writable(file.parent)
    if not writable:
        return failed("log", ConfigError(f"log.file: {file} cannot be written", hint="check its directory and owner"))
    return ok("log", str(file))


def is_writable(directory: Path) -> bool:
    """Tell whether files can be made in *directory*."""
    return os.path.isdir(directory) and os.access(directory, os.W_OK | os.X_OK)


def _disk(settings: Settings, outbox: Surroundings) -> Check:
    """Check that a few messages of the largest allowed size fit on the disk, or flight records where these are all.

    SQLite writes each message twice: to its log and to its file.
    """
    directory = outbox.directory()
    free = shutil.disk_usage(directory).free
    needed = 4 * settings.attachments.policy.max_message_bytes if outbox.is_file else _FOR_FLIGHT_RECORDS
    detail = f"{free // _MIB:,} MiB free for {'the outbox' if outbox.is_file else 'flight records'}"
    if free < needed:
        return warning("disk", detail, f"make room in {directory}", StorageError)
    return ok("disk", detail)
