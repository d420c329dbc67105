/* A disk that fails, and a death at an exact record, for one process of rollgate: loaded by LD_PRELOAD, so that
 * the program under test has no hook of its own. It forgets itself before main, so children have a sound disk.
 *
 * Only calls on files below RG_DISK_DIR whose path contains RG_DISK_PART count, those of the kinds named in
 * RG_DISK_CALLS (`write sync open ...`). The RG_DISK_AT-th of them, and all later ones with RG_DISK_FOREVER, fails with errno RG_DISK_ERRNO.
 * The first failure is written to RG_DISK_SAID: `KIND PATH`.
 *
 * RG_KILL_AT counts the writes to a file called journal.ndjson; at that one RG_KILL_HOW says when SIGKILL comes:
 *   before  nothing of the record is in the file
 *   torn    half of it is
 *   lost    it was written and is gone again when it is synced, as after a power cut
 *   after   it is synced
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static char dir[4096], part[4096], calls[256], said[4096], how[16];
static long at, kill_at;
static int forever, code;
static long counted, records;
static int failed, doomed = -1;
static off_t sound;

static void take(const char *name, char *to, size_t room)
{
    const char *value = getenv(name);
    snprintf(to, room, "%s", value ? value : "");
    unsetenv(name);
}

static long number(const char *name)
{
    char text[32];
    take(name, text, sizeof text);
    return atol(text);
}

__attribute__((constructor)) static void begin(void)
{
    take("RG_DISK_DIR", dir, sizeof dir);
    take("RG_DISK_PART", part, sizeof part);
    take("RG_DISK_CALLS", calls, sizeof calls);
    take("RG_DISK_SAID", said, sizeof said);
    take("RG_KILL_HOW", how, sizeof how);
    at = number("RG_DISK_AT");
    forever = number("RG_DISK_FOREVER") != 0;
    code = (int)number("RG_DISK_ERRNO");
    kill_at = number("RG_KILL_AT");
    unsetenv("LD_PRELOAD");
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int is_below(const char *path)
{
    size_t length = strlen(dir);
    return length && !strncmp(path, dir, length) && (path[length] == '/' || !path[length]);
}

static const char *path_of(int fd)
{
    static __thread char path[4096];
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    return path;
}

/* Whether this call is to fail. */
static int fails(const char *kind, const char *path)
{
    if (!at || !strstr(calls, kind) || !is_below(path) || !strstr(path, part))
        return 0;
    counted++;
    if (counted != at && !(forever && counted > at))
        return 0;
    if (!failed) {
        failed = 1;
        FILE *file = REAL(fopen)(said, "w");
        if (file) {
            fprintf(file, "%s %s", kind, path);
            fclose(file);
        }
    }
    errno = code;
    return 1;
}

static void die(void)
{
    for (;;)
        kill(getpid(), SIGKILL);
}

static int is_journal(int fd)
{
    const char *path = path_of(fd), *name = strrchr(path, '/');
    return is_below(path) && name && !strcmp(name, "/journal.ndjson");
}

ssize_t write(int fd, const void *bytes, size_t count)
{
    __typeof__(&write) real = REAL(write);
    if (kill_at && is_journal(fd) && ++records == kill_at) {
        struct stat stat;
        fstat(fd, &stat);
        if (!strcmp(how, "before"))
            die();
        if (!strcmp(how, "torn")) {
            real(fd, bytes, count / 2);
            die();
        }
        doomed = fd;
        sound = stat.st_size;
    }
    if (fails("write", path_of(fd))) {
        /* A full disk takes what still fits. */
        if (code == ENOSPC && count > 1 && !forever)
            return real(fd, bytes, count / 2);
        return -1;
    }
    return real(fd, bytes, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset)
{
    return fails("write", path_of(fd)) ? -1 : REAL(pwrite64)(fd, bytes, count, offset);
}

static void sync_or_die(int fd, int (*real)(int))
{
    if (fd != doomed)
        return;
    if (!strcmp(how, "lost") && ftruncate(fd, sound))
        abort();
    real(fd);
    die();
}

int fdatasync(int fd)
{
    sync_or_die(fd, REAL(fdatasync));
    return fails("sync", path_of(fd)) ? -1 : REAL(fdatasync)(fd);
}

int fsync(int fd)
{
    sync_or_die(fd, REAL(fsync));
    return fails("sync", path_of(fd)) ? -1 : REAL(fsync)(fd);
}

int open64(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(rest, mode_t) : 0;
    va_end(rest);
    return fails("open", path) ? -1 : REAL(open64)(path, flags, mode);
}

int mkdir(const char *path, mode_t mode)
{
    return fails("mkdir", path) ? -1 : REAL(mkdir)(path, mode);
}

int rename(const char *from, const char *to)
{
    return fails("rename", to) ? -1 : REAL(rename)(from, to);
}

int fchmod(int fd, mode_t mode)
{
    return fails("chmod", path_of(fd)) ? -1 : REAL(fchmod)(fd, mode);
}

int ftruncate64(int fd, off64_t length)
{
    return fails("truncate", path_of(fd)) ? -1 : REAL(ftruncate64)(fd, length);
}

int flock(int fd, int operation)
{
    return fails("flock", path_of(fd)) ? -1 : REAL(flock)(fd, operation);
}
