"""The scripts by which shells complete, as files that an installation puts where the shells look."""

from pathlib import Path

from prx_email_cli.cli.completion import SCRIPTS

FOLDER = Path(__file__).resolve().parents[2] / "completions"
NAMES = {"bash": "bash/prx-email", "zsh": "zsh/_prx-email", "fish": "fish/prx-email.fish"}
FILES = {FOLDER / NAMES[shell]: script for shell, script in SCRIPTS.items()}
