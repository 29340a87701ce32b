"""A machine without a home directory: no HOME, no entry in the passwd file.  What needs none works."""

import subprocess
import sys
from pathlib import Path

import pytest

from ..cli.outside import assert_error, stored
from ..conftest import Answer, Program

# Every uid has an entry on some machines and tests need not be root's: the passwd file is emptied for one process.
_NOBODY = """
import pwd, runpy, sys
def unknown(uid): raise KeyError(uid)
pwd.getpwuid = unknown
sys.argv[0] = "prx-email"
runpy.run_module("prx_email_cli", run_name="__main__", alter_sys=False)
"""
SEND = ["send", "--to", "a@example.org", "--subject", "s", "--body", "text"]
LOCAL = ["--host", "localhost", "--tls", "none", "--user", "a@example.org"]
ANYWHERE = [
    ["--help"], ["--version"], ["providers"], SEND, ["drain"], ["list"], ["stats", "--json"], ["messages", "list"],
    ["account", "list"], ["account", "show"], ["account", "add", "other", *LOCAL], ["hold", "--all"],
    ["prune", "--older-than", "1d"],
]  # fmt: skip


def homeless(program: Program, *words: str, home: str | None = None, config: str | None = "", **more: str) -> Answer:
    """Run the command without a home.  config: PRX_EMAIL_CONFIG, by default the program's, None for unset."""
    environment = {name: value for name, value in program.environment.items() if name != "HOME"}
    if config is None:
        del environment["PRX_EMAIL_CONFIG"]
    elif config:
        environment["PRX_EMAIL_CONFIG"] = config
    environment |= ({} if home is None else {"HOME": home}) | more
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _NOBODY, *words], env=environment, cwd=program.home, check=False,
        timeout=120, input="", capture_output=True, text=True,
    )  # fmt: skip
    return Answer(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("words", ANYWHERE, ids=" ".join)
def test_what_has_its_paths_needs_no_home(words: list[str], program: Program) -> None:
    homes = (None, "", "relative") if words in (SEND, ["drain"], ["account", "list"]) else (None,)
    for home in homes:
        answer = homeless(program, *words, home=home)
        assert answer.status == 0, answer


def test_the_option_names_a_config_as_well_as_the_variable(program: Program) -> None:
    answer = homeless(program, "--config", str(program.config), "stats", config=None)
    assert answer.status == 0, answer


def test_doctor_without_a_home_tells_what_it_tells_with_one(program: Program) -> None:
    with_home, without = program.run("doctor", "--json"), homeless(program, "doctor", "--json")
    assert with_home.status == without.status
    names = [[check["name"] for check in answer.data["checks"]] for answer in (with_home, without)]
    assert names[0] == names[1]


def test_init_and_all_that_follows_work_without_a_home(program: Program) -> None:
    config, outbox = program.home / "new" / "config.toml", program.home / "mail" / "outbox.db"
    for more in (["init", *LOCAL, "--outbox", str(outbox)], SEND, ["list"]):
        answer = homeless(program, "--config", str(config), *more, config=None)
        assert answer.status == 0, answer
    assert outbox.exists()


def test_init_that_would_need_a_home_for_the_outbox_writes_nothing(program: Program) -> None:
    config = program.home / "new.toml"
    assert_error(homeless(program, "--config", str(config), "init", *LOCAL), 78, "HOME", "--outbox")
    assert not config.exists()


def test_the_demo_needs_no_home(program: Program) -> None:
    answer = homeless(program, "demo", config=None)
    assert answer.status == 0, answer


@pytest.mark.parametrize("home", [None, "", "relative"], ids=["unset", "empty", "relative"])
def test_a_config_that_would_lie_in_the_home_is_78(home: str | None, program: Program) -> None:
    for words in (["stats"], SEND, ["init"]):
        assert_error(homeless(program, *words, home=home, config=None), 78, "HOME", "XDG_CONFIG_HOME", "--config")
    assert_error(homeless(program, "stats", "--json", home=home, config=None), 78, "HOME", code="config")
    assert not list(program.home.glob("~*"))


def test_a_config_named_with_a_tilde_is_78(program: Program) -> None:
    assert_error(homeless(program, "stats", config="~/config.toml"), 78, "HOME")
    assert_error(homeless(program, "stats", config="~no-such-user/config.toml"), 78, "no such user")


@pytest.mark.parametrize("home", [None, "", "relative"], ids=["unset", "empty", "relative"])
def test_an_outbox_that_would_lie_in_the_home_is_78_and_accounts_can_be_looked_at(
    home: str | None, program: Program
) -> None:
    program.config.write_text(program.config.read_text().replace('path = "outbox.db"', ""))
    for words in (SEND, ["drain"], ["list"], ["stats"]):
        assert_error(homeless(program, *words, home=home), 78, "HOME", "XDG_DATA_HOME", "path")
    assert homeless(program, "account", "list", home=home).status == 0
    doctor = homeless(program, "doctor", "--json", home=home)
    assert (doctor.status, doctor.json["error"]["code"]) == (78, "config")
    assert not list(program.home.glob("~*"))


@pytest.mark.parametrize(
    "line", ['path = "~/outbox.db"', 'path = "~no-such-user/outbox.db"'], ids=["own home", "another's"]
)
def test_a_path_in_the_config_with_a_tilde_is_78_and_names_the_key(line: str, program: Program) -> None:
    program.config.write_text(program.config.read_text().replace('path = "outbox.db"', line))
    assert_error(homeless(program, "stats"), 78, "outbox.path", "whole path")
    if "no-such-user" in line:
        assert_error(program.run("stats"), 78, "outbox.path", "whole path")


@pytest.mark.parametrize("option", ["--outbox", "--tls-ca-file", "--password-file"])
def test_a_path_in_an_option_with_a_tilde_is_78(option: str, program: Program) -> None:
    words = ["init", "--host", "localhost", "--user", "a@example.org", "--outbox", "o.db", option, "~/file"]
    assert_error(homeless(program, "--config", str(program.home / "new.toml"), *words), 78, "HOME")


def test_xdg_directories_do_without_a_home(program: Program, tmp_path: Path) -> None:
    named = {f"XDG_{kind}_HOME": str(tmp_path / kind) for kind in ("CONFIG", "DATA", "STATE")}
    assert homeless(program, "init", *LOCAL, config=None, **named).status == 0
    assert homeless(program, *SEND, config=None, **named).status == 0
    assert (tmp_path / "CONFIG" / "prx-email" / "config.toml").exists()
    assert (tmp_path / "DATA" / "prx-email" / "outbox.db").exists()


def test_a_relative_xdg_directory_is_78(program: Program) -> None:
    assert_error(homeless(program, "stats", config=None, XDG_CONFIG_HOME="here"), 78, "XDG_CONFIG_HOME")
    assert not any(stored(program).values())


def test_a_working_directory_that_is_gone_is_78_where_a_path_hangs_on_it(program: Program) -> None:
    command = f"""
mkdir gone && cd gone && rmdir ../gone
"{sys.executable}" -m prx_email_cli --config "{program.home}/new.toml" init --host localhost --outbox here.db
"""
    done = subprocess.run(
        ["sh", "-c", command], env=program.environment, cwd=program.home, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "Traceback" in done.stderr) == (78, False), done
