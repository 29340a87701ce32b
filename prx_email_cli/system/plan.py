"""Plan what is to be done to set up or remove the outbox of a whole machine; pure, so that it can be shown first."""

import shlex
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from prx_email_cli.system.layout import (
    ASIDE,
    CONFIG,
    DROP,
    ETC,
    LIB,
    OUTBOX,
    RECORD,
    REFUSED,
    ROOT,
    SENDMAILS,
    Owner,
    first_config,
)


class Command(NamedTuple):
    """Run a program.  text: its standard input."""

    argv: tuple[str, ...]
    text: str = ""

    def shown(self) -> str:
        """Return it as a line for a shell."""
        return f"printf %s {shlex.quote(self.text)} | {shlex.join(self.argv)}" if self.text else shlex.join(self.argv)


class Directory(NamedTuple):
    """Make a directory, or give the one that is there this owner and mode."""

    path: PurePosixPath
    mode: int
    user: str
    group: str

    def shown(self) -> str:
        """Return it as a line for a shell."""
        return f"install -d -m {self.mode:04o} -o {self.user} -g {self.group} {self.path}"


class File(NamedTuple):
    """Make a file that is not there."""

    path: PurePosixPath
    text: str
    mode: int
    user: str
    group: str

    def shown(self) -> str:
        """Return it as a line for a shell."""
        source = "FIRST_CONFIG" if self.text else "/dev/null"
        return f"install -m {self.mode:04o} -o {self.user} -g {self.group} {source} {self.path}"


class Link(NamedTuple):
    """Make a symbolic link."""

    path: PurePosixPath
    target: str

    def shown(self) -> str:
        """Return it as a line for a shell."""
        return f"ln -s {shlex.quote(self.target)} {self.path}"


class Move(NamedTuple):
    """Rename a file."""

    path: PurePosixPath
    target: PurePosixPath

    def shown(self) -> str:
        """Return it as a line for a shell."""
        return f"mv -n {self.path} {self.target}"


class Removal(NamedTuple):
    """Remove a file, or a directory: empty, or with all that is in it.  target: of a link, which must still have it."""

    path: PurePosixPath
    what: str = "file"
    target: str | None = None

    def shown(self) -> str:
        """Return it as a line for a shell."""
        return f"{ {'directory': 'rmdir', 'tree': 'rm -r'}.get(self.what, 'rm') } {self.path}"


Action = Command | Directory | File | Link | Move | Removal


class Step(NamedTuple):
    """One action.

    made: under which name what it makes is recorded.  done: it is so already.  makes: it removes nothing.
    """

    action: Action
    made: str = ""
    done: bool = False
    makes: bool = True


class Facts(NamedTuple):
    """What is there.  paths: of those that matter; links: their targets.  tools: programs.  record: what was made."""

    user: bool = False
    group: bool = False
    paths: frozenset[PurePosixPath] = frozenset()
    links: dict[PurePosixPath, str] = {}  # noqa: RUF012 - it does not change
    diverted: frozenset[PurePosixPath] = frozenset()
    tools: frozenset[str] = frozenset()
    record: tuple[str, ...] = ()
    config_is_changed: bool = False


class Wishes(NamedTuple):
    """What is asked for.  sendmail: the program that becomes the machine's, None for none.  root: of an image.

    domain: right side of Message-IDs.  keeps_mail: messages are not delivered that nobody wants to lose.  purges: a
    config that was changed goes, too.
    """

    owner: Owner = Owner()
    sendmail: str | None = None
    root: str = "/"
    domain: str = ""
    keeps_mail: bool = False
    purges: bool = False


def to_install(facts: Facts, wishes: Wishes) -> list[Step]:
    """Return all steps of setting up, those that are done already, too."""
    user, group = wishes.owner
    text = first_config(wishes.owner, wishes.domain)
    return [
        *_accounts(facts, wishes),
        Step(Directory(ETC, 0o750, ROOT, group), f"directory:{ETC}"),
        Step(File(CONFIG, text, 0o640, ROOT, group), f"file:{CONFIG}", CONFIG in facts.paths),
        # Others may pass it on their way to the drop directory, and list nothing.
        Step(Directory(LIB, 0o711, user, group), f"directory:{LIB}"),
        # Root uses an outbox that is its user's, and makes none where that user could put another file in its place.
        Step(File(OUTBOX, "", 0o600, user, group), f"file:{OUTBOX}", OUTBOX in facts.paths),
        Step(Directory(DROP, 0o3733, user, group), f"directory:{DROP}"),
        Step(Directory(REFUSED, 0o700, user, group), f"directory:{REFUSED}"),
        *(step for path in SENDMAILS if wishes.sendmail is not None for step in _sendmail(path, facts, wishes)),
    ]


def _accounts(facts: Facts, wishes: Wishes) -> Iterator[Step]:
    """Yield what makes group and user: Debian's tools, else systemd's."""
    user, group = wishes.owner
    prefix = () if wishes.root == "/" else ("--prefix", wishes.root)
    if "useradd" not in facts.tools and "systemd-sysusers" in facts.tools:
        root = () if wishes.root == "/" else (f"--root={wishes.root}",)
        for made, line, done in (
            (f"group:{group}", f"g {group} -", facts.group),
            (f"user:{user}", f'u {user} -:{group} "prx-email outbox" {LIB}', facts.user),
        ):
            yield Step(Command(("systemd-sysusers", *root, "-"), f"{line}\n"), made, done)
        return
    yield Step(Command(("groupadd", *prefix, "--system", group)), f"group:{group}", facts.group)
    words = ("--system", "--gid", group, "--home-dir", str(LIB), "--no-create-home", "--shell", "/usr/sbin/nologin")
    yield Step(Command(("useradd", *prefix, *words, user)), f"user:{user}", facts.user)


def _sendmail(path: PurePosixPath, facts: Facts, wishes: Wishes) -> Iterator[Step]:
    """Yield what makes *path* a link to this program's sendmail, and keeps what is there, or comes with a package."""
    is_ours = facts.links.get(path) == wishes.sendmail
    if "dpkg-divert" in facts.tools:
        yield Step(Command((*_divert(path, wishes), "--add", str(path))), f"diversion:{path}", path in facts.diverted)
    elif path in facts.paths:
        yield Step(Move(path, _aside(path)), f"moved:{path}", is_ours)
    yield Step(Link(path, wishes.sendmail or ""), f"link:{path}:{wishes.sendmail}", is_ours)


def _divert(path: PurePosixPath, wishes: Wishes) -> tuple[str, ...]:
    root = () if wishes.root == "/" else ("--root", wishes.root)
    return ("dpkg-divert", *root, "--local", "--rename", "--divert", str(_aside(path)))


def _aside(path: PurePosixPath) -> PurePosixPath:
    return path.with_name(path.name + ASIDE)


def to_undo(facts: Facts, wishes: Wishes) -> tuple[list[Step], list[str]]:
    """Return the steps that remove what was made and is still there, and what is kept, with the reason."""
    kept: list[str] = []
    steps: list[Step] = []
    stays = facts.config_is_changed and not wishes.purges
    owner_stays = wishes.keeps_mail or stays
    for made in reversed(facts.record):
        what, _, rest = made.partition(":")
        if what in ("user", "group"):
            there = facts.user if what == "user" else facts.group
            prefix = () if wishes.root == "/" else ("--prefix", wishes.root)
            if there and not owner_stays:
                steps.append(_undoing(Command((f"{what}del", *prefix, rest))))
            elif there:
                kept.append(f"{what} {rest}: files are left that belong to it")
        elif what == "link":
            path, target = PurePosixPath(rest.split(":")[0]), rest.partition(":")[2]
            if facts.links.get(path) == target:
                steps.append(_undoing(Removal(path, "link", target)))
            elif path in facts.paths:
                kept.append(f"{path}: it leads elsewhere by now")
        elif what in ("diversion", "moved"):
            steps += _put_back(what, PurePosixPath(rest), facts, wishes)
        else:
            steps += _removed(what, PurePosixPath(rest), facts)
    lib = {LIB, OUTBOX, DROP, REFUSED}
    if wishes.keeps_mail:
        kept.append(f"{LIB}: it has mail that is not delivered; --purge removes it")
        steps = [step for step in steps if not _concerns(step, lib)]
    if stays:
        kept.append(f"{CONFIG}: it was changed since; --purge removes it")
        steps = [step for step in steps if not _concerns(step, {CONFIG, ETC})]
    return [*steps, *_end(facts, over=not kept)], kept


def _undoing(action: Action) -> Step:
    return Step(action, makes=False)


def _concerns(step: Step, paths: set[PurePosixPath]) -> bool:
    return not isinstance(step.action, Command) and step.action.path in paths


def _put_back(what: str, path: PurePosixPath, facts: Facts, wishes: Wishes) -> Iterator[Step]:
    """Yield what gives a sendmail that was there its name back."""
    if what == "moved" and _aside(path) in facts.paths and not _leads_elsewhere(path, facts):
        yield _undoing(Move(_aside(path), path))
    elif what == "diversion" and path in facts.diverted and not _leads_elsewhere(path, facts):
        yield _undoing(Command((*_divert(path, wishes), "--remove", str(path))))


def _leads_elsewhere(path: PurePosixPath, facts: Facts) -> bool:
    """Tell whether there is something else at *path* than the link that was made, if any was."""
    return path in facts.paths and f"link:{path}:{facts.links.get(path)}" not in facts.record


def _removed(what: str, path: PurePosixPath, facts: Facts) -> Iterator[Step]:
    """Yield what removes a file, or a directory of the outbox with all in it."""
    with_lib = path != LIB and LIB in path.parents and f"directory:{LIB}" in facts.record
    if path in facts.paths and path != ETC and not with_lib:  # that goes last of all
        yield _undoing(Removal(path, "tree" if what == "directory" else what))


def _end(facts: Facts, *, over: bool) -> Iterator[Step]:
    """Yield the removal of the record itself, and of its directory, once nothing is left that it tells of."""
    if not (over and facts.record):
        return
    yield _undoing(Removal(RECORD))
    if f"directory:{ETC}" in facts.record:
        yield _undoing(Removal(ETC, "directory"))
