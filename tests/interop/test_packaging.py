"""The package as users get it: built, checked, installed by pipx and by uv into clean places, and run there."""

import os
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from email import message_from_string
from pathlib import Path
from typing import NamedTuple

import pytest

from prx_email_cli import __version__

from .servers.base import cache_dir

pytestmark = [pytest.mark.interop, pytest.mark.xdist_group("packaging")]

ROOT = Path(__file__).parents[2]
TOOLS = ("build", "twine", "pipx", "hatchling")
# Where uv finds certificates that pip was told of, and nothing else that could lead to this machine's own places.
CERTIFICATES = {"SSL_CERT_FILE": os.environ["PIP_CERT"]} if "PIP_CERT" in os.environ else {}
CLEAN = {name: value for name, value in os.environ.items() if name.startswith("PIP_") or name in ("LANG", "LC_ALL")}


def run(*words: str | Path, env: dict[str, str], text: str = "", cwd: Path = ROOT) -> str:
    """What a command prints; it must end with 0."""
    done = subprocess.run(
        words,
        env={**env, **CERTIFICATES},
        cwd=cwd,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, (words, done.stdout[-2000:], done.stderr[-2000:])
    return done.stdout


class Tools(NamedTuple):
    """The programs that pack and install.  uv: that one; python: of an environment with the others."""

    uv: Path
    python: Path


@pytest.fixture(scope="session")
def tools() -> Tools:
    """The tools from PyPI, in a cache as the servers are."""
    home = cache_dir() / "packaging-tools"
    uv, python = home / "uv" / "bin" / "uv", home / "venv" / "bin" / "python"
    env = {**os.environ, "UV_CACHE_DIR": str(home / "cache")}
    if not uv.exists():
        run(sys.executable, "-m", "pip", "install", "--quiet", "--target", home / "uv", "uv", env=env)
    if not all((python.parent / name).exists() for name in ("pyproject-build", "twine", "pipx")):
        run(uv, "venv", "--quiet", "--clear", "--python", sys.executable, home / "venv", env=env)
        run(uv, "pip", "install", "--quiet", "--python", python, *TOOLS, env=env)
    return Tools(uv, python)


class Built(NamedTuple):
    """What is uploaded."""

    wheel: Path
    sdist: Path


@pytest.fixture(scope="session")
def built(tools: Tools, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """The sdist, and the wheel that is built from it."""
    dist = tmp_path_factory.mktemp("dist")
    run(tools.python, "-m", "build", "--no-isolation", "--outdir", dist, ROOT, env=dict(os.environ))
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    return Built(wheel, sdist)


class Installed(NamedTuple):
    """An installation.  bin: where its commands are; man: its pages; env: a user's that has nothing else."""

    bin: Path
    man: Path
    env: dict[str, str]


def clean_home(home: Path) -> dict[str, str]:
    """The environment of a user with an empty home."""
    home.mkdir()
    return {**CLEAN, "HOME": str(home), "PATH": f"{home}/bin:/usr/bin:/bin"}


def by_pipx(tools: Tools, wheel: str, home: Path) -> Installed:
    """Install as pipx does, which is faster where it finds uv."""
    env = clean_home(home)
    places = {f"PIPX_{name}": str(home / name.lower()) for name in ("HOME", "BIN_DIR", "MAN_DIR", "SHARED_LIBS")}
    words = ("-m", "pipx", "install", "--quiet", "--python", sys.executable, wheel)
    run(tools.python, *words, env={**env, **places, "PATH": f"{tools.uv.parent}:{env['PATH']}"})
    return Installed(home / "bin_dir", home / "man_dir", env)


def by_uv(tools: Tools, wheel: str, home: Path) -> Installed:
    """Install as uv does."""
    env = clean_home(home)
    places = {
        "UV_TOOL_DIR": str(home / "tools"),
        "UV_TOOL_BIN_DIR": str(home / "bin"),
        "UV_CACHE_DIR": str(home / "uv"),
    }
    run(tools.uv, "tool", "install", "--quiet", "--python", sys.executable, wheel, env={**env, **places})
    return Installed(home / "bin", home / "tools" / "prx-email-cli" / "share" / "man", env)


def test_what_is_uploaded_is_well_formed_and_the_same_from_either_source(
    built: Built, tools: Tools, tmp_path: Path
) -> None:
    said = run(
        tools.python, "-m", "twine", "check", "--strict", built.wheel, built.sdist, env={**os.environ, "NO_COLOR": "1"}
    )
    assert said.count("PASSED") == 2
    run(tools.python, "-m", "build", "--no-isolation", "--wheel", "--outdir", tmp_path, ROOT, env=dict(os.environ))
    (direct,) = tmp_path.glob("*.whl")
    assert direct.name == built.wheel.name
    assert direct.read_bytes() == built.wheel.read_bytes()


def test_the_wheel_has_the_program_its_pages_and_its_licence_and_nothing_else(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as wheel:
        names = wheel.namelist()
        metadata = message_from_string(wheel.read(next(name for name in names if name.endswith("/METADATA"))).decode())
        scripts = {name.split("/share/")[1] for name in names if "/share/" in name and "/share/man/" not in name}
        pages = {name.split("/share/man/")[1]: wheel.read(name) for name in names if "/share/man/" in name}
    tops = {name.split("/")[0] for name in names}
    assert tops == {"prx_email_cli", f"prx_email_cli-{__version__}.data", f"prx_email_cli-{__version__}.dist-info"}
    assert pages == {str(page.relative_to(ROOT / "man")): page.read_bytes() for page in (ROOT / "man").glob("man?/*")}
    assert scripts == {
        "bash-completion/completions/prx-email", "fish/vendor_completions.d/prx-email.fish",
        "zsh/site-functions/_prx-email",
    }  # fmt: skip
    assert {"prx_email_cli/py.typed", f"prx_email_cli-{__version__}.dist-info/licenses/LICENSE"} <= set(names)
    assert {Path(name).suffix for name in names if name.startswith("prx_email_cli/")} <= {
        ".py",
        ".typed",
        ".sql",
        ".json",
    }
    assert (metadata["Version"], metadata["License-Expression"]) == (__version__, "MIT")
    extras = {"demo", "dev", "keyring", "listen", "oauth", "postgres", "shared-tokens"}
    assert set(metadata.get_all("Provides-Extra", [])) == extras


def test_the_sdist_has_what_git_has_and_no_private_file(built: Built) -> None:
    with tarfile.open(built.sdist) as sdist:
        names = {name.split("/", 1)[1] for name in sdist.getnames() if "/" in name}
    assert {
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "pyproject.toml",
        "man/man1/prx-email.1",
        "config.example.toml",
    } <= names
    private = (".venv", ".git/", ".db", ".key", ".pem", ".secret", ".pyc", ".cache", "config.toml")
    others = [name for name in names if not name.startswith("examples/")]
    found = [name for name in others for part in private if name.endswith(part) or name.startswith(part)]
    assert found == []


@pytest.mark.parametrize("install", [by_pipx, by_uv])
def test_installed_into_a_clean_place_it_runs(
    install: Callable[[Tools, str, Path], Installed], built: Built, tools: Tools, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    place = install(tools, f"{built.wheel}[demo]", home)
    assert run(place.bin / "prx-email", "--version", env=place.env) == f"prx-email {__version__}\n"
    before = sorted(home.iterdir())
    demo = run(place.bin / "prx-email", "demo", "--json", env=place.env, cwd=home)
    assert '"ok": true' in demo
    assert sorted(home.iterdir()) == before
    config = tmp_path / "config.toml"
    config.write_text(
        '[accounts.a]\nfrom = "a@example.com"\n[accounts.a.smtp]\nhost = "localhost"\nport = 9\ntls = "none"\n'
        f'[outbox]\npath = "{tmp_path}/outbox.db"\n[sendmail.aliases]\nroot = "ops@example.com"\n'
    )
    env = {**place.env, "PRX_EMAIL_CONFIG": str(config)}
    assert run(place.bin / "prx-sendmail", "-bv", "root", env=env) == "root... deliverable: ops@example.com\n"
    run(place.bin / "prx-sendmail", "root", env=env, text="Subject: hello\n\ntext\n")
    assert run(place.bin / "prx-email", "list", "--format", "tsv", env=env).splitlines()[1].startswith("1\ta\tpending")
    assert "COMPREPLY" in run(place.bin / "prx-email", "completion", "bash", env=env)
    for page in ("man1/prx-email.1", "man1/prx-email-drain.1", "man5/prx-email-config.5", "man8/prx-sendmail.8"):
        assert (place.man / page).read_bytes() == (ROOT / "man" / page).read_bytes()


def test_the_extra_listen_is_enough_to_speak_smtp(built: Built, tools: Tools, tmp_path: Path) -> None:
    place = by_uv(tools, f"{built.wheel}[listen]", tmp_path / "home")
    env = {
        **place.env,
        "PRX_EMAIL_URL": "smtp://localhost:9/?from=a@example.com",
        "PRX_EMAIL_OUTBOX": str(tmp_path / "o.db"),
    }
    said = run(place.bin / "prx-sendmail", "-bs", env=env, text="EHLO me\r\nQUIT\r\n")
    assert [line[:3] for line in (said.splitlines()[0], said.splitlines()[-1])] == ["220", "221"]
