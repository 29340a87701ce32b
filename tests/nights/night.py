"""What a night is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from .stage import Stage


def nothing(_: Stage) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class Night:
    """An incident, as docs/troubleshooting.md tells of it and as it is played.

    told: words of a drain, or of ``status``; explained: words of ``show``; … stands for what varies, and "" for none.
    deed: what is put right elsewhere, which put_right does.  mend: the commands that end it; each is named in what was
    heard.  afterwards: what a person does after them, which then does.  play: brings the incident about, drains
    included.  sleeps: how long after all that the last drain is, in seconds.  arrives: how often what reaches whom in
    the end.  message: the one that ``show`` explains.  stdin: what is piped into the mending commands.  scene: how the
    account logs in.  of_files: on a database this is another's night.
    """

    title: str
    told: str
    explained: str
    play: Callable[[Stage], None]
    mend: tuple[str, ...] = ()
    deed: str = ""
    put_right: Callable[[Stage], None] = nothing
    afterwards: str = ""
    then: Callable[[Stage], None] = nothing
    sleeps: int = 60
    arrives: Mapping[tuple[str, str], int] = field(default_factory=lambda: {("one", "a@example.org"): 1})
    message: int = 1
    stdin: str = ""
    scene: Literal["password", "tls", "oauth"] = "password"
    of_files: bool = False
