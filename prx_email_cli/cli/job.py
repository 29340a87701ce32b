"""Run a job in a process group of its own: forward signals, end it in time, keep the end of what it prints."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NamedTuple

from prx_email_cli.cli.job_output import Tail, pass_on, unread_bytes

NOT_FOUND, NOT_EXECUTABLE, TIMED_OUT = 127, 126, 124  # as shells and timeout(1) have them
FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_PIECE_BYTES = 1 << 16
_STDOUT, _STDERR = 1, 2


class Job(NamedTuple):
    """A command to run.

    timeout: seconds after which its group gets SIGTERM, None for never; grace: seconds from then to SIGKILL.
    pass_through: what it prints goes to our stdout and stderr as well.
    """

    command: Sequence[str]
    timeout: float | None = None
    grace: float = 10.0
    pass_through: bool = False


class Ended(NamedTuple):
    """How a job ended.

    status: its exit status, or 124, 126, 127.  signal: the one that ended it, else None.  trouble: why it could not be
    started, else "".  started_at: Unix seconds.  held_open: whether processes that it left have its output open.
    """

    status: int
    signal: int | None
    trouble: str
    timed_out: bool
    started_at: float
    seconds: float
    held_open: bool

    @property
    def failed(self) -> bool:
        """Tell whether the job did not end with status 0."""
        return self.status != 0 or self.signal is not None


def run_job(job: Job, tail: Tail) -> Ended:
    """Run *job* to its end, and keep the end of what it prints in *tail*."""
    started_at, began = time.time(), time.monotonic()
    running = _Running(job, tail)
    trouble, status = running.run()
    return Ended(
        TIMED_OUT if running.timed_out else max(status, 0),
        -status if status < 0 and not running.timed_out else None,
        trouble, running.timed_out, started_at, time.monotonic() - began, running.held_open,
    )  # fmt: skip


class _Running:
    """Starts a job and watches it until it has ended."""

    def __init__(self, job: Job, tail: Tail) -> None:
        self.timed_out = self.held_open = False
        self._job, self._tail = job, tail
        self._process: subprocess.Popen[bytes] | None = None
        self._status: int | None = None
        self._early: list[int] = []  # signals that came before it was started
        self._deadline = None if job.timeout is None else time.monotonic() + job.timeout
        self._killed = False
        self._places: dict[int, int | None] = {}  # where what a pipe has is passed to

    def run(self) -> tuple[str, int]:
        """Return why it could not be started ("" when it was), and its status, negative after a signal."""
        with ExitStack() as closing:
            waker = closing.enter_context(self._signals())
            pipes = [os.pipe() for _ in range(2 if self._job.pass_through else 1)]
            for reader, _ in pipes:
                closing.callback(os.close, reader)
            ends = [writer for _, writer in pipes]
            try:
                self._start(ends[0], ends[-1])
            except OSError as error:
                return self._why_not(error), NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
            finally:
                for writer in ends:
                    os.close(writer)
            through = (_STDOUT, _STDERR) if self._job.pass_through else (None,)
            self._places = dict(zip((reader for reader, _ in pipes), through, strict=True))
            with _terminal_for(self._pid):
                self._watch(waker)
        return "", self._status or 0

    @property
    def _pid(self) -> int:
        return self._process.pid if self._process is not None else 0

    def _start(self, stdout: int, stderr: int) -> None:
        command = [*self._job.command]
        self._process = subprocess.Popen(command, stdout=stdout, stderr=stderr, process_group=0)
        for number in self._early:
            self._tell(number)

    def _why_not(self, error: OSError) -> str:
        import shutil  # on use

        name = self._job.command[0]
        if isinstance(error, FileNotFoundError):
            return "the program that its first line names is missing" if shutil.which(name) else "command not found"
        return error.strerror or "cannot be run"

    @contextmanager
    def _signals(self) -> Iterator[int]:
        """Forward signals while the block lasts; give a descriptor that can be read after each, and after SIGCHLD."""
        reader, writer = os.pipe()
        for end in (reader, writer):
            os.set_blocking(end, False)
        before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        # Even where SIGCHLD was ignored by the parent: then the job could not be waited for.
        handlers = {signal.SIGCHLD: signal.signal(signal.SIGCHLD, lambda number, frame: None)}
        for number in FORWARDED:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup: the job ignores it too
                handlers[number] = signal.signal(number, self._on_signal)
        try:
            yield reader
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            os.close(reader)
            os.close(writer)

    def _on_signal(self, number: int, frame: Any) -> None:
        if self._process is None:
            self._early.append(number)
        else:
            self._tell(number)

    def _tell(self, number: int) -> None:
        """Send a signal to all processes of the job's group."""
        if self._status is None or self.timed_out:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._pid, number)

    def _watch(self, waker: int) -> None:
        """Read what the job prints until it has ended; after a timeout until its group has."""
        watcher = select.poll()
        for descriptor in (waker, *self._places):
            watcher.register(descriptor, select.POLLIN)
        while not self._is_over():
            for descriptor, _ in watcher.poll(self._patience()):
                if descriptor == waker:
                    with suppress(BlockingIOError):
                        os.read(waker, _PIECE_BYTES)
                elif not self._read(descriptor, _PIECE_BYTES):
                    watcher.unregister(descriptor)
            self._look_at_the_clock()
        for descriptor in [*self._places]:  # all that the job itself wrote is here; others may go on for ever
            left = unread_bytes(descriptor)
            while left > 0 and (size := self._read(descriptor, min(left, _PIECE_BYTES))):
                left -= size
        self.held_open = any(not _has_ended(descriptor) for descriptor in self._places)
        if self.timed_out:
            self._tell(signal.SIGKILL)

    def _is_over(self) -> bool:
        if self._status is None:
            self._wait()
        return self._status is not None and (not self.timed_out or self._killed or not self._places)

    def _wait(self) -> None:
        pid, status = os.waitpid(self._pid, os.WNOHANG | os.WUNTRACED)
        if pid and os.WIFSTOPPED(status):
            _stop_with_it(self._pid, os.WSTOPSIG(status))
        elif pid:
            self._status = os.waitstatus_to_exitcode(status)
            if self._process is not None:
                self._process.returncode = self._status  # else subprocess would wait for it again

    def _patience(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic()) * 1000 + 1

    def _look_at_the_clock(self) -> None:
        if self._deadline is None or time.monotonic() < self._deadline:
            return
        if not self.timed_out:
            if self._status is None:
                self._wait()
            if self._status is not None:
                return
            self.timed_out, self._deadline = True, self._deadline + self._job.grace
            self._tell(signal.SIGTERM)
            self._tell(signal.SIGCONT)  # a stopped one would not hear it
        else:
            self._killed, self._deadline = True, None
            self._tell(signal.SIGKILL)

    def _read(self, descriptor: int, most: int) -> int:
        """Read from a pipe; return how many bytes, 0 at its end, after which it is not read any more."""
        data = os.read(descriptor, most)
        if not data:
            del self._places[descriptor]
            return 0
        self._tail.add(data)
        place = self._places[descriptor]
        if place is not None and not pass_on(place, data):
            self._places[descriptor] = None
        return len(data)


def _has_ended(descriptor: int) -> bool:
    """Tell whether no process has the other end of a pipe open."""
    watcher = select.poll()
    watcher.register(descriptor, 0)
    return any(event & select.POLLHUP for _, event in watcher.poll(0))


@contextmanager
def _terminal_for(group: int) -> Iterator[None]:
    """Give the terminal to the job's process group while the block lasts, if it is ours to give."""
    try:
        terminal = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        yield
        return
    try:
        with suppress(OSError):
            if os.tcgetpgrp(terminal) == os.getpgrp():
                _hand_over(terminal, group)
        yield
        with suppress(OSError):
            if os.tcgetpgrp(terminal) == group:
                _hand_over(terminal, os.getpgrp())
    finally:
        os.close(terminal)


def _hand_over(terminal: int, group: int) -> None:
    """Make *group* the one that reads the terminal."""
    before = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
    try:
        os.tcsetpgrp(terminal, group)
    finally:
        signal.signal(signal.SIGTTOU, before)


def _stop_with_it(group: int, number: int) -> None:
    """Stop as the job was stopped at a terminal, until the shell goes on; then let the job go on."""
    with suppress(OSError), open("/dev/tty", "rb+", buffering=0) as terminal:
        holds = os.tcgetpgrp(terminal.fileno()) == group
        if number == signal.SIGTSTP and holds:
            _hand_over(terminal.fileno(), os.getpgrp())
            os.kill(os.getpid(), signal.SIGSTOP)
            if os.tcgetpgrp(terminal.fileno()) == os.getpgrp():
                _hand_over(terminal.fileno(), group)
        if holds:  # else it was stopped by a person, or reads a terminal that is another job's
            os.killpg(group, signal.SIGCONT)
