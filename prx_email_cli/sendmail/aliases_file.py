"""Read a file of aliases, such as /etc/aliases."""

from collections.abc import Iterator
from pathlib import Path

from prx_email_cli.errors import ConfigError
from prx_email_cli.files import read_bounded

MAX_BYTES, SECONDS = 4 << 20, 10
Aliases = dict[str, tuple[str, ...]]


def read_aliases(file: Path) -> Aliases:
    """Return the aliases in *file*.  Raises ConfigError."""
    try:
        data, _ = read_bounded(file, MAX_BYTES, SECONDS)
    except TimeoutError:
        why = f"nothing came within {SECONDS} s"
    except OSError as error:
        why = str(error.strerror)
    else:
        if len(data) <= MAX_BYTES:
            return parse_aliases(data.decode("utf-8", "replace"))
        why = f"it is larger than {MAX_BYTES >> 20} MiB"
    raise ConfigError(f"the aliases in {file} cannot be read: {why}", hint="correct [sendmail] aliases_file")


def parse_aliases(text: str) -> Aliases:
    """Return the values of each name in *text*, names in lower case; of a name that comes twice the first."""
    found: Aliases = {}
    for line in _logical_lines(text):
        name, value = _divided(line)
        if name and value:
            found.setdefault(name.lower(), (value,))
    return found


def _logical_lines(text: str) -> Iterator[str]:
    """Yield the lines without comments, each with those that continue it."""
    held = ""
    for line in text.split("\n"):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0] in " \t":
            held += f" {line.strip()}"
            continue
        if held:
            yield held
        held = line.strip()
    if held:
        yield held


def _divided(line: str) -> tuple[str, str]:
    """Split a line at the colon behind its name, which may be quoted."""
    if line.startswith('"'):
        name, _, rest = line[1:].partition('"')
        between, colon, value = rest.partition(":")
        return (name, value.strip()) if colon and not between.strip() else ("", "")
    name, _, value = line.partition(":")
    return name.strip(), value.strip()


def split(value: str) -> list[str]:
    """Split what a name stands for at its commas, but for those in quotes and in angle brackets."""
    parts, quoted, angled = [""], False, False
    for at, character in enumerate(value):
        if character == '"' and value[at - 1 : at] != "\\":
            quoted = not quoted
        angled = (angled or character == "<") and character != ">" if not quoted else angled
        if character == "," and not quoted and not angled:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]
