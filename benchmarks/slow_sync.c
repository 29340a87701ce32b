/* Preloaded, it makes every fsync and fdatasync last SYNC_MS milliseconds at least, as on a disk that is slower.
   The real one is done first: what was durable stays so. */
#define _GNU_SOURCE
#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static int slowly(long call, int fd)
{
    struct timespec until;
    long result;
    int error;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += SYNC_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    result = syscall(call, fd);
    error = errno;
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
        continue;
    errno = error;
    return (int) result;
}

int fsync(int fd)
{
    return slowly(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return slowly(SYS_fdatasync, fd);
}
