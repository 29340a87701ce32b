"""Look at a machine, or at an image of one, and carry out the steps of a plan there."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath

from prx_email_cli.children import environment
from prx_email_cli.errors import ConfigError
from prx_email_cli.system.layout import ASIDE, CONFIG, DROP, ETC, LIB, OUTBOX, RECORD, REFUSED, ROOT, SENDMAILS, Owner
from prx_email_cli.system.plan import Action, Command, Directory, Facts, File, Link, Move, Removal, Step
from prx_email_cli.system.record import Record

_TOOLS = ("useradd", "systemd-sysusers", "dpkg-divert")
_PATHS = (ETC, CONFIG, LIB, OUTBOX, DROP, REFUSED)
_DIVERSIONS = PurePosixPath("/var/lib/dpkg/diversions")
_PLACES = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # of tools that only root calls
_CHILD_SECONDS = 120
_LAST_LINE = 300


class Machine:
    """The file system below *root*, "/" for this machine's own."""

    def __init__(self, root: Path, owner: Owner) -> None:
        self.root = root
        self._record = Record(self.at(RECORD), f"directory:{ETC}")
        self.owner = owner

    def made_owner(self) -> Owner:
        """Return the user and group that were made here; in place of one that was there before, the given one."""
        made = dict(name.split(":", 1) for name in self._record.made if name.startswith(("user:", "group:")))
        return Owner(made.get("user", self.owner.user), made.get("group", self.owner.group))

    def facts(self) -> Facts:
        """Return what is there."""
        everything = [*_PATHS, *SENDMAILS, *(path.with_name(path.name + ASIDE) for path in SENDMAILS)]
        return Facts(
            user=self._id("passwd", self.owner.user) is not None,
            group=self._id("group", self.owner.group) is not None,
            paths=frozenset(path for path in everything if os.path.lexists(self.at(path))),
            links={path: os.readlink(self.at(path)) for path in SENDMAILS if os.path.islink(self.at(path))},
            diverted=self._diverted(),
            tools=frozenset(tool for tool in _TOOLS if self._has(tool)),
            record=tuple(self._record.made),
            config_is_changed=self._digest_of_config() not in (None, self._record.config_digest),
        )

    def at(self, path: PurePosixPath) -> Path:
        """Return where *path* of the machine is."""
        return self.root / path.relative_to("/")

    def carry_out(self, steps: Sequence[Step], told: Callable[[Step], None]) -> None:
        """Do the *steps* that are not done; *told* is called before each.  Raises ConfigError when one fails.

        What is made is recorded before it is made, so that it can be undone wherever this is broken off.
        """
        for step in steps:
            told(step)
            if step.done:
                continue
            try:
                if step.makes and not self._is_there(step.action):
                    self._record.add(step.made)
                self._do(step.action)
            except OSError as error:
                raise ConfigError(
                    f"{step.action.shown()}: {error.strerror}", hint="once that is mended, run the command again"
                ) from None

    def _do(self, action: Action) -> None:
        if isinstance(action, Command):
            self._run(action)
        elif isinstance(action, Directory):
            self._make_directory(action)
        elif isinstance(action, File):
            self._make_file(action)
        elif isinstance(action, Link):
            path = self.at(action.path)
            path.parent.mkdir(parents=True, exist_ok=True)
            os.symlink(action.target, path)
        elif isinstance(action, Move):
            os.link(self.at(action.path), self.at(action.target), follow_symlinks=False)  # fails where there is one
            os.unlink(self.at(action.path))
        else:
            self._remove(action)

    def _run(self, command: Command) -> None:
        """Run a program.  Raises ConfigError when it fails."""
        if command.argv[0] == "groupdel" and self._id("group", command.argv[-1]) is None:
            return  # userdel has removed it
        try:
            done = subprocess.run(
                command.argv, input=command.text.encode(), capture_output=True, check=False, timeout=_CHILD_SECONDS,
                env={**environment(), "PATH": _PLACES, "LC_ALL": "C"},
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            problem = f"it did not end within {_CHILD_SECONDS} s"
        else:
            if done.returncode == 0:
                return
            said = done.stderr.decode("utf-8", "replace").strip().splitlines()
            problem = said[-1][:_LAST_LINE] if said else f"exit status {done.returncode}"
        raise ConfigError(f"{command.shown()}: {problem}", hint="once that is mended, run the command again")

    def _make_directory(self, action: Directory) -> None:
        """Make it or correct it, through a descriptor: its parent may be another user's.  Raises OSError."""
        path = self.at(action.path)
        path.parent.mkdir(parents=True, exist_ok=True)
        above = _opened(path.parent)
        try:
            with suppress(FileExistsError):
                os.mkdir(path.name, 0o700, dir_fd=above)
            descriptor = _opened(Path(path.name), above)
            try:
                os.fchown(descriptor, *self._ids(action.user, action.group))
                os.fchmod(descriptor, action.mode)
            finally:
                os.close(descriptor)
            os.fsync(above)
        finally:
            os.close(above)

    def _make_file(self, action: File) -> None:
        path = self.at(action.path)
        above = _opened(path.parent)
        try:
            new = f".{path.name}.new"  # it gets its name once it is whole
            with suppress(FileNotFoundError):
                os.unlink(new, dir_fd=above)
            descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=above)
            try:
                os.write(descriptor, action.text.encode())
                os.fchown(descriptor, *self._ids(action.user, action.group))
                os.fchmod(descriptor, action.mode)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            os.link(new, path.name, src_dir_fd=above, dst_dir_fd=above, follow_symlinks=False)
            os.unlink(new, dir_fd=above)
            os.fsync(above)
        finally:
            os.close(above)
        if action.path == CONFIG:
            self._record.config_digest = self._digest_of_config() or ""
            self._record.write()

    def _remove(self, action: Removal) -> None:
        path = self.at(action.path)
        if action.what == "tree":
            shutil.rmtree(path)
        elif action.what == "directory":
            for leftover in path.glob(".*.new"):  # of a run that was killed
                leftover.unlink()
            with suppress(FileNotFoundError):
                path.rmdir()
        elif action.target is None or (path.is_symlink() and os.readlink(path) == action.target):
            path.unlink(missing_ok=True)

    def _is_there(self, action: Action) -> bool:
        return isinstance(action, Directory) and os.path.isdir(self.at(action.path))

    def _ids(self, user: str, group: str) -> tuple[int, int]:
        uid = 0 if user == ROOT else self._id("passwd", user)
        gid = 0 if group == ROOT else self._id("group", group)
        if uid is None or gid is None:
            raise ConfigError(f"there is no user {user}, or no group {group}", hint="see what useradd has said")
        return uid, gid

    def _id(self, database: str, name: str) -> int | None:
        """Return the number of a user or group; None where there is none of this name."""
        if self.root == Path("/"):
            import grp  # on use
            import pwd  # on use

            with suppress(KeyError):
                return pwd.getpwnam(name).pw_uid if database == "passwd" else grp.getgrnam(name).gr_gid
            return None
        with suppress(OSError):
            for line in (self.root / "etc" / database).read_text(encoding="utf-8", errors="replace").splitlines():
                fields = line.split(":")
                if fields[0] == name and len(fields) > 2 and fields[2].isdigit():
                    return int(fields[2])
        return None

    def _has(self, tool: str) -> bool:
        """Tell whether a tool is there, which an image needs no own copy of."""
        there = shutil.which(tool, path=_PLACES) is not None
        return there and (tool != "dpkg-divert" or self.at(_DIVERSIONS.parent).is_dir())

    def _diverted(self) -> frozenset[PurePosixPath]:
        """Return the sendmails that the administrator of the machine, or this program, has diverted."""
        try:
            lines = self.at(_DIVERSIONS).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return frozenset()
        found = zip(lines[::3], lines[1::3], lines[2::3], strict=False)
        ours = {str(path): f"{path}{ASIDE}" for path in SENDMAILS}
        return frozenset(PurePosixPath(path) for path, target, who in found if who == ":" and ours.get(path) == target)

    def _digest_of_config(self) -> str | None:
        try:
            return hashlib.sha256(self.at(CONFIG).read_bytes()).hexdigest()
        except OSError:
            return None


def _opened(directory: Path, at: int | None = None) -> int:
    """Open a directory that is no link.  at: the open one that it is relative to.  Raises OSError."""
    return os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
