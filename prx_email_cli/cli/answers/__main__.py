"""Write the schemas into a directory: ``python -m prx_email_cli.cli.answers docs/schema``."""

import json
import sys
from pathlib import Path

from prx_email_cli.cli.answers.commands import documents


def main(directory: Path) -> None:
    """Write each schema, and remove those of commands that are no more."""
    directory.mkdir(exist_ok=True)
    found = documents()
    for old in directory.glob("*.schema.json"):
        if old.name not in found:
            old.unlink()
    for name, schema in found.items():
        (directory / name).write_text(json.dumps(schema, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
