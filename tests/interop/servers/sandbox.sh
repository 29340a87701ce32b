#!/bin/sh
# Runs one mail server as if it were installed, on this machine, for nobody else.
#
#   unshare --mount --pid --fork --mount-proc ... sandbox.sh ROOT WORK COMMAND [ARG]...     (as root, stdin: a pipe)
#
# ROOT  an unpacked package (see install.sh): its usr/ is laid over /usr
# WORK  the server's directory: it becomes /srv, and each file in WORK/etc stands in for the one in /etc
#
# All of it happens in a mount namespace of this process alone, so the machine sees none of it. This shell is also
# process 1 of a PID namespace: when it ends, the kernel ends everything the server has started, daemonised or not.
# It ends when the server does, or when stdin is closed, which happens even if the test run itself is killed.
set -eu
root=$1 work=$2
shift 2

mount -t overlay -o "ro,lowerdir=$root/usr:/usr" prx-email-interop /usr
# Built-in paths for state and sockets lie under these: empty ones, so that the machine's own stay untouched.
for dir in /run /var/spool /var/lib; do
    mount -t tmpfs -o mode=755 prx-email-interop "$dir"
done
for file in "$work"/etc/*; do
    target=$(readlink -m "/etc/${file##*/}")
    case $target in # resolv.conf is often a link to something below /run, which is empty now
        /run/*) mkdir -p "${target%/*}" && : >"$target" ;;
    esac
    [ ! -e "$target" ] || mount --bind "$file" "$target"
done
mount --bind "$work" /srv
cd /srv

exec 3<&0
trap 'exit 0' TERM
(cat <&3 >/dev/null; kill -TERM 1) &
exec 3<&-
"$@" </dev/null &
status=0
wait $! || status=$?
exit "$status"
