"""Writes the man pages and the scripts for shells into man/ and completions/: ``python -m tests.manual``."""

from .pages import FOLDER, pages
from .scripts import FILES

current = pages()
for path in FOLDER.glob("man?/*"):
    if str(path.relative_to(FOLDER)) not in current:
        path.unlink()
for name, text in current.items():
    (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
    (FOLDER / name).write_text(text, encoding="ascii")
for file, script in FILES.items():
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(script, encoding="ascii")
