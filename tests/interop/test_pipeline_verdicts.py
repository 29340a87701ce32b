"""Deferred, refused, partly refused: what real servers say, and what the installed command makes of it."""

import time

import pytest

from ..conftest import Program
from .servers import DOMAIN, GREYLISTED, REFUSED, Certs, MailServer
from .servers.base import GREYLISTING_TEXT, REFUSAL_TEXT

pytestmark = pytest.mark.interop

ALICE, BOB = f"alice@{DOMAIN}", f"bob@{DOMAIN}"


def later(seconds: int = 3600) -> tuple[str, str]:
    """Options for a drain in the future."""
    return "--now-ts", str(int(time.time()) + seconds)


@pytest.fixture
def configured(program: Program, server: MailServer) -> Program:
    """The command with one account, at this server in clear."""
    program.configure(server.port, smtp='host = "127.0.0.1"')
    return program


def test_greylisted_mail_is_deferred_and_delivered_once_it_is_lifted(configured: Program, server: MailServer) -> None:
    """Not before it is due, not twice, and under a Message-ID of its own."""
    outbox_id = configured.send(to=GREYLISTED)

    first = configured.run("drain")

    assert (first.status, first.out, first.err) == (75, "", "")
    row = configured.show(outbox_id)
    assert (row["status"], row["retries"], row["gave_up"], row["uncertain"]) == ("failed", 1, None, False)
    assert (row["recipients"][0]["status"], row["recipients"][0]["code"]) == ("pending", 450)
    assert GREYLISTING_TEXT in row["last_error"]
    server.lift_greylisting()
    assert configured.run("drain").status == 0  # nothing is due
    assert server.received() == []
    assert configured.run("drain", *later()).status == 0
    [received] = server.wait_for(1)
    assert configured.show(outbox_id)["status"] == "sent"
    assert configured.show(outbox_id)["message_id"] == f"<outbox-{outbox_id}-1@prx-email.local>"
    assert received.data.count(b"\nMessage-ID: ") == 1
    assert f"\nMessage-ID: <outbox-{outbox_id}-1@".encode() in received.data


def test_mail_that_stays_greylisted_is_tried_again_with_growing_delays(configured: Program, server: MailServer) -> None:
    outbox_id = configured.send(to=GREYLISTED)
    assert configured.run("drain").status == 75
    for retries in (2, 3):
        due = configured.show(outbox_id)["next_attempt_at"]
        assert configured.run("drain", "--now-ts", str(due)).status == 75
        row = configured.show(outbox_id)
        assert (row["retries"], row["next_attempt_at"]) == (retries, due + 5 * 2**retries)
    assert server.received() == []


def test_refused_mail_is_given_up_with_the_reason(configured: Program, server: MailServer) -> None:
    """One line on stderr, exit 69, and no drain takes it again."""
    outbox_id = configured.send(to=REFUSED)

    drained = configured.run("drain")

    assert drained.status == 69
    assert REFUSAL_TEXT in drained.err
    assert len(drained.err.splitlines()) == 1
    row = configured.show(outbox_id)
    assert row["status"] == "failed"
    assert row["gave_up"]
    assert REFUSAL_TEXT in row["last_error"]
    assert (row["recipients"][0]["status"], row["recipients"][0]["code"]) == ("refused", 550)
    assert configured.run("drain", *later()).status == 0
    assert len(configured.show(outbox_id)["attempts"]) == 1
    assert server.received() == []


def test_a_partly_refused_message_reaches_the_other_recipient_once(configured: Program, server: MailServer) -> None:
    outbox_id = configured.send(to=f"{REFUSED}, {ALICE}")

    assert configured.run("drain").status == 69

    row = configured.show(outbox_id)
    statuses = {one["address"]: (one["status"], one["code"]) for one in row["recipients"]}
    assert statuses == {REFUSED: ("refused", 550), ALICE: ("accepted", 250)}
    assert row["status"] == "failed"
    assert row["gave_up"]
    assert configured.run("drain", *later()).status == 0
    assert [received.recipient for received in server.wait_for(1)] == [ALICE]


def test_a_partly_deferred_message_is_tried_again_for_that_recipient_alone(
    configured: Program, server: MailServer
) -> None:
    outbox_id = configured.send(to=f"{ALICE}, {GREYLISTED}", body="for two\n")
    configured.run("send", "--to", BOB, "--subject", "other", "--body", "x")

    assert configured.run("drain").status == 75

    assert sorted(received.recipient for received in server.wait_for(2)) == [ALICE, BOB]
    row = configured.show(outbox_id)
    assert {one["address"]: one["status"] for one in row["recipients"]} == {ALICE: "accepted", GREYLISTED: "pending"}
    server.lift_greylisting()
    assert configured.run("drain", *later()).status == 0
    assert sorted(received.recipient for received in server.wait_for(3)) == [ALICE, BOB, GREYLISTED]
    assert configured.show(outbox_id)["status"] == "sent"


def test_other_domains_are_given_up(configured: Program, server: MailServer) -> None:
    """Relaying is refused, in each server's own words."""
    outbox_id = configured.send(to="someone@elsewhere.test")
    assert configured.run("drain").status == 69
    row = configured.show(outbox_id)
    assert row["recipients"][0]["status"] == "refused"
    assert str(row["recipients"][0]["response"]) in row["last_error"]
    assert server.received() == []


def encrypted(program: Program, server: MailServer, tls: str, ca_file: object = None) -> None:
    """One account that wants TLS, with the harness's CA or without."""
    port = server.tls_port if tls == "implicit" else server.port
    lines = f'host = "127.0.0.1"\ntls = "{tls}"' + (f'\ntls_ca_file = "{ca_file}"' if ca_file else "")
    program.configure(port, smtp=lines)


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_tls_with_the_ca(program: Program, server: MailServer, certs: Certs, tls: str) -> None:
    """Delivered under TLS; where the server's TLS is broken, an account failure and never a word in clear."""
    encrypted(program, server, tls, certs.ca_file)
    head, other = program.send(to=ALICE), program.send(to=BOB)
    drained = program.run("drain")
    if server.supports_tls:
        assert drained.status == 0
        received = server.wait_for(2)
        assert sorted(each.recipient for each in received) == [ALICE, BOB]
        assert all(b"with esmtps" in each.data.lower() for each in received)
    else:
        _assert_account_failure(program, head, other)
        assert drained.status == 75
        assert server.received() == []


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_tls_without_the_ca_is_an_account_failure(program: Program, server: MailServer, tls: str) -> None:
    """The certificate is from an authority that nobody knows."""
    encrypted(program, server, tls)
    head, other = program.send(to=ALICE), program.send(to=BOB)
    assert program.run("drain").status == 75
    _assert_account_failure(program, head, other)
    assert server.received() == []
    if server.supports_tls:
        assert "certificate" in program.show(head)["last_error"]


def _assert_account_failure(program: Program, head: int, other: int) -> None:
    row, untouched = program.show(head), program.show(other)
    assert (row["status"], row["retries"], row["gave_up"]) == ("failed", 1, None)
    assert (untouched["status"], untouched["retries"], untouched["attempts"]) == ("pending", 0, [])
