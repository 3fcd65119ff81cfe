/* Loop devices by ioctl. LOOP_CONFIGURE attaches file and flags in one step; AUTOCLEAR ties the
 * device's life to the mount. What can fail by a race (somebody else took the free device) is tried
 * again. */
#include "host/build/volume.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#define MKFS "/usr/sbin/mkfs.ext4"
#define MKFS_MS 60000
#define TRIES 20
#define LOOP_MAJOR 7
#define BLOCK 4096
#define EXT4_IOC_SHUTDOWN _IOR('X', 125, uint32_t)
#define EXT4_SHUTDOWN_NO_FLUSH 2u

int volume_make(const char *image, int64_t bytes,
                void (*done)(void *context, const struct child_result *result), void *context,
                struct child **ret_child, struct err *err)
{
    const char *argv[] = {MKFS,
                          "-q",
                          "-F",
                          "-m",
                          "0",
                          "-b",
                          "4096",
                          "-i",
                          "8192",
                          "-O",
                          "^has_journal,^resize_inode",
                          "-E",
                          "lazy_itable_init=1,nodiscard,root_owner=0:0",
                          image,
                          NULL};
    struct child_spec spec = {.argv = argv,
                              .stdin_fd = -1,
                              .out = CHILD_DISCARD,
                              .error = CHILD_COLLECT,
                              .timeout_ms = MKFS_MS,
                              .on_exit = done,
                              .context = context};
    AUTO_CLOSE int fd = open(image, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
    FAULT("volume.make");
    if (fd < 0 || ftruncate(fd, bytes) < 0)
        return FAIL_SYS(err, "cannot make the volume '%s'", image);
    return child_start(&spec, ret_child, err);
}

static int device_open(int control, int *ret_number, struct err *err)
{
    int number = ioctl(control, LOOP_CTL_GET_FREE);
    if (number < 0)
        return FAIL_SYS(err, "cannot get a loop device");
    AUTO_FREE char *path = mem_format("/dev/loop%d", number);
    if (mknod(path, S_IFBLK | 0600, makedev(LOOP_MAJOR, (unsigned)number)) < 0 && errno != EEXIST)
        return FAIL_SYS(err, "cannot make '%s'", path);
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return FAIL_SYS(err, "cannot open '%s'", path);
    *ret_number = number;
    return fd;
}

/* 0, -1, or 1 when somebody else was faster. */
static int attach_once(int control, int image_fd, int *ret_device, int *ret_number, struct err *err)
{
    struct loop_config config = {.fd = (uint32_t)image_fd, .block_size = BLOCK};
    AUTO_CLOSE int fd = device_open(control, ret_number, err);
    if (fd < 0)
        return -1;
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO;
    int r = ioctl(fd, LOOP_CONFIGURE, &config);
    if (r < 0 && errno == EINVAL) { /* the file system below cannot do direct I/O */
        config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
        r = ioctl(fd, LOOP_CONFIGURE, &config);
    }
    if (r < 0 && errno == EBUSY)
        return 1;
    if (r < 0)
        return FAIL_SYS(err, "cannot attach loop device %d", *ret_number);
    *ret_device = TAKE_FD(fd);
    return 0;
}

static int attach(const char *image, int *ret_device, int *ret_number, struct err *err)
{
    AUTO_CLOSE int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    AUTO_CLOSE int fd = open(image, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    int r = 1;
    if (control < 0)
        return FAIL_SYS(err, "cannot open '/dev/loop-control'");
    if (fd < 0)
        return FAIL_SYS(err, "cannot open '%s'", image);
    for (int i = 0; r > 0 && i < TRIES; i++)
        r = attach_once(control, fd, ret_device, ret_number, err);
    return r > 0 ? FAIL(err, E_UNAVAILABLE, "no loop device is free") : r;
}

int volume_mount(const char *image, const char *folder, struct err *err)
{
    AUTO_CLOSE int device = -1;
    int number = -1;
    if (attach(image, &device, &number, err) < 0)
        return -1;
    AUTO_FREE char *path = mem_format("/dev/loop%d", number);
    FAULT("volume.mount");
    if (mount(path, folder, "ext4", MS_NOATIME | MS_NODEV | MS_NOSUID,
              "noinit_itable,errors=continue") < 0)
        return FAIL_SYS(err, "cannot mount '%s'", image);
    return 0; /* closing the device leaves the mount as its only user */
}

static bool is_mounted(const char *folder)
{
    AUTO_FREE char *parent = mem_format("%s/..", folder);
    struct stat here, above;
    return stat(folder, &here) == 0 && stat(parent, &above) == 0 && here.st_dev != above.st_dev;
}

void volume_drop(const char *folder)
{
    uint32_t how = EXT4_SHUTDOWN_NO_FLUSH;
    if (!is_mounted(folder))
        return;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)ioctl(fd, EXT4_IOC_SHUTDOWN, &how); /* only saves writing what nobody will read */
        (void)close(fd);                          /* read only */
    }
    if (umount2(folder, MNT_DETACH) < 0)
        log_warn("cannot unmount a volume, leaving it", F_STR("folder", folder),
                 F_STR("why", strerror(errno)));
}

int volume_unmount(const char *folder, struct err *err)
{
    if (is_mounted(folder) && umount2(folder, 0) < 0)
        return FAIL_SYS(err, "cannot unmount '%s'", folder);
    return 0;
}

int volume_room(const char *folder, int64_t *ret_bytes, int64_t *ret_files, struct err *err)
{
    struct statvfs st;
    if (statvfs(folder, &st) < 0)
        return FAIL_SYS(err, "cannot ask for the free space of '%s'", folder);
    *ret_bytes = (int64_t)st.f_bavail * (int64_t)st.f_frsize;
    *ret_files = (int64_t)st.f_favail;
    return 0;
}

/* Leftovers. */

static bool backed_below(int number, const char *folder)
{
    AUTO_FREE char *path = mem_format("/sys/block/loop%d/loop/backing_file", number);
    AUTO_BUF text = BUF_INIT(0);
    struct err err = ERR_INIT;
    return file_read(path, 8192, &text, &err) == 0 && str_starts(buf_str(&text), folder);
}

/* Unmount, in that process's mount namespace, everything that lies on /dev/loopN. */
static void unmount_there(const char *pid, int number)
{
    AUTO_FREE char *path = mem_format("/proc/%s/mountinfo", pid);
    AUTO_FREE char *space = mem_format("/proc/%s/ns/mnt", pid);
    AUTO_FREE char *device = mem_format(" /dev/loop%d ", number);
    AUTO_BUF text = BUF_INIT(0);
    struct err err = ERR_INIT;
    if (file_read(path, 4u << 20, &text, &err) < 0 || text.length == 0 ||
        !strstr(text.data, device)) /* a kernel thread, or it just ended: empty */
        return;
    pid_t child = fork();
    if (child > 0)
        (void)waitpid(child, NULL, 0); /* its success shows in what is mounted */
    if (child != 0)
        return;
    int fd = open(space, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNS) < 0)
        _exit(1);
    for (struct str rest = buf_str(&text); rest.data && rest.length > 0;) {
        struct str line = str_cut(&rest, '\n'), field = {0};
        AUTO_FREE char *whole = str_dup(line);
        if (!strstr(whole, device))
            continue;
        for (int i = 0; i < 5; i++)
            field = str_cut(&line, ' ');
        AUTO_FREE char *target = str_dup(field);
        (void)umount2(target, MNT_DETACH); /* all that can be done here */
    }
    _exit(0);
}

static void release(int number)
{
    DIR *dir = opendir("/proc");
    log_info("releasing a loop device that a build left", F_INT("device", number));
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;)
        if (e->d_name[0] >= '1' && e->d_name[0] <= '9')
            unmount_there(e->d_name, number);
    if (dir)
        (void)closedir(dir); /* read only */
}

void volume_release_all(const char *folder)
{
    DIR *dir = opendir("/sys/block");
    for (struct dirent *e; dir && (e = readdir(dir)) != NULL;) {
        int64_t number;
        struct err err = ERR_INIT;
        if (text_starts(e->d_name, "loop") &&
            str_to_int(str_of(e->d_name + 4), 0, 1 << 20, "loop", &number, &err) == 0 &&
            backed_below((int)number, folder))
            release((int)number);
    }
    if (dir)
        (void)closedir(dir); /* read only */
}
