"""Draws docs/architecture.md's picture of the layers from the imports: ``python -m tests.docs.picture``."""

import re
from pathlib import Path

from tests.test_architecture import MODULES, layer_of, own_modules

FILE = Path(__file__).resolve().parents[2] / "docs" / "architecture.md"
BOTTOM = ("files", "children", "redaction", "errors")  # every layer may use them, so no arrow tells anything
_PICTURE = re.compile(r"```mermaid\n.*?```\n", re.DOTALL)


def picture() -> str:
    """The layers as a Mermaid diagram; an arrow that follows from others is left out."""
    below = _imports()
    lines = [
        f"    {layer} --> {other}"
        for layer in sorted(below)
        for other in sorted(below[layer])
        if not any(other in _reached(between, below) for between in below[layer] - {other})
    ]
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```", ""])


def redrawn(page: str) -> str:
    """*page* with the picture as it is now."""
    return _PICTURE.sub(lambda _: picture(), page)


def _imports() -> dict[str, set[str]]:
    """The layers that each layer imports from to run."""
    below: dict[str, set[str]] = {}
    for module in MODULES:
        layer = layer_of(module)
        others = {name.split(".")[1] for name in own_modules(module) if name.count(".")}
        below.setdefault(layer, set()).update(others - {layer, *BOTTOM, "__version__"})
    return {layer: others for layer, others in below.items() if layer not in ("__init__", *BOTTOM)}


def _reached(layer: str, below: dict[str, set[str]]) -> set[str]:
    """Every layer that *layer* imports from, itself or through others."""
    reached = set(below.get(layer, ()))
    for other in below.get(layer, ()):
        reached |= _reached(other, below)
    return reached


if __name__ == "__main__":
    FILE.write_text(redrawn(FILE.read_text(encoding="utf-8")), encoding="utf-8")
