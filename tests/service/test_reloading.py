"""SIGHUP: the config is read anew, and nothing that is on the wire notices."""

from __future__ import annotations

import os
import signal

from ..cli.test_drain import two_accounts
from ..conftest import Program
from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from .running import running


def subjects(server: ScriptedServer) -> list[str]:
    lines = [line for message in server.messages for line in message.content.decode().splitlines()]
    return [line.removeprefix("Subject: ") for line in lines if line.startswith("Subject: ")]


def arrives(server: ScriptedServer, subject: str) -> None:
    server.wait_for(lambda: subject in subjects(server))


def test_it_is_told_and_a_new_account_delivers_and_a_removed_one_does_not(program: Program) -> None:
    with ScriptedServer() as first, ScriptedServer() as second:
        two_accounts(program, first.port, second.port)
        both = program.config.read_text()
        only = both[: both.index("[accounts.second]")]
        program.send("--account", "second", subject="early")
        program.config.write_text(only)
        with running(program) as service:
            service.wait_to_say("there is no account 'second'")
            program.config.write_text(both)
            service.reload()
            arrives(second, "early")
            program.config.write_text(only)
            service.reload()
            program.config.write_text(both)  # it has read the other one
            late = program.send("--account", "second", subject="late")
            service.wait_to_say("there is no account 'second'", times=2)
            program.send("--account", "first", subject="goes")
            arrives(first, "goes")
            assert service.stop() == 0
            assert service.manager.order() == ["READY", *["RELOADING", "READY"] * 2, "STOPPING"]
            assert sum("the config was reloaded" in line for line in service.said) == 2
        assert program.show(late)["status"] == "pending"
        assert subjects(second) == ["early"]


def test_what_is_on_the_wire_is_finished_under_the_config_before_and_no_other_account_waits(program: Program) -> None:
    with ScriptedServer([Fault("after_dot", "pause")]) as old, ScriptedServer() as new, ScriptedServer() as second:
        two_accounts(program, old.port, second.port)
        one = program.send("--account", "first", subject="on the wire")
        with running(program) as service:
            old.wait_for(lambda: old.happened)
            two_accounts(program, new.port, second.port)
            service.reload()
            program.send("--account", "second", subject="meanwhile")
            arrives(second, "meanwhile")
            program.send("--account", "first", subject="after it")
            assert program.show(one)["status"] == "sending"
            old.release()
            arrives(new, "after it")
            assert service.stop() == 0
        assert program.show(one)["status"] == "sent"
        assert (subjects(old), subjects(new)) == (["on the wire"], ["after it"])
        assert (old.violations, new.violations) == ([], [])


def test_an_idle_connection_of_an_account_that_changed_is_not_used_again(program: Program) -> None:
    with ScriptedServer() as old, ScriptedServer() as new, ScriptedServer() as second:
        two_accounts(program, old.port, second.port)
        for name in ("first", "second"):
            program.send("--account", name, subject="before")
        with running(program) as service:
            arrives(old, "before")
            arrives(second, "before")
            two_accounts(program, new.port, second.port)
            service.reload()
            old.wait_for(lambda: old.open_connections == 0)
            for name in ("first", "second"):
                program.send("--account", name, subject="after")
            arrives(new, "after")
            arrives(second, "after")
            assert (old.connections, second.connections) == (1, 1), "an account that is as it was keeps its connection"
            assert service.stop() == 0


def test_a_config_with_a_fault_is_told_and_the_one_before_stays_in_force(program: Program) -> None:
    with ScriptedServer() as server:
        program.configure(server.port)
        right = program.config.read_text()
        elsewhere = right.replace("outbox.db", "other.db").replace("@/outbox", "@/other")
        with running(program) as service:
            service.is_ready()
            for wrong in ("[accounts.work", right.replace("port", "prot"), elsewhere):
                program.config.write_text(wrong)
                service.reload()
                service.manager.wait_for(lambda: "the config has a fault" in service.manager.status())
                program.config.write_text(right)
                subject = f"number {len(server.messages)}"
                program.send(subject=subject)
                arrives(server, subject)
                service.reload()
                service.manager.wait_for(lambda: "fault" not in service.manager.status())
            assert service.stop() == 0
        text = "".join(service.said)
        assert (
            text.count("error: ") == text.count("the config was not reloaded, and the one before stays in force") == 3
        )
        assert "the outbox has changed, and a running service keeps its outbox" in text
        assert not (program.home / "other.db").exists()


def test_a_password_that_was_corrected_is_tried_at_once(program: Program) -> None:
    with ScriptedServer(auth={"me": "right"}) as server:
        program.configure(server.port, smtp='user = "me"', auth='password = "wrong"')
        for subject in ("is refused", "at last"):
            program.send(subject=subject)
        with running(program) as service:
            service.manager.wait_for(lambda: "1 failed" in service.manager.status())
            text = program.config.read_text().replace('"wrong"', '"right"')
            program.config.write_text(text)
            service.reload()
            arrives(server, "at last")
            assert service.stop() == 0
            assert not any("wrong" in line or "right" in line for line in service.said)


def test_many_signals_are_heeded_and_the_last_one_sees_the_last_config(program: Program) -> None:
    with ScriptedServer() as old, ScriptedServer() as new:
        program.configure(old.port)
        with running(program) as service:
            service.is_ready()
            for number in range(20):
                program.configure((old, new)[number % 2].port)
                service.process.send_signal(signal.SIGHUP)
            program.send(subject="once")
            arrives(new, "once")
            assert service.stop() == 0
            order = service.manager.order()
        assert order == ["READY", *["RELOADING", "READY"] * ((len(order) - 2) // 2), "STOPPING"]
        assert subjects(old) == []


def test_a_signal_that_comes_while_the_first_config_is_read_is_not_missed(program: Program) -> None:
    with ScriptedServer() as old, ScriptedServer() as new:
        program.configure(new.port)
        after = program.config.rename(program.home / "after.toml")
        program.configure(old.port)
        before = program.config.read_text()
        program.config.unlink()
        os.mkfifo(program.config, 0o600)
        with running(program) as service:
            with program.config.open("w") as first:  # opens once it is read from
                os.replace(after, program.config)
                service.process.send_signal(signal.SIGHUP)
                first.write(before)
            service.is_ready(2)
            program.send(subject="once")
            arrives(new, "once")
            assert service.stop() == 0
        assert old.connections == 0


def test_the_log_is_another_file_from_then_on(program: Program) -> None:
    with ScriptedServer() as server:
        program.configure(server.port)
        text = program.config.read_text()
        program.config.write_text(f'{text}[log]\nfile = "{program.home}/one.log"\n')
        with running(program) as service:
            program.send()
            server.wait_for(lambda: len(server.messages) == 1)
            service.manager.wait_for(lambda: service.manager.status().startswith("1 sent"))
            program.config.write_text(f'{text}[log]\nfile = "{program.home}/two.log"\nformat = "json"\n')
            service.reload()
            program.send()
            server.wait_for(lambda: len(server.messages) == 2)
            assert service.stop() == 0
    assert "outbox_id=1" in (program.home / "one.log").read_text()
    assert '"outbox_id": 2' in (program.home / "two.log").read_text()
