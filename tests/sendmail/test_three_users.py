"""One outbox for a machine: who may not use it leaves mail in a drop directory, and a hostile user gains nothing."""

import os
import signal
import stat
import time
from pathlib import Path

import pytest

from prx_email_cli.config.settings import load_settings
from prx_email_cli.outbox.open import open_store
from prx_email_cli.submission import drop_directory, drop_file
from prx_email_cli.submission.dropped import take_round

from ..conftest import Answer
from ..support.scripted import ScriptedServer
from ..support.small_disk import NoDisk, SmallDisk
from .shared import TEXT, A, B, C, Shared, needs_root, server, shared, until

__all__ = ["server", "shared"]
pytestmark = [needs_root, pytest.mark.xdist_group("three users")]

TOKEN = "c" * 32
READY = f"msg.{TOKEN}"
MALFORMED = {
    "nothing": b"",
    "a message alone": TEXT,
    "a head without an end": drop_file.FIRST_LINE + b"recipient a@example.org\n",
    "another version": b"prx-email drop 2\n\n" + TEXT,
    "an unknown name": drop_file.head([("recipient", "a@example.org"), ("uid", "0")]) + TEXT,
    "a broken escape": drop_file.FIRST_LINE + b"recipient %zz\n\n" + TEXT,
    "bytes in the head": drop_file.FIRST_LINE + b"recipient \xff\xfe\n\n" + TEXT,
    "SMTP in a wish": drop_file.head([("recipient", "a@example.org"), ("notify", "NEVER\r\nRCPT TO:<x@y.example>")]),
    "SMTP in an envelope id": drop_file.head([("recipient", "a@example.org"), ("envelope_id", "x\r\nDATA")]),
    "SMTP in the sender": drop_file.head([("recipient", "a@example.org"), ("sender", "a@b.example>\r\nDATA\r\n")]),
    "no recipient": drop_file.head([]) + TEXT,
    "a local name without an address": drop_file.head([("recipient", "nobody")]) + TEXT,
    "a loop": drop_file.head([("recipient", "a@example.org")]) + b"Received: x\n" * 51 + b"\nb\n",
    "an endless head": drop_file.FIRST_LINE + b"recipient a@example.org\n" * 60_000,
}


def closed(data: bytes) -> bytes:
    """*data* with the trailer that belongs to it."""
    counted = drop_file.Sum()
    counted.add(data)
    return data + counted.trailer()


def put(shared: Shared, uid: int, data: bytes, name: str = READY) -> Path:
    """A file of this user in the drop directory, as the user could have made it."""
    file = shared.drop / name
    file.write_bytes(data)
    os.chown(file, uid, A)
    file.chmod(0o640)
    return file


@pytest.mark.on_both
def test_an_ordinary_callers_mail_arrives_and_its_uid_is_recorded(shared: Shared, server: ScriptedServer) -> None:
    text = b"To: root, x@example.org\nSubject: s\n\n.\n"
    assert shared.sendmail(B, "-i", "-t", "-fb@example.net", text=text) == Answer(0, "", "")
    assert shared.drains().status == 0
    (message,) = server.messages
    assert (message.mail_from, message.recipients) == ("b@example.net", ["ops@example.com", "x@example.org"])
    assert message.content.endswith(b"\r\n\r\n.\r\n")
    shown = shared.call("show", "1")
    assert f"(uid {B})" in shown.out
    assert "sendmail -t, called by " in shown.out
    assert os.listdir(shared.drop) == []


def test_a_caller_reads_nothing_that_is_not_its_own(shared: Shared) -> None:
    assert shared.sendmail(C, "root").status == 0
    (name,) = os.listdir(shared.drop)
    mode = (shared.drop / name).stat()
    assert (stat.S_IMODE(mode.st_mode), mode.st_uid, mode.st_gid) == (0o640, C, A)
    assert shared.drains().status == 0
    assert shared.sendmail(C, "root").status == 0
    (name,) = os.listdir(shared.drop)
    errors = shared.does(
        B, "os.listdir('drop')", "os.listdir('.')", "os.listdir('refused')", f"open('drop/{name}')",
        "open('outbox.db')", "open('outbox.db', 'ab')", f"open({str(shared.config)!r})",
        f"os.listdir({str(shared.etc)!r})",
    )  # fmt: skip
    assert set(errors) <= {"PermissionError", "FileNotFoundError"}


def test_nobody_removes_replaces_links_or_changes_the_file_of_another(shared: Shared) -> None:
    assert shared.sendmail(B, "root").status == 0
    (name,) = os.listdir(shared.drop)
    data = (shared.drop / name).read_bytes()
    errors = shared.does(
        C, f"os.unlink('drop/{name}')", f"os.rename('drop/{name}', 'drop/x')", f"open('drop/{name}', 'ab')",
        f"open('drop/x', 'w').close()\nos.rename('drop/x', 'drop/{name}')", f"os.truncate('drop/{name}', 0)",
        f"os.chmod('drop/{name}', 0o666)", f"os.chown('drop/{name}', {C}, {C})", "os.rename('drop', 'drop2')",
        "os.mkdir('refused')", "os.symlink('/etc', 'refused')",
    )  # fmt: skip
    assert set(errors) == {"PermissionError"}
    assert (shared.drop / name).read_bytes() == data
    shared.drains()
    assert [row["to"] for row in shared.rows()] == [["ops@example.com"]]


def test_files_that_no_prx_sendmail_wrote_are_set_aside_with_the_reasons(shared: Shared) -> None:
    whole = closed(drop_file.head([("recipient", "a@example.org")]) + TEXT)
    cut = [whole[:-1], whole[: -drop_file.TRAILER_BYTES], whole[:60], whole + b"x"]
    bad = [*(closed(data) if data else data for data in MALFORMED.values()), *cut]
    names = [f"msg.{number:032x}" for number in range(len(bad))]
    for name, data in zip(names, bad, strict=True):
        put(shared, C, data, name)
    put(shared, C, whole, "another name")
    assert shared.sendmail(B, "root").status == 0
    ended = shared.drains()
    assert ended.status == 0
    assert f"warning: refused: {len(bad) + 1} dropped by user {C}: " in ended.err
    assert [row["to"] for row in shared.rows()] == [["ops@example.com"]]
    assert os.listdir(shared.drop) == []
    aside = [name for name in os.listdir(shared.refused) if not name.startswith("odd.")]
    assert sorted(aside) == [*names, "reasons.log"]
    reasons = shared.reasons().splitlines()
    assert len(reasons) == len(bad) + 1
    assert all(f" {name} uid={C} name={name}: " in shared.reasons() for name in names)
    assert sum(line.endswith("it is not whole") for line in reasons) == 2
    assert shared.drains() == Answer(0, "", "")  # it is told once


def test_neither_links_nor_pipes_nor_directories_nor_sockets_are_taken_in_or_hang_the_drain(
    shared: Shared, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(closed(drop_file.head([("recipient", "c@example.org")]) + b"Subject: stolen\n\nsecret\n"))
    own = closed(drop_file.head([("recipient", "c@example.org")]) + TEXT)
    names = [f"msg.{number:032x}" for number in range(8)]
    made = shared.does(
        C,
        f"os.chdir('drop')\nos.umask(0)\nos.symlink({str(shared.config)!r}, {names[0]!r})\nos.mkfifo({names[1]!r})\n"
        f"os.mkdir({names[2]!r})\nos.mkdir({names[3]!r})\nopen({names[3]!r} + '/x', 'w').close()\n"
        f"open({names[4]!r}, 'wb').write({own!r})\nos.link({names[4]!r}, {names[5]!r})\n"
        f"import socket\nsocket.socket(socket.AF_UNIX).bind({names[6]!r})\n"
        f"open({names[7]!r}, 'w').close()\nos.chmod({names[7]!r}, 0)",
    )
    assert made == ["done"]
    (shared.drop / f"msg.{'d' * 32}").symlink_to(secret)
    assert shared.sendmail(B, "root").status == 0
    began = time.monotonic()
    ended = shared.drains()
    assert ended.status == 0, ended
    assert time.monotonic() - began < 60
    assert [row["to"] for row in shared.rows()] == [["ops@example.com"]]
    for reason in ("a symbolic link", "a FIFO", "a directory", "a socket", "2 names", "cannot be opened"):
        assert reason in shared.reasons()
    (left,) = os.listdir(shared.drop)  # a directory with something in it: only C could move or empty it
    assert left.startswith("refused.")
    assert secret.exists()
    assert shared.drains() == Answer(0, "", "")


def test_what_is_refused_lands_nowhere_but_in_a_directory_of_the_outboxs_user(shared: Shared, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir()
    shared.refused.symlink_to(target)
    put(shared, C, b"x")
    ended = shared.drains()
    assert "error: " in ended.err
    assert list(target.iterdir()) == []
    shared.refused.unlink()
    assert shared.drains().status == 0
    status = shared.refused.stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid) == (0o700, A)


def test_a_huge_or_sparse_file_is_not_even_read(shared: Shared) -> None:
    file = put(shared, C, b"")
    os.truncate(file, 1 << 40)
    began = time.monotonic()
    assert shared.drains().status == 0
    assert time.monotonic() - began < 60
    assert "larger than a message may be" in shared.reasons()


def test_a_file_that_its_owner_goes_on_writing_is_taken_as_it_is_read_or_not_at_all(shared: Shared) -> None:
    whole = closed(drop_file.head([("recipient", "a@example.org")]) + TEXT)
    writer = shared.begin(
        C, "-c",
        f"import os, time\nos.chdir({str(shared.drop)!r})\nfile = open('msg.' + 'e' * 32, 'wb', buffering=0)\n"
        f"file.write({whole!r})\nprint('there', flush=True)\nend = time.monotonic() + 60\n"
        "while time.monotonic() < end:\n    file.write(b'x' * 1000)\n",
    )  # fmt: skip
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"there\n"
        assert shared.drains().status == 0
        assert all(row["subject"] == "s" for row in shared.rows())
        assert os.listdir(shared.drop) == []
    finally:
        writer.kill()
        writer.communicate()


def test_the_sender_of_the_record_is_the_owner_whatever_the_file_says(shared: Shared) -> None:
    said = [("recipient", "a@example.org"), ("command", "sendmail, called by root\n\x1b[2J(uid 0)")]
    put(shared, C, closed(drop_file.head(said) + b"From: root <root@localhost>\nSubject: s\n\nb\n"))
    assert shared.drains().status == 0
    shown = shared.call("show", "1").out
    assert f"{C} (uid {C})" in shown
    assert "\x1b" not in shown


def test_half_a_file_is_left_to_its_writer_for_a_day(shared: Shared) -> None:
    put(shared, B, b"half", name=f"new.{TOKEN}")
    assert shared.drains() == Answer(0, "", "")
    assert os.listdir(shared.drop) == [f"new.{TOKEN}"]
    with drop_directory.locked(shared.drop, A) as directory:
        assert directory is not None
        assert directory.look(time.time() + 3600) == ([], [])
        _, (odd,) = directory.look(time.time() + 90_000)
        directory.refuse(odd)
    assert "it was never finished" in shared.reasons()
    assert (shared.refused / f"new.{TOKEN}").read_bytes() == b"half"


@pytest.mark.of_files  # root takes in for the owner of a file only
def test_one_users_flood_keeps_no_other_user_waiting(shared: Shared) -> None:
    flood = closed(drop_file.head([("recipient", "c@example.org")]) + TEXT)
    for number in range(300):
        put(shared, C, flood if number % 2 else b"junk", name=f"msg.{number:032x}")
    assert shared.sendmail(B, "root").status == 0
    assert shared.sendmail(A, "a@example.org").status == 0
    settings = load_settings(shared.config)
    done = take_round(shared.drop, settings, lambda: open_store(settings.outbox), lambda name: ["b@example.org"], 4)
    assert (done.taken, done.more) == (2, True)
    assert ["b@example.org"] in [row["to"] for row in shared.rows()]
    assert len(os.listdir(shared.drop)) == 297


@pytest.mark.on_both
def test_two_drains_at_once_take_each_file_in_once(shared: Shared) -> None:
    for _ in range(5):
        assert shared.sendmail(B, "root").status == 0
    drains = [shared.begin(A, "prx_email_cli", "drain") for _ in range(2)]
    for drain in drains:
        assert drain.communicate(timeout=120)[1] == b""
    shared.drains()
    assert (len(shared.rows()), os.listdir(shared.drop)) == (5, [])


@pytest.mark.on_both
def test_a_crash_between_storing_and_removing_doubles_nothing(shared: Shared, server: ScriptedServer) -> None:
    assert shared.sendmail(B, "root").status == 0
    (name,) = os.listdir(shared.drop)
    file = shared.drop / name
    data = file.read_bytes()
    assert shared.drains().status == 0
    put(shared, B, data, name=name)
    assert shared.drains().status == 0
    assert (len(server.messages), os.listdir(shared.drop)) == (1, [])


@pytest.mark.on_both
def test_a_file_is_sent_at_once_while_a_follower_runs(shared: Shared, server: ScriptedServer) -> None:
    follower = shared.begin(A, "prx_email_cli", "drain", "--follow")
    try:
        until(shared.has_run)
        for number in range(1, 4):
            assert shared.sendmail(B, "root").status == 0
            began = time.monotonic()
            until(lambda number=number: len(server.messages) == number)  # type: ignore[misc]
            assert time.monotonic() - began < 30
    finally:
        follower.send_signal(signal.SIGTERM)
        _, err = follower.communicate(timeout=60)
    assert (follower.returncode, err) == (0, b"")


def test_a_config_that_is_at_fault_keeps_the_files_and_is_told(shared: Shared) -> None:
    shared.config.write_text(
        shared.config.read_text().replace('root = "ops', 'other = "root"\nroot = "other"\nx = "ops')
    )
    assert shared.sendmail(B, "root").status == 0
    ended = shared.drains()
    assert ended.status == 78
    assert "leads in a circle" in ended.err
    assert len(os.listdir(shared.drop)) == 1
    shared.config.write_text(shared.config.read_text().replace('root = "other"', 'root = "ops@example.com"'))
    assert shared.drains().status == 0
    assert (len(shared.rows()), os.listdir(shared.drop)) == (1, [])


@pytest.mark.on_both
def test_what_was_refused_is_taken_in_once_it_is_moved_back(shared: Shared) -> None:
    assert shared.sendmail(B, "nobody").status == 0
    assert "no address for the local name 'nobody'" in shared.drains().err
    assert "1 dropped files refused" in shared.call("status").out
    assert "1 dropped files were refused" in shared.call("doctor", "--offline").out
    shared.config.write_text(shared.config.read_text() + 'nobody = "ops@example.com"\n')
    (name,) = [name for name in os.listdir(shared.refused) if name != "reasons.log"]
    (shared.refused / name).rename(shared.drop / name)
    assert shared.drains().status == 0
    assert [row["to"] for row in shared.rows()] == [["ops@example.com"]]
    assert "refused" not in shared.call("status").out
    assert "drop, 0 files wait for a drain" in shared.call("doctor", "--offline").out


def test_a_place_for_refused_files_that_is_open_to_others_is_told_and_keeps_no_good_mail_back(shared: Shared) -> None:
    put(shared, C, b"x")
    shared.refused.mkdir()
    shared.refused.chmod(0o755)
    os.chown(shared.refused, A, A)
    assert shared.sendmail(B, "root").status == 0
    ended = shared.drains()
    assert (ended.status, [row["to"] for row in shared.rows()]) == (77, [["ops@example.com"]])
    assert "is open to others" in ended.err
    assert os.listdir(shared.drop) == [READY]


@pytest.mark.of_files  # root takes in for the owner of a file only
def test_root_appends_to_no_file_that_the_outboxs_user_has_put_in_the_place_of_the_reasons(
    shared: Shared, tmp_path: Path
) -> None:
    assert shared.sendmail(A, "root").status == 0
    shared.refused.mkdir(mode=0o700)
    os.chown(shared.refused, A, A)
    victim = shared.etc / "victim"
    victim.write_text("")
    os.link(victim, shared.refused / "reasons.log")
    put(shared, C, b"x")
    ended = shared.call("drain")
    assert "cannot be noted" in ended.err
    assert victim.read_text() == ""


@pytest.mark.on_both
def test_roots_drain_takes_in_for_the_user_of_the_file_and_of_a_database_names_whom_to_run_it_as(
    shared: Shared, tmp_path: Path, on_postgres: bool
) -> None:
    assert shared.drains().status == 0
    assert shared.sendmail(B, "root").status == 0
    ended = shared.call("drain", HOME=str(tmp_path))  # whose state directory root makes
    assert (ended.status, len(shared.rows()), len(os.listdir(shared.drop))) == (
        (77, 0, 1) if on_postgres else (0, 1, 0)
    )
    assert (f"hint: run prx-email as user {A}" in ended.err) == on_postgres
    assert shared.drains().status == 0
    assert (len(shared.rows()), os.listdir(shared.drop)) == (1, [])


def test_who_has_no_home_leaves_mail_too(shared: Shared) -> None:
    del shared.environment["PRX_EMAIL_CONFIG"]
    shared.environment["HOME"] = ""
    assert shared.sendmail(B, "root") == Answer(0, "", "")
    assert len(os.listdir(shared.drop)) == 1


def test_what_takes_more_than_leaving_a_file_is_refused_in_words(shared: Shared) -> None:
    for words in (("-bp",), ("-bv", "root")):
        ended = shared.sendmail(B, *words)
        assert (ended.status, ended.out) == (77, "")
        assert ended.err.startswith("error: ")


def test_without_room_or_rights_nothing_is_acknowledged_and_nothing_stays(shared: Shared) -> None:
    shared.drop.chmod(0o3755)
    assert shared.sendmail(B, "root").status == 78
    assert os.listdir(shared.drop) == []


def test_a_full_disk_leaves_the_message_with_its_caller_and_no_part_of_it_behind(shared: Shared) -> None:
    small = shared.home / "small"
    try:
        disk = SmallDisk(small)
    except NoDisk as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    try:
        small.chmod(0o3733)
        shared.environment["PRX_EMAIL_DROP"] = str(small)
        disk.fill()
        ended = shared.sendmail(B, "root", text=TEXT + b"x" * 100_000)
        assert ended.status == 75
        assert "nothing was stored" in ended.err
        assert os.listdir(small) == ["ballast"]
        disk.free()
        assert shared.sendmail(B, "root", text=TEXT + b"x" * 100_000) == Answer(0, "", "")
    finally:
        disk.unmount()


def test_who_may_use_the_outbox_uses_it(shared: Shared) -> None:
    assert shared.sendmail(A, "root").status == 0
    assert shared.sendmail(0, "root").status == 0
    assert (os.listdir(shared.drop), len(shared.rows())) == ([], 2)


def test_a_message_that_is_left_keeps_every_byte_of_its_text_and_envelope(shared: Shared) -> None:
    text = b"Subject: \xc3\xa9\n\n" + bytes(range(32, 256)) + b"\n.\nafter the dot\n"
    assert shared.sendmail(B, "-i", "-f", "", "-F", "a\xe9 %41\n", "-V", "id 1", "-N", "never", "é <root>", text=text)
    (file,) = shared.drop.iterdir()
    said, _, rest = file.read_bytes().partition(b"\n\n")
    assert rest == text + rest[-drop_file.TRAILER_BYTES :]
    assert dict(drop_file.said_in(said + b"\n\n")) | {"command": ""} == {
        "recipient": "é <root>", "sender": "", "full_name": "a\xe9 %41\n", "envelope_id": "id+201", "notify": "NEVER",
        "command": "",
    }  # fmt: skip


def test_a_dialogue_leaves_its_messages_too(shared: Shared, server: ScriptedServer) -> None:
    pytest.importorskip("aiosmtpd")
    groups = [
        "", "EHLO localhost", "MAIL FROM:<me@example.net>", "RCPT TO:<root>", "RCPT TO:<b@example.org> NOTIFY=NEVER",
        "DATA", "Subject: spoken\r\n\r\n..\r\nbody\r\n.", "MAIL FROM:<> SIZE=10", "RCPT TO:<c@example.org>", "DATA",
        "Subject: 2\r\n\r\n.", "QUIT",
    ]  # fmt: skip
    process = shared.begin(B, "prx_email_cli.sendmail", "-bs")
    assert process.stdin is not None
    assert process.stdout is not None
    said = b""
    for group in groups:
        process.stdin.write(f"{group}\r\n".encode() if group else b"")
        process.stdin.flush()
        reply = b"250-"
        while reply[3:4] == b"-":
            reply = process.stdout.readline()
            said += reply
    assert process.communicate(timeout=60) == (b"", b"")
    assert (process.returncode, said.count(b"250 2.0.0 Ok: left as msg.")) == (0, 2), said
    assert len(os.listdir(shared.drop)) == 3
    assert shared.drains() == Answer(0, "", "")
    got = sorted((message.mail_from, *message.recipients) for message in server.messages)
    assert got == [("", "c@example.org"), ("me@example.net", "b@example.org"), ("me@example.net", "ops@example.com")]
    spoken = next(message.content for message in server.messages if "ops@example.com" in message.recipients)
    assert spoken.endswith(b"\r\n\r\n.\r\nbody\r\n")
    assert f"uid {B}".encode() in spoken.partition(b"\r\nSubject")[0]
    assert "sendmail -bs, called by " in shared.call("show", "1").out
