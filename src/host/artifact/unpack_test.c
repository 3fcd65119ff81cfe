/* Refused and accepted tars, into a plain folder (what narrowing adds is in the root tests). */
#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include "base/file.h"
#include "base/mem.h"
#include "base/tap.h"
#include "host/artifact/artifact_priv.h"

struct row {
    const char *name;
    mode_t type;
    const char *target; /* symlink or hard link */
    bool hard;
    mode_t mode;
    const char *xattr; /* a name; its value is a capability */
};

/* cap_net_raw+ep, as setcap writes it */
static const unsigned char net_raw[] = {1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0,
                                        0, 0, 0, 0, 0, 0,    0, 0, 0, 0};

static char *tar_make(const struct row *rows, size_t count)
{
    char *path = mem_format("%s/in.tar", tap_dir());
    struct archive *a = archive_write_new();
    OK(archive_write_set_format_pax_restricted(a) == ARCHIVE_OK);
    OK(archive_write_open_filename(a, path) == ARCHIVE_OK);
    for (size_t i = 0; i < count; i++) {
        struct archive_entry *e = archive_entry_new();
        archive_entry_set_pathname(e, rows[i].name);
        archive_entry_set_filetype(e, rows[i].type);
        archive_entry_set_perm(e, rows[i].mode ? rows[i].mode : 0644);
        bool content = rows[i].type == AE_IFREG && !rows[i].hard;
        archive_entry_set_size(e, content ? 5 : 0);
        if (rows[i].hard)
            archive_entry_set_hardlink(e, rows[i].target);
        else if (rows[i].target)
            archive_entry_set_symlink(e, rows[i].target);
        if (rows[i].xattr)
            archive_entry_xattr_add_entry(e, rows[i].xattr, net_raw, sizeof(net_raw));
        OK(archive_write_header(a, e) == ARCHIVE_OK);
        if (content)
            OK(archive_write_data(a, "hello", 5) == 5);
        archive_entry_free(e);
    }
    OK(archive_write_free(a) == ARCHIVE_OK);
    return path;
}

static int unpack_path(const char *tar, enum unpack_kind kind, int64_t entries, int64_t bytes,
                       struct err *err)
{
    AUTO_FREE char *folder = mem_format("%s/out", tap_dir());
    struct unpack u = {.kind = kind, .limits = {entries, bytes}};
    struct err ignored = ERR_INIT;
    err_ignore(file_remove_tree(folder, &ignored));
    OK(mkdir(folder, 0755) == 0);
    AUTO_CLOSE int root = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSE int fd = open(tar, O_RDONLY | O_CLOEXEC);
    u.root_fd = root;
    return unpack_tar(&u, fd, err);
}

static const char *refusal(const struct row *rows, size_t count)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *tar = tar_make(rows, count);
    return unpack_path(tar, UNPACK_APP, 100, 1000, &err) < 0 ? err_name(err.kind) : "accepted";
}
#define REFUSAL(...)                                                                               \
    refusal((const struct row[]){__VA_ARGS__},                                                     \
            sizeof((const struct row[]){__VA_ARGS__}) / sizeof(struct row))

/* The courier may die between two entries. */
TEST(a_tree_that_ends_between_two_entries_is_not_whole)
{
    static const struct row rows[] = {{"a", AE_IFREG}, {"b", AE_IFREG}};
    AUTO_FREE char *tar = tar_make(rows, ARRAY_SIZE(rows));
    struct err err = ERR_INIT;
    IS_INT(unpack_path(tar, UNPACK_TREE, 100, 1000, &err), 0);
    OK(truncate(tar, 1024) == 0); /* one header, its content */
    IS_INT(unpack_path(tar, UNPACK_TREE, 100, 1000, &err), -1);
    IS_STR(err_name(err.kind), "archive_invalid");
    err = (struct err)ERR_INIT;
    OK(truncate(tar, 0) == 0);
    IS_INT(unpack_path(tar, UNPACK_TREE, 100, 1000, &err), -1);
    IS_STR(err_name(err.kind), "archive_invalid");
}

TEST(names_that_leave_are_refused)
{
    IS_STR(REFUSAL({"../../etc/cron.d/x", AE_IFREG}), "archive_path");
    IS_STR(REFUSAL({"/etc/x", AE_IFREG}), "archive_path");
    IS_STR(REFUSAL({"./../x", AE_IFREG}), "archive_path");
    IS_STR(REFUSAL({"a/../../x", AE_IFREG}), "archive_path");
    IS_STR(REFUSAL({"a/..", AE_IFDIR}), "archive_path");
    IS_STR(REFUSAL({"..", AE_IFLNK, "x"}), "archive_path");
}

TEST(links_are_never_followed)
{
    IS_STR(REFUSAL({"out", AE_IFLNK, "/tmp"}, {"out/x", AE_IFREG}), "archive_path");
    IS_STR(REFUSAL({"d", AE_IFDIR, NULL, false, 0755}, {"l", AE_IFLNK, "d"}, {"l/x", AE_IFREG}),
           "archive_path");
    IS_STR(REFUSAL({"l", AE_IFLNK, "/etc/shadow"}, {"l", AE_IFREG}), "archive_invalid");
    IS_STR(REFUSAL({"l", AE_IFLNK, "/etc"}, {"l", AE_IFDIR, NULL, false, 0777}), "archive_path");
    IS_STR(REFUSAL({"l", AE_IFLNK, "/etc/shadow"}), "accepted"); /* data */
}

TEST(hard_links_stay_inside)
{
    IS_STR(REFUSAL({"h", AE_IFREG, "/etc/shadow", true}), "archive_path");
    IS_STR(REFUSAL({"h", AE_IFREG, "../../etc/shadow", true}), "archive_path");
    IS_STR(REFUSAL({"h", AE_IFREG, "absent", true}), "archive_path");
    IS_STR(REFUSAL({"l", AE_IFLNK, "/etc/shadow"}, {"h", AE_IFREG, "l", true}), "archive_path");
    IS_STR(REFUSAL({"l", AE_IFLNK, "/etc"}, {"h", AE_IFREG, "l/shadow", true}), "archive_path");
    IS_STR(REFUSAL({"a", AE_IFREG}, {"d/h", AE_IFREG, "a", true}), "accepted");
}

TEST(other_types_and_doubles_are_refused)
{
    IS_STR(REFUSAL({"dev", AE_IFCHR}), "archive_type");
    IS_STR(REFUSAL({"disk", AE_IFBLK}), "archive_type");
    IS_STR(REFUSAL({"pipe", AE_IFIFO}), "archive_type");
    IS_STR(REFUSAL({"a", AE_IFREG}, {"a", AE_IFREG}), "archive_invalid");
    IS_STR(REFUSAL({"a", AE_IFREG}, {"a/b", AE_IFREG}), "archive_path");
}

TEST(limits_hold)
{
    struct err err = ERR_INIT;
    const struct row rows[] = {{"a", AE_IFREG}, {"b", AE_IFREG}, {"c", AE_IFREG}};
    AUTO_FREE char *tar = tar_make(rows, 3);
    OK(unpack_path(tar, UNPACK_APP, 2, 1000, &err) < 0);
    IS_STR(err_name(err.kind), "archive_too_large");
    OK(unpack_path(tar, UNPACK_APP, 10, 12, &err) < 0);
    IS_STR(err_name(err.kind), "archive_too_large");
    IS_INT(unpack_path(tar, UNPACK_APP, 3, 15, &err), 0);
}

TEST(set_id_bits_are_dropped_and_parents_made)
{
    struct stat st;
    AUTO_FREE char *file = mem_format("%s/out/deep/er/su", tap_dir());
    AUTO_FREE char *folder = mem_format("%s/out/d", tap_dir());
    IS_STR(REFUSAL({"deep/er/su", AE_IFREG, NULL, false, 06755},
                   {"d", AE_IFDIR, NULL, false, 02575}, {"d/f", AE_IFREG}),
           "accepted");
    OK(stat(file, &st) == 0 && (st.st_mode & 07777) == 0755);
    OK(stat(folder, &st) == 0 && (st.st_mode & 07777) == 0775);
}

static bool has_xattrs(const char *path)
{
    char names[1000];
    return llistxattr(path, names, sizeof(names)) > 0;
}

/* "SCHILY.xattr.security.capability" is set-uid by another name. */
TEST(capabilities_and_other_attributes_are_dropped)
{
    AUTO_FREE char *tar = NULL;
    struct err err = ERR_INIT;
    AUTO_BUF text = BUF_INIT(0);
    AUTO_FREE char *first = mem_format("%s/out/ping", tap_dir());
    AUTO_FREE char *second = mem_format("%s/out/d/f", tap_dir());
    AUTO_FREE char *folder = mem_format("%s/out/d", tap_dir());
    const struct row rows[] = {
        {"ping", AE_IFREG, NULL, false, 0755, "security.capability"},
        {"d", AE_IFDIR, NULL, false, 0755, "trusted.overlay.opaque"},
        {"d/f", AE_IFREG, NULL, false, 0644, "user.x"},
    };
    tar = tar_make(rows, 3);
    IS_INT(file_read(tar, 1 << 20, &text, &err), 0);
    OK(memmem(text.data, text.length, "SCHILY.xattr.security.capability", 32) != NULL);
    IS_INT(unpack_path(tar, UNPACK_APP, 100, 1000, &err), 0);
    OK(!has_xattrs(first));
    OK(!has_xattrs(second));
    OK(!has_xattrs(folder));
}

TEST(what_is_no_tar_is_refused)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *path = mem_format("%s/x", tap_dir());
    char block[1024] = {0x1f, (char)0x8b, 8};
    IS_INT(file_write(path, (struct str){block, sizeof(block)}, 0600, &err), 0);
    OK(unpack_path(path, UNPACK_APP, 10, 1000, &err) < 0);
    IS_STR(err_name(err.kind), "archive_invalid");
    const struct row rows[] = {{"a", AE_IFREG}, {"b", AE_IFREG}};
    AUTO_FREE char *tar = tar_make(rows, 2);
    OK(truncate(tar, 1300) == 0); /* in the second header */
    OK(unpack_path(tar, UNPACK_APP, 10, 1000, &err) < 0);
    IS_STR(err_name(err.kind), "archive_invalid");
}

TAP_MAIN()
