/* openat2 for programs under valgrind, which does not know that call (3.19: it answers ENOSYS, and
 * every unit that makes a folder would fail for it). Preloaded by ./check --long=valgrind and
 * nowhere else: it walks the path step by step as the kernel would for the flags that we use, and
 * is no protection against races. Every other call is passed on. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int refuse(int number)
{
    errno = number;
    return -1;
}

/* May this name be passed through? 0, or -1 with errno. */
static int allowed(int dir, const char *name, const struct open_how *how, __u64 mount, bool last)
{
    struct statx st;
    bool as_link = last && (how->flags & O_PATH) && (how->flags & O_NOFOLLOW);
    if (strcmp(name, "..") == 0)
        return refuse(EXDEV);
    if (statx(dir, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE | STATX_MNT_ID, &st) < 0)
        return last && errno == ENOENT ? 0 : -1;
    if (S_ISLNK(st.stx_mode) && !as_link)
        return refuse(ELOOP);
    if ((how->resolve & RESOLVE_NO_XDEV) && st.stx_mnt_id != mount)
        return refuse(EXDEV);
    return 0;
}

static int next_folder(int dir, const char *name)
{
    int next = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int why = errno;
    (void)close(dir);
    return next < 0 ? refuse(why) : next;
}

static int walk(int from, const char *path, const struct open_how *how)
{
    struct statx st;
    int dir = openat(from, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0 || statx(dir, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) < 0)
        return -1;
    for (;;) {
        size_t length = strcspn(path, "/");
        const char *rest = path + length + strspn(path + length, "/");
        char *name = strndup(length ? path : ".", length ? length : 1);
        bool last = *rest == '\0';
        int result = allowed(dir, name, how, st.stx_mnt_id, last);
        if (result == 0 && last)
            result = openat(dir, name, (int)how->flags, (mode_t)how->mode);
        else if (result == 0)
            dir = result = next_folder(dir, name);
        int why = errno;
        free(name);
        if (result < 0 || last) {
            if (dir >= 0)
                (void)close(dir);
            errno = why;
            return result;
        }
        path = rest;
    }
}

long syscall(long number, ...)
{
    static long (*real)(long, ...);
    long a[6];
    va_list args;
    va_start(args, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "syscall");
    if (number != SYS_openat2)
        return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    const char *path = (const char *)a[1];
    const struct open_how *how = (const struct open_how *)a[2];
    if (path[0] == '\0' || path[0] == '/')
        return refuse(path[0] ? EXDEV : ENOENT);
    return walk((int)a[0], path, how);
}
