/* Packing: the same bytes for the same content, links as data, outputs that escape. */
#include "host/build/pack.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
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

static int64_t files_max; /* of the packs below; 0: the usual one */

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
    struct pack_spec spec = {output, exclude, "app", 1000000, files_max};
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

TEST(too_many_files_are_refused)
{
    put("many/1", "1", 0644);
    put("many/2", "2", 0644);
    put("many/3", "3", 0644);
    files_max = 4; /* with the folder */
    IS_STR(refusal("[\"many\"]"), "accepted");
    put("many/4", "4", 0644);
    IS_STR(refusal("[\"many\"]"), "archive_too_large");
    link_to("x", "many/5");
    files_max = 5;
    IS_STR(refusal("[\"many\"]"), "archive_too_large");
    files_max = 0;
    IS_STR(refusal("[\"many\"]"), "accepted");
}

/* A process that outlived its build swaps a folder and a link to one outside, while we pack. */
static void *swap(void *context)
{
    atomic_bool *over = context;
    AUTO_FREE char *a = mem_format("%s/tree/swap", tap_dir());
    AUTO_FREE char *b = mem_format("%s/tree/other", tap_dir());
    AUTO_FREE char *file = mem_format("%s/tree/f", tap_dir());
    AUTO_FREE char *link = mem_format("%s/tree/g", tap_dir());
    while (!atomic_load(over)) {
        (void)renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE);
        (void)renameat2(AT_FDCWD, file, AT_FDCWD, link, RENAME_EXCHANGE);
    }
    return NULL;
}

static bool tar_holds(const char *text)
{
    struct err err = ERR_INIT;
    AUTO_BUF content = BUF_INIT(0);
    AUTO_FREE char *tar = mem_format("%s/t", tap_dir());
    IS_INT(file_read(tar, 1 << 20, &content, &err), 0);
    return memmem(content.data ? content.data : "", content.length, text, strlen(text)) != NULL;
}

TEST(what_is_swapped_while_it_is_packed_stays_inside)
{
    static const char *const outputs[] = {"[\"swap\"]", "[\"f\"]", "[\"swap/in\"]"};
    struct err err = ERR_INIT;
    AUTO_FREE char *outside = mem_format("%s/outside", tap_dir());
    AUTO_FREE char *secret = mem_format("%s/in", outside);
    atomic_bool over = false;
    size_t packed = 0;
    pthread_t thread;
    IS_INT(file_make_dirs(outside, 0755, &err), 0);
    IS_INT(file_write(secret, STR("CANARY of another"), 0644, &err), 0);
    put("swap/in", "inside", 0644);
    link_to(outside, "other");
    put("f", "inside", 0644);
    link_to(secret, "g");
    OK(pthread_create(&thread, NULL, swap, &over) == 0);
    for (size_t i = 0; i < 3000; i++) {
        struct pack_result result;
        char digest[SHA_DIGEST];
        struct err refused = ERR_INIT;
        packed += pack(outputs[i % ARRAY_SIZE(outputs)], "[]", digest, &result, &refused) == 0;
        if (tar_holds("CANARY of another"))
            OK(false);
    }
    atomic_store(&over, true);
    OK(pthread_join(thread, NULL) == 0);
    printf("# %zu of 3000 packs were whole, the others were refused\n", packed);
}

TAP_MAIN()
