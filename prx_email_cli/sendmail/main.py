"""``prx-sendmail``: do what the command line asks, and end with a status of sysexits.h."""

import gc
import os
import sys
import time

from prx_email_cli.sendmail import flags
from prx_email_cli.sendmail.talk import answered, flush_for_good, put, say, visible

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from prx_email_cli.config.settings import Settings
    from prx_email_cli.errors import PrxEmailError
    from prx_email_cli.sendmail.quick import Tape

USAGE, BUG, TRY_LATER = 64, 70, 75  # as sysexits.h numbers them
INTERRUPTED = 130
NO_PERMISSION = 77
_REFUSED = {
    flags.QUEUE: "the queue of this machine's outbox is not for every user to see",
    flags.VERIFY: "where names lead is in the config of this machine's outbox, which not every user may read",
}
SUMMARY = "Enqueue the message on standard input, for programs that call sendmail(8)."
EXAMPLE = "Example: prx-email sendmail -i -t < message.eml"
HELP = f"""\
Usage: prx-sendmail [FLAGS] [RECIPIENT...] < MESSAGE

{SUMMARY}
Status 0: it is stored, durably. Any other: nothing was stored.

  -t            take recipients from To, Cc and Bcc as well; Bcc is removed
  -i, -oi       a line of one dot does not end the message
  -f, -r ADDR   sender of the envelope; '' or <> is the null sender
  -F NAME       full name, where the message has no From header
  -N WHEN       delivery status: never, or of success,failure,delay
  -R full|hdrs  how much of the message a delivery status returns
  -V ID         envelope id that a delivery status names
  -v            print the outbox id on stderr
  -bm           enqueue: the default
  -bp           print the queue, as mailq does
  -bv           print the addresses of the recipients, and enqueue nothing
  -bi           do nothing, as newaliases: aliases need not be built
  -bs           speak SMTP on standard input and output
  -q...         deliver what is due, as prx-email drain does
  --version     print the version; -V is another flag, as in every sendmail

Flags may be joined (-ti) and may follow recipients; a value may be joined or
the next word; -- ends the flags. The classic rest (-A -B -C -D -d -e -G -g -h
-L -M -m -n -O -o -p -Q -s -T -U -X -x) is ignored, and so is an unknown flag,
with a warning. A recipient without @, such as root, is looked up in
[sendmail.aliases] of the config: docs/sendmail.md.

{EXAMPLE}"""


def main() -> None:
    """Run the command line."""
    _end_quietly_when_interrupted()
    gc.disable()  # a call is short, and makes no circles of any size
    status = answered(run(sys.argv[1:], os.path.basename(sys.argv[0])))
    flush_for_good()
    os._exit(status)  # all is closed, and taking the interpreter apart takes as long as storing the message


def run(words: "Sequence[str]", name: str = "sendmail", config: "Path | None" = None) -> int:
    """Do what *words* ask, as the program of this *name*; return the exit status.  config: its file, if named."""
    try:
        call = flags.parse(words, name)
    except flags.UsageError as error:
        return _refuse(str(error), "prx-sendmail --help tells which flags there are")
    if call.asks_help:
        put(HELP)
        return 0
    if call.asks_version:
        from prx_email_cli import __version__  # on use

        put(f"prx-sendmail {__version__}")
        return 0
    for warning in call.warnings:
        say(f"warning: {visible(warning)}")
    try:
        return _do(call, config)
    except Exception as error:  # noqa: BLE001
        return _tell(error)


def _do(call: flags.Call, config: "Path | None") -> int:
    """Do what is asked; return the exit status."""
    if call.mode == flags.ALIASES:
        return 0  # they are read when they are needed
    if call.mode == flags.DAEMON:
        return _refuse("-bd is not supported: prx-sendmail is no daemon", "let cron run prx-email drain")
    if call.mode == flags.DRAIN:
        return _drain(config)
    if call.mode in (flags.ENQUEUE, flags.VERIFY) and not (
        call.recipients or (call.from_headers and call.mode == flags.ENQUEUE)
    ):
        return _refuse("no recipients", "name them, or use -t and a To header")
    if call.mode == flags.ENQUEUE:
        where = _enqueue(call, config)
        if call.verbose:
            say(where)
        return 0
    if (directory := _drop_instead_of_config(config)) is not None:
        return _do_without_outbox(call, directory)
    from prx_email_cli.sendmail.enqueue import settings_in  # on use

    settings = settings_in(config)
    if (directory := _drop_instead_of_outbox(settings)) is not None:
        return _do_without_outbox(call, directory)
    if call.mode == flags.SMTP:
        return _speak(settings)
    if call.mode == flags.QUEUE:
        return _print_queue(settings)
    return _verify(settings, call.recipients)


def _enqueue(call: flags.Call, config: "Path | None") -> str:
    """Store the message on standard input, with few imports if everything is as usual; say where it is."""
    from prx_email_cli.sendmail import known, quick  # on use
    from prx_email_cli.sendmail.incoming import pieces  # on use

    now = time.time()
    tape, usual = quick.Tape(pieces()), known.read() if config is None else None
    if usual is not None:
        outbox_id = quick.enqueue(call, usual, tape, int(now))
        if outbox_id is not None:
            return f"stored as {outbox_id}"
    elif (directory := _drop_instead_of_config(config)) is not None:
        return _drop(call, directory, tape)
    from prx_email_cli.sendmail.enqueue import enqueue, settings_in  # on use
    from prx_email_cli.sendmail.remember import Look  # on use

    look = Look(config, now) if usual is None else None
    settings = settings_in(config)
    if (directory := _drop_instead_of_outbox(settings)) is not None:
        return _drop(call, directory, tape)
    outbox_id = enqueue(call, settings, tape.rest(), int(now))
    if look is not None:
        look.remember(settings)
    return f"stored as {outbox_id}"


def _drop_instead_of_config(config: "Path | None") -> str | None:
    """Return where a user leaves mail who may not read the config; None for everybody else."""
    from prx_email_cli.sendmail.reach import is_surely_out_of_reach  # on use

    if config is not None or not is_surely_out_of_reach():
        from prx_email_cli.config.source import is_out_of_reach  # on use

        if not is_out_of_reach(config):
            return None
    from prx_email_cli.sendmail.drop import usable  # on use

    return usable()


def _drop_instead_of_outbox(settings: "Settings") -> str | None:
    """Return where a user leaves mail who may not write the outbox; None for everybody else."""
    if settings.outbox.url is not None or os.access(settings.outbox.path, os.R_OK | os.W_OK):
        return None
    from prx_email_cli.sendmail.drop import instead_of_outbox  # on use

    return instead_of_outbox(settings)


def _drop(call: flags.Call, directory: str, tape: "Tape") -> str:
    """Leave the message in the drop directory; say where it is."""
    from prx_email_cli.sendmail.drop import leave, said_by  # on use
    from prx_email_cli.sendmail.incoming import readable, until_dot  # on use
    from prx_email_cli.sendmail.naming import command  # on use
    from prx_email_cli.submission.caller import by_parent  # on use

    incoming = readable(tape.rest())
    said = said_by(call, by_parent(command(call)))
    name = leave(said, directory, until_dot(incoming) if call.dot_ends else incoming)
    return f"left as {visible(directory)}/{name}"


def _do_without_outbox(call: flags.Call, directory: str) -> int:
    """Leave the messages of a dialogue in the drop directory; refuse what takes more than that."""
    if call.mode == flags.SMTP:
        return _speak(None, directory)
    say(f"error: {_REFUSED[call.mode]}")
    say("hint: prx-email and prx-sendmail do it for the outbox's user, and for root")
    return NO_PERMISSION


def _drain(config: "Path | None") -> int:
    """Become ``prx-email drain``."""
    named = ["--config", str(config)] if config is not None else []
    os.execv(sys.executable, [sys.executable, "-P", "-m", "prx_email_cli", *named, "drain", "--quiet"])  # noqa: S606


def _speak(settings: "Settings | None", directory: str = "") -> int:
    """Hold an SMTP dialogue on standard input and output, as Symfony asks for.

    directory: where its messages are left, without settings.
    """
    try:
        from prx_email_cli.sendmail.dialogue import speak_dropping, speak_to_outbox  # on use
    except ModuleNotFoundError as error:
        from prx_email_cli.errors import ConfigError  # on use

        raise ConfigError(
            f"-bs needs {error.name}, which is not installed", hint="pip install 'prx-email-cli[listen]'"
        ) from None
    if settings is None:
        speak_dropping(directory, say)
    else:
        speak_to_outbox(settings, say)
    return 0


def _print_queue(settings: "Settings") -> int:
    from prx_email_cli.sendmail.enqueue import opened  # on use
    from prx_email_cli.sendmail.mailq import queue  # on use

    with opened(settings) as store:
        for line in queue(store):
            put(line)
    return 0


def _verify(settings: "Settings", recipients: "Sequence[str]") -> int:
    from prx_email_cli.sendmail.enqueue import verified  # on use

    status = 0
    for text, addresses, error in verified(settings, recipients):
        if error is not None:
            put(f"{visible(text)}... {visible(error.message)}")
            status = status or _status(error)
        for address in addresses:
            put(f"{visible(text)}... deliverable: {visible(address)}")
    return status


def _refuse(message: str, hint: str) -> int:
    say(f"error: {visible(message)}")
    say(f"hint: {hint}")
    return USAGE


def _tell(error: Exception) -> int:
    """Print an error; return the exit status."""
    from prx_email_cli.errors import PrxEmailError, as_ours  # on use

    if isinstance(error, MemoryError):
        say("error: not enough memory; nothing was stored")
        return TRY_LATER
    ours = error if isinstance(error, PrxEmailError) else as_ours(error)
    redaction = sys.modules.get("prx_email_cli.redaction")
    message, hint = (text if redaction is None else redaction.redact(text) for text in (ours.message, ours.hint))
    say(f"error: {visible(message)}")
    if hint:
        say(f"hint: {visible(hint)}")
    return _status(ours)


def _status(error: "PrxEmailError") -> int:
    """Return the status for a caller: whatever is wrong with the outbox, it must keep its message and come again."""
    from prx_email_cli.errors import StorageError  # on use

    return TRY_LATER if isinstance(error, StorageError) else int(error.exit_code)


def _end_quietly_when_interrupted() -> None:
    import _signal  # type: ignore[import-not-found]  # on use: it is built in, while signal would load enum

    if _signal.getsignal(_signal.SIGINT) is not _signal.SIG_IGN:
        _signal.signal(_signal.SIGINT, lambda number, frame: os._exit(INTERRUPTED))
