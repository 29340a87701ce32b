"""``send --batch`` that can be checked, repeated, corrected and completed from the command line."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Answer, Program
from ..support.mailhost import MailHost
from .outside import NOW, assert_error, parsed, rows, stored
from .test_batch import line

BAD = '{"to": "nobody", "subject": "s", "body_text": "b"}\n'


def batch(program: Program, text: str, *options: str) -> Answer:
    return program.call("send", "--batch", "-", *options, text=text)


def to(*names: str, **changed: Any) -> str:
    """A line to each of these names."""
    return "".join(line(to=f"{name}@example.org", **changed) for name in names)


def told(answer: Answer) -> str:
    """The last line on stderr: the summary."""
    return answer.err.splitlines()[-1]


class TestTheSummary:
    def test_counts_and_names_the_refused_lines(self, program: Program) -> None:
        answer = batch(program, line() * 2 + BAD + line() + BAD)
        assert (answer.status, told(answer)) == (65, "3 queued, 2 refused: lines 3, 5")

    def test_shortens_a_long_list_of_lines(self, program: Program) -> None:
        answer = batch(program, BAD * 1000 + line())
        assert told(answer) == "1 queued, 1000 refused: lines 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 990 more"

    def test_says_one_line_as_one(self, program: Program) -> None:
        assert told(batch(program, line() + BAD)) == "1 queued, 1 refused: line 2"

    def test_counts_what_was_stored_before(self, program: Program) -> None:
        keyed = line(idempotency_key="k")
        assert told(batch(program, keyed + line())) == "2 queued"
        answer = batch(program, keyed + line(), "--json")
        assert (answer.data["enqueued"], answer.data["duplicates"], answer.data["lines"]) == (1, 1, 2)
        assert told(batch(program, keyed)) == "0 queued, 1 already stored"

    def test_is_not_told_beside_json(self, program: Program) -> None:
        assert batch(program, line(), "--json").err == ""


class TestTheSameComplaint:
    def test_about_a_file_that_is_no_json_at_all_is_said_once(self, program: Program) -> None:
        answer = batch(program, "to,subject\na@example.org,hello\nb@example.org,you\n")
        first, again, summary = answer.err.splitlines()
        assert first.startswith("line 1: not JSON: ")
        assert again == "lines 2, 3: not JSON either"
        assert summary == "0 queued, 3 refused: lines 1, 2, 3"

    def test_about_a_request_over_several_lines_says_how_to_write_it_on_one(self, program: Program) -> None:
        answer = batch(program, json.dumps({"to": "a@example.org", "subject": "s", "body_text": "b"}, indent=1))
        assert "jq -c" in answer.err.splitlines()[0]
        assert len(answer.err.splitlines()) == 3

    def test_about_other_lines_is_said_once_too_and_each_other_complaint_as_well(self, program: Program) -> None:
        other = line(subjekt="x")
        answer = batch(program, BAD + other + BAD + other + line(to="someone") + other)
        assert [said.split(":")[0] for said in answer.err.splitlines()] == [
            "line 1", "line 2", "line 5", "line 3", "lines 4, 6", "0 queued, 6 refused"]  # fmt: skip
        assert "line 3: the same as line 1\n" in answer.err

    def test_is_in_json_for_every_line(self, program: Program) -> None:
        assert len(batch(program, "x\n" * 20, "--json").data["errors"]) == 20


class TestCheck:
    def test_stores_nothing_and_says_what_would_be(self, program: Program) -> None:
        answer = batch(program, to("a", "b"), "--check")
        assert (answer.status, answer.out, answer.err) == (0, "", "2 would be queued\n")
        assert not program.outbox.exists()

    def test_refuses_what_would_be_refused(self, program: Program) -> None:
        assert batch(program, line(idempotency_key="old")).status == 0
        before = stored(program)
        text = (
            line(idempotency_key="old") + line(idempotency_key="old", subject="other") + line(idempotency_key="new")
            + line(idempotency_key="new", subject="other") + BAD + line(in_reply_to_message_id="unknown@x")
            + line(attachment={"path": "x"})
        )  # fmt: skip
        checked, real = batch(program, text, "--check", "--json"), None
        assert stored(program) == before
        real = batch(program, text, "--json")
        assert checked.status == real.status == 65
        assert sorted(error["line"] for error in checked.data["errors"]) == [2, 4, 5, 6, 7]
        assert sorted(map(str, checked.data["errors"]))[2:] == sorted(map(str, real.data["errors"]))[2:]
        assert (checked.data["enqueued"], checked.data["duplicates"], checked.data["lines"]) == (0, 1, 7)
        assert checked.data["messages"] == []

    @pytest.mark.parametrize("option", [["--check"], ["--atomic"], ["--key-from", "{to}"], ["--rejected", "bad"]])
    def test_and_its_like_need_a_batch(self, option: list[str], program: Program) -> None:
        answer = program.call("send", "--to", "a@example.org", "--subject", "s", "--body", "b", *option)
        assert (answer.status, rows(program)) == (2, [])
        assert not (program.home / "bad").exists()


class TestAtomic:
    def test_stores_all(self, program: Program) -> None:
        text = to(*(f"n{number}" for number in range(2500)))
        answer = batch(program, text, "--atomic")
        assert (answer.status, answer.err) == (0, "2500 queued\n")
        assert answer.out == "".join(f"{number}\n" for number in range(1, 2501))
        assert [row["to"] for row in rows(program)][::2499] == [["n0@example.org"], ["n2499@example.org"]]

    @pytest.mark.parametrize("bad", [BAD, "x\n", line(idempotency_key="k", subject="other")])
    @pytest.mark.parametrize("at", [0, 1200, 2400])
    def test_stores_nothing_when_one_line_is_refused(self, at: int, bad: str, program: Program) -> None:
        assert batch(program, line(idempotency_key="k")).status == 0
        lines = [line()] * 2400
        lines.insert(at, bad)
        answer = batch(program, "".join(lines), "--atomic")
        assert (answer.status, answer.out) == (65, "")
        assert told(answer) == f"0 queued (--atomic), 1 refused: line {at + 1}"
        assert len(rows(program)) == 1

    def test_names_every_refused_line(self, program: Program) -> None:
        keyed = line(idempotency_key="k") + line(idempotency_key="k", subject="other")
        answer = batch(program, BAD + keyed + line() + BAD, "--atomic", "--json")
        assert (answer.status, answer.json["ok"], answer.data["messages"]) == (65, False, [])
        assert {error["line"] for error in answer.data["errors"]} == {1, 3, 5}
        assert (answer.data["enqueued"], answer.data["lines"]) == (0, 5)
        assert rows(program) == []

    def test_keeps_contents_of_any_size_as_they_are(self, program: Program) -> None:
        bodies = ["small\n", "large line\n" * 80_000, "", "another\n" * 100_000, "end\n"]
        text = "".join(line(body_text=body or "x\n") for body in bodies)
        with MailHost() as host:
            program.configure(host.port, smtp="connections = 1")
            assert batch(program, text, "--atomic").status == 0
            assert program.call("drain").status == 0
            received = [parsed(message.content).get_payload(decode=True) for message in host.messages]
        assert received == [(body or "x\n").replace("\n", "\r\n").encode() for body in bodies]

    def test_finds_what_is_there_and_stores_the_rest(self, program: Program) -> None:
        assert batch(program, to("a"), "--key-from", "c/{to}").status == 0
        answer = batch(program, to("a", "b"), "--key-from", "c/{to}", "--atomic")
        assert (answer.out, answer.err) == ("1\n2\n", "1 queued, 1 already stored\n")


class TestAKeyForEachLine:
    def test_makes_a_second_run_store_only_what_is_new(self, program: Program) -> None:
        key = ("--key-from", "campaign-7/{to}")
        first = batch(program, to("a", "b") + BAD, *key)
        assert (first.status, first.out) == (65, "1\n2\n")
        second = batch(program, to("a", "b", "c"), *key)
        assert (second.status, second.out) == (0, "1\n2\n3\n")
        assert told(second) == "1 queued, 2 already stored"
        assert batch(program, to("a"), "--key-from", "campaign-8/{to}").out == "4\n"

    def test_is_the_one_that_the_template_spells(self, program: Program) -> None:
        batch(program, line(to='"B, Ann" <ann@Example.org>, x@example.org', subject="s"), "--key-from",
              "{{7}}/{to}/{subject}/{account}/{from}")  # fmt: skip
        spelled = "{7}/ann@example.org,x@example.org/s/work/ops@example.com"
        same = line(to='"B, Ann" <ann@Example.org>, x@example.org', subject="s", idempotency_key=spelled)
        assert batch(program, same).err == "0 queued, 1 already stored\n"

    @pytest.mark.parametrize(("template", "words"), [
        ("c/{nobody}", "unknown field 'nobody'"), ("c/{to.x}", "unknown field 'to.x'"), ("c/{0}", "unknown field '0'"),
        ("c/{to!r}", "unknown field 'to!r'"), ("c/{to:5}", "unknown field 'to:5'"), ("c/{}", "unknown field ''"),
        ("c/{idempotency_key}", "unknown field"), ("c/{to", "--key-from"), ("c/to}", "--key-from"),
        ("campaign-7", "names no field"), ("{{to}}", "names no field"),
    ])  # fmt: skip
    def test_cannot_be_made_by_a_wrong_template(self, template: str, words: str, program: Program) -> None:
        answer = batch(program, line(), "--key-from", template)
        assert_error(answer, 65, "--key-from", words)
        assert not any(stored(program).values())

    def test_is_refused_where_the_line_lacks_the_field(self, program: Program) -> None:
        answer = batch(program, line() + line(cc="c@example.org"), "--key-from", "c/{cc}")
        assert (answer.status, answer.out) == (65, "1\n")
        assert "line 1: no cc, which --key-from needs" in answer.err

    def test_contradicts_another_key_of_the_line_and_agrees_with_the_same(self, program: Program) -> None:
        lines = [line(idempotency_key="mine"), line(idempotency_key="c/a@example.org")]
        answer = batch(program, "".join(lines), "--key-from", "c/{to}")
        assert (answer.status, answer.out) == (65, "1\n")
        assert "line 1: idempotency_key 'mine' contradicts --key-from, which makes 'c/a@example.org'" in answer.err


class TestTheRefusedLines:
    def bad(self, program: Program) -> bytes:
        return (program.home / "bad.jsonl").read_bytes()

    def test_are_kept_as_they_were_and_can_be_run_again(self, program: Program) -> None:
        clash = line(idempotency_key="k", subject="other")
        odd = '{ "to" : "nobody",  "subject": "\u00e4", "body_text":"b" }\r\n'
        text = line(idempotency_key="k") + odd + clash + "\n" + line() + "no json"
        answer = batch(program, text, "--rejected", "bad.jsonl")
        assert answer.status == 65
        assert sorted(self.bad(program).splitlines(keepends=True)) == sorted(
            [odd.encode(), clash.encode(), b"no json\n"]
        )
        assert (program.home / "bad.jsonl").stat().st_mode & 0o777 == 0o600
        again = program.call("send", "--batch", "bad.jsonl", "--rejected", "worse.jsonl")
        assert told(again) == "0 queued, 3 refused: lines 1, 2, 3"
        assert (program.home / "worse.jsonl").read_bytes() == self.bad(program)

    @pytest.mark.of_files
    def test_of_an_earlier_run_are_replaced_also_by_none(self, program: Program) -> None:
        (program.home / "bad.jsonl").write_text("old\n")
        assert batch(program, line(), "--rejected", "bad.jsonl").status == 0
        assert self.bad(program) == b""
        assert sorted(os.listdir(program.home)) == ["bad.jsonl", "config.toml", "outbox.db"]

    @pytest.mark.parametrize("option", ["--check", "--atomic"])
    def test_are_kept_when_nothing_is_stored(self, option: str, program: Program) -> None:
        clash = line(idempotency_key="k", subject="other")
        text = line(idempotency_key="k") + clash + BAD + line()
        assert batch(program, text, option, "--rejected", "bad.jsonl").status == 65
        assert self.bad(program).decode() == BAD + clash
        assert not any(stored(program).get("outbox", []))

    def test_that_are_too_long_are_kept_whole(self, program: Program) -> None:
        program.config.write_text(program.config.read_text() + "[attachments.policy]\nmax_message_bytes = 1000\n")
        long = '{"to": "' + "x" * 3_000_000 + '"}'
        assert batch(program, line() + long + "\n" + line() + long, "--rejected", "bad.jsonl").status == 65
        assert self.bad(program).decode() == (long + "\n") * 2

    def test_never_overwrite_the_batch_itself(self, program: Program) -> None:
        (program.home / "batch.jsonl").write_text(line() + BAD)
        os.symlink("batch.jsonl", program.home / "link")
        for name in ("batch.jsonl", "link"):
            assert program.call("send", "--batch", "batch.jsonl", "--rejected", name).status == 2
        assert (program.home / "batch.jsonl").read_text() == line() + BAD
        assert rows(program) == []

    def test_are_not_written_among_the_ids(self, program: Program) -> None:
        assert batch(program, line(), "--rejected", "-").status == 2
        assert rows(program) == []

    def test_that_cannot_be_written_are_told_before_anything_is_stored(self, program: Program) -> None:
        answer = batch(program, line(), "--rejected", "missing/bad.jsonl")
        assert_error(answer, 74, "cannot write missing/bad.jsonl")
        assert rows(program) == []

    def test_go_into_a_pipe_too(self, program: Program) -> None:
        (program.home / "batch").write_text(line() + BAD)
        reader, writer = os.pipe()
        with open(reader) as stream:
            process = program.start("send", "--batch", "batch", "--rejected", f"/dev/fd/{writer}", pass_fds=(writer,))
            os.close(writer)
            process.communicate(timeout=60)
            assert stream.read() == BAD
        assert process.returncode == 65

    def test_that_no_longer_fit_on_the_disk_are_told_and_spoil_nothing(self, program: Program) -> None:
        if not Path("/dev/full").exists():
            pytest.skip("this machine has no /dev/full")
        answer = batch(program, line() + BAD, "--rejected", "/dev/full")
        assert (answer.status, answer.out) == (74, "1\n")
        assert "the refused lines could not be written to /dev/full" in answer.err
        assert told(answer) == "1 queued, 1 refused: line 2"


class TestDefaultsOfTheCommandLine:
    def sent(self, program: Program, text: str, *options: str) -> list[Any]:
        with MailHost() as host:
            program.configure(host.port, smtp="connections = 1")
            answer = batch(program, text, *options)
            assert answer.status == 0, answer
            assert program.call("drain").status == 0
            return [parsed(message.content) for message in host.messages]

    def test_hold_for_the_lines_that_do_not_say_it(self, program: Program) -> None:
        text = to("a") + to("b", **{"from": "Own <own@example.com>"}, reply_to="own@example.org", cc="c@example.org")
        first, second = self.sent(
            program, text, "--from", "Jo <jo@example.com>", "--reply-to", "r@example.org", "--cc", "d@example.org",
            "--account", "work",
        )  # fmt: skip
        assert (first["From"], first["Reply-To"], first["Cc"]) == (
            "Jo <jo@example.com>",
            "r@example.org",
            "d@example.org",
        )
        assert (second["From"], second["Reply-To"], second["Cc"]) == (
            "Own <own@example.com>", "own@example.org", "c@example.org")  # fmt: skip

    def test_give_subject_text_attachment_and_headers_to_a_list_of_recipients(self, program: Program) -> None:
        (program.home / "t.txt").write_text("Hello.\n")
        (program.home / "terms.txt").write_text("Terms.\n")
        text = (
            '{"to": "a@example.org"}\n{"to": "b@example.org", "body_html": "<p>Own</p>", "headers": {"x-job": "own"}}\n'
        )
        first, second = self.sent(
            program, text, "--subject", "News", "--body-file", "t.txt", "--header", "X-Job: all", "--header", "X-A: b",
            "--attach", "terms.txt",
        )  # fmt: skip
        assert [message["Subject"] for message in (first, second)] == ["News", "News"]
        assert [message.get_all("X-Job") for message in (first, second)] == [["all"], ["own"]]
        assert (first["X-A"], second["X-A"]) == ("b", "b")
        assert first.get_body(("plain",)).get_content().strip() == "Hello."
        assert second.get_body(("plain",)).get_content().strip() == "Own"
        assert [len(list(message.iter_attachments())) for message in (first, second)] == [1, 1]

    def test_say_when_the_lines_are_due(self, program: Program) -> None:
        text = line() + line(at=NOW + 5) + line(**{"in": "1m"})
        for option in ("--in=1h", "--at=2030-03-17T18:46:40Z"):
            assert batch(program, text, option, "--now-ts", str(NOW)).status == 0
        assert [row["next_attempt_at"] - NOW for row in rows(program)] == [3600, 5, 60] * 2

    def test_let_the_lines_expire(self, program: Program) -> None:
        text = line() + line(expires_in="2h")
        assert batch(program, text, "--expires-in", "1h", "--now-ts", str(NOW)).status == 0
        program.call("drain", "--now-ts", str(NOW + 3601))
        assert [row["gave_up"] for row in rows(program)] == ["expired", None]

    @pytest.mark.parametrize("option", [
        "--at=tomorrow", "--at=2020-01-01", "--in=x", "--expires-in=x", "--from=nobody", "--reply-to=nobody",
        "--header=Bcc: x@example.org", "--cc=nobody",
    ])  # fmt: skip
    def test_that_are_wrong_are_told_once_and_not_for_each_line(self, option: str, program: Program) -> None:
        answer = batch(program, line() * 3, option)
        assert_error(answer, 65)
        assert "line" not in answer.err.splitlines()[0]
        assert rows(program) == []

    @pytest.mark.parametrize("option", [["--to", "a@example.org"], ["--idempotency-key", "k"], ["--now"],
                                        ["--body-file", "-"], ["--request", "x"]])  # fmt: skip
    def test_are_not_what_would_be_wrong_for_all_lines(self, option: list[str], program: Program) -> None:
        assert batch(program, line(), *option).status == 2
        assert rows(program) == []
