"""What can be wrong with a database is one clear error with a hint, and no secret and no traceback in it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ...conftest import Program
from ...support.certs import Certificates
from ...support.fake_postgres import FakePostgres
from ...support.mailhost import MailHost
from ...support.postgres import MISSING, USER, PostgresServer, database_of, programs

SECRET = "Very-Secret-77"
CONFIG, STORAGE, TRY_LATER = 78, 74, 75


def refused(program: Program, status: int, *words: str, command: tuple[str, ...] = ("list",)) -> None:
    """The command ends with *status* and says *words*, as text and as JSON, also while debugging, and no secret."""
    answer = program.run(*command)
    assert (answer.status, answer.out) == (status, ""), answer
    assert answer.err.startswith("error: ")
    assert "\nhint: " in answer.err
    assert "Traceback" not in answer.err
    for word in words:
        assert word in answer.err
    as_json = program.call(*command, "--json", PRX_EMAIL_DEBUG="1")
    assert as_json.status == status
    assert as_json.json["error"]["code"] == ("config" if status == CONFIG else "storage")
    assert as_json.json["error"]["hint"]
    for said in (answer.err, as_json.out, as_json.err):
        assert SECRET not in said
        assert SECRET[:6] not in said


@pytest.mark.parametrize(
    ("url", "status", "word"),
    [
        (f"postgresql://u:{SECRET}@[::1/db", CONFIG, "IPv6"),
        (f"postgresql://u:{SECRET}@h:port/db", CONFIG, "the port is not a number"),
        (f"postgresql://u:{SECRET}@h:99999/db", CONFIG, "the port is not a number"),
        (f"postgresql://u:{SECRET}%zz@h/db", CONFIG, "percent-encoded"),
        (f"postgresql://u:{SECRET}/more@h/db", CONFIG, "one @ too many"),
        (f"postgresql://u:x@{SECRET}@127.0.0.1:1/db", CONFIG, "one @ too many"),
        (f"postgresql://u:x@127.0.0.1:1/{SECRET}@127.0.0.1:1/db", CONFIG, "one @ too many"),
        (f"postgresql://u:1/{SECRET}@127.0.0.1:1/db", CONFIG, "one @ too many"),
        (f"postgresql://u:{SECRET}@h/db?nosuch=1", CONFIG, "invalid URI query parameter"),
        (f"postgresql://u:{SECRET}@h/db?sslmode", CONFIG, "missing key/value separator"),
        (f"postgresql://u:{SECRET}@127.0.0.1:1/db?sslmode=bogus", CONFIG, "invalid sslmode"),
        (f"postgresql://u:{SECRET}@127.0.0.1:1/db?connect_timeout=x", CONFIG, "connect_timeout"),
        (f"postgresql://u:{SECRET}@127.0.0.1:1/db", STORAGE, "Connection refused"),
        (f"postgresql://u:{SECRET}@nosuch.invalid/db", STORAGE, "nosuch.invalid"),
        (f"postgresql://u:{SECRET}@/db?host=/nosuch", STORAGE, "No such file"),
        (f"postgresql://u:{SECRET}@/db?service=nosuch", CONFIG, 'service "nosuch" not found'),
        (f"mysql://u:{SECRET}@h/db", CONFIG, "does not begin with postgresql://"),
    ],
)  # fmt: skip
def test_a_wrong_url(program: Program, url: str, status: int, word: str) -> None:
    program.url = url
    program.configure()
    refused(program, status, word)
    shown = program.call("config", "check", "--json")
    assert SECRET not in shown.out + shown.err


def test_a_variable_of_libpq_that_cannot_be(program: Program, server: PostgresServer) -> None:
    program.url = server.new_database()
    program.configure()
    for name, value in {"PGOPTIONS": "-c nosuch=1", "PGSSLMODE": "nosuch"}.items():
        answer = program.run("list", **{name: value})
        assert (answer.status, "PGOPTIONS" in answer.err or "sslmode" in answer.err) == (CONFIG, True), answer


def test_a_role_that_may_use_no_schema(program: Program, server: PostgresServer) -> None:
    program.url = server.new_database()
    program.configure()
    answer = program.run("list", PGOPTIONS="-c search_path=nosuch")
    assert (answer.status, "may use no schema of its search_path" in answer.err) == (STORAGE, True), answer


def test_a_table_that_is_missing_is_named_without_our_statement(program: Program, server: PostgresServer) -> None:
    program.url = server.new_database()
    program.configure()
    server.sql("DROP TABLE attempt CASCADE", database=database_of(program.url))
    answer = program.run("list")
    assert (answer.status, 'relation "attempt" does not exist: its tables are not' in answer.err) == (STORAGE, True)
    assert "LINE" not in answer.err


def test_psycopg_is_missing_or_broken(program: Program, tmp_path: Path) -> None:
    (tmp_path / "psycopg").mkdir()
    program.url = f"postgresql://u:{SECRET}@h/db"
    program.configure()
    for error, says in {
        "ModuleNotFoundError('none here')": "which is not installed",
        "ImportError('no pq wrapper available.')": "which does not work here: no pq wrapper available.",
        "OSError('libpq.so.5: cannot open it')": "which does not work here: libpq.so.5: cannot open it",
    }.items():
        (tmp_path / "psycopg" / "__init__.py").write_text(f"raise {error}")
        answer = program.run("list", PYTHONPATH=str(tmp_path), PYTHONDONTWRITEBYTECODE="1")
        assert answer.status == CONFIG
        assert says in answer.err
        assert "pip install 'prx-email-cli[postgres]'" in answer.err


@pytest.mark.parametrize("version", ["12.22", "9.6.24"])
def test_a_server_too_old(program: Program, version: str) -> None:
    with FakePostgres(version=version) as server:
        program.url = server.url
        program.configure()
        refused(program, STORAGE, f"PostgreSQL {version.partition('.')[0]} is too old", "PostgreSQL 13 or newer")


@pytest.mark.parametrize(
    ("code", "words", "status"),
    [
        ("57P03", "the database system is starting up", TRY_LATER),
        ("57P03", "the database system is shutting down", TRY_LATER),
        ("57P03", "the database system is in recovery mode", TRY_LATER),
        ("57P03", "the database system is not yet accepting connections", TRY_LATER),
        ("53300", "sorry, too many clients already", TRY_LATER),
        ("53300", "remaining connection slots are reserved for roles with the SUPERUSER attribute", TRY_LATER),
        ("53300", 'too many connections for database "db"', TRY_LATER),
        ("08P01", "no more connections allowed (max_client_conn)", TRY_LATER),  # pgbouncer's words
        ("28000", 'no pg_hba.conf entry for host "192.0.2.1", user "prx", database "db", no encryption', CONFIG),
        ("28000", 'role "prx" is not permitted to log in', CONFIG),
        ("XX000", "wir sind umgezogen", STORAGE),
    ],
)
def test_a_server_that_takes_no_session(program: Program, code: str, words: str, status: int) -> None:
    with FakePostgres(refusal=(code, words)) as server:
        program.url = server.url
        program.configure()
        refused(program, status, words)


# --- passwords


@pytest.fixture
def guarded(server: PostgresServer) -> Iterator[str]:
    """The URL of a database of a role that needs its password, which the URL has not."""
    url = server.new_database()
    role = database_of(url) + "_user"
    hba = server.directory / "data" / "pg_hba.conf"
    before = hba.read_text()
    hba.write_text(f"local all {role} scram-sha-256\n{before}")
    server.sql("SELECT pg_reload_conf()", f"CREATE ROLE {role} LOGIN SUPERUSER PASSWORD '{SECRET}'")
    yield url.replace(f"//{USER}@", f"//{role}@")
    hba.write_text(before)
    server.sql("SELECT pg_reload_conf()")


def a_file(program: Program, name: str, text: str) -> str:
    path = program.home / name
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


Way = Callable[[Program, str], tuple[str, str, dict[str, str]]]
"""How a password is given: the URL, lines for [outbox], and the environment."""
WAYS: dict[str, Way] = {
    "in the URL": lambda program, url: (url.replace("_user@", f"_user:{SECRET}@"), "", {}),
    "as a parameter": lambda program, url: (f"{url}&password={SECRET}", "", {}),
    "password": lambda program, url: (url, f'password = "{SECRET}"', {}),
    "password_env": lambda program, url: (url, 'password_env = "DB_PASSWORD"', {"DB_PASSWORD": SECRET}),
    "password_command": lambda program, url: (url, f'password_command = ["/bin/echo", "{SECRET}"]', {}),
    "password_file": lambda program, url: (url, f'password_file = "{a_file(program, "password", SECRET)}"', {}),
    "PGPASSWORD": lambda program, url: (url, "", {"PGPASSWORD": SECRET}),
    "PGPASSFILE": lambda program, url: (url, "", {"PGPASSFILE": a_file(program, "pass", f"*:*:*:*:{SECRET}\n")}),
    "~/.pgpass": lambda program, url: (a_file(program, ".pgpass", f"*:*:*:*:{SECRET}\n") and url, "", {}),
    "PGSERVICE": lambda program, url: (
        url, "", {"PGSERVICE": "mail", "PGSERVICEFILE": a_file(program, "services", f"[mail]\npassword={SECRET}\n")},
    ),
    "?service=": lambda program, url: (
        f"{url}&service=mail", "", {"PGSERVICEFILE": a_file(program, "services", f"[mail]\npassword={SECRET}\n")},
    ),
    "~/.pg_service.conf": lambda program, url: (
        a_file(program, ".pg_service.conf", f"[mail]\npassword={SECRET}\n") and f"{url}&service=mail", "", {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_password_is_found_wherever_it_is_and_not_shown(program: Program, guarded: str, way: str) -> None:
    program.url, lines, environment = WAYS[way](program, guarded)
    program.configure(outbox=lines)
    assert program.run("list", "--json", **environment).data == []
    wrong = SECRET.replace("77", "78")
    program.config.write_text(program.config.read_text().replace(SECRET, wrong))
    environment = {name: value.replace(SECRET, wrong) for name, value in environment.items()}
    for path in program.home.iterdir():
        if path.is_file() and path != program.config and path.suffix != ".db":
            path.write_text(path.read_text().replace(SECRET, wrong))
    program.environment |= environment
    refused(program, CONFIG, "password authentication failed")
    assert "Very-Secret" not in program.call("list").err


def test_no_password_where_one_is_needed(program: Program, guarded: str) -> None:
    program.url = guarded
    program.configure()
    refused(program, CONFIG, "no password supplied", "Passwords")


def test_a_config_with_the_password_must_be_private(program: Program, guarded: str) -> None:
    program.url = guarded.replace("_user@", f"_user:{SECRET}@")
    program.configure()
    program.config.chmod(0o644)
    answer = program.call("list")
    assert answer.status == 77
    program.url = guarded
    program.configure()
    program.config.chmod(0o644)
    assert program.call("list", PGPASSWORD=SECRET).status == 0


@pytest.mark.parametrize("way", ["PGPASSWORD", "password_env", "in the URL of the environment"])
def test_no_command_of_the_config_inherits_the_password(program: Program, guarded: str, way: str) -> None:
    environment = {"PGPASSWORD": SECRET}
    lines = ""
    if way == "password_env":
        environment = {"DB_PASSWORD": SECRET}
        lines = 'password_env = "DB_PASSWORD"'
    program.url = guarded
    with MailHost(users={"u": "p"}) as host:
        program.configure(
            host.port, outbox=lines, smtp='user = "u"', auth='password_command = ["sh", "-c", "env > child; echo p"]'
        )
        if way == "in the URL of the environment":
            program.config.write_text(program.config.read_text().replace(f'url = "{guarded}"\n', ""))
            environment = {"PRX_EMAIL_OUTBOX": guarded.replace("_user@", f"_user:{SECRET}@")}
        program.environment |= environment
        program.send()
        assert program.run("drain").status == 0
    assert "PATH" in (program.home / "child").read_text()
    assert SECRET not in (program.home / "child").read_text()


# --- roles and databases


def test_a_role_that_does_not_exist_or_may_not_log_in(program: Program, server: PostgresServer) -> None:
    url = server.new_database()
    program.url = url.replace(f"//{USER}@", "//nobody_here@")
    program.configure()
    refused(program, CONFIG, 'role "nobody_here" does not exist')
    server.sql("CREATE ROLE no_login")
    program.url = url.replace(f"//{USER}@", "//no_login@")
    program.configure()
    refused(program, CONFIG, "not permitted to log in")


def test_a_database_that_does_not_exist_or_may_not_be_used(program: Program, server: PostgresServer) -> None:
    program.url = server.url("not_made")
    program.configure()
    refused(program, CONFIG, 'database "not_made" does not exist')
    url = server.new_database()
    name = database_of(url)
    server.sql("CREATE ROLE outsider LOGIN", f"REVOKE CONNECT ON DATABASE {name} FROM public")
    program.url = url.replace(f"//{USER}@", "//outsider@")
    program.configure()
    refused(program, CONFIG, "permission denied for database")


def test_a_role_with_too_many_connections(program: Program, server: PostgresServer) -> None:
    server.sql("CREATE ROLE narrow LOGIN CONNECTION LIMIT 0")
    program.url = server.new_database().replace(f"//{USER}@", "//narrow@")
    program.configure()
    refused(program, TRY_LATER, 'too many connections for role "narrow"')


def test_a_database_in_another_encoding(program: Program, server: PostgresServer) -> None:
    server.sql("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    program.url = server.url("latin")
    program.configure()
    refused(program, STORAGE, "encoded as LATIN1", "ENCODING 'UTF8'")


THEIRS = {
    "other names": "CREATE TABLE theirs (x INTEGER)",
    "our names": "CREATE TABLE outbox (id SERIAL, topic TEXT); CREATE TABLE attempt (x INTEGER)",
    "the name of our version": "CREATE TABLE prx_email (address TEXT)",
    "that and its column": "CREATE TABLE prx_email (version TEXT); INSERT INTO prx_email VALUES ('2.0-beta')",
    "that, its column and our names": "CREATE TABLE prx_email (version INTEGER); INSERT INTO prx_email VALUES (1);"
    "CREATE TABLE outbox (id SERIAL, topic TEXT)",
    "a view": "CREATE VIEW outbox AS SELECT 1 AS id",
}


@pytest.mark.parametrize("tables", THEIRS.values(), ids=THEIRS)
@pytest.mark.parametrize("command", [("list",), ("outbox", "migrate")], ids=" ".join)
def test_a_database_of_another_program_is_never_touched(
    program: Program, server: PostgresServer, tables: str, command: tuple[str, ...]
) -> None:
    url = server.new_database(migrated=False)
    server.sql(*tables.split(";"), database=url)
    before = server.dump(url)
    program.url = url
    program.configure()
    refused(program, STORAGE, "is a database of another program", "name another database", command=command)
    assert program.call("send", "--to", "a@x.org", "--subject", "s", "--body", "b").status == STORAGE
    assert server.dump(url) == before


def test_a_schema_newer_than_the_program(program: Program, server: PostgresServer) -> None:
    program.url = server.new_database()
    server.sql("UPDATE prx_email SET version = 99", database=program.url)
    program.configure()
    for command in (("list",), ("outbox", "migrate")):
        refused(program, STORAGE, "has schema 99, newer than", "install the newer prx-email", command=command)


def test_an_empty_version_table(program: Program, server: PostgresServer) -> None:
    program.url = server.new_database()
    server.sql("DELETE FROM prx_email", database=program.url)
    program.configure()
    refused(program, STORAGE, "its table prx_email is empty", "restore a backup")


def test_a_role_whose_transactions_only_read(program: Program, server: PostgresServer) -> None:
    server.sql("CREATE ROLE looker LOGIN SUPERUSER", "ALTER ROLE looker SET default_transaction_read_only = on")
    program.url = server.new_database().replace(f"//{USER}@", "//looker@")
    program.configure()
    assert program.run("list", "--json").data == []
    send = ("send", "--to", "a@example.org", "--subject", "s", "--body", "b")
    refused(program, STORAGE, "read-only transaction", "target_session_attrs", "not stored", command=send)
    refused(program, STORAGE, "read-only transaction", command=("drain",))


# --- a server of one's own, with TLS, that becomes a standby, and shuts down


@pytest.fixture(scope="module")
def own(certificates: Certificates) -> Iterator[PostgresServer]:
    if programs() is None:
        pytest.skip(MISSING)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = PostgresServer("listen_addresses=127.0.0.1", port=port)
    pem = server.write("server.pem", certificates.server_file("valid").read_text())
    hba = server.directory / "data" / "pg_hba.conf"
    hba.write_text(f"hostnossl all {USER} 127.0.0.1/32 reject\n{hba.read_text()}")
    server.sql(
        f"ALTER SYSTEM SET ssl_cert_file = '{pem}'", f"ALTER SYSTEM SET ssl_key_file = '{pem}'",
        "ALTER SYSTEM SET ssl = on", "SELECT pg_reload_conf()",
    )  # fmt: skip
    yield server
    server.close()


@pytest.fixture
def over_tcp(own: PostgresServer) -> str:
    """The URL of a database over TCP, which takes further parameters."""
    name = database_of(own.new_database())
    return f"postgresql://{USER}:{SECRET}@localhost:{own.port}/{name}?"


def test_tls(program: Program, over_tcp: str, certificates: Certificates) -> None:
    def with_(parameters: str, host: str = "localhost") -> Program:
        program.url = over_tcp.replace("localhost", host) + parameters
        program.configure()
        return program

    good = f"sslmode=verify-full&sslrootcert={certificates.ca_file}"
    assert with_(good).run("list", "--json").data == []
    refused(with_("sslmode=verify-full&sslrootcert=/nosuch"), CONFIG, "root certificate file", "sslrootcert")
    refused(with_("sslmode=verify-full"), CONFIG, "root certificate file")
    bad = f"sslmode=verify-full&sslrootcert={certificates.other_ca_file}"
    refused(with_(bad), CONFIG, "certificate verify failed", "sslrootcert")
    refused(with_("sslmode=disable"), CONFIG, "no encryption", "sslmode")
    other = certificates.other_ca_file
    refused(with_(f"{good}&sslcert={other}&sslkey={other}"), CONFIG, "hint: ")


def test_a_server_without_tls(program: Program) -> None:
    with FakePostgres(version="15.1") as server:
        program.url = server.url.replace("sslmode=disable", "sslmode=require")
        program.configure()
        refused(program, CONFIG, "SSL")


def test_a_standby_is_read_and_never_written(program: Program, own: PostgresServer, over_tcp: str) -> None:
    name = over_tcp.rpartition("/")[2].rstrip("?")
    own.stop()
    signal = own.write("data/standby.signal", "")
    own.start()
    try:
        program.url = own.url(name)
        program.configure()
        assert program.run("list", "--json").data == []
        assert program.run("status", "--json").status == 0
        send = ("send", "--to", "a@example.org", "--subject", "s", "--body", "b")
        refused(program, STORAGE, "read-only transaction", "name the primary", command=send)
        refused(program, STORAGE, "read-only transaction", command=("drain",))
        program.url = f"{own.url(name)}&target_session_attrs=read-write"
        program.configure()
        refused(program, TRY_LATER, "read-only", "target_session_attrs")
        program.url = own.url("postgres")
        program.configure()
        refused(program, STORAGE, "read-only transaction")
    finally:
        own.stop()
        signal.unlink()
        own.start()


def test_a_server_that_shuts_down(program: Program, own: PostgresServer) -> None:
    import psycopg  # on use

    url = own.new_database()
    program.url = url
    program.configure()
    with psycopg.connect(url):
        own.ask_to_stop()
        refused(program, TRY_LATER, "shutting down", "try again")
    own.restart()
