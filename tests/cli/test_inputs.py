"""Inputs that are endless, odd, or of somebody else: bounded, and refused in clear words."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prx_email_cli.config import settings as loading

from ..conftest import COMMAND, Program
from ..support.scripted import ScriptedServer

MESSAGE = ("--to", "a@example.org", "--subject", "s")
USER, PASSWORD = "ops@example.com", "correct horse battery"


@pytest.mark.parametrize("option", ["--body-file", "--html", "--request", "--batch"])
@pytest.mark.parametrize("device", ["/dev/zero", "/dev/urandom"])
def test_a_device_without_end_is_refused(option: str, device: str, program: Program) -> None:
    words = () if option in ("--request", "--batch") else MESSAGE
    answer = program.run("send", *words, option, device)
    assert (answer.status, answer.out) == (65, ""), answer


@pytest.mark.parametrize("words", [("import", "/dev/zero"), ("reply", "--parent", "/dev/zero", "--body", "x")])
def test_a_device_is_no_message_either(words: tuple[str, ...], program: Program) -> None:
    assert program.run(*words).status in (65, 66)


def test_a_pipe_that_nobody_writes_into_is_not_waited_for_for_ever(
    program: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from prx_email_cli.cli import inputs
    from prx_email_cli.errors import ValidationError

    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(inputs, "PIPE_SECONDS", 0.2)
    with pytest.raises(ValidationError, match="nothing came through the pipe"):
        inputs.read_text(str(tmp_path / "pipe"))


def test_a_pipe_that_somebody_writes_into_is_read_to_its_end(program: Program) -> None:
    pipe = program.home / "pipe"
    os.mkfifo(pipe)
    writer = subprocess.Popen([sys.executable, "-c", f"open({str(pipe)!r}, 'w').write('x' * 200_000)"])
    answer = program.run("send", *MESSAGE, "--body-file", str(pipe))
    writer.wait(30)
    assert answer.status == 0, answer
    assert program.show(int(answer.out))["size_bytes"] > 200_000


class TestTheConfig:
    @pytest.mark.parametrize(
        "text", ["a = " + "[" * 100_000, "a = " + "9" * 5000, "[outbox]\nbusy_timeout_seconds = " + "9" * 5000,
                 "# " + "x" * 2_000_000],
        ids=["deep", "long number", "long number in place", "large"],
    )  # fmt: skip
    def test_is_refused_when_it_is_odd(self, text: str, program: Program) -> None:
        program.config.write_text(text)
        for words in (("list",), ("account", "add", "x", "--host", "h.example")):
            answer = program.run(*words)
            assert (answer.status, "hint:" in answer.err) == (78, True), answer

    def test_from_a_device_or_a_silent_pipe_ends(self, program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
        os.mkfifo(program.home / "pipe")
        monkeypatch.setattr(loading, "CONFIG_SECONDS", 0.2)
        for name in ("/dev/zero", str(program.home / "pipe")):
            assert program.call("--config", name, "list").status in (77, 78)

    def test_from_a_pipe_is_read(self, program: Program) -> None:
        shell = f"{' '.join(COMMAND)} --config <(cat {program.config}) account list"
        done = subprocess.run(["bash", "-c", shell], env=program.environment, cwd=program.home, capture_output=True,
                              text=True, timeout=60, check=False)  # fmt: skip
        assert (done.returncode, done.stdout.split("\t")[0]) == (0, "work"), done


def with_command(program: Program, port: int, *command: str) -> None:
    """Log in with a password that *command* prints."""
    words = ", ".join(f"'{word}'" for word in command)
    program.configure(port, smtp=f'user = "{USER}"\n', auth=f"password_command = [{words}]")


class TestAPasswordCommand:
    def test_that_never_stops_writing_is_ended(self, program: Program) -> None:
        with_command(program, 9, "yes")
        program.send()
        answer = program.run("drain")
        assert (answer.status, "the password is longer than 64 KiB" in answer.err) == (78, True), answer

    def test_that_leaves_a_child_with_its_stdout_is_not_waited_for(self, program: Program) -> None:
        with ScriptedServer(auth={USER: PASSWORD}) as server:
            with_command(
                program, server.port, "sh", "-c", f"sleep 300 2>/dev/null & echo {PASSWORD}; echo $! > sleeper"
            )
            program.send()
            begun = time.monotonic()
            assert program.run("drain").status == 0
            assert time.monotonic() - begun < 200, "it waited for the child"
            os.kill(int((program.home / "sleeper").read_text()), 9)
            assert len(server.messages) == 1

    def test_that_ends_with_an_error_is_told(self, program: Program) -> None:
        with_command(program, 9, "sh", "-c", "echo pw; exit 3")
        program.send()
        answer = program.run("drain")
        assert (answer.status, "ended with status 3" in answer.err) == (78, True)


def test_no_child_is_told_the_variables_that_hold_secrets(program: Program) -> None:
    hook, told = program.home / "hook", program.home / "told"
    hook.write_text(f"#!/bin/sh\nenv > {told}\n")
    hook.chmod(0o700)
    with ScriptedServer(auth={USER: PASSWORD}) as server:
        program.configure(server.port, smtp=f'user = "{USER}"\n', auth='password_env = "MAIL_PW"')
        more = (
            f'[notify]\ncommand = ["{hook}"]\n[accounts.b]\nfrom="b@example.com"\n[accounts.b.smtp]\nhost="localhost"\n'
        )
        more += 'tls = "none"\nuser = "b"\n[accounts.b.smtp.auth]\npassword_env = "OTHER_PW"\n'
        program.config.write_text('default_account = "work"\n' + program.config.read_text() + more)
        program.send("--expires-in", "1h", "--now-ts", "1000")
        secrets = {"MAIL_PW": PASSWORD, "OTHER_PW": "s3cret-other", "PRX_EMAIL_SMTP_OAUTH_TOKEN": "t0ken-of-oauth"}
        assert program.run("drain", "--now-ts", "9000", **secrets, HARMLESS="kept").status == 69
    names = {line.partition("=")[0] for line in told.read_text().splitlines()}
    assert "HARMLESS" in names
    assert not names & set(secrets)


class TestAFileThatOthersCanChange:
    @pytest.mark.parametrize("mode", [0o666, 0o622, 0o602])
    def test_is_no_config(self, mode: int, program: Program) -> None:
        program.config.chmod(mode)
        answer = program.run("list")
        assert (answer.status, "chmod go-w" in answer.err) == (77, True), answer

    def test_is_none_in_a_directory_that_others_can_change(self, program: Program) -> None:
        place = program.home / "open"
        place.mkdir()
        place.chmod(0o777)
        (place / "config.toml").write_text(program.config.read_text())
        answer = program.run("--config", str(place / "config.toml"), "list")
        assert (answer.status, str(place) in answer.err) == (77, True), answer
        place.chmod(0o1777)
        assert program.run("--config", str(place / "config.toml"), "list").status == 0

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    @pytest.mark.parametrize("which", ["config", "password", "ca"])
    def test_is_not_used_by_root_when_it_is_another_users(self, which: str, program: Program) -> None:
        (program.home / "password").write_text(PASSWORD + "\n")
        (program.home / "password").chmod(0o600)
        (program.home / "ca.pem").write_text("x")
        tls = 'tls = "starttls"\ntls_ca_file = "ca.pem"\n' if which == "ca" else ""
        program.configure(9, smtp=f'user = "{USER}"\n{tls}', auth='password_file = "password"')
        program.send()
        names = {"config": "config.toml", "password": "password", "ca": "ca.pem"}
        file = program.home / names[which]
        os.chown(file, 12345, 12345)
        answer = program.run("drain")
        assert (answer.status, "belongs to" in answer.err) == (77, True), answer

    def test_is_not_run(self, program: Program) -> None:
        script = program.home / "script"
        script.write_text(f"#!/bin/sh\necho {PASSWORD}\ntouch {program.home / 'ran'}\n")
        script.chmod(0o777)
        with_command(program, 9, str(script))
        program.config.write_text(program.config.read_text() + f'[notify]\ncommand = ["{script}"]\n')
        program.send()
        answer = program.run("drain")
        assert (answer.status, "writable by others" in answer.err) == (77, True), answer
        program.send("--expires-in", "1h", "--now-ts", "1000")
        assert "is not run" in program.run("drain", "--now-ts", "9000").err
        assert not (program.home / "ran").exists()

    def test_in_a_directory_of_ones_own_group_is_used(self, program: Program) -> None:
        program.config.chmod(0o620)  # root's own group has nobody else, or the machine's is another
        assert program.run("list").status in (0, 77)


def test_a_line_longer_than_any_message_is_passed_over_and_the_rest_is_stored(program: Program) -> None:
    program.config.write_text(program.config.read_text() + "[attachments.policy]\nmax_message_bytes = 1000\n")
    line = '{"to": "a@example.org", "subject": "s", "body_text": "x"}\n'
    answer = program.run("send", "--batch", "-", "--json", text=line + "x" * 3_000_000 + "\n" + line)
    assert (answer.status, answer.data["enqueued"]) == (65, 2)
    assert [error["line"] for error in answer.data["errors"]] == [2]
