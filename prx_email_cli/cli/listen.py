"""``prx-email listen``: an SMTP server in front of the outbox."""

import os
import socket
import sys
import threading
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Annotated

import typer

from prx_email_cli.cli import interrupts
from prx_email_cli.cli.context import Invocation, invocation
from prx_email_cli.cli.hangups import counted
from prx_email_cli.cli.inputs import first_line_of_stdin
from prx_email_cli.cli.options import Json
from prx_email_cli.cli.output import on_terminal, put, put_json, say, work_is_done
from prx_email_cli.cli.render import safe
from prx_email_cli.errors import ConfigError, ValidationError
from prx_email_cli.files import make_directories
from prx_email_cli.notify_socket import notify

if TYPE_CHECKING:
    from prx_email_cli.cli.attendant import Beside
    from prx_email_cli.config.settings import Settings
    from prx_email_cli.listen.desk import Surroundings
    from prx_email_cli.listen.endpoints import Endpoint
    from prx_email_cli.listen.logins import Logins

app = typer.Typer(add_completion=False, no_args_is_help=False)

LoginName = Annotated[str, typer.Argument(metavar="NAME", help="Name of the login.")]


@app.callback(invoke_without_command=True)
def listen(
    ctx: typer.Context,
    addresses: Annotated[
        list[str] | None,
        typer.Option(
            "--listen",
            metavar="ADDRESS",
            help="HOST:PORT, or the path of a Unix socket; repeatable. Default: the config's, else the Unix socket "
            "listen.sock beside the outbox.",
        ),
    ] = None,
    drain: Annotated[bool, typer.Option("--drain", help="Also deliver, as drain --follow does.")] = False,
) -> None:
    """Take mail by SMTP and store it in the outbox, until SIGTERM.

    SIGHUP makes it read its config anew.
    Clients on other machines need a login, or the config's allowed_networks.
    Example: prx-email listen --listen 127.0.0.1:2525
    """
    if ctx.invoked_subcommand is not None:
        return
    this = invocation(ctx)
    settings = this.settings()
    _check_installed()
    from prx_email_cli.listen.desk import Desk  # on use
    from prx_email_cli.listen.server import Server  # on use
    from prx_email_cli.listen.upkeep import Upkeep  # on use

    around = _surroundings(settings)
    endpoints = _endpoints(settings, addresses, around)
    try:
        desk = Desk(settings, around)
        with (
            counted() as hangups,
            interrupts.stopping() as stop,
            _Follower(this, settings, stop) if drain else nullcontext() as follower,
        ):
            upkeep = Upkeep(desk, endpoints, lambda: hangups.count, lambda: _loaded(this), follower)
            Server(desk, endpoints).run(stop, lambda: _tell_ready(endpoints), upkeep.look)
    finally:
        for one in endpoints:
            one.close()


@app.command("add-user")
def add_user(ctx: typer.Context, name: LoginName, as_json: Json = False) -> None:
    """Store a login for listen, with a password asked for or piped in; only its hash is kept.

    Example: openssl rand -base64 18 | tee password | prx-email listen add-user web1
    """
    this = invocation(ctx)
    logins = _logins(this)
    new = logins.add(name, _password(name))
    done = f"login {name} {'added' if new else 'has a new password'} in {logins.file}"
    work_is_done(safe(done))
    if this.json:
        put_json({"name": name, "file": str(logins.file)})
    else:
        say(safe(done))


@app.command("remove-user")
def remove_user(ctx: typer.Context, name: LoginName, as_json: Json = False) -> None:
    """Remove a login of listen.

    Example: prx-email listen remove-user web1
    """
    this = invocation(ctx)
    logins = _logins(this)
    logins.remove(name)
    work_is_done(f"login {safe(name)} removed")
    if this.json:
        put_json({"name": name, "file": str(logins.file)})
    else:
        say(f"login {safe(name)} removed")


@app.command("users")
def users(ctx: typer.Context, as_json: Json = False) -> None:
    """List the logins of listen, one name a line.

    Example: prx-email listen users
    """
    this = invocation(ctx)
    logins = _logins(this)
    if this.json:
        put_json([{"name": name, "file": str(logins.file)} for name in logins.names()])
    else:
        for name in logins.names():
            put(safe(name))


def _logins(this: Invocation) -> "Logins":
    from prx_email_cli.listen.logins import Logins, users_file  # on use

    return Logins(users_file(this.settings()))


def _password(name: str) -> str:
    if on_terminal(sys.stdin):
        return str(typer.prompt(f"Password of {safe(name)}", hide_input=True, confirmation_prompt=True, err=True))
    password = first_line_of_stdin()
    if not password or "\0" in password:
        raise ValidationError("no password came on stdin", hint="pipe it into the command, as the first line")
    return password


def _check_installed() -> None:
    """Raise ConfigError without aiosmtpd."""
    try:
        import aiosmtpd.smtp  # noqa: F401  # on use
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"listen needs {error.name}, which is not installed", hint="pip install 'prx-email-cli[listen]'"
        ) from None


def _loaded(this: Invocation) -> "tuple[Settings, Surroundings]":
    """Read the config anew.  Raises ConfigError, ReadableByOthers."""
    settings = this.settings()
    return settings, _surroundings(settings)


def _surroundings(settings: "Settings") -> "Surroundings":
    """Load what the config names beside the addresses.  Raises ConfigError, ReadableByOthers."""
    from prx_email_cli.listen.desk import Surroundings  # on use
    from prx_email_cli.listen.endpoints import networks  # on use
    from prx_email_cli.listen.logins import Logins, users_file  # on use
    from prx_email_cli.listen.server import tls_context  # on use
    from prx_email_cli.sendmail.local import Local  # on use

    own = settings.listen
    tls = None
    if own.tls_cert_file is not None:
        tls = tls_context(str(own.tls_cert_file), str(own.tls_key_file) if own.tls_key_file else None)
    logins = Logins(users_file(settings))
    local = Local(settings.sendmail).addresses
    name = own.host_name or socket.gethostname()
    return Surroundings(networks(own), logins, tls, name, lambda text: say(safe(text)), local)


def _endpoints(settings: "Settings", asked: list[str] | None, around: "Surroundings") -> "list[Endpoint]":
    """Open the sockets: systemd's, else those that are asked for.  Raises ConfigError, also for an open relay."""
    from prx_email_cli.listen.activation import activated  # on use
    from prx_email_cli.listen.endpoints import SOCKET_NAME, check_not_open, inherited, open_endpoints  # on use

    own = settings.listen
    addresses = asked or own.addresses or [str(settings.outbox.path.with_name(SOCKET_NAME))]
    if settings.outbox.url is not None and not (asked or own.addresses):
        with suppress(OSError):  # binding says why
            make_directories(settings.outbox.path.parent)  # where a file would be
    handed = activated(os.environ)
    endpoints = inherited(handed) if handed else open_endpoints(addresses, int(own.socket_mode, 8))
    try:
        check_not_open(endpoints, trusted=bool(around.networks), logins=bool(around.logins), tls=around.tls is not None)
    except BaseException:
        for one in endpoints:
            one.close()
        raise
    return endpoints


class _Follower:
    """Delivers in a thread while the block lasts; when it fails, so does the block."""

    def __init__(self, this: Invocation, settings: "Settings", stop: threading.Event) -> None:
        from prx_email_cli.cli.attendant import Beside  # on use

        self._this, self._settings, self._stop = this, settings, stop
        self._beside = Beside()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="follower")

    def __enter__(self) -> "Beside":
        self._thread.start()
        return self._beside

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        self._stop.set()
        self._thread.join()
        if self._error is not None and kind is None:
            raise self._error

    def _work(self) -> None:
        from prx_email_cli.cli.drain import follow_beside  # on use

        try:
            follow_beside(self._this, self._settings, self._stop, self._beside)
        except BaseException as error:  # noqa: BLE001 - the main thread raises it
            self._error = error
        finally:
            self._stop.set()


def _tell_ready(endpoints: "list[Endpoint]") -> None:
    notify("READY=1")
    for one in endpoints:
        say(f"listening on {safe(one.name)}")


apps = {"listen": app}
