"""``show``: the answer first, everything behind it, by whatever names a message; and until it is over."""

from __future__ import annotations

import getpass
import json
import os
import platform
from pathlib import Path

import pytest
from rich.cells import cell_len

from ..conftest import COMMAND, Program
from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from ..support.terminal import CTRL_C, Terminal
from .outside import NOW, assert_error, serving

KEY = "news-7/a@example.org"
EVIL = "\x1b[31mred\x9b"


def labelled(out: str, label: str) -> str:
    """What stands beside *label*."""
    return next(line[16:] for line in out.splitlines() if line.startswith(f"{label:<16}"))


def answered(program: Program, *words: str) -> tuple[str, str, str]:
    """The answer, what comes next, and the first command, of what must be the first lines."""
    answer = program.run("show", *words)
    assert (answer.status, answer.err) == (0, ""), answer
    lines = [line[:16].strip() for line in answer.out.splitlines()[:2]]
    assert lines == ["answer", "next"]
    command = labelled(answer.out, "command") if "\ncommand " in answer.out else ""
    return labelled(answer.out, "answer"), labelled(answer.out, "next"), command


class TestTheAnswer:
    """Each command that it names does what it says, tried as it is."""

    def test_a_scheduled_message_is_cancelled_by_the_command(self, program: Program) -> None:
        program.send("--in", "2h")
        became, following, command = answered(program, "1")
        assert (became, following.partition(" ")[0]) == ("not attempted yet", "scheduled")
        assert command == "prx-email retry 1 --force  # sends it now"
        assert program.show(1)["commands"] == ["prx-email retry 1 --force", "prx-email cancel 1", "prx-email cron"]
        assert program.run("cancel", "1").status == 0
        became, following, _ = answered(program, "1")
        assert became.startswith("cancelled by ")
        assert following == "nothing: no drain takes it again"

    def test_a_partly_sent_message_tells_who_has_it(self, program: Program) -> None:
        with serving(program, Fault("rcpt", "550 5.1.1 no such user", address="b@example.org")):
            program.send(to="a@example.org,b@example.org,c@example.org")
            program.run("drain")
            became, _, command = answered(program, "1")
            assert became.startswith("partly sent: 2 of 3; b@example.org refused; given up: refused for good; b@")
            assert command == "prx-email edit 1 --replace b@example.org=NEW --retry  # sends to another address"
        with serving(program):
            corrected = command.partition("  #")[0].replace("=NEW", "=d@example.org")
            assert program.run(*corrected.split()[1:]).status == 0
        assert answered(program, "1")[0].startswith("sent to all 3 recipients")

    def test_a_resting_account_is_named_with_its_test(self, program: Program) -> None:
        with ScriptedServer([Fault("auth", "535 5.7.8 no")], auth={"ops@example.com": "right"}) as server:
            program.configure(server.port, smtp='user = "ops@example.com"', auth='password = "right"')
            program.send()
            program.run("drain")
            _, following, command = answered(program, "1")
        assert following.startswith("waits: account work rests after a refused login until ")
        assert command.startswith("prx-email account test work  #")

    def test_a_paused_account_is_resumed_by_the_command(self, program: Program) -> None:
        program.send()
        program.run("pause", "--account", "work", "--reason", "moving")
        _, following, command = answered(program, "1")
        assert following.startswith("waits: account work is paused, by ")
        assert following.endswith(": moving")
        program.run(*command.partition("  #")[0].split()[1:])
        assert "paused" not in answered(program, "1")[1]

    def test_an_uncertain_message_that_is_held_is_resolved(self, program: Program) -> None:
        with serving(program, Fault("after_dot", "close", delivered=True)) as server:
            program.configure(server.port, outbox='on_uncertain = "hold"')
            program.send()
            program.run("drain")
        became, following, command = answered(program, "1")
        assert became.startswith("may have been sent: 1 attempt failed")
        assert following == "waits for a person to say whether it arrived: held"
        program.run(*command.partition("  #")[0].split()[1:])
        assert answered(program, "1")[0].startswith("marked as sent by ")

    def test_a_limit_that_is_used_up_is_told_with_its_end(self, program: Program) -> None:
        with serving(program) as server:
            program.configure(server.port, smtp="messages_per_day = 1")
            program.send()
            program.send()
            program.run("drain")
        assert "has used up its limit of 1 message in 24h until" in answered(program, "2")[1]

    def test_an_account_that_left_the_config_is_named(self, program: Program) -> None:
        program.send()
        program.config.write_text(program.config.read_text().replace("accounts.work", "accounts.other"))
        assert answered(program, "1")[1] == "waits: the config has no account work any more"

    def test_a_message_under_way_names_its_run(self, program: Program) -> None:
        with serving(program, Fault("after_dot", "pause")) as server:
            program.send()
            process = program.start("drain")
            server.wait_for(lambda: server.happened)
            became, following, _ = answered(program, "1")
            server.release()
            process.communicate(timeout=60)
        assert became == "is being sent now"
        assert following.startswith(f"run {program.show(1)['attempts'][0]['run_id']} has had it for ")

    def test_a_due_message_without_a_drain_says_so(self, program: Program) -> None:
        program.send("--now-ts", str(NOW))
        became, following, command = answered(program, "1", "--now-ts", str(NOW + 300))
        assert (became, following) == ("not attempted yet", "is due since 5m; no drain has run here yet")
        assert command.startswith("prx-email drain  #")

    def test_the_config_of_the_command_line_is_in_the_commands(self, program: Program) -> None:
        program.send()
        answer = program.run("--config", str(program.config), "show", "1", PRX_EMAIL_CONFIG="/nowhere")
        assert labelled(answer.out, "command").startswith(f"prx-email --config {program.config} drain")


class TestEverything:
    def test_who_enqueued_it_and_by_what(self, program: Program) -> None:
        line = '{"to": "a@example.org", "subject": "s", "body_text": "t"}\n'
        (program.home / "mail.eml").write_text("Message-ID: <1@example.org>\nFrom: b@example.org\n\nhi\n")
        program.send()
        program.run("send", "--batch", "-", text=line)
        program.run("send", "--request", "-", text=line)
        program.run("reply", "--parent", "mail.eml", "--body", "x")
        (program.home / "people.csv").write_text("to\na@example.org\n")
        program.run("send", "--merge", "people.csv", "--subject", "s", "--body", "x")
        found = [program.show(number)["enqueued_by"] for number in range(1, 6)]
        commands = ["send", "send --batch", "send --request", "reply", "send --merge"]
        assert [one["command"] for one in found] == commands
        assert {(one["uid"], one["host"]) for one in found} == {(os.getuid(), platform.node())}
        user = os.environ.get("SUDO_USER") or getpass.getuser()
        assert f"enqueued by {user} (uid {os.getuid()}) on {platform.node()}: send --batch\n" in program.run(
            "show", "2"
        ).out  # fmt: skip

    def test_from_attachments_key_and_expiry(self, program: Program) -> None:
        (program.home / "Größe.bin").write_bytes(b"x" * 100_000)
        program.send("--attach", "Größe.bin;type=application/pdf", "--idempotency-key", KEY, "--expires-in", "1d",
                     "--from", "Dr Ünal <u@example.com>")  # fmt: skip
        shown = program.show(1)
        assert shown["attachments"] == [
            {"filename": "Größe.bin", "content_type": "application/pdf", "size_bytes": 100_000}
        ]
        assert (shown["from"], shown["sender"]) == ("Dr Ünal <u@example.com>", "u@example.com")
        assert (shown["idempotency_key"], shown["expires_at"]) == (KEY, shown["created_at"] + 86_400)
        out = program.run("show", "1").out
        assert "\n  Größe.bin  application/pdf  100000 bytes\n" in out
        assert labelled(out, "from") == "Dr Ünal <u@example.com>"
        assert labelled(out, "idempotency key") == KEY

    def test_the_timeline_is_in_order_of_time_with_what_people_did(self, program: Program) -> None:
        with serving(program, Fault("rcpt", "450 4.2.0 later", times=1)):
            program.send("--now-ts", "1000")
            program.run("hold", "1", "--now-ts", "1010")
            program.run("release", "1", "--now-ts", "1020")
            program.run("drain", "--now-ts", "1030")
            program.run("retry", "1", "--force", "--now-ts", "1031")
        out = program.run("show", "1").out
        at = [out.index(word) for word in ("enqueued by", "held by", "released by", "attempt 1: deferred",
                                           "retried by", "attempt 2: sent")]  # fmt: skip
        assert at == sorted(at)
        assert ": --force\n" in out
        acted = program.show(1)["actions"]
        assert [(one["what"], one["at"], one["detail"]) for one in acted] == [
            ("held", 1010, None), ("released", 1020, None), ("retried", 1031, "--force")
        ]  # fmt: skip
        assert "actions" not in json.loads(program.run("list", "--json").out)["data"][0]
        assert "actions" not in program.run("list", "--format", "csv").out

    def test_content_that_was_dropped_is_told_with_when(self, program: Program) -> None:
        with serving(program):
            program.send("--now-ts", "1000")
            program.run("drain", "--now-ts", "1000")
        program.run("prune", "--older-than", "1d", "--now-ts", "200000")
        shown = program.show(1)
        assert (shown["pruned_at"], shown["attachments"], shown["from"]) == (200_000, None, None)
        assert labelled(program.run("show", "1").out, "pruned").endswith(": the content was dropped")
        for option in ("--body", "--headers"):
            assert_error(program.run("show", "1", option), 66, "pruned")

    def test_the_text_and_the_headers_alone(self, program: Program) -> None:
        text = "Grüße,\n\tindented\n" + "long " * 30_000 + "end\n"
        program.send(body=text)
        assert program.run("show", "1", "--body").out == text.expandtabs()
        headers = program.run("show", "1", "--headers").out
        assert headers.startswith("Message-ID: <outbox-1-0@prx-email.local>\n")
        assert "Subject: hello\n" in headers
        assert "Grüße" not in headers
        both = program.run("show", "1", "--headers", "--body").out
        assert both == f"{headers}\n{text.expandtabs()}"
        data = json.loads(program.run("show", "1", "--json", "--headers", "--body").out)["data"]
        assert (data["headers"].rstrip("\n"), data["text"]) == (headers.rstrip("\n"), text)
        assert {"headers", "text"}.isdisjoint(program.show(1))

    def test_html_alone_is_told_as_its_words(self, program: Program) -> None:
        (program.home / "a.html").write_text("<p>Hello <b>you</b></p><script>evil()</script>")
        program.run("send", "--to", "a@example.org", "--subject", "s", "--html", "a.html")
        assert program.run("show", "1", "--body").out == "Hello you\n"


class TestWrapping:
    @pytest.mark.parametrize("width", [20, 33, 40, 47, 80, 200])
    def test_no_line_is_wider_than_the_terminal_and_no_word_is_lost(self, program: Program, width: int) -> None:
        with serving(program, Fault("rcpt", f"550 5.1.1 no such user {'x' * 90} {EVIL} end")):
            program.send(subject="件名 " * 30, to=f"{'a' * 60}@example.org")
            program.run("drain")
        plain, narrow = (program.run("show", "1", **around).out for around in ({}, {"COLUMNS": str(width)}))
        assert max(map(cell_len, narrow.splitlines())) <= width
        assert not set(narrow) & set("\x1b\x9b")
        squeezed = "".join(narrow.split())
        for word in ("a" * 60 + "@example.org", "x" * 90, "件名件名件名", r"\x1b[31mred\x9b", "prx-emailretry1--force"):
            assert word in squeezed
            assert word in "".join(plain.split())

    def test_a_pipe_breaks_no_line(self, program: Program) -> None:
        program.send(subject="word " * 60)
        assert "subject         " + ("word " * 60).strip() in program.run("show", "1").out


class TestNames:
    def test_a_message_id_or_key_names_it_as_well(self, program: Program) -> None:
        program.send("--idempotency-key", KEY)
        program.send("--idempotency-key", "plain")
        for words, expected in (
            (("1",), 1), (("<outbox-2-0@prx-email.local>",), 2), (("outbox-1-0@prx-email.local",), 1),
            ((KEY,), 1), (("plain",), 2), (("plain", "--account", "work"), 2),
        ):  # fmt: skip
            assert program.run("show", *words, "--json").data["outbox_id"] == expected, words

    def test_an_outbox_id_comes_before_a_key_of_digits(self, program: Program) -> None:
        program.send("--idempotency-key", "2")
        assert program.run("show", "2", "--json").data["outbox_id"] == 1
        program.send()
        assert program.run("show", "2", "--json").data["outbox_id"] == 2

    def test_a_key_that_two_accounts_have_wants_the_account(self, program: Program) -> None:
        text = program.config.read_text().replace("accounts.work", "accounts.home")
        program.config.write_text(program.config.read_text() + text[text.index("[accounts.home]") :])
        for account in ("work", "home"):
            program.send("--account", account, "--idempotency-key", "k")
        assert_error(program.run("show", "k"), 65, "'k': 1 of work, 2 of home", "--account")
        assert program.run("show", "k", "--account", "home", "--json").data["outbox_id"] == 2
        assert_error(program.run("show", "k", "--account", "nobody"), 66, "of account nobody")

    def test_several_are_a_list_in_json_and_one_an_object(self, program: Program) -> None:
        program.send()
        program.send("--idempotency-key", "k")
        assert [one["outbox_id"] for one in program.run("show", "2", "1", "k", "--json").data] == [2, 1]
        out = program.run("show", "1", "2").out
        assert out.count("\noutbox id ") == 2
        assert "\n\nanswer " in out
        for more in ((), ("--json",)):
            answer = program.run("show", "1", "99", *more)
            assert answer.status == 66
            assert "there is no 99" in answer.out + answer.err

    @pytest.mark.parametrize("option", ["--body", "--headers"])
    def test_the_text_of_several_is_a_wrong_command_line(self, program: Program, option: str) -> None:
        program.send()
        program.send()
        assert program.run("show", "1", "2", option).status == 2
        assert program.run("show", "1", option, "--follow").status == 2
        assert len(program.run("show", "1", "2", option, "--json").data) == 2


class TestFollowing:
    def test_ends_once_it_is_sent_having_told_what_happened(self, program: Program) -> None:
        with serving(program, Fault("rcpt", "450 4.2.0 later", times=1)):
            program.send("--now-ts", "1000")
            process = program.start("show", "1", "--follow")
            assert process.stdout is not None
            line = ""
            while "enqueued" not in line:
                line = process.stdout.readline()
            program.run("drain", "--now-ts", "1000")
            program.run("drain", "--now-ts", "2000")
            rest, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (0, "")
        assert [rest.count(f"attempt {number}: {what}") for number, what in ((1, "deferred"), (2, "sent"))] == [1, 1]
        assert rest.splitlines()[-2].startswith("answer          sent ")

    def test_ends_with_69_once_one_is_given_up_and_all_are_over(self, program: Program) -> None:
        with serving(program):
            program.send()
            program.send()
            process = program.start("show", "1", "2", "--follow", "--json")
            program.run("cancel", "2")
            program.run("drain")
            out, _ = process.communicate(timeout=60)
        assert process.returncode == 69
        assert [(one["status"], one["gave_up"]) for one in json.loads(out)["data"]] == [
            ("sent", None), ("pending", "cancelled")
        ]  # fmt: skip

    def test_of_what_is_over_ends_at_once(self, program: Program) -> None:
        program.send()
        program.run("cancel", "1")
        answer = program.run("show", "1", "--follow")
        assert (answer.status, answer.out.count("\nanswer ")) == (69, 1)

    def test_ends_quietly_by_ctrl_c(self, program: Program, tmp_path: Path) -> None:
        program.send()
        command = [*COMMAND, "show", "1", "--follow"]
        with Terminal(command, env=program.environment, cwd=tmp_path) as terminal:
            terminal.expect("enqueued by")
            terminal.press(CTRL_C)
            assert terminal.end() == 130
            assert "Traceback" not in terminal.screen

    @pytest.mark.of_files
    def test_says_so_when_the_outbox_is_gone(self, program: Program) -> None:
        program.send()
        process = program.start("show", "1", "--follow")
        assert process.stdout is not None
        while "enqueued" not in process.stdout.readline():
            pass
        program.outbox.rename(program.home / "elsewhere.db")
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (
            74, "error: the outbox was replaced or is gone\nhint: start this again\n"
        )  # fmt: skip


def test_a_hook_is_told_what_show_tells(program: Program) -> None:
    script = program.home / "hook.sh"
    script.write_text("#!/bin/sh\ncat > told\n")
    script.chmod(0o755)
    with serving(program, Fault("rcpt", "550 5.1.1 no such user")):
        program.config.write_text(program.config.read_text() + f'[notify]\ncommand = ["{script}"]\n')
        program.send()
        program.run("drain")
    told = json.loads((program.home / "told").read_text())
    assert told.pop("event") == "gave_up"
    assert set(told) == set(program.show(1))
    commands = [f"prx-email --config {program.config} {what}" for what in (
        "edit 1 --replace a@example.org=NEW --retry", "retry 1 --force", "dismiss 1",
    )]  # fmt: skip
    assert told["commands"] == commands
