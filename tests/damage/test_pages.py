"""Random bytes over a page of the outbox: nothing altered is ever delivered, and all that can be read still is."""

import json
import random
import sqlite3
import time
from contextlib import closing

import pytest

from ..conftest import Answer, Program
from ..outbox.messages import claim, in_doubt, kill, sent
from ..support.faults import Fault
from ..support.scripted import ScriptedServer
from .conftest import PAGE, ask, change, overwrite, text_of

SMALL, LARGE = 900, 20_000  # characters of text: several messages to a page, several pages to a message
MANY = 120  # messages whose recipients take more than a page
TRACES = ("Traceback", "this is a bug")
FILLS = ("random", "zeros", "half")


def fill(program: Program, count: int, size: int = SMALL, domain: str = "example.org") -> dict[int, str]:
    """An outbox of *count* messages; the text of each, by its id."""
    texts = {number: text_of(number, size) for number in range(1, count + 1)}
    lines = [
        json.dumps({"to": f"r{number}@{domain}", "subject": "s" * 300, "body_text": text})
        for number, text in texts.items()
    ]
    assert program.call("send", "--batch", "-", text="\n".join(lines) + "\n").status == 0
    change(program)
    return texts


def pages(program: Program, name: str, kind: str = "leaf") -> list[int]:
    """The pages of a table or an index, in the order of its rows."""
    try:
        found = ask(program, "SELECT pageno FROM dbstat WHERE name = ? AND pagetype = ? ORDER BY path", name, kind)
    except sqlite3.OperationalError:
        pytest.skip("this SQLite has no dbstat")
    return [page for (page,) in found]


def damage(program: Program, page: int, how: str, seed: int = 0) -> None:
    """Put something else on a page: random bytes, zeros, or random bytes on its second half."""
    junk = random.Random(f"{how}{page}{seed}").randbytes(PAGE)
    start, data = {"random": (0, junk), "zeros": (0, bytes(PAGE)), "half": (PAGE // 2, junk[PAGE // 2 :])}[how]
    overwrite(program, page, data, start)


def drains(program: Program, count: int = 3) -> list[Answer]:
    """Drain several times; none of them talks of a bug."""
    answers = [program.call("drain") for _ in range(count)]
    for answer in answers:
        assert answer.status in (0, 69, 74, 75), answer
        assert not any(trace in answer.err for trace in TRACES), answer
    return answers


def assert_unaltered_and_once(server: ScriptedServer, texts: dict[int, str]) -> set[int]:
    """All that was delivered is what was submitted, to whom, and once; the ids."""
    by_text = {text.replace("\n", "\r\n"): outbox_id for outbox_id, text in texts.items()}
    delivered = []
    for message in server.messages:
        body = message.content.decode().partition("\r\n\r\n")[2]
        outbox_id = by_text[body]
        assert [to.partition("@")[0] for to in message.recipients] == [f"r{outbox_id}"]
        delivered.append(outbox_id)
    assert len(delivered) == len(set(delivered))
    return set(delivered)


def assert_each_is_told(program: Program, answers: list[Answer], ids: set[int]) -> None:
    """Each of the *ids* was given up as damaged and told once, or each drain says that it cannot even be given up."""
    for outbox_id in ids:
        lines = [answer.err.count(f"outbox message {outbox_id} ") for answer in answers]
        if f"gave up outbox message {outbox_id} " in answers[0].err:
            assert answers[0].status in (69, 74)
            assert lines == [1] + [0] * (len(answers) - 1)
            row = program.show(outbox_id)
            assert (row["status"], row["gave_up"], row["error_code"]) == ("failed", "damaged", "storage")
        else:
            assert [answer.status for answer in answers] == [74] * len(answers), answers
            assert lines == [1] * len(answers), answers
            shown = program.call("show", str(outbox_id))
            assert shown.status in (0, 66, 74)
            assert not any(trace in shown.err for trace in TRACES)


@pytest.mark.parametrize("how", FILLS)
@pytest.mark.parametrize(
    ("table", "kind", "size"),
    [
        ("content", "leaf", SMALL),
        ("content", "overflow", LARGE),
        ("recipient", "leaf", SMALL),
        ("outbox", "leaf", SMALL),
    ],
)
def test_damage_of_a_page_of_messages_stops_no_other_message(
    table: str, kind: str, size: int, how: str, program: Program, server: ScriptedServer
) -> None:
    texts = fill(program, MANY if table == "recipient" else 24, size)
    there = pages(program, table, kind)
    assert len(there) >= 2
    damage(program, there[0], how)  # the first: all others wait behind it

    answers = drains(program)

    delivered = assert_unaltered_and_once(server, texts)
    lost = set(texts) - delivered
    assert lost
    assert len(lost) < len(texts) * 0.8
    assert_each_is_told(program, answers, lost)
    assert all(program.show(outbox_id)["status"] == "sent" for outbox_id in list(delivered)[:3])


@pytest.mark.parametrize("faults", [[], [Fault("rcpt", "550 5.1.1 no such user")]], ids=["accepted", "refused"])
@pytest.mark.parametrize(("label", "page"), [(35, 0), (60, 1)])
def test_a_result_is_recorded_although_its_recipient_s_row_outgrows_its_page_beside_a_damaged_one(
    label: int, page: int, faults: list[Fault], program: Program
) -> None:
    texts = fill(program, 50, domain=f"{'d' * label}.{'e' * label}.{'f' * label}.example.org")
    damage(program, pages(program, "recipient")[page], "zeros")
    with ScriptedServer(faults) as server:
        program.configure(server.port)
        drains(program)
        tried = [command.line for command in server.commands if command.line.startswith("RCPT")]
        assert len(tried) == len(set(tried)) > len(texts) // 3
        assert_unaltered_and_once(server, texts)


@pytest.mark.parametrize("how", FILLS[:2])
@pytest.mark.parametrize(
    "index",
    [
        "outbox_due",
        "outbox_sending",
        "outbox_expiring",
        "outbox_untold",
        "outbox_unsent",
        "attempt_counting",
        "outbox_account",
    ],
)
def test_damage_of_an_index_alters_and_doubles_nothing(
    index: str, how: str, program: Program, server: ScriptedServer
) -> None:
    texts = fill(program, 6)
    damage(program, pages(program, index)[0], how)
    answers = drains(program)
    delivered = assert_unaltered_and_once(server, texts)
    assert delivered == set(texts) or all(answer.status == 74 for answer in answers)
    assert delivered == set(texts) or all("malformed" in answer.err for answer in answers)


@pytest.mark.parametrize("seed", range(6))
def test_damage_anywhere_alters_and_doubles_nothing(seed: int, program: Program, server: ScriptedServer) -> None:
    texts = fill(program, 12, 3000)
    chosen = random.Random(seed)
    size = program.outbox.stat().st_size // PAGE
    for page in chosen.sample(range(2, size + 1), 3):
        damage(program, page, chosen.choice(FILLS), seed)
    drains(program)
    assert_unaltered_and_once(server, texts)
    for outbox_id in texts:
        assert program.call("show", str(outbox_id)).status in (0, 66, 74)


def test_several_connections_finish_what_they_have_in_hand(program: Program, server: ScriptedServer) -> None:
    program.configure(server.port, smtp="connections = 4")
    texts = fill(program, 40)
    for page in (pages(program, "content")[1], pages(program, "outbox")[0]):
        damage(program, page, "random")
    answers = drains(program)
    delivered = assert_unaltered_and_once(server, texts)
    assert delivered
    assert_each_is_told(program, answers, set(texts) - delivered)


@pytest.mark.parametrize("stage", ["unanswered", "answered"])
@pytest.mark.parametrize("table", ["outbox", "recipient"])
def test_what_a_dead_run_left_on_a_damaged_page_stops_no_other_message(
    table: str, stage: str, program: Program, server: ScriptedServer
) -> None:
    texts = fill(program, MANY)
    first, *rest = texts
    now = int(time.time())
    with closing(program.store()) as store:
        dead = store.start_run(now)
        claimed = claim(dead, now)
        assert claimed.outbox_id == first
        dead.about_to_end(claimed, in_doubt(claimed))
        if stage == "answered":
            dead.answered(claimed, sent(claimed).outcome, now)
        kill(dead)
    change(program)
    damage(program, pages(program, table)[0], "random")
    answers = drains(program)
    delivered = assert_unaltered_and_once(server, texts)
    assert first not in delivered
    assert rest[-1] in delivered
    assert_each_is_told(program, answers, set(texts) - delivered)


def test_what_expires_on_a_damaged_page_stops_no_other_message(program: Program, server: ScriptedServer) -> None:
    texts = fill(program, 24)
    change(program, "UPDATE outbox SET expires_at = 1 WHERE id <= 2")
    damage(program, pages(program, "outbox")[0], "random")
    answers = drains(program)
    delivered = assert_unaltered_and_once(server, texts)
    assert max(texts) in delivered
    assert min(texts) not in delivered
    assert_each_is_told(program, answers, set(texts) - delivered)


def test_following_passes_an_unreadable_message_by_and_tells_once(program: Program, server: ScriptedServer) -> None:
    texts = fill(program, 24)
    damage(program, pages(program, "outbox")[0], "random")
    with program.start("drain", "--follow") as follower:
        try:
            server.wait_for(lambda: max(texts) in assert_unaltered_and_once(server, texts), timeout=30)
            for name in ("late@example.org", "later@example.org"):  # two more rounds
                late = program.send(to=name)
                server.wait_for(lambda name=name: server.messages[-1].recipients == [name], timeout=30)  # type: ignore[misc]
        finally:
            follower.terminate()
        _, err = follower.communicate(timeout=30)
    assert program.show(late)["status"] == "sent"
    assert err.count(f"outbox message {min(texts)} ") == 1
    assert len(server.peers) == 1  # kept open, and none for the sake of what is passed by


def test_damage_of_the_record_of_attempts_sends_nothing_twice(program: Program, server: ScriptedServer) -> None:
    texts = fill(program, 4)
    damage(program, pages(program, "attempt")[0], "random")
    answers = drains(program)
    assert assert_unaltered_and_once(server, texts) == set(texts)
    assert [answer.status for answer in answers] == [0, 0, 0]
    assert program.show(min(texts))["status"] == "sent"
