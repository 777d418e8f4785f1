/* Delays what makes a file durable, for a program that this library is preloaded into. The file that SLOW_FSYNC_FILE
   names holds the delay in milliseconds; it is read at each call, so that the delay can change while the program runs. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void wait_as_told(void)
{
    const char *path = getenv("SLOW_FSYNC_FILE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    char text[16] = {0};
    ssize_t length = read(file, text, sizeof text - 1);
    close(file);
    long millis = length > 0 ? atol(text) : 0;
    struct timespec left = {millis / 1000, millis % 1000 * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {}
}

int fsync(int file)
{
    wait_as_told();
    return syscall(SYS_fsync, file);
}

int fdatasync(int file)
{
    wait_as_told();
    return syscall(SYS_fdatasync, file);
}

int sync_file_range(int file, off64_t offset, off64_t length, unsigned int flags)
{
    wait_as_told();
    return syscall(SYS_sync_file_range, file, offset, length, flags);
}
