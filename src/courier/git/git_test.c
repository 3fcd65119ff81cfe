/* The pure parts: command lists, routes, logins, gzip bodies, merge answers, paths, tar. */
#include <stdio.h>
#include <stdlib.h>
#include "base/json.h"
#include "base/mem.h"
#include "base/tap.h"
#include "courier/git/call.h"
#include "courier/git/commands.h"
#include "courier/git/merge.h"
#include "courier/git/request.h"
#include "courier/git/tree.h"

TAP_MAIN()

#define A40 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B40 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define CAPS " report-status side-band-64k agent=git/2.39"

/* --- command lists -------------------------------------------------------------------------- */

static void add_command(struct buf *out, const char *from, const char *to, const char *ref,
                        const char *caps)
{
    AUTO_BUF line = BUF_INIT(0);
    (void)buf_add_format(&line, "%s %s %s", from, to, ref);
    if (caps) {
        (void)buf_add_char(&line, '\0');
        (void)buf_add_text(&line, caps);
    }
    (void)buf_add_char(&line, '\n');
    pkt_add(out, buf_str(&line));
}

/* Feed in pieces of `step`; the kind of the error, or E_OK with a complete list. */
static enum err_kind feed(struct push_commands *pc, struct str text, size_t step, size_t *ret_used)
{
    struct err err = ERR_INIT;
    size_t total = 0;
    int r = 0;
    push_commands_init(pc);
    while (r == 0 && total < text.length) {
        size_t n = text.length - total < step ? text.length - total : step;
        size_t used = 0;
        r = push_commands_feed(pc, (struct str){text.data + total, n}, &used, &err);
        if (r < 0)
            return err.kind;
        total += used;
    }
    *ret_used = total;
    return r == PUSH_COMPLETE ? E_OK : E_UNAVAILABLE;
}

TEST(takes_a_command_list_in_pieces_of_any_size)
{
    for (size_t step = 1; step < 300; step += 7) {
        AUTO_BUF text = BUF_INIT(0);
        struct push_commands pc;
        size_t used = 0;
        pkt_add(&text, STR("shallow " A40 "\n"));
        add_command(&text, GIT_ZERO, A40, "refs/heads/main;touch${IFS}CANARY", CAPS);
        add_command(&text, A40, B40, "refs/heads/\xe5\x8a\x9f\xe8\x83\xbd", NULL);
        (void)buf_add_text(&text, "0000");
        size_t list = text.length;
        (void)buf_add_text(&text, "PACK and so on");
        IS_INT(feed(&pc, buf_str(&text), step, &used), E_OK);
        IS_INT(used, list);
        IS_INT(pc.raw.length, list);
        IS_INT(pc.count, 2);
        OK(pc.report && pc.side_band);
        IS_STR(pc.commands[0].ref, "refs/heads/main;touch${IFS}CANARY");
        IS_STR(pc.commands[1].from, A40);
        push_commands_done(&pc);
    }
}

TEST(refuses_what_is_no_command_list)
{
    static const char *const bad[] = {
        "zzzz",
        "0001",
        "0004",
        "fff1",
        "0032" A40 " " A40,
        "0009PACK\n0000",
        "006b" A40 " " A40 " refs/heads/x\ty/aaaaaaaaaaa\n0000",
        "0030shallow zaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "push-cert",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct push_commands pc;
        size_t used = 0;
        IS_INT(feed(&pc, str_of(bad[i]), 1000, &used), E_REQUEST_INVALID);
        push_commands_done(&pc);
    }
}

TEST(refuses_sha256_and_late_capabilities)
{
    AUTO_BUF sha256 = BUF_INIT(0);
    AUTO_BUF late = BUF_INIT(0);
    struct push_commands pc;
    size_t used = 0;
    add_command(&sha256, GIT_ZERO, A40, "refs/heads/x", " report-status object-format=sha256");
    IS_INT(feed(&pc, buf_str(&sha256), 1000, &used), E_REQUEST_INVALID);
    push_commands_done(&pc);
    add_command(&late, GIT_ZERO, A40, "refs/heads/x", CAPS);
    add_command(&late, GIT_ZERO, A40, "refs/heads/y", CAPS);
    IS_INT(feed(&pc, buf_str(&late), 1000, &used), E_REQUEST_INVALID);
    push_commands_done(&pc);
}

static enum err_kind check(const char *first, const char *second)
{
    AUTO_BUF text = BUF_INIT(0);
    struct push_commands pc;
    struct err err = ERR_INIT;
    size_t used = 0;
    add_command(&text, GIT_ZERO, A40, first, CAPS);
    if (second)
        add_command(&text, GIT_ZERO, A40, second, NULL);
    (void)buf_add_text(&text, "0000");
    IS_INT(feed(&pc, buf_str(&text), 4096, &used), E_OK);
    OK(push_commands_check(&pc, &err) == 0 || err.kind != E_OK);
    push_commands_done(&pc);
    return err.kind;
}

TEST(only_branches_and_tags_with_valid_names_may_be_pushed)
{
    IS_INT(check("refs/heads/feature/a", "refs/tags/v1"), E_OK);
    IS_INT(check("refs/slipway/x", NULL), E_DENIED);
    IS_INT(check("refs/notes/x", NULL), E_REF_INVALID);
    IS_INT(check("refs/heads/--upload-pack=touch", NULL), E_REF_INVALID);
    IS_INT(check("refs/heads/a..b", NULL), E_REF_INVALID);
    IS_INT(check("refs/heads/", NULL), E_REF_INVALID);
    IS_INT(check("HEAD", NULL), E_REF_INVALID);
    IS_INT(check("refs/replace/" A40, NULL), E_REF_INVALID);
    IS_INT(check("refs/heads/a", "refs/heads/a"), E_REF_INVALID);
}

TEST(a_moved_tag_is_a_force_and_a_refusal_names_every_ref)
{
    AUTO_BUF text = BUF_INIT(0);
    AUTO_BUF out = BUF_INIT(0);
    struct push_commands pc;
    size_t used = 0;
    add_command(&text, A40, B40, "refs/tags/v1", CAPS);
    add_command(&text, A40, B40, "refs/heads/x", NULL);
    (void)buf_add_text(&text, "0000");
    IS_INT(feed(&pc, buf_str(&text), 50, &used), E_OK);
    AUTO_JSON *refs = push_commands_json(&pc);
    OK(json_bool(json_array_get(refs, 0), "force", false));
    OK(!json_bool(json_array_get(refs, 1), "force", true));
    push_refusal(&pc, "no", &out);
    IS_STR(out.data, "0011\x02"
                     "slipway: no\n"
                     "0045\x01"
                     "000eunpack ok\n"
                     "0017ng refs/tags/v1 no\n"
                     "0017ng refs/heads/x no\n"
                     "00000000");
    push_commands_done(&pc);
}

/* --- routes, logins, bodies ----------------------------------------------------------------- */

static enum err_kind route(const char *method, const char *path, const char *query)
{
    struct git_route r;
    struct err err = ERR_INIT;
    OK(git_route_parse(str_of(method), str_of(path), str_of(query), &r, &err) == 0 || err.kind);
    return err.kind;
}

TEST(routes_are_matched_exactly)
{
    IS_INT(route("GET", "/git/shop.git/info/refs", "service=git-upload-pack"), E_OK);
    IS_INT(route("GET", "/git/shop/info/refs", "service=git-receive-pack"), E_OK);
    IS_INT(route("POST", "/git/shop.git/git-receive-pack", ""), E_OK);
    IS_INT(route("GET", "/git/shop.git/git-receive-pack", ""), E_METHOD_NOT_ALLOWED);
    static const char *const bad[] = {
        "/git/shop.git/info/refs/",    "/git/shop.git//info/refs",  "/git/../x/info/refs",
        "/git/shop%2egit/info/refs",   "/GIT/shop.git/info/refs",   "/git/.git/info/refs",
        "/git/shop.git.git/info/refs", "/git/shop.git/HEAD",        "/git/shop.git/info/./refs",
        "/git/Shop.git/info/refs",     "/git/shop.git;x/info/refs", "/git/",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        IS_INT(route("GET", bad[i], "service=git-upload-pack"), E_NOT_FOUND);
    IS_INT(route("GET", "/git/shop.git/info/refs", ""), E_NOT_FOUND);
    IS_INT(route("GET", "/git/shop.git/info/refs", "service=git-upload-pack&x=1"), E_NOT_FOUND);
    IS_INT(route("POST", "/git/shop.git/git-upload-pack", "x=1"), E_NOT_FOUND);
}

static enum err_kind login(const char *header, const char *user, const char *secret)
{
    struct git_login l = {0};
    struct err err = ERR_INIT;
    if (git_login_parse(str_of(header), &l, &err) == 0) {
        IS_STR(l.user, user);
        IS_STR(secret_str(&l.secret).data, secret);
    }
    git_login_done(&l);
    return err.kind;
}

TEST(logins_are_read_strictly)
{
    IS_INT(login("Basic ZGV2OnRva2Vu", "dev", "token"), E_OK);
    IS_INT(login("basic ZGV2OnRvOmtlbg==", "dev", "to:ken"), E_OK);
    static const char *const bad[] = {
        "",
        "Basic",
        "Bearer ZGV2OnRva2Vu",
        "Basic ZGV2",
        "Basic OnRva2Vu",
        "Basic !",
        "Basic ZGV2OnRva2V",
        "Basic ZGV2Og==",
        "Basic ZGV2OnRva2V=",
        "Basic =A==",
        "Basic ZGV2On\xff\xff\xff",
        "Basic  ZGV2OnRva2Vu",
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        IS_INT(login(bad[i], "", ""), E_UNAUTHENTICATED);
}

static size_t deflate_text(struct str text, unsigned char *out, size_t size)
{
    z_stream z = {0};
    OK(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    z.next_in = (unsigned char *)text.data;
    z.avail_in = (unsigned)text.length;
    z.next_out = out;
    z.avail_out = (unsigned)size;
    OK(deflate(&z, Z_FINISH) == Z_STREAM_END);
    (void)deflateEnd(&z);
    return size - z.avail_out;
}

TEST(a_gzip_body_is_inflated_in_pieces_and_checked)
{
    unsigned char packed[256];
    size_t length = deflate_text(STR("0032want " A40 "\n00000009done\n"), packed, sizeof(packed));
    AUTO_BUF got = BUF_INIT(1000);
    struct inflater i;
    struct err err = ERR_INIT;
    OK(inflater_init(&i, &err) == 0);
    for (size_t at = 0; at < length; at++) {
        struct str piece = {(char *)packed + at, 1};
        char out[7];
        size_t made = 1;
        while (made > 0 || piece.length > 0) {
            OK(inflater_next(&i, &piece, out, sizeof(out), &made, &err) == 0);
            (void)buf_add(&got, out, made);
        }
    }
    OK(i.ended);
    IS_STR(got.data, "0032want " A40 "\n00000009done\n");
    struct str more = STR("x");
    size_t made;
    char out[8];
    OK(inflater_next(&i, &more, out, sizeof(out), &made, &err) < 0);
    IS_INT(err.kind, E_REQUEST_INVALID);
    inflater_done(&i);
}

/* --- merge answers -------------------------------------------------------------------------- */

static int feed_answer(struct merge_answer *a, struct str text, struct err *err)
{
    int r = 0;
    merge_answer_init(a);
    while (r == 0 && text.length > 0)
        r = merge_answer_feed(a, str_cut(&text, '\0'), err);
    return r == MERGE_COMPLETE && text.length > 0 ? -1 : r;
}

TEST(reads_a_clean_merge)
{
    AUTO_MERGE a = {0};
    struct err err = ERR_INIT;
    IS_INT(feed_answer(&a, STR("1\0" A40 "\0\0"), &err), MERGE_COMPLETE);
    OK(a.clean);
    IS_STR(a.tree, A40);
}

TEST(reads_a_conflict_with_its_files_and_messages)
{
    AUTO_MERGE a = {0};
    struct err err = ERR_INIT;
    struct str text = STR("0\0" A40 "\0src/a\0src/a\0b\0\0"
                          "1\0src/a\0Auto-merging\0Auto-merging src/a\n\0"
                          "2\0src/a\0b\0CONFLICT (contents)\0CONFLICT (content): in src/a\n\0\0");
    IS_INT(feed_answer(&a, text, &err), MERGE_COMPLETE);
    OK(!a.clean);
    IS_INT(a.file_count, 2);
    IS_STR(json_string_value(json_array_get(a.files, 1)), "b");
    IS_STR(a.text.data, "CONFLICT (content): in src/a\n");
}

/* A path told once a stage is one; two that JSON cannot tell apart are two. */
TEST(conflicted_paths_are_compared_as_they_are)
{
    static const char *const fields[] = {"0", A40, "\xc4\xe3", "\xc4\xe3", "\xba\xc3", ""};
    struct err err = ERR_INIT;
    AUTO_MERGE a = {0};
    merge_answer_init(&a);
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
        IS_INT(merge_answer_feed(&a, str_of(fields[i]), &err), 0);
    IS_INT(a.file_count, 2);
}

TEST(refuses_an_answer_it_cannot_read)
{
    static const char *const bad[] = {"2", "1\0short", "0\0" A40 "\0f\0\0minus"};
    static const size_t lengths[] = {1, 7, 2 + 41 + 2 + 1 + 5};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        AUTO_MERGE a = {0};
        struct err err = ERR_INIT;
        OK(feed_answer(&a, (struct str){bad[i], lengths[i]}, &err) < 0);
        IS_INT(err.kind, E_CORRUPT);
    }
}

/* --- trees ---------------------------------------------------------------------------------- */

TEST(paths_that_must_not_reach_a_disk_are_refused)
{
    static const char *const bad[] = {"",       "/a",   "a/",    "a//b",          "..",
                                      "a/../b", "./a",  ".git",  "a/.GIT/config", "git~1/x",
                                      "a\nb",   "a\rb", "x/\x7f"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        OK(!tree_path_fits(str_of(bad[i])));
    OK(tree_path_fits(STR("a/.gitignore")));
    OK(tree_path_fits(STR("\xe5\x8a\x9f/..x/-rf;$(id)")));
}

static enum err_kind tree_line(struct tree_list *l, const char *line)
{
    struct err err = ERR_INIT;
    OK(tree_list_add(l, str_of(line), &err) == 0 || err.kind);
    return err.kind;
}

TEST(tree_lines_are_checked)
{
    struct tree_list l = {0};
    IS_INT(tree_line(&l, "100644 blob " A40 "      12\tsrc/a b"), E_OK);
    IS_INT(tree_line(&l, "120000 blob " A40 "       3\tlink"), E_OK);
    IS_INT(tree_line(&l, "040000 tree " A40 "       -\tsrc"), E_OK);
    IS_INT(tree_line(&l, "160000 commit " A40 "       -\tsub"), E_SUBMODULE_REFUSED);
    IS_INT(tree_line(&l, "100644 blob " A40 " 5368709120\tbig"), E_REPO_TOO_LARGE);
    IS_INT(tree_line(&l, "120000 blob " A40 "    5000\tlong"), E_ARCHIVE_PATH);
    IS_INT(tree_line(&l, "100644 blob " A40 "       1\ta/../b"), E_ARCHIVE_PATH);
    IS_INT(tree_line(&l, "garbage"), E_CORRUPT);
    IS_INT(l.count, 3);
    IS_INT(l.files, 2);
    IS_STR(tree_path(&l, &l.entries[0]), "src/a b");
    tree_list_done(&l);
}

TEST(a_deep_nest_is_refused)
{
    struct tree_list l = {0};
    AUTO_BUF line = BUF_INIT(0);
    (void)buf_add_text(&line, "040000 tree " A40 "       -\t0");
    for (int i = 0; i < TREE_DEPTH_MAX; i++)
        (void)buf_add_text(&line, "/0");
    IS_INT(tree_line(&l, line.data), E_REPO_TOO_LARGE);
    tree_list_done(&l);
}

TEST(a_tree_of_too_many_entries_or_bytes_is_refused)
{
    struct tree_list full = {.count = TREE_ENTRIES_MAX};
    IS_INT(tree_line(&full, "100644 blob " A40 "       1\tone-more"), E_REPO_TOO_LARGE);
    struct tree_list large = {.bytes = TREE_BYTES_MAX - 5};
    IS_INT(tree_line(&large, "100644 blob " A40 "       6\tsix"), E_REPO_TOO_LARGE);
    IS_INT(tree_line(&large, "100644 blob " A40 "       5\tfive"), E_OK);
    tree_list_done(&large);
}

/* --- calls ---------------------------------------------------------------------------------- */

static bool list_holds(char *const *items, const char *wanted)
{
    for (; *items; items++)
        if (text_is(*items, wanted))
            return true;
    return false;
}

/* "-c" and the setting, before the verb: behind it -c would be the verb's own option. */
static bool is_set(char *const *argv, const char *verb, const char *setting)
{
    for (size_t i = 0; argv[i + 1] && !text_is(argv[i], verb); i++)
        if (text_is(argv[i], "-c") && text_is(argv[i + 1], setting))
            return true;
    return false;
}

static void check_fence(struct git_call *c)
{
    static const char *const settings[] = {"core.hooksPath=/dev/null",
                                           "core.fsmonitor=false",
                                           "safe.bareRepository=explicit",
                                           "protocol.allow=never",
                                           "transfer.hideRefs=refs/slipway",
                                           "submodule.recurse=false",
                                           "credential.helper=",
                                           "core.attributesFile="};
    static const char *const env[] = {
        "GIT_ALLOW_PROTOCOL=none", "GIT_CONFIG_NOSYSTEM=1",       "GIT_CONFIG_SYSTEM=/dev/null",
        "GIT_TERMINAL_PROMPT=0",   "GIT_CONFIG_GLOBAL=/dev/null", "GIT_NO_REPLACE_OBJECTS=1",
        "GIT_LITERAL_PATHSPECS=1", "HOME=/nonexistent",           "PATH=/usr/bin:/bin"};
    git_verb(c, "log");
    git_end(c);
    git_arg(c, "refs/heads/--upload-pack=x");
    struct child_spec spec = git_child_spec(c);
    char *const *argv = (char *const *)spec.argv, *const *given = (char *const *)spec.env;
    for (size_t i = 0; i < ARRAY_SIZE(settings); i++)
        if (!OK(is_set(argv, "log", settings[i])))
            IS_STR(settings[i], "");
    for (size_t i = 0; i < ARRAY_SIZE(env); i++)
        if (!OK(list_holds(given, env[i])))
            IS_STR(env[i], "");
    size_t last = 0;
    while (argv[last + 1])
        last++;
    IS_STR(argv[last - 1], "--end-of-options");
    for (; *given; given++) /* nothing of our own environment */
        OK(!text_starts(*given, "LD_") && !text_starts(*given, "SLIPWAY_"));
}

/* --- how far a fetch is ---------------------------------------------------------------------- */

static const char *said(struct git_progress *p, const char *text)
{
    static char told[32];
    int percent;
    git_progress_take(p, str_of(text));
    const char *stage = git_progress_stage(p, &percent);
    (void)snprintf(told, sizeof(told), "%s %d", stage ? stage : "nothing", percent);
    return told;
}

TEST(the_newest_whole_word_says_how_far_a_fetch_is)
{
    struct git_progress p = {0};
    IS_STR(said(&p, ""), "nothing 0");
    IS_STR(said(&p, "remote: Enumerating objects: 25, done.\n"), "nothing 0");
    IS_STR(
        said(&p, "remote: Counting objects:   4% (1/25)\rremote: Counting objects:  12% (3/25)\r"),
        "counting 12");
    IS_STR(said(&p,
                "remote: Counting objects: 100% (25/25), done.\nremote: Compressing objects:  50%"),
           "counting 100");
    IS_STR(
        said(&p,
             "cts:   4% (1/25)\rReceiving objects:  45% (450/1000), 1.2 MiB | 2.0 MiB/s\rReceiv"),
        "receiving 45");
    IS_STR(said(&p, "Resolving deltas: 100% (7/7), done.\n"), "resolving 100");
    IS_STR(said(&p,
                "Receiving objects: 101% (1/1)\rReceiving objects: x% (1)\rReceiving objects: 7\r"),
           "resolving 100");
}

TEST(every_call_is_fenced)
{
    AUTO_GIT(plain);
    AUTO_GIT(bare);
    AUTO_GIT(unbuffered);
    OK(setenv("GIT_SSH_COMMAND", "touch CANARY", 1) == 0);
    OK(setenv("SLIPWAY_TOKEN", "x", 1) == 0);
    git_call_init(&plain, "/srv/app.git");
    check_fence(&plain);
    OK(list_holds((char *const *)git_child_spec(&plain).argv, "--git-dir=/srv/app.git"));
    OK(!list_holds((char *const *)git_child_spec(&plain).env, "GIT_SSH_COMMAND=touch CANARY"));
    git_call_init(&bare, NULL);
    check_fence(&bare);
    git_call_init(&unbuffered, "/srv/app.git");
    git_unbuffered(&unbuffered);
    check_fence(&unbuffered);
    git_end(&plain);
    git_arg(&plain, "--output=/etc/passwd"); /* a ref that looks like an option */
    IS_STR(plain.argv.items[plain.argv.count - 2], "--end-of-options");
}

/* --- tar ------------------------------------------------------------------------------------ */

TEST(a_short_path_takes_one_plain_block)
{
    AUTO_BUF out = BUF_INIT(0);
    tar_header(
        &out, &(struct tar_entry){
                  .kind = TAR_EXECUTABLE, .path = STR("bin/run"), .size = 10, .mtime = 1700000000});
    IS_INT(out.length, TAR_BLOCK);
    IS_STR(out.data, "bin/run");
    IS_STR(out.data + 100, "0000755");
    IS_STR(out.data + 124, "00000000012");
    IS_INT(out.data[156], '0');
    tar_pad(&out, 10);
    IS_INT(out.length, TAR_BLOCK + 502);
    tar_end(&out);
    IS_INT(out.length, TAR_BLOCK + 502 + 1024);
}

TEST(a_long_path_is_split_or_gets_a_pax_header)
{
    char path[300];
    memset(path, 'x', sizeof(path));
    path[120] = '/';
    AUTO_BUF split = BUF_INIT(0);
    tar_header(&split, &(struct tar_entry){.kind = TAR_FILE, .path = {path, 200}});
    IS_INT(split.length, TAR_BLOCK);
    AUTO_BUF pax = BUF_INIT(0);
    tar_header(&pax, &(struct tar_entry){.kind = TAR_FILE, .path = {path, 299}});
    IS_INT(pax.length, 3 * TAR_BLOCK);
    IS_INT(pax.data[156], 'x');
    OK(strncmp(pax.data + TAR_BLOCK, "309 path=xxx", 12) == 0);
}
