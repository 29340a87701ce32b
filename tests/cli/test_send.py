"""``send``: what is acknowledged is stored, and what is refused leaves no trace."""

import json

import pytest

from ..conftest import Answer, Program
from ..support.faults import Fault
from ..support.mailhost import MailHost
from ..support.scripted import ScriptedServer, refusing_port
from .outside import NOW, SEND_RESULT, assert_error, body, parsed, rows, serving, shell, stored

EMPTY = "to/subject/body_text cannot be empty"
MIDNIGHT = 1_893_456_000  # 2030-01-01T00:00:00Z
GOOD = {"--to": "a@example.org", "--subject": "hello", "--body": "text\n"}


def options(**changed: str) -> list[str]:
    """A good command line but for what is *changed* (underscores stand for dashes)."""
    named = GOOD | {"--" + name.replace("_", "-"): value for name, value in changed.items()}
    return ["send", *(word for option in named.items() for word in option)]


def test_the_id_stands_alone_on_stdout(program: Program) -> None:
    answers = [program.run(*options()) for _ in range(2)]
    assert [(answer.status, answer.out, answer.err) for answer in answers] == [(0, "1\n", ""), (0, "2\n", "")]


def test_a_script_takes_the_id_and_asks_for_it(program: Program) -> None:
    script = 'id=$(prx-email send --to a@example.org --subject "from a script" --body x) && prx-email show "$id" --json'
    answer = shell(program, script)
    assert answer.status == 0, answer
    assert (answer.data["outbox_id"], answer.data["subject"]) == (1, "from a script")


def test_a_script_notices_that_nothing_was_enqueued(program: Program) -> None:
    answer = shell(program, 'id=$(prx-email send --to nobody --subject s --body x); echo "$? <$id>"')
    assert answer.out == "65 <>\n"


@pytest.mark.on_both
def test_json_gives_the_send_result(program: Program) -> None:
    answer = program.run(*options(), "--json", "--now-ts", str(NOW))
    assert (answer.status, answer.err, answer.json["ok"], answer.json["error"]) == (0, "", True, None)
    assert set(answer.data) >= SEND_RESULT
    assert {key: answer.data[key] for key in SEND_RESULT} == {
        "outbox_id": 1, "status": "pending", "retries": 0, "provider_message_id": None, "next_attempt_at": NOW,
        "message_id": None,
    }  # fmt: skip


def test_first_sends_started_together_are_all_acknowledged(program: Program) -> None:
    started = [program.start(*options(subject=str(number))) for number in range(8)]
    answers = [(*process.communicate(timeout=60), process.returncode) for process in started]
    assert sorted(answers) == [(f"{number}\n", "", 0) for number in range(1, 9)]
    assert len(rows(program)) == 8


class TestRecipients:
    def test_all_get_it_and_bcc_is_in_no_header(self, program: Program, host: MailHost) -> None:
        program.send("--to", "b@example.org, Zoë <c@example.org>", "--cc", '"Doe, John" <d@example.org>',
                     "--bcc", "secret@example.org, a@example.org", "--bcc", "e@example.org,f@example.org")  # fmt: skip
        assert program.run("drain").status == 0
        (message,) = host.messages
        assert sorted(message.recipients) == sorted(
            [*(f"{name}@example.org" for name in "abcdef"), "secret@example.org"]
        )
        mail = parsed(message.content)
        assert [a.addr_spec for a in mail["To"].addresses] == ["a@example.org", "b@example.org", "c@example.org"]
        assert [(a.display_name, a.addr_spec) for a in mail["Cc"].addresses] == [("Doe, John", "d@example.org")]
        assert mail["To"].addresses[2].display_name == "Zoë"
        assert mail["Bcc"] is None
        assert b"secret" not in message.content
        assert b"e@example.org" not in message.content

    def test_from_and_reply_to_are_taken(self, program: Program, host: MailHost) -> None:
        program.send("--from", "Röbi <robot@example.com>", "--reply-to", "desk@example.com")
        program.run("drain")
        (message,) = host.messages
        mail = parsed(message.content)
        assert (message.mail_from, mail["Reply-To"]) == ("robot@example.com", "desk@example.com")
        assert mail["From"].addresses[0].display_name == "Röbi"


class TestBody:
    TEXT = "<b>5 > 3 & 2</b>\n\n  indented, ünïcode 🎉\n.\nlast line without end"

    @pytest.mark.parametrize("way", ["option", "file", "dash", "pipe"])
    def test_arrives_as_it_was_written_and_as_plain_text(self, way: str, program: Program, host: MailHost) -> None:
        (program.home / "text").write_text(self.TEXT)
        ways = {
            "option": ["--body", self.TEXT],
            "file": ["--body-file", "text"],
            "dash": ["--body-file", "-"],
            "pipe": [],
        }
        piped = self.TEXT if way in ("dash", "pipe") else None
        answer = program.run("send", "--to", "a@example.org", "--subject", "s", *ways[way], text=piped)
        assert answer.status == 0, answer
        program.run("drain")
        (message,) = host.messages
        mail = parsed(message.content)
        assert (mail.get_content_type(), mail.get_content_charset(), mail.is_multipart()) == (
            "text/plain", "utf-8", False)  # fmt: skip
        assert body(message.content) == self.TEXT
        assert b"<br" not in message.content

    def test_that_names_a_file_attaches_nothing(self, program: Program, host: MailHost) -> None:
        (program.home / "secret.txt").write_text("the file's own text")
        program.send(body=str(program.home / "secret.txt"))
        program.run("drain")
        (message,) = host.messages
        assert not parsed(message.content).is_multipart()
        assert body(message.content) == str(program.home / "secret.txt")

    def test_from_two_places_is_a_wrong_command_line(self, program: Program) -> None:
        (program.home / "text").write_text("text")
        assert program.run(*options(body_file="text")).status == 2
        assert not any(stored(program).values())

    @pytest.mark.parametrize(("content", "status", "word"), [(None, 66, "text"), (b"caf\xe9", 65, "UTF-8")])
    def test_from_a_file_that_is_missing_or_no_text(
        self, content: bytes | None, status: int, word: str, program: Program
    ) -> None:
        if content is not None:
            (program.home / "text").write_bytes(content)
        answer = program.run("send", "--to", "a@example.org", "--subject", "s", "--body-file", "text")
        assert_error(answer, status, word)
        assert not any(stored(program).values())


class TestDueTime:
    @pytest.mark.parametrize(
        ("words", "zone", "due"),
        [
            (["--at", "2030-01-01T00:00:00Z"], "Asia/Tokyo", MIDNIGHT),
            (["--at", "2030-01-01T01:30:00+01:30"], "UTC", MIDNIGHT),
            (["--at", "2029-12-31T19:00-05:00"], "UTC", MIDNIGHT),
            (["--at", "2030-01-01 09:00"], "JST-9", MIDNIGHT),  # POSIX: nine hours ahead, no zone files needed
            (["--in", "1d12h"], "UTC", MIDNIGHT + 43_200),
            (["--in", "2w"], "UTC", MIDNIGHT + 13 * 86_400),
        ],
    )
    def test_is_taken_in_its_time_zone(self, words: list[str], zone: str, due: int, program: Program) -> None:
        answer = program.run(*options(), *words, "--json", "--now-ts", str(MIDNIGHT - 86_400), TZ=zone)
        assert (answer.status, answer.data["next_attempt_at"]) == (0, due)

    @pytest.mark.parametrize("words", [["--at", "2031-01-01", "--in", "1h"], ["--in", "1h", "--now"]])
    def test_said_twice_is_a_wrong_command_line(self, words: list[str], program: Program) -> None:
        assert program.run(*options(), *words).status == 2

    def test_is_waited_for_to_the_second(self, program: Program, host: MailHost) -> None:
        program.send("--in", "2h", "--now-ts", str(NOW))
        assert program.run("drain", "--now-ts", str(NOW + 7199)).status == 0
        assert host.messages == []
        assert program.run("drain", "--now-ts", str(NOW + 7200)).status == 0
        assert len(host.messages) == 1


class TestNow:
    def test_delivers_at_once(self, program: Program, host: MailHost) -> None:
        answer = program.run(*options(), "--now")
        assert (answer.status, answer.out, answer.err) == (0, "1\n", "")
        answer = program.run(*options(), "--now", "--json")
        assert host.received_message_ids() == [f"<outbox-{number}-0@prx-email.local>" for number in (1, 2)]
        assert (answer.status, answer.json["ok"], answer.json["error"]) == (0, True, None)
        assert (answer.data["status"], answer.data["message_id"]) == ("sent", "<outbox-2-0@prx-email.local>")
        assert "queued as 2" in answer.data["provider_message_id"]

    @pytest.mark.parametrize(
        ("reply", "status", "gave_up"), [("451 4.2.1 try later", 75, False), ("550 5.1.1 no such user", 69, True)]
    )
    def test_refused_keeps_the_id_and_fills_both_data_and_error(
        self, reply: str, status: int, gave_up: bool, program: Program
    ) -> None:
        with serving(program, Fault("rcpt", reply)):
            answer = program.run(*options(), "--now")
            assert (answer.status, answer.out) == (status, "1\n")
            assert reply in answer.err
            answer = program.run(*options(), "--now", "--json")
        assert (answer.status, answer.json["ok"], answer.json["error"]["code"]) == (status, False, "provider")
        assert reply in answer.json["error"]["message"]
        assert set(answer.data) >= SEND_RESULT
        assert (answer.data["outbox_id"], answer.data["status"], answer.data["retries"]) == (2, "failed", 1)
        assert [row["gave_up"] is not None for row in rows(program)] == [gave_up, gave_up]

    def test_with_a_refused_login_is_75_and_auth(self, program: Program) -> None:
        with ScriptedServer(auth={"ops": "right"}) as server:
            program.configure(server.port, smtp='user = "ops"', auth='password = "wrong-secret"')
            answer = program.run(*options(), "--now", "--json")
            assert server.messages == []
        assert (answer.status, answer.json["error"]["code"], answer.data["status"]) == (75, "auth", "failed")
        assert "wrong-secret" not in answer.out + answer.err
        assert program.show(1)["gave_up"] is None

    def test_without_a_server_is_75_and_network(self, program: Program) -> None:
        with refusing_port() as port:
            program.configure(port)
            answer = program.run(*options(), "--now", "--json")
        assert (answer.status, answer.json["error"]["code"], answer.data["outbox_id"]) == (75, "network", 1)

    @pytest.mark.parametrize(
        ("mode", "text"), [("network", "simulated network timeout"), ("provider", "simulated provider rejection")]
    )
    def test_rehearses_a_failure(self, mode: str, text: str, program: Program) -> None:
        answer = program.run(*options(), "--now", "--json", "--failure-mode", mode, "--now-ts", str(NOW))
        assert (answer.status, answer.json["error"]["code"]) == (75, mode)
        assert text in answer.json["error"]["message"]
        assert (answer.data["retries"], answer.data["next_attempt_at"]) == (1, NOW + 10)

    def test_with_a_missing_secret_is_78_and_the_message_waits(self, program: Program) -> None:
        program.configure(smtp='user = "ops"', auth='password_env = "NO_SUCH_VARIABLE"')
        answer = program.run(*options(), "--now")
        assert (answer.status, answer.out) == (78, "1\n")
        assert (program.show(1)["status"], program.show(1)["retries"]) == ("pending", 0)


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> "Refused":
    program = Program(tmp_path_factory.mktemp("refused"))
    program.configure()
    program.send()
    return Refused(program)


class Refused:
    """Runs a ``send`` that must be refused with 65 and leave the outbox, which holds one message, unchanged."""

    def __init__(self, program: Program) -> None:
        self.run = program.run
        self._program = program
        self._before = stored(program)

    def by(self, *words: str, **good: str) -> None:
        """*good* are the other options."""
        named = [f"--{name}={value}" for name, value in good.items()]
        self.check(self.run("send", *named, *words, "--body", "x"))

    def check(self, answer: Answer, *told: str) -> None:
        before, self._before = self._before, stored(self._program)
        assert_error(answer, 65, *told)
        assert self._before == before


BREAK = "x\r\nBcc: victim@example.org"
HIDDEN_BREAK = "=?utf-8?q?x=0ABcc:_victim=40example.org?="
NO_ADDRESS = ["a", "a@b@c.org", "a@example.org,,b@example.org", "-oQueue", "a@b.org\nRCPT TO:<c@d.org>"]
NO_NAME = [f"{BREAK} <a@example.org>", f"{HIDDEN_BREAK} <a@example.org>"]


class TestRefusedIs:
    @pytest.mark.parametrize("option", ["to", "cc", "bcc", "from", "reply-to"])
    def test_a_malformed_address_or_a_line_break_in_its_name(self, option: str, refused: Refused) -> None:
        good = {"subject": "s"} if option == "to" else {"to": "a@example.org", "subject": "s"}
        for value in [*NO_ADDRESS, *NO_NAME] if option == "to" else ["nobody", *NO_NAME]:
            refused.by(f"--{option}={value}", **good)

    @pytest.mark.parametrize("bad", [BREAK, HIDDEN_BREAK, "end\n", "a\x1bb", "a\u2028b", "a\udcffb"], ids=ascii)
    def test_a_control_character_in_the_subject(self, bad: str, refused: Refused) -> None:
        refused.by(f"--subject={bad}", to="a@example.org")

    @pytest.mark.parametrize(
        "words",
        [
            ["--to", "", "--subject", "s", "--body", "x"], ["--subject", "s", "--body", "x"],
            ["--to", "a@example.org", "--subject", " ", "--body", "x"], ["--to", "a@example.org", "--body", "x"],
            ["--to", "a@example.org", "--subject", "s", "--body", "\n"],
        ],
    )  # fmt: skip
    def test_emptiness_in_the_words_of_the_contract(self, words: list[str], refused: Refused) -> None:
        refused.check(refused.run("send", *words), EMPTY)
        assert_error(refused.run("send", *words, "--json"), 65, EMPTY, code="validation")

    @pytest.mark.parametrize(("words", "named", "others"), [
        (["--to", "a@example.org", "--body", "x"], ["no --subject"], ["no --to", "no text"]),
        (["--subject", "s", "--body", "x"], ["no --to"], ["no --subject", "no text"]),
        (["--to", "a@example.org", "--subject", "s", "--body", " "], ["no text", "--allow-empty"], ["no --to"]),
        (["--body", ""], ["no --to", "no --subject", "no text"], []), ([], ["no --to", "no --subject"], ["no text"]),
        (["--to", "a@example.org", "--subject", " ", "--body", "", "--allow-empty"], ["no --subject"], ["no text"]),
    ])  # fmt: skip
    def test_emptiness_and_the_missing_part_is_named(
        self, words: list[str], named: list[str], others: list[str], refused: Refused
    ) -> None:
        for more, where in (([], "err"), (["--json"], "out")):
            answer = refused.run("send", *words, *more)
            assert answer.status == 65
            assert [part for part in [*named, *others] if part in getattr(answer, where)] == named

    @pytest.mark.parametrize("words", ["--at=2029-12-31T23:59:59Z", "--at=tomorrow", "--at=", "--in=", "--in=2",
                                       "--in=-1h", "--in=99999999999999999999d",
                                       "--at=9999-12-31T23:59:59-12:00"])  # fmt: skip
    def test_a_time_that_is_past_or_nonsense(self, words: str, refused: Refused) -> None:
        refused.by(words, f"--now-ts={MIDNIGHT}", to="a@example.org", subject="s")

    @pytest.mark.parametrize("now", ["99999999999999", "9" * 30])
    def test_a_clock_beyond_all_calendars(self, now: str, refused: Refused) -> None:
        refused.by(f"--now-ts={now}", to="a@example.org", subject="s")


@pytest.mark.parametrize("subject", ["=?utf-8?q?Stra=C3=9Fe?=", "is 1 =? 2", "Grüße 你好 🎉"])
def test_a_harmless_subject_arrives_as_it_was_written(subject: str, program: Program, host: MailHost) -> None:
    program.send(subject=subject)
    program.run("drain")
    assert parsed(host.messages[0].content)["Subject"] == subject


@pytest.mark.parametrize(
    ("to", "address", "header"),
    [
        ("a@example.com (Bob)", "a@example.com", "Bob <a@example.com>"),
        ("b@example.com (Bob (work))", "b@example.com", '"Bob (work)" <b@example.com>'),
        (r"Pete(A nice \) chap) <pete(his account)@silly.test(his host)>", "pete@silly.test", "Pete <pete@silly.test>"),
        ("Bob <b@example.com> (a, x@evil.example, (b))", "b@example.com", "Bob <b@example.com>"),
    ],
)
def test_a_comment_in_an_address_is_no_part_of_it(
    to: str, address: str, header: str, program: Program, host: MailHost
) -> None:
    assert program.run(*options(to=to), "--now").status == 0
    (message,) = host.messages
    assert message.recipients == [address]
    assert str(parsed(message.content)["To"]) == header


def test_each_gets_one_copy_as_it_was_written_first_under_the_first_kind(program: Program) -> None:
    answer = program.run(
        *options(to="ops@Example.Com,ops@example.com,Friends: b@BÜCHER.example;"),
        "--cc", "ops@EXAMPLE.COM, b@xn--bcher-kva.example, OPS@example.com", "--bcc", "c@X.org", "--bcc", "c@x.org",
    )  # fmt: skip
    assert answer.status == 0, answer
    assert [(person["address"], person["kind"]) for person in program.show(1)["recipients"]] == [
        ("ops@Example.Com", "to"), ("b@xn--bcher-kva.example", "to"), ("OPS@example.com", "cc"), ("c@X.org", "bcc"),
    ]  # fmt: skip
    request = '{"to": ["a@X.org", "a@x.org"], "bcc": "A <a@x.ORG>", "subject": "s", "body_text": "b"}'
    assert program.run("send", "--request", "-", text=request).status == 0
    assert [person["address"] for person in program.show(2)["recipients"]] == ["a@X.org"]


class TestAnEmptyText:
    @pytest.mark.parametrize("empty", ["", " ", "\n"])
    def test_is_sent_when_it_is_allowed(self, empty: str, program: Program) -> None:
        request = json.dumps({"to": "a@example.org", "subject": "s", "body_text": empty, "allow_empty": True})
        with serving(program) as server:
            program.send("--allow-empty", body=empty)
            for way in ("--request", "--batch"):
                assert program.run("send", way, "-", text=request).status == 0
            assert (
                program.run("send", "--batch", "-", "--allow-empty", text=request.replace("true", "null")).status == 0
            )
            assert program.run("drain").status == 0
            received = [body(message.content) for message in server.messages]
        assert len(received) == 4
        assert not "".join(received).strip()

    def test_of_a_pipe_is_allowed_too(self, program: Program) -> None:
        answer = program.run("send", "--to", "a@example.org", "--subject", "s", "--allow-empty", text="")
        assert (answer.status, answer.out) == (0, "1\n")

    def test_of_a_reply_is_allowed_too(self, program: Program) -> None:
        parent = "From: a@example.org\nTo: ops@example.com\nSubject: x\nMessage-ID: <q@example.org>\n\nyes?\n"
        assert program.run("import", "-", text=parent).status == 0
        refused = program.run("reply", "q@example.org", "--body", "")
        assert (refused.status, "no text" in refused.err) == (65, True)
        assert program.run("reply", "q@example.org", "--body", "", "--quote", "--allow-empty").status == 0

    def test_is_named_in_a_batch_by_the_field(self, program: Program) -> None:
        answer = program.run("send", "--batch", "-", text='{"to": "a@example.org", "body_text": ""}\n')
        assert "line 1: to/subject/body_text cannot be empty (no subject, no body_text" in answer.err
        wrong = program.run("send", "--batch", "-", text='{"to": "a@example.org", "allow_empty": 1}\n')
        assert "allow_empty must be true or false" in wrong.err
