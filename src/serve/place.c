/* See place.h. One table says which folders there are, whose they are and who may look in. */
#include "serve/place.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"

#define KEY_BYTES 32
#define LIVE_OPTIONS "mode=0711,size=256m,nr_inodes=200k"

struct folder {
    bool run; /* below run_dir, else data_dir */
    const char *name;
    mode_t mode;
    const char *user;  /* NULL: root */
    const char *group; /* user whose group may look in; NULL: that of `user` */
};

static int folder_make(const struct settings *s, const struct folder *folder, struct err *err)
{
    AUTO_FREE char *path =
        folder->run ? settings_run(s, folder->name) : settings_data(s, folder->name);
    struct stat now;
    uid_t uid = 0, nobody;
    gid_t gid = 0;
    if ((folder->user && settings_uid(folder->user, &uid, &gid, err) < 0) ||
        (folder->group && settings_uid(folder->group, &nobody, &gid, err) < 0))
        return err_wrap(err, "tools/deps users makes it");
    if (mkdir(path, folder->mode) < 0 && errno != EEXIST)
        return FAIL_SYS(err, "cannot make '%s'", path);
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &now) < 0)
        return FAIL_SYS(err, "cannot open the folder '%s'", path);
    if ((now.st_uid != uid || now.st_gid != gid) && fchown(fd, uid, gid) < 0)
        return FAIL_SYS(err, "cannot give '%s' its owner", path);
    if ((now.st_mode & 07777) != folder->mode && fchmod(fd, folder->mode) < 0)
        return FAIL_SYS(err, "cannot set the mode of '%s'", path);
    return 0;
}

bool place_is_mounted(const char *path)
{
    struct stat here, above;
    AUTO_FREE char *parent = mem_format("%s/..", path);
    return stat(path, &here) == 0 && stat(parent, &above) == 0 && here.st_dev != above.st_dev;
}

/* Secrets of instances and builds: never on a disk, nor in swap where the kernel can promise it. */
static int live_mount(const struct settings *s, struct err *err)
{
    AUTO_FREE char *path = settings_run(s, "live");
    unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    if (place_is_mounted(path))
        return 0;
    if (mount("tmpfs", path, "tmpfs", flags, LIVE_OPTIONS ",noswap") == 0)
        return 0;
    if (mount("tmpfs", path, "tmpfs", flags, LIVE_OPTIONS) < 0)
        return FAIL_SYS(err, "cannot mount '%s'", path);
    return 0;
}

int place_make(const struct settings *s, struct err *err)
{
    const struct folder folders[] = {
        {false, "core", 0700, s->user_core, NULL},
        {false, "git", 0700, s->user_courier, NULL},
        {false, "host", 0700, NULL, NULL},
        {false, "signals", 0700, s->user_signals, NULL},
        {false, "log", 0750, NULL, NULL},
        {true, "edge", 0750, NULL, s->user_edge},
        {false, "panic", 0711, NULL, NULL},
        {false, "panic/core", 0700, s->user_core, NULL},
        {false, "panic/serve", 0700, NULL, NULL},
        {false, "panic/host", 0700, NULL, NULL},
        {false, "panic/courier", 0700, s->user_courier, NULL},
        {false, "panic/signals", 0700, s->user_signals, NULL},
        {true, "live", 0711, NULL, NULL},
    };
    if (file_make_dirs(s->data_dir, 0755, err) < 0 || file_make_dirs(s->run_dir, 0755, err) < 0)
        return -1;
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++)
        if (folder_make(s, &folders[i], err) < 0)
            return -1;
    return live_mount(s, err);
}

int place_key(const struct settings *s, struct err *err)
{
    AUTO_FREE char *path = settings_data(s, "master.key");
    unsigned char key[KEY_BYTES];
    AUTO_FREE char *store = settings_data(s, "core/store.db");
    if (file_exists(path))
        return 0;
    if (file_exists(store)) /* a new key would make its secrets unreadable for ever */
        return FAIL(err, E_KEY_WRONG,
                    "the master key '%s' is missing, and '%s' holds secrets that it sealed: put "
                    "the key back from your backup",
                    path, store);
    clock_random(clock_system(), key, sizeof(key));
    int result = file_write(path, (struct str){(char *)key, sizeof(key)}, 0600, err);
    explicit_bzero(key, sizeof(key));
    return result;
}

int place_key_open(const struct settings *s, int *ret_fd, struct err *err)
{
    AUTO_FREE char *path = settings_data(s, "master.key");
    struct stat now;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &now) < 0)
        return FAIL_SYS(err, "cannot open the master key '%s'", path);
    if (!S_ISREG(now.st_mode) || now.st_size != KEY_BYTES || now.st_uid != 0 ||
        (now.st_mode & 077) != 0)
        return FAIL(err, E_CORRUPT,
                    "'%s' must be a file of %d bytes that only root can read; put it back from "
                    "your backup: without it no secret can be opened",
                    path, KEY_BYTES);
    *ret_fd = TAKE_FD(fd);
    return 0;
}
