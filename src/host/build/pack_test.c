/* Packing: the same bytes for the same content, links as data, outputs that escape. */
#include "host/build/pack.h"
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/sha.h"
#include "base/tap.h"

static void put(const char *path, const char *content, mode_t mode)
{
    struct err err = ERR_INIT;
    AUTO_FREE char *whole = mem_format("%s/tree/%s", tap_dir(), path);
    AUTO_FREE char *folder = mem_strdup(whole);
    *strrchr(folder, '/') = '\0';
    IS_INT(file_make_dirs(folder, 0755, &err), 0);
    IS_INT(file_write(whole, str_of(content), mode, &err), 0);
}

static void link_to(const char *target, const char *path)
{
    AUTO_FREE char *whole = mem_format("%s/tree/%s", tap_dir(), path);
    OK(symlink(target, whole) == 0);
}

static int pack(const char *outputs, const char *excludes, char digest[SHA_DIGEST],
                struct pack_result *result, struct err *err)
{
    AUTO_JSON *output = NULL, *exclude = NULL;
    AUTO_FREE char *tree = mem_format("%s/tree", tap_dir()), *tar = mem_format("%s/t", tap_dir());
    int64_t bytes;
    IS_INT(json_parse(str_of(outputs), &output, err), 0);
    IS_INT(json_parse(str_of(excludes), &exclude, err), 0);
    AUTO_CLOSE int tree_fd = open(tree, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    AUTO_CLOSE int fd = open(tar, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct pack_spec spec = {output, exclude, "app", 1000000};
    if (pack_tree(tree_fd, &spec, fd, result, err) < 0)
        return -1;
    OK(lseek(fd, 0, SEEK_SET) == 0);
    return sha_digest_fd(fd, digest, &bytes, err);
}

static const char *refusal(const char *outputs)
{
    struct err err = ERR_INIT;
    struct pack_result result;
    char digest[SHA_DIGEST];
    return pack(outputs, "[]", digest, &result, &err) < 0 ? err_name(err.kind) : "accepted";
}

TEST(same_content_same_bytes)
{
    struct err err = ERR_INIT;
    struct pack_result result;
    char first[SHA_DIGEST], second[SHA_DIGEST];
    put("dist/a.js", "a", 0600);
    put("dist/\xe4\xb8\xad.js", "utf-8", 0644);
    put("dist/\xd6\xd0.js", "gbk", 0644);
    put("bin/run", "#!", 0711);
    link_to("/etc/shadow", "dist/link");
    IS_INT(pack("[\".\"]", "[]", first, &result, &err), 0);
    IS_INT(result.files, 8); /* with three folders */
    AUTO_FREE char *touched = mem_format("%s/tree/dist/a.js", tap_dir());
    OK(unlink(touched) == 0);
    put("dist/a.js", "a", 0664);
    IS_INT(pack("[\".\"]", "[]", second, &result, &err), 0);
    IS_STR(first, second);
}

TEST(outputs_overlap_and_exclude)
{
    struct err err = ERR_INIT;
    struct pack_result result;
    char digest[SHA_DIGEST];
    put("a/x/1", "1", 0644);
    put("a/y/2", "2", 0644);
    put("a-b", "3", 0644);
    IS_INT(pack("[\"a\",\"a/x\",\"./a-b\",\"a//x/1\"]", "[]", digest, &result, &err), 0);
    IS_INT(result.files, 6); /* a a/x a/x/1 a/y a/y/2 a-b */
    IS_INT(pack("[\"a\"]", "[\"a/y\"]", digest, &result, &err), 0);
    IS_INT(result.files, 3);
    IS_INT(pack("[\"a/x\"]", "[\"a/*/1\"]", digest, &result, &err), 0);
    IS_INT(result.files, 1);
}

TEST(outputs_that_escape_are_refused)
{
    put("d/f", "x", 0644);
    link_to("/etc/shadow", "out");
    link_to("/etc", "etc");
    link_to("d", "inside");
    IS_STR(refusal("[\"out\"]"), "path_escapes");
    IS_STR(refusal("[\"etc/shadow\"]"), "path_escapes");
    IS_STR(refusal("[\"inside\"]"), "path_escapes");
    IS_STR(refusal("[\"../x\"]"), "path_escapes");
    IS_STR(refusal("[\"/etc\"]"), "path_escapes");
    IS_STR(refusal("[\"d/..\"]"), "path_escapes");
    IS_STR(refusal("[\"absent\"]"), "not_found");
    IS_STR(refusal("[\"absent/deep\"]"), "not_found");
    IS_STR(refusal("[\"d\"]"), "accepted");
}

TEST(special_files_are_left_out)
{
    struct err err = ERR_INIT;
    struct pack_result result;
    char digest[SHA_DIGEST];
    put("f", "x", 0644);
    AUTO_FREE char *fifo = mem_format("%s/tree/fifo", tap_dir());
    OK(mkfifo(fifo, 0600) == 0);
    IS_INT(pack("[\".\"]", "[]", digest, &result, &err), 0);
    IS_INT(result.files, 2);
}

TAP_MAIN()
