"""A local name leads to addresses through aliases of the config and of a file, or to a clear error."""

import os
from pathlib import Path

import pytest

from prx_email_cli.config.settings import Settings, load_settings
from prx_email_cli.errors import ConfigError, NoSuchUser
from prx_email_cli.sendmail.aliases_file import parse_aliases, split
from prx_email_cli.sendmail.local import Local

BASE = '[accounts.work]\nfrom = "ops@example.com"\nsmtp.host = "mail.example.com"\n'
ALIASES = r"""
# See man 5 aliases for format
mailer-daemon: postmaster
Postmaster: root
   # a comment between
root:   ops@example.com,
	"Second, one" <second@example.com>
"odd name" : odd@example.com
www: \www
both: both, other@example.com
pipe: "|/usr/bin/procmail -a x, y"
file: /var/mail/x
list: :include:/etc/list
root: never@example.com
no colon here
"""


def local(tmp_path: Path, sendmail: str, aliases: str | None = None) -> Local:
    file = tmp_path / "config.toml"
    if aliases is not None:
        (tmp_path / "aliases").write_text(aliases)
        sendmail = f'aliases_file = "aliases"\n{sendmail}'
    file.write_text(f"{BASE}[sendmail]\n{sendmail}\n")
    return Local(settings(file).sendmail)


def settings(file: Path) -> Settings:
    return load_settings(file)


def test_an_alias_is_an_address_a_list_or_another_name(tmp_path: Path) -> None:
    of = local(
        tmp_path,
        '[sendmail.aliases]\nroot = "Ops <ops@x.org>"\nteam = ["root", "a@x.org, b@x.org"]\nAll = "Team, root"',
    )
    assert of.addresses("ROOT") == ["Ops <ops@x.org>"]
    assert of.addresses("team") == ["Ops <ops@x.org>", "a@x.org", "b@x.org"]
    assert of.addresses("all") == of.addresses("team")


def test_the_star_stands_for_all_others_and_the_domain_for_the_rest(tmp_path: Path) -> None:
    star = local(tmp_path, '[sendmail.aliases]\nroot = "ops@x.org"\n"*" = "root"')
    assert (star.addresses("www-data"), star.addresses("root")) == (["ops@x.org"], ["ops@x.org"])
    assert local(tmp_path, 'default_domain = "x.org"').addresses("www-data") == ["www-data@x.org"]
    both = local(tmp_path, 'default_domain = "x.org"\n[sendmail.aliases]\n"*" = "admin"')
    assert both.addresses("anybody") == ["admin@x.org"]


def test_without_any_of_them_a_name_has_no_address(tmp_path: Path) -> None:
    with pytest.raises(NoSuchUser, match="no address for the local name 'root'"):
        local(tmp_path, "").addresses("root")
    with pytest.raises(NoSuchUser, match="'www', to which 'root' leads"):
        local(tmp_path, '[sendmail.aliases]\nroot = "www"').addresses("root")


@pytest.mark.parametrize(
    "aliases", ['a = "b"\nb = "a"', 'a = "b"\nb = "c"\nc = ["d@x.org", "b"]', '"*" = "x"\na = "x"\nx = "a"']
)
def test_names_in_a_circle_are_an_error(tmp_path: Path, aliases: str) -> None:
    with pytest.raises(ConfigError, match="leads in a circle"):
        local(tmp_path, f"[sendmail.aliases]\n{aliases}").addresses("a")


def test_many_aliases_of_aliases_cost_little_and_a_long_chain_is_an_error(tmp_path: Path) -> None:
    lines = "".join(f'n{at} = ["n{at + 1}", "n{at + 1}"]\n' for at in range(40)) + 'n40 = "end@x.org"'
    assert local(tmp_path, f"[sendmail.aliases]\n{lines}").addresses("n0") == ["end@x.org"]
    chain = "".join(f"n{at}: n{at + 1}\n" for at in range(5000))
    with pytest.raises(ConfigError):
        local(tmp_path, "", chain).addresses("n0")


def test_a_file_of_aliases_is_understood(tmp_path: Path) -> None:
    of = local(tmp_path, 'default_domain = "x.org"', ALIASES)
    both = ["ops@example.com", '"Second, one" <second@example.com>']
    assert of.addresses("mailer-daemon") == of.addresses("root") == both
    assert of.addresses("odd name") == ["odd@example.com"]
    assert of.addresses("www") == ["www@x.org"]
    assert of.addresses("both") == ["both@x.org", "other@example.com"]
    assert of.addresses("nobody") == ["nobody@x.org"]


@pytest.mark.parametrize(("name", "what"), [("pipe", "a command"), ("file", "a file"), ("list", "a list in another")])
def test_what_names_no_address_is_an_error_of_that_name_alone(tmp_path: Path, name: str, what: str) -> None:
    of = local(tmp_path, "", ALIASES)
    with pytest.raises(NoSuchUser, match=f"no address for '{name}': its alias names {what}"):
        of.addresses(name)
    assert of.addresses("root")


def test_the_config_comes_before_the_file_and_the_file_before_the_star(tmp_path: Path) -> None:
    of = local(tmp_path, '[sendmail.aliases]\nroot = "mine@x.org"\n"*" = "star@x.org"', "root: f@x.org\nwww: w@x.org\n")
    assert [of.addresses(name) for name in ("root", "www", "bin")] == [["mine@x.org"], ["w@x.org"], ["star@x.org"]]


def test_a_file_that_is_not_there_is_an_error_once_it_is_needed(tmp_path: Path) -> None:
    of = local(tmp_path, 'aliases_file = "none"\n[sendmail.aliases]\nroot = "mine@x.org"')
    assert of.addresses("root") == ["mine@x.org"]
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        of.addresses("www")


@pytest.mark.parametrize(
    "table",
    ['default_domain = "not a domain"', 'aliases = { root = 1 }', 'aliases = { root = [] }', 'aliases = { root = "" }',
     'aliases = { "a@x" = "b@x" }', 'aliases = { root = "a\\nb" }', 'alias = { root = "b@x" }'],
)  # fmt: skip
def test_a_table_that_means_nothing_is_an_error_of_the_config(tmp_path: Path, table: str) -> None:
    with pytest.raises(ConfigError, match="sendmail"):
        local(tmp_path, table)


def test_commas_in_quotes_and_brackets_do_not_split() -> None:
    assert split('a, "b, c" <d@x>, <@y,@z:e@x>,, f') == ["a", '"b, c" <d@x>', "<@y,@z:e@x>", "f"]
    assert parse_aliases("a: b\\\n\n  c\n") == {"a": ("b\\ c",)}


class TestAnAddressOnThisMachine:
    def test_at_localhost_is_the_local_name(self, tmp_path: Path) -> None:
        found = local(tmp_path, 'aliases.root = "ops@example.com"')
        assert found.addresses("ROOT@LocalHost") == ["ops@example.com"]
        assert local(tmp_path, 'default_domain = "example.com"').addresses("web@localhost") == ["web@example.com"]

    def test_at_localhost_stays_as_it_is_where_the_name_leads_nowhere(self, tmp_path: Path) -> None:
        assert local(tmp_path, "").addresses("root@localhost") == []

    def test_at_the_machines_own_name_only_a_name_with_an_alias_of_its_own_is_local(self, tmp_path: Path) -> None:
        found = local(tmp_path, 'aliases = { root = "ops@example.com", "*" = "all@example.com" }')
        machine = os.uname().nodename
        assert found.addresses(f"root@{machine}") == ["ops@example.com"]
        assert found.addresses(f"bob@{machine}") == []
        assert found.addresses("bob@localhost") == ["all@example.com"]
