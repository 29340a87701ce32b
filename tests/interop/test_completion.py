"""bash, zsh and fish complete our command lines, and nothing that came from outside is obeyed by them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..cli.test_completing import HOSTILE
from ..conftest import Program
from ..support.terminal import Terminal
from .servers.base import installed_root

pytestmark = pytest.mark.interop

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
OVERLAY = 'mount -t overlay -o "ro,lowerdir=$0/usr:/usr" prx-email-interop /usr && exec "$@"'
SETTINGS = {
    "bash": "PS1='ready> '\nbind 'set enable-bracketed-paste off'\n",
    "zsh": "PS1='ready> '\nunset zle_bracketed_paste\nautoload -Uz compinit && compinit -u -D\n",
}


SUBJECTS = ("plain", HOSTILE, "$(touch pwned)", "`touch pwned`", "\\$(touch pwned)", "%F{red}%S$HOME", "a:b\\:c '(d' *")


def prepared(program: Program) -> None:
    """A message for each subject, the second of which is held."""
    for subject in SUBJECTS:
        program.send(subject=subject)
    program.call("hold", "2")


def started(program: Program, shell: str, settings: str = "") -> Terminal:
    """A terminal with a shell that has read our script, or *settings*."""
    settings = settings or SETTINGS[shell] + f'eval "$(prx-email completion {shell})"\n'
    (program.home / f".{shell}rc").write_text(settings)
    environment = {
        **program.environment, "PATH": f"{BIN}:{os.environ['PATH']}", "TERM": "dumb", "LC_ALL": "C.UTF-8",
    }  # fmt: skip
    command = ["/bin/bash", "--rcfile", f"{program.home}/.bashrc", "-i"]
    if shell != "bash":
        command = ["/usr/bin/unshare", "--mount", "sh", "-c", OVERLAY, str(installed_root(shell)), shell, "-i"]
    return Terminal(command, env=environment, cwd=program.home)


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_person_at_a_terminal_completes_ids_and_accounts(program: Program, shell: str) -> None:
    prepared(program)
    with started(program, shell) as terminal:
        terminal.expect("ready> ")
        terminal.press("prx-email rel\t")
        terminal.expect("prx-email rel")
        terminal.expect("ease ")
        terminal.press("\t")
        terminal.expect("2 ")
        terminal.press("--dry-run\r")
        terminal.expect("1 message; nothing was changed")
        terminal.expect("ready> ")
        terminal.press("prx-email show \t" + ("\t" if shell == "bash" else ""))  # several: they are listed
        terminal.expect("\n7")
        for number in range(len(SUBJECTS) - 1, 0, -1):
            terminal.expect(str(number))
        terminal.expect("ready> prx-email show ")
        terminal.press("1 --json\r")
        terminal.expect('"outbox_id": 1')
        terminal.expect("ready> ")
        terminal.press("prx-email list --account\t")
        terminal.expect("--account ")
        terminal.press("\t")
        terminal.expect("work ")
        terminal.press("--json\r")
        terminal.expect(f'"total": {len(SUBJECTS)}')
        terminal.expect("ready> ")
        terminal.press("exit\r")
        terminal.end()
    for subject in SUBJECTS if shell == "zsh" else ():
        assert f"  -- pending a@example.org: {subject[:20]}" in terminal.screen
    assert not (program.home / "pwned").exists()


def test_fish_offers_them_with_what_they_are(program: Program) -> None:
    prepared(program)

    def offered(line: str) -> list[str]:
        script = f"prx-email completion fish | source; complete --do-complete '{line}'"
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", OVERLAY, installed_root("fish"), "fish", "--no-config", "-c", script],
            env={**program.environment, "PATH": f"{BIN}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"},
            capture_output=True, text=True, check=False, cwd=program.home,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.splitlines()

    shown = [f"{number}\tpending a@example.org: {subject[:20]}" for number, subject in enumerate(SUBJECTS, 1)]
    for line, wanted in zip(offered("prx-email show "), reversed(shown), strict=True):
        assert line.startswith(wanted)
    assert [line.split("\t")[0] for line in offered("prx-email release ")] == ["2"]
    assert offered("prx-email send --account=w")[0].split("\t")[0] == "--account=work"
    assert [line.split("\t")[0] for line in offered("prx-email send --body-file conf")] == ["config.toml"]
    assert not (program.home / "pwned").exists()


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_installed_file_of_a_shell_is_enough(program: Program, shell: str) -> None:
    prepared(program)
    folder = ROOT / "completions" / shell
    settings = {
        "bash": f"PS1='ready> '\nbind 'set enable-bracketed-paste off'\n. {folder}/prx-email\n",
        "zsh": f"PS1='ready> '\nfpath=({folder} $fpath)\nautoload -Uz compinit && compinit -u -D\n",
    }
    with started(program, shell, settings[shell]) as terminal:
        terminal.expect("ready> ")
        terminal.press("prx-email release \t")
        terminal.expect("2 ")
        terminal.press("--dry-run\r")
        terminal.expect("1 message; nothing was changed")
        terminal.expect("ready> ")
        terminal.press("exit\r")
        terminal.end()
