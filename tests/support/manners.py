"""How a fault is performed on the wire."""

from __future__ import annotations

import threading
from collections.abc import Callable

from .faults import Fault, Place
from .wire import ConversationOverError, Wire

_CODES: dict[Place, bytes] = {
    "connect": b"220",
    "handshake": b"220",
    "greeting": b"220",
    "starttls": b"220",
    "auth": b"235",
    "data": b"354",
    "quit": b"221",
}
_MEGABYTE = 1024 * 1024


def perform(fault: Fault, wire: Wire, good_reply: str, released: threading.Event) -> bool:
    """Do what *fault* says in place of *good_reply*.  True when the client was told yes.

    Raises ConversationOverError (or OSError, when the client left first) when that was the end of the connection.
    """
    if fault.manner in _LAST_WORDS:
        _LAST_WORDS[fault.manner](fault, wire)
        raise ConversationOverError
    match fault.manner:
        case "garbage":
            wire.send(fault.raw)
        case "megabyte_line":
            wire.send(_code(fault) + b" " + b"x" * (_MEGABYTE - 6) + b"\r\n")
        case "fragments":
            wire.say_in_fragments(good_reply)
        case "pause":
            released.wait()
            wire.say(good_reply)
        case literal:
            wire.say(literal)
            if literal.startswith("421"):
                wire.part()
                raise ConversationOverError
    return fault.consents or fault.manner == "megabyte_line"


def _close(_fault: Fault, wire: Wire) -> None:
    wire.hang_up()


def _reset(_fault: Fault, wire: Wire) -> None:
    wire.reset()


def _timeout(fault: Fault, wire: Wire) -> None:
    wire.stay_silent(reading=fault.place != "during_data")


def _endless(fault: Fault, wire: Wire) -> None:
    wire.say_without_end(_code(fault) + b"-and then some more\r\n", fault.cap)


def _slow(fault: Fault, wire: Wire) -> None:
    wire.say_slowly(_code(fault) + b"-one byte at a time\r\n", fault.interval)


def _code(fault: Fault) -> bytes:
    return _CODES.get(fault.place, b"250")


_LAST_WORDS: dict[str, Callable[[Fault, Wire], None]] = {
    "close": _close,
    "reset": _reset,
    "timeout": _timeout,
    "endless": _endless,
    "slow": _slow,
}
