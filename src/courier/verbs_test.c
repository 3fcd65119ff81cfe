/* The verbs of the courier: branches, files, exports, integrations, repositories. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "courier/courier_fixture.h"

/* --- tests: branches and files -------------------------------------------------------------- */

static json_t *branch_args(const char *app, const char *name, const char *key, const char *value)
{
    return json_pack("{s:s, s:s, s:s}", "app", app, "name", name, key, value);
}

TEST(branches_are_made_and_deleted_once)
{
    make_app("branches");
    free(GIT_TEXT("branches", "push", "-q", "dev", "main"));
    AUTO_FREE char *head = tip("branches", "main");
    IS_INT(ask_kind("branch.create", branch_args("branches", "f/a", "from", "main")), E_OK);
    IS_INT(ask_kind("branch.create", branch_args("branches", "f/a", "from", head)), E_OK);
    IS_INT(ask_kind("branch.create", branch_args("branches", "f/a/b", "from", head)), E_EXISTS);
    IS_INT(ask_kind("branch.create", branch_args("branches", "g", "from", "absent")),
           E_BRANCH_UNKNOWN);
    IS_INT(ask_kind("branch.create", branch_args("branches", "g", "from",
                                                 "1234567890123456789012345678901234567890")),
           E_BRANCH_UNKNOWN);
    commit_file("branches", "x", "x\n");
    free(GIT_TEXT("branches", "push", "-q", "dev", "main"));
    IS_INT(ask_kind("branch.create", branch_args("branches", "f/a", "from", "main")), E_EXISTS);
    AUTO_FREE char *next = tip("branches", "main");
    IS_INT(ask_kind("branch.delete", branch_args("branches", "f/a", "expect", next)),
           E_REF_CHANGED);
    IS_INT(ask_kind("branch.delete", branch_args("branches", "f/a", "expect", head)), E_OK);
    IS_INT(ask_kind("branch.delete", branch_args("branches", "f/a", "expect", head)), E_OK);
}

TEST(refs_of_builds_that_nothing_needs_go)
{
    make_app("refs");
    free(GIT_TEXT("refs", "push", "-q", "dev", "main"));
    AUTO_FREE char *head = tip("refs", "main");
    static const char *const refs[] = {"dev/b1",  "dev/b2",  "dev/b3",
                                       "dev/b12", "test/b1", "dev/x1"};
    for (size_t i = 0; i < ARRAY_SIZE(refs); i++) {
        AUTO_FREE char *ref = mem_format("refs/slipway/%s", refs[i]);
        IS_INT(ask_kind("ref.publish",
                        json_pack("{s:s, s:s, s:s}", "app", "refs", "ref", ref, "commit", head)),
               E_OK);
    }
    AUTO_JSON *done = ask("ref.retain", json_pack("{s:s, s:s, s:i, s:[i]}", "app", "refs", "env",
                                                  "dev", "newest", 3, "keep", 2));
    IS_INT(json_int(done, "removed", 0), 2);
    AUTO_FREE char *left =
        GIT_TEXT("data/git/refs.git", "for-each-ref", "--format=%(refname)", "refs/slipway");
    IS_STR(left, "refs/slipway/dev/b12\nrefs/slipway/dev/b2\nrefs/slipway/dev/x1\n"
                 "refs/slipway/test/b1");
    IS_INT(ask_kind("ref.retain", json_pack("{s:s, s:s, s:i, s:[]}", "app", "refs", "env",
                                            "../heads", "newest", 3, "keep")),
           E_REF_INVALID);
}

TEST(news_of_a_branch_are_counted_and_listed)
{
    make_app("news");
    free(GIT_TEXT("news", "push", "-q", "dev", "main"));
    AUTO_FREE char *old = tip("news", "main");
    commit_file("news", "one", "1\n");
    commit_file("news", "two", "2\n");
    free(GIT_TEXT("news", "push", "-q", "dev", "main"));
    AUTO_FREE char *head = tip("news", "main");
    AUTO_JSON *done = ask("branch.news", json_pack("{s:s, s:[{s:s, s:s}, {s:s, s:s}]}", "app",
                                                   "news", "pairs", "branch", "main", "since", old,
                                                   "branch", "gone", "since", old));
    AUTO_FREE char *text = json_print(done);
    IS_STR(text, "{\"news\":{\"main\":2,\"gone\":null}}");
    IS_INT(ask_kind("branch.news", json_pack("{s:s, s:[{s:s, s:s}]}", "app", "news", "pairs",
                                             "branch", "main", "since", "--all")),
           E_REF_INVALID);
    AUTO_JSON *log = ask("commit.log", json_pack("{s:s, s:s, s:s, s:i}", "app", "news", "from", old,
                                                 "to", head, "limit", 1));
    IS_INT(json_array_size(json_list(log, "commits")), 1);
    IS_STR(json_text(json_array_get(json_list(log, "commits"), 0), "id"), head);
    OK(json_bool(log, "more", false));
    AUTO_JSON *none =
        ask("commit.log", json_pack("{s:s, s:s, s:s}", "app", "news", "from", head, "to", old));
    IS_INT(json_array_size(json_list(none, "commits")), 0);
    OK(!json_bool(none, "more", true));
}

static json_t *file_args(const char *app, const char *commit, const char *path)
{
    return json_pack("{s:s, s:s, s:s}", "app", app, "commit", commit, "path", path);
}

TEST(files_are_read_and_links_are_not_followed)
{
    make_app("files");
    AUTO_FREE char *link = mem_format("%s/files/link", home);
    AUTO_FREE char *folder = mem_format("%s/files/dir", home);
    struct err err = ERR_INIT;
    OK(symlink("/etc/shadow", link) == 0);
    OK(file_make_dirs(folder, 0755, &err) == 0);
    put_file("files", "dir/slipway.yaml", "app: \xe5\x95\x86\xe5\xba\x97\n");
    put_file("files", "binary", "\xff\xfe");
    free(GIT_TEXT("files", "add", "-A"));
    free(GIT_TEXT("files", "commit", "-q", "-m", "files"));
    free(GIT_TEXT("files", "push", "-q", "dev", "main"));
    AUTO_FREE char *head = tip("files", "main");
    AUTO_JSON *read = ask("file.read", file_args("files", head, "dir/slipway.yaml"));
    IS_STR(json_text(read, "text"), "app: \xe5\x95\x86\xe5\xba\x97\n");
    IS_INT(ask_kind("file.read", file_args("files", head, "link")), E_PATH_ESCAPES);
    IS_INT(ask_kind("file.read", file_args("files", head, "link/x")), E_PATH_ESCAPES);
    IS_INT(ask_kind("file.read", file_args("files", head, "../x")), E_PATH_ESCAPES);
    IS_INT(ask_kind("file.read", file_args("files", head, "/etc/passwd")), E_PATH_ESCAPES);
    IS_INT(ask_kind("file.read", file_args("files", head, ":(top)README")), E_NOT_FOUND);
    IS_INT(ask_kind("file.read", file_args("files", head, "dir")), E_NOT_FOUND);
    IS_INT(ask_kind("file.read", file_args("files", head, "absent")), E_NOT_FOUND);
    IS_INT(ask_kind("file.read", file_args("files", head, "binary")), E_VALUE_INVALID);
    json_t *small = file_args("files", head, "dir/slipway.yaml");
    json_put_int(small, "max", 3);
    IS_INT(ask_kind("file.read", small), E_TOO_LARGE);
}

/* --- tests: export -------------------------------------------------------------------------- */

static json_t *export_to(const char *app, const char *commit, const char *name,
                         enum err_kind *ret_kind)
{
    AUTO_FREE char *path = mem_format("%s/%s", home, name);
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    return ask_fd("export", json_pack("{s:s, s:s}", "app", app, "commit", commit), fd, ret_kind);
}

TEST(an_export_is_the_tree)
{
    make_app("export");
    char deep[400] = "deep";
    struct err err = ERR_INIT;
    for (int i = 0; i < 5; i++) {
        size_t length = strlen(deep);
        (void)snprintf(deep + length, sizeof(deep) - length,
                       "/a-folder-with-a-name-of-some-length-%d-\xe4\xb8\xad\xe6\x96\x87-----", i);
    }
    AUTO_FREE char *folder = mem_format("%s/export/%s", home, deep);
    AUTO_FREE char *link = mem_format("%s/export/link", home);
    AUTO_FREE char *run = mem_format("%s/export/run.sh", home);
    OK(file_make_dirs(folder, 0755, &err) == 0 && symlink("../outside", link) == 0);
    put_file("export", ".gitattributes",
             "secret.txt export-ignore\n* text=auto eol=crlf filter=x\n");
    put_file("export", "secret.txt", "not left out\n");
    put_file("export", "run.sh", "#!/bin/sh\n");
    OK(chmod(run, 0755) == 0);
    AUTO_FREE char *long_name = mem_format("%s/file", deep);
    put_file("export", long_name, "deep\n");
    put_random("export", "random", 3);
    free(GIT_TEXT("export", "-c", "core.autocrlf=false", "add", "-A"));
    free(GIT_TEXT("export", "commit", "-q", "-m", "export"));
    free(GIT_TEXT("export", "push", "-q", "dev", "main"));
    AUTO_FREE char *head = tip("export", "main");
    AUTO_FREE char *tree = tip("export", "main^{tree}");
    AUTO_JSON *done = export_to("export", head, "export.tar", NULL);
    IS_INT(json_int(done, "files", 0), 7);
    json_decref(export_to("export", head, "again.tar", NULL));
    const char *const same[] = {"/usr/bin/cmp", "export.tar", "again.tar", NULL};
    IS_INT(run_argv(home, same), 0);
    AUTO_FREE char *out = mem_format("%s/unpacked", home);
    OK(file_make_dirs(out, 0755, &err) == 0);
    const char *const untar[] = {"/usr/bin/tar", "-xf", "export.tar", "-C", "unpacked", NULL};
    IS_INT(run_argv(home, untar), 0);
    free(GIT_TEXT("unpacked", "init", "-q"));
    put_file("unpacked", ".git/info/attributes", "* -text -filter -eol\n");
    free(GIT_TEXT("unpacked", "add", "-A"));
    AUTO_FREE char *unpacked = GIT_TEXT("unpacked", "write-tree");
    IS_STR(unpacked, tree);
}

static char *make_tree(const char *app, const char *entries)
{
    static const char *const argv[] = {GIT, "mktree", NULL};
    AUTO_FREE char *cwd = mem_format("%s/%s", home, app);
    IS_INT(run_input(cwd, argv, entries), 0);
    return str_dup((struct str){last.out, 40});
}

/* Commit the tree, push it, export it. */
static enum err_kind export_tree(const char *app, const char *tree)
{
    enum err_kind kind = E_OK;
    AUTO_FREE char *commit = GIT_TEXT(app, "commit-tree", "-m", "tree", tree);
    AUTO_FREE char *spec = mem_format("%s:refs/heads/%.8s", commit, tree);
    free(GIT_TEXT(app, "push", "-q", "dev", spec));
    json_decref(export_to(app, commit, "refused.tar", &kind));
    return kind;
}

TEST(a_tree_bomb_a_nest_and_a_submodule_are_refused)
{
    make_app("bomb");
    AUTO_FREE char *blob = GIT_TEXT("bomb", "rev-parse", "HEAD:README");
    char *tree = NULL;
    for (int level = 0; level < 10; level++) {
        AUTO_BUF lines = BUF_INIT(0);
        for (int i = 0; i < 10; i++)
            (void)buf_add_format(&lines, "%s %s\td%d\n", tree ? "040000 tree" : "100644 blob",
                                 tree ? tree : blob, i);
        free(tree);
        tree = make_tree("bomb", lines.data);
    }
    int64_t start = clock_mono_ms(clock_system());
    IS_INT(export_tree("bomb", tree), E_REPO_TOO_LARGE);
    int64_t ms = clock_mono_ms(clock_system()) - start;
    printf("# a tree of 10^10 files is refused after %lld ms\n", (long long)ms);
    OK(ms < 10000);
    for (int level = 0; level < 80; level++) {
        AUTO_FREE char *line = mem_format("040000 tree %s\td\n", tree);
        free(tree);
        tree = make_tree("bomb", line);
    }
    IS_INT(export_tree("bomb", tree), E_REPO_TOO_LARGE);
    free(tree);
    AUTO_FREE char *head = tip("bomb", "HEAD");
    AUTO_FREE char *line = mem_format("160000 commit %s\tsub\n", head);
    AUTO_FREE char *with_sub = make_tree("bomb", line);
    IS_INT(export_tree("bomb", with_sub), E_SUBMODULE_REFUSED);
}

TEST(hostile_trees_are_refused_at_the_push)
{
    make_app("hostile");
    free(GIT_TEXT("hostile", "push", "-q", "dev", "main"));
    commit_file("hostile", ".gitmodules",
                "[submodule \"../../x\"]\n\tpath = sub\n\turl = ext::sh -c touch% CANARY\n");
    OK(RUN_GIT("hostile", "push", "-q", "dev", "main") != 0);
    OK(strstr(last.error, "gitmodules"));
}

TEST(a_reader_that_goes_away_ends_its_export)
{
    int ends[2];
    enum err_kind kind = E_OK;
    OK(pipe2(ends, O_CLOEXEC) == 0);
    (void)close(ends[0]);
    AUTO_CLOSE int fd = ends[1];
    AUTO_FREE char *head = tip("export", "main");
    json_decref(
        ask_fd("export", json_pack("{s:s, s:s}", "app", "export", "commit", head), fd, &kind));
    IS_INT(kind, E_CANCELLED);
}

/* --- tests: integration --------------------------------------------------------------------- */

/* The ticks of the branches b0..b(count-1) of a work tree. */
static json_t *ticks_of(const char *app, int count)
{
    json_t *ticks = json_array();
    for (int i = 0; i < count; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "b%d", i);
        AUTO_FREE char *at = tip(app, name);
        json_push(ticks, json_pack("{s:s, s:s}", "branch", name, "tip", at));
    }
    return ticks;
}

static json_t *integrate(const char *app, json_t *ticks)
{
    AUTO_FREE char *base = tip(app, "main");
    return ask("integrate", json_pack("{s:s, s:s, s:s, s:o}", "app", app, "trunk", "main", "base",
                                      base, "ticks", ticks));
}

static void make_branches(const char *app, int count)
{
    for (int i = 0; i < count; i++) {
        char name[16], file[16];
        (void)snprintf(name, sizeof(name), "b%d", i);
        (void)snprintf(file, sizeof(file), "file-%d", i);
        free(GIT_TEXT(app, "checkout", "-q", "-B", name, "main"));
        commit_file(app, file, name);
    }
    free(GIT_TEXT(app, "checkout", "-q", "main"));
    free(GIT_TEXT(app, "push", "-q", "ops", "--all", "--force"));
}

TEST(twenty_branches_become_what_git_merge_makes_of_them)
{
    make_app("merge");
    make_branches("merge", 20);
    AUTO_JSON *first = integrate("merge", ticks_of("merge", 20));
    AUTO_JSON *second = integrate("merge", ticks_of("merge", 20));
    IS_INT(json_int(first, "merged", 0), 20);
    printf("# 20 branches: %lld ms, again: %lld ms\n", (long long)json_int(first, "ms", -1),
           (long long)json_int(second, "ms", -1));
    IS_STR(json_text(second, "commit"), json_text(first, "commit"));
    free(GIT_TEXT("merge", "checkout", "-q", "--detach", "main"));
    for (int i = 0; i < 20; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "b%d", i);
        free(GIT_TEXT("merge", "merge", "-q", "--no-ff", "--no-edit", name));
    }
    AUTO_FREE char *tree = tip("merge", "HEAD^{tree}");
    IS_STR(json_text(first, "tree"), tree);
    const char *made = json_text(first, "commit");
    AUTO_FREE char *spec = mem_format("%s:refs/heads/main", made);
    free(GIT_TEXT("merge", "fetch", "-q", "dev", made));
    free(GIT_TEXT("merge", "push", "-q", "dev", spec));
    AUTO_FREE char *log = GIT_TEXT("merge", "log", "-1", "--format=%an %ce, %s", made);
    IS_STR(log, "Slipway slipway@localhost, Merge 'b19' into 'main'");
}

TEST(contained_branches_are_skipped_and_absent_ones_named)
{
    free(GIT_TEXT("merge", "checkout", "-q", "main"));
    AUTO_FREE char *head = tip("merge", "main");
    json_t *ticks = ticks_of("merge", 2);
    json_push(ticks, json_pack("{s:s, s:s}", "branch", "old", "tip", head));
    AUTO_JSON *reply = integrate("merge", ticks);
    IS_INT(json_int(reply, "merged", 0), 2);
    IS_STR(json_string_value(json_array_get(json_list(reply, "skipped"), 0)), "old");
    AUTO_JSON *none = integrate("merge", json_array());
    IS_STR(json_text(none, "commit"), head);
    AUTO_FREE char *tree = tip("merge", "main^{tree}");
    IS_STR(json_text(none, "tree"), tree);
    json_t *absent = json_pack("[{s:s, s:s}]", "branch", "gone", "tip",
                               "1234567890123456789012345678901234567890");
    IS_INT(ask_kind("integrate", json_pack("{s:s, s:s, s:s, s:o}", "app", "merge", "trunk", "main",
                                           "base", head, "ticks", absent)),
           E_BRANCH_UNKNOWN);
}

static void commit_branch(const char *app, const char *name, const char *from, const char *text)
{
    free(GIT_TEXT(app, "checkout", "-q", "-B", name, from));
    commit_file(app, "README", text);
}

static void is_conflict(const json_t *reply, const char *branch, const char *first,
                        const char *second)
{
    const json_t *conflict = json_dict(reply, "conflict");
    const json_t *against = json_list(conflict, "against");
    IS_STR(json_text(conflict, "branch"), branch);
    IS_INT(json_array_size(against), second ? 2 : 1);
    IS_STR(json_string_value(json_array_get(against, 0)), first);
    if (second)
        IS_STR(json_string_value(json_array_get(against, 1)), second);
    IS_STR(json_string_value(json_array_get(json_list(conflict, "files"), 0)), "README");
    struct str text = str_of(json_text_or(conflict, "text", ""));
    struct str line = str_cut(&text, '\n');
    printf("# %.*s\n", (int)line.length, line.data);
    OK(str_starts(text, "CONFLICT (content)"));
}

TEST(a_conflict_names_the_branch_and_everyone_it_is_with)
{
    make_app("conflict");
    free(GIT_TEXT("conflict", "tag", "start"));
    commit_branch("conflict", "b0", "start", "ONE\ntwo\nthree\nfour\nfive\nsix\nseven\n");
    commit_branch("conflict", "b1", "start", "one\ntwo\nthree\nfour\nfive\nsix\nSEVEN\n");
    commit_branch("conflict", "b2", "start", "1\ntwo\nthree\nfour\nfive\nsix\n7\n");
    free(GIT_TEXT("conflict", "checkout", "-q", "main"));
    free(GIT_TEXT("conflict", "push", "-q", "ops", "--all"));
    AUTO_JSON *both = integrate("conflict", ticks_of("conflict", 3));
    is_conflict(both, "b2", "b0", "b1");
    commit_branch("conflict", "main", "start", "uno\ntwo\nthree\nfour\nfive\nsix\nseven\n");
    free(GIT_TEXT("conflict", "push", "-q", "ops", "main"));
    AUTO_JSON *trunk = integrate("conflict", ticks_of("conflict", 1));
    is_conflict(trunk, "b0", "main", NULL);
}

static void commit_move(const char *name, const char *from, const char *to)
{
    free(GIT_TEXT("triple", "checkout", "-q", "-B", name, "main"));
    AUTO_FREE char *folder = mem_format("%s/triple/new", home);
    struct err err = ERR_INIT;
    OK(file_make_dirs(folder, 0755, &err) == 0);
    free(GIT_TEXT("triple", "mv", from, to));
    free(GIT_TEXT("triple", "commit", "-q", "-m", name));
}

/* b0 and b1 each move one of a folder's two files: only together they rename the folder, into which
 * b2 puts a file. */
TEST(a_conflict_that_no_pair_has_names_all_who_make_it)
{
    make_app("triple");
    AUTO_FREE char *folder = mem_format("%s/triple/old", home);
    struct err err = ERR_INIT;
    OK(file_make_dirs(folder, 0755, &err) == 0);
    put_file("triple", "old/1", "a file\nwith some\nlines in it\n");
    commit_file("triple", "old/2", "another file\nwith other\nlines of text\n");
    commit_move("b0", "old/1", "new/1");
    commit_move("b1", "old/2", "new/2");
    free(GIT_TEXT("triple", "checkout", "-q", "-B", "b2", "main"));
    commit_file("triple", "old/3", "a third\n");
    free(GIT_TEXT("triple", "checkout", "-q", "main"));
    free(GIT_TEXT("triple", "push", "-q", "ops", "--all"));
    AUTO_JSON *reply = integrate("triple", ticks_of("triple", 3));
    const json_t *conflict = json_dict(reply, "conflict");
    IS_STR(json_text(conflict, "branch"), "b2");
    AUTO_FREE char *against = json_print(json_list(conflict, "against"));
    IS_STR(against, "[\"b1\",\"b0\"]");
    IS_STR(json_text(conflict, "why"), "together");
    OK(strstr(json_text_or(conflict, "text", ""), "it conflicts with 'b1', 'b0' together in '"));
    AUTO_JSON *pair = integrate("triple", ticks_of("triple", 2));
    IS_INT(json_int(pair, "merged", 0), 2);
}

TEST(unrelated_history_is_a_conflict)
{
    make_app("unrelated");
    free(GIT_TEXT("unrelated", "checkout", "-q", "--orphan", "b0"));
    commit_file("unrelated", "other", "other\n");
    free(GIT_TEXT("unrelated", "checkout", "-q", "main"));
    free(GIT_TEXT("unrelated", "push", "-q", "ops", "--all"));
    AUTO_JSON *reply = integrate("unrelated", ticks_of("unrelated", 1));
    const json_t *conflict = json_dict(reply, "conflict");
    IS_STR(json_string_value(json_array_get(json_list(conflict, "against"), 0)), "main");
    OK(strstr(json_text_or(conflict, "text", ""), "share no history"));
}

/* --- landing -------------------------------------------------------------------------------- */

static json_t *land_args(const char *commit, const char *tag)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:[s, s]}", "app", "landing", "trunk", "main", "commit",
                     commit, "tag", tag, "branches", "b0", "gone");
}

static char *server_ref(const char *name)
{
    AUTO_FREE char *dir = mem_format("%s/data/git/landing.git", home);
    return GIT_TEXT(".", "--git-dir", dir, "for-each-ref", "--format=%(objectname)", name);
}

TEST(landing_moves_trunk_and_tags_and_is_done_once)
{
    make_app("landing");
    make_branches("landing", 2);
    AUTO_FREE char *before = server_ref("refs/heads/main"), *tip0 = tip("landing", "b0");
    AUTO_JSON *made = integrate("landing", ticks_of("landing", 2));
    const char *commit = json_text_or(made, "commit", "");
    AUTO_JSON *landed = ask("ref.land", land_args(commit, "prod/r1"));
    IS_STR(json_text(landed, "from"), before);
    OK(json_bool(landed, "moved", false));
    IS_STR(json_text(json_dict(landed, "tips"), "b0"), tip0);
    OK(json_is_null(json_object_get(json_dict(landed, "tips"), "gone")));
    AUTO_FREE char *trunk = server_ref("refs/heads/main"), *tag = server_ref("refs/tags/prod/r1");
    IS_STR(trunk, commit);
    IS_STR(tag, commit);
    AUTO_JSON *again = ask("ref.land", land_args(commit, "prod/r1"));
    OK(!json_bool(again, "moved", true));
    IS_STR(json_text(again, "tag"), "prod/r1");
    AUTO_JSON *other = ask("ref.land", land_args(before, "prod/r1")); /* of an earlier life, say */
    AUTO_FREE char *longer = mem_format("prod/r1-%.7s", before);
    IS_STR(json_text(other, "tag"), longer);
    AUTO_FREE char *kept = server_ref("refs/tags/prod/r1");
    IS_STR(kept, commit);
    IS_INT(ask_kind("ref.land", land_args("1234567890123456789012345678901234567890", "prod/r2")),
           E_BRANCH_UNKNOWN);
}

TEST(trunk_that_has_more_does_not_move)
{
    free(GIT_TEXT("landing", "checkout", "-q", "main"));
    AUTO_JSON *made = integrate("landing", ticks_of("landing", 1)); /* on the trunk of before */
    commit_file("landing", "straight", "to trunk\n");
    free(GIT_TEXT("landing", "push", "-q", "-f", "ops", "main"));
    AUTO_FREE char *before = server_ref("refs/heads/main");
    IS_INT(ask_kind("ref.land", land_args(json_text_or(made, "commit", ""), "prod/r9")),
           E_REF_CHANGED);
    AUTO_FREE char *after = server_ref("refs/heads/main"), *tag = server_ref("refs/tags/prod/r9");
    IS_STR(after, before);
    IS_STR(tag, "");
}

/* --- repositories --------------------------------------------------------------------------- */

TEST(repositories_are_measured_deleted_and_whole)
{
    AUTO_JSON *df = ask("df", json_object());
    OK(json_array_size(json_list(df, "repositories")) >= 5);
    AUTO_FREE char *dir = mem_format("%s/data/git/merge.git", home);
    free(GIT_TEXT(".", "--git-dir", dir, "fsck", "--strict"));
    IS_INT(ask_kind("repo.delete", json_pack("{s:s}", "app", "merge")), E_OK);
    IS_INT(ask_kind("repo.delete", json_pack("{s:s}", "app", "merge")), E_OK);
    OK(!file_exists(dir));
}

TEST(nothing_was_executed_and_it_ends_in_order)
{
    end_in_order();
}
