"""What the server sees of us: the name we greet with, and the address we come from."""

from __future__ import annotations

from typing import Any

import pytest

from prx_email_cli.delivery.failure import SessionFailed
from prx_email_cli.errors import ConfigError

from ..conftest import Program
from ..support.certs import Certificates
from ..support.scripted import ScriptedServer
from .courier import account_for, open_session


class TestTheNameToGreetWith:
    def test_is_the_configured_one(self) -> None:
        with ScriptedServer() as server:
            open_session(account_for(server.port, helo_name="mail.example.net")).close()
            assert server.commands[0].line.split()[1] == "mail.example.net"

    def test_is_the_configured_one_under_tls_too(self, certificates: Certificates) -> None:
        options: dict[str, Any] = {"tls": "starttls", "tls_ca_file": certificates.ca_file, "helo_name": "[192.0.2.7]"}
        with ScriptedServer(tls="starttls", context=certificates.server_context()) as server:
            open_session(account_for(server.port, **options)).close()
            greetings = [
                command.line.split()[1] for command in server.commands if command.line.upper().startswith("EHLO")
            ]
        assert greetings == ["[192.0.2.7]", "[192.0.2.7]"]

    def test_is_a_full_name_or_an_address_by_default(self) -> None:
        with ScriptedServer() as server:
            open_session(account_for(server.port)).close()
            name = server.commands[0].line.split()[1]
        assert "." in name

    @pytest.mark.parametrize("name", ["", "a\r\nMAIL FROM:<x@y>", "a b", "bücher.example"])
    def test_that_could_be_more_than_a_name_is_a_config_error(self, name: str) -> None:
        with pytest.raises(ConfigError, match="helo_name"):
            account_for(9, helo_name=name)


class TestTheSourceAddress:
    def test_is_what_the_server_sees(self, program: Program) -> None:
        with ScriptedServer() as server:
            program.configure(server.port, smtp='source_address = "127.0.0.5"')
            program.send("--now")
            assert server.peers == ["127.0.0.5"]
            assert program.run("account", "test").status == 0
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
