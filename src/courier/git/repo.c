/* Repositories: made, found, removed, measured, kept in order.
 *
 * A repository is made in the scratch folder and renamed into place, and renamed into the trash
 * before it is removed: a half-made or half-removed one is never seen. */
#include "courier/git/repo.h"
#include <fcntl.h>
#include <stdatomic.h>
#include <dirent.h>
#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include "base/fault.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "base/time.h"

/* What our calls give with -c anyway, for whoever looks into the repository by hand. */
#define REPO_CONFIG                                                                                \
    "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = true\n"                    \
    "\thooksPath = /dev/null\n\tfsync = committed\n\tfsmonitor = false\n"                          \
    "[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[transfer]\n\thideRefs = refs/slipway\n"     \
    "[receive]\n\tfsckObjects = true\n\tunpackLimit = 1\n[protocol]\n\tallow = never\n"

#define REPO_MAX_DEFAULT (20ll << 30)

int git_store_open(const char *root, struct git_store *ret_store, struct err *err)
{
    struct git_store gs = {
        .root = mem_strdup(root),
        .scratch = mem_format("%s/.scratch", root),
        .trash = mem_format("%s/.trash", root),
        .repo_max = REPO_MAX_DEFAULT,
    };
    if (file_make_dirs(root, 0700, err) < 0 || file_make_dirs(gs.scratch, 0700, err) < 0 ||
        file_make_dirs(gs.trash, 0700, err) < 0) {
        git_store_done(&gs);
        return -1;
    }
    *ret_store = gs;
    return 0;
}

void git_store_done(struct git_store *gs)
{
    free(gs->root);
    free(gs->scratch);
    free(gs->trash);
    *gs = (struct git_store){0};
}

char *repo_fresh_path(const char *folder, const char *what)
{
    char random[16 + 1];
    random_hex(clock_system(), 8, random);
    return mem_format("%s/%s-%s", folder, what, random);
}

static int repo_path(const struct git_ask *ask, char **ret_dir, struct err *err)
{
    const char *app = json_text(ask->args, "app");
    if (!app || !str_is_name(str_of(app)))
        return FAIL(err, E_NAME_INVALID, "'%s' is no name of an app", app ? app : "");
    *ret_dir = mem_format("%s/%s.git", ask->store->root, app);
    return 0;
}

int repo_open(const struct git_ask *ask, char **ret_dir, struct err *err)
{
    AUTO_FREE char *dir = NULL;
    if (repo_path(ask, &dir, err) < 0)
        return -1;
    if (access(dir, F_OK) < 0)
        return FAIL(err, E_NOT_FOUND, "app '%s' has no repository", json_text(ask->args, "app"));
    *ret_dir = TAKE(dir);
    return 0;
}

int repo_check_branch(const char *name, struct err *err)
{
    if (name && str_is_branch(str_of(name)))
        return 0;
    return FAIL(err, E_REF_INVALID, "'%s' is no valid branch name", name ? name : "");
}

int repo_check_commit(const char *commit, const char *what, struct err *err)
{
    if (commit && str_is_commit(str_of(commit)))
        return 0;
    return FAIL(err, E_REF_INVALID, "%s '%s' is no commit id of 40 digits", what,
                commit ? commit : "");
}

static int set_head(const char *dir, const char *trunk, struct err *err)
{
    AUTO_GIT(call);
    git_call_init(&call, dir);
    git_verb(&call, "symbolic-ref");
    git_end(&call);
    git_arg(&call, "HEAD");
    git_arg_format(&call, "refs/heads/%s", trunk);
    return git_run(&call, (struct str){0}, NULL, err);
}

static int make_bare(const char *dir, struct err *err)
{
    AUTO_GIT(call);
    if (mkdir(dir, 0700) < 0)
        return FAIL_SYS(err, "cannot make '%s'", dir);
    git_call_init(&call, NULL);
    git_writes(&call, dir);
    git_verb(&call, "init");
    git_arg(&call, "--quiet");
    git_arg(&call, "--bare");
    git_arg(&call, "--template=");
    git_arg(&call, "--object-format=sha1");
    git_end(&call);
    git_arg(&call, dir);
    if (git_run(&call, (struct str){0}, NULL, err) < 0)
        return -1;
    AUTO_FREE char *config = mem_format("%s/config", dir);
    return file_write(config, STR(REPO_CONFIG), 0600, err);
}

/* git init does not fsync what it writes: make all of it durable before it gets its name. */
static int publish_folder(const struct git_store *gs, const char *made, const char *dir,
                          struct err *err)
{
    AUTO_CLOSE int root = open(gs->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || syncfs(root) < 0)
        return FAIL_SYS(err, "cannot make '%s' durable", made);
    FAULT("repo.create");
    if (rename(made, dir) < 0 && errno != EEXIST && errno != ENOTEMPTY)
        return FAIL_SYS(err, "cannot rename '%s'", made);
    if (fsync(root) < 0)
        return FAIL_SYS(err, "cannot make '%s' durable", dir);
    return 0;
}

int git_repo_create(const struct git_ask *ask, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *dir = NULL;
    const char *trunk = json_text(ask->args, "trunk");
    if (repo_path(ask, &dir, err) < 0 || repo_check_branch(trunk, err) < 0)
        return -1;
    if (!file_exists(dir)) {
        AUTO_FREE char *made = repo_fresh_path(ask->store->scratch, "new");
        if (make_bare(made, err) < 0 || publish_folder(ask->store, made, dir, err) < 0)
            return -1;
    }
    if (set_head(dir, trunk, err) < 0)
        return -1;
    *ret_reply = json_object();
    return 0;
}

int git_repo_delete(const struct git_ask *ask, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *dir = NULL;
    if (repo_path(ask, &dir, err) < 0)
        return -1;
    AUTO_FREE char *away = repo_fresh_path(ask->store->trash, json_text(ask->args, "app"));
    if (rename(dir, away) < 0 && errno != ENOENT)
        return FAIL_SYS(err, "cannot move '%s' away", dir);
    *ret_reply = json_object();
    return 0;
}

static int64_t folder_bytes(char *dir)
{
    int64_t bytes = 0;
    char *roots[] = {dir, NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    if (!walk)
        return 0;
    for (FTSENT *e; (e = fts_read(walk));)
        if (e->fts_info == FTS_F || e->fts_info == FTS_D)
            bytes += (int64_t)e->fts_statp->st_blocks * 512;
    (void)fts_close(walk); /* read-only */
    return bytes;
}

int64_t repo_pack_bytes(const char *dir)
{
    AUTO_FREE char *folder = mem_format("%s/objects/pack", dir);
    DIR *d = opendir(folder);
    int64_t bytes = 0;
    struct stat st;
    for (struct dirent *e; d && (e = readdir(d));)
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
            bytes += (int64_t)st.st_blocks * 512;
    if (d)
        (void)closedir(d); /* read-only */
    return bytes;
}

int repo_room(const struct git_store *gs, const char *dir, int64_t *ret_room, struct err *err)
{
    struct statvfs info;
    int64_t disk = INT64_MAX, own = gs->repo_max - repo_pack_bytes(dir);
    if (statvfs(dir, &info) == 0)
        disk = (int64_t)info.f_bavail * (int64_t)info.f_frsize - gs->disk_reserve;
    if (disk <= 0)
        return FAIL(err, E_DISK_FULL,
                    "the server's disk is nearly full: nothing can be taken until there is room");
    if (own <= 0)
        return FAIL(err, E_REPO_TOO_LARGE,
                    "the repository has reached its %lld MiB: delete branches that nobody needs, "
                    "their space is free two days later",
                    (long long)(gs->repo_max >> 20));
    *ret_room = own < disk ? own : disk;
    return 0;
}

int git_repo_df(const struct git_ask *ask, json_t **ret_reply, struct err *err)
{
    DIR *root = opendir(ask->store->root);
    if (!root)
        return FAIL_SYS(err, "cannot read '%s'", ask->store->root);
    json_t *list = json_array();
    for (struct dirent *e; (e = readdir(root));) {
        struct str name = str_of(e->d_name);
        if (!str_ends(name, ".git") || name.length <= 4)
            continue;
        name.length -= 4;
        AUTO_FREE char *dir = mem_format("%s/%s", ask->store->root, e->d_name);
        json_t *row = json_object();
        json_put_str(row, "app", name);
        json_put_int(row, "bytes", folder_bytes(dir));
        json_push(list, row);
    }
    (void)closedir(root); /* read-only */
    *ret_reply = json_object();
    json_put(*ret_reply, "repositories", list);
    return 0;
}

/* --- upkeep --------------------------------------------------------------------------------- */

static int write_graph(const char *dir, struct err *err)
{
    AUTO_GIT(call);
    git_call_init(&call, dir);
    git_verb(&call, "commit-graph");
    git_arg(&call, "write");
    git_arg(&call, "--reachable");
    git_arg(&call, "--split");
    git_arg(&call, "--no-progress");
    return git_run(&call, (struct str){0}, NULL, err);
}

/* geometric: join small packs. full: one pack, what no ref reaches goes to a cruft pack and is
 * dropped two days after it was last touched: an integration nobody published. */
static int repack(const struct git_store *gs, const char *dir, const char *how, struct err *err)
{
    AUTO_GIT(call);
    git_call_init(&call, dir);
    call.file_max = gs->repo_max; /* all of it may become one pack */
    git_verb(&call, "repack");
    git_arg(&call, "-d");
    git_arg(&call, "-q");
    if (text_is(how, "full")) {
        git_arg(&call, "--cruft");
        git_arg(&call, "--cruft-expiration=2.days.ago");
        git_arg(&call, "--write-bitmap-index");
    } else {
        git_arg(&call, "--geometric=2");
    }
    AUTO(git_process) *p = NULL;
    struct git_outcome outcome;
    if (git_process_start(&call, 3600000, &p, err) < 0)
        return -1;
    git_process_close_input(p);
    struct str rest;
    while (git_process_until(p, '\n', 65536, &rest, err) == 0)
        ; /* quiet: there is none */
    if (git_process_wait(p, &outcome, err) < 0)
        return -1;
    return git_outcome_check(&call, &outcome, err);
}

/* A build leaves a ref, a push one for each branch: as files of their own they cost an inode each.
 */
static int pack_refs(const char *dir, struct err *err)
{
    AUTO_GIT(call);
    git_call_init(&call, dir);
    git_verb(&call, "pack-refs");
    git_arg(&call, "--all");
    return git_run(&call, (struct str){0}, NULL, err);
}

static atomic_int upkeeps;

bool git_upkeep_runs(void)
{
    return atomic_load(&upkeeps) > 0;
}

int git_upkeep(const struct git_ask *ask, json_t **ret_reply, struct err *err)
{
    AUTO_FREE char *dir = NULL;
    const char *how = json_text(ask->args, "repack");
    if (repo_open(ask, &dir, err) < 0)
        return -1;
    (void)atomic_fetch_add(&upkeeps, 1);
    int result = how && (pack_refs(dir, err) < 0 || repack(ask->store, dir, how, err) < 0) ? -1 : 0;
    if (result == 0)
        result = write_graph(dir, err);
    (void)atomic_fetch_sub(&upkeeps, 1);
    if (result == 0)
        *ret_reply = json_object();
    return result;
}

int git_version(char **ret_version, struct err *err)
{
    AUTO_GIT(call);
    AUTO_BUF out = BUF_INIT(4096);
    git_call_init(&call, NULL);
    git_verb(&call, "version");
    if (git_run(&call, (struct str){0}, &out, err) < 0)
        return -1;
    struct str text = str_trim(buf_str(&out));
    if (str_starts(text, "git version "))
        text = (struct str){text.data + 12, text.length - 12};
    *ret_version = str_dup(text);
    return 0;
}
