"""Every place, every manner, with PIPELINING and without: each combination comes to what the rules say.

On an outbox in memory all of them are played, and on one in a file and in a database a sample (see ``stores``).
"""

import re
from collections.abc import Sequence

import pytest

from ..support.postgres import programs
from .campaign import Campaign, Played
from .document import FILE, page
from .places import Manner, Place, Row, all_rows
from .rules import DOUBTFUL_FORERUNNER, MEANINGS, PLACE_RULES, Fate, after, at_last, verdict_on
from .stores import MEMORY, POSTGRESQL, SQLITE, WHOLE

ROWS = list(all_rows())
ONE_BY_ONE = [row for row in ROWS if not row.pipelining]
SILENT_PLACES = (Place.TLS_AFTER_STARTTLS, Place.TLS_ON_CONNECTING, Place.RSET, Place.QUIT)
"""Where a reply is not the reason for anything."""


def _sample(rows: Sequence[Row]) -> list[Row]:
    """The first row of each place, of each manner, and of each rule: what a table of rules says of a meaning."""
    seen: set[object] = set()
    found = []
    for row in rows:
        covers = {row.place, row.manner, (id(PLACE_RULES[row.place]), MEANINGS[row.manner])}
        if not covers <= seen:
            seen |= covers
            found.append(row)
    return found


def _each_kind() -> list[tuple[Row, str]]:
    """Every row and the kind of outbox that it is played on."""
    kinds = [(row, MEMORY) for row in ROWS] + [(row, SQLITE) for row in _sample(ROWS)]
    if programs() is not None:
        kinds += [(row, POSTGRESQL) for row in (ROWS if WHOLE else _sample(ONE_BY_ONE))]
    return kinds


@pytest.mark.parametrize(("row", "kind"), _each_kind(), ids=str)
def test_each_combination_comes_to_what_the_rules_say(row: Row, kind: str, campaign: Campaign) -> None:
    seen = campaign.played[row, kind]
    if isinstance(seen, Exception):
        raise seen
    rule = verdict_on(row, seen.after.error)
    fate, _ = rule
    _really_happened_and_the_client_kept_to_the_protocol(row, seen)
    assert seen.after == after(row, rule)
    assert seen.attempts == [(_outcome(fate), fate is Fate.UNCERTAIN)]
    doubtful = row.place is Place.IDLE and (MEANINGS[row.manner] in DOUBTFUL_FORERUNNER or row.manner is Manner.SLOW)
    assert seen.forerunner in (("sent", "uncertain") if doubtful else ("sent",))
    assert seen.at_last == at_last(row, fate), "once the server has recovered"
    _says_why(row, seen, fate)
    assert seen.connections == 1 or fate is not Fate.ACCOUNT, "a failing account costs one connection"


def _really_happened_and_the_client_kept_to_the_protocol(row: Row, seen: Played) -> None:
    assert seen.happened == row.fault.times
    assert seen.warnings == [] or row.place is Place.IDLE  # what was said after an answer
    if not (row.place is Place.IDLE and row.reply):  # what nobody asked for may be taken for the answer to MAIL,
        assert seen.violations == []  # and then the client is always one answer ahead


def _says_why(row: Row, seen: Played, fate: Fate) -> None:
    if fate is Fate.SENT:
        assert seen.last_error == ""
    elif row.reply and row.place not in SILENT_PLACES:
        assert row.reply in seen.last_error
    else:
        assert seen.last_error


@pytest.mark.parametrize("rows", [ROWS, ONE_BY_ONE], ids=["with PIPELINING", "without"])
def test_a_sample_has_each_place_each_manner_and_each_rule(rows: list[Row]) -> None:
    sample = _sample(rows)
    assert {row.place for row in sample} == set(Place)
    assert {row.manner for row in sample} == set(Manner)
    rules = {(id(PLACE_RULES[row.place]), MEANINGS[row.manner]) for row in rows}
    assert {(id(PLACE_RULES[row.place]), MEANINGS[row.manner]) for row in sample} == rules
    assert {row.pipelining for row in sample} == {rows[0].pipelining}
    assert len(sample) < len(ROWS) / 5


def _outcome(fate: Fate) -> str:
    return {Fate.SENT: "sent", Fate.GIVEN_UP: "gave_up", Fate.ONE_REFUSED: "gave_up"}.get(fate, "deferred")


def test_no_fault_leaves_a_socket_open(campaign: Campaign) -> None:
    """But for one of Python's own: `wrap_socket` forgets a socket whose peer has reset it before the handshake."""
    by_python = re.compile(r"unclosed <ssl\.SSLSocket (?!.*raddr)")
    assert [one for one in campaign.left_open if not by_python.match(one)] == []


def test_the_page_that_people_read_says_what_the_rules_say() -> None:
    assert FILE.read_text(encoding="utf-8") == page(), "run: make docs"
