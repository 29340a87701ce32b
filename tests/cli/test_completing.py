"""What a shell is answered that completes a command line, and what it never gets."""

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from prx_email_cli.cli.completing import complete
from prx_email_cli.cli.completion import SCRIPTS
from prx_email_cli.cli.main import COMMANDS, app

from ..conftest import Program

SHELLS = sorted(SCRIPTS)
BIN = Path(sys.executable).parent
HOSTILE = "\"; touch pwned; $(touch pwned) `touch pwned` ' \\$(touch pwned) [b]x[/] %F{red} a:b end"


def asked(program: Program, *words: str, shell: str = "zsh") -> list[list[str]]:
    """The lines of the answer, each with its fields; *words* without the program's name, the last one unfinished."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["prx-email", *words])
        patch.setenv("PRX_EMAIL_CONFIG", str(program.config))
        patch.chdir(program.home)
        assert complete(app, shell) == 0
    assert err.getvalue() == ""
    return [line.split("\t") for line in out.getvalue().splitlines()]


def values(program: Program, *words: str, shell: str = "zsh") -> list[str]:
    """The candidates alone, of a word that is no file."""
    kind, *found = asked(program, *words, shell=shell)
    assert kind == ["plain"]
    return [fields[0] for fields in found]


@pytest.mark.parametrize("shell", SHELLS)
def test_commands_and_the_commands_of_groups_are_offered(program: Program, shell: str) -> None:
    assert values(program, "", shell=shell) == list(COMMANDS)
    assert values(program, "re", shell=shell) == ["reply", "retry", "release", "resolve", "resume"]
    assert values(program, "account", "s", shell=shell) == ["show", "set-password"]
    assert values(program, "help", "acc", shell=shell) == ["account"]


def test_options_are_offered_once_a_dash_is_typed(program: Program) -> None:
    assert values(program, "--") == ["--config", "--version", "--help"]
    assert values(program, "retry", "--fo") == ["--force"]
    assert values(program, "retry", "--force", "--fo") == []
    assert values(program, "drain", "") == []


def test_what_may_be_one_of_a_few_words_is_offered(program: Program) -> None:
    assert values(program, "send", "--priority", "") == ["high", "normal", "bulk"]
    assert values(program, "list", "--status", "s") == ["sending", "sent"]
    assert values(program, "init", "--tls", "") == ["implicit", "starttls", "none"]
    assert "fastmail" in values(program, "init", "--provider", "f")
    assert values(program, "completion", "") == ["bash", "zsh", "fish"]


def test_files_and_directories_are_left_to_the_shell(program: Program) -> None:
    assert asked(program, "send", "--body-file", "") == [["file"]]
    assert asked(program, "send", "--attach", "x") == [["file"]]
    assert asked(program, "--config", "") == [["file"]]
    assert asked(program, "import", "") == [["file"]]
    assert asked(program, "export", "1", "--maildir", "") == [["dir"]]


class TestAccounts:
    def test_are_offered_where_one_is_named(self, program: Program) -> None:
        for words in (["send", "--account"], ["account", "test"], ["pause", "--account"], ["show", "--account"]):
            assert values(program, *words, "") == ["work"], words
        for words in (["account", "add"], ["init", "--account"], ["run", "--lock"]):
            assert values(program, *words, "") == [], words

    @pytest.mark.parametrize("shell", ["zsh", "fish"])
    def test_stay_joined_to_their_option(self, program: Program, shell: str) -> None:
        assert values(program, "send", "--account=w", shell=shell) == ["--account=work"]

    def test_are_those_of_the_named_config(self, program: Program) -> None:
        other = program.home / "other.toml"
        other.write_text(program.config.read_text().replace("work", "spare"))
        assert values(program, "--config", str(other), "send", "--account", "") == ["spare"]
        assert values(program, "send", "--config", str(other), "--account", "") == ["spare"]
        assert values(program, "send", f"--config={other}", "--account", "") == ["spare"]

    def test_a_name_that_a_shell_would_take_for_more_is_left_out(self, program: Program) -> None:
        text = program.config.read_text()
        program.config.write_text(text.replace("accounts.work", 'accounts."$(touch pwned)"'))
        assert values(program, "send", "--account", "") == []

    def test_no_command_for_a_secret_is_run(self, program: Program) -> None:
        program.configure(smtp='user = "me"', auth='password_command = ["touch", "fetched"]')
        assert values(program, "send", "--account", "") == ["work"]
        assert not (program.home / "fetched").exists()


class TestIds:
    @pytest.mark.on_both
    def test_are_those_that_the_command_is_for_the_newest_first(self, program: Program) -> None:
        for _ in range(4):
            program.send()
        program.call("hold", "2")
        program.call("cancel", "3")
        program.call("retry", "4", "--failure-mode", "network")
        assert values(program, "show", "") == ["4", "3", "2", "1"]
        assert values(program, "release", "") == ["2"]
        assert values(program, "hold", "") == ["4", "1"]
        assert values(program, "cancel", "") == ["4", "2", "1"]
        assert values(program, "retry", "") == ["4"]
        assert values(program, "resolve", "") == []
        assert values(program, "dismiss", "") == []
        assert values(program, "messages", "show", "") == []

    def test_are_told_apart_and_not_offered_twice(self, program: Program) -> None:
        program.send(subject="first")
        program.send(subject="second")
        assert asked(program, "show", "") == [
            ["plain"], ["2", "pending a@example.org: second"], ["1", "pending a@example.org: first"],
        ]  # fmt: skip
        assert values(program, "show", "2", "") == ["1"]

    def test_begin_as_typed_and_the_newest_are_enough(self, program: Program) -> None:
        program.call("send", "--batch", "-", text='{"to": "a@example.org", "subject": "s", "body_text": "b"}\n' * 120)
        assert values(program, "show", "")[:2] == ["120", "119"]
        assert len(values(program, "show", "")) == 50
        assert values(program, "show", "3") == [str(number) for number in (*range(39, 29, -1), 3)]
        assert values(program, "show", "x") == []

    @pytest.mark.parametrize("shell", SHELLS)
    def test_a_subject_is_shown_in_one_short_line_without_what_a_terminal_obeys(
        self, program: Program, shell: str
    ) -> None:
        program.send()
        hostile = f"\x1b[31m\n\t\x9b\u2066\u202e{HOSTILE * 9}".replace("'", "''")
        program.execute(f"UPDATE outbox SET subject = '{hostile}'")
        kind, (number, text) = asked(program, "show", "", shell=shell)
        assert (kind, number) == (["plain"], "1")
        assert text.startswith("pending a@example.org: \\x1b[31m")
        assert text.isprintable()
        assert len(text) <= 60


class TestWhateverIsWrong:
    def test_means_no_candidates_and_not_a_word(self, program: Program) -> None:
        program.send()
        program.config.write_text("[nonsense")
        assert asked(program, "show", "") == []
        assert asked(program, "send", "--account", "") == []
        program.config.unlink()
        assert asked(program, "show", "") == []

    @pytest.mark.of_files
    def test_nothing_is_made_where_no_outbox_is(self, program: Program) -> None:
        assert asked(program, "show", "") == []
        assert not program.outbox.exists()

    @pytest.mark.of_files
    def test_an_outbox_that_is_none(self, program: Program) -> None:
        program.outbox.write_text("no database")
        program.outbox.chmod(0o600)
        assert asked(program, "show", "") == []

    @pytest.mark.parametrize(
        "words", [["nonsense", ""], ["send", "--nonsense", ""], ["-V", ""], ["show", "'"], [], ["--", ""]]
    )
    def test_a_command_line_that_is_none(self, program: Program, words: list[str]) -> None:
        for shell in SHELLS:
            lines = asked(program, *words, shell=shell)
            assert "prx-email 0" not in str(lines)


@pytest.mark.of_files
def test_it_loads_neither_what_speaks_to_servers_nor_what_draws_tables(program: Program) -> None:
    program.send()
    script = (
        "import atexit, runpy, sys; atexit.register(lambda: print(*sorted({'rich', 'ssl', 'smtplib', 'email.message'}"
        " & sys.modules.keys()), file=sys.stderr)); sys.argv = ['prx-email', 'show', '']; "
        "runpy.run_module('prx_email_cli', run_name='__main__')"
    )
    environment = {**program.environment, "_PRX_EMAIL_COMPLETE": "zsh"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout.split("\t")[0], done.stderr.strip()) == ("plain\n1", "")


class TestBash:
    """The script in a real bash."""

    def completed(self, program: Program, *words: str) -> list[str]:
        """COMPREPLY after a TAB behind *words*, as bash parts them."""
        script = (
            'eval "$(prx-email completion bash)"; COMP_WORDS=(prx-email "$@"); COMP_CWORD=$#; '
            '_prx_email prx-email 2>/dev/null; printf "%s\\n" "${COMPREPLY[@]}"'
        )
        environment = {**program.environment, "PATH": f"{BIN}:{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "--norc", "-c", script, "bash", *words],
            env=environment, cwd=program.home, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()

    def test_completes_what_the_program_offers(self, program: Program) -> None:
        program.send(subject=HOSTILE)
        (program.home / "1file").touch()
        assert self.completed(program, "show", "") == ["1"]
        assert self.completed(program, "sen") == ["send", "sendmail"]
        assert self.completed(program, "send", "--account", "=", "w") == ["work"]
        assert self.completed(program, "send", "--account", "=") == ["work"]
        assert self.completed(program, "send", "--subject", "'a b'", "--account", '"w') == ["work"]
        assert self.completed(program, "show", "$(touch pwned)") == []
        assert not (program.home / "pwned").exists()
