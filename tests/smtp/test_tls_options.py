"""Pinned certificates and client certificates."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from prx_email_cli.errors import ConfigError, PrxEmailError, ReadableByOthers
from prx_email_cli.smtp.failure import SessionFailed

from ..conftest import COMMAND, Program
from ..support.certs import CertificateKind, Certificates, ClientKind
from ..support.scripted import ScriptedServer
from ..support.terminal import Terminal
from .courier import PASSWORD, USER, account_for, hand_over, open_session

USERS = {USER: PASSWORD}
each_mode = pytest.mark.parametrize("tls", ["implicit", "starttls"])


def colons(digits: str) -> str:
    return ":".join(digits[at : at + 2] for at in range(0, len(digits), 2))


FORMS: dict[str, Callable[[str], str]] = {
    "plain": str,
    "upper case": str.upper,
    "colons": colons,
    "upper case and colons": lambda digits: colons(digits).upper(),
}


def server_with(certificates: Certificates, tls: Any, kind: CertificateKind = "valid") -> ScriptedServer:
    return ScriptedServer(tls=tls, context=certificates.server_context(kind), auth=USERS)


def check_nothing_was_said_under_tls(server: ScriptedServer) -> None:
    """The server learned no more than that somebody asked for TLS."""
    server.wait_for(lambda: server.connections and server.open_connections == 0)
    assert [command.line.split()[0].upper() for command in server.commands] in ([], ["EHLO", "STARTTLS"])
    assert server.messages == []


class TestAPinnedCertificate:
    @each_mode
    @pytest.mark.parametrize("form", FORMS)
    def test_needs_neither_ca_nor_host_name(self, form: str, tls: Any, certificates: Certificates) -> None:
        pin = FORMS[form](certificates.fingerprint("self_signed"))
        with server_with(certificates, tls, "self_signed") as server:
            session = open_session(account_for(server.port, password=PASSWORD, tls=tls, tls_fingerprint=pin))
            assert hand_over(session).error is None
            session.close()
            assert [(message.user, message.over_tls) for message in server.messages] == [(USER, True)]

    @each_mode
    @pytest.mark.parametrize("shown", ["valid", "untrusted", "expired"])
    def test_is_the_only_one_and_another_learns_nothing(
        self, shown: CertificateKind, tls: Any, certificates: Certificates
    ) -> None:
        with server_with(certificates, tls, shown) as server:
            pin = certificates.fingerprint("self_signed")
            with pytest.raises(SessionFailed, match="another certificate than the pinned one") as failed:
                open_session(account_for(server.port, password=PASSWORD, tls=tls, tls_fingerprint=pin))
            check_nothing_was_said_under_tls(server)
        assert (failed.value.category, failed.value.step) == ("network", "tls")
        assert certificates.fingerprint(shown) in failed.value.message
        assert "smtp.tls_fingerprint" in failed.value.hint

    @each_mode
    @pytest.mark.parametrize(
        ("pinned", "ca_file", "cause"),
        [
            ("valid", "other-ca.pem", "certificate is not valid"),
            ("self_signed", "ca.pem", "another certificate than the pinned one"),
        ],
    )
    def test_with_a_ca_must_be_that_cas_as_well(
        self, pinned: CertificateKind, ca_file: str, cause: str, tls: Any, certificates: Certificates
    ) -> None:
        options = {"tls_fingerprint": certificates.fingerprint(pinned), "tls_ca_file": certificates.directory / ca_file}
        with server_with(certificates, tls) as server:
            with pytest.raises(SessionFailed, match=cause):
                open_session(account_for(server.port, password=PASSWORD, tls=tls, **options))
            check_nothing_was_said_under_tls(server)

    @each_mode
    @pytest.mark.parametrize("kind", ["valid", "wrong_host"])
    def test_with_its_ca_is_taken_whatever_its_name(
        self, kind: CertificateKind, tls: Any, certificates: Certificates
    ) -> None:
        options = {"tls_fingerprint": certificates.fingerprint(kind), "tls_ca_file": certificates.ca_file}
        with server_with(certificates, tls, kind) as server:
            open_session(account_for(server.port, password=PASSWORD, tls=tls, **options)).close()
            assert sum("AUTH" in command.line for command in server.commands) == 1

    def test_does_not_make_an_old_tls_good_enough(self, certificates: Certificates) -> None:
        with ScriptedServer(tls="implicit", context=certificates.old_tls_context(), auth=USERS) as server:
            options = {"tls": "implicit", "tls_fingerprint": certificates.fingerprint()}
            with pytest.raises(SessionFailed, match=r"no TLS 1\.2"):
                open_session(account_for(server.port, password=PASSWORD, **options))
            check_nothing_was_said_under_tls(server)

    @pytest.mark.parametrize(
        "pin",
        ["", ":", "abc", "0" * 40, "0" * 63, "0" * 65, "g" * 64, "0" * 63 + "\N{FULLWIDTH DIGIT ONE}", "0" * 64 + "\n",
         "SHA256 Fingerprint=" + "00" * 32],
    )  # fmt: skip
    def test_that_cannot_be_one_is_a_config_error(self, pin: str) -> None:
        with pytest.raises(ConfigError, match="tls_fingerprint") as refused:
            account_for(9, tls="implicit", tls_fingerprint=pin)
        assert refused.value.exit_code == 78
        assert refused.value.hint

    def test_is_told_by_the_commands_and_holds_the_mail_back(
        self, program: Program, certificates: Certificates
    ) -> None:
        with server_with(certificates, "implicit", "self_signed") as server:
            pin = certificates.fingerprint()
            program.configure(server.port, smtp=f'tls = "implicit"\ntls_fingerprint = "{colons(pin)}"')
            refused = program.call("account", "test")
            program.send()
            assert program.call("drain").status == 75
            check_nothing_was_said_under_tls(server)
        found = certificates.fingerprint("self_signed")
        assert refused.status == 75
        assert f"the server shows another certificate than the pinned one: SHA-256 {found}" in refused.err
        assert program.show(1)["status"] == "failed"

    def test_is_shown_by_account_test(self, program: Program, certificates: Certificates) -> None:
        pin = certificates.fingerprint("self_signed")
        with ScriptedServer(tls="implicit", context=certificates.server_context("self_signed")) as server:
            program.configure(server.port, smtp=f'tls = "implicit"\ntls_fingerprint = "{pin}"')
            answer = program.call("account", "test", "--json")
        assert (answer.status, answer.data["certificate"]["sha256"]) == (0, pin)


def limited_to(version: ssl.TLSVersion, context: ssl.SSLContext) -> ssl.SSLContext:
    context.maximum_version = version
    return context


class TestAClientCertificate:
    """Asked for by the server; in TLS 1.3 it is refused only after the handshake (RFC 8446 section 4.4.2.4)."""

    each_version = pytest.mark.parametrize(
        "version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"]
    )

    @staticmethod
    def demanding(certificates: Certificates, tls: Any, version: ssl.TLSVersion) -> ScriptedServer:
        context = limited_to(version, certificates.server_context(demands_client=True))
        return ScriptedServer(tls=tls, context=context, auth=USERS)

    @each_mode
    @each_version
    @pytest.mark.parametrize("files", [1, 2], ids=["one file", "two files"])
    def test_is_shown_to_a_server_that_demands_one(
        self, files: int, version: ssl.TLSVersion, tls: Any, certificates: Certificates
    ) -> None:
        one = {"tls_cert_file": certificates.client_file()}
        two = {"tls_cert_file": certificates.client_part("cert"), "tls_key_file": certificates.client_part("key")}
        options = {**(one if files == 1 else two), "tls": tls, "tls_ca_file": certificates.ca_file}
        with self.demanding(certificates, tls, version) as server:
            session = open_session(account_for(server.port, password=PASSWORD, **options))
            assert hand_over(session).error is None
            session.close()
            assert [message.user for message in server.messages] == [USER]

    def test_goes_together_with_a_pinned_server(self, certificates: Certificates) -> None:
        options = {
            "tls": "implicit",
            "tls_fingerprint": certificates.fingerprint(),
            "tls_cert_file": certificates.client_file(),
        }
        with self.demanding(certificates, "implicit", ssl.TLSVersion.TLSv1_3) as server:
            open_session(account_for(server.port, password=PASSWORD, **options)).close()

    @each_mode
    @each_version
    @pytest.mark.parametrize("shown", [None, "untrusted", "expired"])
    def test_that_does_not_please_is_named_as_a_cause(
        self, shown: ClientKind | None, version: ssl.TLSVersion, tls: Any, certificates: Certificates
    ) -> None:
        """Under TLS 1.3 the server's alert may be lost when it hangs up, so that only the hint can name it."""
        options: dict[str, Any] = {"tls": tls, "tls_ca_file": certificates.ca_file}
        if shown is not None:
            options["tls_cert_file"] = certificates.client_file(shown)
        with self.demanding(certificates, tls, version) as server:
            with pytest.raises(SessionFailed) as failed:
                open_session(account_for(server.port, password=PASSWORD, **options))
            assert not any("AUTH" in command.line for command in server.commands)
        assert failed.value.category == "network"
        assert "tls_cert_file" in failed.value.hint
        assert failed.value.step == "tls" or version == ssl.TLSVersion.TLSv1_3

    def test_is_not_shown_to_whom_it_does_not_concern(self, certificates: Certificates) -> None:
        options = {"tls": "implicit", "tls_ca_file": certificates.ca_file, "tls_cert_file": certificates.client_file()}
        with server_with(certificates, "implicit") as server:
            open_session(account_for(server.port, password=PASSWORD, **options)).close()


def refusal(**smtp: Any) -> PrxEmailError:
    """Why no connection is even tried."""
    with ScriptedServer() as server:
        with pytest.raises(PrxEmailError) as refused:
            open_session(account_for(server.port, tls="starttls", **smtp))
        assert server.connections == 0
    return refused.value


class TestAClientCertificatesFiles:
    @pytest.mark.parametrize("missing", ["tls_cert_file", "tls_key_file"])
    def test_that_are_missing_are_named(self, missing: str, certificates: Certificates) -> None:
        options = {"tls_cert_file": certificates.client_part("cert"), "tls_key_file": certificates.client_part("key")}
        refused = refusal(**{**options, missing: Path("/nowhere/client.pem")})
        assert (refused.exit_code, type(refused)) == (78, ConfigError)
        for word in ("accounts.work.smtp.tls_", "/nowhere/client.pem", "No such file"):
            assert word in refused.message

    @pytest.mark.parametrize(
        "key", ["of another", "empty", "no PEM", "no key", None], ids=lambda key: key or "none at all"
    )
    def test_that_hold_no_key_for_the_certificate_are_named(
        self, key: str | None, certificates: Certificates, tmp_path: Path
    ) -> None:
        file = tmp_path / "key.pem"
        file.touch(0o600)
        file.write_text({
            "of another": certificates.client_part("key", "expired").read_text(), "no PEM": "no PEM",
            "no key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        }.get(key or "", ""))  # fmt: skip
        named = {"tls_key_file": file} if key else {}
        refused = refusal(tls_cert_file=certificates.client_part("cert"), **named)
        assert (refused.exit_code, type(refused)) == (78, ConfigError)
        assert (str(file) if key else "tls_cert_file") in refused.message
        assert "key" in refused.hint or key != "of another"

    @pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
    @pytest.mark.parametrize("name", ["tls_cert_file", "tls_key_file"])
    def test_with_a_key_that_others_can_read_are_77(
        self, name: str, mode: int, certificates: Certificates, tmp_path: Path
    ) -> None:
        copy = tmp_path / "copy.pem"
        copy.write_bytes(certificates.client_file().read_bytes())
        copy.chmod(mode)
        options = {"tls_cert_file": certificates.client_part("cert"), name: copy}
        refused = refusal(**options)
        assert (refused.exit_code, type(refused)) == (77, ReadableByOthers)
        assert refused.hint == f"chmod 600 {copy}"

    def test_with_a_certificate_that_others_can_read_are_fine(self, certificates: Certificates, tmp_path: Path) -> None:
        copy = tmp_path / "copy.pem"
        copy.write_bytes(certificates.client_part("cert").read_bytes())
        copy.chmod(0o644)
        options = {
            "tls_cert_file": copy,
            "tls_key_file": certificates.client_part("key"),
            "tls_ca_file": certificates.ca_file,
        }
        with server_with(certificates, "starttls") as server:
            open_session(account_for(server.port, password=PASSWORD, tls="starttls", **options)).close()

    def test_are_not_to_be_a_key_alone(self, certificates: Certificates) -> None:
        with pytest.raises(ConfigError, match="tls_cert_file is missing"):
            account_for(9, tls="starttls", tls_key_file=certificates.client_part("key"))

    def test_with_an_encrypted_key_are_named_and_nobody_is_asked(
        self, certificates: Certificates, program: Program
    ) -> None:
        cert, key = certificates.client_part("cert"), certificates.client_part("encrypted")
        refused = refusal(tls_cert_file=cert, tls_key_file=key)
        assert (refused.exit_code, type(refused)) == (78, ConfigError)
        assert f"{key} is encrypted" in refused.message
        assert "without a passphrase" in refused.hint
        program.configure(smtp=f'tls = "starttls"\ntls_cert_file = "{cert}"\ntls_key_file = "{key}"')
        with Terminal([*COMMAND, "account", "test"], env=program.environment, cwd=program.home) as person:
            assert person.end() == 78
            assert f"{key} is encrypted" in person.screen
            assert "PEM pass" not in person.screen

    def test_that_are_no_use_leave_the_messages_untouched(self, certificates: Certificates, program: Program) -> None:
        program.configure(smtp=f'tls = "starttls"\ntls_cert_file = "{program.home}/gone.pem"')
        program.send()
        drain = program.call("drain")
        assert drain.status == 78
        assert "gone.pem" in drain.err
        assert (program.show(1)["status"], program.show(1)["retries"]) == ("pending", 0)

    def test_that_others_can_read_do_not_keep_other_accounts_from_sending(
        self, certificates: Certificates, program: Program
    ) -> None:
        copy = program.home / "client.pem"
        copy.write_bytes(certificates.client_file().read_bytes())
        copy.chmod(0o644)
        with ScriptedServer() as server:
            program.configure(server.port, smtp=f'tls = "starttls"\ntls_cert_file = "{copy}"')
            other = '[accounts.other]\nfrom = "o@example.com"\n[accounts.other.smtp]\nhost = "localhost"\ntls = "none"'
            program.config.write_text(f"{program.config.read_text()}\n{other}\nport = {server.port}\n")
            program.send("--account", "work")
            line = '{"account": "other", "to": "a@example.org", "subject": "s", "body_text": "t"}\n'
            assert program.call("send", "--batch", "-", text=line * 200).status == 0
            drain = program.call("drain")
            assert len(server.messages) == 200
        assert drain.status == 77
        assert f"chmod 600 {copy}" in drain.err
        assert (program.show(1)["status"], program.show(1)["retries"]) == ("pending", 0)
