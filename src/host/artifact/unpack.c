/* The child that unpacks: `slipway host-unpack FOLDER KIND ENTRIES BYTES OWNER`, a tar on stdin.
 *
 * It narrows itself so that FOLDER is all there is, then reads. Only plain uncompressed tar is
 * understood, so there is no decompressor to fool. What is refused: absolute names, "..", going
 * through a symlink, devices, fifos, sockets, hard links to what the archive did not bring, a name
 * twice. What is dropped in silence: set-id bits, extended attributes, the owner (but for bases).
 * A symlink's target is data: nothing here ever follows one. All or nothing is the parent's part:
 * it renames FOLDER into place only after a good answer. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <locale.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/check.h"
#include "base/mem.h"
#include "base/str.h"
#include "host/artifact/artifact_priv.h"
#include "host/narrow/narrow.h"

#define READ_BLOCK (256u << 10)
#define TRAILING_MAX (1 << 20)
#define MEMORY_MAX (512ll << 20)
#define ID_MAX 65535

static int parent_open(struct unpack *u, const char *folder, struct err *err)
{
    struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC,
                           .resolve =
                               RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    long fd = syscall(SYS_openat2, u->root_fd, folder, &how, sizeof(how));
    if (fd < 0 && errno == ENOENT)
        return UNPACK_ABSENT;
    if (fd < 0 && (errno == ELOOP || errno == ENOTDIR || errno == EXDEV || errno == ENAMETOOLONG))
        return FAIL(err, E_ARCHIVE_PATH,
                    "archive entry below '%s' goes through something else "
                    "than a folder",
                    folder);
    if (fd < 0)
        return FAIL_SYS(err, "cannot open '%s'", folder);
    if (u->parent_fd >= 0)
        (void)close(u->parent_fd); /* O_PATH: nothing to lose */
    u->parent_fd = (int)fd;
    free(u->parent);
    u->parent = mem_strdup(folder);
    return 0;
}

/* Make the parents that the archive left out. */
static int parent_make(struct unpack *u, const char *folder, struct err *err)
{
    AUTO_FREE char *path = mem_strdup(folder);
    for (char *slash = path;; slash++) {
        slash = strchrnul(slash, '/');
        char kept = *slash;
        *slash = '\0';
        int r = parent_open(u, path, err);
        if (r == UNPACK_ABSENT) {
            const char *name = strrchr(path, '/');
            name = name ? name + 1 : path;
            if (mkdirat(u->parent_fd, name, 0755) < 0)
                return FAIL_SYS(err, "cannot make folder '%s'", path);
            r = parent_open(u, path, err);
        }
        if (r != 0)
            return r < 0 ? -1 : FAIL(err, E_INTERNAL, "folder '%s' vanished", path);
        if (kept == '\0')
            return 0;
        *slash = kept;
    }
}

static int parent_enter(struct unpack *u, const char *folder, struct err *err)
{
    if (u->parent && strcmp(u->parent, folder) == 0)
        return 0;
    int r = parent_open(u, folder, err);
    if (r != UNPACK_ABSENT)
        return r;
    if (parent_open(u, ".", err) != 0)
        return -1;
    return parent_make(u, folder, err);
}

int unpack_clean_path(const char *raw, char **ret_path, struct err *err)
{
    AUTO_FREE char *path = mem_alloc(strlen(raw) + 2);
    size_t length = 0;
    if (raw[0] == '/')
        return FAIL(err, E_ARCHIVE_PATH, "archive entry '%s' has an absolute name", raw);
    for (const char *at = raw; *at != '\0';) {
        size_t part = strcspn(at, "/");
        if (part == 2 && at[0] == '.' && at[1] == '.')
            return FAIL(err, E_ARCHIVE_PATH, "archive entry '%s' leaves the folder", raw);
        if (part > 0 && !(part == 1 && at[0] == '.')) {
            if (length > 0)
                path[length++] = '/';
            memcpy(path + length, at, part);
            length += part;
        }
        at += part;
        at += *at == '/';
    }
    *ret_path = TAKE(path);
    return 0;
}

/* Split a clean path: the folder ("." for none) and the last name. */
static char *split(char *path, const char **ret_folder)
{
    char *slash = strrchr(path, '/');
    *ret_folder = slash ? path : ".";
    if (!slash)
        return path;
    *slash = '\0';
    return slash + 1;
}

static int set_times(int fd, struct archive_entry *entry)
{
    struct timespec times[2] = {{0, UTIME_OMIT}, {archive_entry_mtime(entry), 0}};
    return archive_entry_mtime_is_set(entry) ? futimens(fd, times) : 0;
}

static int set_owner(struct unpack *u, const char *name, struct archive_entry *entry,
                     struct err *err)
{
    int64_t uid = archive_entry_uid(entry), gid = archive_entry_gid(entry);
    if (u->kind != UNPACK_BASE)
        return 0;
    if (uid < 0 || uid > ID_MAX || gid < 0 || gid > ID_MAX)
        return FAIL(err, E_ARCHIVE_INVALID, "archive entry '%s' belongs to user %lld", name,
                    (long long)uid);
    if (uid == 0 && gid == 0)
        return 0;
    if (fchownat(u->parent_fd, name, (uid_t)uid, (gid_t)gid, AT_SYMLINK_NOFOLLOW) < 0)
        return FAIL_SYS(err, "cannot give '%s' to its owner", name);
    return 0;
}

static int put_folder(struct unpack *u, const char *name, struct archive_entry *entry,
                      struct err *err)
{
    mode_t mode = archive_entry_perm(entry) & 01777;
    struct stat st;
    if (u->kind != UNPACK_BASE)
        mode = (mode & 0777) | 0700; /* the owner must be able to fill it */
    if (mkdirat(u->parent_fd, name, 0700) < 0 && errno != EEXIST)
        return FAIL_SYS(err, "cannot make folder '%s'", name);
    if (fstatat(u->parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
        return FAIL(err, E_ARCHIVE_PATH, "archive entry '%s' is a folder and something else", name);
    if (fchmodat(u->parent_fd, name, mode, 0) < 0)
        return FAIL_SYS(err, "cannot set the mode of '%s'", name);
    return set_owner(u, name, entry, err);
}

static int add_bytes(struct unpack *u, int64_t count, struct err *err)
{
    if (count < 0 || count > u->limits.bytes - u->bytes)
        return FAIL(err, E_ARCHIVE_TOO_LARGE, "archive holds more than %lld bytes",
                    (long long)u->limits.bytes);
    u->bytes += count;
    return 0;
}

static int write_all(int fd, const char *data, size_t length, int64_t offset)
{
    while (length > 0) {
        ssize_t n = pwrite(fd, data, length, offset);
        if (n < 0)
            return -1;
        data += n;
        length -= (size_t)n;
        offset += n;
    }
    return 0;
}

static int copy_content(struct unpack *u, int fd, const char *name, struct err *err)
{
    const void *data;
    size_t length;
    int64_t offset, end = 0;
    int r;
    while ((r = archive_read_data_block(u->archive, &data, &length, &offset)) == ARCHIVE_OK) {
        if (offset < end)
            return FAIL(err, E_ARCHIVE_INVALID, "archive entry '%s' overlaps itself", name);
        if (add_bytes(u, offset - end + (int64_t)length, err) < 0)
            return -1;
        if (write_all(fd, data, length, offset) < 0)
            return FAIL_SYS(err, "cannot write '%s'", name);
        end = offset + (int64_t)length;
    }
    if (r != ARCHIVE_EOF)
        return FAIL(err, E_ARCHIVE_INVALID, "archive entry '%s': %s", name,
                    archive_error_string(u->archive));
    return end > 0 && ftruncate(fd, end) < 0 ? FAIL_SYS(err, "cannot size '%s'", name) : 0;
}

static int put_file(struct unpack *u, const char *name, struct archive_entry *entry,
                    struct err *err)
{
    AUTO_CLOSE int fd =
        openat(u->parent_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0 && errno == EEXIST)
        return FAIL(err, E_ARCHIVE_INVALID, "archive names '%s' twice", name);
    if (fd < 0)
        return FAIL_SYS(err, "cannot make '%s'", name);
    if (archive_entry_size(entry) > u->limits.bytes - u->bytes)
        return add_bytes(u, archive_entry_size(entry), err);
    if (copy_content(u, fd, name, err) < 0)
        return -1;
    if (fchmod(fd, archive_entry_perm(entry) & 0777) < 0 || set_times(fd, entry) < 0)
        return FAIL_SYS(err, "cannot finish '%s'", name);
    return set_owner(u, name, entry, err);
}

static int put_symlink(struct unpack *u, const char *name, struct archive_entry *entry,
                       struct err *err)
{
    const char *target = archive_entry_symlink(entry);
    if (!target || target[0] == '\0')
        return FAIL(err, E_ARCHIVE_INVALID, "archive entry '%s' links to nothing", name);
    if (symlinkat(target, u->parent_fd, name) == 0)
        return set_owner(u, name, entry, err);
    if (errno == EEXIST)
        return FAIL(err, E_ARCHIVE_INVALID, "archive names '%s' twice", name);
    return FAIL_SYS(err, "cannot make link '%s'", name);
}

/* The target must be a regular file that this archive brought: the root is FOLDER, so there is
 * nothing else to reach, and parent folders are opened without following links. */
static int put_hardlink(struct unpack *u, const char *name, struct archive_entry *entry,
                        struct err *err)
{
    AUTO_FREE char *target = NULL;
    struct stat st;
    const char *folder, *last;
    if (unpack_clean_path(archive_entry_hardlink(entry), &target, err) < 0)
        return -1;
    AUTO_CLOSE int here = TAKE_FD(u->parent_fd);
    free(TAKE(u->parent)); /* another folder is opened next */
    last = split(target, &folder);
    int r = parent_open(u, folder, err);
    if (r < 0)
        return -1;
    if (r > 0 || fstatat(u->parent_fd, last, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
        return FAIL(err, E_ARCHIVE_PATH,
                    "archive entry '%s' is a hard link to what is no file of "
                    "the archive",
                    name);
    if (linkat(u->parent_fd, last, here, name, 0) < 0)
        return FAIL_SYS(err, "cannot link '%s'", name);
    return 0;
}

static int put_entry(struct unpack *u, struct archive_entry *entry, struct err *err)
{
    AUTO_FREE char *path = NULL;
    const char *raw = archive_entry_pathname(entry), *folder, *name;
    mode_t type = archive_entry_filetype(entry);
    if (!raw)
        return FAIL(err, E_ARCHIVE_PATH, "archive entry %lld has no usable name",
                    (long long)u->entries);
    if (unpack_clean_path(raw, &path, err) < 0)
        return -1;
    if (path[0] == '\0')
        return type == AE_IFDIR ? 0 : FAIL(err, E_ARCHIVE_PATH, "archive entry '%s'", raw);
    if (u->kind == UNPACK_BASE && (type == AE_IFCHR || type == AE_IFBLK))
        return 0; /* the sandbox makes its own /dev */
    name = split(path, &folder);
    if (parent_enter(u, folder, err) < 0)
        return -1;
    if (archive_entry_hardlink(entry))
        return put_hardlink(u, name, entry, err);
    if (type == AE_IFREG)
        return put_file(u, name, entry, err);
    if (type == AE_IFDIR)
        return put_folder(u, name, entry, err);
    if (type == AE_IFLNK)
        return put_symlink(u, name, entry, err);
    return FAIL(err, E_ARCHIVE_TYPE, "archive entry '%s' is no file, folder or link", raw);
}

static int put_all(struct unpack *u, struct err *err)
{
    struct archive_entry *entry;
    int r;
    while ((r = archive_read_next_header(u->archive, &entry)) == ARCHIVE_OK || r == ARCHIVE_WARN) {
        if (++u->entries > u->limits.entries)
            return FAIL(err, E_ARCHIVE_TOO_LARGE, "archive has more than %lld entries",
                        (long long)u->limits.entries);
        if (archive_entry_mtime(entry) > u->newest)
            u->newest = archive_entry_mtime(entry);
        if (put_entry(u, entry, err) < 0)
            return -1;
    }
    if (r != ARCHIVE_EOF)
        return FAIL(err, E_ARCHIVE_INVALID, "not a whole tar archive: %s",
                    archive_error_string(u->archive));
    return 0;
}

/* libarchive takes the end of the stream between two entries for the end of the archive. A tree
 * comes from somebody who may die while he writes it, so there the end has to be said. */
struct tar_source {
    int fd;
    bool ended; /* the stream did, before the archive */
    char block[READ_BLOCK];
};

static la_ssize_t source_read(struct archive *a, void *context, const void **ret_data)
{
    struct tar_source *s = context;
    ssize_t n;
    do
        n = read(s->fd, s->block, sizeof(s->block));
    while (n < 0 && errno == EINTR);
    if (n < 0)
        archive_set_error(a, errno, "cannot read");
    s->ended = n == 0;
    *ret_data = s->block;
    return n;
}

static int check_end(const struct unpack *u, const struct tar_source *s, struct err *err)
{
    if (u->kind == UNPACK_TREE && s->ended)
        return FAIL(err, E_ARCHIVE_INVALID, "not a whole tar archive: it ends without saying so");
    return 0;
}

int unpack_tar(struct unpack *u, int tar_fd, struct err *err)
{
    static struct tar_source source;
    source = (struct tar_source){.fd = tar_fd};
    u->parent_fd = -1;
    u->archive = archive_read_new();
    if (!u->archive || archive_read_support_format_tar(u->archive) != ARCHIVE_OK ||
        archive_read_support_filter_none(u->archive) != ARCHIVE_OK)
        return FAIL(err, E_INTERNAL, "cannot set up the tar reader");
    int r = archive_read_open(u->archive, &source, NULL, source_read, NULL) == ARCHIVE_OK
                ? put_all(u, err)
                : FAIL(err, E_ARCHIVE_INVALID, "not a tar archive: %s",
                       archive_error_string(u->archive));
    if (r == 0)
        r = check_end(u, &source, err);
    (void)archive_read_free(u->archive); /* only memory */
    free(u->parent);
    if (u->parent_fd >= 0)
        (void)close(u->parent_fd); /* O_PATH */
    return r;
}

/* The sender may still be writing padding: let it end in peace. */
static void drain(int fd)
{
    static char block[64 << 10];
    ssize_t n;
    for (size_t total = 0; total < TRAILING_MAX && (n = read(fd, block, sizeof(block))) > 0;)
        total += (size_t)n;
}

static int narrow_for(enum unpack_kind kind, const char *folder, uint32_t owner, struct err *err)
{
    static const cap_value_t base_caps[] = {CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER};
    struct narrow_spec spec = {.root = folder,
                               .uid = kind == UNPACK_TREE ? owner : 0,
                               .calls = NARROW_WRITE_FILES,
                               .memory_bytes = MEMORY_MAX};
    if (kind == UNPACK_BASE) {
        spec.keep = base_caps;
        spec.keep_count = ARRAY_SIZE(base_caps);
    }
    return narrow_self(&spec, err);
}

static int parse(int argc, char **argv, struct unpack *u, int64_t *ret_owner, struct err *err)
{
    static const char *const kinds[] = {"base", "app", "tree"};
    bool known = false;
    if (argc != 7)
        return FAIL(err, E_USAGE, "host-unpack FOLDER base|app|tree ENTRIES BYTES OWNER");
    for (int i = 0; i < (int)ARRAY_SIZE(kinds); i++)
        if (strcmp(argv[3], kinds[i]) == 0) {
            u->kind = (enum unpack_kind)i;
            known = true;
        }
    if (!known)
        return FAIL(err, E_USAGE, "unknown kind '%s'", argv[3]);
    if (str_to_int(str_of(argv[4]), 1, INT64_MAX, "entries", &u->limits.entries, err) < 0 ||
        str_to_int(str_of(argv[5]), 1, INT64_MAX, "bytes", &u->limits.bytes, err) < 0 ||
        str_to_int(str_of(argv[6]), 0, UINT32_MAX - 1, "owner", ret_owner, err) < 0)
        return -1;
    return 0;
}

int unpack_main(int argc, char **argv)
{
    struct err err = ERR_INIT;
    struct unpack u = {0};
    int64_t owner;
    (void)setlocale(LC_CTYPE, "C.UTF-8"); /* names in pax headers are UTF-8 */
    (void)umask(022);
    if (parse(argc, argv, &u, &owner, &err) < 0 ||
        narrow_for(u.kind, argv[2], (uint32_t)owner, &err) < 0)
        narrow_answer_error(&err);
    u.root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (u.root_fd < 0 || unpack_tar(&u, 0, &err) < 0) {
        if (err.kind == E_OK)
            (void)FAIL_SYS(&err, "cannot open the folder");
        narrow_answer_error(&err);
    }
    drain(0);
    json_t *ok = json_object();
    json_put_int(ok, "entries", u.entries);
    json_put_int(ok, "bytes", u.bytes);
    json_put_int(ok, "newest", u.newest);
    narrow_answer(ok);
}
