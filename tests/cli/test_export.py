"""``export`` and ``--preview``: the bytes of a message before, between and after its attempts."""

from __future__ import annotations

import email
import json
import mailbox
import os
import subprocess
from base64 import b64decode
from contextlib import closing
from pathlib import Path

import pytest

from ..conftest import COMMAND, Program
from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from .outside import rows, serving, stored
from .test_list import on_terminal

BODY = "From here\n>From there\n.\n..dots\nGrüße\n"


def raw(program: Program, *arguments: str, text: bytes = b"") -> tuple[int, bytes, str]:
    """Status, stdout as bytes, and stderr of ``prx-email ARGUMENTS``."""
    done = subprocess.run([*COMMAND, *arguments], env=program.environment, cwd=program.home, input=text,
                          capture_output=True, check=False, timeout=60)  # fmt: skip
    return done.returncode, done.stdout, done.stderr.decode()


def exported(program: Program, *arguments: str) -> bytes:
    """What ``export`` prints, which must work."""
    status, out, err = raw(program, "export", *arguments)
    assert (status, err) == (0, "")
    return out


def headers(file: Path, name: str) -> list[str]:
    """A header of each message of an mbox, as another program reads it."""
    with closing(mailbox.mbox(file)) as box:
        return [one[name] for one in box]


class TestExport:
    def test_is_what_the_next_attempt_sends_and_then_what_was_sent(self, program: Program) -> None:
        with serving(program, Fault("data", "451 4.3.0 later", times=1)) as server:
            (program.home / "note.txt").write_text("x" * 70_000)
            program.send("--bcc", "hidden@example.org", "--attach", "note.txt", body=BODY)
            first = exported(program, "1")
            assert first.startswith(b"Message-ID: <outbox-1-0@prx-email.local>\r\n")
            assert b"hidden@" not in first
            assert program.run("drain").status == 75
            second = exported(program, "1", "--eml")
            assert second == first.replace(b"outbox-1-0@", b"outbox-1-1@")
            assert program.run("retry", "1", "--force").status == 0
            (message,) = server.messages
            assert (message.content, exported(program, "1")) == (second, second)

    def test_repeats_the_message_id_of_an_uncertain_attempt(self, program: Program) -> None:
        with serving(program, Fault("after_dot", "close", times=1)):
            program.send()
            assert program.run("drain").status == 75
            assert exported(program, "1").startswith(b"Message-ID: <outbox-1-0@")
            assert program.run("resolve", "1", "--not-sent").status == 0
            assert exported(program, "1").startswith(b"Message-ID: <outbox-1-1@")

    def test_is_of_the_attempt_under_way_while_there_is_one(self, program: Program) -> None:
        with serving(program, Fault("after_dot", "pause", times=1)) as server:
            program.send()
            drain = program.start("drain")
            server.wait_for(lambda: server.happened, timeout=60)
            assert exported(program, "1").startswith(b"Message-ID: <outbox-1-0@")
            server.release()
            assert drain.wait(timeout=60) == 0
            drain.communicate()

    @pytest.mark.on_both
    def test_is_whole_however_large(self, program: Program) -> None:
        program.configure(account="", outbox="")
        program.config.write_text(program.config.read_text() + "\n[attachments.policy]\nmax_size_bytes = 9000000\n")
        data = os.urandom(3_000_000)
        (program.home / "a.zip").write_bytes(data)
        program.send("--attach", "a.zip")
        message = email.message_from_bytes(exported(program, "1"))
        assert message.get_payload(1).get_payload(decode=True) == data  # type: ignore[union-attr]

    @pytest.mark.on_both
    def test_of_several_is_an_mbox_that_gives_each_back(self, program: Program) -> None:
        program.configure()
        for _ in range(2):
            program.send(body=BODY)
        (program.home / "two.mbox").write_bytes(exported(program, "2", "1", "2"))
        assert headers(program.home / "two.mbox", "Message-ID") == [
            f"<outbox-{number}-0@prx-email.local>" for number in (2, 1)
        ]
        assert program.run("import", "two.mbox").out.startswith("2")
        (program.home / "one.mbox").write_bytes(exported(program, "1", "--mbox"))
        body = (program.home / "one.mbox").read_bytes()
        assert body.count(b"\nFrom ") == 0
        unmarked = b"".join(
            line[1:] if line.lstrip(b">").startswith(b"From ") else line for line in body.splitlines(keepends=True)[1:]
        )
        assert unmarked == exported(program, "1") + b"\n"

    def test_into_a_maildir_writes_a_private_file_of_each_and_prints_its_name(self, program: Program) -> None:
        program.configure()
        for _ in range(2):
            program.send(body=BODY)
        answer = program.run("export", "1", "2", "--maildir", "box")
        files = [program.home / line for line in answer.out.splitlines()]
        assert [file.read_bytes() for file in files] == [exported(program, number) for number in ("1", "2")]
        assert [file.stat().st_mode & 0o777 for file in files] == [0o600, 0o600]
        assert len(mailbox.Maildir(program.home / "box")) == 2
        assert os.listdir(program.home / "box" / "tmp") == []
        (told,) = program.run("export", "1", "--maildir", "box", "--json").data
        assert Path(program.home / told["file"]).read_bytes() == exported(program, "1")
        assert len(mailbox.Maildir(program.home / "box")) == 3

    def test_as_json_has_the_bytes(self, program: Program) -> None:
        program.configure()
        program.send(body=BODY)
        (told,) = program.run("export", "1", "--json").data
        assert (told["outbox_id"], told["message_id"], told["sender"]) == (
            1, "<outbox-1-0@prx-email.local>", "ops@example.com")  # fmt: skip
        assert b64decode(told["base64"]) == exported(program, "1")

    def test_on_a_terminal_is_safe_to_look_at(self, program: Program) -> None:
        program.configure()
        program.send(body="a\x1b[31mred\n")
        assert "\x1b" not in on_terminal(program, "export", "1")

    def test_prints_nothing_of_some_when_one_cannot_be_had(self, program: Program) -> None:
        with serving(program):
            program.send()
            assert program.run("drain").status == 0
        program.send()
        for ids, word in ((["2", "7"], "outbox record not found"), (["2", str(10**30)], "")):
            answer = program.run("export", *ids)
            assert (answer.status, answer.out, word in answer.err) == (66, "", True), ids
        assert program.run("prune", "--older-than", "0s").status == 0
        answer = program.run("export", "2", "1")
        assert (answer.status, answer.out, "was pruned" in answer.err) == (66, "", True)
        assert program.run("export", "1", "--json").json["error"]["code"] == "not_found"

    @pytest.mark.on_both
    def test_of_a_damaged_message_is_refused(self, program: Program) -> None:
        program.configure()
        program.send()
        program.execute("UPDATE content SET data = substr(data, 2)")
        answer = program.run("export", "1")
        assert (answer.status, answer.out, "not what was stored" in answer.err) == (74, "", True)

    @pytest.mark.parametrize("words", [[], ["x"], ["1", "2", "--eml"], ["1", "--eml", "--mbox"]])
    def test_refuses_a_wrong_command_line(self, words: list[str], program: Program) -> None:
        program.configure()
        assert program.run("export", *words).status == 2

    def test_into_what_is_no_directory_says_so(self, program: Program) -> None:
        program.configure()
        program.send()
        (program.home / "file").touch()
        answer = program.run("export", "1", "--maildir", "file")
        assert (answer.status, "cannot write into the Maildir" in answer.err) == (74, True)


class TestPreview:
    def test_is_what_would_be_stored_and_stores_nothing(self, program: Program) -> None:
        program.configure()
        words = ["send", "--to", "a@example.org", "--bcc", "b@example.org", "--subject", "s", "--body", BODY]
        words += ["--now-ts", "1000"]
        status, out, err = raw(program, *words, "--preview")
        assert (status, b"To: a@example.org" in out, "b@example.org" in err) == (0, True, True)
        assert not program.outbox.exists()
        assert program.run(*words).out == "1\n"
        assert exported(program, "1") == b"Message-ID: <outbox-1-0@prx-email.local>\r\n" + out
        told = program.run(*words, "--preview", "--json").data
        assert b64decode(told["base64"]) == out
        assert told["recipients"] == [{"address": "a@example.org", "kind": "to"},
                                      {"address": "b@example.org", "kind": "bcc"}]  # fmt: skip
        assert len(rows(program)) == 1

    def test_refuses_what_send_refuses(self, program: Program) -> None:
        program.configure()
        assert program.run("send", "--to", "no address", "--subject", "s", "--body", "b", "--preview").status == 65
        answer = program.run("send", "--to", "a@x.org", "--subject", "s", "--body", "b", "--preview", "--now")
        assert (answer.status, program.outbox.exists()) == (2, False)

    def test_of_a_request_and_of_a_reply_stores_nothing_and_learns_nothing(self, program: Program) -> None:
        program.configure()
        (program.home / "r.json").write_text('{"to": "a@x.org", "subject": "s", "body_text": "b"}')
        assert b"To: a@x.org" in raw(program, "send", "--request", "r.json", "--preview")[1]
        (program.home / "mail").write_text("Message-ID: <1@x.org>\nFrom: a@x.org\nSubject: q\n\ntext\n")
        status, out, _ = raw(program, "reply", "--parent", "mail", "--body", "b", "--preview")
        assert (status, b"In-Reply-To: <1@x.org>" in out, b"Subject: Re: q" in out) == (0, True, True)
        assert not any(stored(program).values())
        assert program.run("import", "mail").status == 0
        status, out, _ = raw(program, "reply", "1@x.org", "--body", "b", "--preview")
        assert (status, b"In-Reply-To: <1@x.org>" in out, rows(program)) == (0, True, [])

    def test_of_a_batch_is_an_mbox_of_its_good_lines(self, program: Program) -> None:
        program.configure()
        lines = [json.dumps({"to": f"{name}@x.org", "subject": name, "body_text": BODY}) for name in ("a", "b")]
        text = f"{lines[0]}\nno json\n{lines[1]}\n".encode()
        status, out, err = raw(program, "send", "--batch", "-", "--preview", text=text)
        (program.home / "box").write_bytes(out)
        assert (status, "line 2: not JSON" in err, "line 3: from ops@example.com to b@x.org" in err) == (65, True, True)
        assert headers(program.home / "box", "Subject") == ["a", "b"]
        assert rows(program) == []
        status, out, _ = raw(program, "send", "--batch", "-", "--preview", "--json", text=text)
        told = json.loads(out)["data"]
        assert (told["enqueued"], told["refused"], [one["line"] for one in told["messages"]]) == (0, 1, [1, 3])
        assert b"Subject: b" in b64decode(told["messages"][1]["base64"])


def test_a_preview_needs_no_server_and_tries_none(program: Program) -> None:
    with ScriptedServer() as server:
        program.configure(server.port)
        assert raw(program, "send", "--to", "a@x.org", "--subject", "s", "--body", "b", "--preview")[0] == 0
        assert program.run("drain").status == 0
        assert server.messages == []
