/* Smart HTTP: who may do what, how it is said, and what it costs. */
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include "courier/courier_fixture.h"
#include "courier/git/git.h"

/* --- tests: hosting ------------------------------------------------------------------------- */

TEST(starts)
{
    set_up();
    IS_INT(ask_kind("branch.list", json_pack("{s:s, s:s}", "app", "none", "trunk", "main")),
           E_NOT_FOUND);
}

TEST(pushes_and_clones)
{
    make_app("shop");
    free(GIT_TEXT("shop", "push", "-q", "dev", "main"));
    AUTO_FREE char *main_tip = tip("shop", "main");
    const json_t *moved = json_array_get(json_list(changes, "refs"), 0);
    IS_STR(json_text(changes, "app"), "shop");
    IS_STR(json_text(changes, "user"), "dev");
    IS_STR(json_text(moved, "ref"), "refs/heads/main");
    IS_STR(json_text(moved, "new"), main_tip);
    AUTO_FREE char *from = url("reader", "shop");
    free(GIT_TEXT(".", "clone", "-q", from, "shop-clone"));
    AUTO_FREE char *cloned = tip("shop-clone", "HEAD");
    IS_STR(cloned, main_tip);
    free(GIT_TEXT(".", "-c", "protocol.version=0", "clone", "-q", from, "shop-clone-v0"));
}

TEST(weird_names_are_only_names)
{
    static const char *const names[] = {"main;touch${IFS}CANARY",
                                        "$(id>CANARY)",
                                        "`id`",
                                        "a|b&c",
                                        "\xe5\x8a\x9f\xe8\x83\xbd/\xe6\x94\xaf\xe4\xbb\x98",
                                        "a\"b'c",
                                        "refs/heads/main",
                                        "#x"};
    make_app("weird");
    free(GIT_TEXT("weird", "push", "-q", "dev", "main"));
    commit_file("weird", "more", "more\n");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        AUTO_FREE char *spec = mem_format("HEAD:refs/heads/%s", names[i]);
        free(GIT_TEXT("weird", "push", "-q", "dev", spec));
    }
    AUTO_JSON *list = ask("branch.list", json_pack("{s:s, s:s}", "app", "weird", "trunk", "main"));
    const json_t *rows = json_list(list, "branches");
    IS_INT(json_array_size(rows), ARRAY_SIZE(names) + 1);
    IS_STR(json_text(json_array_get(rows, 0), "name"), "main");
    for (size_t i = 1; i < json_array_size(rows); i++) {
        IS_INT(json_int(json_array_get(rows, i), "ahead", -1), 1);
        IS_INT(json_int(json_array_get(rows, i), "behind", -1), 0);
    }
    json_t *asked = json_array();
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        json_push(asked, json_string(names[i]));
    json_push(asked, json_string("absent"));
    AUTO_JSON *tips = ask("branch.tips", json_pack("{s:s, s:o}", "app", "weird", "names", asked));
    AUTO_FREE char *head = tip("weird", "HEAD");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++)
        IS_STR(json_text(json_dict(tips, "tips"), names[i]), head);
    OK(json_is_null(json_object_get(json_dict(tips, "tips"), "absent")));
}

TEST(an_option_is_no_branch)
{
    make_app("options");
    AUTO_FREE char *to = url("dev", "options");
    free(GIT_TEXT("options", "push", "-q", "dev", "main"));
    OK(RUN_GIT("options", "push", "-q", to, "HEAD:refs/heads/--upload-pack=x") != 0);
    OK(strstr(last.error, "neither a branch nor a tag with a valid name"));
    IS_INT(ask_kind("branch.create", json_pack("{s:s, s:s, s:s}", "app", "options", "name",
                                               "--exec=sh", "from", "main")),
           E_REF_INVALID);
}

TEST(a_rewind_is_refused_unless_core_allows_force)
{
    make_app("force");
    commit_file("force", "a", "a\n");
    free(GIT_TEXT("force", "push", "-q", "dev", "main"));
    AUTO_FREE char *before = tip("force", "main");
    free(GIT_TEXT("force", "reset", "-q", "--hard", "HEAD^"));
    commit_file("force", "b", "b\n");
    AUTO_FREE char *after = tip("force", "main");
    OK(RUN_GIT("force", "push", "-q", "--force", "dev", "main") != 0);
    OK(strstr(last.error, "non-fast-forward"));
    AUTO_FREE char *still = GIT_TEXT("force", "ls-remote", "dev", "refs/heads/main");
    OK(text_starts(still, before));
    free(GIT_TEXT("force", "push", "-q", "--force", "ops", "main"));
    AUTO_FREE char *now = GIT_TEXT("force", "ls-remote", "dev", "refs/heads/main");
    OK(text_starts(now, after));
}

TEST(a_refused_push_says_why_for_every_ref)
{
    make_app("locked");
    free(GIT_TEXT("locked", "branch", "feature"));
    OK(RUN_GIT("locked", "push", "dev", "main", "feature") != 0);
    OK(strstr(last.error, "! [remote rejected] main -> main (nobody but operations pushes"));
    OK(strstr(last.error, "! [remote rejected] feature -> feature (nobody but operations pushes"));
    OK(strstr(last.error, "remote: slipway: nobody but operations"));
    OK(RUN_GIT("locked", "push", "reader", "feature") != 0);
    OK(strstr(last.error, "reader may not push: ask for the role developer"));
    free(GIT_TEXT("locked", "push", "-q", "dev", "feature"));
    AUTO_FREE char *refs = GIT_TEXT("locked", "ls-remote", "dev");
    OK(!strstr(refs, "refs/heads/main"));
}

TEST(refs_of_slipway_are_hidden_and_refused)
{
    make_app("hidden");
    free(GIT_TEXT("hidden", "push", "-q", "dev", "main"));
    AUTO_FREE char *head = tip("hidden", "main");
    json_t *args = json_pack("{s:s, s:s, s:s, s:s}", "app", "hidden", "ref", "refs/slipway/test/1",
                             "commit", head, "expect", "");
    IS_INT(ask_kind("ref.publish", json_incref(args)), E_OK);
    IS_INT(ask_kind("ref.publish", args), E_OK); /* again: the same */
    IS_INT(ask_kind("ref.publish", json_pack("{s:s, s:s, s:s, s:s}", "app", "hidden", "ref",
                                             "refs/slipway/test/1", "commit", head, "expect",
                                             "0000000000000000000000000000000000000000")),
           E_OK);
    IS_INT(ask_kind("ref.publish", json_pack("{s:s, s:s, s:s}", "app", "hidden", "ref",
                                             "refs/heads/main", "commit", head)),
           E_REF_INVALID);
    AUTO_FREE char *refs = GIT_TEXT("hidden", "ls-remote", "ops");
    OK(!strstr(refs, "slipway"));
    OK(RUN_GIT("hidden", "push", "-q", "ops", "main:refs/slipway/x") != 0);
    OK(strstr(last.error, "is Slipway's own"));
    OK(RUN_GIT("hidden", "push", "-q", "ops", "main:refs/notes/x") != 0);
    OK(strstr(last.error, "neither a branch nor a tag"));
}

TEST(publish_compares_before_it_swaps)
{
    AUTO_FREE char *old = tip("hidden", "main");
    commit_file("hidden", "next", "next\n");
    free(GIT_TEXT("hidden", "push", "-q", "dev", "main"));
    AUTO_FREE char *new = tip("hidden", "main");
    const char *form = "{s:s, s:s, s:s, s:s}";
    IS_INT(ask_kind("ref.publish", json_pack(form, "app", "hidden", "ref", "refs/slipway/test/1",
                                             "commit", new, "expect", "")),
           E_EXISTS);
    IS_INT(ask_kind("ref.publish", json_pack(form, "app", "hidden", "ref", "refs/slipway/test/1",
                                             "commit", new, "expect", new)),
           E_REF_CHANGED);
    IS_INT(ask_kind("ref.publish", json_pack(form, "app", "hidden", "ref", "refs/slipway/test/1",
                                             "commit", new, "expect", old)),
           E_OK);
}

TEST(strangers_are_asked_for_a_password_and_learn_nothing)
{
    AUTO_FREE char *naked = mem_format("http://127.0.0.1:%d/git/shop.git", port);
    OK(RUN_GIT(".", "ls-remote", naked) != 0);
    OK(strstr(last.error, "could not read Username"));
    AUTO_FREE char *wrong = mem_format("http://dev:wrong@127.0.0.1:%d/git/shop.git", port);
    OK(RUN_GIT(".", "ls-remote", wrong) != 0);
    OK(strstr(last.error, "Authentication failed"));
    AUTO_FREE char *absent = url("dev", "secret");
    OK(RUN_GIT(".", "ls-remote", absent) != 0);
    OK(strstr(last.error, "not found"));
    AUTO_FREE char *none = url("dev", "never-made");
    OK(RUN_GIT(".", "ls-remote", none) != 0);
    OK(strstr(last.error, "not found"));
}

TEST(without_core_git_clients_get_503)
{
    AUTO_FREE char *from = url("dev", "shop");
    channel_free(core);
    core = NULL;
    until_quiet();
    OK(RUN_GIT(".", "ls-remote", from) != 0);
    OK(strstr(last.error, "503"));
    connect_core(8);
    free(GIT_TEXT(".", "ls-remote", from));
}

TEST(an_older_core_is_turned_away)
{
    struct channel *newer = core;
    AUTO_FREE char *path = mem_format("%s/courier.sock", home);
    struct err err = ERR_INIT;
    OK(channel_connect(path, &handlers, &core, &err) == 0);
    IS_INT(ask_kind("df", json_object()), E_PROTOCOL);
    IS_INT(ask_kind("hello", json_pack("{s:i, s:i}", "protocol", 1, "epoch", 3)), E_EPOCH_STALE);
    channel_free(core);
    core = newer;
    json_decref(ask("df", json_object()));
}

/* --- tests: large and small ----------------------------------------------------------------- */

TEST(a_large_push_takes_little_memory)
{
    make_app("large");
    put_random("large", "blob", 48);
    free(GIT_TEXT("large", "add", "-A"));
    free(GIT_TEXT("large", "commit", "-q", "-m", "large"));
    int64_t start = clock_mono_ms(clock_system());
    free(GIT_TEXT("large", "push", "-q", "dev", "main"));
    int64_t pushed = clock_mono_ms(clock_system());
    AUTO_FREE char *from = url("dev", "large");
    free(GIT_TEXT(".", "clone", "-q", "--bare", from, "large-clone"));
    printf("# 48 MiB: push %lld ms, clone %lld ms, courier at most %lld KiB\n",
           (long long)(pushed - start), (long long)(clock_mono_ms(clock_system()) - pushed),
           (long long)status_kb("VmHWM:"));
#if !defined(__SANITIZE_ADDRESS__) && !defined(__clang__) /* shadow memory counts */
    OK(status_kb("VmHWM:") < 40000);
#endif
}

static bool incoming_there(void *context)
{
    glob_t found;
    bool there = glob(context, 0, NULL, &found) == 0;
    globfree(&found);
    return there;
}

static bool incoming_gone(void *context)
{
    return !incoming_there(context);
}

TEST(a_client_killed_within_its_push_leaves_nothing)
{
    make_app("killed");
    put_random("killed", "blob", 32);
    free(GIT_TEXT("killed", "add", "-A"));
    free(GIT_TEXT("killed", "commit", "-q", "-m", "large"));
    AUTO_FREE char *pattern = mem_format("%s/data/git/killed.git/objects/tmp_objdir-*", home);
    AUTO_FREE char *cwd = mem_format("%s/killed", home);
    AUTO_FREE char *to = url("dev", "killed");
    const char *const argv[] = {GIT, "push", "-q", to, "main", NULL};
    struct child_spec spec = {.argv = argv, .cwd = cwd, .stdin_fd = -1};
    struct child *client = NULL;
    struct err err = ERR_INIT;
    OK(child_start(&spec, &client, &err) == 0);
    OK(until(incoming_there, pattern));
    child_kill(client, SIGKILL);
    OK(until(incoming_gone, pattern));
    free(GIT_TEXT("killed", "push", "-q", "dev", "main"));
}

/* For a hosting within this process. */
static struct channel *core_itself(void *context)
{
    return context;
}

static void on_pushed(void *context, const char *app, const char *user, json_t *refs)
{
    (void)context;
    printf("# %s pushed %zu refs of %s\n", user, json_array_size(refs), app);
}

/* A hosting whose disk, or whose repository, is full: said in words, and a branch can be deleted.
 */
static void no_room(const struct git_hosting_options *options)
{
    static const struct {
        int64_t repo_max, disk_reserve;
        const char *text;
    } rows[] = {{1, 0, "the repository has reached its 0 MiB"},
                {0, 1ll << 60, "the server's disk is nearly full"}};
    make_app("room");
    free(GIT_TEXT("room", "push", "-q", "dev", "main", "main:refs/heads/old0",
                  "main:refs/heads/old1"));
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int first_port = port;
        struct git_hosting_options full = *options;
        struct git_store store = *options->store;
        full.store = &store;
        store.repo_max = rows[i].repo_max;
        store.disk_reserve = rows[i].disk_reserve;
        struct git_hosting *h = git_hosting_new(listen_tcp(), &full);
        AUTO_FREE char *to = url("dev", "room");
        AUTO_FREE char *old = mem_format(":refs/heads/old%zu", i);
        port = first_port;
        commit_file("room", "a", rows[i].text);
        OK(RUN_GIT("room", "push", "-q", to, "main") != 0);
        OK(strstr(last.error, rows[i].text));
        free(GIT_TEXT("room", "push", "-q", to, old));
        git_hosting_free(h);
    }
}

/* A second hosting, in this process, that takes no more than 1 MiB a push. */
TEST(a_push_above_the_limit_is_refused_in_words)
{
    int ends[2];
    struct err err = ERR_INIT;
    struct git_store store;
    AUTO_FREE char *root = mem_format("%s/data/git", home);
    OK(git_store_open(root, &store, &err) == 0);
    OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    struct channel *near = channel_new(ends[0], &handlers);
    struct channel *far = channel_new(ends[1], &handlers);
    int first_port = port;
    int listener = listen_tcp();
    struct git_hosting_options options = {.store = &store,
                                          .core = core_itself,
                                          .on_pushed = on_pushed,
                                          .context = near,
                                          .push_max = 1 << 20};
    struct git_hosting *h = git_hosting_new(listener, &options);
    AUTO_FREE char *to = url("dev", "limit");
    port = first_port;
    make_app("limit");
    put_random("limit", "small", 1);
    free(GIT_TEXT("limit", "add", "-A"));
    free(GIT_TEXT("limit", "commit", "-q", "-m", "small"));
    put_random("limit", "large", 8);
    free(GIT_TEXT("limit", "add", "-A"));
    free(GIT_TEXT("limit", "commit", "-q", "-m", "large"));
    OK(RUN_GIT("limit", "push", "-q", to, "main") != 0);
    OK(strstr(last.error, "exceeds maximum allowed size"));
    OK(!strstr(last.error, "RPC failed"));
    git_hosting_free(h);
    no_room(&options);
    until_quiet();
    channel_free(near);
    channel_free(far);
    git_store_done(&store);
}

/* --- tests: upkeep -------------------------------------------------------------------------- */

static bool graph_there(void *context)
{
    return file_exists(context);
}

TEST(after_a_push_the_commit_graph_follows)
{
    AUTO_FREE char *graph =
        mem_format("%s/data/git/shop.git/objects/info/commit-graphs/commit-graph-chain", home);
    OK(until(graph_there, graph));
}

TEST(upkeep_joins_packs_and_keeps_what_is_needed)
{
    struct err err = ERR_INIT;
    struct git_store store;
    AUTO_FREE char *root = mem_format("%s/data/git", home);
    AUTO_FREE char *dir = mem_format("%s/shop.git", root);
    static const char *const how[] = {"geometric", "full"};
    OK(git_store_open(root, &store, &err) == 0);
    for (int i = 0; i < 3; i++) {
        char name[8];
        (void)snprintf(name, sizeof(name), "f%d", i);
        commit_file("shop", name, name);
        free(GIT_TEXT("shop", "push", "-q", "dev", "main"));
    }
    for (size_t i = 0; i < ARRAY_SIZE(how); i++) {
        AUTO_JSON *args = json_pack("{s:s, s:s}", "app", "shop", "repack", how[i]);
        AUTO_JSON *reply = NULL;
        struct git_ask asked = {.store = &store, .args = args, .fd = -1};
        OK(git_upkeep(&asked, &reply, &err) == 0);
        IS_STR(err.text, "");
        free(GIT_TEXT(".", "--git-dir", dir, "fsck", "--strict"));
    }
    AUTO_FREE char *count = GIT_TEXT(".", "--git-dir", dir, "count-objects", "-v");
    OK(strstr(count, "packs: 1\n"));
    git_store_done(&store);
}

/* A power cut, or a git that was killed, leaves locks and parts of packs: git itself would wait for
 * them for ever. What is young may be in use. */
TEST(what_a_killed_git_leaves_is_swept)
{
    static const char *const left[] = {"packed-refs.lock", "refs/heads/main.lock",
                                       "refs/heads/feature/x.lock", "objects/pack/tmp_pack_a1",
                                       "objects/info/commit-graphs/commit-graph-chain.lock"};
    static const struct timespec old[2] = {{1000000000, 0}, {1000000000, 0}};
    struct err err = ERR_INIT;
    struct git_store store;
    AUTO_FREE char *root = mem_format("%s/data/git", home);
    OK(git_store_open(root, &store, &err) == 0);
    free(GIT_TEXT("shop", "push", "-q", "dev", "main:refs/heads/feature/y"));
    for (int round = 0; round < 3; round++) { /* young, old, young at a start */
        AUTO_JSON *args = json_object();
        AUTO_JSON *reply = NULL;
        struct git_ask asked = {.store = &store, .args = args, .fd = -1};
        json_put_bool(args, "start", round == 2);
        for (size_t i = 0; i < ARRAY_SIZE(left); i++) {
            AUTO_FREE char *path = mem_format("%s/shop.git/%s", root, left[i]);
            AUTO_FREE char *folder =
                str_dup((struct str){path, (size_t)(strrchr(path, '/') - path)});
            OK(file_make_dirs(folder, 0700, &err) == 0);
            OK(file_write(path, STR(""), 0600, &err) == 0);
            OK(round != 1 || utimensat(AT_FDCWD, path, old, 0) == 0);
        }
        OK(git_sweep(&asked, &reply, &err) == 0);
        for (size_t i = 0; i < ARRAY_SIZE(left); i++) {
            AUTO_FREE char *path = mem_format("%s/shop.git/%s", root, left[i]);
            IS_INT(file_exists(path), round == 0);
        }
    }
    free(GIT_TEXT("shop", "push", "-q", "dev", ":refs/heads/feature/y"));
    git_store_done(&store);
}

/* All pages; no branch stands on two of them. */
static size_t count_by_pages(const char *app, int limit)
{
    struct map seen;
    size_t i, repeated = 0;
    json_t *row;
    AUTO_FREE char *after = mem_strdup("");
    map_init(&seen);
    while (after) {
        AUTO_JSON *page = ask("branch.list", json_pack("{s:s, s:s, s:i, s:s}", "app", app, "trunk",
                                                       "main", "limit", limit, "after", after));
        json_array_foreach(json_list(page, "branches"), i, row)
        {
            repeated += map_get(&seen, json_text_or(row, "name", "")) != NULL;
            map_put(&seen, json_text_or(row, "name", ""), &seen);
        }
        free(after);
        after = json_text(page, "next") ? mem_strdup(json_text(page, "next")) : NULL;
    }
    IS_INT(repeated, 0);
    size_t count = seen.count;
    map_done(&seen);
    return count;
}

TEST(many_refs_at_once)
{
    make_app("many");
    free(GIT_TEXT("many", "push", "-q", "dev", "main"));
    AUTO_BUF refs = BUF_INIT(0);
    AUTO_FREE char *head = tip("many", "main");
    for (int i = 0; i < 900; i++)
        (void)buf_add_format(&refs, "%s refs/heads/feature/number-%d\n", head, i);
    put_file("many", ".git/packed-refs", refs.data);
    free(GIT_TEXT("many", "push", "-q", "dev", "refs/heads/feature/*:refs/heads/feature/*"));
    IS_INT(json_array_size(json_list(changes, "refs")), 900);
    AUTO_JSON *list = ask(
        "branch.list", json_pack("{s:s, s:s, s:i}", "app", "many", "trunk", "main", "limit", 100));
    IS_INT(json_array_size(json_list(list, "branches")), 100);
    OK(json_bool(list, "more", false));
    IS_INT(count_by_pages("many", 1), 901);
    IS_INT(count_by_pages("many", 250), 901);
    IS_INT(ask_kind("branch.list", json_pack("{s:s, s:s, s:s}", "app", "many", "trunk", "main",
                                             "after", "feature/x")),
           E_FIELD_INVALID);
    AUTO_FREE char *from = url("dev", "many");
    free(GIT_TEXT(".", "clone", "-q", "--bare", from, "many-2")); /* large requests: gzip */
    free(GIT_TEXT(".", "-c", "protocol.version=0", "clone", "-q", "--bare", from, "many-0"));
    AUTO_JSON *few = ask("branch.list", json_pack("{s:s, s:s, s:s}", "app", "many", "trunk", "main",
                                                  "match", "number-77"));
    IS_INT(json_array_size(json_list(few, "branches")), 11);
}

/* A repository that somebody got at: its hooks and its configuration would run programs. */
static void plant(const char *app)
{
    static const char *const hooks[] = {
        "pre-receive",           "update",       "post-receive",     "post-update",
        "reference-transaction", "proc-receive", "push-to-checkout", "pre-auto-gc",
        "post-index-change",     "post-merge",   "pre-merge-commit", "commit-msg",
        "fsmonitor-watchman"};
    struct err err = ERR_INIT;
    AUTO_FREE char *repo = mem_format("%s/data/git/%s.git", home, app);
    AUTO_FREE char *script = mem_format("#!/bin/sh\n: > '%s/CANARY'\n", home);
    AUTO_FREE char *folder = mem_format("%s/hooks", repo);
    OK(file_make_dirs(folder, 0755, &err) == 0);
    for (size_t i = 0; i < ARRAY_SIZE(hooks); i++) {
        AUTO_FREE char *path = mem_format("%s/%s", folder, hooks[i]);
        OK(file_write(path, str_of(script), 0755, &err) == 0);
    }
    AUTO_FREE char *settings = mem_format("%s/config", repo);
    AUTO_FREE char *program = mem_format("%s/fsmonitor-watchman", folder);
    AUTO_BUF text = BUF_INIT(0);
    OK(file_read(settings, 1 << 20, &text, &err) == 0);
    (void)buf_add_format(&text,
                         "[core]\n\thooksPath = %s\n\tfsmonitor = %s\n\tsshCommand = %s\n"
                         "\tpager = %s\n[uploadpack]\n\tpackObjectsHook = %s\n"
                         "[merge \"x\"]\n\tdriver = %s\n[filter \"x\"]\n\tsmudge = %s\n"
                         "\tclean = %s\n[diff]\n\texternal = %s\n",
                         folder, program, program, program, program, program, program, program,
                         program);
    OK(file_write(settings, buf_str(&text), 0644, &err) == 0);
}

TEST(planted_hooks_and_settings_run_nothing)
{
    make_app("planted");
    free(GIT_TEXT("planted", "push", "-q", "dev", "main"));
    plant("planted");
    commit_file("planted", ".gitattributes", "* filter=x merge=x diff=x\n");
    free(GIT_TEXT("planted", "push", "-q", "dev", "main", "main:refs/heads/side"));
    free(GIT_TEXT("planted", "push", "-q", "dev", ":refs/heads/side"));
    AUTO_FREE char *from = url("reader", "planted");
    free(GIT_TEXT(".", "clone", "-q", from, "planted-clone"));
    AUTO_FREE char *head = tip("planted", "main");
    IS_INT(ask_kind("branch.create",
                    json_pack("{s:s, s:s, s:s}", "app", "planted", "name", "made", "from", "main")),
           E_OK);
    json_decref(ask("branch.list", json_pack("{s:s, s:s}", "app", "planted", "trunk", "main")));
    IS_INT(ask_kind("file.read", json_pack("{s:s, s:s, s:s}", "app", "planted", "commit", head,
                                           "path", ".gitattributes")),
           E_OK);
    AUTO_FREE char *canary = mem_format("%s/CANARY", home);
    OK(access(canary, F_OK) < 0);
}

/* --- the end -------------------------------------------------------------------------------- */

TEST(nothing_was_executed_and_it_ends_in_order)
{
    AUTO_JSON *dump = ask("dump", json_object());
    OK(json_is_object(json_object_get(dump, "dump")));
    end_in_order();
}
