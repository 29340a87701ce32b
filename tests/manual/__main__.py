"""Writes the man pages into man/: ``python -m tests.manual``."""

from .pages import FOLDER, pages

current = pages()
for path in FOLDER.glob("man?/*"):
    if str(path.relative_to(FOLDER)) not in current:
        path.unlink()
for name, text in current.items():
    (FOLDER / name).parent.mkdir(parents=True, exist_ok=True)
    (FOLDER / name).write_text(text, encoding="ascii")
