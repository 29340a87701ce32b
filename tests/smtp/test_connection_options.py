"""What the server sees of us: the name we greet with, and the address we come from."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from prx_email_cli.errors import ConfigError
from prx_email_cli.smtp.failure import SessionFailed

from ..conftest import Program
from ..support.certs import Certificates
from ..support.scripted import ScriptedServer
from .courier import account_for, open_session

NO_DOMAINS = [
    *("", "box", "localhost", "my_host.example.com", "host.example.com.", "host..example.com", ".example.com", "."),
    *("-a.example.com", "a-.example.com", "a b.example", "bücher.example", "a" * 64 + ".example", "192.0.2.7"),
    *("host.example.com:25", "a.b/c", ".".join(["abc"] * 65), "host.1"),
]


def greeted_as(**smtp: Any) -> str:
    """What a session says after EHLO."""
    with ScriptedServer() as server:
        open_session(account_for(server.port, host="127.0.0.1", **smtp)).close()
        return server.commands[0].line.split(" ", 1)[1]


class TestTheNameToGreetWith:
    def test_is_the_configured_one_before_and_under_tls(self, certificates: Certificates) -> None:
        options: dict[str, Any] = {"tls": "starttls", "tls_ca_file": certificates.ca_file, "helo_name": "[192.0.2.7]"}
        with ScriptedServer(tls="starttls", context=certificates.server_context()) as server:
            open_session(account_for(server.port, **options)).close()
            greetings = [
                command.line.split()[1] for command in server.commands if command.line.upper().startswith("EHLO")
            ]
        assert greetings == ["[192.0.2.7]", "[192.0.2.7]"]

    @pytest.mark.parametrize(
        "machine", ["box.example.com", "a.b", "xn--bcher-kva.example", "1.2.3.d4", "a" * 63 + ".b"]
    )
    def test_is_the_machines_full_name_by_default(self, machine: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(socket, "gethostname", lambda: machine)
        assert greeted_as() == machine

    @pytest.mark.parametrize("machine", NO_DOMAINS)
    def test_is_the_address_of_the_connection_where_the_machine_has_no_domain(
        self, machine: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(socket, "gethostname", lambda: machine)
        assert greeted_as() == "[127.0.0.1]"
        assert greeted_as(source_address="127.0.0.5") == "[127.0.0.5]"

    def test_is_an_ipv6_address_with_its_tag(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(socket, "gethostname", lambda: "box")
        with ScriptedServer(host="::1") as server:
            open_session(account_for(server.port, host="::1")).close()
            assert server.commands[0].line.split(" ") == ["ehlo", "[IPv6:::1]"]

    def test_is_the_same_before_and_after_starttls(
        self, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(socket, "gethostname", lambda: "my_host.example.com")
        with ScriptedServer(tls="starttls", context=certificates.server_context()) as server:
            open_session(account_for(server.port, tls="starttls", tls_ca_file=certificates.ca_file)).close()
            greetings = [command.line for command in server.commands if command.line.startswith("ehlo")]
        assert greetings == ["ehlo [127.0.0.1]"] * 2

    @pytest.mark.parametrize(
        "name", ["localhost", "a.b", "A-1.example", "[192.0.2.7]", "[IPv6:2001:db8::7]", "[ipv6:::1]"]
    )
    def test_may_be_any_domain_or_address_literal(self, name: str) -> None:
        assert account_for(9, helo_name=name).smtp.helo_name == name

    @pytest.mark.parametrize(
        "name",
        [
            *(name for name in NO_DOMAINS if name not in ("box", "localhost")),
            *("a\r\nMAIL FROM:<x@y>", "host.example.com\n", "[]", "[::1]", "[192.0.2]", "[192.0.2.7", "[IPv6:]"),
            *("[IPv6:192.0.2.7]", "[IPv6:fe80::1%eth0]", "[192.0.2.256]", "[host.example.com]", "[127.0.0.1]\r\nQUIT"),
        ],
    )
    def test_that_is_neither_is_a_config_error_that_names_it(self, name: str) -> None:
        with pytest.raises(ConfigError, match=r"accounts\.work\.smtp\.helo_name") as refused:
            account_for(9, helo_name=name)
        assert refused.value.exit_code == 78
        assert "host.example.com" in str(refused.value.hint) or not name or not name.isprintable()


class TestTheSourceAddress:
    def test_is_what_the_server_sees(self, program: Program) -> None:
        with ScriptedServer() as server:
            program.configure(server.port, smtp='source_address = "127.0.0.5"')
            program.send("--now")
            assert server.peers == ["127.0.0.5"]
            assert program.call("account", "test").status == 0
            assert set(server.peers) == {"127.0.0.5"}

    def test_is_the_systems_choice_by_default(self) -> None:
        with ScriptedServer() as server:
            open_session(account_for(server.port)).close()
            assert server.peers == ["127.0.0.1"]

    def test_under_tls_is_the_same(self, certificates: Certificates) -> None:
        options: dict[str, Any] = {
            "tls": "implicit",
            "tls_ca_file": certificates.ca_file,
            "source_address": "127.0.0.5",
        }
        with ScriptedServer(tls="implicit", context=certificates.server_context()) as server:
            open_session(account_for(server.port, **options)).close()
            assert server.peers == ["127.0.0.5"]

    @pytest.mark.parametrize(
        "address", ["192.0.2.7", "2001:db8::7", "::1"], ids=["foreign", "foreign 6", "other family"]
    )
    def test_that_cannot_reach_the_server_is_named_as_the_cause(self, address: str) -> None:
        with ScriptedServer() as server:
            with pytest.raises(SessionFailed) as failed:
                open_session(account_for(server.port, host="127.0.0.1", source_address=address))
            assert server.connections == 0
        assert (failed.value.category, failed.value.step) == ("network", "connection")
        assert failed.value.message.startswith(f"cannot connect to 127.0.0.1:{server.port}")
        assert "smtp.source_address" in failed.value.hint

    @pytest.mark.parametrize("address", ["", "localhost", "127.0.0", "127.0.0.256", "127.0.0.1:25", "::g"])
    def test_that_is_no_address_is_a_config_error(self, address: str) -> None:
        with pytest.raises(ConfigError, match="source_address") as refused:
            account_for(9, source_address=address)
        assert refused.value.exit_code == 78
