"""Record what was made on a machine, before it is made, so that nothing else is ever removed."""

import json
import os
from contextlib import suppress
from pathlib import Path

from prx_email_cli.errors import ConfigError
from prx_email_cli.files import sync_directory

_MODE, _DIRECTORY_MODE = 0o644, 0o750


class Record:
    """The record at a path, whose directory comes into being with it.

    made: names of what was made, in order.  config_digest: of the first config, as it was written; "" before that.
    """

    def __init__(self, file: Path, directory_name: str) -> None:
        """Read the record.  directory_name: under which its own directory is recorded.  Raises ConfigError."""
        self._file, self._directory_name = file, directory_name
        self.made: list[str] = []
        self.config_digest = ""
        try:
            read = json.loads(file.read_bytes())
            self.made, self.config_digest = [str(one) for one in read["made"]], str(read["config_digest"])
        except FileNotFoundError:
            pass
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(
                f"{file}: the record of what was made cannot be read: {type(error).__name__}",
                hint="remove it; then what was made is not undone any more",
            ) from None

    def add(self, name: str) -> None:
        """Record what is about to be made.  Raises OSError."""
        if name not in self.made:
            self.made.append(name)
            self.write()

    def write(self) -> None:
        """Write the record, durably, in one piece.  Raises OSError."""
        directory = self._file.parent
        if directory.is_dir():
            _write_into(directory, self._file.name, self._text())
            return
        new = directory.with_name(f".{directory.name}.new")
        with suppress(FileExistsError):
            new.mkdir(mode=0o700, parents=True)
        if self._directory_name not in self.made:
            self.made.insert(0, self._directory_name)
        _write_into(new, self._file.name, self._text())
        new.chmod(_DIRECTORY_MODE)
        new.rename(directory)
        sync_directory(directory.parent)

    def _text(self) -> str:
        return json.dumps({"made": self.made, "config_digest": self.config_digest}, indent=2) + "\n"


def _write_into(directory: Path, name: str, text: str) -> None:
    new = directory / f".{name}.new"
    with suppress(FileNotFoundError):
        new.unlink()
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    try:
        os.write(descriptor, text.encode())
        os.fchmod(descriptor, _MODE)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    new.rename(directory / name)
    sync_directory(directory)
