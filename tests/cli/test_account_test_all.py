"""``account test --all``: every account is tried, also behind one that does not work."""

from ..conftest import Program
from ..support.scripted import ScriptedServer
from .outside import add


def test_tries_every_account_and_ends_as_the_first_that_does_not_work(program: Program) -> None:
    with ScriptedServer() as server:
        program.configure(server.port)
        add(program, "[accounts.odd]\nfrom = 'a@b.org'\n[accounts.odd.smtp]\nhost = 'localhost'\nuser = 'u'\n"
            "tls = 'none'\nauth.password_env = 'NOT_SET'")  # fmt: skip
        add(program, "[accounts.last]\nfrom = 'a@b.org'\n"
            f"[accounts.last.smtp]\nhost = 'localhost'\nport = {server.port}\ntls = 'none'")  # fmt: skip
        answer = program.run("account", "test", "--all")
        assert answer.status == 78, answer
        heads = [line.split(":")[0] for line in answer.out.splitlines() if not line.startswith(" ")]
        assert heads == ["work", "odd", "last"]
        assert "NOT_SET" in answer.err
        assert answer.err.endswith("1 of 3 accounts do not work\n")
        assert server.connections == 2
        answer = program.run("account", "test", "--all", "--json")
        assert (answer.status, answer.err, answer.json["ok"]) == (78, "", False)
        assert [(one["account"], one["error"] and one["error"]["code"]) for one in answer.data] == [
            ("work", None), ("odd", "config"), ("last", None),
        ]  # fmt: skip
        assert answer.json["error"] == answer.data[1]["error"]


def test_is_0_when_all_work(program: Program) -> None:
    with ScriptedServer() as server:
        program.configure(server.port)
        assert program.run("account", "test", "--all").status == 0
        answer = program.run("account", "test", "--all", "--json")
    assert (answer.status, answer.json["ok"], len(answer.data)) == (0, True, 1)


def test_takes_no_name_beside(program: Program) -> None:
    assert program.run("account", "test", "work", "--all").status == 2
