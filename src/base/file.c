/* Whole small files and hostile paths.
 *
 * A path from outside (an archive, a repository) is opened with openat2, so that the kernel, not
 * our string handling, decides whether it leaves the folder. A tree is removed by descriptors for
 * the same reason: nobody can swap a folder for a link while we work. The removal never goes
 * deeper than FILE_DEPTH descriptors: a folder further down is first moved up to the top. */
#include "base/file.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include "base/check.h"
#include "base/mem.h"
#include "base/time.h"

#define FILE_DEPTH 64
#define FILE_TEMP_HEX 16

/* Reading. */

int file_read_fd(int fd, size_t ceiling, struct buf *ret_content, struct err *err)
{
    AUTO_BUF content = BUF_INIT(ceiling);
    char chunk[16 * 1024];
    for (;;) {
        ssize_t got = read(fd, chunk, sizeof(chunk));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return FAIL_SYS(err, "cannot read the file");
        if (got == 0)
            break;
        if ((size_t)got > ceiling - content.length)
            return FAIL(err, E_TOO_LARGE, "the file is larger than %zu bytes", ceiling);
        (void)buf_add(&content, chunk, (size_t)got); /* fits: checked above */
    }
    buf_done(ret_content);
    *ret_content = content;
    content = (struct buf)BUF_INIT(0);
    return 0;
}

static int file_fail_open(const char *path, struct err *err)
{
    if (errno == ENOENT || errno == ENOTDIR)
        return FAIL(err, E_NOT_FOUND, "cannot open '%s': no such file", path);
    return FAIL_SYS(err, "cannot open '%s'", path);
}

int file_read(const char *path, size_t ceiling, struct buf *ret_content, struct err *err)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return file_fail_open(path, err);
    if (file_read_fd(fd, ceiling, ret_content, err) < 0)
        return err_wrap(err, "'%s'", path);
    return 0;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* Writing. */

/* "." for a name without a slash, "/" for what lies in the root. */
static char *file_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return mem_strdup(".");
    return slash == path ? mem_strdup("/") : mem_strndup(path, (size_t)(slash - path));
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static int file_write_all(int fd, struct str content)
{
    while (content.length > 0) {
        ssize_t written = write(fd, content.data, content.length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return -1;
        content.data += written;
        content.length -= (size_t)written;
    }
    return 0;
}

/* close() is part of the writing: NFS and quotas may report only there. */
static int file_fill(int fd, struct str content, mode_t mode)
{
    if (file_write_all(fd, content) < 0 || fchmod(fd, mode) < 0 || fsync(fd) < 0) {
        int saved = errno;
        (void)close(fd);
        errno = saved;
        return -1;
    }
    return close(fd);
}

/* The temporary file in the opened folder, complete and on disk, then under its name. */
static int file_replace(int dir_fd, const char *name, struct str content, mode_t mode)
{
    char random[2 * FILE_TEMP_HEX + 1];
    random_hex(clock_system(), FILE_TEMP_HEX, random);
    AUTO_FREE char *temp = mem_format(".tmp-%s", random);
    int fd = openat(dir_fd, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -1;
    if (file_fill(fd, content, mode) < 0 || renameat(dir_fd, temp, dir_fd, name) < 0) {
        int saved = errno;
        (void)unlinkat(dir_fd, temp, 0); /* the first error is the one to tell */
        errno = saved;
        return -1;
    }
    return fsync(dir_fd);
}

int file_write(const char *path, struct str content, mode_t mode, struct err *err)
{
    AUTO_FREE char *parent = file_parent(path);
    AUTO_CLOSE int dir_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0 || file_replace(dir_fd, file_name(path), content, mode) < 0)
        return FAIL_SYS(err, "cannot write '%s'", path);
    return 0;
}

/* Folders. */

/* A folder we make gets exactly the mode asked for, whatever the umask. */
static int file_make_dir(const char *path, mode_t mode)
{
    if (mkdir(path, 0700) == 0) {
        AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        return fd < 0 ? -1 : fchmod(fd, mode);
    }
    struct stat st;
    if (errno != EEXIST || stat(path, &st) < 0)
        return -1;
    if (S_ISDIR(st.st_mode))
        return 0;
    errno = ENOTDIR;
    return -1;
}

int file_make_dirs(const char *path, mode_t mode, struct err *err)
{
    AUTO_FREE char *prefix = mem_strdup(path);
    for (char *c = prefix; *c; c++) {
        if (*c != '/' || c == prefix || c[-1] == '/')
            continue;
        *c = '\0';
        if (!file_exists(prefix) && file_make_dir(prefix, mode) < 0)
            return FAIL_SYS(err, "cannot make the folder '%s'", prefix);
        *c = '/';
    }
    if (file_make_dir(path, mode) < 0)
        return FAIL_SYS(err, "cannot make the folder '%s'", path);
    return 0;
}

/* Opening beneath a folder. */

static int file_openat2(int dir_fd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
    struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC), .resolve = resolve};
    if (flags & O_CREAT)
        how.mode = mode & 07777;
    long fd;
    int tries = 0;
    do /* EAGAIN: something was renamed while the kernel walked; EINTR: a signal */
        fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
    while (fd < 0 && (errno == EAGAIN || errno == EINTR) && ++tries < 32);
    return (int)fd;
}

int file_open_beneath(int dir_fd, const char *path, int flags, mode_t mode, int *ret_fd,
                      struct err *err)
{
    int fd = file_openat2(dir_fd, path, flags, mode,
                          RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
    if (fd < 0 && (errno == EXDEV || errno == ELOOP))
        return FAIL(err, E_PATH_ESCAPES, "path '%s' leaves its folder or meets a link", path);
    if (fd < 0)
        return file_fail_open(path, err);
    *ret_fd = fd;
    return 0;
}

/* Removing a tree. */

struct file_removal {
    int top_fd;   /* the folder whose content goes */
    size_t moved; /* folders moved up to it, still to be removed */
    size_t left;  /* entries that may still go now */
};

/* Opens a child folder; a link, a mount or anything else fails. One without permissions for its
 * own owner (a module cache, a hostile archive) is opened up first, through /proc because
 * fchmod does not take O_PATH. */
static int file_open_child(int dir_fd, const char *name)
{
    const uint64_t resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;
    AUTO_CLOSE int path_fd =
        file_openat2(dir_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, resolve);
    struct stat st;
    if (path_fd < 0 || fstat(path_fd, &st) < 0)
        return -1;
    if ((st.st_mode & 0700) != 0700) {
        AUTO_FREE char *self = mem_format("/proc/self/fd/%d", path_fd);
        (void)chmod(self, (st.st_mode & 07777) | 0700); /* if that was needed, open says so */
    }
    return openat(path_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int file_clear(struct file_removal *removal, int dir_fd, size_t depth);

static int file_move_up(struct file_removal *removal, int dir_fd, const char *name)
{
    char random[2 * FILE_TEMP_HEX + 1];
    random_hex(clock_system(), FILE_TEMP_HEX, random);
    AUTO_FREE char *temp = mem_format(".tmp-%s", random);
    if (renameat(dir_fd, name, removal->top_fd, temp) < 0)
        return -1;
    removal->moved++;
    removal->left--;
    return 0;
}

static int file_remove_dir(struct file_removal *removal, int dir_fd, const char *name, size_t depth)
{
    int child = file_open_child(dir_fd, name);
    if (child < 0)
        return errno == ENOENT ? 0 : -1;
    if (depth >= FILE_DEPTH) {
        (void)close(child);
        return file_move_up(removal, dir_fd, name);
    }
    if (file_clear(removal, child, depth + 1) < 0)
        return -1;
    if (removal->left == 0)
        return 0;
    if (unlinkat(dir_fd, name, AT_REMOVEDIR) < 0)
        return -1;
    removal->left--;
    return 0;
}

static int file_remove_entry(struct file_removal *removal, int dir_fd, const char *name,
                             size_t depth)
{
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT) {
        removal->left--;
        return 0;
    }
    if (errno != EISDIR && errno != EPERM) /* POSIX has EPERM for a folder, Linux EISDIR */
        return -1;
    int saved = errno;
    int result = file_remove_dir(removal, dir_fd, name, depth);
    if (result < 0 && errno == ENOTDIR)
        errno = saved; /* a file that may not be unlinked */
    return result;
}

/* Empties a folder, as far as what is left allows (something, at first); takes the descriptor. */
static int file_clear(struct file_removal *removal, int dir_fd, size_t depth)
{
    DIR *dir = fdopendir(dir_fd);
    if (!dir) {
        (void)close(dir_fd);
        return -1;
    }
    int result = 0;
    while (result == 0 && removal->left > 0) {
        errno = 0;
        struct dirent *entry = readdir(dir);
        if (!entry) {
            result = errno ? -1 : 0;
            break;
        }
        if (!text_is(entry->d_name, ".") && !text_is(entry->d_name, ".."))
            result = file_remove_entry(removal, dirfd(dir), entry->d_name, depth);
    }
    int saved = errno;
    (void)closedir(dir);
    errno = saved;
    return result;
}

/* Empties the folder behind top_fd, again as long as deep folders came up. */
static int file_clear_top(struct file_removal *removal)
{
    do {
        int again = openat(removal->top_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        removal->moved = 0;
        if (again < 0 || file_clear(removal, again, 1) < 0)
            return -1;
    } while (removal->moved > 0 && removal->left > 0);
    return 0;
}

static int file_remove_at(int parent_fd, const char *name, size_t *budget)
{
    if (unlinkat(parent_fd, name, 0) == 0 || errno == ENOENT) {
        (*budget)--;
        return 0;
    }
    if (errno != EISDIR && errno != EPERM)
        return -1;
    AUTO_CLOSE int top_fd = file_open_child(parent_fd, name);
    struct file_removal removal = {.top_fd = top_fd, .left = *budget};
    if (top_fd < 0 || file_clear_top(&removal) < 0)
        return -1;
    *budget = removal.left;
    if (removal.left == 0)
        return 0;
    if (unlinkat(parent_fd, name, AT_REMOVEDIR) < 0)
        return -1;
    (*budget)--;
    return 0;
}

int file_remove_some(const char *path, size_t *budget, struct err *err)
{
    ASSERT(*budget > 0);
    AUTO_FREE char *plain = mem_strdup(path);
    for (size_t length = strlen(plain); length > 1 && plain[length - 1] == '/'; length--)
        plain[length - 1] = '\0';
    const char *name = file_name(plain);
    if (!name[0] || text_is(name, ".") || text_is(name, ".."))
        return FAIL(err, E_INTERNAL, "refusing to remove '%s'", path);
    AUTO_FREE char *parent = file_parent(plain);
    AUTO_CLOSE int parent_fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (parent_fd < 0 && errno == ENOENT)
        return 0;
    if (parent_fd < 0 || file_remove_at(parent_fd, name, budget) < 0)
        return FAIL_SYS(err, "cannot remove '%s'", path);
    return 0;
}

int file_remove_tree(const char *path, struct err *err)
{
    size_t all = SIZE_MAX;
    return file_remove_some(path, &all, err);
}
