"""Keep a run's flight record: how far each of its attempts has come, so that its death leaves little in doubt.

The record is a file of slots, one for each claim whose end is not recorded yet.  It is written without a sync: the
kernel keeps what a killed process has written.  After a power cut, or as a copy, it proves nothing; see ``About``.
"""

import fcntl
import json
import os
import struct
import zlib
from collections.abc import Mapping
from enum import StrEnum
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import Any, NamedTuple

from prx_email_cli.outbox.lifecycle import Outcome, RecipientResult, RecipientStatus, Scope

SLOT_BYTES = 4096  # a page, which the kernel copies as one
SLOTS = 4096  # claims of a run at once; a claim's slot is its number modulo this
_MOST_CHARACTERS = (300, 40, 0)  # of each text: as many of these as a slot has room for
_HEAD = struct.Struct("<IHBq")  # checksum of all that follows, length of the payload, stage, number of the claim
_ENDING, _ANSWERED, _ABOUT = 1, 2, 3
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STANDINGS = {"a": (RecipientStatus.ACCEPTED, False), "p": (RecipientStatus.PENDING, False),
              "u": (RecipientStatus.PENDING, True), "r": (RecipientStatus.REFUSED, False)}  # fmt: skip
_LETTERS = {standing: letter for letter, standing in _STANDINGS.items()}  # only who is pending can be uncertain
_PENDING = RecipientStatus.PENDING
_encode = json.JSONEncoder(check_circular=False, separators=(",", ":")).encode
Results = Mapping[int, RecipientResult]


class Stage(StrEnum):
    """How far an attempt had come when its run died."""

    NOT_ENDED = "not_ended"  # nothing had been written that completes the content, so the server does not have it
    UNANSWERED = "unanswered"  # the final dot may have left
    ANSWERED = "answered"
    UNKNOWN = "unknown"  # the record is torn, or not to be trusted


class Flight(NamedTuple):
    """What a record says of one claim.

    outcome: of the attempt, None when NOT_ENDED or UNKNOWN; when UNANSWERED, its results say which recipients are
    uncertain.  at: when the answer came, in Unix seconds; 0 unless ANSWERED.
    """

    stage: Stage
    outcome: Outcome | None = None
    at: int = 0


class About(NamedTuple):
    """What a record notes of itself in its first page, before its slots.

    run_id, outbox: the run, and the identity of its outbox.  file, boot: the record's file, and the boot of the kernel;
    a record is trusted only while both are the same.
    """

    run_id: str
    outbox: str
    slots: int
    file: str
    boot: str


class FlightRecord:
    """The record of a living run.  descriptor: of an empty file of mode 0600, which ``close`` closes."""

    def __init__(self, descriptor: int, run_id: str, outbox: str) -> None:
        """Note what the record is of, and lock it for as long as this process lives.  Raises OSError."""
        self._descriptor = descriptor
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        about = About(run_id, outbox, SLOTS, _name_of(descriptor), boot_id())
        self.reserve(0)
        self._write(0, _ABOUT, 0, _encode(about).encode())

    def reserve(self, slots: int) -> None:
        """Reserve the disk space of so many slots, so that noting never lacks it.  Raises OSError."""
        have, need = os.fstat(self._descriptor).st_size, (slots + 1) * SLOT_BYTES
        if need > have:  # only what is new: where the kernel cannot do it, the C library writes into the range
            os.posix_fallocate(self._descriptor, have, need - have)

    def about_to_end(self, claim: int, results: Results) -> None:
        """Note that the bytes that complete the content of *claim* may leave now.

        results: of the attempt as they stand if no answer comes.  Raises OSError, and then the bytes must not leave.
        """
        self._write(1 + claim % SLOTS, _ENDING, claim, _fitted(results, None, 0))

    def answered(self, claim: int, outcome: Outcome, at: int) -> None:
        """Note what the attempt came to, at that Unix time.  Raises OSError: it stays unanswered in the record."""
        self._write(1 + claim % SLOTS, _ANSWERED, claim, _fitted(outcome.recipients, outcome, at))

    def close(self) -> None:
        """Close the file and leave it where it is."""
        os.close(self._descriptor)

    def _write(self, slot: int, stage: int, claim: int, payload: bytes) -> None:
        rest = _HEAD.pack(0, len(payload), stage, claim)[4:] + payload
        data = zlib.crc32(rest).to_bytes(4, "little") + rest
        if os.pwrite(self._descriptor, data, slot * SLOT_BYTES) != len(data):
            raise OSError("the flight record could not be written whole")


class Flights:
    """The record of a run that lost its lock, read from *descriptor*.

    Without a descriptor, or when the record is not to be trusted, every claim's stage is UNKNOWN.
    """

    def __init__(self, descriptor: int | None, run_id: str, outbox: str) -> None:
        self._descriptor = -1 if descriptor is None else descriptor
        self._slots = 0
        if descriptor is None:
            return
        try:
            stage, _, payload = self._read(0)
            about = About(*json.loads(payload))
            now = about._replace(run_id=run_id, outbox=outbox, file=_name_of(descriptor), boot=boot_id())
        except (OSError, ValueError, TypeError):
            return
        if stage == _ABOUT and about == now and about.boot:
            self._slots = about.slots

    @property
    def is_there(self) -> bool:
        """Tell whether there is a record, and it can be trusted."""
        return bool(self._slots)

    @property
    def in_use(self) -> bool:
        """Tell whether the process of the run lives, and may still note in the record."""
        if self._descriptor < 0:
            return False
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False

    def of(self, claim: int) -> Flight:
        """Return how far the attempt of *claim* had come."""
        if not self._slots:
            return Flight(Stage.UNKNOWN)
        try:
            stage, number, payload = self._read(1 + claim % self._slots)
            if number < claim:  # an earlier claim's, or a slot without an entry
                return Flight(Stage.NOT_ENDED)
            if number > claim or stage not in (_ENDING, _ANSWERED):
                return Flight(Stage.UNKNOWN)
            outcome, at = _outcome(json.loads(payload))
        except (OSError, ValueError, TypeError, KeyError):
            return Flight(Stage.UNKNOWN)
        return Flight(Stage.ANSWERED if stage == _ANSWERED else Stage.UNANSWERED, outcome, at)

    def _read(self, slot: int) -> tuple[int, int, bytes]:
        """Return stage, claim and payload of a slot; claim -1 if nothing was noted.  Raises OSError, ValueError."""
        data = os.pread(self._descriptor, SLOT_BYTES, slot * SLOT_BYTES)
        if len(data) < SLOT_BYTES:
            raise ValueError("the record is cut off")
        checksum, length, stage, claim = _HEAD.unpack_from(data)
        if not any(data[: _HEAD.size]):
            return 0, -1, b""
        end = _HEAD.size + length
        if end > SLOT_BYTES or zlib.crc32(data[4:end]) != checksum:
            raise ValueError("the slot is torn")
        return stage, claim, data[_HEAD.size : end]


def boot_id() -> str:
    """Return the kernel's name for its present run, "" where the system has none: then no record is trusted."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def _name_of(descriptor: int) -> str:
    status = os.fstat(descriptor)
    return f"{status.st_dev}:{status.st_ino}"


def _fitted(results: Results, outcome: Outcome | None, at: int) -> bytes:
    """Return the payload with texts as long as a slot has room for."""
    for most in _MOST_CHARACTERS:
        payload = _payload(results, outcome, at, most)
        if len(payload) <= SLOT_BYTES - _HEAD.size:
            return payload
    return b"null"  # too many recipients for a slot: this reads as UNKNOWN


def _payload(results: Results, outcome: Outcome | None, at: int, most: int) -> bytes:
    """Return a JSON text, put together by hand: it is written twice for every message.

    Of those who are uncertain no reply is told, and of those who accepted the one reply that they share.
    """
    numbers = list(results)
    consecutive = not numbers or (numbers[-1] - numbers[0] == len(numbers) - 1 and numbers == sorted(numbers))
    letters, accepted, others = "", "null", []
    for place, one in enumerate(results.values()):
        letter = _LETTERS[one.status, one.uncertain and one.status is _PENDING]
        letters += letter
        if letter == "a":
            accepted = _reply(one, most) if accepted == "null" else accepted
        elif letter != "u" and most:
            others.append(f"[{place},{_reply(one, most)}]")
    said = "null"
    if outcome is not None:
        error, detail, code, enhanced, scope, acceptance = (
            outcome.error, outcome.detail, outcome.code, outcome.enhanced, outcome.scope, outcome.acceptance
        )  # fmt: skip
        said = (f"[{_string(error)},{_string(detail, most)},{_number(code)},{_string(enhanced)},{_string(scope)},"
                f"{_string(acceptance, most)}]")  # fmt: skip
    named = ",".join(map(str, numbers[:1] if consecutive else numbers))
    return f'[[{named}],"{letters}",{accepted},[{",".join(others)}],{said},{at}]'.encode()


def _reply(result: RecipientResult, most: int) -> str:
    return f"[{_number(result.code)},{_string(result.response, most)}]"


def _number(value: int | None) -> str:
    return "null" if value is None else str(value)


def _string(text: str | None, most: int = _MOST_CHARACTERS[0]) -> str:
    return "null" if text is None else encode_basestring_ascii(text[:most] or "(not kept)")


def _outcome(payload: Any) -> tuple[Outcome, int]:
    """Return outcome and time of a payload.  Raises ValueError, TypeError, KeyError for anything else."""
    first, letters, accepted, others, said, at = payload
    numbers = first if len(first) != 1 else range(first[0], first[0] + len(letters))
    replies = dict(others)
    results = {}
    for place, (number, letter) in enumerate(zip(numbers, letters, strict=True)):
        status, uncertain = _STANDINGS[letter]
        code, response = (accepted if letter == "a" else replies.get(place)) or (None, None)
        results[number] = RecipientResult(status, code, response, uncertain)
    if said is None:
        return Outcome(results), at
    error, detail, code, enhanced, scope, acceptance = said
    return Outcome(results, error, detail, code, enhanced, Scope(scope), acceptance), at
