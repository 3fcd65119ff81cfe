/* Whole files, hostile paths, and removing trees that do not want to go. */
#include "base/file.h"
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include "base/mem.h"
#include "base/tap.h"

/* "<test folder>/<name>", heap. */
static char *in_dir(const char *name)
{
    return mem_format("%s/%s", tap_dir(), name);
}

static void write_text(const char *name, const char *text)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *path = in_dir(name);
    if (file_write(path, str_of(text), 0644, &err) < 0)
        IS_STR(err.text, NULL);
}

TEST(writes_and_reads)
{
    struct err err = ERR_INIT;
    struct stat st = {0};
    AUTO_FREE char *path = in_dir("a");
    AUTO_BUF content = BUF_INIT(0);
    OK(!file_exists(path));
    IS_INT(file_write(path, STR("one"), 0640, &err), 0);
    IS_INT(file_write(path, STR("two\0x"), 0604, &err), 0);
    OK(file_exists(path));
    IS_INT(file_read(path, 5, &content, &err), 0);
    OK(str_equal(buf_str(&content), STR("two\0x")));
    IS_INT(stat(path, &st), 0);
    IS_INT(st.st_mode & 07777, 0604);
}

TEST(leaves_nothing_beside)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *folder = in_dir("d");
    AUTO_FREE char *inside = in_dir("d/x");
    IS_INT(file_make_dirs(inside, 0755, &err), 0);
    IS_INT(file_write(inside, STR("a"), 0644, &err), -1); /* a folder stands there */
    IS_INT(err.kind, E_SYSTEM);
    IS_INT(rmdir(inside), 0);
    IS_INT(rmdir(folder), 0); /* so no temporary file was left */
}

TEST(refuses_absent_and_large)
{
    struct err err = ERR_INIT;
    AUTO_BUF content = BUF_INIT(0);
    AUTO_FREE char *path = in_dir("big");
    AUTO_FREE char *absent = in_dir("absent/x");
    IS_INT(file_read(absent, 10, &content, &err), -1);
    IS_INT(err.kind, E_NOT_FOUND);
    write_text("big", "0123456789a");
    IS_INT(file_read(path, 10, &content, &err), -1);
    IS_INT(err.kind, E_TOO_LARGE);
    OK(content.data == NULL);
    IS_INT(file_read(path, 0, &content, &err), -1);
    IS_INT(file_read(path, 11, &content, &err), 0);
    IS_INT(content.length, 11);
}

TEST(makes_folders)
{
    struct err err = ERR_INIT;
    struct stat st = {0};
    mode_t mask = umask(077);
    AUTO_FREE char *deep = in_dir("x//y/z/");
    IS_INT(file_make_dirs(deep, 0751, &err), 0);
    IS_INT(stat(deep, &st), 0);
    IS_INT(st.st_mode & 07777, 0751);
    IS_INT(file_make_dirs(deep, 0700, &err), 0);
    IS_INT(stat(deep, &st), 0);
    IS_INT(st.st_mode & 07777, 0751);
    (void)umask(mask);
    write_text("file", "");
    AUTO_FREE char *under = in_dir("file/x");
    IS_INT(file_make_dirs(under, 0755, &err), -1);
    AUTO_FREE char *over = in_dir("file");
    IS_INT(file_make_dirs(over, 0755, &err), -1);
    OK(str_ends(str_of(err.text), "not a directory"));
}

static enum err_kind open_kind(int dir_fd, const char *path)
{
    struct err err = ERR_INIT;
    AUTO_CLOSE int fd = -1;
    err_ignore(file_open_beneath(dir_fd, path, O_RDONLY, 0, &fd, &err)); /* kind says */
    return err.kind;
}

TEST(opens_only_beneath)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *folder = in_dir("root");
    AUTO_FREE char *link = in_dir("root/link");
    AUTO_FREE char *dir_link = in_dir("root/dirlink");
    IS_INT(file_make_dirs(folder, 0755, &err), 0);
    write_text("outside", "x");
    write_text("root/inside", "x");
    IS_INT(symlink("inside", link), 0);
    IS_INT(symlink("..", dir_link), 0);
    AUTO_CLOSE int dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    IS_INT(open_kind(dir_fd, "inside"), E_OK);
    IS_INT(open_kind(dir_fd, "./../root/inside"), E_PATH_ESCAPES);
    IS_INT(open_kind(dir_fd, "../outside"), E_PATH_ESCAPES);
    IS_INT(open_kind(dir_fd, "/etc/passwd"), E_PATH_ESCAPES);
    IS_INT(open_kind(dir_fd, "link"), E_PATH_ESCAPES);
    IS_INT(open_kind(dir_fd, "dirlink/outside"), E_PATH_ESCAPES);
    IS_INT(open_kind(dir_fd, "absent"), E_NOT_FOUND);
    IS_INT(open_kind(dir_fd, "inside/x"), E_NOT_FOUND);
    IS_INT(open_kind(dir_fd, ""), E_NOT_FOUND);
}

TEST(creates_beneath)
{
    struct err err = ERR_INIT;
    struct stat st = {0};
    AUTO_CLOSE int dir_fd = open(tap_dir(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSE int fd = -1;
    IS_INT(file_open_beneath(dir_fd, "new", O_WRONLY | O_CREAT | O_EXCL, S_IFREG | 0600, &fd, &err),
           0);
    IS_INT(fstat(fd, &st), 0);
    IS_INT(st.st_mode & 0777, 0600);
    OK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
}

TEST(removes_trees_but_not_what_links_point_to)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *tree = in_dir("tree/");
    AUTO_FREE char *sub = in_dir("tree/a/b");
    AUTO_FREE char *link = in_dir("tree/a/link");
    AUTO_FREE char *kept = in_dir("kept/file");
    AUTO_FREE char *kept_dir = in_dir("kept");
    IS_INT(file_make_dirs(sub, 0755, &err), 0);
    IS_INT(file_make_dirs(kept_dir, 0755, &err), 0);
    write_text("tree/a/b/file", "x");
    write_text("kept/file", "x");
    IS_INT(symlink(kept_dir, link), 0);
    IS_INT(chmod(sub, 0), 0);
    IS_INT(file_remove_tree(tree, &err), 0);
    OK(!file_exists(tree) && file_exists(kept));
    IS_INT(file_remove_tree(tree, &err), 0); /* absent is fine */
    AUTO_FREE char *top_link = in_dir("toplink");
    IS_INT(symlink(kept_dir, top_link), 0);
    IS_INT(file_remove_tree(top_link, &err), 0);
    OK(!file_exists(top_link) && file_exists(kept));
}

static void make_deep(const char *tree, int depth)
{
    struct err err = ERR_INIT;
    IS_INT(file_make_dirs(tree, 0755, &err), 0);
    int fd = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < depth && fd >= 0; i++) {
        OK(mkdirat(fd, "d", 0700) == 0);
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        (void)close(fd);
        fd = next;
    }
    OK(fd >= 0);
    (void)close(fd);
}

TEST(removes_very_deep_trees)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *tree = in_dir("deep");
    make_deep(tree, 3000);
    IS_INT(file_remove_tree(tree, &err), 0);
    OK(!file_exists(tree));
}

/* Calls that it takes with so much a call. */
static int removed_in(const char *tree, size_t budget)
{
    struct err err = ERR_INIT;
    for (int calls = 1; calls < 10000; calls++) {
        size_t left = budget;
        OK(file_exists(tree));
        IS_INT(file_remove_some(tree, &left, &err), 0);
        if (left > 0)
            return calls;
    }
    return -1;
}

TEST(removes_some_at_a_time)
{
    struct err err = ERR_INIT;
    size_t left = 10;
    AUTO_FREE char *tree = in_dir("large");
    for (int i = 0; i < 20; i++) {
        AUTO_FREE char *below = mem_format("large/%d/a/b", i);
        AUTO_FREE char *folder = in_dir(below);
        AUTO_FREE char *file = mem_format("%s/file", below);
        IS_INT(file_make_dirs(folder, 0755, &err), 0);
        write_text(file, "x");
    }
    IS_INT(removed_in(tree, 10), 80 / 10 + 1); /* 20 times three folders and a file; the top */
    OK(!file_exists(tree));
    IS_INT(file_remove_some(tree, &left, &err), 0);
    OK(left > 0);
}

TEST(removes_deep_trees_in_small_parts)
{
    AUTO_FREE char *tree = in_dir("deep-parts");
    make_deep(tree, 1000);
    OK(removed_in(tree, 3) > 1000 / 3);
    OK(!file_exists(tree));
}

TEST(does_not_cross_mounts)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *tree = in_dir("tree");
    AUTO_FREE char *mounted = in_dir("tree/m");
    AUTO_FREE char *source = in_dir("source");
    IS_INT(file_make_dirs(mounted, 0755, &err), 0);
    IS_INT(file_make_dirs(source, 0755, &err), 0);
    write_text("source/precious", "x");
    if (mount(source, mounted, NULL, MS_BIND, NULL) < 0)
        return; /* not root: nothing to try */
    IS_INT(file_remove_tree(tree, &err), -1);
    IS_INT(file_remove_tree(mounted, &err), -1);
    IS_INT(umount(mounted), 0);
    AUTO_FREE char *precious = in_dir("source/precious");
    OK(file_exists(precious));
}

TEST(refuses_to_remove_dots)
{
    struct err err = ERR_INIT;
    IS_INT(file_remove_tree("/", &err), -1);
    IS_INT(file_remove_tree("", &err), -1);
    IS_INT(file_remove_tree("..", &err), -1);
    IS_INT(file_remove_tree("a/..", &err), -1);
}

TAP_MAIN()
