/* What was left half-made: by a courier that was killed, a disk that was full, a machine that lost
 * its power, a git that ran past its time. git itself leaves all of it to `git gc`, which never
 * runs here, and a lock that nobody holds stops it for good. */
#include <dirent.h>
#include <fcntl.h>
#include <fts.h>
#include <glob.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/time.h"
#include "courier/git/repo.h"

#define SWEEP_AGE_S 7200 /* longer than any call of git may take: what is older is nobody's */

/* Remove what lies in the folder and has not changed for so long. */
static int sweep_folder(const char *folder, int64_t age_seconds, struct err *err)
{
    DIR *d = opendir(folder);
    if (!d)
        return FAIL_SYS(err, "cannot read '%s'", folder);
    int64_t oldest = clock_wall_ms(clock_system()) / 1000 - age_seconds;
    int result = 0;
    for (struct dirent *e; result == 0 && (e = readdir(d));) {
        struct stat st;
        if (text_is(e->d_name, ".") || text_is(e->d_name, "..") ||
            fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            (age_seconds > 0 && st.st_mtime > oldest))
            continue;
        AUTO_FREE char *path = mem_format("%s/%s", folder, e->d_name);
        result = file_remove_tree(path, err);
    }
    (void)closedir(d); /* read-only */
    return result;
}

static int sweep_pattern(const char *pattern, int64_t age_seconds, struct err *err)
{
    glob_t found;
    int64_t oldest = clock_wall_ms(clock_system()) / 1000 - age_seconds;
    int result = 0;
    if (glob(pattern, GLOB_NOSORT, NULL, &found) != 0)
        return 0;
    for (size_t i = 0; result == 0 && i < found.gl_pathc; i++) {
        struct stat st;
        if (lstat(found.gl_pathv[i], &st) < 0 || (age_seconds > 0 && st.st_mtime > oldest))
            continue;
        log_info("removing what git has left", F_STR("path", found.gl_pathv[i]));
        result = file_remove_tree(found.gl_pathv[i], err);
    }
    globfree(&found);
    return result;
}

/* Quarantines of pushes, packs that never became whole, locks; no branch is called "x.lock". */
static int sweep_repositories(const struct git_store *gs, int64_t age_seconds, struct err *err)
{
    static const char *const left[] = {
        "objects/tmp_objdir-*",
        "objects/[0-9a-f][0-9a-f]/tmp_obj_*",
        "objects/pack/tmp_*",
        "objects/pack/.tmp-*",
        "objects/pack/*.lock",
        "objects/info/*.lock",
        "objects/info/commit-graphs/*.lock",
        "objects/info/commit-graphs/tmp_*",
        "*.lock",
    };
    for (size_t i = 0; i < ARRAY_SIZE(left); i++) {
        AUTO_FREE char *pattern = mem_format("%s/*.git/%s", gs->root, left[i]);
        if (sweep_pattern(pattern, age_seconds, err) < 0)
            return -1;
    }
    return 0;
}

static int sweep_locks_below(char *refs, int64_t age_seconds, struct err *err)
{
    char *const paths[] = {refs, NULL};
    int64_t oldest = clock_wall_ms(clock_system()) / 1000 - age_seconds;
    FTS *walk = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
    int result = 0;
    if (!walk)
        return FAIL_SYS(err, "cannot read '%s'", refs);
    for (FTSENT *e; result == 0 && (e = fts_read(walk));) {
        if (e->fts_info != FTS_F || !str_ends(str_of(e->fts_name), ".lock") ||
            (age_seconds > 0 && e->fts_statp->st_mtime > oldest))
            continue;
        log_info("removing what git has left", F_STR("path", e->fts_path));
        result = file_remove_tree(e->fts_path, err);
    }
    (void)fts_close(walk);
    return result;
}

static int sweep_ref_locks(const struct git_store *gs, int64_t age_seconds, struct err *err)
{
    glob_t found;
    AUTO_FREE char *pattern = mem_format("%s/*.git/refs", gs->root);
    int result = 0;
    if (glob(pattern, GLOB_NOSORT, NULL, &found) != 0)
        return 0;
    for (size_t i = 0; result == 0 && i < found.gl_pathc; i++)
        result = sweep_locks_below(found.gl_pathv[i], age_seconds, err);
    globfree(&found);
    return result;
}

int git_sweep(const struct git_ask *ask, json_t **ret_reply, struct err *err)
{
    bool start = json_bool(ask->args, "start", false);
    int64_t age = start ? 0 : SWEEP_AGE_S;
    if (sweep_repositories(ask->store, age, err) < 0 || sweep_ref_locks(ask->store, age, err) < 0 ||
        sweep_folder(ask->store->scratch, age, err) < 0)
        return -1;
    if (!start && sweep_folder(ask->store->trash, 0, err) < 0)
        return -1;
    *ret_reply = json_object();
    return 0;
}

/* ---- of one fetch that failed ---- */

static bool is_partial(const char *name)
{
    return text_starts(name, "tmp_");
}

void partial_packs_note(const char *dir, struct map *ret_there)
{
    AUTO_FREE char *folder = mem_format("%s/objects/pack", dir);
    DIR *d = opendir(folder);
    map_init(ret_there);
    for (struct dirent *e; d && (e = readdir(d));)
        if (is_partial(e->d_name))
            (void)map_put(ret_there, e->d_name, "");
    if (d)
        (void)closedir(d); /* read-only */
}

void partial_packs_remove(const char *dir, const struct map *there)
{
    AUTO_FREE char *folder = mem_format("%s/objects/pack", dir);
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (!is_partial(e->d_name) || map_get(there, e->d_name))
            continue;
        (void)unlinkat(dirfd(d), e->d_name, 0); /* else the next sweep */
    }
    if (d)
        (void)closedir(d);
}
