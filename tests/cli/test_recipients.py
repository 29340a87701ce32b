"""How many recipients a message may have, and how many an account in a day."""

import json

import pytest

from ..conftest import Program
from ..support.mailhost import MailHost
from .outside import assert_error, stored

NOW = 1_900_000_000
DAY = 86_400


def addresses(count: int, start: int = 0) -> str:
    return ",".join(f"r{number}@example.org" for number in range(start, start + count))


class TestAMessage:
    @pytest.mark.parametrize(
        "options", [("--to", addresses(1001)), ("--to", addresses(600), "--bcc", addresses(401, 600))]
    )
    def test_with_too_many_recipients_is_refused(self, options: tuple[str, ...], program: Program) -> None:
        answer = program.run("send", *options, "--subject", "s", "--body", "x", "--json")
        assert_error(answer, 65, "the message has 1001 recipients, more than 1000", code="validation")
        assert not any(stored(program).values())

    def test_may_have_a_thousand_and_names_them_twice(self, program: Program) -> None:
        outbox_id = program.send("--cc", addresses(1000).upper().replace("R", "r"), to=addresses(1000))
        assert len(program.show(outbox_id)["recipients"]) == 1000

    def test_of_a_batch_or_request_is_held_to_the_config(self, program: Program) -> None:
        program.configure(outbox="max_recipients = 2")
        lines = [{"to": addresses(count), "subject": "s", "body_text": "x"} for count in (2, 3, 1)]
        answer = program.run("send", "--batch", "-", "--json", text="".join(json.dumps(line) + "\n" for line in lines))
        assert (answer.status, [error["line"] for error in answer.data["errors"]]) == (65, [2])
        assert program.run("send", "--request", "-", text=json.dumps(lines[1])).status == 65


class TestADay:
    def test_takes_no_more_recipients_than_the_limit(self, program: Program) -> None:
        with MailHost() as host:
            program.configure(host.port, smtp="recipients_per_day = 5\nconnections = 1")
            for _ in range(3):
                program.send("--now-ts", str(NOW), to=addresses(2))
            assert program.run("drain", "--now-ts", str(NOW)).status == 0
            assert len(host.messages) == 2
            answer = program.run("retry", "3", "--force", "--now-ts", str(NOW + 10))
            assert_error(answer, 75, "account work has used up its limit: 5 recipients in 86400 s")
            assert program.run("drain", "--now-ts", str(NOW + DAY + 1)).status == 0
            assert len(host.messages) == 3

    def test_lets_a_message_with_more_than_the_limit_go_when_nothing_else_was_counted(self, program: Program) -> None:
        with MailHost() as host:
            program.configure(host.port, smtp="recipients_per_day = 2\nconnections = 1")
            program.send("--now-ts", str(NOW), to=addresses(1))
            program.send("--now-ts", str(NOW), to=addresses(9))
            assert program.run("drain", "--now-ts", str(NOW)).status == 0
            assert len(host.messages) == 1
            assert program.run("drain", "--now-ts", str(NOW + DAY + 1)).status == 0
            assert len(host.messages) == 2

    def test_of_exchange_online_has_ten_thousand_and_the_config_another_number(self, program: Program) -> None:
        account = 'provider = "outlook"\n'
        for smtp, expected in (("", 10_000), ("recipients_per_day = 7\n", 7)):
            program.configure(587, account=account, smtp=f'host = "localhost"\nuser = "me@example.com"\n{smtp}')
            assert program.run("account", "show", "--json").data["recipients_per_day"] == expected

    def test_of_a_provider_whose_limit_depends_on_the_plan_has_none(self, program: Program) -> None:
        program.configure(465, account='provider = "ses"\n', smtp='host = "localhost"\n')
        assert program.run("account", "show", "--json").data["recipients_per_day"] is None
