"""install-system, carried out by root: on an image, broken off anywhere, and on this machine as it would be."""

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from prx_email_cli.system.layout import Owner
from prx_email_cli.system.machine import Machine
from prx_email_cli.system.plan import Action, Facts, Step, Wishes, to_install, to_undo

from ..conftest import Program
from ..support.scripted import ScriptedServer

PROGRAM = "/opt/prx-email/bin/prx-sendmail"
WISHES = Wishes(sendmail=PROGRAM, domain="ab.prx-email.local")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can set up an outbox for the whole machine")
needs_tools = pytest.mark.skipif(
    not (shutil.which("useradd") and shutil.which("dpkg-divert")), reason="there is no useradd or dpkg-divert here"
)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The image of a machine with a sendmail of another program's."""
    top = tmp_path / "image"
    for directory in ("etc", "usr/sbin", "usr/bin", "var/lib/dpkg"):
        (top / directory).mkdir(parents=True)
    (top / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (top / "etc/group").write_text("root:x:0:\n")
    for name in ("shadow", "gshadow"):
        (top / "etc" / name).write_text("")
    (top / "var/lib/dpkg/status").write_text("")
    (top / "usr/sbin/sendmail").write_text("another's")
    return top


def tree(top: Path) -> dict[str, tuple[int, int, int, str]]:
    """Every path with its mode, owner, group and text, but for what Debian's tools keep for themselves."""
    found = {}
    for path in sorted(top.rglob("*")):
        name = str(path.relative_to(top))
        status = path.lstat()
        if name.endswith(("-", "-old", ".lock")) or name == "var/lib/dpkg/diversions" or path.name.startswith(".pwd"):
            continue
        text = os.readlink(path) if path.is_symlink() else path.read_text() if path.is_file() else ""
        found[name] = (status.st_mode, status.st_uid, status.st_gid, text)
    return found


def carry_out(image: Path, steps: list[Step]) -> None:
    Machine(image, Owner()).carry_out(steps, lambda step: None)


def facts(image: Path) -> Facts:
    return Machine(image, Owner()).facts()


@needs_root
@needs_tools
class TestOnAnImage:
    def test_what_is_made_is_as_the_modes_say_and_undo_leaves_what_was_there(
        self, image: Path, program: Program
    ) -> None:
        before = tree(image)
        words = ("install-system", "--root", str(image), "--sendmail", "--program", PROGRAM)
        dry = program.call(*words, "--dry-run", "--json")
        assert (dry.status, tree(image)) == (0, before)
        done = program.call(*words, "--json")
        assert done.status == 0
        assert done.data["system_steps"] == dry.data["system_steps"]
        drop = (image / "var/lib/prx-email/drop").stat()
        assert (stat.S_IMODE(drop.st_mode), drop.st_uid != 0) == (0o3733, True)
        assert os.readlink(image / "usr/sbin/sendmail") == PROGRAM
        assert (image / "usr/sbin/sendmail.before-prx-email").read_text() == "another's"
        made = tree(image)
        assert program.call(*words).status == 0
        assert tree(image) == made
        undone = program.call("install-system", "--root", str(image), "--undo")
        assert (undone.status, tree(image)) == (0, before)
        again = program.call("install-system", "--root", str(image), "--undo")
        assert (again.status, again.out) == (0, "")
        assert "nothing that this command has made" in again.err

    def test_broken_off_at_any_step_it_ends_well_when_it_is_run_again_or_undone(
        self, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wishes = WISHES._replace(root=str(image))
        before, pristine = tree(image), tmp_path / "pristine"
        shutil.copytree(image, pristine, symlinks=True)
        steps = to_install(facts(image), wishes)
        carry_out(image, steps)
        whole, do = tree(image), Machine._do
        for number in range(0, len(steps), 2):
            shutil.rmtree(image)
            shutil.copytree(pristine, image, symlinks=True)

            def kill(machine: Machine, action: Action, last: object = steps[number].action) -> None:
                if action == last:
                    raise KeyboardInterrupt
                do(machine, action)

            monkeypatch.setattr(Machine, "_do", kill)
            with pytest.raises(KeyboardInterrupt):
                carry_out(image, to_install(facts(image), wishes))
            monkeypatch.setattr(Machine, "_do", do)
            if number % 4:
                carry_out(image, to_install(facts(image), wishes))
                assert {name: one[3] for name, one in tree(image).items()} == {
                    name: one[3] for name, one in whole.items()
                }
            carry_out(image, to_undo(facts(image), wishes)[0])
            assert tree(image) == before, f"broken off at {steps[number].action.shown()}"

    def test_an_outbox_with_mail_is_kept_unless_it_is_to_go(self, image: Path, program: Program) -> None:
        before = tree(image)
        words = ("install-system", "--root", str(image))
        assert program.call(*words).status == 0
        dropped = image / "var/lib/prx-email/drop/msg.1"
        dropped.write_text("mail")
        kept = program.call(*words, "--undo")
        assert kept.status == 0
        assert "kept: /var/lib/prx-email: it has mail that is not delivered; --purge removes it" in kept.err
        assert dropped.read_text() == "mail"
        assert program.call(*words, "--undo", "--purge").status == 0
        assert tree(image) == before

    def test_links_in_the_outboxs_directory_lead_root_nowhere(self, image: Path, program: Program) -> None:
        words = ("install-system", "--root", str(image))
        assert program.call(*words).status == 0
        elsewhere = image / "elsewhere"
        elsewhere.mkdir(mode=0o700)
        drop = image / "var/lib/prx-email/drop"
        drop.rmdir()
        drop.symlink_to(elsewhere)
        ended = program.call(*words)
        assert ended.status == 78
        assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o700


def test_only_root_may_and_anybody_may_look(program: Program) -> None:
    if os.geteuid() == 0:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "geteuid", lambda: 1000)
            ended = program.call("install-system")
    else:
        ended = program.call("install-system")
    assert (ended.status, ended.out) == (77, "")
    assert "only root can set up an outbox" in ended.err
    looked = program.call("install-system", "--dry-run")
    assert looked.status == 0
    assert "install -d -m 3733 -o prx-email -g prx-email /var/lib/prx-email/drop" in looked.out


def test_a_program_that_not_all_users_can_run_does_not_become_the_machines_sendmail(
    program: Program, tmp_path: Path
) -> None:
    own = tmp_path / "private" / "prx-sendmail"
    own.parent.mkdir(mode=0o700)
    own.write_text("")
    own.chmod(0o755)
    words = ("install-system", "--dry-run", "--sendmail", "--program")
    ended = program.call(*words, str(own))
    assert (ended.status, ended.out) == (78, "")
    assert f"{own} cannot be run by all users: " in ended.err
    assert "there is no program" in program.call(*words, str(own) + "x").err
    assert program.call(*words, "prx-sendmail").status == 65


@pytest.mark.parametrize(
    "words", [("--user", "root"), ("--user", "-x"), ("--group", "a b"), ("--user", ""), ("--purge",)]
)
def test_what_is_no_name_is_refused(program: Program, words: tuple[str, ...]) -> None:
    ended = program.call("install-system", "--dry-run", *words)
    assert (ended.status, ended.out) == (65, "")


# In a mount namespace of its own this machine looks as it is, and nothing that is done to its files stays.
PRIVATE = """
set -e
mount --make-rprivate / && mount -t tmpfs none /mnt
for place in etc usr var root; do
    mkdir -p /mnt/$place/upper /mnt/$place/work
    mount -t overlay none -o lowerdir=/$place,upperdir=/mnt/$place/upper,workdir=/mnt/$place/work /$place
done
chmod o+x /root
"""
DIALOGUE = """
as() { user=$1; shift; setpriv --reuid=$user --regid=$(id -g $user) --clear-groups env -i HOME=/nonexistent "$@"; }
cd /
$PRX install-system --sendmail --program $BIN/prx-sendmail >&2
sed -i "s/^host.*/host = 'localhost'/; s/^port.*/port = $PORT/; /^port/a tls = 'none'" /etc/prx-email/config.toml
sed -i 's/^# root = /root = /' /etc/prx-email/config.toml
printf 'Subject: of nobody\\n\\nbody\\n' | as nobody /usr/sbin/sendmail root >&2
printf 'Subject: of root\\n\\nbody\\n' | env -i /usr/sbin/sendmail -i root >&2
as nobody /usr/bin/mailq >&2 && exit 3
as prx-email $PRX drain >&2
env -i HOME=/nonexistent $PRX list --json
$PRX install-system --undo --purge >&2
for path in /etc/prx-email /var/lib/prx-email /usr/bin/mailq; do test ! -e $path; done
! id prx-email >&2
"""


@needs_root
@needs_tools
def test_on_a_whole_machine_everybodys_mail_goes_out_and_undo_leaves_nothing() -> None:
    bin_ = Path(sys.executable).parent
    if subprocess.run(["unshare", "-m", "sh", "-c", PRIVATE], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no mount namespace with overlays")
    with ScriptedServer() as server:
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PRX": str(bin_ / "prx-email"), "BIN": str(bin_),
            "PORT": str(server.port),
        }  # fmt: skip
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", PRIVATE + DIALOGUE], env=environment, capture_output=True, text=True,
            check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        rows = json.loads(done.stdout)["data"]
        assert [row["status"] for row in rows] == ["sent", "sent"]
        subjects = {line for message in server.messages for line in message.content.decode().splitlines()}
    assert {"Subject: of nobody", "Subject: of root"} <= subjects
    assert not Path("/etc/prx-email").exists()
