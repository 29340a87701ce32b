"""Read a command line as sendmail(8) does, in every way in which programs write it; pure, and cheap to import."""

TYPE_CHECKING = False  # typing itself would cost as much as a third of a call
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# The letters behind -b, and that of -q.
ENQUEUE, QUEUE, VERIFY, ALIASES, SMTP, DAEMON, DRAIN = "m", "p", "v", "i", "s", "d", "q"
_MODES = (ENQUEUE, QUEUE, VERIFY, ALIASES, SMTP, DAEMON)
_WITH_VALUE = frozenset("ABCDFLMNOQRVXbefhopr")  # glued to the flag, or the next word
_GLUED_ONLY = frozenset("dq")
_ALONE = frozenset("GIUTcgimnstvx")
_BY_NAME = {"mailq": QUEUE, "newaliases": ALIASES}
_MOMENTS = ("SUCCESS", "FAILURE", "DELAY")
_LONGEST_ENVELOPE_ID = 100  # RFC 3461 section 4.4


class Call:
    """What a command line asks for.

    mode: a letter of this module.  recipients: the operands, unparsed.  from_headers: recipients come from the message
    as well.  dot_ends: a line of one dot ends the input.  sender: "" is the null sender, None says nothing.  full_name:
    of the sender.  notify, returns, envelope_id: RFC 3461's NOTIFY, RET and ENVID.  warnings: what is ignored, and why.
    """

    def __init__(self) -> None:
        self.mode = ENQUEUE
        self.recipients: tuple[str, ...] = ()
        self.from_headers = False
        self.dot_ends = True
        self.sender: str | None = None
        self.full_name: str | None = None
        self.notify: str | None = None
        self.returns: str | None = None
        self.envelope_id: str | None = None
        self.verbose = False
        self.asks_help = False
        self.asks_version = False
        self.warnings: tuple[str, ...] = ()


class UsageError(Exception):
    """The command line cannot be understood."""


def parse(words: "Sequence[str]", name: str = "sendmail") -> Call:
    """Read the *words* after the program's *name*: as ``mailq`` and ``newaliases`` it does what they do.

    Raises UsageError for a flag without its value, and for a mode that there is not.
    """
    reader = _Reader(words)
    reader.read()
    return reader.call(_BY_NAME.get(name, ENQUEUE))


class _Reader:
    """Reads words one by one."""

    def __init__(self, words: "Sequence[str]") -> None:
        self._words = list(words)
        self._words.reverse()
        self._operands: list[str] = []
        self._values: dict[str, str] = {}
        self._seen: set[str] = set()
        self._warnings: list[str] = []
        self._mode: str | None = None

    def read(self) -> None:
        words = self._words
        while words:
            word = words.pop()
            if word == "--":
                self._operands += reversed(words)
                return
            if word.startswith("--"):
                self._read_long(word)
            elif word.startswith("-") and word != "-":
                self._read_flags(word)
            else:
                self._operands.append(word)

    def call(self, mode: str) -> Call:
        """Return what was read.  mode: where no flag says one."""
        call = Call()
        call.mode = self._mode or mode
        call.recipients = tuple(self._operands)
        call.from_headers = "t" in self._seen
        call.dot_ends = "i" not in self._seen
        sender = self._values.get("f", self._values.get("r"))
        call.sender = None if sender is None else _address(sender)
        call.full_name = self._values.get("F")
        call.notify = self._understood("N", notify)
        call.returns = self._understood("R", returns)
        call.envelope_id = self._understood("V", envelope_id)
        call.verbose = "v" in self._seen
        call.asks_help = "--help" in self._seen
        call.asks_version = "--version" in self._seen
        call.warnings = tuple(self._warnings)
        return call

    def _read_long(self, word: str) -> None:
        if word in ("--help", "--version"):
            self._seen.add(word)
        else:
            self._warn(word)

    def _read_flags(self, word: str) -> None:
        """Read a word of flags, the last of which may take what is left, or the next word.

        What stands behind an unknown flag may be its value, so that it is ignored, too.
        """
        letters = word[1:]
        while letters:
            flag, letters = letters[0], letters[1:]
            if flag in _ALONE:
                self._take_flag(flag)
            elif flag in _GLUED_ONLY:
                self._take(flag, letters)
                return
            elif flag in _WITH_VALUE:
                self._take(flag, letters or self._next_word(flag))
                return
            else:
                self._warn(f"-{flag}{letters}")
                return

    def _next_word(self, flag: str) -> str:
        if not self._words:
            raise UsageError(f"-{flag} takes a value")
        return self._words.pop()

    def _take_flag(self, flag: str) -> None:
        self._seen.add(flag)
        if flag == "I":
            self._mode = ALIASES

    def _take(self, flag: str, value: str) -> None:
        if flag == "b":
            self._take_mode(value)
        elif flag == "q":
            self._mode = DAEMON if self._mode == DAEMON else DRAIN  # -bd -q30m is a daemon's
        elif (flag == "o" and value[:1] == "i") or (flag == "O" and value.lower() in ("ignoredots", "ignoredots=true")):
            self._seen.add("i")
        else:
            self._values[flag] = value

    def _take_mode(self, value: str) -> None:
        mode = DAEMON if value[:1] in ("D", "l") else value[:1]
        if mode not in _MODES:
            raise UsageError(f"-b{value} is not supported")
        self._mode = mode

    def _understood(self, flag: str, read: "Callable[[str], str | None]") -> str | None:
        value = self._values.get(flag)
        found = None if value is None else read(value)
        if value is not None and found is None:
            self._warnings.append(f"-{flag} {value} is no value of this flag; it is ignored")
        return found

    def _warn(self, word: str) -> None:
        self._warnings.append(f"{word} is no flag of sendmail; it is ignored")


def notify(text: str) -> str | None:
    """Return the value of NOTIFY as RFC 3461 writes it; None for what is none."""
    moments = [part.strip().upper() for part in text.split(",")]
    if moments == ["NEVER"] or (moments and all(one in _MOMENTS for one in moments)):
        return ",".join(dict.fromkeys(moments))
    return None


def returns(text: str) -> str | None:
    """Return the value of RET; None for what is none."""
    return text.upper() if text.upper() in ("FULL", "HDRS") else None


def envelope_id(text: str) -> str | None:
    """Return the value of ENVID as xtext (RFC 3461 section 4), encoded unless it is; None for what cannot be."""
    if not text or not all(" " <= one <= "~" for one in text):
        return None
    written = text if _is_xtext(text) else "".join(map(_xtext, text))
    return written if len(written) <= _LONGEST_ENVELOPE_ID else None


def _is_xtext(text: str) -> bool:
    _, *rest = text.split("+")
    codes = all(len(part) >= 2 and set(part[:2]) <= set("0123456789ABCDEF") for part in rest)
    return codes and "=" not in text and " " not in text


def _xtext(character: str) -> str:
    return f"+{ord(character):02X}" if character in "+= " else character


def _address(text: str) -> str:
    """Return an address without the angle brackets around it; ``<>`` is the null sender."""
    text = text.strip()
    return text[1:-1].strip() if text.startswith("<") and text.endswith(">") else text
