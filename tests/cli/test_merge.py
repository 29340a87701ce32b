"""``send --merge``: a message for each row of a table, by templates, with all that a batch can."""

import json

import pytest

from prx_email_cli.submission import sandbox

from ..conftest import COMMAND, Answer, Program
from ..support.mailhost import MailHost
from ..support.terminal import Terminal
from .outside import add, assert_error, body, parsed, rows, stored

PEOPLE = "\ufeffemail;name;number\r\nann@example.org;Ann;17\r\nbob@example.org;Bob <b>;18\r\n"
TEXT = ("--subject", "Invoice {{ number }}", "--body", "Dear {{ name }}\n")


def merge(program: Program, table: str, *options: str, text: tuple[str, ...] = TEXT) -> Answer:
    (program.home / "people.csv").write_bytes(table.encode())
    return program.call("send", "--merge", "people.csv", *text, *options)


def sent(program: Program, table: str, *options: str, text: tuple[str, ...] = TEXT) -> list[bytes]:
    """What arrives of a merge without a refused row."""
    with MailHost() as host:
        program.configure(host.port, smtp="connections = 1")
        answer = merge(program, table, *options, text=text)
        assert answer.status == 0, answer
        assert program.call("drain").status == 0
        return [message.content for message in host.messages]


def refused(answer: Answer, *words: str) -> None:
    """Every row was refused with these words."""
    assert (answer.status, answer.out) == (65, ""), answer
    for word in words:
        assert word in answer.err, answer


class TestAMessageARow:
    @pytest.mark.on_both
    def test_is_made_by_the_templates(self, program: Program) -> None:
        (program.home / "t.txt").write_text("Dear {{ name }},\n{% if number|int > 17 %}again {% endif %}pay.\n")
        (program.home / "t.html").write_text("<p>Dear {{ name }}</p>")
        first, second = sent(
            program, PEOPLE,
            "--cc", '"{{ name }}" <boss-{{ number }}@example.org>', "--header", "X-Number: {{ number }}",
            text=("--subject", "Invoice {{ number }}", "--body-file", "t.txt", "--html", "t.html",
                  "--from", "Agent {{ number }} <ops@example.com>", "--reply-to", "{{ number }}@example.com"),
        )  # fmt: skip
        assert (parsed(first)["To"], parsed(first)["Subject"]) == ("ann@example.org", "Invoice 17")
        message = parsed(second)
        assert message["Cc"] == '"Bob <b>" <boss-18@example.org>'
        assert (message["X-Number"], message["From"]) == ("18", "Agent 18 <ops@example.com>")
        assert message["Reply-To"] == "18@example.com"
        text, html = (part.get_content().replace("\r\n", "\n") for part in message.iter_parts())
        assert text == "Dear Bob <b>,\nagain pay.\n"
        assert "Dear Bob &lt;b&gt;" in html

    @pytest.mark.parametrize("name", ["to", "Email", "E-MAIL"])
    def test_goes_to_the_column_that_is_named_so(self, name: str, program: Program) -> None:
        answer = merge(program, f"row,{name}\n1,ann@example.org\n", text=("--subject", "s", "--body", "b"))
        assert (answer.out, rows(program)[0]["to"]) == ("1\n", ["ann@example.org"])

    def test_goes_elsewhere_when_told(self, program: Program) -> None:
        table = 'email,one,two\nx@example.org,a@example.org,"b@example.org"\n'
        assert merge(program, table, "--to", "{{ one }}", "--to", "{{ two }}",
                     text=("--subject", "s", "--body", "b")).status == 0  # fmt: skip
        assert rows(program)[0]["to"] == ["a@example.org", "b@example.org"]

    def test_reaches_columns_whose_names_are_no_words(self, program: Program) -> None:
        table = "email,First name,row,items\na@example.org,Ann,5,many\n"
        assert merge(program, table, text=(
            "--subject", "{{ row['First name'] }} {{ row['row'] }} {{ items }} {{ row['items'] }}", "--body", "b"
        )).status == 0  # fmt: skip
        assert rows(program)[0]["subject"] == "Ann 5 many many"

    def test_may_come_from_stdin(self, program: Program) -> None:
        assert program.call("send", "--merge", "-", *TEXT, text=PEOPLE).out == "1\n2\n"
        assert program.call("send", "--merge", "-", "--subject", "s", "--body-file", "-", text=PEOPLE).status == 2

    def test_has_the_times_class_and_account_of_the_command_line(self, program: Program) -> None:
        assert (
            merge(
                program, PEOPLE, "--in", "2h", "--priority", "bulk", "--account", "work", "--now-ts", "1000000"
            ).status
            == 0
        )
        assert {(row["next_attempt_at"], row["priority"]) for row in rows(program)} == {(1_007_200, "bulk")}

    def test_without_a_row_is_no_error(self, program: Program) -> None:
        assert merge(program, "email,name,number\n") == Answer(0, "", "")


class TestWhatIsWrongWithEveryRow:
    @pytest.mark.parametrize(("options", "words"), [
        (("--subject", "{{ name", "--body", "b"), ["--subject: unexpected end of template", "{{ name }}"]),
        (("--subject", "s", "--body", "a\nb {% if %}\n"), ["--body, line 2: "]),
        (("--subject", "s", "--body", "{% include 'x' %}"), ["--body: no other template can be loaded"]),
        (("--subject", "s", "--body", "b", "--cc", "{{"), ["--cc: "]),
        (("--subject", "s", "--body", "b", "--header", "X: {{"), ["--header: "]),
        (("--body", "b"), ["no --subject"]), (("--subject", "s"), ["no text"]),
        (("--subject", "s", "--body", "b", "--key-from", "x-{nobody}"), ["unknown field 'nobody'", "number"]),
    ])  # fmt: skip
    def test_is_told_once(self, options: tuple[str, ...], words: list[str], program: Program) -> None:
        assert_error(merge(program, PEOPLE, text=options), 65, *words)
        assert not any(stored(program).values())

    def test_and_in_a_file_with_its_line(self, program: Program) -> None:
        (program.home / "t.txt").write_text("Dear\n\n{{ name }\n")
        answer = merge(program, PEOPLE, text=("--subject", "s", "--body-file", "t.txt"))
        assert_error(answer, 65, "t.txt, line 3: unexpected '}'")

    def test_like_a_table_without_a_column_for_recipients(self, program: Program) -> None:
        answer = merge(program, "mail,name,number\na@example.org,Ann,1\n")
        assert_error(answer, 65, "no --to, and no column to or email", "--to '{{ mail }}'")

    @pytest.mark.parametrize("options", [("--now",), ("--batch", "-"), ("--request", "-"), ("--first", "3")])
    def test_like_options_that_contradict_is_a_wrong_command_line(
        self, options: tuple[str, ...], program: Program
    ) -> None:
        assert merge(program, PEOPLE, *options).status == 2
        assert not any(stored(program).values())

    def test_like_a_file_that_is_not_there(self, program: Program) -> None:
        assert_error(program.call("send", "--merge", "missing.csv", *TEXT), 66, "missing.csv")


class TestARowThatIsRefused:
    @pytest.mark.parametrize(("row", "words"), [
        ("ann@example.org;Ann", "it has 2 cells, and the first row names 3 columns"),
        ("ann@example.org;Ann;5;6", "it has 4 cells"),
        ("nobody;Ann;5", "to: not an email address: 'nobody'"),
        (";Ann;5", "no --to"),
        ("\"a@example.org, b@example.org\";Ann;5", "to: 2 addresses where the template has 1"),
        ("\"a@example.org\nBcc: b@example.org\";Ann;5", "to"),
        ('a@example.org;Ann;"5\nBcc: b@example.org"', "subject"),
    ])  # fmt: skip
    def test_is_named_and_the_others_are_stored(self, row: str, words: str, program: Program) -> None:
        answer = merge(program, f"{PEOPLE}{row}\r\nlast@example.org;Zoe;19\r\n")
        assert (answer.status, answer.out) == (65, "1\n2\n3\n")
        assert answer.err.startswith(f"row 4: {words}"[: len("row 4: ")])
        assert words in answer.err.splitlines()[0]
        assert answer.err.splitlines()[-1] == "3 queued, 1 refused: row 4"
        assert [row["to"] for row in rows(program)][2] == ["last@example.org"]

    def test_is_named_in_json(self, program: Program) -> None:
        answer = merge(program, PEOPLE + "x;y\r\n", "--json")
        assert (answer.status, answer.json["error"]["message"], answer.data["rows"]) == (65, "rows refused: 1", 3)
        assert [error["row"] for error in answer.data["errors"]] == [4]
        assert answer.data["messages"][0] == {"row": 2, "outbox_id": 1, "duplicate": False}

    def test_names_what_is_undefined_and_the_columns(self, program: Program) -> None:
        answer = merge(program, PEOPLE, text=("--subject", "s", "--body", "a\n{{ nubmer }}\n"))
        first, again, summary = answer.err.splitlines()
        assert first == "row 2: --body, line 2: 'nubmer' is undefined (columns: email, name, number)"
        assert (again, summary) == ("row 3: the same as row 2", "0 queued, 2 refused: rows 2, 3")

    @pytest.mark.parametrize("template", [
        "{{ ''.__class__.__mro__ }}", "{{ row.__init__.__globals__ }}", "{{ name.format.__self__ }}",
        "{{ '{0.__class__}'.format(name) }}", "{{ cycler.__init__ }}", "{{ lipsum() }}", "{{ self.__init__ }}",
        "{{ row|attr('__class__') }}", "{{ row.update({'email': 'x'}) }}", "{{ 1/0 }}", "{{ number + 1 }}",
        "{{ 'x' * 10000000000 }}", "{{ 7 ** 10000000 }}", "{{ '%10000000000d' % 1 }}", "{{ '%*d' % (10000000000, 1) }}",
        "{{ name|center(10000000000) }}", "{{ name.rjust(10000000000) }}", "{{ '%10000000000d'|format(1) }}",
        "{% for a in 'x' * 50000 %}{% for b in 'x' * 50000 %}xxxxxxxxxxxxxxxxxxxxxx{% endfor %}{% endfor %}",
        "{% macro a() %}{{ a() }}{% endmacro %}{{ a() }}",
    ])  # fmt: skip
    def test_is_one_whose_template_reaches_further_or_makes_too_much(self, template: str, program: Program) -> None:
        add(program, "[attachments.policy]\nmax_message_bytes = 100000\n")
        answer = merge(program, PEOPLE, text=("--subject", "s", "--body", f"{template} end"))
        assert (answer.status, answer.out) == (65, ""), answer
        assert "bug" not in answer.err
        assert not any(stored(program).get("outbox", []))

    def test_is_every_one_after_a_template_that_does_not_end(
        self, program: Program, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sandbox, "PROCESSOR_SECONDS", 0.2)
        loops = "".join("{% for x in 'x' * 100000 %}" for _ in range(4)) + "{% endfor %}" * 4
        answer = merge(program, PEOPLE, text=("--subject", "s", "--body", f"b{loops}"))
        assert answer.err.splitlines() == [
            "row 2: the templates take more than 0.2 s for one row (look for a loop within a loop)",
            "row 3: the same as row 2", "0 queued, 2 refused: rows 2, 3"]  # fmt: skip

    @pytest.mark.parametrize("cell", ['x" <evil@example.org>, "y', "evil@example.org, x", "x <evil@example.org>"])
    def test_is_one_whose_cell_would_add_a_recipient(self, cell: str, program: Program) -> None:
        quoted = cell.replace('"', '""')
        table = f'email,name,number\na@example.org,"{quoted}",1\n'
        answer = merge(program, table, "--cc", '"Smith, {{ name }}" <{{ email }}>', "--bcc", "{{ name }} <{{ email }}>")
        refused(answer, "row 2: ")
        assert not any(stored(program).get("recipient", []))


class TestAttachments:
    TABLE = "email,name,number,file\na@example.org,Ann,1,{file}\n"

    @pytest.fixture(autouse=True)
    def _files(self, program: Program) -> None:
        (program.home / "inv").mkdir()
        (program.home / "inv" / "1.pdf").write_bytes(b"%PDF one")
        (program.home / "secret.pdf").write_bytes(b"secret")
        (program.home / "x.sh").write_bytes(b"#!/bin/sh")

    def test_come_from_the_cells(self, program: Program) -> None:
        (content,) = sent(program, self.TABLE.format(file="1.pdf"), "--attach", "inv/{{ file }};type=application/pdf")
        (attached,) = parsed(content).iter_attachments()
        assert (attached.get_filename(), attached.get_content()) == ("1.pdf", b"%PDF one")

    @pytest.mark.parametrize(("file", "option", "words"), [
        ("x.sh", "{{ file }}", "attachment content type is not allowed"),
        ("x.sh;type=application/pdf", "{{ file }}", "a cell says ;type="),
        ("../secret.pdf", "inv/{{ file }}", "is not in inv"),
        ("missing.pdf", "inv/{{ file }}", "missing.pdf"),
        ("", "{{ file }}", "--attach: no file"),
        ("", "inv/{{ file }}", "inv"),
    ])  # fmt: skip
    def test_go_through_the_policy_and_stay_in_their_directory(
        self, file: str, option: str, words: str, program: Program
    ) -> None:
        refused(merge(program, self.TABLE.format(file=file), "--attach", option), "row 2: ", words)

    def test_from_the_store_stay_in_it(self, program: Program) -> None:
        add(program, f'[attachments.store]\nenabled = true\ndir = "{program.home}/inv"')
        assert merge(program, self.TABLE.format(file="1.pdf"), "--attach-stored", "{{ file }}").status == 0
        refused(merge(program, self.TABLE.format(file="../secret.pdf"), "--attach-stored", "{{ file }}"),
                "attachment path escapes storage root")  # fmt: skip

    def test_may_be_none_where_the_template_says_so(self, program: Program) -> None:
        option = "{% if file %}inv/{{ file }}{% endif %}"
        (content,) = sent(program, self.TABLE.format(file=""), "--attach", option)
        assert not list(parsed(content).iter_attachments())
        assert body(content) == "Dear Ann\n"


class TestThePreview:
    def test_prints_the_first_ones_and_stores_nothing(self, program: Program) -> None:
        table = "email,name,number\n" + "".join(f"n{n}@example.org,N,{n}\n" for n in range(9))
        answer = merge(program, table, "--preview", "3")
        assert answer.status == 0
        assert answer.out.count("\nSubject: Invoice ") == 3
        assert [line.split(" to ")[1].split(";")[0] for line in answer.err.splitlines()[:-1]] == [
            f"n{n}@example.org" for n in range(3)]  # fmt: skip
        assert answer.err.startswith("preview: row 2: from ops@example.com")
        assert answer.err.splitlines()[-1] == "3 would be queued"
        assert not program.outbox.exists()

    def test_without_a_number_prints_all_and_has_json(self, program: Program) -> None:
        assert len(merge(program, PEOPLE, "--preview", "--json").data["messages"]) == 2
        data = merge(program, PEOPLE, "--json", "--preview", "1").data
        assert [(one["row"], one["subject"]) for one in data["messages"]] == [(2, "Invoice 17")]

    def test_of_a_batch_takes_a_number_too_and_of_one_message_none(self, program: Program) -> None:
        lines = json.dumps({"to": "a@example.org", "subject": "s", "body_text": "b"}) + "\n"
        assert program.call("send", "--batch", "-", "--preview", "2", text=lines * 5).err.count("preview: ") == 2
        options = ("--to", "a@example.org", "--subject", "--preview", "--body", "3")
        assert program.call("send", *options, "--preview").status == 0
        assert program.call("send", *options, "--preview", "3").status == 2


class TestTheOptionsOfABatch:
    def test_check_stores_nothing(self, program: Program) -> None:
        answer = merge(program, PEOPLE, "--check")
        assert (answer, program.outbox.exists()) == (Answer(0, "", "2 would be queued\n"), False)

    def test_atomic_stores_none_when_one_is_refused(self, program: Program) -> None:
        answer = merge(program, PEOPLE + "x;y;z\r\n", "--atomic")
        assert (answer.status, answer.out, answer.err.splitlines()[-1]) == (
            65, "", "0 queued (--atomic), 1 refused: row 4")  # fmt: skip

    @pytest.mark.parametrize("key", [
        ("--key-from", "invoice-{number}"), ("--key-from", "{to}/{number}"), ("--key-from", "{subject}"),
        ("--idempotency-key", "invoice-{{ number }}"),
    ])  # fmt: skip
    def test_a_key_for_each_row_lets_a_second_run_store_what_is_new(
        self, key: tuple[str, str], program: Program
    ) -> None:
        assert merge(program, PEOPLE, *key).out == "1\n2\n"
        answer = merge(program, PEOPLE + "zoe@example.org;Zoe;19\r\n", *key)
        assert (answer.out, answer.err) == ("1\n2\n3\n", "1 queued, 2 already stored\n")

    @pytest.mark.parametrize("key", [("--key-from", "i-{number}"), ("--idempotency-key", "{{ number }}")])
    def test_a_key_of_an_empty_cell_is_refused(self, key: tuple[str, str], program: Program) -> None:
        refused(merge(program, "email,name,number\na@example.org,Ann, \n", *key), "row 2: ")

    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
    def test_the_refused_rows_can_be_corrected_and_run_again(self, encoding: str, program: Program) -> None:
        bad = ['nobody;"Bo\r\nb ""ä""";18\r\n', "x;y\r\n", "nobody;C;20"]
        table = "email;name;number\r\nann@example.org;Ann;17\r\n" + "".join(bad)
        (program.home / "people.csv").write_bytes(table.encode(encoding))
        answer = program.call("send", "--merge", "people.csv", *TEXT, "--rejected", "bad.csv")
        assert answer.err.splitlines()[-1] == "1 queued, 3 refused: rows 3, 4, 5"
        kept = (program.home / "bad.csv").read_bytes()
        assert kept == ("email;name;number\r\n" + "".join(bad) + "\n").encode(encoding)
        corrected = kept.decode(encoding).replace("nobody", "b@example.org").replace("x;y", "c@example.org;y;z")
        (program.home / "bad.csv").write_bytes(corrected.encode(encoding))
        again = program.call("send", "--merge", "bad.csv", *TEXT, "--rejected", "worse.csv")
        assert (again.status, again.out) == (0, "2\n3\n4\n")
        assert (program.home / "worse.csv").read_bytes() == b""

    def test_the_table_itself_is_never_overwritten(self, program: Program) -> None:
        assert merge(program, PEOPLE, "--rejected", "people.csv").status == 2
        assert (program.home / "people.csv").read_text() == PEOPLE.replace("\r\n", "\n")


def test_a_long_merge_shows_on_a_terminal_how_far_it_is(program: Program) -> None:
    table = "email,name,number\n" + "".join(f"n{n}@example.org,N,{n}\n" for n in range(2500))
    (program.home / "people.csv").write_text(table)
    command = [*COMMAND, "send", "--merge", "people.csv", *TEXT, "--check"]
    environment = {**program.environment, "TERM": "xterm"}
    with Terminal(command, env=environment, cwd=program.home) as person:
        assert person.end() == 0
    assert "composing" in person.screen
    assert "2000 messages" in person.screen
    assert person.screen.endswith("2500 would be queued\n")


def test_jinja_is_loaded_for_a_merge_alone(program: Program) -> None:
    program.environment["PYTHONPROFILEIMPORTTIME"] = "1"
    lines = json.dumps({"to": "a@example.org", "subject": "s", "body_text": "b"}) + "\n"
    assert "jinja2" not in program.run("send", "--batch", "-", text=lines).err
    (program.home / "people.csv").write_text(PEOPLE)
    assert "jinja2" in program.run("send", "--merge", "people.csv", *TEXT).err
