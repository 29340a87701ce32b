"""Leave what the config says for later calls, in the file that ``known`` reads; if that fails, they read the config."""

import os
import stat
from pathlib import Path
from typing import Any

from prx_email_cli.config.paths import ENV_CONFIG, default_config_file
from prx_email_cli.config.settings import Account, Settings
from prx_email_cli.errors import PrxEmailError
from prx_email_cli.files import create, make_directories, names_on_the_way, put_in_place
from prx_email_cli.mail.addresses import delivered_to, parse_mailbox, parse_mailboxes
from prx_email_cli.mail.headers import address_header
from prx_email_cli.sendmail import known
from prx_email_cli.sendmail.aliases_file import read_aliases
from prx_email_cli.sendmail.local import Local

MOST_ALIASES = 1000
# A file that was written so short a time ago may be written again without another time: clocks of file systems tick,
# most of them a hundred times a second, and those that count whole seconds every two at the latest.
SETTLED_SECONDS, SETTLED_SECONDS_OF_A_COARSE_CLOCK = 0.1, 2.1
_UNNAMED = "no-such-name-0"
_ROOT = 0


class _NotToBeKnown(Exception):
    """What the config says may change unseen."""


class Look:
    """The config file as it is before it is read.  config: None for the default one.  now: in Unix seconds."""

    def __init__(self, config: Path | None, now: float) -> None:
        self._began = now
        self._named = config is not None
        self._before = None
        try:
            self._file = default_config_file()
            self._before = self._state()
        except (PrxEmailError, OSError, _NotToBeKnown):
            pass

    def remember(self, settings: Settings) -> None:
        """Leave what *settings* say, if nothing has changed since the look and nothing can change unseen."""
        file, environment = known.cache_file(), known.environment()
        if self._before is None or self._named or file is None or environment is None:
            return
        try:
            aliases_file = settings.sendmail.aliases_file
            files = [] if aliases_file is None else [self._settled(aliases_file)]
            values = values_of(settings)
            after = self._state()
            steps = [*after[0], *_steps(settings.outbox.path)]
            if after != self._before or files != [self._settled(Path(path)) for path, *_ in files]:
                return
            values |= {"format": known.FORMAT, "environment": environment, "steps": steps, "files": [after[1], *files],
                       "absent": self._absent()}  # fmt: skip
            _write(Path(file), known.packed(values))
        except (PrxEmailError, OSError, ValueError, _NotToBeKnown):
            return

    def _state(self) -> tuple[list[tuple[Any, ...]], tuple[Any, ...]]:
        return _steps(self._file), self._settled(self._file)

    def _absent(self) -> list[str]:
        """Name the files that would be the config if they were there."""
        import platformdirs  # on use

        own = os.path.join(platformdirs.user_config_dir("prx-email"), "config.toml")
        return [] if os.environ.get(ENV_CONFIG) or str(self._file) == own else [own]

    def _settled(self, file: Path) -> tuple[Any, ...]:
        """Return what changes whenever *file* is written."""
        state, status = known.file_of(str(file)), os.stat(file)
        is_coarse = status.st_ctime_ns % 1_000_000_000 == 0
        settled = SETTLED_SECONDS_OF_A_COARSE_CLOCK if is_coarse else SETTLED_SECONDS
        if not file.is_absolute() or status.st_ctime > self._began - settled:
            raise _NotToBeKnown
        if status.st_mode & 0o077 and os.statvfs(file).f_flag & os.ST_RDONLY:
            raise _NotToBeKnown  # secrets may be in it as long as nobody can change its mode
        return state


def values_of(settings: Settings) -> dict[str, Any]:
    """Return what a plain message needs of *settings*, no secrets.  Raises PrxEmailError, _NotToBeKnown."""
    outbox = settings.outbox
    if outbox.url is not None or not (outbox.path.is_absolute() and str(outbox.path).isprintable()):
        raise _NotToBeKnown
    owner = os.stat(outbox.path).st_uid
    owners = {_ROOT, os.geteuid(), *([owner] if os.geteuid() == _ROOT else [])}
    accounts = {account.name: _account(account) for account in settings.accounts.values()}
    try:
        default = accounts[settings.account(None).name]
    except PrxEmailError:
        default = None
    return {
        "outbox": (
            str(outbox.path), os.path.realpath(outbox.path), float(outbox.busy_timeout_seconds), tuple(sorted(owners)),
        ),
        "most_bytes": settings.attachments.policy.max_message_bytes,
        "most_recipients": outbox.max_recipients,
        "accounts": list(accounts.values()), "default": default,
        **_local_names(settings),
    }  # fmt: skip


def _account(account: Account) -> tuple[str, str, str, bytes]:
    mailbox = parse_mailbox(account.sender or "", "from")
    header = address_header("From", [mailbox]).replace("\r\n", "\n")
    return account.name, delivered_to(mailbox.address), mailbox.address, header.encode()


def _local_names(settings: Settings) -> dict[str, Any]:
    """Return the addresses of each local name; None for one that has none, () where the domain is added."""
    sendmail = settings.sendmail
    local = Local(sendmail)
    names = {name.lower() for name in sendmail.aliases}
    if sendmail.aliases_file is not None:
        names |= set(read_aliases(sendmail.aliases_file))
    if len(names) > MOST_ALIASES or _UNNAMED in names:
        raise _NotToBeKnown
    others = _addresses(local, _UNNAMED)
    added = others == (f"{_UNNAMED}@{sendmail.default_domain}",)
    return {
        "aliases": {name: _addresses(local, name) for name in names if name != "*"},
        "others": () if added else others, "domain": sendmail.default_domain,
    }  # fmt: skip


def _addresses(local: Local, name: str) -> tuple[str, ...] | None:
    try:
        found = [one.address for one in parse_mailboxes(local.addresses(name), "recipient")]
    except PrxEmailError:
        return None
    return tuple(found) if all(one.isascii() and "[" not in one for one in found) else None


def _steps(path: Path) -> list[tuple[Any, ...]]:
    """Return each name on the way to *path*, as it is.  Raises _NotToBeKnown where others might change one."""
    if not path.is_absolute():
        raise _NotToBeKnown
    return [_unchangeable(str(one)) for one in names_on_the_way(path)]


def _unchangeable(path: str) -> tuple[Any, ...]:
    step = known.step_of(path)
    mode = step[3]
    sticky = stat.S_ISDIR(mode) and mode & stat.S_ISVTX
    if mode & 0o022 and not sticky and not stat.S_ISLNK(mode):
        raise _NotToBeKnown  # whether they can depends on who is in which group
    return step


def _write(file: Path, data: bytes) -> None:
    """Replace *file*, for this user's own directory only: root leaves nothing in another's home."""
    above = next(one for one in file.parents if os.path.isdir(one))
    if os.stat(above).st_uid != os.geteuid():
        return
    make_directories(file.parent)
    new = file.with_name(f"{file.name}.{os.getpid()}")
    descriptor = create(new)
    try:
        os.write(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    put_in_place(new, file)
