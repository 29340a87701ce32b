#!/bin/sh
# Boots systemd as process 1 of a machine of its own that shares this one's network, and sees nothing else change.
#
#   unshare --mount --propagation private systemd.sh ROOT WORK         (as root, stdin: a pipe; ends when that is closed)
#
# ROOT  the unpacked package of systemd (see install.sh): its usr/ is laid over /usr
# WORK  units/ becomes /etc/systemd/system, etc/ is copied over /etc, bin/ becomes /usr/local/bin, python/ and each
#       directory in lib/ is bound below /opt from where its link leads
#
# Ends with 77 where the kernel lets nobody make control groups.
set -eu
if [ "${1:-}" != inside ]; then
    groups=$(mktemp -d)
    if [ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ]; then
        mount -t cgroup2 prx-email-interop "$groups" || exit 77
    else
        mount -t cgroup -o none,name=systemd prx-email-interop "$groups" || exit 77
    fi
    own=$groups/prx-email-interop-$$
    mkdir "$own" && echo $$ >"$own/cgroup.procs" || exit 77
    exec 3<&0
    unshare --mount --pid --fork --kill-child --mount-proc --uts --ipc --cgroup -- "$0" inside "$@" </dev/null 3<&- &
    machine=$!
    cat <&3 >/dev/null
    kill -KILL "$machine" || true # --kill-child: the whole machine ends with it
    wait "$machine" || true
    echo $$ >"$groups/cgroup.procs"
    for try in 1 2 3 4 5; do # the last processes may still be going
        find "$own" -depth -type d -exec rmdir {} + 2>/dev/null && break || sleep 0.2
    done
    umount "$groups"
    rmdir "$groups"
    exit 0
fi
root=$2 work=$3

fresh() { mount -t tmpfs -o mode=755 prx-email-interop "$1"; }
mount -t overlay -o "ro,lowerdir=$root/usr:/usr" prx-email-interop /usr
kind=$(stat -f -c %T /sys/fs/cgroup)
fresh /sys/fs/cgroup # in between: the same file system is not mounted twice on one place
if [ "$kind" = cgroup2fs ]; then
    mount -t cgroup2 prx-email-interop /sys/fs/cgroup
else
    mkdir /sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd prx-email-interop /sys/fs/cgroup/systemd
fi
for directory in /run /opt /var/lib /var/log /mnt; do fresh "$directory"; done
mkdir /mnt/upper /mnt/work
mount -t overlay -o lowerdir=/etc,upperdir=/mnt/upper,workdir=/mnt/work prx-email-interop /etc
cp -a "$work/etc/." /etc/
mkdir -p /etc/systemd/system
mount --bind "$work/units" /etc/systemd/system
mount --bind "$work/bin" /usr/local/bin
for link in "$work"/opt/*; do
    mkdir "/opt/${link##*/}"
    mount --bind "$(readlink -f "$link")" "/opt/${link##*/}"
done
install -d -m 0711 -o prx-email -g prx-email /var/lib/prx-email
install -d -m 3733 -o prx-email -g prx-email /var/lib/prx-email/drop
export container=other SYSTEMD_UNIT_PATH=/etc/systemd/system
exec /lib/systemd/systemd --system --unit=ready.target --log-target=null --show-status=no
