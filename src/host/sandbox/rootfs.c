/* A container's root: an overlay of read-only lower folders, idmapped into its range.
 *
 * Each lower folder is cloned as a detached mount, idmapped by a user namespace that has the
 * range's mapping, attached for a moment to a scratch folder (overlayfs wants a path), and taken
 * off again when the overlay holds its own clone. On top of the lowers lies a skeleton of our own:
 * the mount points that they lack, because crun cannot make any in a read-only root.
 *
 * The user namespace that carries a mapping is made by a short-lived clone and kept by its fd. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/check.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "host/sandbox/sandbox_priv.h"
#include "io/loop.h"

/* <sys/mount.h> and <linux/mount.h> clash in Debian 12: declared here. */
int mount(const char *source, const char *target, const char *type, unsigned long flags,
          const void *data);
int umount2(const char *target, int flags);
#define MS_RDONLY 1
#define MS_NOSUID 2
#define MS_NODEV 4
#define MNT_DETACH 2

#define RANGES 64 /* mappings kept open */
#define LOWERS 8
#define SCRATCH_MAX 64
#define SCRATCH_MS 250 /* after the last overlay of a burst */

static struct {
    uint32_t range;
    int fd;
} ranges[RANGES];
static size_t range_count;
static size_t scratch_used; /* folders with a clone attached */

/* Mappings. */

/* It must not outlive us: it holds copies of our fds, the lock among them. */
static int carrier(void *parent)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (getppid() == (pid_t)(intptr_t)parent)
        (void)pause();
    return 0;
}

static int proc_write(pid_t pid, const char *file, const char *text)
{
    AUTO_FREE char *path = mem_format("/proc/%d/%s", (int)pid, file);
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t length = (ssize_t)strlen(text);
    return fd >= 0 && write(fd, text, (size_t)length) == length ? 0 : -1;
}

static int carrier_namespace(pid_t pid, uint32_t range)
{
    AUTO_FREE char *map = mem_format("0 %u 65536\n", range);
    AUTO_FREE char *path = mem_format("/proc/%d/ns/user", (int)pid);
    if (proc_write(pid, "uid_map", map) < 0 || proc_write(pid, "gid_map", map) < 0)
        return -1;
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* The clone shares our memory, runs on its own small stack and only waits to be killed. */
static int range_make(uint32_t range, struct err *err)
{
    static char stack[16384] __attribute__((aligned(16)));
    pid_t pid =
        clone(carrier, stack + sizeof(stack), CLONE_NEWUSER | CLONE_VM, (void *)(intptr_t)getpid());
    if (pid < 0)
        return FAIL_SYS(err, "cannot make a user namespace");
    int fd = carrier_namespace(pid, range);
    int failed = errno;
    (void)kill(pid, SIGKILL);
    while (waitpid(pid, NULL, __WALL) < 0 && errno == EINTR)
        ;
    errno = failed;
    return fd >= 0 ? fd : FAIL_SYS(err, "cannot map the ids from %u", range);
}

static int range_namespace(uint32_t range, struct err *err)
{
    for (size_t i = 0; i < range_count; i++)
        if (ranges[i].range == range)
            return ranges[i].fd;
    int fd = range_make(range, err);
    if (fd < 0)
        return -1;
    if (range_count == RANGES) {
        (void)close(ranges[0].fd);
        memmove(&ranges[0], &ranges[1], sizeof(ranges[0]) * (RANGES - 1));
        range_count--;
    }
    ranges[range_count].range = range;
    ranges[range_count++].fd = fd;
    return fd;
}

/* A detached, idmapped, read-only clone of a folder. */
static int lower_clone(const char *folder, uint32_t range, struct err *err)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP | MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
                                          MOUNT_ATTR_NODEV};
    int space = range_namespace(range, err);
    if (space < 0)
        return -1;
    attr.userns_fd = (__u64)space;
    AUTO_CLOSE int fd = (int)syscall(SYS_open_tree, AT_FDCWD, folder,
                                     OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
    if (fd < 0)
        return FAIL_SYS(err, "cannot open layer '%s'", folder);
    if (syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return FAIL(err, E_UNAVAILABLE, "the file system of '%s' cannot be idmapped: %s", folder,
                    strerror(errno));
    return TAKE_FD(fd);
}

int rootfs_probe(const char *folder, struct err *err)
{
    AUTO_CLOSE int fd = lower_clone(folder, settings_range(sandbox_paths.settings, 1, 0), err);
    return fd < 0 ? -1 : 0;
}

/* The skeleton. */

/* Does any lower folder have this path (links resolved inside it)? */
static bool lowers_have(const struct sandbox_spec *spec, const char *target, bool folder)
{
    struct open_how how = {.flags = (uint64_t)(O_PATH | O_CLOEXEC | (folder ? O_DIRECTORY : 0)),
                           .resolve = RESOLVE_IN_ROOT};
    for (size_t i = 0; spec->lower[i]; i++) {
        AUTO_CLOSE int root = open(spec->lower[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
        AUTO_CLOSE int found =
            root < 0 ? -1 : (int)syscall(SYS_openat2, root, target, &how, sizeof(how));
        if (found >= 0)
            return true;
    }
    return false;
}

static int skeleton_add(const char *skeleton, const char *target, bool folder, struct err *err)
{
    AUTO_FREE char *path = mem_format("%s%s", skeleton, target);
    if (folder)
        return file_make_dirs(path, 0755, err);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    if (file_make_dirs(path, 0755, err) < 0)
        return -1;
    *slash = '/';
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
    return fd >= 0 ? 0 : FAIL_SYS(err, "cannot make '%s'", path);
}

static int skeleton_make(const struct sandbox_spec *spec, const char *skeleton, struct err *err)
{
    static const char *const always[] = {"/proc", "/sys", "/dev", "/tmp", "/run"};
    if (file_make_dirs(skeleton, 0755, err) < 0)
        return -1;
    if (chmod(skeleton, 0755) < 0)
        return FAIL_SYS(err, "cannot open '%s' to the container", skeleton);
    for (size_t i = 0; i < ARRAY_SIZE(always); i++)
        if (!lowers_have(spec, always[i], true) && skeleton_add(skeleton, always[i], true, err) < 0)
            return -1;
    for (size_t i = 0; i < spec->bind_count; i++) {
        struct stat info;
        const struct sandbox_bind *b = &spec->binds[i];
        if (b->target[0] != '/' || strstr(b->target, "/../") || str_ends(str_of(b->target), "/.."))
            return FAIL(err, E_PATH_ESCAPES, "'%s' is no place to bind", b->target);
        if (text_starts(b->target, "/run/") || text_starts(b->target, "/tmp/"))
            continue; /* on tmpfs: crun makes it */
        if (stat(b->source, &info) < 0)
            return FAIL_SYS(err, "cannot bind '%s'", b->source);
        if (!lowers_have(spec, b->target, S_ISDIR(info.st_mode)) &&
            skeleton_add(skeleton, b->target, S_ISDIR(info.st_mode), err) < 0)
            return -1;
    }
    return 0;
}

/* The overlay. */

char *rootfs_path(const char *name)
{
    return mem_format("%s/%s", sandbox_paths.roots, name);
}

static char *scratch_path(size_t index)
{
    return mem_format("%s/.%zu", sandbox_paths.roots, index);
}

/* The overlays have their own clones. An unmount waits for every processor of the machine, so it is
 * done later, for all overlays of a burst; until then each clone has a scratch folder of its own.
 */
static void scratch_clear(void *context)
{
    (void)context;
    for (size_t i = 0; i < scratch_used; i++) {
        AUTO_FREE char *path = scratch_path(i);
        (void)umount2(path, MNT_DETACH);
    }
    scratch_used = 0;
}

static int scratch_attach(const char *folder, uint32_t range, char **ret_path, struct err *err)
{
    if (scratch_used == SCRATCH_MAX)
        return FAIL(err, E_TOO_MANY, "no scratch folder is left");
    AUTO_FREE char *path = scratch_path(scratch_used);
    AUTO_CLOSE int fd = lower_clone(folder, range, err);
    if (fd < 0)
        return -1;
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return FAIL_SYS(err, "cannot make '%s'", path);
    if (syscall(SYS_move_mount, fd, "", AT_FDCWD, path, MOVE_MOUNT_F_EMPTY_PATH) < 0)
        return FAIL_SYS(err, "cannot attach layer '%s'", folder);
    scratch_used++;
    *ret_path = TAKE(path);
    return 0;
}

/* upper/ and work/ belong to root inside. */
static int upper_make(const struct sandbox_spec *spec, struct buf *options, struct err *err)
{
    static const char *const names[] = {"upper", "work"};
    if (strpbrk(spec->upper, ",:\\"))
        return FAIL(err, E_CONFIG_INVALID, "'%s' may hold no comma, colon or backslash",
                    spec->upper);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        AUTO_FREE char *path = mem_format("%s/%s", spec->upper, names[i]);
        if (mkdir(path, 0755) == 0) {
            if (chown(path, spec->range, spec->range) < 0)
                return FAIL_SYS(err, "cannot give '%s' to its range", path);
        } else if (errno != EEXIST) {
            return FAIL_SYS(err, "cannot make '%s'", path);
        }
        (void)buf_add_format(options, ",%sdir=%s", names[i], path); /* checked at the end */
    }
    return 0;
}

static int overlay_mount(const struct sandbox_spec *spec, const char *skeleton, const char *target,
                         struct err *err)
{
    AUTO_BUF options = BUF_INIT(4000); /* a page */
    const char *folder = skeleton;
    for (size_t i = 0; folder; folder = spec->lower[i++]) {
        AUTO_FREE char *path = NULL;
        if (i == LOWERS)
            return FAIL(err, E_TOO_MANY, "more than %d layers", LOWERS);
        if (scratch_attach(folder, spec->range, &path, err) < 0)
            return -1;
        (void)buf_add_format(&options, "%s%s", i ? ":" : "lowerdir=", path);
    }
    if (spec->upper && upper_make(spec, &options, err) < 0)
        return -1;
    if (buf_add_text(&options, ",redirect_dir=off,metacopy=off,index=off") < 0 || options.failed)
        return FAIL(err, E_TOO_LARGE, "the paths of the layers are too long");
    unsigned long flags = MS_NODEV | MS_NOSUID | (spec->upper ? 0 : MS_RDONLY);
    if (mount("overlay", target, "overlay", flags, options.data) < 0)
        return FAIL_SYS(err, "cannot mount the root of '%s'", spec->name);
    return 0;
}

static bool is_mounted(const char *path)
{
    struct statx info;
    return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, 0, &info) == 0 &&
           (info.stx_attributes_mask & info.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

int rootfs_mount(const struct sandbox_spec *spec, struct err *err)
{
    AUTO_FREE char *skeleton = mem_format("%s/skeleton", spec->folder);
    AUTO_FREE char *link = mem_format("%s/rootfs", spec->folder);
    AUTO_FREE char *target = rootfs_path(spec->name);
    static struct timer *clear;
    if (skeleton_make(spec, skeleton, err) < 0)
        return -1;
    if (mkdir(target, 0755) < 0 && errno != EEXIST)
        return FAIL_SYS(err, "cannot make '%s'", target);
    if (symlink(target, link) < 0 && errno != EEXIST)
        return FAIL_SYS(err, "cannot make '%s'", link);
    if (is_mounted(target))
        return 0;
    FAULT("sandbox.mount");
    if (scratch_used + LOWERS > SCRATCH_MAX)
        scratch_clear(NULL);
    timer_start(&clear, SCRATCH_MS, 0, scratch_clear, NULL);
    return overlay_mount(spec, skeleton, target, err);
}

void sandbox_unmount(const char *folder)
{
    char target[4096];
    AUTO_FREE char *link = mem_format("%s/rootfs", folder);
    ssize_t length = readlink(link, target, sizeof(target) - 1);
    if (length <= 0)
        return;
    target[length] = '\0';
    while (umount2(target, MNT_DETACH) == 0)
        ;
    (void)rmdir(target); /* also takes away what an older mount namespace had there */
    (void)unlink(link);  /* its folder goes next */
}
