"""Typed reading of a TOML table into a dataclass, with errors that name the file, the key and the fix."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin

from prx_email_cli.errors import ConfigError

T = TypeVar("T")

_NAMES = {str: "a string", int: "a whole number", bool: "true or false", Path: "a path (a string)"}


@dataclass(frozen=True)
class Place:
    """Where in which file a value stands; ``base`` is what relative paths in it are relative to."""

    file: Path
    table: str = ""

    def key(self, name: str) -> str:
        """The dotted name of a key in this table."""
        return f"{self.table}.{name}" if self.table else name

    def inside(self, name: str) -> "Place":
        """The sub-table *name*."""
        return Place(self.file, self.key(name))

    def error(self, name: str, problem: str, hint: str = "") -> ConfigError:
        """An error about the key *name*, ready to be raised."""
        return ConfigError(f"{self.file}: {self.key(name)} {problem}", hint=hint)


def key(
    doc: str,
    default: Any = MISSING,
    *,
    low: int | None = None,
    high: int | None = None,
    choices: tuple[str, ...] = (),
    toml: str | None = None,
    secret: bool = False,
) -> Any:
    """A dataclass field that is a config key.

    doc: one line for the reference page.  low, high: limits of a number, inclusive.  toml: the key's name in the file
    where it cannot be the attribute's (``from``).  secret: its value is one, so the file must be the user's alone.
    """
    metadata = {"doc": doc, "low": low, "high": high, "choices": choices, "toml": toml, "secret": secret}
    if callable(default):
        return field(default_factory=default, metadata=metadata, repr=not secret)
    return field(default=default, metadata=metadata, repr=not secret)


def toml_name(f: Field[Any]) -> str:
    """The name of a field in the file."""
    return f.metadata.get("toml") or f.name


def config_keys(cls: type) -> list[Field[Any]]:
    """The fields of a settings class that are keys of the file."""
    return [f for f in fields(cls) if "doc" in f.metadata]


def read_table(cls: type[T], table: Mapping[str, Any], place: Place) -> T:
    """*table* as an instance of the dataclass *cls*.

    Raises ConfigError for an unknown key (naming the nearest known one), a wrong type, a value outside its limits and a
    missing key.
    """
    known = {toml_name(f): f for f in config_keys(cls)}
    for name in table:
        if name not in known:
            raise place.error(name, "is not a known key", _nearest(name, list(known)))
    values = {}
    for name, f in known.items():
        if name in table:
            values[f.name] = _convert(f, f.type, table[name], name, place)
        elif f.default is MISSING and f.default_factory is MISSING:
            raise place.error(name, "is missing", f"add it: {f.metadata['doc']}")
    return cls(**values)


def _nearest(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f'did you mean "{close[0]}"?' if close else f"known keys here: {', '.join(sorted(known))}"


def _convert(f: Field[Any], kind: Any, value: Any, name: str, place: Place) -> Any:
    if isinstance(kind, UnionType):
        kind = next(part for part in get_args(kind) if part is not type(None))
    if is_dataclass(kind):
        return read_table(kind, _as_table(value, name, place), place.inside(name))  # type: ignore[arg-type]
    if get_origin(kind) is dict:
        inner = get_args(kind)[1]
        here = place.inside(name)
        rows = _as_table(value, name, place)
        return {k: read_table(inner, _as_table(v, k, here), here.inside(k)) for k, v in rows.items()}
    if get_origin(kind) is tuple:
        if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
            raise place.error(name, "must be a list of strings", f'write {name} = ["one", "two"]')
        return tuple(value)
    if kind is Path and isinstance(value, str):
        _check_text(value, name, place)
        return place.file.parent / Path(value).expanduser()
    if type(value) is not kind:
        raise place.error(
            name,
            f"must be {_NAMES[kind]}, not {value!r}" if not f.metadata["secret"] else "has the wrong type",
            f"write {name} = {_example(kind)}",
        )
    _check_limits(f, value, name, place)
    return value


def _as_table(value: Any, name: str, place: Place) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise place.error(name, "must be a table", f"write it as [{place.key(name)}] with its keys below")
    return value


def _check_text(value: str, name: str, place: Place) -> None:
    if not value:
        raise place.error(name, "is empty", "give it a value, or leave the key out")
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise place.error(name, "contains a control character", "remove line breaks and other invisible characters")


def _check_limits(f: Field[Any], value: Any, name: str, place: Place) -> None:
    low, high, choices = f.metadata["low"], f.metadata["high"], f.metadata["choices"]
    if isinstance(value, str):
        _check_text(value, name, place)
    if choices and value not in choices:
        raise place.error(name, f"must be one of {', '.join(choices)}, not {value!r}", _nearest(value, list(choices)))
    if (low is not None and value < low) or (high is not None and value > high):
        limits = f"from {low} to {high}" if high is not None else f"{low} or more"
        raise place.error(name, f"must be {limits}, not {value}")


def _example(kind: type) -> str:
    return {str: '"text"', int: "10", bool: "true"}.get(kind, '"..."')
