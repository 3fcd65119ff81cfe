/* An upper folder that was written inside a user namespace belongs to ids of its range. As a layer
 * for every range it must hold ids from 0: each owner is shifted back. Set-id bits and file
 * capabilities go, as in every layer. Only fds and AT_SYMLINK_NOFOLLOW: the tree was written by
 * package scripts. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "base/mem.h"
#include "host/base_image/base_image_priv.h"

#define RANGE_IDS 65536u
#define DEPTH_MAX 200

struct shift {
    uint32_t range;
    int64_t bytes;
    int depth;
};

static uid_t shifted(uid_t id, uint32_t range)
{
    return id >= range && id - range < RANGE_IDS ? id - range : id;
}

static int shift_owner(const struct shift *s, int dir_fd, const char *name, const struct stat *st,
                       struct err *err)
{
    uid_t uid = shifted(st->st_uid, s->range), gid = shifted(st->st_gid, s->range);
    if (fchownat(dir_fd, name, uid, gid, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) < 0)
        return FAIL_SYS(err, "cannot change the owner of '%s'", name);
    return 0;
}

static int shift_file(struct shift *s, int dir_fd, const char *name, const struct stat *st,
                      struct err *err)
{
    s->bytes += st->st_size;
    if (shift_owner(s, dir_fd, name, st, err) < 0)
        return -1;
    if (!S_ISREG(st->st_mode) || !(st->st_mode & 0111))
        return 0;
    AUTO_CLOSE int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return FAIL_SYS(err, "cannot open '%s'", name);
    if (fremovexattr(fd, "security.capability") < 0 && errno != ENODATA && errno != ENOTSUP)
        return FAIL_SYS(err, "cannot drop the capabilities of '%s'", name);
    if ((st->st_mode & 07000) && fchmod(fd, st->st_mode & 0777) < 0)
        return FAIL_SYS(err, "cannot set the mode of '%s'", name);
    return 0;
}

static int shift_folder(struct shift *s, int fd, struct err *err);

static int shift_entry(struct shift *s, int dir_fd, const char *name, struct err *err)
{
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return FAIL_SYS(err, "cannot stat '%s'", name);
    if (!S_ISDIR(st.st_mode))
        return shift_file(s, dir_fd, name, &st, err);
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return FAIL_SYS(err, "cannot open '%s'", name);
    return shift_folder(s, fd, err); /* takes fd */
}

static int shift_folder(struct shift *s, int fd, struct err *err)
{
    struct stat st;
    int r = 0;
    DIR *dir = fdopendir(fd);
    if (!dir || ++s->depth > DEPTH_MAX)
        return FAIL(err, E_INTERNAL, "folders too deep, or no memory");
    if (fstat(fd, &st) < 0)
        r = FAIL_SYS(err, "cannot stat a folder");
    else if (shift_owner(s, fd, "", &st, err) < 0 ||
             ((st.st_mode & 06000) && fchmod(fd, st.st_mode & 01777) < 0))
        r = err->kind != E_OK ? -1 : FAIL_SYS(err, "cannot set the mode of a folder");
    for (struct dirent *e; r == 0 && (e = readdir(dir)) != NULL;)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            r = shift_entry(s, fd, e->d_name, err);
    (void)closedir(dir); /* read only */
    s->depth--;
    return r;
}

int shift_tree(const char *folder, uint32_t range, int64_t *ret_bytes, struct err *err)
{
    struct shift s = {.range = range};
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return FAIL_SYS(err, "cannot open '%s'", folder);
    if (shift_folder(&s, fd, err) < 0)
        return err_wrap(err, "shifting '%s'", folder);
    *ret_bytes = s.bytes;
    return 0;
}
