#!/bin/sh
# Runs one program as if its packages were installed, on this machine, for nobody else.
#
#   unshare --mount --pid --fork --mount-proc ... as_installed.sh ROOT WORK COMMAND [ARG]...     (as root)
#
# ROOT  the unpacked packages (see install.sh): its usr/ and etc/ are laid over /usr and /etc
# WORK  its usr/ and etc/ are laid over those
#
# All of it happens in a mount namespace of this process alone, so the machine sees none of it. The command is process 1
# of a PID namespace: when it ends, the kernel ends all that it has started.
set -eu
root=$1 work=$2
shift 2

for directory in usr etc; do
    mount -t overlay -o "ro,lowerdir=$work/$directory:$root/$directory:/$directory" prx-email-interop "/$directory"
done
# What programs note lies under these: empty ones, so that the machine's own stay untouched.
for directory in /run /var/spool /var/cache; do
    mount -t tmpfs -o mode=755 prx-email-interop "$directory"
done
exec "$@"
