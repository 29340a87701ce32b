"""``prx-email reply``, from outside."""

import re
from email.message import EmailMessage

import pytest

from ..cli.outside import assert_error, parsed, rows, stored
from ..conftest import Program
from ..mail.strangers import ID, NOW, body, enqueued, imported, letter
from ..support.scripted import ScriptedServer

UNKNOWN = "in_reply_to_message_id does not exist for this account"


def test_a_reply_goes_to_the_sender_in_the_thread_with_one_re(program: Program) -> None:
    imported(program, letter(References="<1@x>\n <2@x>", Subject="AW: RE[2]: =?utf-8?q?Gr=C3=BC=C3=9Fe?="))
    message = enqueued(program, program.call("reply", "parent@example.net", "--body", "Fine.\n"))
    assert (message["To"], message["Cc"], message["From"]) == ("Ann <ann@example.net>", None, "Ops <ops@example.com>")
    assert (message["Subject"], message["In-Reply-To"]) == ("Re: Grüße", ID)
    assert message["References"].split() == ["<1@x>", "<2@x>", ID]
    assert body(message) == "Fine.\n"


def test_all_adds_each_other_reader_once_but_not_oneself(program: Program) -> None:
    program.configure(smtp='user = "Login@example.com"')
    imported(program, letter(
        To='Ops <OPS@Example.COM>, "B, C" <b@x.org>, ann@EXAMPLE.net',
        Cc="login@example.com, ann@example.net, B@X.org, g: d@x.org;",
    ))  # fmt: skip
    options = ("--all", "--body", "x", "--cc", "d@X.org,e@x.org", "--bcc", "e@X.ORG")
    message = enqueued(program, program.call("reply", ID, *options))
    assert (message["To"], message["Cc"]) == ("Ann <ann@example.net>", '"B, C" <b@x.org>, d@x.org, e@x.org')
    assert [(person["address"], person["kind"]) for person in program.show(1)["recipients"]] == [
        ("ann@example.net", "to"), ("b@x.org", "cc"), ("d@x.org", "cc"), ("e@x.org", "cc"),
    ]  # fmt: skip


def test_what_the_options_say_goes_before_what_the_parent_says(program: Program) -> None:
    imported(program, letter(Reply_To="Desk <desk@example.net>", Bcc="z@example.org"))
    (program.home / "log.txt").write_text("all of it\n")
    (program.home / "page.html").write_text("<p>Fine</p>")
    options = ("--subject", "Other", "--from", "alias@example.com", "--bcc", "h@example.org", "--attach", "log.txt",
               "--html", "page.html", "--quote", "--at", "2030-03-18T00:00:00+00:00", "--expires-in", "2d",
               "--now-ts", str(NOW))  # fmt: skip
    message = enqueued(program, program.call("reply", ID, *options, text="Fine.\n"))
    assert (message["To"], message["Subject"], message["From"]) == (
        "Desk <desk@example.net>", "Other", "alias@example.com",
    )  # fmt: skip
    assert message["Date"] == "Mon, 18 Mar 2030 00:00:00 +0000"
    assert body(message).endswith("> hello\n")
    html = message.get_body(("html",))
    assert html is not None
    assert re.search(r'<blockquote type="cite".*hello', html.get_content(), re.DOTALL)
    assert [part.get_filename() for part in message.iter_attachments()] == ["log.txt"]
    assert [person["address"] for person in program.show(1)["recipients"]] == ["desk@example.net", "h@example.org"]


def test_a_quote_stands_below_ones_own_text_under_who_wrote_it_and_when(program: Program) -> None:
    imported(program, letter("one\n\n> old\nFrom here\n-- \nAnn\n"))
    message = enqueued(program, program.call("reply", ID, "--quote", "--body", "Fine.\n"))
    assert body(message) == ("Fine.\n\nOn Tue, 04 Mar 2025 10:15:00 +0100, Ann wrote:\n> one\n>\n>> old\n> From here\n")


@pytest.mark.parametrize("wanted", ["other@example.net", "", "<outbox-1-0@prx-email.local>"])
def test_an_unknown_parent_is_66_and_import_is_proposed(wanted: str, program: Program) -> None:
    answer = program.call("reply", wanted, "--body", "x", "--json")
    assert_error(answer, 66, UNKNOWN, "prx-email import", code="not_found")
    assert answer.json["error"]["message"] == UNKNOWN


def test_what_one_account_knows_another_does_not(program: Program) -> None:
    imported(program, letter())
    second = "\n[accounts.home]\nfrom = 'me@example.com'\n[accounts.home.smtp]\nhost = 'localhost'\ntls = 'none'\n"
    program.config.write_text("default_account = 'work'\n" + program.config.read_text() + second)
    assert_error(program.call("reply", ID, "--body", "x", "--account", "home"), 66, UNKNOWN)


@pytest.mark.parametrize("sender", [None, "Ann <ann@exa mple.net>"])
def test_a_parent_without_a_usable_sender_is_65(sender: str | None, program: Program) -> None:
    imported(program, letter(From=sender))
    assert_error(program.call("reply", ID, "--body", "x"), 65, "cannot infer reply recipient from parent sender")
    assert rows(program) == []


def test_a_reply_needs_a_text_also_with_a_quote(program: Program) -> None:
    imported(program, letter())
    assert_error(program.call("reply", ID, "--quote", text=" \n"), 65, "to/subject/body_text cannot be empty")


@pytest.mark.parametrize(
    "words",
    [(), (ID, "--parent", "x.eml"), ("--parent", "-"), ("--parent", "-", "--body-file", "-"),
     (ID, "--body", "x", "--now", "--in", "2h")],
)  # fmt: skip
def test_contradictions_are_2(words: tuple[str, ...], program: Program) -> None:
    assert program.call("reply", *words).status == 2
    assert not program.outbox.exists()


@pytest.mark.on_both
def test_parent_imports_and_answers_in_one_step(program: Program) -> None:
    piped = b"From ann Tue Mar  4 10:15:00 2025\n" + letter()
    enqueued(program, program.call("reply", "--parent", "-", "--body", "x", text=piped.decode()))
    (program.home / "x.eml").write_bytes(letter(Message_ID="<2@x>"))
    enqueued(program, program.call("reply", "--parent", "x.eml", text="y"))
    assert len(program.call("messages", "list", "--json").data) == 2
    enqueued(program, program.call("reply", ID, "--body", "again"))


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [(None, 66, "cannot read"), (b"", 65, "no message"), (b"\n\n", 65, "no message"),
     (b"From x 10:00\n" + letter() + b"\nFrom x 10:00\n" + letter(), 65, "more than one")],
)  # fmt: skip
def test_a_parent_that_cannot_be_used_says_why(
    content: bytes | None, status: int, words: str, program: Program
) -> None:
    if content is not None:
        (program.home / "x.eml").write_bytes(content)
    assert_error(program.call("reply", "--parent", "x.eml", "--body", "x"), status, words)
    assert not any(stored(program).values())


def test_ones_own_messages_are_known_and_answered_to_those_they_went_to(program: Program) -> None:
    options = ("--cc", "c@example.org", "--from", "alias@example.com", "--now", "--failure-mode", "network")
    assert program.call("send", "--to", "B <b@example.org>", "--subject", "s", "--body", "old\n", *options).status == 75
    sent = program.show(1)["message_id"]
    message = enqueued(program, program.call("reply", sent, "--all", "--quote", "--body", "More."))
    assert (message["To"], message["Cc"]) == ("B <b@example.org>", "c@example.org")
    assert (message["In-Reply-To"], message["References"], message["Subject"]) == (sent, sent, "Re: s")
    assert "alias@example.com wrote:\n> old\n" in body(message)
    for unsent in ("<outbox-1-7@prx-email.local>", "<outbox-2-0@prx-email.local>", "<outbox-1-0@elsewhere>"):
        assert_error(program.call("reply", unsent, "--body", "x"), 66, UNKNOWN)


@pytest.mark.on_both
def test_the_same_idempotency_key_answers_once(program: Program) -> None:
    imported(program, letter())
    command = ("reply", ID, "--body", "x", "--idempotency-key", "k", "--json")
    assert [program.call(*command).data["duplicate"] for _ in range(2)] == [False, True]
    assert len(rows(program)) == 1


def test_a_reply_in_a_long_thread_arrives_folded(program: Program) -> None:
    chain = [f"<{number}.{'x' * 30}@example.net>" for number in range(100)]
    imported(program, letter(References="\n ".join(chain)))
    with ScriptedServer() as server:
        program.configure(server.port)
        answer = program.call("reply", ID, "--body", "x", "--now", "--json")
        assert (answer.status, answer.data["status"]) == (0, "sent"), answer
        (received,) = server.messages
    head = received.content.partition(b"\r\n\r\n")[0].decode()
    assert max(map(len, head.split("\r\n"))) <= 78
    (references,) = re.findall(r"\r\nReferences:((?:\r?\n? .*)+)", head)
    assert references.split()[0] == chain[0]
    assert references.split()[-2:] == [chain[-1], ID]
    assert f"\r\nIn-Reply-To: {ID}\r\n" in head


class TestAMessageOfThisOutbox:
    def test_is_answered_by_its_outbox_id_in_its_thread(self, program: Program) -> None:
        imported(program, letter(References="<1@x>"))
        assert program.call("reply", ID, "--body", "First.\n").out == "1\n"
        with ScriptedServer([]) as server:
            program.configure(server.port)
            assert program.call("drain").status == 0
        answer = program.call("reply", "1", "--body", "More.\n", "--quote")
        assert (answer.status, answer.out, answer.err) == (0, "2\n", "")
        message = parsed_export(program, 2)
        sent_as = program.show(1)["message_id"]
        assert (message["In-Reply-To"], message["References"].split()) == (sent_as, ["<1@x>", ID, sent_as])
        assert (message["To"], message["Subject"][:4]) == ("Ann <ann@example.net>", "Re: ")
        assert body(message).endswith("> First.\n")

    def test_that_waits_is_answered_under_the_id_that_it_will_have(self, program: Program) -> None:
        program.send(to="b@example.org")
        answer = program.call("reply", "1", "--body", "x")
        assert (answer.status, answer.out) == (0, "2\n")
        assert "note: 1 is not sent yet" in answer.err
        assert parsed_export(program, 2)["In-Reply-To"] == "<outbox-1-0@prx-email.local>"

    def test_is_answered_by_its_own_account_unless_another_is_named(self, program: Program) -> None:
        home = '[accounts.home]\nfrom = "home@example.com"\n[accounts.home.smtp]\nhost = "localhost"\ntls = "none"\n'
        program.config.write_text(f'default_account = "work"\n{program.config.read_text()}\n{home}')
        program.send("--account", "home", to="b@example.org")
        for options, account in (((), "home"), (("--account", "work"), "work")):
            program.call("reply", "1", "--body", "x", *options)
            assert rows(program)[-1]["account"] == account

    def test_that_is_not_there_or_has_no_content_is_not_found(self, program: Program) -> None:
        program.send()
        for number in ("99", "9" * 30):
            assert_error(program.call("reply", number, "--body", "x"), 66, "outbox record not found")
        program.call("cancel", "1")
        program.call("prune", "--older-than", "0s")
        answer = program.call("reply", "1", "--body", "x")
        assert answer.status == 66
        assert "pruned" in answer.err


def parsed_export(program: Program, outbox_id: int) -> EmailMessage:
    return parsed(program.run("export", str(outbox_id)).out.replace("\n", "\r\n").encode())
