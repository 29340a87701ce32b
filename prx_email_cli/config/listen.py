"""The table of the config for ``prx-email listen``."""

from pathlib import Path

from prx_email_cli.config.table import Table, key


class ListenSettings(Table):
    """``[listen]``: the SMTP server in front of the outbox."""

    addresses: tuple[str, ...] | None = key(
        "where to listen, HOST:PORT or the path of a Unix socket; by default the socket listen.sock beside the outbox",
        None,
    )
    socket_mode: str = key(
        "mode of a Unix socket: who on this machine may connect", "0600", choices=("0600", "0660", "0666")
    )
    allowed_networks: tuple[str, ...] | None = key(
        "clients of these networks need no login where listen is reached from outside, 192.0.2.0/24 for example", None
    )
    users_file: Path | None = key("logins, as listen add-user writes it, mode 0600; by default listen-users", None)
    tls_cert_file: Path | None = key("PEM file of the certificate for TLS, which logins need", None)
    tls_key_file: Path | None = key("its private key, mode 0600; by default in tls_cert_file", None)
    tls: str = key("whether clients ask for TLS or begin with it", "starttls", choices=("starttls", "implicit"))
    host_name: str | None = key("name to greet with; by default this machine's", None)
    max_connections: int = key("at once, of all clients", 200, low=1, high=10_000)
    max_connections_per_client: int = key("at once, of one client", 50, low=1, high=10_000)
    messages_per_minute: int | None = key("of one client; more are deferred (450)", None, low=1)
    max_message_bytes: int = key("largest message, in bytes; larger ones are refused (552)", 52_428_800, low=1024)
    idle_seconds: int = key("a client that says nothing for so long is left (421)", 300, low=1, high=3600)
