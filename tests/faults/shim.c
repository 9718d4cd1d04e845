/* Preloaded into a program, makes one of its writing calls fail.
 *
 * Counted are write, pwrite, writev, fsync, fdatasync, ftruncate, close (of descriptors open for
 * writing), rename, link, mkdir and open for creation, on paths below FP4LAB_FAULT_ROOT, in all
 * processes together: the counter lies in the file FP4LAB_FAULT_STATE, which every process maps.
 * At call number FP4LAB_FAULT_AT happens what FP4LAB_FAULT_KIND says:
 *
 *   ENOSPC, EIO   the call fails with that error, once
 *   full          it and every later call that needs room fail with ENOSPC: a full disk
 *   short         a write takes half of the bytes
 *   short-full    ... and from then on the disk is full
 *
 * A failing close has closed, as on Linux; every other failing call has done nothing.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* What the processes and the test share. */
struct state {
  _Atomic unsigned long calls;
  char hit[504]; /* "write /path" of call number FP4LAB_FAULT_AT */
};

enum fault { NO_FAULT, NO_SPACE, BROKEN, HALF };
/* Whether a call needs room on the disk: only those fail when it is full. */
enum need { NEEDS_ROOM, NEEDS_NONE };

static struct state* shared;
static const char* root;
static size_t root_length;
static unsigned long at;
static const char* kind = "";

__attribute__((constructor)) static void set_up(void) {
  const char* const file = getenv("FP4LAB_FAULT_STATE");
  const char* const number = getenv("FP4LAB_FAULT_AT");
  root = getenv("FP4LAB_FAULT_ROOT");
  if (file == NULL || root == NULL) return;
  root_length = strlen(root);
  if (number != NULL) at = strtoul(number, NULL, 10);
  if (getenv("FP4LAB_FAULT_KIND") != NULL) kind = getenv("FP4LAB_FAULT_KIND");
  const int descriptor = open(file, O_RDWR | O_CLOEXEC);
  if (descriptor < 0) return;
  void* const memory =
      mmap(NULL, sizeof(struct state), PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  close(descriptor);
  if (memory != MAP_FAILED) shared = memory;
}

static void* next_of(const char* name) { return dlsym(RTLD_NEXT, name); }

static int below_root(const char* path) {
  return strncmp(path, root, root_length) == 0 &&
         (path[root_length] == '/' || path[root_length] == '\0');
}

/* What happens to this call. */
static enum fault fault_of(const char* call, const char* path, enum need need) {
  const unsigned long number = atomic_fetch_add(&shared->calls, 1) + 1;
  if (at == 0 || number < at) return NO_FAULT;
  const int now = number == at;
  if (now) snprintf(shared->hit, sizeof shared->hit, "%s %s", call, path);
  const int writes = strstr(call, "write") != NULL;
  if (now && strcmp(kind, "ENOSPC") == 0) return NO_SPACE;
  if (now && strcmp(kind, "EIO") == 0) return BROKEN;
  if (now && writes && strncmp(kind, "short", 5) == 0) return HALF;
  const int full = strcmp(kind, "full") == 0 || (strcmp(kind, "short-full") == 0 && !now);
  return full && need == NEEDS_ROOM ? NO_SPACE : NO_FAULT;
}

static enum fault path_fault(const char* call, const char* path, enum need need) {
  char absolute[PATH_MAX];
  if (shared == NULL) return NO_FAULT;
  if (path[0] != '/') {
    char folder[PATH_MAX];
    if (getcwd(folder, sizeof folder) == NULL) return NO_FAULT;
    if (snprintf(absolute, sizeof absolute, "%s/%s", folder, path) >= (int)sizeof absolute) {
      return NO_FAULT;
    }
    path = absolute;
  }
  return below_root(path) ? fault_of(call, path, need) : NO_FAULT;
}

static enum fault descriptor_fault(const char* call, int descriptor, enum need need) {
  char link[64], path[PATH_MAX];
  if (shared == NULL) return NO_FAULT;
  snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return NO_FAULT;
  path[length] = '\0';
  return below_root(path) ? fault_of(call, path, need) : NO_FAULT;
}

static int fails(enum fault fault) {
  if (fault == NO_SPACE) errno = ENOSPC;
  if (fault == BROKEN) errno = EIO;
  return fault == NO_SPACE || fault == BROKEN;
}

ssize_t write(int descriptor, const void* data, size_t size) {
  static ssize_t (*real)(int, const void*, size_t);
  if (real == NULL) real = next_of("write");
  const enum fault fault = descriptor_fault("write", descriptor, NEEDS_ROOM);
  if (fails(fault)) return -1;
  return real(descriptor, data, fault == HALF ? (size + 1) / 2 : size);
}

static ssize_t write_at(const char* name, int descriptor, const void* data, size_t size,
                        off64_t offset) {
  ssize_t (*const real)(int, const void*, size_t, off64_t) = next_of(name);
  const enum fault fault = descriptor_fault("pwrite", descriptor, NEEDS_ROOM);
  if (fails(fault)) return -1;
  return real(descriptor, data, fault == HALF ? (size + 1) / 2 : size, offset);
}
ssize_t pwrite(int descriptor, const void* data, size_t size, off_t offset) {
  return write_at("pwrite", descriptor, data, size, offset);
}
ssize_t pwrite64(int descriptor, const void* data, size_t size, off64_t offset) {
  return write_at("pwrite64", descriptor, data, size, offset);
}

ssize_t writev(int descriptor, const struct iovec* parts, int count) {
  ssize_t (*const real)(int, const struct iovec*, int) = next_of("writev");
  const enum fault fault = descriptor_fault("writev", descriptor, NEEDS_ROOM);
  if (fails(fault)) return -1;
  if (fault == HALF && count > 0) {
    const struct iovec half = {parts[0].iov_base, (parts[0].iov_len + 1) / 2};
    return real(descriptor, &half, 1);
  }
  return real(descriptor, parts, count);
}

static int on_descriptor(const char* name, int descriptor) {
  int (*const real)(int) = next_of(name);
  return fails(descriptor_fault(name, descriptor, NEEDS_NONE)) ? -1 : real(descriptor);
}
int fsync(int descriptor) { return on_descriptor("fsync", descriptor); }
int fdatasync(int descriptor) { return on_descriptor("fdatasync", descriptor); }

static int cut(const char* name, int descriptor, off64_t size) {
  int (*const real)(int, off64_t) = next_of(name);
  return fails(descriptor_fault("ftruncate", descriptor, NEEDS_ROOM)) ? -1 : real(descriptor, size);
}
int ftruncate(int descriptor, off_t size) { return cut("ftruncate", descriptor, size); }
int ftruncate64(int descriptor, off64_t size) { return cut("ftruncate64", descriptor, size); }

int close(int descriptor) {
  int (*const real)(int) = next_of("close");
  const int flags = fcntl(descriptor, F_GETFL);
  enum fault fault = NO_FAULT;
  if (flags >= 0 && (flags & O_ACCMODE) != O_RDONLY) {
    fault = descriptor_fault("close", descriptor, NEEDS_NONE);
  }
  const int result = real(descriptor);
  return fails(fault) ? -1 : result;
}

/* A name that is there already needs no room in its folder. */
static enum need need_of(const char* name) {
  struct stat info;
  return stat(name, &info) == 0 ? NEEDS_NONE : NEEDS_ROOM;
}
int rename(const char* from, const char* to) {
  int (*const real)(const char*, const char*) = next_of("rename");
  return fails(path_fault("rename", to, need_of(to))) ? -1 : real(from, to);
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) {
  int (*const real)(int, const char*, int, const char*, unsigned) = next_of("renameat2");
  const int fault = to_folder == AT_FDCWD && fails(path_fault("renameat2", to, need_of(to)));
  return fault ? -1 : real(from_folder, from, to_folder, to, flags);
}
int link(const char* from, const char* to) {
  int (*const real)(const char*, const char*) = next_of("link");
  return fails(path_fault("link", to, NEEDS_ROOM)) ? -1 : real(from, to);
}
int mkdir(const char* path, mode_t mode) {
  int (*const real)(const char*, mode_t) = next_of("mkdir");
  return fails(path_fault("mkdir", path, NEEDS_ROOM)) ? -1 : real(path, mode);
}

/* Opening a file that is there needs no room and is no write. */
static int creates(const char* path, int flags) {
  struct stat info;
  return (flags & O_CREAT) != 0 && stat(path, &info) != 0;
}
#define OPEN(NAME)                                                             \
  int NAME(const char* path, int flags, ...) {                                 \
    int (*const real)(const char*, int, ...) = next_of(#NAME);                 \
    va_list rest;                                                              \
    va_start(rest, flags);                                                     \
    const mode_t mode = (flags & O_CREAT) != 0 ? va_arg(rest, mode_t) : 0;     \
    va_end(rest);                                                              \
    if (creates(path, flags) && fails(path_fault("open", path, NEEDS_ROOM))) { \
      return -1;                                                               \
    }                                                                          \
    return real(path, flags, mode);                                            \
  }
OPEN(open)
OPEN(open64)
