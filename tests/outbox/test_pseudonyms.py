"""No word about a message tells a name any more, and the rest of it stays."""

from __future__ import annotations

import pytest

from prx_email_cli.outbox.pseudonyms import Names, Pseudonyms, new_key

PSEUDONYMS = Pseudonyms("00" * 32)
JANE = "jane.doe+shop@xn--bcher-kva.example"
NAMES = Names(PSEUDONYMS, ["", JANE, "zq@example.org"], "Invoice 7")


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("2.0.0 Ok: queued as 4FQ", "2.0.0 Ok: queued as 4FQ"),
        ("[Errno 111] Connection refused", "[Errno 111] Connection refused"),
        ("550 5.1.1 <jane.doe@other.example> unknown", "550 5.1.1 (anonymised)"),
        ("550 mailbox of Jane Doe is full", "550 (anonymised)"),
        ("552-5.2.2 user JANE.DOE is over quota", "552-5.2.2 (anonymised)"),
        ("451 4.3.0 jane.doe%2Bshop=xn--bcher-kva.example", "451 4.3.0 (anonymised)"),
        ("421 bücher.example is busy", "421 (anonymised)"),
        ("554 5.7.1 rejected: 'INVOICE 7' looks like spam", "554 5.7.1 (anonymised)"),
        ("connection to example.org lost", "(anonymised)"),
        ("somebody@anywhere.example", "(anonymised)"),
        ("", ""),
        (None, None),
    ],
)
def test_of_words_that_may_tell_a_name_only_the_codes_are_left(words: str | None, left: str | None) -> None:
    assert NAMES.without(words) == left


def test_an_address_before_a_reply_becomes_its_pseudonym() -> None:
    assert NAMES.without(f"{JANE}: 450 4.2.1 try later") == f"{PSEUDONYMS.address(JANE)}: 450 4.2.1 try later"
    assert NAMES.without(f"{JANE}: 450 4.2.1 {JANE}") == f"{PSEUDONYMS.address(JANE)}: 450 4.2.1 (anonymised)"


def test_pseudonyms_are_of_one_outbox_and_of_one_kind() -> None:
    other = Pseudonyms(new_key())
    assert PSEUDONYMS.address(JANE) == PSEUDONYMS.address(JANE.upper()) != other.address(JANE)
    assert PSEUDONYMS.address(PSEUDONYMS.address(JANE)) == PSEUDONYMS.address(JANE)
    assert PSEUDONYMS.subject("x").split("-")[1] != PSEUDONYMS.address("x").split("@")[0].split("-")[1]
    assert (PSEUDONYMS.address(""), PSEUDONYMS.subject("")) == ("", "")


def test_message_ids_of_others_are_replaced_and_our_own_stay() -> None:
    own = "<outbox-7-0@a1.prx-email.local>"
    assert PSEUDONYMS.message_id(own) == own
    assert PSEUDONYMS.message_id(None) is None
    replaced = PSEUDONYMS.message_id("<jane.doe@example.org>")
    assert replaced is not None
    assert "jane" not in replaced
    assert PSEUDONYMS.message_id("<outbox-jane@example.org>") != "<outbox-jane@example.org>"
