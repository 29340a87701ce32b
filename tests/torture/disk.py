"""A disk that can lose its power: what is durable, what was only written, and what may be left after a cut.

A write, a truncation, a new name and a removed one count as durable only from the end of an fsync of that file (for
names: of their directory) that began after they had ended.  What the cut leaves of everything else is chance.
"""

import random
from pathlib import PurePosixPath

from .trace import Call

SECTOR = 512
# A map in shared memory, rebuilt from the log by the first to open the database; and a flight record, which no boot but
# its own trusts.
_IGNORED = ("-shm", ".flight")


class _Inode:
    """A file: its durable content, and the changes since, each with when it ended."""

    def __init__(self, *, directory: bool = False) -> None:
        self.directory = directory
        self.durable = bytearray()
        self.pending: list[tuple[int, int, bytes | None]] = []  # ended, offset or length, data or None to truncate

    def sync(self, began: int) -> None:
        """Make durable what had ended when the fsync began."""
        for ended, number, data in self.pending:
            if ended < began:
                _apply(self.durable, number, data)
        self.pending = [change for change in self.pending if change[0] >= began]


def _apply(content: bytearray, number: int, data: bytes | None) -> None:
    if data is None:
        del content[number:]
        content.extend(bytes(max(0, number - len(content))))
        return
    content.extend(bytes(max(0, number + len(data) - len(content))))
    content[number : number + len(data)] = data


class Disk:
    """Everything below the directory *root*, which itself is durable."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._durable: dict[str, _Inode] = {}
        self._now: dict[str, _Inode] = {}
        self._names: list[tuple[int, str, _Inode | None]] = []  # ended, path, what it leads to since

    def concerns(self, call: Call) -> bool:
        """Whether *call* is about a file of ours."""
        return f"{call.path}/".startswith(f"{self._root}/") and not call.path.endswith(_IGNORED)

    def apply(self, call: Call) -> None:
        """Take in one call.  Raises ValueError for one that is not understood."""
        inode = self._now.get(call.path)
        if call.name == "openat" and "O_CREAT" in call.flags and "O_TRUNC" not in call.flags:
            if inode is None:
                self._name(call, _Inode())
        elif call.name.startswith("mkdir"):
            self._name(call, _Inode(directory=True))
        elif call.name == "unlink":
            self._name(call, None)
        elif call.name == "pwrite64" and inode is not None:
            inode.pending.append((call.ended, call.number, call.data))
        elif call.name == "ftruncate" and inode is not None:
            inode.pending.append((call.ended, call.number, None))
        elif call.name in ("fsync", "fdatasync"):
            self._sync(call, inode)
        elif call.name not in ("mmap", "openat") or any(word in call.flags for word in ("O_TRUNC", "MAP_SHARED")):
            raise ValueError(f"not understood: {call}")

    def _name(self, call: Call, inode: _Inode | None) -> None:
        self._names.append((call.ended, call.path, inode))
        _lead(self._now, call.path, inode)

    def _sync(self, call: Call, inode: _Inode | None) -> None:
        if inode is not None and not inode.directory:
            inode.sync(call.started)
            return
        kept = []
        for ended, path, target in self._names:
            if ended < call.started and str(PurePosixPath(path).parent) == call.path:
                _lead(self._durable, path, target)
            else:
                kept.append((ended, path, target))
        self._names = kept

    def strict(self) -> dict[str, bytes]:
        """What is left when everything that was not synced is lost."""
        return {path: bytes(inode.durable) for path, inode in self._reachable(self._durable).items()}

    def written(self) -> dict[str, bytes]:
        """What is left when the system had written everything by itself just before the cut."""
        return {path: _content(inode, inode.pending) for path, inode in self._reachable(self._now).items()}

    def torn(self, rng: random.Random) -> dict[str, bytes]:
        """What is left when some names and some sectors of some writes got through, in any order."""
        names = dict(self._durable)
        for _, path, target in self._names:
            if rng.random() < 0.5:
                _lead(names, path, target)
        return {path: _torn(inode, rng) for path, inode in self._reachable(names).items()}

    def _reachable(self, names: dict[str, _Inode]) -> dict[str, _Inode]:
        """The files among *names* whose directories are there too."""
        found = {}
        for path, inode in names.items():
            above = [str(parent) for parent in PurePosixPath(path).parents if str(parent).startswith(self._root + "/")]
            if not inode.directory and all(parent in names for parent in above):
                found[path] = inode
        return found


def _lead(names: dict[str, _Inode], path: str, target: _Inode | None) -> None:
    if target is None:
        names.pop(path, None)
    else:
        names[path] = target


def _content(inode: _Inode, changes: list[tuple[int, int, bytes | None]]) -> bytes:
    content = bytearray(inode.durable)
    for _, number, data in changes:
        _apply(content, number, data)
    return bytes(content)


def _torn(inode: _Inode, rng: random.Random) -> bytes:
    changes: list[tuple[int, int, bytes | None]] = []
    for ended, number, data in inode.pending:
        if data is None:
            changes.append((ended, number, None))
            continue
        at = 0
        while at < len(data):  # cut where the sectors of the disk begin
            size = SECTOR - (number + at) % SECTOR
            changes.append((ended, number + at, data[at : at + size]))
            at += size
    if rng.random() < 0.5:
        rng.shuffle(changes)
    share = rng.random()
    return _content(inode, [change for change in changes if rng.random() < share])
