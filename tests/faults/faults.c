/* Preloaded into a process, it counts the system calls that touch files below one folder, and at
 * the n-th the disk is full, a read fails, or the process is killed. See harness.py.
 *
 * What a process leaves on disk changes by these calls alone: to be killed before each of them is to
 * be killed at every moment that makes a difference. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { COUNT_CHANGES, COUNT_READS, FULL, READ, KILL };

static char folder[PATH_MAX];
static int kind = -1;
static long nth, seen;

/* The n-th call of its kind gets the fault; 0 only counts. Python calls it by ctypes. */
void faults_arm(const char* below, int what, long n) {
  snprintf(folder, sizeof folder, "%s/", below);
  seen = 0;
  nth = n;
  kind = what;
}

/* How many calls there were. */
long faults_seen(void) {
  return seen;
}

static int is_below(const char* path) {
  return kind >= 0 && path != NULL && strncmp(path, folder, strlen(folder)) == 0;
}

static int is_open_below(int fd) {
  if (kind < 0) return 0;
  const int before = errno;
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  errno = before;
  if (length < 0) return 0;
  path[length] = '\0';
  return is_below(path);
}

/* Before a call that changes the disk. 1: this is the call at which it fills, 2: it is full. */
static int change(int takes_room) {
  if (kind != COUNT_CHANGES && kind != FULL && kind != KILL) return 0;
  if (kind == FULL && !takes_room) return 0;
  ++seen;
  if (kind == KILL && seen == nth) kill(getpid(), SIGKILL);
  return kind != FULL || nth == 0 || seen < nth ? 0 : seen == nth ? 1 : 2;
}

static int fails_to_read(int fd) {
  if ((kind != READ && kind != COUNT_READS) || !is_open_below(fd)) return 0;
  ++seen;
  return kind == READ && seen == nth;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define REFUSE(error) return errno = (error), -1

/* A disk that fills takes a part of what is written first. */
#define WRITE(name, buffer, bytes, call, part)              \
  if (is_open_below(fd)) {                                  \
    const int full = change(1);                             \
    if (full == 2 || (full == 1 && bytes < 2)) REFUSE(ENOSPC); \
    if (full == 1) return part;                             \
  }                                                         \
  return call;

ssize_t write(int fd, const void* from, size_t bytes) {
  WRITE(write, from, bytes, REAL(write)(fd, from, bytes), REAL(write)(fd, from, bytes / 2))
}
ssize_t pwrite(int fd, const void* from, size_t bytes, off_t at) {
  WRITE(pwrite, from, bytes, REAL(pwrite)(fd, from, bytes, at),
        REAL(pwrite)(fd, from, bytes / 2, at))
}
ssize_t pwrite64(int fd, const void* from, size_t bytes, off64_t at) {
  WRITE(pwrite64, from, bytes, REAL(pwrite64)(fd, from, bytes, at),
        REAL(pwrite64)(fd, from, bytes / 2, at))
}
ssize_t writev(int fd, const struct iovec* parts, int count) {
  if (is_open_below(fd) && change(1)) REFUSE(ENOSPC);
  return REAL(writev)(fd, parts, count);
}

ssize_t read(int fd, void* to, size_t bytes) {
  if (fails_to_read(fd)) REFUSE(EIO);
  return REAL(read)(fd, to, bytes);
}
ssize_t pread(int fd, void* to, size_t bytes, off_t at) {
  if (fails_to_read(fd)) REFUSE(EIO);
  return REAL(pread)(fd, to, bytes, at);
}
ssize_t pread64(int fd, void* to, size_t bytes, off64_t at) {
  if (fails_to_read(fd)) REFUSE(EIO);
  return REAL(pread64)(fd, to, bytes, at);
}
ssize_t readv(int fd, const struct iovec* parts, int count) {
  if (fails_to_read(fd)) REFUSE(EIO);
  return REAL(readv)(fd, parts, count);
}

int fsync(int fd) {
  if (is_open_below(fd) && change(1)) REFUSE(ENOSPC);
  return REAL(fsync)(fd);
}
int fdatasync(int fd) {
  if (is_open_below(fd) && change(1)) REFUSE(ENOSPC);
  return REAL(fdatasync)(fd);
}
int ftruncate(int fd, off_t length) {
  if (is_open_below(fd)) change(0);
  return REAL(ftruncate)(fd, length);
}
int ftruncate64(int fd, off64_t length) {
  if (is_open_below(fd)) change(0);
  return REAL(ftruncate64)(fd, length);
}
int rename(const char* from, const char* to) {
  if (is_below(to) && change(1)) REFUSE(ENOSPC);
  return REAL(rename)(from, to);
}
int renameat(int from_folder, const char* from, int to_folder, const char* to) {
  if (is_below(to) && change(1)) REFUSE(ENOSPC);
  return REAL(renameat)(from_folder, from, to_folder, to);
}
int mkdir(const char* path, mode_t mode) {
  if (is_below(path) && change(1)) REFUSE(ENOSPC);
  return REAL(mkdir)(path, mode);
}
int unlink(const char* path) {
  if (is_below(path)) change(0);
  return REAL(unlink)(path);
}
int rmdir(const char* path) {
  if (is_below(path)) change(0);
  return REAL(rmdir)(path);
}

/* A new file needs room in its folder. */
static int creates(const char* path, int flags) {
  return (flags & O_CREAT) && is_below(path) && access(path, F_OK) != 0;
}
#define OPEN(name, call)                                 \
  mode_t mode = 0;                                       \
  if (flags & (O_CREAT | O_TMPFILE)) {                   \
    va_list more;                                        \
    va_start(more, flags);                               \
    mode = va_arg(more, mode_t);                         \
    va_end(more);                                        \
  }                                                      \
  if (creates(path, flags) && change(1)) REFUSE(ENOSPC); \
  return call;

int open(const char* path, int flags, ...) {
  OPEN(open, REAL(open)(path, flags, mode))
}
int open64(const char* path, int flags, ...) {
  OPEN(open64, REAL(open64)(path, flags, mode))
}
int openat(int from, const char* path, int flags, ...) {
  OPEN(openat, REAL(openat)(from, path, flags, mode))
}
int openat64(int from, const char* path, int flags, ...) {
  OPEN(openat64, REAL(openat64)(from, path, flags, mode))
}
