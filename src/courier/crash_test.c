/* The courier is killed at each failpoint of what writes to a repository: integrating, landing,
 * opening a resolution and folding it. Refs are as they were before or as they are after, never
 * between; asked again, it comes to the same end. The verbs run in children of the test, which die
 * in the courier's place. */
#include <glob.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/fault.h"
#include "courier/courier_fixture.h"
#include "courier/git/git.h"
#include "courier/git/repo.h"
#include "courier/outside.h"

#define APP "crash"
#define REPO "data/git/" APP ".git"
#define POINTS_MAX 50

#define THERE "data/git/there.git" /* the repository elsewhere of some */

static struct git_store store;

static char *reply_path(void)
{
    return mem_format("%s/reply.json", home);
}

/* Of those that go elsewhere. */
static int credential(void)
{
    static const char text[] = "{\"token\":\"token\"}";
    int fd = memfd_create("credential", MFD_CLOEXEC);
    OK(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    return fd;
}

/* In a child: die at the nth point (0: at none), else leave the reply in a file. */
static _Noreturn void act(git_work_fn *work, const json_t *args, int64_t nth)
{
    struct git_ask ask = {.store = &store, .args = args, .fd = credential()};
    struct err err = ERR_INIT;
    json_t *reply = NULL;
    AUTO_FREE char *path = reply_path();
    if (nth)
        fault_arm("*", nth);
    if (work(&ask, &reply, &err) < 0) {
        (void)fprintf(stderr, "%s\n", err.text);
        _exit(1);
    }
    fault_arm(NULL, 0);
    AUTO_FREE char *text = json_print(reply);
    _exit(file_write(path, str_of(text), 0600, &err) < 0);
}

/* As waitpid says. */
static int run(git_work_fn *fn, const json_t *args, int64_t nth)
{
    int status = 0;
    pid_t pid = fork();
    if (pid == 0)
        act(fn, args, nth);
    while (waitpid(pid, &status, WNOHANG) == 0)
        (void)uv_run(loop_get(), UV_RUN_NOWAIT); /* we are core: git at the other end asks us */
    return status;
}

/* Did it come to its end? */
static bool work(git_work_fn *fn, const json_t *args, int64_t nth)
{
    int status = run(fn, args, nth);
    if (WIFSIGNALED(status))
        IS_INT(WTERMSIG(status), SIGKILL);
    else
        IS_INT(WEXITSTATUS(status), 0);
    return WIFEXITED(status);
}

static json_t *reply(void)
{
    AUTO_FREE char *path = reply_path();
    AUTO_BUF text = BUF_INIT(1u << 20);
    struct err err = ERR_INIT;
    json_t *value = NULL;
    OK(file_read(path, 1u << 20, &text, &err) == 0 &&
       json_parse(buf_str(&text), &value, &err) == 0);
    return value;
}

static char *refs_of(const char *repository)
{
    return GIT_TEXT(repository, "for-each-ref", "--format=%(refname) %(objectname)");
}

static char *refs(void)
{
    return refs_of(REPO);
}

/* All refs as in this list. */
static void restore_to(const char *repository, const char *list)
{
    AUTO_FREE char *now = refs_of(repository);
    AUTO_BUF input = BUF_INIT(0);
    const char *const argv[] = {GIT, "update-ref", "--stdin", NULL};
    AUTO_FREE char *cwd = mem_format("%s/%s", home, repository);
    for (struct str rest = str_of(now), line; rest.length > 0;) {
        line = str_cut(&rest, '\n');
        struct str name = str_cut(&line, ' ');
        (void)buf_add_format(&input, "delete %.*s\n", (int)name.length, name.data);
    }
    IS_INT(run_input(cwd, argv, input.data ? input.data : ""), 0);
    buf_clear(&input);
    for (struct str rest = str_of(list), line; rest.length > 0;) {
        line = str_cut(&rest, '\n');
        (void)buf_add_format(&input, "create %.*s\n", (int)line.length, line.data);
    }
    IS_INT(run_input(cwd, argv, input.data ? input.data : ""), 0);
}

static void restore(const char *list)
{
    restore_to(REPO, list);
}

/* Killed at each point, one after the other: before or after; again: after, with the same `key` in
 * the reply. */
static void drive(const char *what, git_work_fn *fn, const json_t *args, const char *key)
{
    AUTO_FREE char *before = refs();
    OK(work(fn, args, 0));
    AUTO_FREE char *after = refs();
    AUTO_JSON *wanted = reply();
    int64_t points = 0;
    for (int64_t nth = 1; nth <= POINTS_MAX; nth++) {
        restore(before);
        bool ended = work(fn, args, nth);
        AUTO_FREE char *found = refs();
        if (ended)
            break;
        points++;
        OK(text_is(found, before) || text_is(found, after));
        OK(work(fn, args, 0));
        AUTO_FREE char *again = refs();
        IS_STR(again, after);
        AUTO_JSON *got = reply();
        IS_STR(json_text_or(got, key, ""), json_text_or(wanted, key, ""));
    }
#ifdef SLIPWAY_FAILPOINTS
    OK(points > 0);
#endif
    printf("# %s: killed at %lld points\n", what, (long long)points);
}

static json_t *tick(const char *branch)
{
    AUTO_FREE char *at = tip(APP, branch);
    return json_pack("{s:s, s:s}", "branch", branch, "tip", at);
}

static json_t *integrate_args(void)
{
    AUTO_FREE char *base = tip(APP, "main");
    return json_pack("{s:s, s:s, s:s, s:[o, o]}", "app", APP, "trunk", "main", "base", base,
                     "ticks", tick("a"), tick("b"));
}

static void branch(const char *name, const char *file, const char *text)
{
    free(GIT_TEXT(APP, "checkout", "-q", "-b", name, "main"));
    commit_file(APP, file, text);
}

TEST(integrate)
{
    struct err err = ERR_INIT;
    make_app(APP);
    AUTO_FREE char *root = mem_format("%s/data/git", home);
    OK(git_store_open(root, &store, &err) == 0);
    branch("a", "a", "of a\n");
    branch("b", "b", "of b\n");
    branch("x", "README", "changed by x\n");
    branch("y", "README", "changed by y\n");
    free(GIT_TEXT(APP, "push", "-q", "ops", "--all"));
    AUTO_JSON *args = integrate_args();
    drive("integrate", git_integrate, args, "commit");
}

/* Pushes that arrive in another order end in the same commit. */
TEST(the_same_tips_give_the_same_commit)
{
    AUTO_JSON *args = integrate_args();
    AUTO_FREE char *all = refs();
    OK(work(git_integrate, args, 0));
    AUTO_JSON *first = reply();
    restore("");
    free(GIT_TEXT(APP, "push", "-q", "ops", "b"));
    free(GIT_TEXT(APP, "push", "-q", "ops", "main"));
    free(GIT_TEXT(APP, "push", "-q", "ops", "y", "a", "x"));
    AUTO_FREE char *now = refs();
    IS_STR(now, all);
    OK(work(git_integrate, args, 0));
    AUTO_JSON *second = reply();
    IS_STR(json_text(second, "commit"), json_text(first, "commit"));
}

TEST(land)
{
    AUTO_JSON *whole = integrate_args();
    OK(work(git_integrate, whole, 0));
    AUTO_JSON *merged = reply();
    AUTO_JSON *args =
        json_pack("{s:s, s:s, s:s, s:s, s:[s, s]}", "app", APP, "trunk", "main", "commit",
                  json_text(merged, "commit"), "tag", "prod/r1", "branches", "a", "b");
    AUTO_FREE char *before = refs();
    drive("land", git_ref_land, args, "");
    restore(before);
}

TEST(open_and_fold_a_resolution)
{
    AUTO_JSON *args =
        json_pack("{s:s, s:s, s:[s, s]}", "app", APP, "name", "resolve/x+y", "sides", "x", "y");
    drive("resolve.open", git_resolve_open, args, "tip");
    AUTO_JSON *opened = reply();
    free(GIT_TEXT(APP, "fetch", "-q", "ops"));
    free(GIT_TEXT(APP, "checkout", "-q", "-b", "resolve/x+y", json_text(opened, "tip")));
    commit_file(APP, "README", "changed by both\n");
    free(GIT_TEXT(APP, "checkout", "-q", "y"));
    commit_file(APP, "more", "of y\n"); /* so that folding makes a merge */
    free(GIT_TEXT(APP, "push", "-q", "ops", "--all"));
    AUTO_FREE char *now = tip(APP, "resolve/x+y");
    AUTO_JSON *row =
        json_pack("{s:s, s:s, s:s, s:[s], s:O}", "branch", "resolve/x+y", "tip", now, "opened",
                  json_text(opened, "tip"), "files", "README", "sides", json_list(opened, "sides"));
    AUTO_JSON *fold = json_pack("{s:s, s:O, s:s}", "app", APP, "resolution", row, "into", "y");
    AUTO_FREE char *before = refs();
    OK(work(git_resolve_fold, fold, 0));
    AUTO_FREE char *after = refs();
    OK(!strstr(after, "resolve/"));
    for (int64_t nth = 1; nth <= POINTS_MAX; nth++) {
        restore(before);
        bool ended = work(git_resolve_fold, fold, nth);
        AUTO_FREE char *found = refs();
        OK(text_is(found, before) || text_is(found, after));
        if (ended)
            break;
    }
}

/* ---- with a repository elsewhere, which is changed first ---- */

/* {"app", key: value..., "remote"}: the other one is hosted by the same courier. */
static json_t *elsewhere(json_t *args)
{
    AUTO_FREE char *address = mem_format("http://127.0.0.1:%d/git/there.git", port);
    json_put_text(args, "app", APP);
    json_put(args, "remote",
             json_pack("{s:s, s:s, s:s}", "url", address, "kind", "git", "login", "ops"));
    return args;
}

/* Each of the two is before or after, and ours is never ahead of the other; again: both are after.
 */
static void drive_both(const char *what, git_work_fn *fn, const json_t *args)
{
    AUTO_FREE char *here = refs();
    AUTO_FREE char *there = refs_of(THERE);
    OK(work(fn, args, 0));
    AUTO_FREE char *here_after = refs();
    AUTO_FREE char *there_after = refs_of(THERE);
    int64_t points = 0;
    OK(!text_is(there, there_after));
    for (int64_t nth = 1; nth <= POINTS_MAX; nth++, points++) {
        restore(here);
        restore_to(THERE, there);
        if (work(fn, args, nth))
            break;
        AUTO_FREE char *found = refs();
        AUTO_FREE char *found_there = refs_of(THERE);
        OK(text_is(found, here) || text_is(found, here_after));
        OK(text_is(found_there, there) || text_is(found_there, there_after));
        OK(text_is(found, here) || text_is(found_there, there_after));
        OK(work(fn, args, 0));
        AUTO_FREE char *again = refs();
        AUTO_FREE char *again_there = refs_of(THERE);
        IS_STR(again, here_after);
        IS_STR(again_there, there_after);
    }
#ifdef SLIPWAY_FAILPOINTS
    OK(points > 0);
#endif
    printf("# %s elsewhere: killed at %lld points\n", what, (long long)points);
}

TEST(what_lives_elsewhere_is_changed_there_first)
{
    static struct settings settings = {.forge_networks = (char *)(uintptr_t) "127.0.0.0/8",
                                       .forge_proxy = (char *)(uintptr_t) "",
                                       .no_proxy = (char *)(uintptr_t) "",
                                       .subnet = (char *)(uintptr_t) "10.213.0.0/16"};
    outside_setup(&settings);
    json_decref(ask("repo.create", json_pack("{s:s, s:s}", "app", "there", "trunk", "main")));
    AUTO_FREE char *remote = url("ops", "there");
    branch("p", "README", "changed by p\n");
    branch("q", "README", "changed by q\n");
    free(GIT_TEXT(APP, "push", "-q", "ops", "p", "q"));
    free(GIT_TEXT(APP, "remote", "add", "there", remote));
    free(GIT_TEXT(APP, "fetch", "-q", "--prune", "ops", "+refs/heads/*:refs/remotes/ops/*"));
    free(GIT_TEXT(APP, "push", "-q", "there", "refs/remotes/ops/*:refs/heads/*"));
    AUTO_JSON *fetch = elsewhere(json_object());
    OK(work(git_remote_fetch, fetch, 0));
    AUTO_JSON *first = reply();
    IS_INT(json_int(first, "count", -1), 0);
    IS_STR(json_text(first, "trunk"), "main");

    AUTO_JSON *made = elsewhere(json_pack("{s:s, s:s}", "name", "功能/新", "from", "main"));
    drive_both("branch.create", git_branch_create, made);
    AUTO_JSON *gone = elsewhere(json_pack("{s:s}", "name", "功能/新"));
    drive_both("branch.delete", git_branch_delete, gone);
    AUTO_JSON *opened =
        elsewhere(json_pack("{s:s, s:[s, s]}", "name", "resolve/p+q", "sides", "p", "q"));
    drive_both("resolve.open", git_resolve_open, opened);
    AUTO_JSON *whole = integrate_args();
    OK(work(git_integrate, whole, 0));
    AUTO_JSON *merged = reply();
    AUTO_JSON *land =
        elsewhere(json_pack("{s:s, s:s, s:s, s:[]}", "trunk", "main", "commit",
                            json_text(merged, "commit"), "tag", "prod/r9", "branches"));
    drive_both("land", git_ref_land, land);
}

/* Whatever a fetch that was killed has left, the next one ends where the other repository is. */
TEST(a_fetch_that_was_killed_goes_on)
{
    AUTO_JSON *fetch = elsewhere(json_object());
    AUTO_FREE char *before = refs();
    free(GIT_TEXT(APP, "push", "-q", "-f", "there", "a:refs/heads/a/below", ":refs/heads/a",
                  "b:refs/heads/x", "y:refs/tags/v2"));
    AUTO_FREE char *there = GIT_TEXT(THERE, "for-each-ref", "refs/heads", "refs/tags",
                                     "--format=%(refname) %(objectname)");
    int64_t points = 0;
    for (int64_t nth = 1; nth <= POINTS_MAX; nth++, points++) {
        restore(before);
        if (work(git_remote_fetch, fetch, nth))
            break;
        OK(work(git_remote_fetch, fetch, 0));
        AUTO_FREE char *here = GIT_TEXT(REPO, "for-each-ref", "refs/heads", "refs/tags",
                                        "--format=%(refname) %(objectname)");
        IS_STR(here, there);
    }
    printf("# fetch: killed at %lld points\n", (long long)points);
}

static int packs_left(const char *pattern)
{
    glob_t found;
    AUTO_FREE char *path = mem_format("%s/" REPO "/objects/pack/%s", home, pattern);
    int count = glob(path, 0, NULL, &found) == 0 ? (int)found.gl_pathc : 0;
    globfree(&found);
    return count;
}

/* What is larger than there is room for is not taken, as often as it is tried, and leaves nothing.
 */
TEST(a_fetch_that_does_not_fit_leaves_nothing)
{
    AUTO_JSON *fetch = elsewhere(json_object());
    AUTO_FREE char *dir = mem_format("%s/" REPO, home);
    AUTO_BUF large = BUF_INIT(0);
    for (int i = 0; i < 100000; i++) {
        char number[17];
        random_hex(clock_system(), 8, number);
        (void)buf_add_text(&large, number);
    }
    AUTO_FREE char *text = buf_take(&large);
    branch("large", "large", text);
    free(GIT_TEXT(APP, "push", "-q", "-f", "there", "large"));
    int64_t max = store.repo_max;
    store.repo_max = repo_pack_bytes(dir) + 100000;
    AUTO_FREE char *before = refs();
    for (int i = 0; i < 2; i++)
        IS_INT(WEXITSTATUS(run(git_remote_fetch, fetch, 0)), 1);
    AUTO_FREE char *after = refs();
    IS_STR(after, before);
    IS_INT(packs_left("*tmp*"), 0);
    store.repo_max = 1;
    IS_INT(WEXITSTATUS(run(git_remote_fetch, fetch, 0)), 1);
    store.repo_max = max;
    OK(work(git_remote_fetch, fetch, 0));
    AUTO_FREE char *took = refs();
    OK(strstr(took, "refs/heads/large"));
    git_store_done(&store);
    end_in_order();
}
