"""Find the addresses that a local name such as ``root`` stands for."""

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING

from prx_email_cli.errors import ConfigError, NoSuchUser
from prx_email_cli.sendmail.aliases_file import Aliases, read_aliases, split
from prx_email_cli.submission.caller import LOCALHOST

if TYPE_CHECKING:
    from prx_email_cli.config.sendmail import SendmailSettings

OTHERS = "*"
MOST_STEPS = 50
_NO_ADDRESS = (("|", "a command"), ("/", "a file"), (":include:", "a list in another file"))


class Local:
    """The local names of a config.  Case means nothing in them."""

    def __init__(self, settings: "SendmailSettings") -> None:
        self._settings = settings
        self._aliases = {name.lower(): values for name, values in settings.aliases.items()}

    def addresses(self, name: str) -> list[str]:
        """Return the addresses of *name*, each once, not yet checked.

        For an address on this machine, those of its name; none where it stays as it is.  Raises NoSuchUser for a name
        without one, ConfigError for names in a circle and a file that cannot be read.
        """
        if "@" in name:
            return self._on_this_machine(*name.rpartition("@")[::2])
        return list(dict.fromkeys(self._expanded(name, [], set())))

    def _on_this_machine(self, name: str, domain: str) -> list[str]:
        """Return the addresses of ``name@domain``.

        The machine's own name may be a domain with real mailboxes, so that only names count there that have an alias.
        """
        if domain.lower() != LOCALHOST and self._values(name.lower()) is None:
            return []
        try:
            return self.addresses(name)
        except NoSuchUser:
            return []

    def _expanded(self, name: str, chain: list[str], done: set[str]) -> Iterator[str]:
        """Yield the addresses of *name*.  chain: the names that led to it.  done: names that need no second look."""
        key = name.lower()
        values = None if chain[-1:] == [key] else self._values(key)
        if values is None and OTHERS in self._aliases and OTHERS not in chain:
            key, values = OTHERS, self._aliases[OTHERS]
        if values is None:
            yield self._with_domain(name, chain)
            return
        if key in chain or len(chain) > MOST_STEPS:
            raise ConfigError(
                f"the alias {chain[0]!r} leads in a circle: {' -> '.join([*chain, key][-5:])}",
                hint="correct [sendmail.aliases] or aliases_file",
            )
        if key not in done:
            for piece in (piece for value in values for piece in split(value)):
                yield from self._of(piece, [*chain, key], done)
            done.add(key)

    def _of(self, piece: str, chain: list[str], done: set[str]) -> Iterator[str]:
        """Yield the addresses of one *piece* of an alias."""
        bare = piece[1:-1] if piece[:1] == piece[-1:] == '"' else piece
        for start, what in _NO_ADDRESS:
            if bare.startswith(start):
                raise NoSuchUser(
                    f"no address for {chain[0]!r}: its alias names {what}: {bare[:100]}",
                    hint="name an address for it in [sendmail.aliases]",
                )
        if "@" in piece:
            yield piece
        elif bare.startswith("\\"):
            yield self._with_domain(bare[1:], chain)
        else:
            yield from self._expanded(bare, chain, done)

    def _values(self, key: str) -> tuple[str, ...] | None:
        found = self._aliases.get(key) if key != OTHERS else None
        return found if found is not None else self._file.get(key)

    @cached_property
    def _file(self) -> Aliases:
        file = self._settings.aliases_file
        return {} if file is None else read_aliases(file)

    def _with_domain(self, name: str, chain: list[str]) -> str:
        if self._settings.default_domain is not None:
            return f"{name}@{self._settings.default_domain}"
        through = f", to which {chain[0]!r} leads" if chain and chain[0] != name.lower() else ""
        raise NoSuchUser(
            f"no address for the local name {name!r}{through}",
            hint="name one in [sendmail.aliases], or set [sendmail] default_domain",
        )
