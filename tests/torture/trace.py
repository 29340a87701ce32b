"""What real commands asked of the file system, in order: their system calls as strace saw them."""

import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ..conftest import Program

INSTALL = Path(__file__).parents[1] / "install.sh"
_CALLS = (
    "open,openat,creat,mkdir,mkdirat,write,writev,pwrite64,pwritev,pwritev2,ftruncate,truncate,fallocate,fsync,"
    "fdatasync,sync_file_range,unlink,unlinkat,rename,renameat,renameat2,link,linkat,mmap,sendfile,copy_file_range"
)
_BY_DIRECTORY = ("openat", "mkdirat", "unlinkat")  # which may name a file relative to an open directory
_LINE = re.compile(r"(\d+) +(?:<\.\.\. )?(\w+)(?: resumed>)?(.*)")
_STRING, _OF_DESCRIPTOR = re.compile(r'"((?:\\x[0-9a-f]{2})*)"'), re.compile(r"\(?(\d+)<([^>]*)>")
_places = itertools.count()  # goes on from one trace to the next
_OWN_STREAM = re.compile("".join(f"\\\\x{byte:02x}" for byte in b"/proc/self/fd/").encode() + rb"\\x3([12])\"")
_NUMBER = re.compile(r", (\d+)\b")


class Call(NamedTuple):
    """One successful system call.

    started, ended: places in the order of everything that happened.  path: the file it is about; for a write to
    stdout or stderr it is "1" or "2".  data: what was written.  number: the offset or length.  flags: the whole call.
    """

    started: int
    ended: int
    name: str
    path: str
    data: bytes
    number: int
    flags: str


def need_strace() -> None:
    """Install strace where it is missing, or fail and say so."""
    if shutil.which("strace") is None:
        done = subprocess.run(
            ["sh", str(INSTALL), "strace", "strace"], capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode != 0:
            pytest.fail(f"the power-cut tests need strace\n{done.stderr}", pytrace=False)


def record(program: Program, file: Path, *commands: tuple[str, ...], text: str = "", runner: str = "") -> list[Call]:
    """Run *commands* side by side under strace; each is given *text*.  runner: a script and its options to run them."""
    start = [sys.executable, *(shlex.split(runner) if runner else ["-m", "prx_email_cli"])]
    (program.home / "stdin").write_text(text)
    script = " & ".join(shlex.join([*start, *command]) + " <stdin" for command in commands) + " & wait"
    options = ["-f", "-y", "-xx", "-s", str(1 << 24), "--seccomp-bpf", "-e", f"trace={_CALLS}", "-o", str(file)]
    done = subprocess.run(
        ["strace", *options, "sh", "-c", script], env=program.environment, cwd=program.home, capture_output=True,
        text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done
    with file.open() as lines:
        return list(_calls(lines))


def _calls(lines: Iterator[str]) -> Iterator[Call]:
    """The calls that succeeded, in the order of their ends."""
    begun: dict[str, tuple[int, str]] = {}
    streams: dict[str, str] = {}  # a pipe opened once more -> "1" or "2"
    for number, line in zip(_places, lines, strict=False):
        found = _LINE.match(line)
        if found is None:
            continue  # a signal, or the end of a process
        thread, name, rest = found.groups()
        if rest.endswith("<unfinished ...>"):
            begun[thread] = number, rest.removesuffix("<unfinished ...>")
            continue
        started = number
        if "resumed>" in line:
            started, first = begun.pop(thread)
            rest = first + rest
        call, _, result = rest.rpartition(" = ")
        if not result.startswith(("-1 ", "?")):
            done = _call(started, number, name, call, result)
            if reopened := _OWN_STREAM.search(done.flags.encode()):
                streams[done.path] = reopened[1].decode()
            yield done._replace(path=streams.get(done.path, done.path)) if name.startswith("write") else done


def _call(started: int, ended: int, name: str, call: str, result: str) -> Call:
    strings = [_decoded(text) for text in _STRING.findall(call)]
    descriptor = _OF_DESCRIPTOR.match(call)
    if name == "mmap":
        mapped = re.search(r"\d+<([^>]*)>", call)
        return Call(started, ended, name, _decoded(mapped[1]).decode() if mapped else "", b"", 0, call)
    if descriptor is not None and name in _BY_DIRECTORY:
        directory = _decoded(descriptor[2])
        return Call(started, ended, name, os.path.join(directory, strings[0]).decode(), b"", 0, call)
    if descriptor is None:
        path = _decoded(_OF_DESCRIPTOR.match(result)[2]) if name.startswith("open") else strings[0]  # type: ignore[index]
        return Call(started, ended, name, path.decode(), b"", 0, call)
    path = _decoded(descriptor[2])
    if name.startswith("write") and descriptor[1] in ("1", "2"):
        path = descriptor[1].encode()
    numbers = _NUMBER.findall(_STRING.sub("", call))
    last = int(numbers[-1]) if numbers else 0
    written = strings[0][: int(result.split()[0])] if strings else b""
    return Call(started, ended, name, path.decode(errors="replace"), written, last, call)


def _decoded(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", "")) if text.startswith("\\x") else text.encode()
