"""The plan of install-system: what is done, and that nothing is undone that was not made."""

import tomllib
from pathlib import Path, PurePosixPath

import pytest

from prx_email_cli.config.settings import check_settings
from prx_email_cli.system.layout import CONFIG, DROP, ETC, LIB, OUTBOX, REFUSED, SENDMAILS, Owner, first_config
from prx_email_cli.system.plan import Command, Directory, Facts, File, Step, Wishes, to_install, to_undo

PROGRAM = "/opt/prx-email/bin/prx-sendmail"
DEBIAN = frozenset({"useradd", "dpkg-divert", "systemd-sysusers"})
EVERYTHING = frozenset({ETC, CONFIG, LIB, OUTBOX, DROP, REFUSED, *SENDMAILS})
MADE = tuple(step.made for step in to_install(Facts(tools=DEBIAN), Wishes(sendmail=PROGRAM)))
INSTALLED = Facts(
    user=True, group=True, paths=EVERYTHING, links=dict.fromkeys(SENDMAILS, PROGRAM), diverted=frozenset(SENDMAILS),
    tools=DEBIAN, record=MADE,
)  # fmt: skip


def shown(steps: list[Step]) -> list[str]:
    """The steps that are still to be done, as lines for a shell."""
    return [step.action.shown() for step in steps if not step.done]


def test_the_first_config_is_one_that_the_program_accepts() -> None:
    table = tomllib.loads(first_config(Owner("mail-user", "mail-group"), "ab12.prx-email.local"))
    settings = check_settings(table, Path(CONFIG))
    assert (str(settings.outbox.path), settings.outbox.message_id_domain) == (str(OUTBOX), "ab12.prx-email.local")


def test_who_may_do_what_is_in_the_modes() -> None:
    modes = {
        step.action.path: (f"{step.action.mode:04o}", step.action.user, step.action.group)
        for step in to_install(Facts(tools=DEBIAN), Wishes())
        if isinstance(step.action, Directory | File)
    }
    assert modes == {
        ETC: ("0750", "root", "prx-email"), CONFIG: ("0640", "root", "prx-email"),
        LIB: ("0711", "prx-email", "prx-email"), OUTBOX: ("0600", "prx-email", "prx-email"),
        DROP: ("3733", "prx-email", "prx-email"), REFUSED: ("0700", "prx-email", "prx-email"),
    }  # fmt: skip


def test_nothing_is_done_twice() -> None:
    left = [step.action for step in to_install(INSTALLED, Wishes(sendmail=PROGRAM)) if not step.done]
    assert all(isinstance(action, Directory) for action in left)  # whose owners and modes are set right


def test_sendmail_is_touched_only_if_asked_for() -> None:
    assert not any(
        "/usr/" in line for line in shown(to_install(Facts(tools=DEBIAN), Wishes())) if "nologin" not in line
    )


def test_without_dpkg_a_sendmail_that_is_there_moves_aside() -> None:
    sendmail = SENDMAILS[0]
    facts = Facts(tools=frozenset({"useradd"}), paths=frozenset({sendmail}))
    lines = shown(to_install(facts, Wishes(sendmail=PROGRAM)))
    assert f"mv -n {sendmail} {sendmail}.before-prx-email" in lines
    assert f"ln -s {PROGRAM} {sendmail}" in lines
    assert not any("dpkg" in line for line in lines)


def test_without_useradd_systemd_makes_the_user() -> None:
    steps = to_install(Facts(tools=frozenset({"systemd-sysusers"})), Wishes(Owner("u", "g")))
    first, second = (step.action for step in steps[:2])
    assert isinstance(first, Command)
    assert isinstance(second, Command)
    assert (first.argv, first.text) == (("systemd-sysusers", "-"), "g g -\n")
    assert second.text.startswith("u u -:g ")


def test_undo_removes_what_was_made_in_the_reverse_order() -> None:
    steps, kept = to_undo(INSTALLED, Wishes())
    lines = shown(steps)
    assert kept == []
    assert lines[-6:] == [
        "rm -r /var/lib/prx-email", "rm /etc/prx-email/config.toml", "userdel prx-email", "groupdel prx-email",
        "rm /etc/prx-email/installed.json", "rmdir /etc/prx-email",
    ]  # fmt: skip
    for path in SENDMAILS:
        back = f"dpkg-divert --local --rename --divert {path}.before-prx-email --remove {path}"
        assert lines.index(f"rm {path}") < lines.index(back)


def test_without_a_record_there_is_nothing_to_undo() -> None:
    assert to_undo(INSTALLED._replace(record=()), Wishes(purges=True)) == ([], [])


@pytest.mark.parametrize("missing", MADE)
def test_what_was_there_before_is_never_removed(missing: str) -> None:
    record = tuple(made for made in MADE if made != missing)
    lines = shown(to_undo(INSTALLED._replace(record=record), Wishes())[0])
    what, _, rest = missing.partition(":")
    path = rest.split(":")[0]
    if what in ("user", "group"):
        assert f"{what}del {rest}" not in lines
    elif what == "diversion":
        assert not any(line.endswith(f"--remove {path}") for line in lines)
    elif PurePosixPath(path) not in (OUTBOX, DROP, REFUSED):  # those go with their directory
        assert not any(line.split()[-1] == path and line.startswith("rm") for line in lines)


def test_mail_that_is_not_delivered_stays_and_its_owner_with_it() -> None:
    steps, kept = to_undo(INSTALLED, Wishes(keeps_mail=True))
    lines = shown(steps)
    assert not any("/var/lib/prx-email" in line or "userdel" in line or "groupdel" in line for line in lines)
    assert any("mail that is not delivered" in why for why in kept)
    assert "rm /usr/sbin/sendmail" in lines


def test_a_config_that_was_changed_stays_unless_it_is_to_go() -> None:
    changed = INSTALLED._replace(config_is_changed=True)
    steps, kept = to_undo(changed, Wishes())
    assert not any("/etc/prx-email" in line for line in shown(steps))
    assert any("it was changed since" in why for why in kept)
    assert f"rm {CONFIG}" in shown(to_undo(changed, Wishes(purges=True))[0])


def test_a_link_that_leads_elsewhere_by_now_stays() -> None:
    elsewhere = {**INSTALLED.links, SENDMAILS[0]: "/usr/sbin/exim4"}
    steps, kept = to_undo(INSTALLED._replace(links=elsewhere), Wishes())
    assert f"rm {SENDMAILS[0]}" not in shown(steps)
    assert not any(line.endswith(f"--remove {SENDMAILS[0]}") for line in shown(steps))
    assert any("it leads elsewhere by now" in why for why in kept)
