"""``prx-email demo``: send, defer, retry and reply with an SMTP server of its own."""

import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from prx_email_cli.cli.colour import Tone, painted
from prx_email_cli.cli.context import invocation
from prx_email_cli.cli.options import Json
from prx_email_cli.cli.output import put, put_json
from prx_email_cli.cli.played import on_a_terminal
from prx_email_cli.cli.render import safe
from prx_email_cli.errors import ConfigError, Exit, PrxEmailError

if TYPE_CHECKING:
    from prx_email_cli.cli.demo_server import Arrived, DemoServer

app = typer.Typer(add_completion=False)


@app.command()
def demo(ctx: typer.Context, as_json: Json = False) -> None:
    """Show the commands at work with a mail server of their own; leave nothing behind.

    Example: prx-email demo
    """
    try:
        from prx_email_cli.cli.demo_server import DemoServer  # on use
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the demo needs {error.name}, which is not installed", hint="pip install 'prx-email-cli[demo]'"
        ) from None
    this = invocation(ctx)
    with tempfile.TemporaryDirectory(prefix="prx-email-demo-") as name, DemoServer(Path(name)) as server:
        commands = _Commands(Path(name), quiet=this.json)
        _tell_story(commands, server)
        if this.json:
            put_json([_object(message) for message in server.arrived])
        else:
            _put_arrived(server)
            _put_next_step()


def _object(message: "Arrived") -> dict[str, Any]:
    return {**vars(message), "recipients": [{"address": address} for address in message.recipients],
            "attachments": [{"filename": name} for name in message.attachments]}  # fmt: skip


class _Commands:
    """Runs prx-email as a shell does, and prints each command and its answer."""

    def __init__(self, directory: Path, *, quiet: bool) -> None:
        self.config = directory / "config.toml"
        self._quiet = quiet
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("PRX_EMAIL_")}
        self._environment["PRX_EMAIL_CONFIG"] = str(self.config)

    def run(self, line: str, expect: int = 0, text: str | None = None, means: str = "") -> str:
        """Run ``prx-email LINE`` with *text* on stdin, and give its stdout.

        means: what the exit status says here.  Raises PrxEmailError when it is not the one to *expect*.
        """
        shown = f"$ {'… | ' if text is not None else ''}prx-email {line}"
        status, out, err = on_a_terminal(
            [sys.executable, "-m", "prx_email_cli", *shlex.split(line)],
            text or "",
            self._environment,
            self.config.parent,
        )
        if status != expect:
            raise PrxEmailError(f"the demo is broken: {shown} ended with {status}: {err}", hint="report this output")
        if not self._quiet:
            put(painted(safe(shown), Tone.STRONG))
            for line in (out + err).splitlines():
                put(("  " + safe(line)).rstrip())
            if expect or means:
                put(
                    painted(f"  (exit status {expect}: {means or _MEANT[expect]})", Tone.WAITS if expect else Tone.GOOD)
                )
            put("")
        return out.strip()


# What the exit statuses say that the story meets.
_MEANT: dict[int, str] = {
    Exit.OK: "done",
    Exit.TRY_LATER: "failed for now: the next drain that finds it due tries it again",
}


def _tell_story(commands: _Commands, server: "DemoServer") -> None:
    from prx_email_cli.cli.demo_server import DEFERRED_ONCE, PASSWORD, USER  # on use

    home = commands.config.parent
    (home / "password").touch(mode=0o600)
    (home / "password").write_text(PASSWORD)
    (home / "volumes.txt").write_text("".join(f"volume {number}: ok\n" for number in range(1, 13)))
    # Relative to the config, so that no file of the user is read or written.
    commands.run(
        f"init --host localhost --port {server.port} --tls implicit --tls-ca-file ca.pem --user {USER}"
        " --password-file password --outbox outbox.db"
    )
    commands.run("account test", means="the account works")
    commands.run(
        'send --to ops@prx-email.example --subject "Backup done" --body "All 12 volumes." --attach volumes.txt'
    )
    commands.run(
        'send --to "Zoë <zoe@prx-email.example>" --bcc audit@prx-email.example --subject "Grüße aus dem Keller 🎉"'
        ' --body "Plain text, as it was written."'
    )
    alert = f'send --to {DEFERRED_ONCE} --subject "Disk almost full" --idempotency-key disk-2026-w47'
    deferred = commands.run(alert, text="/var is at 93 %\n")
    commands.run(alert, text="/var is at 93 %\n", means="the same key, so the same message: nothing is sent twice")
    commands.run('send --to later@prx-email.example --in 2h --subject "Not yet" --body "In 2 hours."')
    commands.run("drain", expect=75, means="one was deferred; the next drain that finds it due tries it again")
    commands.run("list")
    commands.run(f"show {deferred}")
    commands.run(f"retry {deferred}", expect=75, means="not due yet; --force tries it all the same")
    commands.run(f"retry {deferred} --force", means="sent")
    commands.run(f"reply '{server.arrived[0].message_id}' --quote --body 'And the tapes are in the safe.' --now")
    commands.run("status", means="nobody is wanted")


def _put_next_step() -> None:
    put("")
    put(painted("next: prx-email init", Tone.NEXT))
    put("  asks for your provider or server and writes your config; then")
    put("  prx-email account test    tries it, without sending mail")
    put("  prx-email cron            prints the crontab line that delivers every minute")


def _put_arrived(server: "DemoServer") -> None:
    from rich.console import Console  # on use
    from rich.table import Table  # on use
    from rich.text import Text  # on use

    table = Table(title="what the server received", title_justify="left")
    for name in ("Message-ID", "subject", "recipients", "beside"):
        table.add_column(name, overflow="fold")
    for message in server.arrived:
        beside = [f"answers {message.in_reply_to}"] if message.in_reply_to else []
        beside += [f"with {name}" for name in message.attachments]
        cells = ([message.message_id], [message.subject], message.recipients, beside)
        table.add_row(*(Text("\n".join(map(safe, lines))) for lines in cells))
    Console().print(table)


apps = {"demo": app}
