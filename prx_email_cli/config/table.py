"""Read a TOML table into a typed object; errors name the file, the key and a fix."""

from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar, get_args, get_origin

from prx_email_cli.config.paths import expanded
from prx_email_cli.errors import ConfigError

_NAMES = {str: "a string", int: "a whole number", bool: "true or false", Path: "a path (a string)"}


class Place(NamedTuple):
    """A table's file and dotted name; relative paths in it are relative to the file."""

    file: Path
    table: str = ""

    def key(self, name: str) -> str:
        """Return the dotted name of a key in this table."""
        return f"{self.table}.{name}" if self.table else name

    def inside(self, name: str) -> "Place":
        """Return the place of the sub-table *name*."""
        return Place(self.file, self.key(name))

    def error(self, name: str, problem: str, hint: str = "") -> ConfigError:
        """Return an error about the key *name*."""
        return ConfigError(f"{self.file}: {self.key(name)} {problem}", hint=hint)


class Key:
    """One key of a table, as its class declares it.  kind: the type of its value."""

    name: str
    kind: Any

    def __init__(self, doc: str, default: Any, limits: tuple[int | None, int | None], choices: tuple[str, ...]) -> None:
        self.doc = doc
        self.default = default
        self.low, self.high = limits
        self.choices = choices
        self.toml: str | None = None
        self.secret = False

    def default_value(self) -> Any:
        """Return the key's value for when the file has none."""
        return self.default() if callable(self.default) else self.default


def key(
    doc: str,
    default: Any,
    *,
    low: int | None = None,
    high: int | None = None,
    choices: tuple[str, ...] = (),
    toml: str | None = None,
    secret: bool = False,
) -> Any:
    """Declare a key.

    doc: one line for the reference page.  low, high: limits of a number, inclusive.  toml: the key's name in the file
    where it cannot be the attribute's (``from``).  secret: its value is one, so the file must be the user's alone.
    """
    declared = Key(doc, default, (low, high), choices)
    declared.toml, declared.secret = toml, secret
    return declared


class Table:
    """A table of the config; a subclass declares its keys.

    It is no dataclass: making one would cost every start a millisecond.
    """

    keys: dict[str, Key]  # by the name in the file

    def __init_subclass__(cls) -> None:
        cls.keys = {}
        for name, kind in cls.__annotations__.items():
            declared = cls.__dict__.get(name)
            if isinstance(declared, Key):
                declared.name, declared.kind = name, kind
                cls.keys[declared.toml or name] = declared
                delattr(cls, name)

    def __init__(self, **values: Any) -> None:
        for declared in self.keys.values():
            if not callable(declared.default):
                self.__dict__[declared.name] = declared.default
        self.__dict__.update(values)

    if not TYPE_CHECKING:  # or every misspelt attribute would pass the type checker

        def __getattr__(self, name: str) -> Any:
            """Work a default out on first use: the outbox's path may need a home directory."""
            for declared in self.keys.values():
                if declared.name == name:
                    value = self.__dict__[name] = declared.default_value()
                    return value
            raise AttributeError(name)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"settings do not change: {name}")

    def __repr__(self) -> str:
        values = {key.name: "***" if key.secret else self.__dict__.get(key.name) for key in self.keys.values()}
        shown = {name: "***" if _may_hold_secret(value) else value for name, value in values.items()}
        return f"{type(self).__name__}({shown})"

    def replace(self, **changes: Any) -> Self:
        """Return a copy of the table with these values changed."""
        return type(self)(**{**self.__dict__, **changes})


def _may_hold_secret(value: object) -> bool:
    """Tell whether *value* looks like a URL, which may have a password."""
    return "://" in str(value)


T = TypeVar("T", bound=Table)


def read_table(cls: type[T], table: Mapping[str, Any], place: Place) -> T:
    """Read *table* as an instance of *cls*.

    Raises ConfigError for an unknown key (naming the nearest known one), a wrong type and a value outside its limits.
    """
    for name in table:
        if name not in cls.keys:
            raise place.error(name, "is not a known key", _nearest(name, list(cls.keys)))
    return cls(**{cls.keys[name].name: _convert(cls.keys[name], value, name, place) for name, value in table.items()})


def _nearest(name: str, known: list[str], what: str = "keys") -> str:
    from difflib import get_close_matches  # on use

    close = get_close_matches(name, known, n=1, cutoff=0.5)
    return f'did you mean "{close[0]}"?' if close else f"known {what} here: {', '.join(sorted(known))}"


def _convert(declared: Key, value: Any, name: str, place: Place) -> Any:
    kind = declared.kind
    if isinstance(kind, UnionType):
        kind = next(part for part in get_args(kind) if part is not type(None))
    if isinstance(kind, type) and issubclass(kind, Table):
        return read_table(kind, _as_table(value, name, place), place.inside(name))
    if get_origin(kind) is dict:
        inner = get_args(kind)[1]
        here = place.inside(name)
        rows = _as_table(value, name, place)
        if get_origin(inner) is tuple:
            return {k: _convert_words([v] if isinstance(v, str) else v, k, here) for k, v in rows.items()}
        return {k: read_table(inner, _as_table(v, k, here), here.inside(k)) for k, v in rows.items()}
    if get_origin(kind) is tuple:
        if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
            raise place.error(name, "must be a list of strings", f'write {name} = ["one", "two"]')
        for item in value:
            _check_choice(declared.choices, item, name, place)
        return tuple(value)
    if kind is Path and isinstance(value, str):
        _check_text(value, name, place)
        if _may_hold_secret(value):
            raise place.error(name, "is a URL, and must be a path", "name a file; [outbox] url names a database")
        try:
            return place.file.parent / expanded(value)
        except ConfigError as error:
            raise place.error(name, f"= {value!r}: {error.message}", error.hint) from None
    if type(value) is not kind:
        raise place.error(
            name,
            "has the wrong type"
            if declared.secret or _may_hold_secret(value)
            else f"must be {_NAMES[kind]}, not {value!r}",
            f"write {name} = {_example(kind)}",
        )
    _check_limits(declared, value, name, place)
    return value


def _convert_words(value: Any, name: str, place: Place) -> tuple[str, ...]:
    """Convert the value of a key whose name is free: a string, or a list of strings."""
    if not isinstance(value, list) or not value or not all(isinstance(item, str) for item in value):
        raise place.error(
            name, "must be a string or a list of strings", f'write {name} = "one" or {name} = ["one", "two"]'
        )
    for text in (name, *value):
        _check_text(text, name, place)
    return tuple(value)


def _as_table(value: Any, name: str, place: Place) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise place.error(name, "must be a table", f"write it as [{place.key(name)}] with its keys below")
    return value


def _check_text(value: str, name: str, place: Place) -> None:
    if not value:
        raise place.error(name, "is empty", "give it a value, or leave the key out")
    if any(ord(c) < 32 or ord(c) == 127 for c in value):
        raise place.error(name, "contains a control character", "remove line breaks and other invisible characters")


def _check_limits(declared: Key, value: Any, name: str, place: Place) -> None:
    low, high, choices = declared.low, declared.high, declared.choices
    if isinstance(value, str):
        _check_text(value, name, place)
    _check_choice(choices, value, name, place)
    if (low is not None and value < low) or (high is not None and value > high):
        limits = f"from {low} to {high}" if high is not None else f"{low} or more"
        raise place.error(name, f"must be {limits}, not {value}")


def _check_choice(choices: tuple[str, ...], value: Any, name: str, place: Place) -> None:
    if choices and value not in choices:
        raise place.error(
            name, f"must be one of {', '.join(choices)}, not {value!r}", _nearest(value, list(choices), "values")
        )


def _example(kind: type) -> str:
    return {str: '"text"', int: "10", bool: "true"}.get(kind, '"..."')
