/* Base "host": the machine's own /usr, read-only, on a skeleton of ours. Quick, not portable. The
 * skeleton holds mount points and a minimal /etc, so that nothing of the machine's /etc (shadow,
 * keys, machine-id) can be seen: only /etc/ssl/certs, /etc/alternatives and the loader's cache. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "host/artifact/artifact_priv.h"

#define SKELETON "unpacked/host"

static const char *const folders[] = {
    "usr",     "etc",     "etc/ssl",   "etc/ssl/certs", "etc/alternatives",
    "proc",    "sys",     "dev",       "tmp",           "run",
    "app",     "root",    "home",      "var",           "var/tmp",
    "var/lib", "var/log", "var/cache", "srv",           "mnt",
    "opt"};
static const struct {
    const char *name, *target;
} links[] = {{"bin", "usr/bin"},     {"sbin", "usr/sbin"},
             {"lib", "usr/lib"},     {"lib64", "usr/lib64"},
             {"lib32", "usr/lib32"}, {"libx32", "usr/libx32"},
             {"var/run", "../run"},  {"etc/mtab", "/proc/self/mounts"}};
static const struct {
    const char *name, *content;
} files[] = {{"etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/app:/bin/sh\n"
                            "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"},
             {"etc/group", "root:x:0:\napp:x:1000:\nnogroup:x:65534:\n"},
             {"etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"},
             {"etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"},
             {"etc/hostname", ""},
             {"etc/resolv.conf", ""},
             {"etc/ld.so.cache", ""}};
/* Shown to the container as they are on the machine. */
static const char *const shared[] = {"/usr", "/etc/ssl/certs", "/etc/alternatives",
                                     "/etc/ld.so.cache"};

static int make_folders(const char *root, struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(folders); i++) {
        AUTO_FREE char *path = mem_format("%s/%s", root, folders[i]);
        if (file_make_dirs(path, 0755, err) < 0)
            return -1;
    }
    AUTO_FREE char *tmp = mem_format("%s/tmp", root);
    return chmod(tmp, 01777) < 0 ? FAIL_SYS(err, "cannot set the mode of '%s'", tmp) : 0;
}

static int make_links(const char *root, struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(links); i++) {
        AUTO_FREE char *path = mem_format("%s/%s", root, links[i].name);
        if (symlink(links[i].target, path) < 0 && errno != EEXIST)
            return FAIL_SYS(err, "cannot link '%s'", path);
    }
    return 0;
}

static int make_files(const char *root, struct err *err)
{
    for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
        AUTO_FREE char *path = mem_format("%s/%s", root, files[i].name);
        if (!file_exists(path) && file_write(path, str_of(files[i].content), 0644, err) < 0)
            return -1;
    }
    return 0;
}

int host_base_init(struct err *err)
{
    AUTO_FREE char *root = artifact_store_path(SKELETON);
    if (make_folders(root, err) < 0 || make_links(root, err) < 0 || make_files(root, err) < 0)
        return err_wrap(err, "skeleton of base 'host'");
    return 0;
}

void host_base_root(struct artifact_root *root)
{
    AUTO_FREE char *skeleton = artifact_store_path(SKELETON);
    size_t at = 0;
    while (root->lower[at])
        at++;
    root->lower[at] = arena_dup(&root->memory, str_of(skeleton));
    for (size_t i = 0; i < ARRAY_SIZE(shared); i++)
        if (file_exists(shared[i]))
            root->binds[root->bind_count++] =
                (struct sandbox_bind){.source = shared[i], .target = shared[i]};
}
