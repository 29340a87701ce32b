#!/bin/sh
# Fetches real mail servers for the interop tests: Postfix, OpenSMTPD, Exim and Dovecot, from Debian's own packages;
# Prometheus, whose promtool judges our metrics; `clients`, which call sendmail or speak SMTP to the next server: mutt,
# s-nail, bsd-mailx, git send-email, cron, PHP with Symfony's mailer, Django, logwatch, mdadm, smartmontools and
# unattended-upgrades; swaks, msmtp and curl, which speak SMTP to listen; mandoc, which judges our man pages; zsh and
# fish, which complete our command lines; monitoring-plugins, which read our mailq; systemd and logrotate, which run the
# examples; PgBouncer; for the benchmarks also HAProxy, nullmailer and dma.
#
#   install.sh [postfix|opensmtpd|exim|dovecot|prometheus|clients|swaks|msmtp|curl|mandoc|zsh|fish|monitoring-plugins|
#               systemd|logrotate|pgbouncer|haproxy|nullmailer|dma]...  (default: all but those for the benchmarks)
#
# Most of them conflict with each other, and installing one would start a system-wide daemon. So nothing is
# installed: the packages of a server, and each shared library that this machine lacks, are unpacked together into
#   ${XDG_CACHE_HOME:-~/.cache}/prx-email-interop/<name>-<version>
# which servers/sandbox.sh or as_installed.sh lays over /usr for the program alone. No maintainer script runs, no user is
# created, no service is started. Running it again is cheap and needs no network. To fetch anew, delete the directory.
set -eu
umask 022
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

cache=${XDG_CACHE_HOME:-${HOME:?}/.cache}/prx-email-interop
stage=

die() {
    echo "install.sh: $*" >&2
    exit 1
}

cleanup() {
    [ -z "$stage" ] || rm -rf "$stage"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM

# The Debian packages that hold the server (the first one names its version), and the programs whose libraries are
# checked. Dovecot comes with socat: servers/dovecot.py says why.
packages_of() {
    case $1 in
        exim) echo exim4-daemon-light ;;
        dovecot) echo dovecot-submissiond dovecot-core socat ;;
        clients)
            echo mutt s-nail bsd-mailx git-email libmailtools-perl cron logwatch mdadm smartmontools unattended-upgrades \
                php-cli php-symfony-mailer python3-django
            ;;
        swaks) echo swaks libnet-ssleay-perl ;;
        monitoring-plugins) echo monitoring-plugins-standard monitoring-plugins-common libpostfix-parse-mailq-perl ;;
        zsh | fish) echo "$1" "$1-common" ;;
        *) echo "$1" ;;
    esac
}
programs_of() {
    case $1 in
        postfix) echo usr/lib/postfix/sbin/master usr/lib/postfix/sbin/smtpd usr/lib/postfix/sbin/pipe ;;
        opensmtpd) echo usr/sbin/smtpd ;;
        exim) echo usr/sbin/exim4 ;;
        haproxy) echo usr/sbin/haproxy ;;
        prometheus) echo usr/bin/promtool ;;
        nullmailer) echo usr/bin/nullmailer-inject usr/sbin/nullmailer-queue ;;
        dma) echo usr/sbin/dma ;;
        swaks) echo usr/bin/swaks ;;
        msmtp) echo usr/bin/msmtp ;;
        curl) echo usr/bin/curl ;;
        clients) echo usr/bin/mutt usr/bin/s-nail usr/bin/bsd-mailx usr/sbin/cron usr/sbin/mdadm usr/sbin/smartd ;;
        mandoc) echo usr/bin/mandoc ;;
        zsh) echo usr/bin/zsh ;;
        fish) echo usr/bin/fish ;;
        systemd) echo usr/lib/systemd/systemd usr/bin/systemd-analyze usr/bin/systemctl ;;
        logrotate) echo usr/sbin/logrotate ;;
        pgbouncer) echo usr/sbin/pgbouncer ;;
        dovecot)
            echo usr/sbin/dovecot usr/bin/doveconf usr/lib/dovecot/auth usr/lib/dovecot/submission \
                usr/lib/dovecot/submission-login usr/bin/socat
            ;;
    esac
}

# True when every program of server $1, unpacked in $2, finds its shared libraries there or on this machine.
is_complete() {
    for program in $(programs_of "$1"); do
        [ -x "$2/$program" ] || return 1
        paths=$(find "$2/usr/lib" -name '*.so*' -printf '%h\n' 2>/dev/null | sort -u | tr '\n' ':')
        if LD_LIBRARY_PATH=$paths ldd "$2/$program" 2>&1 | grep -q 'not found'; then return 1; fi
    done
}

# Package lists may be missing (a fresh container) or too old (the version they name is gone): fetch them once.
update_lists() {
    apt-get -qq update >/dev/null 2>&1 || die "'apt-get update' failed: no network, or not root?"
}

# The packages that those of $1, which are downloaded, need on this machine, with what those need in turn: of a server
# the libraries alone, of the clients all but a mail server, and what would start this machine or keep its keys.
missing_packages() {
    if [ "$1" = clients ] || [ "$1" = swaks ]; then
        # shellcheck disable=SC2046 # a list of names, split on purpose
        apt-get -s -qq --no-install-recommends install $(packages_of "$1") |
            awk '/^Inst/ && $3 !~ /^\[/ && $2 !~ /^(exim|systemd|udev|dbus|gnupg|gpg|dirmngr|libnss-|libpam-)/ { print $2 }'
        return
    fi
    direct=$(for deb in "$stage/debs"/*.deb; do dpkg-deb -f "$deb" Depends; done |
        tr ',' '\n' | sed -n 's/^ *\(lib[^ :(|]*\).*/\1/p' | sort -u)
    # shellcheck disable=SC2086 # a list of names, split on purpose
    apt-get -s -qq --no-install-recommends install $direct | awk '/^Inst lib/ && $2 !~ /-dev$/ { print $2 }'
}

download() {
    apt-get -qq -o APT::Sandbox::User=root download "$@" >/dev/null 2>"$stage/apt.log"
}

unpack() {
    mkdir -p "$stage/root"
    for deb in "$stage/debs"/*.deb; do
        dpkg-deb -x "$deb" "$stage/root"
    done
    # /lib, /bin and /sbin are links to those of /usr on the machine, and only /usr and /etc are laid over.
    for directory in lib bin sbin; do
        [ ! -d "$stage/root/$directory" ] || cp -a "$stage/root/$directory" "$stage/root/usr/"
    done
    find "$stage/root" -mindepth 1 -maxdepth 1 ! -name usr ! -name etc -exec rm -rf {} +
    # A private copy gets no security updates: it must not keep set-user-ID rights.
    chmod -R u-s,g-s "$stage/root"
}

install_server() {
    name=$1
    packages=$(packages_of "$name")
    for root in "$cache/$name-"*; do
        if [ -e "$root/.complete" ] && is_complete "$name" "$root"; then
            echo "$name: already in $root"
            return
        fi
    done
    mkdir -p "$cache"
    stage=$(mktemp -d "$cache/.stage.XXXXXX")
    mkdir "$stage/debs"
    cd "$stage/debs"
    # shellcheck disable=SC2086 # a list of names, split on purpose
    download $packages || { rm -f ./*.deb && update_lists && download $packages; } ||
        die "no $packages: $(cat "$stage/apt.log")"
    needed=$(missing_packages "$name")
    # shellcheck disable=SC2086 # a list of names, split on purpose
    [ -z "$needed" ] || download $needed || { update_lists && download $needed; } ||
        die "not all that $packages needs: $(cat "$stage/apt.log")"
    package=${packages%% *}
    version=$(dpkg-deb -f "$stage/debs/$package"_*.deb Version)
    cd /
    unpack
    is_complete "$name" "$stage/root" || die "$package $version was unpacked, but shared libraries are missing"
    touch "$stage/root/.complete"
    root=$cache/$name-$(echo "$version" | tr ':,' '__')
    rm -rf "$root"
    mv "$stage/root" "$root"
    rm -rf "$stage"
    stage=
    echo "$name: unpacked $package $version into $root"
}

for tool in apt-get dpkg-deb ldd flock; do
    command -v "$tool" >/dev/null || die "needs $tool: Debian has it"
done
mkdir -p "$cache"
exec 9>"$cache/.lock"
flock 9 # two test runs at once: the second finds what the first fetched
[ $# -gt 0 ] || set -- postfix opensmtpd exim dovecot prometheus clients swaks msmtp curl mandoc zsh fish \
    monitoring-plugins systemd logrotate pgbouncer
for server in "$@"; do
    case $server in
        postfix | opensmtpd | exim | dovecot | prometheus | clients | swaks | msmtp | curl) install_server "$server" ;;
        monitoring-plugins | mandoc | zsh | fish | haproxy | nullmailer | dma) install_server "$server" ;;
        systemd | logrotate | pgbouncer) install_server "$server" ;;
        *) die "unknown server: $server" ;;
    esac
done
